"""A runtime: dials a host, says which contracts it fulfils, and runs their functions with the same executor.

It needs no open port, and it never tells the host what a tool is: a contract that differs from the host's is
refused there, by name.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio

from altar import __version__
from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, TransportError
from altar.grid import wire
from altar.grid.beside import result_as_text
from altar.grid.capabilities import RUNTIME, Capability
from altar.grid.frames import FrameWriter
from altar.grid.notices import Notices
from altar.grid.remote_variables import RemoteVariables, tool_variables
from altar.grid.runtime.fulfilment import Fulfilment
from altar.grid.runtime.nested import CallOut, NestedCalls, caller_of
from altar.grid.runtime.runtime_streams import SentChunks
from altar.grid.status import error_of_rpc
from altar.grid.telemetry import Tracing
from altar.grid.trust.handshake import explain_handshake_failure
from altar.grid.trust.tls import CertificateFiles, channel_credentials
from altar.later.context import ToolContext
from altar.later.executor import Executor
from altar.later.gate import OpenGate
from altar.later.invocation import Invocation, Outcome, call_facts
from altar.later.registry import Registry
from altar.later.source import LocalSource
from altar.later.workplace import LoopTasks

__all__ = ["Runtime"]

_log = logging.getLogger("altar.grid")

CONNECT_SECONDS = 10.0
_FAREWELL_SECONDS = 2.0
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_STEADY_SECONDS = 5.0


class Runtime:
    """One runtime process.

    ``concurrency`` is how many calls it takes at once; ``ready`` is told the fulfilled tools after each handshake, and
    ``unready``, maybe more than once, that this is over: the connection is lost, or the runtime leaves.
    ``drain`` is the longest it stays after :meth:`leave`; a function that runs on then ends with its process.
    ``register`` brings contracts that a host in DEVELOPMENT does not have; ``session_id`` serves that session only.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        runtime_id: str,
        target: str,
        files: CertificateFiles,
        concurrency: int = 64,
        labels: Mapping[str, str] | None = None,
        drain: timedelta = timedelta(seconds=30),
        ready: Callable[[Sequence[str]], None] | None = None,
        unready: Callable[[], None] | None = None,
        tracing: Tracing | None = None,
        register: bool = False,
        session_id: str = "",
    ) -> None:
        self.runtime_id = runtime_id
        self.instance_id = secrets.token_hex(16)
        self.register = register
        self.session_id = session_id
        self.registry = registry
        self.target = target
        self.files = files
        self.concurrency = concurrency
        self.labels = dict(labels or {})
        self.drain = drain
        self.ready = ready or _no_one
        self.unready = unready or _no_one_either
        self.tracing = tracing
        self.leaving = asyncio.Event()
        self.leave_by = math.inf

    async def run(self) -> None:
        """Serve until :meth:`leave`, over as many connections as that takes.

        Raises what cannot get better by trying again: a certificate that is refused, a contract that differs.
        """
        slots = _Slots(self.concurrency)
        try:
            await self._serve(slots)
            await slots.idle(self.leave_by)  # functions whose calls were answered may still run
        except AltarError:
            self.leave()
            await slots.idle(self.leave_by)
            raise
        finally:
            slots.workplace.close()

    def leave(self) -> None:
        """Take no new calls, finish those in flight, and end :meth:`run`."""
        if not self.leaving.is_set():
            self.leave_by = time.monotonic() + self.drain.total_seconds()
            self.leaving.set()
            self.unready()

    async def _serve(self, slots: _Slots) -> None:
        pause = 0.0
        while not self.leaving.is_set():
            connection = _Connection(self, slots)
            try:
                await connection.serve()
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError, TransportError, TimeoutError) as lost:
                await self._raise_if_final(lost)
                words = lost.details() if isinstance(lost, grpc.aio.AioRpcError) else str(lost)
                what = "connection lost" if connection.seconds_attached() else "no connection"
                _log.warning(what, extra={"runtime": self.runtime_id, "reason": (words or "")[:200]})
            finally:
                self.unready()
                await connection.close()
            pause = _pause_after(pause, attached=connection.seconds_attached())
            with suppress(TimeoutError):
                await asyncio.wait_for(self.leaving.wait(), pause * (0.5 + random.random()))  # noqa: S311 - jitter

    async def _raise_if_final(self, lost: Exception) -> None:
        if isinstance(lost, grpc.aio.AioRpcError):
            error = error_of_rpc(lost)
            if error.code in {"PERMISSION_DENIED", "INVALID_CREDENTIALS"}:
                raise ConfigurationError("CERTIFICATE_ERROR", error.message, hint=error.hint)
            if error.code == "VERSION_MISMATCH":
                raise error
            details = lost.details() or lost.code().name
            why = await asyncio.to_thread(explain_handshake_failure, self.target, self.files, details)
            if isinstance(why, ConfigurationError):
                raise why


