"""Distinguished names as values: read, compared, cut to what stands below a base (RFC 4514)."""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = ["below", "group_name", "same_dn", "split_dn"]

_HEX = re.compile(r"[0-9A-Fa-f]{2}")
_LONGEST = 4096


@lru_cache(maxsize=4096)
def split_dn(dn: str) -> tuple[tuple[str, str], ...]:
    """The parts of a name from the innermost outwards, each as attribute in lower case and value as it is.

    Parts with several attributes keep them in one, joined with ``+``.
    Raises ValueError for what is no distinguished name, or is longer than 4,096 characters.
    """
    if len(dn) > _LONGEST:
        raise ValueError("a name of an entry is too long")
    parts: list[tuple[str, str]] = []
    at = 0
    while at < len(dn):
        attribute, equals, _ = dn[at:].partition("=")
        if not equals or not re.fullmatch(r"\s*[A-Za-z0-9.-]+\s*", attribute):
            raise ValueError(f"{dn[:80]!r} is no name of an entry")
        value, at = _value(dn, at + len(attribute) + 1)
        parts.append((attribute.strip().lower(), value))
    return tuple(parts)


def same_dn(one: str, other: str) -> bool:
    """Whether two names name the same entry: compared without case and spaces around parts."""
    return _folded(one) == _folded(other)


def below(dn: str, base: str) -> bool:
    """Whether an entry stands below a base, or is it."""
    ends = _folded(base)
    return not ends or _folded(dn)[-len(ends) :] == ends


def group_name(dn: str, base: str) -> str | None:
    """The name of a group: its path below ``base`` from the outermost unit inwards, in lower case, joined with ``/``.

    None for one that does not stand below the base, or has a ``/`` or nothing in a part: such a one counts for nobody,
    as its name could be mistaken for another's.
    """
    try:
        parts, ends = _folded(dn), _folded(base)
    except ValueError:
        return None
    inner = parts[: len(parts) - len(ends)]
    if not inner or parts[len(inner) :] != ends:
        return None
    values = [value for _, value in reversed(inner)]
    if any(not value or "/" in value or not value.isprintable() for value in values):
        return None
    return "/".join(values)


def _folded(dn: str) -> tuple[tuple[str, str], ...]:
    return tuple((attribute, " ".join(value.casefold().split())) for attribute, value in split_dn(dn))


def _value(dn: str, at: int) -> tuple[str, int]:
    """Read one value from ``at`` to the next separator, with its escapes undone; give where the next part begins."""
    found = bytearray()
    kept = 0  # what an escape wrote stays, also when it is a space at the end
    while at < len(dn) and dn[at] not in ",;":
        if dn[at] == "\\":
            pair = dn[at + 1 : at + 3]
            if _HEX.fullmatch(pair):
                found += bytes.fromhex(pair)
                at += 3
            elif pair:
                found += pair[0].encode()
                at += 2
            else:
                raise ValueError("a name of an entry ends in a backslash")
            kept = len(found)
        else:
            found += dn[at].encode()
            at += 1
    text = bytes(found[:kept]) + bytes(found[kept:]).rstrip(b" ")
    try:
        value = text.decode()
    except UnicodeDecodeError as error:
        raise ValueError("a name of an entry is no UTF-8") from error
    return value.lstrip(" ") if kept == 0 else value, at + 1
