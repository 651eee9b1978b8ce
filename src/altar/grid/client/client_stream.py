"""The stream of a client to its host: its hello, its session, its reader and its writer.

It knows frames; what is in them is the business of :mod:`client`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import grpc
import grpc.aio

from altar import __version__
from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.errors import AltarError, TransportError
from altar.grid import wire
from altar.grid.capabilities import CLIENT, Capability, missing
from altar.grid.frames import FrameWriter
from altar.grid.status import error_of_rpc
from altar.later.invocation import Invocation
from altar.later.labels import labels_of
from altar.later.source import Request

__all__ = ["SESSION_GONE", "ClientStream", "whole_seconds"]

_log = logging.getLogger("altar.grid")

SESSION_GONE = frozenset({"INVALID_SESSION", "SESSION_EXPIRED"})
"""What a host says of a session that it does not have any more."""

Results = Callable[[host_pb2.ConnectResponse], None]
Lost = Callable[[AltarError | None], None]
Leaves = Callable[[Invocation], bool]


class ClientStream:
    """One bidirectional stream: its hello, its session, its reader and its writer."""

    def __init__(self, channel: grpc.aio.Channel, leaves: Leaves) -> None:
        connect = channel.stream_stream(
            "/altar.grid.v1.HostService/Connect",
            request_serializer=host_pb2.ConnectRequest.SerializeToString,
            response_deserializer=host_pb2.ConnectResponse.FromString,
        )
        self._call = connect()
        self.writer: FrameWriter[host_pb2.ConnectRequest, Invocation | host_pb2.ConnectRequest] = FrameWriter(
            self._call.write, host_pb2.ConnectRequest, self._add
        )
        self.max_message_bytes = wire.MAX_MESSAGE_BYTES
        self.capabilities: frozenset[str] = frozenset()
        self._leaves = leaves
        self.session_id = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: asyncio.Task[None]

    async def open(
        self, request: Request, *, session_id: str = "", renew: bool = True, credential: bytes = b""
    ) -> list[host_pb2.Contract]:
        """Say hello, open the session, and give its contracts.

        With a ``session_id`` it is that session, or another one if it is gone and ``renew`` allows it.
        With a ``credential`` it is in the name that this proves; FEATURE_UNAVAILABLE when the host takes none.
        """
        hello = host_pb2.ClientHello(
            protocol_versions=[wire.PROTOCOL_VERSION], language="python", sdk_version=__version__, capabilities=CLIENT
        )
        wanted = host_pb2.CreateSession(
            tag=1,
            tools=request.tools,
            ttl_seconds=whole_seconds(request.ttl),
            session_id=session_id,
            labels=dict(labels_of(request.options.get("labels") or {}, what="the session")),
            credential=credential,
        )
        await self._call.write(host_pb2.ConnectRequest(hello=hello, create_sessions=[wanted]))
        created = await self._created()
        if created.error.type in SESSION_GONE and session_id and renew:
            wanted.session_id = ""
            await self._call.write(host_pb2.ConnectRequest(create_sessions=[wanted]))
            created = await self._created()
        if created.HasField("error"):
            raise wire.error_from_wire(created.error)
        if credential and Capability.CREDENTIALS not in self.capabilities:  # a host that does not know the field
            raise missing(Capability.CREDENTIALS, what="To open a session with a credential", who="this host")
        self.session_id = created.session_id
        return list(created.contracts)

    def start(self, results: Results, lost: Lost) -> None:
        """Read and write until the stream ends; then say so, once."""
        loop = asyncio.get_running_loop()
        self._writing = loop.create_task(self._write_all())
        self._tasks = [self._writing, loop.create_task(self._read_all(results, lost))]

    async def leave(self, *, destroy: bool) -> None:
        """Destroy the session if it is ours, send what is queued, and end the stream."""
        if destroy:
            ended = host_pb2.DestroySession(tag=2, session_id=self.session_id, force=True)
            self.writer.put(host_pb2.ConnectRequest(destroy_sessions=[ended]))
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                await self.writer.flushed()
                await self._call.done_writing()
                await asyncio.wait(self._tasks)  # the host hangs up when it has read everything
        await self.close()

    async def close(self) -> None:
        """End the stream, whatever state it is in."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._call.cancel()

    async def _created(self) -> host_pb2.SessionCreated:
        while True:
            frame = await self._read()
            if frame.HasField("hello"):
                self.max_message_bytes = frame.hello.max_message_bytes
                self.capabilities = frozenset(frame.hello.capabilities)
            if frame.sessions_created:
                return frame.sessions_created[0]

    async def _read_all(self, results: Results, lost: Lost) -> None:
        reason: AltarError | None = None
        try:
            while True:
                results(await self._read())
        except AltarError as closing:
            reason = closing
        except grpc.aio.AioRpcError as failed:
            _log.info("stream ended", extra={"code": failed.code().name})
            said = error_of_rpc(failed)
            reason = None if said.code == "CONNECTION_FAILED" else said
        self._writing.cancel()
        lost(reason)

    async def _write_all(self) -> None:
        try:
            await self.writer.run()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the reader says that the stream ended
        except Exception:  # noqa: BLE001 - whatever it is, the calls that wait must hear of it
            _log.exception("writing failed")
            self._call.cancel()  # so that the reader says it

    async def _read(self) -> host_pb2.ConnectResponse:
        frame = await self._call.read()
        if not isinstance(frame, host_pb2.ConnectResponse):
            raise TransportError("CONNECTION_FAILED", "The host ended the connection", ran="unknown")
        if frame.HasField("closing"):
            raise wire.error_from_wire(frame.closing)
        return frame

    def _add(self, frame: host_pb2.ConnectRequest, item: Invocation | host_pb2.ConnectRequest) -> int:
        if isinstance(item, Invocation):
            if not self._leaves(item):
                return 0
            item.session_id = self.session_id
            takes = item.blobs is None or Capability.BLOBS in self.capabilities
            return wire.add_call(frame.calls.add(), item, tag=item.tag, now=time.monotonic(), takes_blobs=takes)
        frame.MergeFrom(item)
        return item.ByteSize() + 200


def whole_seconds(ttl: timedelta | None) -> int:
    """A time to live as the wire has it: rounded up and at least 1, because 0 asks for the host's own default."""
    return min(max(1, math.ceil(ttl.total_seconds())), _LONGEST_TTL) if ttl is not None else 0


_LONGEST_TTL = 2**32 - 1
