"""What the writer of the logs asks of a database, and how rows are read back: the same for every database.

Entries stand in the order in which they were committed, whichever log they are of; that place is their ``seq``.
A ``place`` is where an entry stands in its own log: the number of the log times 2^40, and the position in it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

__all__ = ["KEPT", "LOG_BITS", "EntryRow", "LogStore", "StoredCheckpoint", "StoredLog", "StoredRows", "range_of"]

KEPT = (b'"event":"log.', b'"event":"admin.subject_forgotten"')
"""What is in the bodies of entries that are never removed: those about the log itself, and who was forgotten."""
LOG_BITS = 40
"""How many bits of a place are the position in its log; those above are the number of the log."""


class EntryRow(NamedTuple):
    """One row of `entries`: the place in the order of commits and in its log, the bytes, and the stored hashes.

    ``hashes`` are the 32-byte leaf hash and the nodes that it completes, lowest first.
    """

    seq: int
    place: int
    body: bytes
    hashes: bytes


@dataclass(frozen=True, slots=True)
class StoredLog:
    """One row of `logs`: its number, and the tenant it is kept for; "" in the host's own, which is number 0."""

    log: int
    tenant: str


@dataclass(frozen=True, slots=True)
class StoredCheckpoint:
    """One row of `checkpoints`: the log, how many of its entries are covered, and the signed note."""

    log: int
    size: int
    note: bytes


class LogStore(Protocol):
    """What the writer of the logs asks of a database.

    One `append` is one transaction: all of it is durable on return, or nothing of it is recorded and the database's own
    error is raised.
    Not for several threads at once.
    """

    path: str

    def append(
        self,
        rows: Sequence[tuple[int, int, bytes, bytes]],
        *,
        outcomes: Sequence[tuple[int, int]] = (),
        checkpoints: Sequence[StoredCheckpoint] = (),
        logs: Sequence[StoredLog] = (),
    ) -> None:
        """Add entries (as the rows of `EntryRow`), (intent, seq) pairs, checkpoints and logs, durable on return."""

    def database_version(self) -> int:
        """Give the number of the database's version: 3040001 for SQLite 3.40.1, 150018 for PostgreSQL 15.18."""

    def next_seq(self) -> int:
        """Give the place in the order of commits that the next entry gets; 0 before the first."""

    def first_seq(self) -> int:
        """Give the place in the order of commits of the first entry, 0 when there is none."""

    def logs(self) -> list[StoredLog]:
        """Give the logs, by number."""

    def size_of(self, log: int) -> int:
        """Give the number of entries of a log: one more than its last position."""

    def newest_checkpoint(self, log: int) -> StoredCheckpoint | None:
        """Give the checkpoint of the largest size of a log, None if it has none."""

    def hashes_at(self, log: int, positions: Sequence[int]) -> dict[int, bytes]:
        """Give what is stored beside the entries at these positions, as far as they are there."""

    def entries_of(self, log: int, first: int) -> Iterator[EntryRow]:
        """Read the entries of a log from a position on, in order."""

    def entries_backwards(self) -> Iterator[EntryRow]:
        """Read all entries from the last to the first."""

    def has_outcome(self, intent: int) -> bool:
        """Tell whether the outcome of the intent with this ``seq`` is recorded."""

    def require_own(self, places: Sequence[int]) -> None:
        """Raise LOG_DAMAGED unless all entries from the first of these places on were written by this host.

        No checkpoint covers them yet; a database that others can write to has to prove it.
        """

    def remove(self, log: int, start: int, stop: int) -> int:
        """Empty the bodies of the entries of a log from `start` to before `stop`, durable on return; gives how many.

        Those whose bodies hold one of `KEPT` stay, and so does everything else about all of them.
        """

    def close(self) -> None:
        """Let go of the database; never raises."""


class StoredRows(ABC):
    """The reading half of a `LogStore`, in SQL that SQLite and PostgreSQL both understand."""

    _new = False
    """There is nothing yet, not even tables."""

    def next_seq(self) -> int:
        """Give the place in the order of commits that the next entry gets; 0 before the first."""
        if self._new:
            return 0
        ((last,),) = self._select("SELECT max(seq) FROM entries")
        return 0 if last is None else int(last) + 1

    def first_seq(self) -> int:
        """Give the place in the order of commits of the first entry, 0 when there is none."""
        if self._new:
            return 0
        ((first,),) = self._select("SELECT min(seq) FROM entries")
        return 0 if first is None else int(first)

    def logs(self) -> list[StoredLog]:
        """Give the logs, by number."""
        if self._new:
            return []
        found = self._select("SELECT log, tenant FROM logs ORDER BY log")
        return [StoredLog(log, bytes(tenant).decode("utf-8", "replace")) for log, tenant in found]

    def size_of(self, log: int) -> int:
        """Give the number of entries of a log: one more than its last position."""
        if self._new:
            return 0
        first, after = range_of(log)
        ((last,),) = self._select("SELECT max(place) FROM places WHERE place >= ? AND place < ?", first, after)
        return 0 if last is None else int(last) - first + 1

    def newest_checkpoint(self, log: int) -> StoredCheckpoint | None:
        """Give the checkpoint of the largest size of a log, None if it has none."""
        if self._new:
            return None
        first, after = range_of(log)
        found = self._select(
            "SELECT place, note FROM checkpoints WHERE place >= ? AND place < ? ORDER BY place DESC LIMIT 1",
            first,
            after,
        )
        return StoredCheckpoint(log, found[0][0] - first, found[0][1]) if found else None

    def hashes_at(self, log: int, positions: Sequence[int]) -> dict[int, bytes]:
        """Give what is stored beside the entries at these positions, as far as they are there."""
        if self._new:
            return {}
        first, _ = range_of(log)
        found = self._select(
            "SELECT p.place, e.hashes FROM places p CROSS JOIN entries e ON e.seq = p.seq"  # noqa: S608 - marks only
            f" WHERE p.place IN ({','.join('?' * len(positions))})",
            *(first + position for position in positions),
        )
        return {place - first: hashes for place, hashes in found}

    def entries_of(self, log: int, first: int) -> Iterator[EntryRow]:
        """Read the entries of a log from a position on, in order."""
        at, after = range_of(log)
        at += first
        while not self._new:
            found = self._select(
                "SELECT e.seq, p.place, e.body, e.hashes FROM places p CROSS JOIN entries e ON e.seq = p.seq"
                " WHERE p.place >= ? AND p.place < ? ORDER BY p.place LIMIT 512",
                at,
                after,
            )
            yield from (EntryRow(*row) for row in found)
            if not found:
                return
            at = found[-1][1] + 1

    def entries_backwards(self) -> Iterator[EntryRow]:
        """Read all entries from the last to the first."""
        before = self.next_seq()
        while before > 0:
            found = self._select(
                "SELECT seq, place, body, hashes FROM entries WHERE seq < ? ORDER BY seq DESC LIMIT 512", before
            )
            yield from (EntryRow(*row) for row in found)
            before = found[-1][0] if found else 0

    def has_outcome(self, intent: int) -> bool:
        """Tell whether the outcome of the intent with this ``seq`` is recorded."""
        return bool(self._select("SELECT 1 FROM outcomes WHERE intent = ?", intent))

    @abstractmethod
    def _select(self, sql: str, *parameters: int) -> list[Any]:
        """Give the rows of a query, whose parameters are marked with ``?``."""


def range_of(log: int) -> tuple[int, int]:
    """Give the first place of a log, and the first behind it."""
    return log << LOG_BITS, (log + 1) << LOG_BITS
