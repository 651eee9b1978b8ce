"""A session that runs on a grid: one stream to one host, on which every call, cancel and result travels.

The client does not check arguments; it sends the digest of the contract it knows and is told when that is stale.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from altar import __version__
from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.canonical import parse
from altar.adm.declaration import MAX_DOCUMENT_DEPTH, FunctionDeclaration
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, ExecutionError, Ran, TransportError
from altar.grid import wire
from altar.grid.handshake import explain_handshake_failure
from altar.grid.tls import CertificateFiles, channel_credentials
from altar.grid.wire import FrameWriter
from altar.later.invocation import Answer, Invocation, Outcome
from altar.later.registry import unknown_tool
from altar.later.source import Request, SessionCatalog, ToolSource, late

__all__ = ["GridSource", "HostContracts", "connect"]

_log = logging.getLogger("altar.grid")

CONNECT_SECONDS = 10.0
GRACE = 1.0
"""Seconds a client waits beyond a deadline for the host's own word on it."""
SILENCE = 5.0
"""Seconds a host may owe an answer and say nothing at all before its connection is taken for dead."""


@asynccontextmanager
async def connect(request: Request) -> AsyncIterator[tuple[SessionCatalog, ToolSource]]:
    """Connect to a host, open a session there, and leave in order.

    ``request.options``: ``certificate``, ``key`` and ``authority``, the paths of the client's PEM files.
    Raises TransportError CONNECTION_FAILED when the host cannot be reached, CERTIFICATE_ERROR or
    TLS_HANDSHAKE_FAILED when the two do not trust each other.
    """
    target = request.address.removeprefix("grid://").rstrip("/")
    if ":" not in target:
        raise ConfigurationError(
            "INVALID_CONFIG", f"The address {request.address!r} has no port", hint="write grid://host:port"
        )
    source = GridSource(target, _certificates(request.options), request)
    try:
        await source.connect()
        yield source.contracts, source
    finally:
        await source.close()


@dataclass(frozen=True)
class RemoteContract:
    """A contract as the host told it. It checks nothing: the host does."""

    name: str
    version: str
    digest: str
    declaration_bytes: bytes

    @cached_property
    def declaration(self) -> FunctionDeclaration:
        """The declaration, read as a peer's: members this release does not know are kept and not looked at."""
        document: Any = parse(self.declaration_bytes, max_depth=MAX_DOCUMENT_DEPTH)
        return FunctionDeclaration.from_adm(document, mode="lenient")

    def check(self, arguments: bytes) -> None:
        """Left to the host."""

    def check_result(self, content: bytes) -> None:
        """Left to the host."""


class HostContracts:
    """The catalog of a grid session: the contracts the host told it when it was opened."""

    def __init__(self) -> None:
        self._contracts: dict[str, RemoteContract] = {}

    def find(self, invocation: Invocation) -> RemoteContract:
        """The contract of a call, whose digest goes with it."""
        contract = self._contracts.get(invocation.name)
        if contract is None:
            raise unknown_tool(invocation.name, self._contracts)
        invocation.known_digest = contract.digest
        if not invocation.version:
            invocation.version = contract.version
        return contract

    def replace(self, contracts: Mapping[str, RemoteContract]) -> None:
        """Take what the host told at the newest connection."""
        self._contracts = dict(contracts)

    @property
    def names(self) -> list[str]:
        """Names of the tools, sorted."""
        return sorted(self._contracts)

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """What the host says a tool is; None for one that is not in the session."""
        contract = self._contracts.get(name)
        return contract.declaration if contract is not None else None


