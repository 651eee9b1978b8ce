"""Which versions in the lock files are known to be weak.

There are two places to ask: the service of the package index, through pip-audit, and a folder of advisories in the
form of OSV (one JSON file each), such as a clone of a database of advisories, for machines that reach no service.
An answer without findings is worth something only from a place that finds anything at all, so the service is asked
about a version that is known to be weak first; a folder says how old its newest advisory is.
"""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from packaging.version import InvalidVersion, Version

__all__ = ["NotExaminedError", "asked", "found_in", "pinned"]

KNOWN_WEAK: Final = "jinja2==2.4.1"
"""A version that every database of advisories has something to say about."""

_PINNED = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s;\\]+)", re.IGNORECASE | re.MULTILINE)


class NotExaminedError(Exception):
    """Nothing can be said, because nobody could be asked."""


def pinned(locks: Iterable[Path]) -> dict[str, str]:
    """Return version by name of everything in these lock files, name and version as pip writes them."""
    return {match["name"].lower(): match["version"] for path in locks for match in _PINNED.finditer(path.read_text())}


def asked(locks: Sequence[Path], *, tool: Path, known_weak: str = KNOWN_WEAK) -> list[str]:
    """Ask the index's service about every version in the locks; one line for each weakness.

    ``tool`` is the program pip-audit.
    Raises NotExaminedError when the service does not know ``known_weak``, is not there, or leaves a package out.
    """
    with tempfile.TemporaryDirectory() as folder:
        probe = Path(folder) / "probe.txt"
        probe.write_text(f"{known_weak}\n")
        if not list(_weak(_answer(tool, probe))):
            raise NotExaminedError(
                "the package index serves no advisories: it knows of none for a version that has many"
            )
    found: list[str] = []
    for lock in locks:
        told = _answer(tool, lock)
        left_out = [one["name"] for one in told if "skip_reason" in one]
        if left_out:
            raise NotExaminedError(f"the package index says nothing about {', '.join(left_out)}")
        found += _weak(told)
    return sorted(set(found))


def found_in(folder: Path, versions: Mapping[str, str]) -> tuple[list[str], str]:
    """Return one line for each weakness that a folder of OSV documents knows, and when its newest was changed.

    ``versions`` is the version by name.
    Raises NotExaminedError for a folder without advisories about Python packages.
    """
    found, newest = [], ""
    for path in sorted(folder.rglob("*.json")):
        document = json.loads(path.read_text())
        about = [one for one in document.get("affected", ()) if one.get("package", {}).get("ecosystem") == "PyPI"]
        if not about:
            continue
        newest = max(newest, str(document.get("modified", "")))
        if document.get("withdrawn"):
            continue
        for one in about:
            name = re.sub(r"[-_.]+", "-", one["package"]["name"]).lower()
            if name in versions and _is_affected(one, versions[name]):
                found.append(f"{name} {versions[name]}: {document['id']}")
    if not newest:
        raise NotExaminedError(f"{folder} holds no advisories about Python packages in the form of OSV")
    return sorted(set(found)), newest


def _answer(tool: Path, requirements: Path) -> list[dict[str, Any]]:
    command: list[str | Path] = [
        tool,
        "-r",
        requirements,
        "--disable-pip",
        "--no-deps",
        "--progress-spinner",
        "off",
        "-f",
        "json",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    try:
        told: list[dict[str, Any]] = json.loads(run.stdout)["dependencies"]
    except (ValueError, KeyError) as error:
        last = run.stderr.strip().rpartition("\n")[2]
        raise NotExaminedError(f"the service of the package index gave no answer: {last}") from error
    return told


def _weak(told: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for one in told:
        for weakness in one.get("vulns", ()):
            yield f"{one['name']} {one['version']}: {weakness['id']}"


def _is_affected(about: Mapping[str, Any], version: str) -> bool:
    if version in about.get("versions", ()):
        return True
    ranges = [one["events"] for one in about.get("ranges", ()) if one.get("type") == "ECOSYSTEM"]
    return any(_is_within(events, Version(version)) for events in ranges)


def _is_within(events: Iterable[Mapping[str, str]], version: Version) -> bool:
    """Whether a version lies between an ``introduced`` and what ends it; events stand in the order of versions."""
    inside = False
    for event in events:
        ((kind, text),) = event.items()
        if kind == "introduced" and (text == "0" or version >= _read(text)):
            inside = True
        elif (kind == "fixed" and version >= _read(text)) or (kind == "last_affected" and version > _read(text)):
            inside = False
    return inside


def _read(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")  # in doubt a version is later than it, and the weakness counts
