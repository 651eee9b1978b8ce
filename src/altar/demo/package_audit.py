"""An application: audits the Python packages that are installed beside it.

Run it with `python -m altar.demo.package_audit`.
Its four tools are declared once; whether they run in this process or on a grid is said by `ALTAR_SOURCE` or
`altar.toml`, and no line here depends on it.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

import altar

__all__ = [
    "LicenseFamily",
    "PackageReport",
    "Report",
    "Summary",
    "audit",
    "classify_license",
    "inspect_package",
    "list_packages",
    "main",
    "summarize",
]

LicenseFamily = Literal["permissive", "copyleft", "other", "unknown"]
"""What a license asks for, as coarsely as a first look needs it."""


@dataclass(frozen=True, slots=True)
class PackageReport:
    """What the metadata of one package say, and what its files weigh."""

    name: str
    version: str
    license: str
    size_bytes: int
    files: int
    required_by: list[str]


@dataclass(frozen=True, slots=True)
class Summary:
    """Totals over all packages; `largest` and `most_required` are names, the first one leads."""

    packages: int
    files: int
    size_bytes: int
    families: dict[str, int]
    largest: list[str]
    most_required: list[str]


@altar.tool(read_only=True)
def list_packages() -> list[str]:
    """List the names of all installed packages, normalized and sorted."""
    return sorted({_normal(one.name) for one in metadata.distributions() if one.name})


@altar.tool(read_only=True)
def inspect_package(name: str) -> PackageReport:
    """Read version, license, size and dependents of one installed package.

    Byte code is left out: Python writes it whenever it likes.

    Args:
        name: Name of the package, in any spelling.
    """
    found = metadata.distribution(name)
    sizes = [size for file in found.files or () if file.suffix != ".pyc" and (size := _size(file)) is not None]
    return PackageReport(
        name=_normal(name),
        version=found.version,
        license=_license(found.metadata),
        size_bytes=sum(sizes),
        files=len(sizes),
        required_by=_dependents().get(_normal(name), []),
    )


@altar.tool(read_only=True)
def classify_license(license: str) -> LicenseFamily:  # noqa: A002 - the word of the metadata
    """Say which family a license belongs to.

    Args:
        license: SPDX expression or name, as the metadata write it.
    """
    words = license.lower()
    if not words or words == "unknown":
        return "unknown"
    if re.search(r"\b(a?gpl|lgpl|mpl|epl|eupl)|gnu|mozilla", words):
        return "copyleft"
    return "permissive" if re.search(r"\b(mit|bsd|apache|isc|psf|0bsd|zlib|unlicense)|python", words) else "other"


@altar.tool(read_only=True)
def summarize(packages: list[PackageReport], families: list[LicenseFamily]) -> Summary:
    """Add up the reports of all packages.

    Args:
        packages: One report for each package.
        families: The license families of the same packages, in the same order.
    """
    heaviest = sorted(packages, key=lambda one: (-one.size_bytes, one.name))
    wanted = sorted(packages, key=lambda one: (-len(one.required_by), one.name))
    return Summary(
        packages=len(packages),
        files=sum(one.files for one in packages),
        size_bytes=sum(one.size_bytes for one in packages),
        families=dict(sorted(Counter(families).items())),
        largest=[one.name for one in heaviest[:5]],
        most_required=[one.name for one in wanted[:5]],
    )


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one audit, as plain JSON values."""

    packages: list[dict[str, Any]]
    families: dict[str, str]
    summary: dict[str, Any]


async def audit(
    session: altar.Session, *, at_once: int = 64, tell: Callable[[int, int], None] = lambda _asked, _answered: None
) -> Report:
    """Audit every package through whatever session is given; `at_once` calls may be under way.

    `tell(asked, answered)` hears of calls that will be made and of calls that were answered.
    Raises AltarError as soon as a call has failed.
    """
    free = asyncio.Semaphore(at_once)

    async def call(tool: str, /, **arguments: Any) -> Any:
        async with free:
            result = await session.call(tool, **arguments)
        tell(0, 1)
        return result.unwrap()

    tell(1, 0)
    names = await call("list_packages")
    tell(2 * len(names) + 1, 0)
    packages = await asyncio.gather(*(call("inspect_package", name=name) for name in names))
    families = await asyncio.gather(*(call("classify_license", license=one["license"]) for one in packages))
    summary = await call("summarize", packages=packages, families=families)
    return Report(packages, dict(zip(names, families, strict=True)), summary)


