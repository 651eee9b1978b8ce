"""What is wrong with a document or a value, and where.

In: nothing; this module only defines the record.
Out: `Defect`, which every check of the data model produces, and `pointer`, which writes its place.
`told` says which of many defects the caller is told, in a result as on the wire.
Errors for people and the verdicts of the conformance cases are both made from these records.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

MAX_QUOTED: Final = 60
"""A quoted value is cut after this many characters."""

MAX_TOLD: Final = 20
"""So many defects are told to the caller one by one; of the others only how many there are."""

MAX_MESSAGE: Final = 500
"""The message of a found defect is cut after this many characters."""

MAX_PATH: Final = 1_000
"""A longer path is not told: half a path would name another place."""

Kind = Literal[
    "PARSE",
    "TYPE",
    "REQUIRED",
    "FORBIDDEN",
    "NULL",
    "PATTERN",
    "LENGTH",
    "ENUM",
    "DUPLICATE",
    "RANGE",
    "UNKNOWN_FIELD",
    "KEYWORD",
    "REFERENCE",
    "MISMATCH",
    "VERSION",
]
"""The kinds of defect that the conformance cases know."""


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is wrong.

    `path` is a JSON Pointer (RFC 6901) from the document's root; None means that no place can be named.
    `message` is a whole sentence without a full stop, fit for the caller or a model.
    """

    path: str | None
    category: Kind
    message: str

    def under(self, prefix: str) -> Defect:
        """Return the same defect as seen from a document that holds this one at `prefix`."""
        return Defect(None if self.path is None else prefix + self.path, self.category, self.message)

    def to_json(self) -> dict[str, str]:
        """Return `path`, `kind` and `message`, as `details` of an error names them; the whole has no path."""
        named = {"path": self.path} if self.path else {}
        return named | {"kind": self.category, "message": self.message}


def told(defects: Sequence[Defect], *, more: int = 0) -> tuple[tuple[Defect, ...], int]:
    """Return the defects that the caller is told, cut to size, and how many more there are.

    `more` is the number of those that are not among `defects` at all.
    """
    kept = tuple(_cut(defect) for defect in defects[:MAX_TOLD])
    return kept, more + len(defects) - len(kept)


def shortened(message: str) -> str:
    """Return a message of at most `MAX_MESSAGE` characters and an ellipsis."""
    return message if len(message) <= MAX_MESSAGE else f"{message[:MAX_MESSAGE]}…"


def defects_from_json(details: Any) -> tuple[tuple[Defect, ...], int]:
    """Return the defects that `details` of an error tell, and how many more; nothing for details of another form."""
    if not isinstance(details, dict) or not isinstance(details.get("defects"), list):
        return (), 0
    read = tuple(_from_json(item) for item in details["defects"][:MAX_TOLD] if isinstance(item, dict))
    more = details.get("more")
    return read, more if isinstance(more, int) and more > 0 else 0


def pointer(*steps: str | int) -> str:
    """Return the JSON Pointer (RFC 6901) that leads through these members and indexes."""
    return "".join(f"/{str(step).replace('~', '~0').replace('/', '~1')}" for step in steps)


def quoted(value: object) -> str:
    """Return a JSON value as a message quotes it: short, and arrays and objects by their kind only."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return repr(value) if len(value) <= MAX_QUOTED else f"{value[:MAX_QUOTED]!r}…"
    if isinstance(value, int | float):
        is_huge = isinstance(value, int) and value.bit_length() > MAX_QUOTED * 3
        return "a huge number" if is_huge else repr(value)
    if isinstance(value, list | tuple):
        return "an array"
    return "an object" if isinstance(value, dict) else "what is not JSON"


def python_value(value: object) -> str:
    """Return a Python value as a message quotes it: a plain one as `quoted` has it, any other by its type only."""
    kind = type(value)
    if value is None or kind is bool:
        return repr(value)
    return quoted(value) if kind in (str, int, float) else f"of the Python type {kind.__name__!r}"


def _cut(defect: Defect) -> Defect:
    path = defect.path if defect.path is None or len(defect.path) <= MAX_PATH else None
    return replace(defect, path=path, message=shortened(defect.message))


def _from_json(item: dict[str, Any]) -> Defect:
    """A kind of a newer peer is kept as it is, so that it can be passed on."""
    path, kind, message = item.get("path"), item.get("kind"), item.get("message")
    return Defect(
        path if isinstance(path, str) else None,
        kind if isinstance(kind, str) else "KEYWORD",  # type: ignore[arg-type]  # perhaps one of a newer peer
        message if isinstance(message, str) else "",
    )
