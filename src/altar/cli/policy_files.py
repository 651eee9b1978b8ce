"""Bundles of policies in files: read, held against the contracts of a manifest or a module, and what was found told."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from altar.adm.errors import ConfigurationError, ValidationError
from altar.cli import output

if TYPE_CHECKING:
    from altar.aesp.policy.examining import Examination
    from altar.grid.manifests.manifest import Manifest

__all__ = ["contracts_of", "examined", "file_argument", "manifest_options", "read_file", "report_lines", "show_report"]

F = TypeVar("F", bound=Callable[..., Any])

_MOST_BYTES = 4 * 1024 * 1024


def file_argument(command: F) -> F:
    """Add the argument FILE."""
    return click.argument("file", type=click.Path(path_type=Path))(command)


def manifest_options(command: F) -> F:
    """Add the options that say which contracts a bundle is for."""
    command = click.option("--tools", multiple=True, metavar="MODULE", help="Module that declares the tools.")(command)
    return click.option(
        "--manifest", type=click.Path(path_type=Path), help="Manifest of the contracts, also a signed one."
    )(command)


def read_file(file: Path) -> str:
    """Give the text of a bundle; ConfigurationError when it cannot be read, INVALID_POLICY when it is no text."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_MOST_BYTES + 1)
    except OSError as missing:
        raise ConfigurationError(
            "INVALID_CONFIG", f"The bundle {str(file)!r} cannot be read: {missing.strerror}", hint="name a TOML file"
        ) from missing
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise ValidationError("INVALID_POLICY", f"{str(file)!r} is no text in UTF-8", ran="no") from None


def examined(file: Path, *, manifest: Path | None, tools: tuple[str, ...], runs_tests: bool = True) -> Examination:
    """Look at the bundle in a file; raises INVALID_POLICY when it cannot be read at all."""
    from altar.aesp.policy.examining import examine
    from altar.aesp.policy.policy import read_bundle

    bundle = read_bundle(read_file(file), path=str(file))
    contracts = tuple(contracts_of(manifest, tools))
    return examine(bundle, contracts, runs_tests=runs_tests)


def contracts_of(manifest: Path | None, tools: tuple[str, ...]) -> Manifest:
    """The contracts that were named; those of the settings without.

    Raises ConfigurationError MISSING_MANIFEST when none are named at all.
    """
    from altar.cli.manifest import build_manifest
    from altar.cli.tools import load_modules, named_or_set
    from altar.grid.manifests.manifest import Manifest

    if manifest is not None:
        return _loaded(manifest)
    names = named_or_set(tools)
    if not names:
        raise ConfigurationError(
            "MISSING_MANIFEST",
            "No contracts are named that the policies are about",
            hint="name a manifest with --manifest FILE, or the module that declares the tools with --tools MODULE",
        )
    with redirect_stdout(sys.stderr):  # what a module prints when it is imported is not our data
        loaded = load_modules(names)
    return Manifest.of(build_manifest(loaded).to_adm(), source=", ".join(names))


def show_report(found: Examination, *, as_json: bool, what: str, all_cases: bool = False) -> None:
    """Print what was found: data to stdout, a summary to stderr, in the same words for every verb.

    ``all_cases`` also prints the tests that passed.
    """
    output.data(found.to_json(), as_json=as_json, text="\n".join(report_lines(found, all_cases=all_cases)))
    if not as_json:
        output.say(summary(found, what=what))


def summary(found: Examination, *, what: str) -> str:
    """Give one line about a bundle, which ``what`` names."""
    failed = sum(not case.passed for case in found.cases)
    errors = sum(finding.severity == "error" for finding in found.findings)
    warnings = len(found.findings) - errors
    words = [f"{what}: {_count(found.policies, 'policy', 'policies')}"]
    if found.cases:
        words.append(f"{_count(len(found.cases), 'test')}, {failed or 'none'} failed")
    elif found.tested:
        words.append("no tests")
    words += [_count(errors, "error")] if errors else []
    words += [_count(warnings, "warning")] if warnings else []
    words += [_count(len(found.changes), "decision differs", "decisions differ")] if found.changes else []
    words += [] if found.findings or failed else ["nothing found"]
    return ", ".join(words)


def report_lines(found: Examination, *, all_cases: bool = False) -> Iterator[str]:
    """Give what was found, a line each: findings, tests that failed or all of them, and what differs."""
    for finding in found.findings:
        yield f"{finding.severity} {finding.rule}: {finding}"
    for case in found.cases:
        if all_cases or not case.passed:
            how = "ok" if case.passed else "FAILED"
            tail = "" if case.passed else f": {case.message}"
            yield f"{how}  {case.name}  {case.decided}{f' by {case.policy!r}' if case.policy else ''}{tail}"
    for word, names in (("added", found.added), ("removed", found.removed), ("changed", found.changed)):
        if names and found.compared:
            yield f"{word}: {', '.join(names)}"
    for change in found.changes:
        by = f" by {change.policy!r}" if change.policy else ""
        yield f"differs  {change.case} ({change.tool}): {change.was} → {change.becomes}{by}"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def _loaded(path: Path) -> Manifest:
    """A manifest from a file, plain or signed; the signature is not judged here."""
    from altar.cli.manifest_diff import read_document
    from altar.grid.manifests.manifest import Manifest

    return Manifest.of(read_document(path), source=str(path))
