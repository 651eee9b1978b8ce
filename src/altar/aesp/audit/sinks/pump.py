"""Sends the log to one sink, in a thread of its own: read, send, wait for the acknowledgement, move the cursor.

A receiver that is gone is tried again, ever more seldom, up to once a minute; nothing is passed over meanwhile.
"""

from __future__ import annotations

import logging
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from random import Random

from altar.adm.errors import AltarError
from altar.aesp.audit.record import Record, Records
from altar.aesp.audit.sinks.cursors import Cursors
from altar.aesp.audit.sinks.sink import MAX_BATCH, Sink, SinkError, SinkOptions

__all__ = ["Pump"]

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 60.0
_log = logging.getLogger("altar.audit")


class Pump:
    """One sink and the thread that serves it.

    ``records`` opens the log; it is called in the thread.
    ``poll`` is how many seconds pass between two looks at a log that had nothing new.
    """

    def __init__(
        self,
        options: SinkOptions,
        sink: Sink,
        *,
        records: Callable[[], Records],
        cursors: Cursors,
        poll: float = 0.5,
        longest_pause: float = LONGEST_PAUSE,
        random: Random | None = None,
    ) -> None:
        self.options = options
        self._sink = sink
        self._open = records
        self._cursors = cursors
        self._poll = poll
        self._longest_pause = longest_pause
        self._random = random or Random()  # noqa: S311 - jitter, no secret
        self._events = [re.compile(".*".join(map(re.escape, each.split("*")))) for each in options.events]
        self._most = min(options.batch, MAX_BATCH)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"altar-sink-{options.name}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def stop(self, *, wait: float = 10.0) -> None:
        """End the thread; a batch on its way is sent again at the next start, unless it was acknowledged."""
        self._stop.set()
        self._thread.join(wait)

    def _run(self) -> None:
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            try:
                self._serve()
            except SinkError as failed:
                wait = max(failed.retry_after, self._random.uniform(pause / 2, pause))
                self._failed(failed.reason, failed.reason)
            except (AltarError, OSError, sqlite3.Error) as failed:
                wait = self._random.uniform(pause / 2, pause)
                self._failed("the log or its cursors cannot be read", str(failed))
            except Exception as failed:  # noqa: BLE001 - a thread that ends would forward nothing more, and tell nobody
                wait = self._random.uniform(pause / 2, pause)
                self._failed("what the log or the receiver holds cannot be told", repr(failed))
            else:
                return
            pause = min(pause * 2, self._longest_pause)
            if self._progressed:
                pause = FIRST_PAUSE
            self._stop.wait(min(wait, self._longest_pause))

    def _serve(self) -> None:
        """Send until told to stop; whatever fails ends it, and the next one goes on at the cursor."""
        self._progressed = False
        records = self._open()
        try:
            name = self.options.name
            at = 0 if self.options.begin == "beginning" else records.reader.size()
            following = self._cursors.begin(name, at=at)
            self._require_same(records, following)
            most = self._most
            while not self._stop.is_set():
                size = records.reader.size()
                if following > size:
                    raise SinkError(
                        f"the log has {size} entries and {following} were sent: it was rolled back or replaced"
                    )
                batch = list(records.committed(following, most=most)) if following < size else []
                if not batch or self._may_wait(batch):
                    self._stop.wait(self._poll)
                    continue
                wanted = [record for _, record in batch if self._wants(record)]
                try:
                    if wanted:
                        self._sink.send(wanted)
                except SinkError as failed:
                    if not failed.too_much or most == 1:
                        raise
                    most = max(1, most // 2)
                    continue
                following = batch[-1][0] + 1
                self._cursors.acknowledged(name, following=following, sent=len(wanted), last=_digest(batch[-1][1]))
                self._progressed = True
        finally:
            self._sink.close()
            records.reader.close()

    def _require_same(self, records: Records, following: int) -> None:
        """Refuse to go on in a log whose last entry that was sent is another one by now."""
        mark = self._cursors.mark(self.options.name, following=following)
        before = list(records.committed(following - 1, most=1)) if mark and following > 0 else []
        if before and _digest(before[0][1]) != mark:
            raise SinkError(f"entry {following - 1} is not the one that was sent: the log was rolled back or replaced")

    def _may_wait(self, batch: list[tuple[int, Record]]) -> bool:
        """Whether more records may join this batch before it is sent."""
        age = self._wall() - batch[0][1].time_ms / 1000
        return len(batch) < self._most and 0 <= age < self.options.linger  # a clock that went back holds up nothing

    def _wall(self) -> float:
        return time.time()  # noqa: TID251 - the age of an entry is by the wall clock that the log was written with

    def _wants(self, record: Record) -> bool:
        if self.options.tenants and record.tenant not in self.options.tenants:
            return False
        return not self._events or any(pattern.fullmatch(record.event) for pattern in self._events)

    def _failed(self, reason: str, detail: str) -> None:
        _log.warning("sink is behind", extra={"sink": self.options.name, "reason": reason, "detail": detail})
        with suppress(AltarError, sqlite3.Error):  # only what is shown of it would be lost
            self._cursors.failed(self.options.name, reason)


def _digest(record: Record) -> bytes:
    return sha256(record.entry).digest()
