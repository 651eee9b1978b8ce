"""The results of calls under idempotency keys, in an SQLite database beside the log, for as long as they are kept.

That a key is claimed, by which call, and how that ended, is in the log: the intent says ``key: "once"`` and is the
claim, so the two are durable together by being one.
Only what a caller is given again is here: contents are nobody else's business, and the log has their digests.
The results of a log are in the file of its name with ``.results`` behind it; without that file no key was ever used.

A result is written before the outcome of its call, so that every outcome an answer was given for has its result.
Each row carries a digest of itself, so that a damaged one is never given to anybody.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from altar.adm.errors import AltarError
from altar.ledger.beside import UNREADABLE, Beside, Layout, Then, Work, seal
from altar.ledger.sqlite import Connection

__all__ = ["ResultStore", "results_path"]

Found = Callable[[bytes | None, AltarError | None], None]

_FLOOR = -1  # the row of the lowest intent whose claim may still hold


class ResultStore(Beside):
    """Results by the position of their intent in the log: `save`, `fetch`, `drop`; and from where to look for claims.

    What a result is written as is the caller's own affair; here it is bytes.
    """

    layout = Layout(
        0x414C5455,  # "ALTU"
        1,
        ("CREATE TABLE results (intent INTEGER PRIMARY KEY, body BLOB NOT NULL, seal BLOB NOT NULL)",),
        what="Results of calls under idempotency keys",
        without="them",
    )

    def begin(self, size: int) -> None:
        """Note that no intent before position ``size`` claims a key, unless that was noted before.

        Durable on return; call it once, before the first claim is committed and before anything else is asked.
        """
        try:
            found = list(self._connection.execute("SELECT 1 FROM results WHERE intent = ?", (_FLOOR,)))
            if not found:
                list(self._connection.execute(*_floor(size)))
        except UNREADABLE as error:
            raise self._damaged(str(error)) from error

    def load(self) -> tuple[int, dict[int, int]]:
        """From which position on intents may claim keys, and how many bytes are kept for which of them.

        Call it before anything else is asked. A damaged note of the position counts as 0: everything is looked at.
        """
        try:
            ((body, sealed),) = list(
                self._connection.execute("SELECT body, seal FROM results WHERE intent = ?", (_FLOOR,))
            ) or [(b"0", b"")]
            sizes = list(self._connection.execute("SELECT intent, length(body) FROM results WHERE intent >= 0"))
        except UNREADABLE as error:
            raise self._damaged(str(error)) from error
        floor = int(body) if sealed == seal(_FLOOR, body) else 0
        return floor, dict(sizes)

    def save(self, intent: int, body: bytes, *, then: Then) -> None:
        """Keep the result of the call of this intent; ``then(None)`` is called when it is durable."""
        row = (intent, body, seal(intent, body))
        self.put(Work([("INSERT OR REPLACE INTO results VALUES (?,?,?)", row)], then))

    def fetch(self, intent: int, found: Found) -> None:
        """Read what is kept for an intent: ``found(body, None)``, or ``found(None, None)`` if it is gone or damaged.

        ``found(None, error)`` with LOG_UNAVAILABLE when the store is closed or has failed.
        """
        read: list[bytes] = []

        def look(connection: Connection) -> None:
            try:
                rows = list(connection.execute("SELECT body, seal FROM results WHERE intent = ?", (intent,)))
            except UNREADABLE:
                return  # as if it were gone: the call is not run again for it
            read.extend(body for body, sealed in rows if sealed == seal(intent, body))

        self.put(Work(then=lambda error: found(read[0] if read else None, error), read=look))

    def drop(self, intents: Sequence[int], *, floor: int | None = None) -> None:
        """Forget results; ``floor`` is from where on intents may claim keys now."""
        work = Work([("DELETE FROM results WHERE intent = ?", (intent,)) for intent in intents])
        if floor is not None:
            work.statements.append(_floor(floor))
        if work.statements:
            self.put(work)


def results_path(ledger: str | Path) -> Path:
    """Where the results of the log at this path are."""
    return Path(f"{ledger}.results")


def _floor(position: int) -> tuple[str, tuple[int, bytes, bytes]]:
    body = str(position).encode()
    return "INSERT OR REPLACE INTO results VALUES (?,?,?)", (_FLOOR, body, seal(_FLOOR, body))
