"""Which version of the data model two sides speak with each other.

In: the versions that each side supports, such as "1.1.0".
Out: the version they agree on, or a VERSION_MISMATCH.
Within one MAJOR every older document stays valid, so the lower MINOR wins; PATCH only clarifies and is
ignored (ADM decision D31).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from altar.adm.errors import ValidationError

SUPPORTED: Final = ("1.0.0", "1.1.0")
"""The versions that this implementation reads and writes."""


def agree(ours: Iterable[str], theirs: Iterable[str]) -> str:
    """Return the highest version that both sides speak, with PATCH zero.

    Versions that are not three numbers are passed over, as those of a side that says more than we understand.
    Raises VERSION_MISMATCH when there is none; no work has been done then.
    """
    mine, other = _highest(ours), _highest(theirs)
    shared = mine.keys() & other.keys()
    if not shared:
        message = f"No version is spoken by both sides: {_spoken(mine)} here, {_spoken(other)} there"
        raise ValidationError("VERSION_MISMATCH", message, hint="Upgrade the older side.")
    major = max(shared)
    return f"{major}.{min(mine[major], other[major])}.0"


_VERSION: Final = re.compile(r"(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})\.(0|[1-9][0-9]{0,8})")


def _highest(versions: Iterable[str]) -> dict[int, int]:
    """Return the highest MINOR of each MAJOR."""
    found: dict[int, int] = {}
    for text in versions:
        match = _VERSION.fullmatch(text)
        if match:
            major, minor = int(match[1]), int(match[2])
            found[major] = max(minor, found.get(major, 0))
    return found


def _spoken(versions: dict[int, int]) -> str:
    return ", ".join(f"{major}.{minor}" for major, minor in sorted(versions.items())) or "none"
