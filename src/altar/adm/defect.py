"""What is wrong with a document or a value, and where.

In: nothing; this module only defines the record.
Out: `Defect`, which every check of the data model produces, and `pointer`, which writes its place.
Errors for people and the verdicts of the conformance cases are both made from these records.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
