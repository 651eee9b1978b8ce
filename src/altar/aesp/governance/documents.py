"""Artefacts as their authors write them: small documents in TOML, kept as canonical JSON, written out as TOML again."""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, Final

from altar.adm.canonical import canonical, parse
from altar.adm.errors import AltarError, ValidationError

if TYPE_CHECKING:
    from altar.adm.canonical import JsonValue

__all__ = ["Table", "body_of", "members_of", "refused", "tables_in", "toml_in"]

_MOST_BYTES: Final = 256 * 1024
_LONGEST_TEXT: Final = 1024
_MOST_TEXTS: Final = 500


class Table:
    """The members of a document, or of a table in it, that is being read.

    ``where`` names the table in messages. Each method raises ValidationError MALFORMED_REQUEST for what it cannot read.
    """

    def __init__(self, members: Mapping[str, Any], *, known: Collection[str], where: str = "") -> None:
        """Take the members; one that is not ``known`` is refused."""
        self._members = members
        self._where = f"{where}: " if where else ""
        for name in members:
            if name not in known:
                raise self.refused(f"There is no member {name[:64]!r}", hint=f"there are {', '.join(sorted(known))}")

    def refused(self, message: str, *, hint: str = "") -> ValidationError:
        """Make the error for something in this table."""
        return refused(f"{self._where}{message}", hint=hint)

    def text(self, name: str, *, default: str = "") -> str:
        """Give a text of at most 1024 characters."""
        value = self._members.get(name, default)
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
            raise self.refused(f"{name!r} must be a text of at most {_LONGEST_TEXT} characters, not {value!r:.80}")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Give a list of at most 500 texts; none when it is left out."""
        value = self._members.get(name, [])
        is_list = isinstance(value, list) and all(isinstance(one, str) and len(one) <= _LONGEST_TEXT for one in value)
        if not is_list or len(value) > _MOST_TEXTS:
            raise self.refused(f"{name!r} must be a list of at most {_MOST_TEXTS} texts, not {value!r:.80}")
        return tuple(value)


def toml_in(source: str) -> Mapping[str, Any]:
    """Read the members of a document in TOML, of at most 256 KiB; MALFORMED_REQUEST for anything else."""
    if len(source) > _MOST_BYTES or len(source.encode("utf-8", "surrogatepass")) > _MOST_BYTES:
        raise refused(f"The document has more than {_MOST_BYTES} bytes")
    try:
        return tomllib.loads(source)
    except tomllib.TOMLDecodeError as broken:
        raise refused(f"The document is no TOML: {broken}") from None
    except (RecursionError, ValueError):  # nested too deep; a number of too many digits
        raise refused("The document is nested too deep, or has a number that is too long, to be read") from None


def tables_in(members: Mapping[str, Any], name: str, *, most: int) -> list[Mapping[str, Any]]:
    """Give the tables ``[[name]]`` of a document, at most so many."""
    found = members.get(name, [])
    if not (isinstance(found, list) and all(isinstance(one, dict) for one in found)):
        raise refused(f"{name!r} must be written as tables: [[{name}]]")
    if len(found) > most:
        raise refused(f"There are {len(found)} {name}, and {most} are the limit")
    return found


def body_of(members: Mapping[str, JsonValue]) -> str:
    """Give the canonical JSON of a document, as it is kept; MALFORMED_REQUEST for a value that has none, as a date."""
    try:
        return canonical(dict(members)).decode()
    except AltarError as broken:
        raise refused(f"The document cannot be kept: {broken.message}") from None


def members_of(body: str) -> dict[str, Any]:
    """Give the members of a document that was kept; MALFORMED_REQUEST when it is none."""
    members = parse(body.encode(), max_bytes=_MOST_BYTES)
    if not isinstance(members, dict):
        raise refused("The document is no object")
    return members


def refused(message: str, *, hint: str = "") -> ValidationError:
    """Make the error for a document that is none."""
    return ValidationError("MALFORMED_REQUEST", message, ran="no", hint=hint or None, path="/source")
