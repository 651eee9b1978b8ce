"""One connection of the web port: who holds many open or sends slowly keeps nobody else out.

From one network so many connections may be open; of more, the oldest that waits for nothing is closed, and so is the
oldest of all when the port is full.
A request must have come within seconds: its head, and then its body.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from altar.aesp.identity.lockout import network_of

__all__ = ["BODY_SECONDS", "HEAD_SECONDS", "MOST_AT_ONCE", "MOST_OF_ONE", "Connection"]

MOST_AT_ONCE: Final = 256
"""How many connections the port has."""
MOST_OF_ONE: Final = 64
"""How many of them one network may have: an IPv4 address, or 64 bits of IPv6."""
HEAD_SECONDS: Final = 10.0
"""Within how many seconds of its connection, or of the answer before it, the head of a request must be there."""
BODY_SECONDS: Final = 30.0
"""Within how many seconds of its head the body of a request must be there."""

_numbers = count()


class Connection(H11Protocol):
    """HTTP/1.1 on one connection, with limits; uvicorn makes one for each."""

    head_seconds = HEAD_SECONDS
    body_seconds = BODY_SECONDS

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.number = next(_numbers)
        self.network = ""
        self._waits_for = ""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether no request that has come is being answered."""
        cycle: RequestResponseCycle | None = self.cycle  # there is none before the first request
        return cycle is None or cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take the connection, and close another one where there are too many."""
        super().connection_made(transport)
        self.network = network_of(self.client[0]) if self.client is not None else ""
        others = [each for each in self.connections if isinstance(each, Connection) and each is not self]
        of_it = [each for each in others if each.network == self.network]
        if len(of_it) >= MOST_OF_ONE and not _end_oldest(of_it):
            transport.abort()
        elif len(others) >= MOST_AT_ONCE - 1:
            _end_oldest(others)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what has come; what is missing has its own time."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request, for so long."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of the timer."""
        super().connection_lost(exc)
        self._wait_for("", 0.0)

    def _watch(self) -> None:
        """See what the connection waits for: the time runs from when it began to, and not from each byte."""
        if not self.is_idle and self.conn.their_state is h11.SEND_BODY:
            self._wait_for("body", self.body_seconds)
        elif self.is_idle:
            self._wait_for("head", self.head_seconds)
        else:
            self._wait_for("", 0.0)

    def _wait_for(self, what: str, seconds: float) -> None:
        if what == self._waits_for:
            return
        self._waits_for = what
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.loop.call_later(seconds, self.transport.abort) if what else None


def _end_oldest(connections: list[Connection]) -> bool:
    """Close the oldest that is idle, and say whether there was one."""
    idle = [each for each in connections if each.is_idle and not each.transport.is_closing()]
    if not idle:
        return False
    min(idle, key=lambda each: each.number).transport.abort()
    return True
