"""Which packages come along with ALTAR, and under which licences: nothing of the GPL may.

What comes along is what the lock files name because of ``pyproject.toml``, with all its extras, and what that needs.
Tools of developers are beside it and are not judged.
A licence is read from what the installed package says of itself; one that says nothing readable is refused.
Exit status: 0 when all is well, 1 with the offending packages.
"""

from __future__ import annotations

import importlib.metadata
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = ROOT / "requirements"
LOCKS: Final = ("semantic-kernel.lock", "dev.lock", "providers.lock")
"""Where two name a package, the version of the later one counts."""

BESIDE: Final = (".venv-semantic-kernel",)
"""Environments of their own, whose packages are asked when this one does not have them."""

OURS: Final = "altar-ai"

FREE: Final = frozenset(
    "0BSD Apache-2.0 BSD-2-Clause BSD-3-Clause CC0-1.0 CNRI-Python ISC MIT MIT-0 MPL-2.0 PSF-2.0 Unlicense Zlib".split()
)
"""Licences that ask nothing of a program which only uses the package."""

ALLOWED: Final = {
    "psycopg": "LGPL-3.0-only",
    "psycopg-binary": "LGPL-3.0-only",
    "prance": "MITNFA",
    "pybars4": "GNU Library or Lesser General Public License (LGPL)",
}
"""Packages under the Lesser GPL: with the extra `aesp` (psycopg), or as a need of Semantic Kernel itself (pybars4),
unchanged, and exchangeable by whoever installs them; and one that says it is under MIT with a clause for those who
change it, though the text that comes with it has no such clause (prance), likewise."""

_TOLD: Final = {
    "0BSD": "chardet",
    "Apache-2.0": "cloudevents deprecation google-crc32c jsonschema-path openapi-spec-validator pathable pyopenssl"
    " pysaml2 requests",
    "BSD-2-Clause": "lazy-object-proxy",
    "BSD-3-Clause": "aioice aiortc av colorama httpx2-jsfetch isodate nest-asyncio openapi-core"
    " openapi-schema-validator pylibsrtp python-dateutil scipy werkzeug",
    "GNU Library or Lesser General Public License (LGPL)": "pybars4",
    "MIT": "azure-ai-agents azure-ai-projects azure-core azure-identity azure-storage-blob charset-normalizer"
    " elementpath httpx-sse ifaddr more-itertools msal msal-extensions parse pydantic-settings pyee pymeta3"
    " rfc3339-validator ruamel-yaml semantic-kernel six urllib3 xmlschema",
    "MITNFA": "prance",
    "PSF-2.0": "defusedxml pywin32",
}
TOLD: Final = {name: licence for licence, names in _TOLD.items() for name in names.split()}
"""What packages say where they are installed, which is not here: those of the extra `saml`, which is for the tests of
providers only, those of Semantic Kernel, which has an environment of its own, and those that other systems need."""

_WORDS: Final = {
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache-2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "bsd license": "BSD-3-Clause",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd-3-clause": "BSD-3-Clause",
    "isc license (iscl)": "ISC",
    "mit": "MIT",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "mpl-2.0": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
    "the unlicense (unlicense)": "Unlicense",
}
_PINNED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>\S+)", re.IGNORECASE)


def main() -> int:
    """Judge every package that comes along, and print what was found."""
    licences = {name: licence_of(name) for name in sorted(shipped())}
    wrong = list(objections(licences))
    for name, licence in licences.items():
        print(f"{name:42} {licence}")
    print(*wrong, sep="\n", file=sys.stderr, end="\n" if wrong else "")
    return 1 if wrong or not licences else 0


def shipped(texts: Iterable[str] | None = None) -> dict[str, str]:
    """Return version by name of all that ``pyproject.toml`` brings along, read from the text of lock files."""
    if texts is None:
        texts = [(REQUIREMENTS / name).read_text() for name in LOCKS]
    versions: dict[str, str] = {}
    wanted_by: dict[str, set[str]] = {}
    for text in texts:
        for name, version, parents in _entries(text):
            versions[name] = version
            wanted_by.setdefault(name, set()).update(parents)
    found, waiting = set[str](), [OURS]
    while waiting:
        parent = waiting.pop()
        fresh = {name for name, parents in wanted_by.items() if parent in parents} - found
        found |= fresh
        waiting += fresh
    return {name: versions[name] for name in found}


def licence_of(name: str) -> str:
    """Return an SPDX expression, or the package's own words, or nothing when it says nothing."""
    said = _metadata(name)
    if said is None:
        return TOLD.get(name, "")
    if "License-Expression" in said:
        return said["License-Expression"]
    rows = [row.rpartition(" :: ")[2] for row in said.get_all("Classifier") or [] if row.startswith("License ::")]
    words = [_WORDS.get(row.lower(), row) for row in rows if row not in {"OSI Approved", "DFSG approved"}]
    if words:
        return " OR ".join(words)
    line = str((said.get_all("License") or [""])[0]).strip().partition("\n")[0].strip()
    return _WORDS.get(line.lower(), line)


def objections(licences: Mapping[str, str]) -> Iterator[str]:
    """Say what is wrong with licences by name: in an expression one of OR is enough, and all of AND are needed."""
    for name, licence in licences.items():
        if ALLOWED.get(name, "") == licence != "":
            continue
        if not licence:
            yield f"{name}: it is not known under which licence it comes"
        elif not _is_free(licence):
            yield f"{name}: {licence} is not among the licences that may come along"


def _metadata(name: str) -> importlib.metadata.PackageMetadata | None:
    """What an installed package says of itself, here or in an environment beside this one."""
    beside = [str(path) for folder in BESIDE for path in (ROOT / folder).glob("lib/python3*/site-packages")]
    for paths in (sys.path, beside):
        for found in importlib.metadata.distributions(name=name, path=paths):
            return found.metadata
    return None


def _is_free(expression: str) -> bool:
    plain = expression.replace("(", " ").replace(")", " ")
    if " AND " in plain and " OR " in plain:
        plain = re.sub(r"\s+OR\s+", " AND ", plain)  # stricter than it says, and never looser
    if " AND " in plain:
        return all(one.strip() in FREE for one in plain.split(" AND "))
    return any(one.strip() in FREE for one in plain.split(" OR "))


def _entries(text: str) -> Iterator[tuple[str, str, set[str]]]:
    """Yield name, version and parents of each entry of a lock file."""
    name, version, parents = "", "", set[str]()
    for line in text.splitlines():
        if match := _PINNED.match(line):
            if name:
                yield name, version, parents
            name, version, parents = match["name"].lower(), match["version"], set()
        elif name and line.startswith("    #"):
            parent = line.strip("# ").removeprefix("via").strip()
            if parent and not parent.startswith(("-r ", "-c ")):
                parents.add(parent.partition(" ")[0].partition("[")[0].lower())
    if name:
        yield name, version, parents


if __name__ == "__main__":
    sys.exit(main())
