"""Commits on their way to the disk: what one caller handed over, and what one transaction will hold."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from altar.adm.errors import AltarError, ExecutionError
from altar.ledger.entry import Entry
from altar.ledger.logs import Log

__all__ = ["Batch", "Commit", "EntriesRefusedError", "Then", "report", "unavailable"]

_log = logging.getLogger(__name__)

Then = Callable[[int, AltarError | None], None]
"""Told where entries stand, or why they do not."""


class EntriesRefusedError(ExecutionError):
    """Some entries of a commit contradict the log, by a mistake of this process; the others are recorded.

    `seqs` has one item for each entry of the commit: its place in the order of commits, or -1 when it was refused.
    """

    seqs: tuple[int, ...] = ()


@dataclass(slots=True)
class Commit:
    """One call of `commit` on its way: its entries, whom to tell, and what became of each entry.

    ``within`` is called in the writer's thread, and adds to the transaction what only the writer knows.
    ``failure`` is what went wrong with this commit alone, once its transaction was durable.
    """

    entries: Sequence[Entry]
    then: Then
    within: Callable[[Batch], None] | None = None
    first: int = -1
    seqs: list[int] = field(default_factory=list)
    refused: int = 0
    failure: AltarError | None = None

    def answer(self, failure: AltarError | None) -> Callable[[], None]:
        """Make the call that tells what became of this commit."""
        failure = failure or self.failure
        if failure is not None:
            return lambda: self.then(-1, failure)
        if not self.refused:
            return lambda: self.then(self.first, None)
        error = EntriesRefusedError(
            "INTERNAL",
            "An outcome does not belong to an intent that waits for one",
            detail=f"{self.refused} of a commit of {len(self.entries)} entries, placed at {self.seqs}",
        )
        error.seqs = tuple(self.seqs)
        first = self.first if self.refused < len(self.entries) else -1
        return lambda: self.then(first, error)


@dataclass(slots=True)
class Batch:
    """What one transaction will hold: encoded entries from ``seq`` `first` on, and (intent, seq) pairs.

    ``logs`` has the log of each entry.
    """

    first: int
    time_ms: int
    bodies: list[bytes] = field(default_factory=list)
    logs: list[Log] = field(default_factory=list)
    outcomes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def next_seq(self) -> int:
        """Give the place in the order of commits of the next entry."""
        return self.first + len(self.bodies)

    def put(self, body: bytes, log: Log) -> None:
        """Take an entry as the next one, and as the next of its log."""
        self.bodies.append(body)
        self.logs.append(log)
        log.size += 1


def report(deliver: Callable[[Callable[[], None]], None], callbacks: Sequence[Callable[[], None]]) -> None:
    """Deliver the answers of one transaction together; a listener's fault is not the log's."""

    def run_all() -> None:
        for callback in callbacks:
            try:
                callback()
            except Exception:  # noqa: BLE001 - one listener's mistake must not silence the others
                _log.exception("a ledger callback failed")

    try:
        deliver(run_all)
    except Exception:  # noqa: BLE001 - the listeners are gone, such as a loop that ended; entries are safe
        _log.exception("ledger answers could not be delivered")


def unavailable(what: str, *, detail: str | None = None) -> ExecutionError:
    """Make the error for a log that takes no more entries."""
    return ExecutionError(
        "LOG_UNAVAILABLE",
        f"The audit log takes no more entries: {what}",
        hint="nothing is called without a record; see the host's log for the cause",
        detail=detail,
        ran="no",
    )
