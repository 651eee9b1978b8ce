"""The journals of one open session: the thread that writes them, and when a file is begun, cleared or deleted.

Whatever waits when the disk has finished is written together and synced once.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from altar.grid.client.journal import ROTATED_AT, Began, Ended, JournalFile

__all__ = ["Journals", "Place", "Written"]

_log = logging.getLogger("altar.grid")

_CLEARED_AT = 64 * 1024
"""Bytes from which on a file is emptied when the host has recorded all of it."""

Written = Callable[[OSError | None], None]
"""Told None when the disk has it, or why not."""


@dataclass(slots=True, eq=False)
class _Held:
    """One file, and which of its calls the host has not answered for yet; ``sealed`` ones take no more calls."""

    file: JournalFile
    last: int = 0
    open: set[int] = field(default_factory=set)
    disputed: bool = False
    sealed: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one call: a file, and the number of the call in it."""

    held: _Held
    position: int

    @property
    def journal(self) -> str:
        """The name of the journal, as the host is told it."""
        return self.held.file.name


@dataclass(slots=True)
class _Job:
    """Something to write, and whom to tell; or, without lines, something else to do with the file."""

    held: _Held
    began: Began | None = None
    ended: Ended | None = None
    then: Written | None = None
    do: Callable[[JournalFile], None] | None = None


class Journals:
    """Writes what begins and ends. For one thread, and answers there through ``deliver``."""

    def __init__(
        self, directory: Path, *, principal: str, target: str, deliver: Callable[[Callable[[], None]], None]
    ) -> None:
        """Take where the files are, whose they are, and the address of the host; nothing is written yet."""
        self._file = partial(JournalFile, directory, principal=principal, target=target)
        self._deliver = deliver
        self._current = _Held(self._file())
        self._others: set[_Held] = set()
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    def place(self) -> Place:
        """The place of the next call."""
        if self._current.file.size > ROTATED_AT:
            self._current.sealed = True
            self._others.add(self._current)
            self._done_with(self._current)
            self._current = _Held(self._file())
        held = self._current
        held.last += 1
        held.open.add(held.last)
        return Place(held, held.last)

    def begin(self, place: Place, began: Began, then: Written) -> None:
        """A call is about to run; ``then`` hears when that is on the disk, with room for its end."""
        self._put(_Job(place.held, began=began, then=then))

    def end(self, place: Place, ended: Ended, then: Written) -> None:
        """A call has ended; ``then`` hears when that is on the disk."""
        self._put(_Job(place.held, ended=ended, then=then))

    def taken(self, place: Place, *, disputed: str = "") -> None:
        """The host has answered for the call: it is recorded there, or ``disputed`` by that code."""
        held = place.held
        if disputed:
            held.disputed = True
            self._put(_Job(held, do=lambda file: file.dispute(place.position, disputed)))
        held.open.discard(place.position)
        self._done_with(held)

    def close(self) -> None:
        """Write what waits; delete the files that the host has all of, and leave the others. Blocks."""
        for held in (self._current, *self._others):
            self._put(_Job(held, do=_closing(held)))
        self._jobs.put(None)
        if self._thread is not None:
            self._thread.join()

    def _done_with(self, held: _Held) -> None:
        """Give up a sealed file, or empty the current one, when nothing in it is open any more."""
        if held.open:
            return
        if held.sealed:
            self._others.discard(held)
            self._put(_Job(held, do=_closing(held)))
        elif held.file.size > _CLEARED_AT and not held.disputed:
            self._put(_Job(held, do=_clearing(held, held.last)))

    def _put(self, job: _Job) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._write, name="altar-journal", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    # ----------------------------------------------------------------------------------------------- its own thread

    def _write(self) -> None:
        ending = False
        while not ending:
            jobs, ending = self._waiting()
            told: list[Callable[[], None]] = []
            for held in dict.fromkeys(job.held for job in jobs):
                told += _carried_out(held, [job for job in jobs if job.held is held])
            if told:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    self._deliver(partial(_tell_all, told))

    def _waiting(self) -> tuple[list[_Job], bool]:
        jobs: list[_Job] = []
        job = self._jobs.get()
        with suppress(queue.Empty):
            while job is not None:
                jobs.append(job)
                job = self._jobs.get_nowait()
            return jobs, True
        return jobs, False


def _carried_out(held: _Held, jobs: list[_Job]) -> list[Callable[[], None]]:
    """Write for one file what waits, together; when that fails, ends first and by themselves, for which room is kept.

    Returns how to tell those who wait.
    """
    began = [job.began for job in jobs if job.began is not None]
    ended = [job.ended for job in jobs if job.ended is not None]
    failed: dict[bool, OSError | None] = {}
    try:
        if began or ended:
            held.file.write(began, ended, open_calls=len(held.open) if began else 0)
    except OSError:
        for beginning, lines in ((False, ended), (True, began)):
            failed[beginning] = _failure(held, lines, beginning=beginning)
    for job in jobs:
        if job.do is not None:
            try:
                job.do(held.file)
            except OSError as lost:
                _log.warning("journal not kept", extra={"journal": held.file.name, "reason": str(lost)})
    return [_telling(job.then, failed.get(job.began is not None)) for job in jobs if job.then is not None]


def _failure(held: _Held, lines: list[Began] | list[Ended], *, beginning: bool) -> OSError | None:
    try:
        if lines and beginning:
            held.file.write(lines, open_calls=len(held.open))  # type: ignore[arg-type]  # those that begin
        elif lines:
            held.file.write(ended=lines)  # type: ignore[arg-type]  # those that have ended
    except OSError as failed:
        return failed
    return None


def _tell_all(told: list[Callable[[], None]]) -> None:
    for tell in told:
        tell()


def _telling(then: Written, failed: OSError | None) -> Callable[[], None]:
    return lambda: then(failed)


def _closing(held: _Held) -> Callable[[JournalFile], None]:
    return lambda file: file.close(answered=not held.open, disputed=held.disputed)


def _clearing(held: _Held, last: int) -> Callable[[JournalFile], None]:
    """Empty the file, unless another call has taken a place in it meanwhile."""

    def clear(file: JournalFile) -> None:
        if held.last == last:
            file.clear()

    return clear
