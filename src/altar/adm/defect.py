"""What is wrong with a document or a value, and where.

In: nothing; this module only defines the record.
Out: `Defect`, which every check of the data model produces, and `pointer`, which writes its place.
Errors for people and the verdicts of the conformance cases are both made from these records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MAX_QUOTED: Final = 60
"""A quoted value is cut after this many characters."""

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
