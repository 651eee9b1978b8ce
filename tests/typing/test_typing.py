"""The type checker sees what a user sees: right uses pass, wrong uses are refused line by line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def test_right_uses_pass_the_type_checker() -> None:
    assert set() == errors_in(HERE / "decorated_right.py")


def test_wrong_uses_are_refused_where_we_say() -> None:
    path = HERE / "decorated_wrong.py"
    expected = {
        (number, code)
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        for code in re.findall(r"# error: ([\w-]+)", line)
    }

    assert expected == errors_in(path)


def errors_in(path: Path) -> set[tuple[int, str]]:
    """Return the line and code of each error that mypy, strict, finds in one file."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--hide-error-context",
        str(path),
    ]

    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    found = re.findall(rf"{re.escape(path.name)}:(\d+): error: .*\[([\w-]+)\]$", run.stdout, flags=re.MULTILINE)
    assert run.returncode in {0, 1}, run.stdout + run.stderr
    assert bool(found) == bool(run.returncode), run.stdout + run.stderr
    return {(int(number), code) for number, code in found}
