"""Which reports a host has recorded already, so that one that is sent again is recorded once.

A report is sent until it is answered, so one may come again, also after the host that recorded it was killed.
In memory are the newest reports with their content; of older ones it is known up to which line of each journal there
are some.
What may be older than that, and what an earlier process of the host recorded, is looked for in the log, in another
thread.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta

from altar.adm.errors import AltarError, ExecutionError
from altar.grid.reports import Content

__all__ = ["History", "KnownReports", "RecentReports", "Told"]

_log = logging.getLogger("altar.grid")

REMEMBERED = 16_384
"""Reports that are remembered with their content, and most that may wait for the log to be read."""
JOURNALS = 65_536
"""Journals of which it is remembered up to which line reports were forgotten; beyond that each one is looked for."""
LOOKED_FOR = 64
"""Reports that may be looked for in the log at a time, each by reading through all of it."""

Told = Callable[[AltarError | None], None]
"""Told None, or why a report cannot be taken; ``retry_after`` says that it may be sent again."""


class RecentReports:
    """The content of the newest reports by their place, ``<journal>:<position>``, and where older ones may be."""

    __slots__ = ("_all_may", "_forgotten", "_kept", "_most")

    def __init__(self) -> None:
        self._most = REMEMBERED
        self._kept: dict[str, Content] = {}
        self._forgotten: dict[str, int] = {}
        self._all_may = False

    def get(self, place: str) -> Content | None:
        """What was reported at a place, or None."""
        return self._kept.get(place)

    def keep(self, place: str, content: Content) -> None:
        """Remember a report as the newest."""
        self._kept.pop(place, None)
        self._kept[place] = content
        while len(self._kept) > self._most:
            oldest = next(iter(self._kept))
            del self._kept[oldest]
            self._forget(oldest)

    def keep_all(self, newer: RecentReports) -> None:
        """Remember, after these, what another one remembers."""
        for place, content in newer._kept.items():
            self.keep(place, content)
        for journal, position in newer._forgotten.items():
            self._forget(f"{journal}:{position}")
        self._all_may = self._all_may or newer._all_may

    def may_have_forgotten(self, place: str) -> bool:
        """Whether a place that is not here may have been: false for a line beyond all that were forgotten."""
        journal, _, position = place.rpartition(":")
        return self._all_may or int(position) <= self._forgotten.get(journal, 0)

    def _forget(self, place: str) -> None:
        journal, _, position = place.rpartition(":")
        if len(self._forgotten) < JOURNALS or journal in self._forgotten:
            self._forgotten[journal] = max(int(position), self._forgotten.get(journal, 0))
        else:
            self._all_may = True

    def __len__(self) -> int:
        return len(self._kept)


History = Callable[[str], RecentReports]
"""Reads reports from the log: the one at a place, or all for ``""``. It may block, and is called in another thread."""


class KnownReports:
    """What this process knows of reports, and what it can find in the log. For one thread, that of the loop.

    ``history`` is None where there was nothing before this process.
    """

    __slots__ = ("_absent", "_history", "_recent", "_unread", "_waiting")

    def __init__(self, history: History | None) -> None:
        self._history = history
        self._unread = history is not None
        self._recent = RecentReports()
        self._waiting: dict[str, list[tuple[Callable[[], None], Told]]] = {}
        self._absent = ""

    def get(self, place: str) -> Content | None:
        """What was reported at a place, as far as it is remembered."""
        return self._recent.get(place)

    def keep(self, place: str, content: Content) -> None:
        """A report stands in the log now."""
        self._recent.keep(place, content)

    def must_look(self, place: str, *, is_fallback: bool) -> bool:
        """Whether a report that is not remembered may be recorded all the same.

        One with a permit cannot: a permit is closed once.
        """
        if self._unread:
            return True
        return (
            is_fallback
            and self._history is not None
            and place != self._absent
            and self._recent.may_have_forgotten(place)
        )

    def look(self, place: str, then: Callable[[], None], told: Told) -> None:
        """Look for a report in the log, or read all of it the first time; then go on.

        ``told`` hears of a log that cannot be read, and of too many that wait.
        """
        wanted = "" if self._unread else place
        waiting = self._waiting.get(wanted)
        if (len(self._waiting) >= LOOKED_FOR if waiting is None else len(waiting) >= REMEMBERED) or (
            self._history is None
        ):
            told(_too_many())
        elif waiting is not None:
            waiting.append((then, told))
        else:
            self._waiting[wanted] = [(then, told)]
            reading = asyncio.get_running_loop().run_in_executor(None, self._history, wanted)
            reading.add_done_callback(lambda read: self._read(wanted, read))

    def _read(self, wanted: str, reading: asyncio.Future[RecentReports]) -> None:
        waiting = self._waiting.pop(wanted)
        if reading.cancelled() or reading.exception() is not None:
            reason = "cancelled" if reading.cancelled() else repr(reading.exception())[:200]
            _log.error("the log could not be read", extra={"reason": reason})
            for _, told in waiting:  # it may be recorded already, and must not be recorded twice
                told(_unreadable())
            return
        found = reading.result()
        if wanted:
            content = found.get(wanted)
            if content is not None:
                self._recent.keep(wanted, content)
        else:
            found.keep_all(self._recent)
            self._recent, self._unread = found, False
        self._absent = wanted  # while those who waited go on: it is here now, or nowhere
        for then, _ in waiting:
            then()
        self._absent = ""


def _too_many() -> AltarError:
    return ExecutionError("RESOURCE_EXHAUSTED", "Too many reports wait", ran="no", retry_after=timedelta(seconds=1))


def _unreadable() -> AltarError:
    return ExecutionError(
        "LOG_UNAVAILABLE",
        "The host cannot read in its log whether the report is there already",
        ran="unknown",
        hint="send it again; see the host's log for the cause",
        retry_after=timedelta(seconds=1),
    )
