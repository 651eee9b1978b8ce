"""A sink that is a file: lines are appended and synced; a full file is put aside with a number.

A batch is acknowledged when the file is synced.
A line that a crash cut in half is taken away before the next one is written.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from altar.aesp.audit.formats import format_named, head_of
from altar.aesp.audit.record import Record
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions

__all__ = ["FileSink"]


class FileSink:
    """Appends to one file, readable by its owner only; `<file>.1` is the newest of those put aside."""

    def __init__(self, options: SinkOptions) -> None:
        """Take the path, the format and the limits; nothing is opened yet."""
        self._path = Path(options.address)
        self._line = format_named(options.format)
        self._head = head_of(options.format)
        self._rotate_bytes = options.rotate_bytes
        self._keep = options.keep
        self._file = -1

    def send(self, records: Sequence[Record]) -> None:
        """Append the records and sync."""
        data = "".join(f"{self._line(record)}\n" for record in records).encode()
        try:
            if self._file < 0:
                self._open()
            if os.fstat(self._file).st_size and os.fstat(self._file).st_size + len(data) > self._rotate_bytes:
                self._rotate()
            if self._head and not os.fstat(self._file).st_size:
                data = f"{self._head}\n".encode() + data
            view = memoryview(data)
            while view:
                view = view[os.write(self._file, view) :]
            os.fsync(self._file)
        except OSError as error:
            self.close()
            raise SinkError(f"the file {str(self._path)!r} cannot be written: {error.strerror}") from error

    def close(self) -> None:
        """Let go of the file."""
        if self._file >= 0:
            with suppress(OSError):
                os.close(self._file)
            self._file = -1

    def _open(self) -> None:
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        size = os.fstat(self._file).st_size
        tail = os.pread(self._file, 65536, max(0, size - 65536))
        whole = len(tail) - (tail.rfind(b"\n") + 1)
        if whole:
            os.ftruncate(self._file, size - whole)

    def _rotate(self) -> None:
        self.close()
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, self._keep + 1))]
        for older, newer in zip(reversed(names), list(reversed(names))[1:], strict=False):
            with suppress(FileNotFoundError):
                newer.replace(older)
        if not self._keep:
            self._path.unlink(missing_ok=True)
        self._open()
