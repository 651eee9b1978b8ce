"""What passes between a process and its child: messages over a socket, each a kind, a length and bytes.

The bytes are JSON, or a line of JSON and then the canonical JSON of a payload; never a pickled value.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
from collections.abc import Callable
from enum import IntEnum

__all__ = ["Kind", "Pipe"]

_HEAD = struct.Struct("<BQ")
_READ = 256 * 1024


class Kind(IntEnum):
    """What a message is.

    The parent sends LOAD (where a tool is to be found), CALL (which tool, for whom, and the arguments) and STOP (give
    no more parts).
    The child answers LOAD with LOADED and CALL with RESULT, or either with ERROR; a call that streams sends each value
    as a PART before its RESULT, which is empty.
    At any time the child may send PROGRESS and NOTE, for the context of the call, and LOG, a record of `logging`;
    before its answer to CALL it sends USAGE when the function said what the call took.
    """

    LOAD = 1
    CALL = 2
    STOP = 3
    LOADED = 4
    RESULT = 5
    ERROR = 6
    PART = 7
    PROGRESS = 8
    NOTE = 9
    LOG = 10
    USAGE = 11


class Pipe:
    """One end of the socket. Any thread may send; one thread receives.

    ``wait`` is called before each read, and may raise to end the waiting.
    """

    __slots__ = ("_lock", "_read", "_socket", "_wait")

    def __init__(self, end: socket.socket, *, wait: Callable[[], None] | None = None) -> None:
        self._socket = end
        self._wait = wait
        self._read = bytearray()
        self._lock = threading.Lock()

    def send(self, kind: Kind, body: bytes = b"") -> None:
        """Send one message; blocks while the other end does not read. Raises OSError when there is no other end."""
        with self._lock:
            self._socket.sendall(_HEAD.pack(kind, len(body)) + body)

    def receive(self) -> tuple[Kind, bytes] | None:
        """The next message; None when the other end has hung up."""
        head = self._take(_HEAD.size)
        if head is None:
            return None
        kind, length = _HEAD.unpack(head)
        body = self._take(length)
        return None if body is None else (Kind(kind), body)

    def has_more(self) -> bool:
        """Whether a message, or the end, has come already."""
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        return bool(self._read or waiting.poll(0))

    def _take(self, length: int) -> bytes | None:
        while len(self._read) < length:
            if self._wait is not None:
                self._wait()
            more = self._socket.recv(_READ)
            if not more:
                return None
            self._read += more
        taken = bytes(self._read[:length])
        del self._read[:length]
        return taken
