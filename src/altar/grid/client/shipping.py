"""Journals that a process left behind, on their way to the host: read, reported line by line, then deleted or kept."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from altar.adm.errors import AltarError
from altar.grid.client.journal import JournalFile, JournalRead, left_over
from altar.grid.reports import Report

__all__ = ["LeftOver", "Shipped"]

_log = logging.getLogger("altar.grid")

_MOST_AT_ONCE = 16
"""Files that one session takes; the next one takes the next."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """One call of a journal: what to report, and whom to tell that the host has it, or refuses it."""

    report: Report
    taken: Callable[[AltarError | None], None]


class LeftOver:
    """The journals of a directory that belong to one principal, and that no process holds any more.

    With a ``target`` only those for that host.
    """

    def __init__(self, directory: Path, *, principal: str, target: str = "") -> None:
        self._directory = directory
        self._principal = principal
        self._target = target
        self._files: list[_File] = []

    def read(self) -> list[Shipped]:
        """Take what there is, and give what is to be reported; blocks."""
        with suppress(OSError):
            for read, handle in left_over(self._directory, principal=self._principal, target=self._target):
                self._files.append(_File(read, JournalFile.resume(read, handle)))
                if len(self._files) >= _MOST_AT_ONCE:
                    break
        shipped = [one for file in self._files for one in file.calls()]
        if self._files:
            _log.info("journals left behind", extra={"files": len(self._files), "calls": len(shipped)})
        for file in self._files:
            file.end_if_done()
        return shipped

    def close(self) -> None:
        """Let go of what the host has not answered for; the next session takes it."""
        for file in self._files:
            file.leave()


class _File:
    """One journal, and how many of its calls the host still has to answer for."""

    def __init__(self, read: JournalRead, file: JournalFile) -> None:
        self._read = read
        self._file = file
        self._open = {position for position, call in read.calls.items() if not call.disputed}
        self._disputed = bool(read.damaged) or any(call.disputed for call in read.calls.values())
        if read.damaged:
            _log.error("journal damaged", extra={"journal": str(read.path), "reason": read.damaged})

    def calls(self) -> list[Shipped]:
        return [Shipped(self._read.calls[each].report(self._read.journal), self._teller(each)) for each in self._open]

    def end_if_done(self) -> None:
        if not self._open:
            self._close(answered=True)

    def leave(self) -> None:
        self._close(answered=not self._open)

    def _teller(self, position: int) -> Callable[[AltarError | None], None]:
        return lambda error: self._taken(position, error)

    def _taken(self, position: int, error: AltarError | None) -> None:
        if error is not None:
            _log.error(
                "report disputed", extra={"journal": self._read.journal, "position": position, "code": error.code}
            )
            self._disputed = True
            if not self._read.damaged:  # of a damaged file not a byte is changed
                with suppress(OSError):
                    self._file.dispute(position, error.code)
        self._open.discard(position)
        self.end_if_done()

    def _close(self, *, answered: bool) -> None:
        with suppress(OSError):
            self._file.close(answered=answered, disputed=self._disputed)
