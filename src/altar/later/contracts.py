"""Contracts by name and version: which one a call means.

A registry, a session, a manifest and a client of a grid all look here, so that a name and a range mean the same in
each of them and are refused in the same words.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator
from heapq import nsmallest
from itertools import islice
from typing import Generic, Protocol, TypeVar

from altar.adm.errors import ValidationError
from altar.adm.near import nearest
from altar.adm.ranges import Range, Version, named

__all__ = ["Contracts", "no_tool", "note_deprecated", "unknown_tool"]

_log = logging.getLogger("altar.later")


class Versioned(Protocol):
    """A contract, as far as it is looked for."""

    @property
    def name(self) -> str:
        """Name of the function."""
        ...

    @property
    def version(self) -> str:
        """Its semantic version."""
        ...


C = TypeVar("C", bound=Versioned)


class Contracts(Generic[C]):
    """Contracts by name, each in one or several versions.

    Versions that differ in build metadata only are one version.
    Reading is safe while another thread adds; adding is not, and is left to one thread at a time.
    """

    __slots__ = ("_found", "_meant", "_versions")

    def __init__(self, contracts: Iterable[C] = ()) -> None:
        self._meant: dict[str, C] = {}
        self._found: dict[tuple[str, str], C] = {}
        self._versions: dict[str, tuple[tuple[Version, C], ...]] = {}
        for contract in contracts:
            self.add(contract)

    def find(self, name: str, asked: str = "") -> C:
        """The contract that a name means, with a version or range asked for or without one.

        The highest version that satisfies it wins; without one, the highest that is no pre-release, or the highest
        pre-release where there is nothing else.
        Raises ValidationError UNSUPPORTED_TOOL for a name there is not, VERSION_MISMATCH, saying what there is, when
        no version satisfies the range.
        """
        found = self._found.get((name, asked)) if asked else self._meant.get(name)
        return found if found is not None else self._search(name, asked)

    def look(self, name: str, asked: str = "") -> C | None:
        """What :meth:`find` finds; None where it would raise, without a search for words to say so."""
        if not asked or name not in self._meant:
            return self._meant.get(name)
        try:
            return self.find(name, asked)
        except ValidationError:
            return None

    def get(self, name: str, version: str) -> C | None:
        """The contract of exactly that name and version, or None."""
        return next((known for known in self.versions(name) if known.version == version), None)

    def versions(self, name: str) -> list[C]:
        """All versions of a name, the newest first; none for a name there is not."""
        return [contract for _, contract in self._versions.get(name, ())]

    def choose(self, tools: Iterable[str]) -> Contracts[C]:
        """The part that ``tools`` allow, each a name or ``name@range``; all of it for none.

        What is added later is not in the part.
        Raises as :meth:`find` does for a tool that allows nothing.
        """
        part: Contracts[C] = Contracts()
        for tool in tools:
            name, asked = named(tool)
            self.find(name, asked)
            allowed = [*self._satisfying(name, asked)] if asked else self._versions[name]
            part._keep(name, [*{*allowed, *part._versions.get(name, ())}])
        if not part._meant:
            part._meant, part._versions = dict(self._meant), dict(self._versions)
        return part

    def add(self, contract: C) -> None:
        """Add a contract, in the place of one of the same name and version."""
        version = Version.parse(contract.version)
        others = [pair for pair in self._versions.get(contract.name, ()) if pair[0] != version]
        self._keep(contract.name, [*others, (version, contract)])

    def remove(self, contract: C) -> None:
        """Forget a contract; does nothing when it is not here."""
        self._keep(contract.name, [pair for pair in self._versions.get(contract.name, ()) if pair[1] is not contract])

    @property
    def names(self) -> list[str]:
        """Names of all tools, sorted."""
        return sorted(self._meant)

    def __iter__(self) -> Iterator[C]:
        """Every contract, by name, and the newest of a name first."""
        for name in self.names:
            yield from self.versions(name)

    def __len__(self) -> int:
        """How many contracts there are, each version counted."""
        return sum(map(len, self._versions.values()))

    def _search(self, name: str, asked: str) -> C:
        remembered = self._found
        if name not in self._meant:
            raise unknown_tool(name, self._meant)
        found = self.get(name, asked) or next((contract for _, contract in self._satisfying(name, asked)), None)
        if found is None:
            raise self._no_version(name, asked)
        if len(remembered) < _REMEMBERED:
            remembered[name, asked] = found
        return found

    def _satisfying(self, name: str, asked: str) -> Iterator[tuple[Version, C]]:
        wanted = Range.parse(asked)
        return (pair for pair in self._versions.get(name, ()) if pair[0] in wanted)

    def _no_version(self, name: str, asked: str) -> ValidationError:
        known = [version for version, _ in self._versions.get(name, ())]
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        wanted = Range.parse(asked)
        early = next((version for version in known if version.prerelease and version.release in wanted), None)
        ask = f"; ask for the pre-release itself: {name}@{early}" if early is not None else ""
        return ValidationError(
            "VERSION_MISMATCH",
            f"Tool {name!r} has no version {asked!r} here",
            ran="no",
            hint=f"there is {', '.join(map(str, known[:_SHOWN]))}{more}{ask}",
        )

    def _keep(self, name: str, pairs: list[tuple[Version, C]]) -> None:
        if pairs:
            pairs.sort(key=lambda pair: pair[0], reverse=True)
            self._versions[name] = tuple(pairs)
            released = (contract for version, contract in pairs if not version.prerelease)
            self._meant[name] = next(released, pairs[0][1])
        else:
            self._meant.pop(name, None)
            self._versions.pop(name, None)
        self._found = {}  # last, so that nobody who read what was there before can write into it


_SHOWN = 8
_REMEMBERED = 1024
"""Most answers that are kept; who asks in more ways waits a few microseconds longer."""
_LOOKED_AT = 1024
_LONGEST_NAME = 64


def unknown_tool(name: str, known: Collection[str]) -> ValidationError:
    """The one way to say that there is no such tool here, with the nearest name that is, or else some that are.

    ``known`` are the names that whoever asked may see.
    """
    near = nearest(name, known)
    return ValidationError(
        "UNSUPPORTED_TOOL",
        f"Tool {name[:_LONGEST_NAME]!r} is not in this session",
        ran="no",
        hint=f"did you mean {near!r}?" if near else _there_is(known),
    )


def no_tool(value: object) -> tuple[str, str]:
    """The one way to say that something names no tool, and the hint."""
    if callable(value):
        name = str(getattr(value, "__name__", type(value).__name__))[:_LONGEST_NAME]
        return f"The function {name!r} is not a tool", "declare it with @altar.tool"
    kind = type(value).__name__
    return f"A value of type {kind!r} names no tool", "give the name of a tool, or what @altar.tool made"


def note_deprecated(contract: Versioned) -> None:
    """Say in the log that a tool which is called will go; a catalog says it once of each.

    It is no DeprecationWarning: the contract is its host's, and a test that makes errors of warnings would fail for it.
    """
    _log.warning("tool is deprecated", extra={"tool": contract.name, "version": contract.version})


def _there_is(known: Collection[str]) -> str:
    """The first names by the alphabet, a bounded number of a bounded number."""
    if not known:
        return "no tool is declared here: import the module that declares it"
    shown = nsmallest(_SHOWN, islice(known, _LOOKED_AT))
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"there is {', '.join(shown)}{more}"