def _pause_after(pause: float, *, attached: float) -> float:
    """Seconds before the next attempt: twice the last pause, and the first one again after a connection that held.

    ``attached`` is how many seconds it did; one that is ended as soon as it is attached must not be dialled in a hurry.
    """
    return _FIRST_PAUSE if not pause or attached >= _STEADY_SECONDS else min(_LONGEST_PAUSE, 2 * pause)


class _Slots:
    """The places for functions, counted over all connections: a function may outlive the one that its call came by.

    Calls that tools make have places of their own, as many at each depth; a credit is never granted for them.
    """

    def __init__(self, concurrency: int) -> None:
        self.workplace = LoopTasks(threads=concurrency, freed=self.free)
        self._idle = asyncio.Event()
        self._idle.set()
        self._concurrency = concurrency
        self._running = 0
        self._nested: Counter[int] = Counter()
        self._grant: Callable[[int], None] | None = None

    def offer(self, grant: Callable[[int], None]) -> None:
        """Grant a new connection what is free now, and from here on each slot that becomes free."""
        self._grant = grant
        grant(max(0, self._concurrency - self._running))

    def withdraw(self) -> None:
        """The connection is over: what becomes free is for the next one."""
        self._grant = None

    def take(self, depth: int) -> bool:
        """A call has come; false for a nested one too many, whose predecessors were answered and still run."""
        self._idle.clear()
        if depth:
            self._nested[depth] += 1
            return self._nested[depth] <= self._concurrency
        self._running += 1
        return True

    def free(self, invocation: Invocation) -> None:
        """A function has really ended, or will never begin: its slot can take another call."""
        depth = invocation.depth
        if depth:
            self._nested[depth] -= 1
            if not self._nested[depth]:
                del self._nested[depth]
        else:
            self._running -= 1
        if not (self._running or self._nested):
            self._idle.set()
        if self._grant is not None and not depth:
            self._grant(1)

    async def idle(self, by: float) -> None:
        """Wait until no function runs, but not beyond this moment of the monotonic clock."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), max(0.0, by - time.monotonic()))


class _Connection:
    """One stream to the host, from the announcement to the end."""

    def __init__(self, runtime: Runtime, slots: _Slots) -> None:
        self._runtime = runtime
        self._slots = slots
        self._channel = grpc.aio.secure_channel(
            runtime.target,
            channel_credentials(runtime.files),
            options=wire.message_options(),
        )
        attach = self._channel.stream_stream(
            "/altar.grid.v1.RuntimeService/Attach",
            request_serializer=runtime_pb2.AttachRequest.SerializeToString,
            response_deserializer=runtime_pb2.AttachResponse.FromString,
        )
        self._call = attach()
        self._writer: FrameWriter[runtime_pb2.AttachRequest, Any] = FrameWriter(
            self._call.write,
            runtime_pb2.AttachRequest,
            self._add,
            gathers=True,  # the credit for a coroutine follows its result
        )
        self._variables = RemoteVariables(self._send_variables)
        self._nested = NestedCalls(self._writer.put, runtime.registry, self._variables)
        self._source = LocalSource(slots.workplace, context=self._context)
        self._executor = Executor(runtime.registry, OpenGate(), self._source, self._answer)
        self._in_flight: dict[int, Invocation] = {}
        self._fulfilment = Fulfilment(runtime.registry, register=runtime.register, session_id=runtime.session_id)
        self._notices = Notices(self._writer.put)
        self._max_message_bytes = wire.MAX_MESSAGE_BYTES
        self._host_takes_blobs = False
        self._attached_at = math.inf
        self._heartbeat = 10.0
        self._last_heard = time.monotonic()
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        """Announce, fulfil, then run what comes until the stream ends or the runtime has drained."""
        await self._handshake()
        loop = asyncio.get_running_loop()
        reading = loop.create_task(self._read_all())
        self._tasks = [reading, loop.create_task(self._writer.run()), loop.create_task(self._beat())]
        self._tasks.append(loop.create_task(self._drained()))
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        self._runtime.unready()
        for task in done:
            task.result()
        await asyncio.wait((reading,), timeout=_FAREWELL_SECONDS)  # what was written has arrived when the host hangs up

    async def close(self) -> None:
        """End the stream and whatever still runs for it: the host has closed those calls already."""
        self._slots.withdraw()
        self._variables.fail(None)
        for invocation in list(self._in_flight.values()):
            self._source.cancel(invocation)
        self._nested.lost()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._call.cancel()
        await self._channel.close()

    def seconds_attached(self) -> float:
        """How long ago the host took this runtime in; nothing when it never did."""
        return max(0.0, time.monotonic() - self._attached_at)

    # --------------------------------------------------------------------------------------------------- handshake

    async def _handshake(self) -> None:
        runtime = self._runtime
        announce = runtime_pb2.AnnounceRuntime(
            runtime_id=runtime.runtime_id,
            language="python",
            sdk_version=__version__,
            protocol_versions=[wire.PROTOCOL_VERSION],
            capabilities=RUNTIME,
            concurrency=runtime.concurrency,
            labels=runtime.labels,
            instance_id=runtime.instance_id,
        )
        first, announced = self._fulfilment.first(), False
        heard: list[runtime_pb2.AttachResponse] = []
        first.announce.CopyFrom(announce)
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._call.write(first)
            while not (announced and self._fulfilment.is_settled):
                frame = await self._read()
                if frame is None:
                    raise _ended()
                if frame.HasField("announced"):
                    self._nested.announced(frame.announced)
                    self._heartbeat = frame.announced.heartbeat_ms / 1000
                    self._host_takes_blobs = Capability.BLOBS in frame.announced.capabilities
                    self._max_message_bytes = self._source.limit = frame.announced.max_message_bytes
                    announced = True
                    more = self._fulfilment.announced(frame.announced)
                    if more is not None:
                        await self._call.write(more)
                self._fulfilment.heard(frame)
                heard.append(frame)
        self._fulfilment.require_some()
        self._attached_at = self._last_heard = time.monotonic()
        self._slots.offer(self._writer.put)
        runtime.ready(list(self._fulfilment.serves))
        for frame in heard:  # calls that tools make need no credit, and may come with the answer
            frame.ClearField("fulfilled")
            frame.ClearField("registered")
            self._take(frame)

    def _offered(self, frame: runtime_pb2.AttachResponse) -> None:
        """The host has other contracts now, or has answered to what was said of them."""
        if frame.HasField("offered"):
            self._nested.catalog.names = sorted({ref.name for ref in frame.offered.contracts})
            self._writer.put(self._fulfilment.answer(frame.offered.contracts))
        before = len(self._fulfilment.serves)
        self._fulfilment.heard(frame)
        if len(self._fulfilment.serves) > before:
            self._runtime.ready(list(self._fulfilment.serves))

    # ------------------------------------------------------------------------------------------------------- calls

    async def _read_all(self) -> None:
        while True:
            frame = await self._read()
            if frame is None:
                if self._runtime.leaving.is_set():
                    return
                raise _ended()
            self._last_heard = time.monotonic()
            self._take(frame)

    def _take(self, frame: runtime_pb2.AttachResponse) -> None:
        self._variables.answered(frame.variable_answers)
        if frame.nested_results or frame.stream_chunks or frame.notices:
            self._nested.take(frame)
        if frame.HasField("offered") or frame.HasField("fulfilled") or frame.HasField("registered"):
            self._offered(frame)
        calls = [made for call in frame.calls if (made := self._invocation(call)) is not None]
        if calls and self._runtime.tracing is not None:
            self._runtime.tracing.each(calls, self._executor.execute)
        elif calls:
            self._executor.execute(calls)
        for credit in frame.stream_credits:
            granted = self._in_flight.get(credit.tag)
            if granted is not None and granted.chunks is not None:
                granted.chunks.grant(credit.more.chunks, credit.more.bytes)
        for cancel in frame.cancels:
            cancelled = self._in_flight.get(cancel.tag)
            if cancelled is not None:
                self._source.cancel(cancelled)

    def _invocation(self, call: call_pb2.ToolCall) -> Invocation | None:
        """A call that has come, with a slot; None for one that is refused."""
        has_slot = self._slots.take(call.depth)
        try:
            invocation = wire.invocation_of(call, now=self._last_heard)
            invocation.principal = call.principal or invocation.principal
            if call.variables:
                invocation.variables = wire.digest_from_wire(call.variables)
            if call.depth:
                _inside(invocation, call, has_slot=has_slot)
        except AltarError as malformed:
            self._refuse(call, malformed)
            return None
        self._in_flight[call.tag] = invocation
        if call.HasField("window"):
            window, limit = call.window, self._max_message_bytes
            invocation.chunks = SentChunks(call.tag, window.chunks, window.bytes, self._writer.put, limit=limit)
        if call.notices:
            invocation.tell = self._notices.teller(call.tag)
        return invocation

    def _context(self, invocation: Invocation) -> ToolContext:
        """What the function of a call is given: the variables and the tools of its session are those of the host."""
        loop = asyncio.get_running_loop()
        return ToolContext(
            invocation,
            variables=lambda context: tool_variables(context, self._variables, loop),
            nested=self._nested.of,
            tell=invocation.tell,
        )

    def _send_variables(self, message: wire.VariableRequest) -> bool:
        self._writer.put(runtime_pb2.AttachRequest(variable_requests=[message]))
        return True

    def _refuse(self, call: call_pb2.ToolCall, error: AltarError) -> None:
        invocation = Invocation(call.call.name, b"", call.call.call_id, tag=call.tag, depth=call.depth)
        self._answer(invocation, Outcome(error=error))

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        self._in_flight.pop(invocation.tag, None)
        if outcome.size > self._max_message_bytes:
            size, limit = outcome.size, self._max_message_bytes
            outcome = Outcome(error=wire.too_large("contents of the result", size, limit, ran="yes"))
        if outcome.blobs is not None and not self._host_takes_blobs:
            outcome = result_as_text(invocation, outcome, limit=self._max_message_bytes, who="this host")
        if outcome.error is not None and outcome.error.detail and outcome.error.code != "TOOL_EXECUTION_FAILED":
            _log.warning(
                "call failed",
                extra={
                    **call_facts(invocation),
                    "code": outcome.error.code,
                    "detail": outcome.error.detail,
                },
            )
        if self._runtime.tracing is not None:
            self._runtime.tracing.end(invocation, outcome)
        self._writer.put((invocation, outcome))
        if invocation.handle is None:
            self._slots.free(invocation)

    def _add(self, frame: runtime_pb2.AttachRequest, item: Any) -> int:
        if isinstance(item, tuple):
            chunks = item[0].chunks
            size = 0 if chunks is None else chunks.drain(frame)
            if chunks is not None and chunks.waits:
                self._writer.put(item)  # the result comes after the last value, in a frame that has room for both
                return int(size)
            return int(size + wire.add_result(frame.results.add(), *item))
        if isinstance(item, int):
            frame.credits += item
            return 2
        if callable(item):
            return int(item(frame))
        if isinstance(item, CallOut):
            return self._nested.add(frame, item)
        frame.MergeFrom(item)
        return 10

    # ---------------------------------------------------------------------------------------------------- the rest

    async def _read(self) -> runtime_pb2.AttachResponse | None:
        frame = await self._call.read()
        if not isinstance(frame, runtime_pb2.AttachResponse):  # the end of the stream
            return None
        if frame.HasField("closing"):
            raise wire.error_from_wire(frame.closing)
        return frame

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._heartbeat / 2)
            now = time.monotonic()
            if now - self._last_heard > 3 * self._heartbeat:
                raise TransportError("CONNECTION_FAILED", "The host was silent for too long", ran="unknown")
            if now - self._writer.last_written >= self._heartbeat / 2:
                self._writer.put(runtime_pb2.AttachRequest(heartbeat=runtime_pb2.Heartbeat()))

    async def _drained(self) -> None:
        """Say that this runtime leaves, and serve on until the host hangs up or the time for that is over.

        The host hangs up when it has the answer to each call: it alone knows which are still on their way.
        """
        await self._runtime.leaving.wait()
        self._writer.put(runtime_pb2.AttachRequest(drain=runtime_pb2.Drain()))
        await asyncio.sleep(max(0.0, self._runtime.leave_by - time.monotonic()))
        await self._writer.flushed()
        await self._call.done_writing()


def _inside(invocation: Invocation, call: call_pb2.ToolCall, *, has_slot: bool) -> None:
    """Make it the call of another call. Raises RESOURCE_EXHAUSTED when there is no place for it."""
    invocation.parent = caller_of(call)
    invocation.depth = call.depth
    if not has_slot:
        raise ExecutionError(
            "RESOURCE_EXHAUSTED",
            f"The runtime still runs too many calls {call.depth} deep, which were answered before they had ended",
            ran="no",
            hint="let plain functions look whether they are still wanted: context.check_cancelled()",
            retry_after=timedelta(seconds=1),
        )


def _ended() -> AltarError:
    return TransportError("CONNECTION_FAILED", "The host ended the connection", ran="unknown")


def _no_one(_tools: Sequence[str]) -> None:
    """Nobody asked to be told."""


def _no_one_either() -> None:
    """Nobody asked to be told."""