def main(arguments: Sequence[str] | None = None) -> int:
    """Audit once, or several times at once, and print the report; the exit code is 1 when reports differ."""
    parser = argparse.ArgumentParser(prog="package_audit", description="Audit the installed Python packages.")
    parser.add_argument("--rounds", type=int, default=1, metavar="N", help="audits that run at the same time")
    parser.add_argument("--json", action="store_true", help="print one JSON value")
    parser.add_argument("--progress", action="store_true", help="say on stderr how far it is, as JSON lines")
    options = parser.parse_args(arguments)
    try:
        done = asyncio.run(_run(options.rounds, _Progress(say=options.progress)))
    except altar.AltarError as error:
        sys.stderr.write(f"error: {error} ({error.code})\n")
        return 1
    sys.stdout.write((json.dumps(done) if options.json else _text(done)) + "\n")
    return 0 if done["equal"] else 1


async def _run(rounds: int, progress: _Progress) -> dict[str, Any]:
    async with altar.session() as session:
        started = time.perf_counter()
        reports = await asyncio.gather(*(audit(session, tell=progress.tell) for _ in range(rounds)))
        seconds = time.perf_counter() - started
    return {
        "rounds": rounds,
        "calls": progress.done,
        "seconds": seconds,
        "equal": all(report == reports[0] for report in reports),
        "report": asdict(reports[0]),
    }


class _Progress:
    """Counts the calls of all audits, and says how many are done for whoever draws a bar."""

    def __init__(self, *, say: bool) -> None:
        self.done = 0
        self._total = 0
        self._say = say

    def tell(self, asked: int, answered: int) -> None:
        self._total += asked
        self.done += answered
        if self._say and answered and (self.done % 16 == 0 or self.done == self._total):
            sys.stderr.write(json.dumps({"done": self.done, "total": self._total}) + "\n")
            sys.stderr.flush()


def _text(done: dict[str, Any]) -> str:
    summary = done["report"]["summary"]
    families = ", ".join(f"{count} {family}" for family, count in summary["families"].items())
    return "\n".join(
        (
            f"{summary['packages']} packages, {summary['files']} files, {summary['size_bytes'] / 1e6:.1f} MB",
            f"licenses: {families}",
            f"largest: {', '.join(summary['largest'])}",
            f"most required: {', '.join(summary['most_required'])}",
        )
    )


def _normal(name: str) -> str:
    # PEP 503: runs of '-', '_' and '.' are one hyphen, in lower case.
    return re.sub(r"[-_.]+", "-", name).lower()


def _size(file: metadata.PackagePath) -> int | None:
    try:
        return Path(str(file.locate())).stat().st_size
    except OSError:
        return None


def _license(known: metadata.PackageMetadata) -> str:
    # The expression of PEP 639, else the old field if it is a name and not a whole text, else the classifier.
    fields = known.json
    for name in ("license_expression", "license"):
        value = str(fields.get(name, "")).strip()
        if value and "\n" not in value and len(value) <= 100:
            return value
    for classifier in fields.get("classifier", ()):
        if classifier.startswith("License ::"):
            return str(classifier).rpartition(" :: ")[2]
    return "unknown"


_READING = threading.Lock()


def _dependents() -> dict[str, list[str]]:
    # Many calls ask at once; the first reads, the others wait for it.
    with _READING:
        return _read_dependents()


@functools.cache
def _read_dependents() -> dict[str, list[str]]:
    # Who asks for whom, extras left out.
    found: dict[str, set[str]] = {}
    for one in metadata.distributions():
        for requirement in one.requires or ():
            wanted = re.match(r"[A-Za-z0-9._-]+", requirement)
            if wanted is not None and "extra" not in requirement.partition(";")[2]:
                found.setdefault(_normal(wanted[0]), set()).add(_normal(one.name))
    return {name: sorted(names) for name, names in found.items()}


if __name__ == "__main__":
    raise SystemExit(main())
