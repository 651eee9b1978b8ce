"""What callers report of calls that ran in their own processes, and which lines of their journals have been seen."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeVar

from altar.adm.codes import CODES
from altar.adm.errors import Ran, ValidationError
from altar.later.invocation import require_call_id
from altar.ledger import entry

__all__ = ["Content", "FallbackCall", "Report", "SeenLines", "remember"]

_JOURNAL = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LATEST = 2**63 - 1

Content = tuple[str, str, str, str, str]
"""What a report says: invocation, status, code, ran, result; by this two reports of one place are compared."""

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class FallbackCall:
    """A call that ran without a permit, because no host could be reached; ``contract``, ``arguments`` are digests."""

    tool: str
    version: str
    contract: str
    arguments: str
    session: str
    correlation: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a caller says became of a call that ran in its own process.

    ``permit`` is empty exactly when there is a ``fallback``; ``result`` is the digest of a result, or empty.
    ``journal`` and ``position`` name the line in the caller's journal; times are milliseconds since 1970.
    """

    permit: str
    call_id: str
    status: Literal["SUCCESS", "ERROR"]
    code: str
    ran: Ran
    result: str
    began_ms: int
    ended_ms: int
    journal: str
    position: int
    fallback: FallbackCall | None = None

    @property
    def place(self) -> str:
        """The line of the journal, as the record has it."""
        return f"{self.journal}:{self.position}"

    @property
    def content(self) -> Content:
        """What is said, whenever it is said."""
        return (self.permit, self.status, self.code, self.ran, self.result)

    def outcome(self, *, intent: int, invocation: str) -> entry.Outcome:
        """The entry that records it, for the intent at that position of the log."""
        return entry.Outcome(
            intent=intent,
            invocation=invocation,
            status=self.status,
            code=self.code,
            ran=self.ran,
            result=self.result,
            runtime="",
            attempts=0,
            reported=self.place,
        )

    def require_sound(self) -> None:
        """Raise ValidationError MALFORMED_REQUEST for what contradicts itself."""
        require_call_id(self.call_id)
        succeeded = self.status == "SUCCESS"
        if succeeded != (self.code == "") or succeeded != (self.result != "") or (succeeded and self.ran != "yes"):
            raise malformed("says success and failure at once")
        if self.code and self.code not in CODES:
            raise malformed(f"has the unknown code {self.code[:64]!r}")
        if not _JOURNAL.fullmatch(self.journal) or not 1 <= self.position <= _LATEST:
            raise malformed("names no line of a journal")
        if not 0 < self.began_ms <= self.ended_ms <= _LATEST:
            raise malformed("ends before it begins")
        if (self.permit == "") != (self.fallback is not None):
            raise malformed("has a permit and says that there was none, or has neither")


def malformed(what: str) -> ValidationError:
    """The error for a report that cannot be true as it stands."""
    return ValidationError(
        "MALFORMED_REQUEST", f"The report {what}", ran="unknown", hint="report each call once, as it ended"
    )


def remember(kept: dict[K, V], key: K, value: V, most: int) -> None:
    """Keep a value as the newest of at most so many; the oldest makes room."""
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]


class SeenLines:
    """Which lines of the journals of callers have been seen, to tell when some never come.

    Lines come out of order, because calls end out of order; one that is missing for long is a gap.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._highest: dict[str, int] = {}
        self._missing: dict[tuple[str, int], float] = {}

    def saw(self, journal: str, position: int, now: float) -> None:
        """A line has been reported."""
        highest = self._highest.get(journal)
        self._missing.pop((journal, position), None)
        if highest is None or position > highest:
            remember(self._highest, journal, position, _MOST_JOURNALS)
            first = position if highest is None else max(highest + 1, position - _WIDEST_GAP)
            for missing in range(first, position):
                remember(self._missing, (journal, missing), now, _MOST_MISSING)

    def missing(self, now: float) -> list[tuple[str, str]]:
        """The journals with lines that have been missing for too long, and which; each is told once."""
        found: dict[str, list[int]] = {}
        for (journal, position), since in list(self._missing.items()):
            if now - since < self._patience:
                break
            del self._missing[journal, position]
            found.setdefault(journal, []).append(position)
        return [
            (journal, f"{len(lines)} lines between {min(lines)} and {max(lines)}") for journal, lines in found.items()
        ]


_MOST_JOURNALS = 1_024
_MOST_MISSING = 4_096
_WIDEST_GAP = 1_024
