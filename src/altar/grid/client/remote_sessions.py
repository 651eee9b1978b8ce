"""Sessions that are kept on a host, asked about over a stream that may break.

Every request here may be made twice, so what has no answer when a stream breaks is asked again on the next one.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Collection, Iterable
from datetime import UTC, datetime, timedelta

from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.errors import AltarError, TransportError
from altar.grid import wire
from altar.grid.capabilities import Capability, lacking, missing
from altar.grid.client.client_stream import whole_seconds
from altar.later.session_info import SessionInfo

__all__ = ["RemoteSessions", "info_of", "require_sessions"]

_ANSWER_SECONDS = 15.0


class RemoteSessions:
    """What is asked of sessions over one connection after the other. For one thread, the loop's.

    ``send`` queues a message on the stream there is, or sees to it that there will be one.
    """

    def __init__(self, send: Callable[[host_pb2.ConnectRequest], object]) -> None:
        self._send = send
        self._tags = itertools.count(1)
        self._asked: dict[int, tuple[host_pb2.SessionRequest, asyncio.Future[list[SessionInfo]]]] = {}

    @property
    def needs_stream(self) -> bool:
        """Whether something waits that only a stream can bring."""
        return bool(self._asked)

    async def describe(self, session_id: str) -> SessionInfo:
        """What a session is."""
        (info,) = await self.ask(host_pb2.SessionRequest(describe={"session_id": session_id}))
        return info

    async def extend(self, session_id: str, ttl: timedelta | None, *, credential: bytes = b"") -> SessionInfo:
        """Let a session live for so long from now on, and after each use; None for as long as it did so far.

        With a ``credential``, which must be of the same principal, it ends with that and not with the one before.
        """
        wanted = host_pb2.ExtendSession(session_id=session_id, ttl_seconds=whole_seconds(ttl), credential=credential)
        (info,) = await self.ask(host_pb2.SessionRequest(extend=wanted))
        return info

    async def ask(self, request: host_pb2.SessionRequest) -> list[SessionInfo]:
        """Ask the host, and wait for what it says.

        Raises what the host refuses it with; FEATURE_UNAVAILABLE when it knows no such request, CONNECTION_FAILED
        when it does not answer.
        """
        request.tag = next(self._tags)
        answered: asyncio.Future[list[SessionInfo]] = asyncio.get_running_loop().create_future()
        self._asked[request.tag] = request, answered
        try:
            self._send(host_pb2.ConnectRequest(session_requests=[request]))
            async with asyncio.timeout(_ANSWER_SECONDS):
                return await answered
        except TimeoutError:
            raise TransportError(
                "CONNECTION_FAILED",
                f"The host has not answered within {_ANSWER_SECONDS:g} s",
                ran="unknown",
                hint="it may be overloaded; ask again",
            ) from None
        finally:
            del self._asked[request.tag]

    def answered(self, answers: Iterable[host_pb2.SessionAnswer]) -> None:
        """What the host said, in a frame."""
        for answer in answers:
            _, future = self._asked.get(answer.tag, (None, None))
            if future is None or future.done():
                continue
            if answer.HasField("error"):
                future.set_exception(wire.error_from_wire(answer.error))
            else:
                future.set_result([info_of(session) for session in answer.sessions])

    def resume(self) -> None:
        """There is a stream again: ask on it whatever has no answer."""
        try:
            for request, _ in self._asked.values():
                self._send(host_pb2.ConnectRequest(session_requests=[request]))
        except AltarError as refused:  # another host has answered, of a release that knows no such request
            self.fail(refused)

    def fail(self, error: AltarError | None) -> None:
        """Nobody will answer any more, because of this error, or because the session was closed."""
        for _, future in self._asked.values():
            if not future.done():
                future.set_exception(
                    error or TransportError("CONNECTION_FAILED", "The session was closed", ran="unknown")
                )


def require_sessions(capabilities: Collection[str]) -> None:
    """Raise FEATURE_UNAVAILABLE unless a host that says it can do these knows such requests."""
    if lacking((Capability.SESSIONS,), capabilities):
        raise missing(Capability.SESSIONS, what="To ask about sessions", who="this host")


def info_of(told: host_pb2.SessionInfo) -> SessionInfo:
    """A session as the host told of it."""
    return SessionInfo(
        told.session_id,
        datetime.fromtimestamp(told.created_ms / 1000, UTC) if 0 < told.created_ms < _LATEST_MS else None,
        timedelta(seconds=told.ttl_seconds),
        timedelta(seconds=told.seconds_left),
        tools=tuple(told.tools),
        calls=told.calls_in_flight,
        variables=told.variables,
        connections=told.connections,
        labels=dict(told.labels),
    )


_LATEST_MS = 253_402_300_799_000
"""The end of the year 9999, the last that a datetime can hold."""
