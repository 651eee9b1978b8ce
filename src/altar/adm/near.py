"""The name that a wrong one was perhaps meant to be.

Comparing names takes time, and a stranger may send many wrong ones at once; so few are compared, and only short ones.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Final

__all__ = ["nearest"]

_LONGEST: Final = 48
"""No name with more characters is compared."""

_MOST: Final = 8
"""So many names are compared, about 0.1 ms of work."""

_SEEN: Final = 1024
"""So many names are looked at, to find those few."""


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name that is most like `name`, or None when none is like it.

    Where there are more names than a few, only such are compared that begin or end alike, those that do both first.
    """
    if len(name) > _LONGEST:
        return None
    few = [other for other in islice(known, _SEEN) if len(other) <= _LONGEST]
    if len(few) > _MOST:
        begin, end = name[:3], name[-3:]
        alike = [other for other in few if other.startswith(begin) or other.endswith(end)]
        both = [other for other in alike if other.startswith(begin) and other.endswith(end)]
        few = (both + alike)[:_MOST]
    return next(iter(difflib.get_close_matches(name, few, n=1)), None)
