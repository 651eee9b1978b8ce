"""What changed from one manifest to another, tool by tool, and which of it breaks callers.

A caller breaks when what it sends is not taken any more, or when it is answered with what it does not expect.
So arguments may only be widened and results only be narrowed; a change that cannot be judged counts as breaking and
says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from altar.adm.canonical import canonical
from altar.adm.declaration import ANNOTATIONS, FunctionDeclaration
from altar.adm.ranges import Version
from altar.grid.manifests.narrowing import Reason, reasons_against
from altar.later.contracts import Contracts

__all__ = ["Change", "Finding", "changes_between"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that changed: ``place`` is arguments, result or contract, ``path`` where in it.

    ``breaks`` callers, or not; what is ``unclear`` could not be judged and counts as breaking.
    """

    place: Literal["arguments", "result", "contract"]
    path: str
    what: str
    breaks: bool
    unclear: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one tool: versions before and after are empty where there is none.

    ``changed`` is one version that has another contract, or another version that a caller gets who asks for none.
    """

    tool: str
    kind: Literal["added", "removed", "changed"]
    before: str
    after: str
    findings: tuple[Finding, ...]

    @property
    def breaks(self) -> bool:
        """Whether any of it breaks callers."""
        return any(finding.breaks for finding in self.findings)


def changes_between(old: Iterable[FunctionDeclaration], new: Iterable[FunctionDeclaration]) -> list[Change]:
    """Every change, by name and version; none for manifests that say the same."""
    older, newer = Contracts(old), Contracts(new)
    changes: list[Change] = []
    for name in sorted({*older.names, *newer.names}):
        changes += _of_tool(name, older, newer)
    return changes


def _of_tool(
    name: str, older: Contracts[FunctionDeclaration], newer: Contracts[FunctionDeclaration]
) -> Iterator[Change]:
    before = {Version.parse(one.version): one for one in older.versions(name)}
    after = {Version.parse(one.version): one for one in newer.versions(name)}
    meant_before, meant_after = older.look(name), newer.look(name)
    for version in sorted({*before, *after}):
        was, now = before.get(version), after.get(version)
        if was is None and now is not None:
            yield Change(name, "added", "", now.version, tuple(_promises(now)))
        elif now is None and was is not None:
            what = "is gone" if not after else f"version {was.version} is gone"
            yield Change(name, "removed", was.version, "", (Finding("contract", "", what, breaks=True),))
        elif was is not None and now is not None and was.digest != now.digest:
            yield Change(name, "changed", was.version, now.version, tuple(_findings(was, now, same_version=True)))
    if meant_before is None or meant_after is None:
        return
    if Version.parse(meant_before.version) != Version.parse(meant_after.version):
        findings = tuple(_findings(meant_before, meant_after, same_version=False))
        yield Change(name, "changed", meant_before.version, meant_after.version, findings)


def _findings(was: FunctionDeclaration, now: FunctionDeclaration, *, same_version: bool) -> Iterator[Finding]:
    """What changed from one contract to another, in the order: arguments, result, the rest."""
    if same_version:
        yield Finding(
            "contract", "", "keeps its version, so runtimes and clients of the old one are refused", breaks=True
        )
    arguments_was, arguments_now = was.arguments.json_schema, now.arguments.json_schema
    narrowed = reasons_against(arguments_was, arguments_now)
    yield from (_finding("arguments", reason) for reason in narrowed)
    if not narrowed and reasons_against(arguments_now, arguments_was):
        yield from (
            replace(_finding("arguments", reason), breaks=False, unclear=False, what=_widened(reason))
            for reason in reasons_against(arguments_now, arguments_was)
            if not reason.unclear
        )
    result_was, result_now = _result(was), _result(now)
    yield from (_finding("result", reason) for reason in _result_reasons(result_was, result_now))
    yield from _statements(was, now)


def _promises(added: FunctionDeclaration) -> Iterator[Finding]:
    """What a new contract says of itself, which binds as soon as it stands in a manifest."""
    for word in ANNOTATIONS:
        if getattr(added.annotations, word):
            yield Finding("contract", "", f"says that it is {word}, which counts from here on", breaks=False)
    for key, value in sorted(added.metadata.items()):
        yield Finding("contract", "", f"says {key} = {_shown(value)}, which counts from here on", breaks=False)


def _result_reasons(was: Mapping[str, Any], now: Mapping[str, Any]) -> list[Reason]:
    """Why a caller may be answered with what the old contract did not promise."""
    return [replace(reason, what=_turned(reason.what)) for reason in reasons_against(now, was)]


def _result(declaration: FunctionDeclaration) -> dict[str, Any]:
    return declaration.returns.json_schema if declaration.returns is not None else {}


def _statements(was: FunctionDeclaration, now: FunctionDeclaration) -> Iterator[Finding]:
    """What the two say of themselves beyond schemas."""
    for word, meaning in (("read_only", "may change things now"), ("idempotent", "may not be repeated any more")):
        if getattr(was.annotations, word) and not getattr(now.annotations, word):
            yield Finding("contract", "", f"is not {word} any more: it {meaning}", breaks=True)
    for word in ANNOTATIONS:
        if getattr(now.annotations, word) and not getattr(was.annotations, word):
            yield Finding("contract", "", f"is {word} now", breaks=False)
    for key in sorted({*was.metadata, *now.metadata}):
        if was.metadata.get(key, _ABSENT) != now.metadata.get(key, _ABSENT):
            what = f"says {key} = {_shown(now.metadata[key])} now" if key in now.metadata else f"says no {key} any more"
            yield Finding("contract", "", what, breaks=False)
    if was.timeout != now.timeout:
        shorter = now.timeout is not None and (was.timeout is None or now.timeout < was.timeout)
        yield Finding(
            "contract", "", "has less time for a call" if shorter else "has another limit of time", breaks=False
        )
    if was.description != now.description:
        yield Finding("contract", "", "has another description", breaks=False)


_ABSENT = object()
_LONGEST = 200


def _shown(value: object) -> str:
    text = canonical(value).decode()  # type: ignore[arg-type]  # metadata is JSON
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"


def _finding(place: Literal["arguments", "result"], reason: Reason) -> Finding:
    return Finding(place, reason.path, reason.what, breaks=True, unclear=reason.unclear)


def _widened(reason: Reason) -> str:
    """A reason against the way back, as what is new: "is required now" becomes optional, and so on."""
    if reason.what == "is required now":
        return "may be left out now"
    if reason.what == "is not taken any more":
        return "is taken now"
    return "takes more now"


def _turned(what: str) -> str:
    """A reason against the way back, as what a result may be now."""
    if what == "is required now":
        return "may be missing now"
    if what == "is not taken any more":
        return "may be there now"
    return "may be other values now: before, it " + what.replace(" any more", "").replace(" now", "")
