"""Versions of contracts, and the ranges that a call may ask for.

A version is semantic (semver.org 2.0.0): ``1.4.2``, ``2.0.0-rc.1``, ``1.4.2+build.7``.
Precedence follows its §11; build metadata is kept in the text and ignored in comparison, so two versions that differ
only there are one version.

A range is one condition, or several joined by commas that must all hold:

=====================  ======================================================================
``1.2.3``, ``=1.2.3``  exactly that version
``1.2``, ``1.2.x``     any patch of 1.2; ``1``, ``1.x``: any version of major 1
``^1.2.3``             at least that, and compatible: the leftmost number that is not 0 stays
``~1.2.3``             at least that, with the same minor; ``~1``: with the same major
``>=1.2``, ``<2``      also ``>`` and ``<=``; a shortened version stands for all it covers
``*``                  any version
=====================  ======================================================================

A pre-release is meant only by who asks for it: a range admits ``2.0.0-rc.1`` only if one of its conditions names a
pre-release of 2.0.0 itself.
A call writes the range behind the name: ``get_weather@^1.2``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from altar.adm.errors import ValidationError

__all__ = ["MAX_LENGTH", "SEMVER", "Range", "Version", "named"]

MAX_LENGTH: Final = 128
"""Most characters of a version or of a range."""

_NUMBER: Final = "(?:0|[1-9][0-9]*)"
_PRE_PART: Final = rf"(?:{_NUMBER}|[0-9]*[A-Za-z-][0-9A-Za-z-]*)"
_PRE: Final = rf"{_PRE_PART}(?:\.{_PRE_PART})*"
_BUILD: Final = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"

SEMVER: Final = re.compile(
    rf"(?=.{{5,{MAX_LENGTH}}}\Z)"
    rf"(?P<major>{_NUMBER})\.(?P<minor>{_NUMBER})\.(?P<patch>{_NUMBER})(?:-(?P<pre>{_PRE}))?(?:\+{_BUILD})?"
)
"""A semantic version (use `fullmatch`)."""

Core = tuple[int, int, int]
"""Major, minor and patch."""


@dataclass(frozen=True, slots=True, order=True)
class Version:
    """A semantic version; compares by precedence, so that ``max`` gives the newest.

    ``core`` is major, minor and patch; ``prerelease`` the identifiers after the dash; ``text`` the version as written.
    """

    core: Core
    _rank: tuple[bool, tuple[tuple[int, int, str], ...]] = field(repr=False)
    prerelease: tuple[str, ...] = field(compare=False)
    text: str = field(compare=False)

    @classmethod
    def parse(cls, text: str) -> Version:
        """Read a version; raises ValidationError VERSION_MISMATCH for anything else."""
        return _parsed(text)

    @property
    def release(self) -> Version:
        """The version that a pre-release leads to; of a release, itself."""
        return _version(self.core, (), ".".join(map(str, self.core))) if self.prerelease else self

    def __str__(self) -> str:
        """The version as it was written."""
        return self.text


@dataclass(frozen=True, slots=True)
class Range:
    """A set of versions, as a caller asked for it. ``version in range`` tells whether it is one of them."""

    text: str
    _bounds: tuple[_Bound, ...] = field(repr=False)
    _asked: frozenset[Core] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> Range:
        """Read a range; raises ValidationError VERSION_MISMATCH for what is none."""
        return _range(text)

    def __contains__(self, version: Version) -> bool:
        """Whether every condition admits the version, and its pre-release was asked for."""
        if version.prerelease and version.core not in self._asked:
            return False
        return all(bound.admits(version) for bound in self._bounds)

    def __str__(self) -> str:
        """The range as it was written."""
        return self.text


def named(tool: str) -> tuple[str, str]:
    """The name and the range of ``name@range``; the range is empty when none is asked for.

    Raises ValidationError VERSION_MISMATCH for a range that is none; the name is not looked at.
    """
    name, at, text = tool.partition("@")
    if at:
        Range.parse(text)
    return name, text


@lru_cache(maxsize=4096)
def _parsed(text: str) -> Version:
    match = SEMVER.fullmatch(text)
    if match is None:
        raise ValidationError(
            "VERSION_MISMATCH",
            f"{_shown(text)} is not a version",
            ran="no",
            hint="write major.minor.patch, such as 1.2.0",
        )
    core = (int(match["major"]), int(match["minor"]), int(match["patch"]))
    return _version(core, tuple(match["pre"].split(".")) if match["pre"] else (), text)


@dataclass(frozen=True, slots=True)
class _Bound:
    """The versions from ``low`` on and below ``high``; None where there is no end."""

    low: Version | None = None
    high: Version | None = None
    excludes_low: bool = False
    includes_high: bool = False

    def admits(self, version: Version) -> bool:
        if self.low is not None and (version < self.low or (self.excludes_low and version == self.low)):
            return False
        return self.high is None or version < self.high or (self.includes_high and version == self.high)


_CONDITION: Final = re.compile(
    r"(?P<sign>\^|~|>=|<=|>|<|=)? *"
    rf"(?P<major>{_NUMBER})"
    rf"(?:\.(?:(?P<minor>{_NUMBER})"
    rf"(?:\.(?:(?P<patch>{_NUMBER})(?:-(?P<pre>{_PRE}))?(?:\+{_BUILD})?|[xX*]))?"
    r"|[xX*](?:\.[xX*])?))?"
)
_ANY: Final = frozenset({"*", "x", "X"})


@lru_cache(maxsize=1024)
def _range(text: str) -> Range:
    if len(text) > MAX_LENGTH:
        raise _no_range(text)
    bounds: list[_Bound] = []
    asked: set[Core] = set()
    for part in text.split(","):
        condition = part.strip(" ")
        if condition in _ANY:
            continue
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise _no_range(text)
        bounds.append(_bound(match))
        if match["pre"]:
            asked.add((int(match["major"]), int(match["minor"]), int(match["patch"])))
    return Range(text, tuple(bounds), frozenset(asked))


def _bound(match: re.Match[str]) -> _Bound:
    """The bounds of one condition."""
    sign = match["sign"] or ""
    numbers = [int(match[part]) for part in ("major", "minor", "patch") if match[part] is not None]
    given = len(numbers)
    core = (*numbers, *(0 for _ in range(3 - given)))
    low = _version((core[0], core[1], core[2]), tuple(match["pre"].split(".")) if match["pre"] else ())
    covered = _above(numbers)  # where what a shortened version stands for ends
    whole = given == 3
    if sign == "^":
        kept = next((place for place, number in enumerate(numbers) if number), given - 1)
        return _Bound(low, _above(numbers[: kept + 1]))
    if sign == "~":
        return _Bound(low, _above(numbers[:2]))
    if sign == ">":
        return _Bound(low, excludes_low=True) if whole else _Bound(covered)
    if sign == ">=":
        return _Bound(low)
    if sign == "<":
        return _Bound(high=low)
    if sign == "<=":
        return _Bound(high=low, includes_high=True) if whole else _Bound(high=covered)
    return _Bound(low, low, includes_high=True) if whole else _Bound(low, covered)


def _above(numbers: list[int]) -> Version:
    """The lowest version there can be above all that begin with these numbers: the first pre-release of the next."""
    raised = [*numbers[:-1], numbers[-1] + 1, 0, 0]
    return _version((raised[0], raised[1], raised[2]), ("0",))


def _version(core: Core, prerelease: tuple[str, ...], text: str = "") -> Version:
    # §11: a release is above its pre-releases; numbers compare as such and are below words; more parts are above fewer.
    ordered = tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in prerelease)
    return Version(core, (not prerelease, ordered), prerelease, text)


def _no_range(text: str) -> ValidationError:
    return ValidationError(
        "VERSION_MISMATCH",
        f"{_shown(text)} is not a version or a range of versions",
        ran="no",
        hint="write 1.2.3, ^1.2, ~1.2.0, 1.x, or >=1.2,<2 with commas between",
    )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= MAX_LENGTH else f"A text of {len(text)} characters"