class GridSource:
    """Puts calls on the stream and settles them with what comes back.

    When the stream breaks, what was sent is CONNECTION_FAILED with ``ran: unknown``; what was not is sent on the
    next stream, which is opened by itself as long as there is something to send.
    """

    def __init__(self, target: str, files: CertificateFiles, request: Request) -> None:
        self._target = target
        self._files = files
        self._request = request
        self.contracts = HostContracts()
        self._settle: Answer = _unsettled
        self._tags = itertools.count(1)
        self._in_flight: dict[int, Invocation] = {}
        self._unsent: list[Invocation] = []
        self._stream: _Stream | None = None
        self._channel: grpc.aio.Channel | None = None
        self._reconnect: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closed = False
        self._owed_since = math.inf
        self._max_message_bytes = wire.MAX_MESSAGE_BYTES

    # ------------------------------------------------------------------------------------------------------- calls

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Queue the call for the next frame."""
        self._settle = settle
        if time.monotonic() >= invocation.deadline:
            raise late(invocation, ran="no")
        limit = self._max_message_bytes
        if len(invocation.arguments) > limit:
            raise wire.too_large("arguments", len(invocation.arguments), limit, ran="no")
        invocation.tag = next(self._tags)
        self._in_flight[invocation.tag] = invocation
        if self._stream is not None:
            self._stream.writer.put(invocation)
        else:
            self._unsent.append(invocation)
            self._connect_again()

    def cancel(self, invocation: Invocation) -> None:
        """Settle the call as CANCELLED, and tell the host if it knows of it: what became of it is recorded there."""
        if self._in_flight.pop(invocation.tag, None) is None:
            return
        if invocation.attempts and self._stream is not None:
            self._stream.writer.put(host_pb2.ConnectRequest(cancels=[{"tag": invocation.tag}]))
        ran = _ran(invocation)
        self._settle(invocation, Outcome(error=ExecutionError("CANCELLED", "The call was cancelled", ran=ran)))

    def _leaves(self, invocation: Invocation) -> bool:
        """Whether a queued call is still to be sent, now that there is room for it in a frame."""
        if invocation.tag not in self._in_flight:
            return False
        if time.monotonic() >= invocation.deadline:
            del self._in_flight[invocation.tag]
            self._settle(invocation, Outcome(error=late(invocation, ran="no")))
            return False
        invocation.attempts += 1
        return True

    def _results(self, frame: host_pb2.ConnectResponse) -> None:
        self._owed_since = math.inf
        for result in frame.results:
            invocation = self._in_flight.pop(result.tag, None)
            if invocation is not None:
                invocation.invocation_id = result.invocation_id
                self._settle(invocation, wire.outcome_of(result))

    # -------------------------------------------------------------------------------------------------- connection

    async def connect(self) -> None:
        """Open a stream and a session on it. Raises what explains why there is none."""
        if self._channel is None:
            self._channel = grpc.aio.secure_channel(
                self._target,
                channel_credentials(self._files),
                # a channel that follows a dead one must not be given the same TCP connection again
                options=[*wire.message_options(), ("grpc.use_local_subchannel_pool", 1)],
            )
        stream = _Stream(self._channel, self._leaves)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                contracts = await stream.open(self._request)
        except TimeoutError:
            await stream.close()
            raise await self._explain("no answer in time") from None
        except grpc.aio.AioRpcError as failed:
            await stream.close()
            raise await self._refused(failed) from failed
        except BaseException:
            await stream.close()
            raise
        self.contracts.replace(contracts)
        self._max_message_bytes = stream.max_message_bytes
        self._stream = stream
        stream.start(self._results, self._lost)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._sweep())
        waiting, self._unsent = self._unsent, []
        for invocation in waiting:
            if invocation.tag in self._in_flight:
                stream.writer.put(invocation)

    async def close(self) -> None:
        """End the session on the host and the connection to it."""
        self._closed = True
        for task in (self._reconnect, self._watch):
            if task is not None:
                task.cancel()
        if self._stream is not None:
            await self._stream.leave()
        if self._channel is not None:
            await self._channel.close()
        self._fail_all(TransportError("CONNECTION_FAILED", "The session was closed", ran="unknown"))

    async def _refused(self, failed: grpc.aio.AioRpcError) -> AltarError:
        if failed.code() is grpc.StatusCode.PERMISSION_DENIED:
            return AuthorizationError(
                "PERMISSION_DENIED",
                (failed.details() or "The host refused the certificate").removesuffix(" (PERMISSION_DENIED)"),
                ran="no",
                hint="use a certificate of role 'client' that this grid's authority issued",
            )
        return await self._explain(failed.details() or failed.code().name)

    async def _explain(self, details: str) -> AltarError:
        return await asyncio.to_thread(explain_handshake_failure, self._target, self._files, details)

    def _lost(self, reason: AltarError | None) -> None:
        """The stream ended. Calls that were sent are unknown; the others wait for the next stream."""
        stream, self._stream = self._stream, None
        if stream is None or self._closed:
            return
        unsent = {item.tag for item in stream.writer.unsent() if isinstance(item, Invocation)}
        error = reason or TransportError(
            "CONNECTION_FAILED",
            f"The connection to the host at {self._target} was lost",
            ran="unknown",
            hint="repeat the call only if the tool may be run twice",
        )
        for tag, invocation in list(self._in_flight.items()):
            if tag in unsent:
                self._unsent.append(invocation)
            else:
                del self._in_flight[tag]
                self._settle(invocation, Outcome(error=_copy(error)))
        if self._unsent:
            self._connect_again()

    def _connect_again(self) -> None:
        if self._reconnect is None or self._reconnect.done():
            self._reconnect = asyncio.get_running_loop().create_task(self._reconnecting())

    async def _reconnecting(self) -> None:
        pause = 0.05
        until = time.monotonic() + CONNECT_SECONDS
        while not self._closed:
            try:
                await self.connect()
            except AltarError as failed:
                if time.monotonic() >= until:
                    failed.ran = "no"
                    self._fail_all(failed)
                    return
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
            else:
                return

    def _fail_all(self, error: AltarError) -> None:
        calls, self._in_flight, self._unsent = self._in_flight, {}, []
        for invocation in calls.values():
            self._settle(invocation, Outcome(error=_copy(error)))

    async def _sweep(self) -> None:
        """The last word on a deadline, for when the host says none."""
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            unanswered = [tag for tag, call in self._in_flight.items() if now >= call.deadline + GRACE]
            for tag in unanswered:
                invocation = self._in_flight.pop(tag)
                self._settle(
                    invocation,
                    Outcome(
                        error=ExecutionError(
                            "TIMEOUT",
                            f"The host did not answer for {invocation.name!r} in time",
                            ran=_ran(invocation),
                            hint="look at the host's log for what became of the call",
                        )
                    ),
                )
                if invocation.attempts:
                    self._owed_since = min(self._owed_since, now)
            if self._stream is not None and now - self._owed_since > SILENCE:
                await self._start_over(self._stream)

    async def _start_over(self, stream: _Stream) -> None:
        """Leave a connection on which nothing comes any more, such as one that is open on this side only."""
        self._owed_since = math.inf
        channel, self._channel = self._channel, None
        self._lost(None)
        await stream.close()
        if channel is not None:
            await channel.close()


class _Stream:
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
        self._leaves = leaves
        self._session_id = ""
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: asyncio.Task[None]

    async def open(self, request: Request) -> dict[str, RemoteContract]:
        """Say hello, create the session, and give its contracts."""
        hello = host_pb2.ClientHello(
            protocol_versions=[wire.PROTOCOL_VERSION], language="python", sdk_version=__version__
        )
        wanted = host_pb2.CreateSession(tag=1, tools=request.tools, ttl_seconds=_whole_seconds(request.ttl))
        await self._call.write(host_pb2.ConnectRequest(hello=hello, create_sessions=[wanted]))
        created: host_pb2.SessionCreated | None = None
        while created is None:
            frame = await self._read()
            if frame.HasField("hello"):
                self.max_message_bytes = frame.hello.max_message_bytes
            if frame.sessions_created:
                created = frame.sessions_created[0]
        if created.HasField("error"):
            raise wire.error_from_wire(created.error)
        self._session_id = created.session_id
        return {contract.ref.name: _contract(contract) for contract in reversed(created.contracts)}

    def start(self, results: Results, lost: Lost) -> None:
        """Read and write until the stream ends; then say so, once."""
        loop = asyncio.get_running_loop()
        self._writing = loop.create_task(self._write_all())
        self._tasks = [self._writing, loop.create_task(self._read_all(results, lost))]

    async def leave(self) -> None:
        """Destroy the session, send what is queued, and end the stream."""
        ended = host_pb2.DestroySession(tag=2, session_id=self._session_id, force=True)
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

    async def _read_all(self, results: Results, lost: Lost) -> None:
        reason: AltarError | None = None
        try:
            while True:
                results(await self._read())
        except AltarError as closing:
            reason = closing
        except grpc.aio.AioRpcError as failed:
            _log.info("stream ended", extra={"code": failed.code().name})
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
            item.session_id = self._session_id
            return wire.add_call(frame.calls.add(), item, tag=item.tag, now=time.monotonic())
        frame.MergeFrom(item)
        return item.ByteSize() + 200


Results = Callable[[host_pb2.ConnectResponse], None]
Lost = Callable[[AltarError | None], None]
Leaves = Callable[[Invocation], bool]


def _ran(invocation: Invocation) -> Ran:
    """What a client can say of a call that got no answer: one that was never in a frame cannot have run."""
    return "unknown" if invocation.attempts else "no"


def _whole_seconds(ttl: timedelta | None) -> int:
    """A time to live as the wire has it: rounded up and at least 1, because 0 asks for the host's own default."""
    return min(max(1, math.ceil(ttl.total_seconds())), _LONGEST_TTL) if ttl is not None else 0


_LONGEST_TTL = 2**32 - 1


def _contract(told: host_pb2.Contract) -> RemoteContract:
    return RemoteContract(told.ref.name, told.ref.version, wire.digest_from_wire(told.ref.digest), told.declaration)


def _certificates(options: Mapping[str, Any]) -> CertificateFiles:
    paths = {part: options.get(part) for part in ("certificate", "key", "authority")}
    missing = sorted(part for part, path in paths.items() if not path)
    if missing:
        raise ConfigurationError(
            "CERTIFICATE_ERROR",
            f"A grid needs a client certificate; not set: {', '.join(missing)}",
            hint="set [tls] certificate, key and authority in altar.toml; `altar up` makes them",
        )
    return CertificateFiles(**{part: Path(path) for part, path in paths.items() if path})


def _copy(error: AltarError) -> AltarError:
    """One error object for each call: what is raised twice grows two tracebacks."""
    return type(error)(
        error.code, error.message, hint=error.hint, detail=error.detail, ran=error.ran, retry_after=error.retry_after
    )


def _unsettled(invocation: Invocation, _outcome: Outcome) -> None:
    raise RuntimeError(f"{invocation.call_id} was settled before it ran")
