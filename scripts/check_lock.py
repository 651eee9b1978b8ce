"""Prove that the lock files hold names, versions and hashes only.

A lock file that named an index would bind everybody to that index; without one it works with any.
Exit status: 0 when all is well, 1 with the offending lines.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

LOCKS = Path(__file__).resolve().parent.parent / "requirements"
ADDRESS = re.compile(r"://|--(?:extra-)?index-url|--find-links|--trusted-host|\s@\s|file:", re.IGNORECASE)
REQUIREMENT = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==\S+", re.IGNORECASE)


def main() -> int:
    """Check every lock file and print what is wrong."""
    files = sorted(LOCKS.glob("*.lock"))
    wrong = [f"{path.name}:{where}" for path in files for where in defects(path.read_text())]
    print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong or not files else 0


def defects(text: str) -> list[str]:
    """Name each line that holds an address, and each requirement that is not pinned with a hash."""
    found: list[str] = []
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        if ADDRESS.search(line):
            found.append(f"{number}: an address: {line.strip()}")
        if not line or line[0] in "# ":
            continue
        following = lines[number] if number < len(lines) else ""
        if not REQUIREMENT.match(line):
            found.append(f"{number}: not pinned: {line}")
        elif "--hash=sha256:" not in line + following:
            found.append(f"{number}: no hash: {line}")
    return found


if __name__ == "__main__":
    sys.exit(main())
