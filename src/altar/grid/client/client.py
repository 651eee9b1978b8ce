"""A session that runs on a grid: one stream to one host, on which every call, cancel and result travels.

The client does not check arguments; it sends the digest of the contract it knows and is told when that is stale.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, Ran, TransportError
from altar.grid import wire
from altar.grid.beside import is_too_large_as_text, refusal_as_text
from altar.grid.capabilities import Capability, missing
from altar.grid.client.awaiting import approval_at
from altar.grid.client.client_credential import ClientCredential, credential_in
from altar.grid.client.client_stream import SESSION_GONE, ClientStream
from altar.grid.client.host_contracts import HostContracts, RemoteContract
from altar.grid.client.remote_sessions import RemoteSessions, require_sessions
from altar.grid.client_streams import left, no_answer, receive, take_in
from altar.grid.notices import hear
from altar.grid.remote_variables import RemoteVariables
from altar.grid.status import error_of_rpc
from altar.grid.telemetry import tracing_in
from altar.grid.trust.certificates import identity_in
from altar.grid.trust.handshake import explain_handshake_failure
from altar.grid.trust.tls import CertificateFiles, channel_credentials
from altar.later.approvals import Approval
from altar.later.invocation import Answer, Invocation, Outcome, late
from altar.later.session_info import SessionInfo
from altar.later.source import Request, SessionCatalog, ToolSource
from altar.later.variable_table import Request as Variables
from altar.later.variable_table import Watcher
from altar.later.variables import Then
from altar.later.workplace import HEED_SECONDS

__all__ = ["GridSource", "certificates_of", "connect", "target_of"]

_log = logging.getLogger("altar.grid")

CONNECT_SECONDS = 10.0
GRACE = 1.0
"""Seconds a client waits beyond a deadline for the host's own word on it."""
MAX_SENT = 5
"""How often a call with an idempotency key is sent; one that is lost with its connection is sent on the next one."""
SILENCE = 5.0
"""Seconds a host may owe an answer and say nothing at all before its connection is taken for dead."""


@asynccontextmanager
async def connect(request: Request) -> AsyncIterator[tuple[SessionCatalog, ToolSource]]:
    """Connect to a host, open a session there, and leave in order.

    ``grid://host:port/session-…`` joins a session that this principal has open, and leaves it open.
    ``request.options``: ``certificate``, ``key`` and ``authority``, the paths of the client's PEM files; and what
    proves who asks, where that is not the certificate: see :func:`altar.grid.client.client_credential.credential_in`.
    Raises TransportError CONNECTION_FAILED when the host cannot be reached, CERTIFICATE_ERROR or
    TLS_HANDSHAKE_FAILED when the two do not trust each other.
    """
    target, session_id = target_of(request.address)
    source = GridSource(target, certificates_of(request.options), request, session_id=session_id)
    try:
        await source.connect()
        yield source.contracts, source
    finally:
        await source.close()


def target_of(address: str) -> tuple[str, str]:
    """The ``host:port`` of an address, and the id of the session to join, or none; INVALID_CONFIG without a port."""
    target, _, session_id = address.removeprefix("grid://").rstrip("/").partition("/")
    if ":" not in target:
        raise ConfigurationError(
            "INVALID_CONFIG", f"The address {address!r} has no port", hint="write grid://host:port"
        )
    return target, session_id


class GridSource:
    """Puts calls on the stream and settles them with what comes back.

    When the stream breaks, what was sent is CONNECTION_FAILED with ``ran: unknown``; what was not, and what has an
    idempotency key, is sent on the next stream, which is opened by itself as long as there is something to send.
    """

    def __init__(self, target: str, files: CertificateFiles, request: Request, *, session_id: str = "") -> None:
        """Take the address of the host; ``session_id`` is a session to join, which is left as it is at the end."""
        self._tracing = tracing_in(request.options)
        self._target = target
        self._files = files
        self._credential: ClientCredential | None = credential_in(request.options, target=target, files=files)
        self._renewing: asyncio.Task[None] | None = None
        self._request = request
        self.contracts = HostContracts()
        self.session_id = session_id
        self._joined = bool(session_id)
        self._variables = RemoteVariables(self._send_variables)
        self._sessions = RemoteSessions(self._send_or_connect)
        self._settle: Answer = _unsettled
        self._tags = itertools.count(1)
        self._in_flight: dict[int, Invocation] = {}
        self._unsent: list[Invocation] = []
        self._stream: ClientStream | None = None
        self._channel: grpc.aio.Channel | None = None
        self._reconnect: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._closed = False
        self._owed_since = math.inf
        self._max_message_bytes = wire.MAX_MESSAGE_BYTES

    # ------------------------------------------------------------------------------------------------------- calls

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Queue the call for the next frame."""
        self._settle = settle if self._tracing is None else self._tracing.ending(settle)
        if time.monotonic() >= invocation.deadline:
            raise late(invocation, ran="no")
        limit = self._max_message_bytes
        if invocation.size > limit:
            raise wire.too_large("arguments", invocation.size, limit, ran="no")
        if self._tracing is not None:
            self._tracing.begin(invocation)
        invocation.tag = next(self._tags)
        if invocation.chunks is not None:
            receive(invocation, self._send_if_connected)
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
            if invocation.chunks is not None and not invocation.cancelled:
                self._in_flight[invocation.tag] = invocation
                left(invocation, until=time.monotonic() + HEED_SECONDS)
                return
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
        if invocation.chunks is not None and Capability.STREAMING not in self._capabilities():
            del self._in_flight[invocation.tag]
            what = f"Reading the values of {invocation.name!r} one by one"
            error = missing(Capability.STREAMING, what=what, who=f"the host at {self._target}")
            self._settle(invocation, Outcome(error=error))
            return False
        if invocation.blobs is not None and not self._takes(invocation):
            return False
        invocation.attempts += 1
        return True

    def _takes(self, invocation: Invocation) -> bool:
        """Whether the host can take a call with blobs, as they are or as text; else the call is refused here."""
        if Capability.BLOBS in self._capabilities() or not is_too_large_as_text(invocation, self._max_message_bytes):
            return True
        del self._in_flight[invocation.tag]
        self._settle(invocation, Outcome(error=refusal_as_text(invocation, who=f"the host at {self._target}")))
        return False

    def _capabilities(self) -> frozenset[str]:
        return self._stream.capabilities if self._stream is not None else frozenset()

    def _results(self, frame: host_pb2.ConnectResponse) -> None:
        self._owed_since = math.inf
        self._variables.answered(frame.variable_answers)
        for changed in frame.contracts_changed:
            if changed.session_id == self.session_id:
                self.contracts.replace(_contract(contract) for contract in changed.contracts)
        self._sessions.answered(frame.session_answers)
        for chunk in frame.stream_chunks:
            reading = self._in_flight.get(chunk.tag)
            if reading is not None and (broken := take_in(reading, chunk, self._send_if_connected)) is not None:
                del self._in_flight[chunk.tag]
                self._settle(reading, Outcome(error=broken))
        for notice in frame.notices:
            heard = self._in_flight.get(notice.tag)
            if heard is not None and heard.tell is not None:
                hear(heard, notice)
        for result in frame.results:
            invocation = self._in_flight.pop(result.tag, None)
            if invocation is not None:
                invocation.invocation_id = result.invocation_id
                outcome = wire.outcome_of(result, invocation)
                outcome.replayed = result.replayed
                self._settle(invocation, outcome)

    def _send_if_connected(self, message: host_pb2.ConnectRequest) -> None:
        if self._stream is not None:
            self._stream.writer.put(message)

    # --------------------------------------------------------------------------------------------------- variables

    def ask(self, request: Variables, then: Then) -> None:
        """Ask the host for variables of this session."""
        message = wire.variable_request(request)
        self._of_this_session(message)
        self._variables.ask(message, request, then)

    def watch(self, watcher: Watcher) -> None:
        """Watch variables of this session, over as many streams as that takes."""
        message = wire.VariableRequest()
        self._of_this_session(message)
        self._variables.watch(message, watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """End a watch, from any thread."""
        self._variables.unwatch(watcher)

    def patience(self) -> None:
        """The host tells of everything, also of the end."""

    def _send_variables(self, message: wire.VariableRequest) -> bool:
        if self._stream is not None:
            self._stream.writer.put(host_pb2.ConnectRequest(variable_requests=[message]))
        elif not (self._closed or message.HasField("unwatch")):
            self._connect_again()
        return self._stream is not None

    def _of_this_session(self, message: wire.VariableRequest) -> None:
        message.session_id = self.session_id

    # ----------------------------------------------------------------------------------------------- the session itself

    def owner(self) -> str:
        """In whose name the session is, by its credential or its certificate; what the host decides by is its own."""
        return identity_in(self._files.certificate).uri if self._credential is None else self._credential.owner

    async def describe(self) -> SessionInfo:
        """What the host says of this session."""
        return await self.described(self.session_id)

    async def described(self, session_id: str) -> SessionInfo:
        """What the host says of a session in the same name."""
        return await self._sessions.describe(session_id)

    async def extend(self, ttl: timedelta | None) -> SessionInfo:
        """Let the session live for so long from now on, as far as the host allows; rounded up to whole seconds."""
        return await self._sessions.extend(self.session_id, ttl)

    async def await_approval(self, handle: str, *, seconds: float, tell_call: bool = False) -> Approval:
        """How a request for approval stands, as soon as it is decided, or after about so many seconds.

        Raises what the host refuses it with, and CONNECTION_FAILED when it cannot be reached.
        """
        if self._channel is None:
            await self.connect()
        credential = await self._credential.fresh() if self._credential is not None else b""
        return await approval_at(self._channel, handle, credential=credential, seconds=seconds, tell_call=tell_call)

    def _send_or_connect(self, message: host_pb2.ConnectRequest) -> None:
        if self._stream is not None:
            require_sessions(self._stream.capabilities)
            self._stream.writer.put(message)
        elif not self._closed:
            self._connect_again()

    # -------------------------------------------------------------------------------------------------- connection

    async def connect(self) -> None:
        """Open a stream and a session on it. Raises what explains why there is none."""
        credential = await self._credential.fresh() if self._credential is not None else b""
        if self._channel is None:
            self._channel = grpc.aio.secure_channel(
                self._target,
                channel_credentials(self._files),
                # a channel that follows a dead one must not be given the same TCP connection again
                options=[*wire.message_options(), ("grpc.use_local_subchannel_pool", 1)],
            )
        stream = ClientStream(self._channel, self._leaves)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                told = await stream.open(
                    self._request,
                    session_id=self.session_id,
                    renew=not (self._joined or self._variables.used),
                    credential=credential,
                )
        except TimeoutError:
            await stream.close()
            raise await self._explain("no answer in time") from None
        except grpc.aio.AioRpcError as failed:
            await stream.close()
            error = error_of_rpc(failed, ran="no")
            if error.code == "CONNECTION_FAILED":
                error = await self._explain(failed.details() or failed.code().name)
            raise error from failed
        except BaseException:
            await stream.close()
            raise
        self.contracts.replace(_contract(contract) for contract in told)
        is_another = bool(self.session_id) and self.session_id != stream.session_id
        self.session_id = stream.session_id
        self._max_message_bytes = stream.max_message_bytes
        self._stream = stream
        stream.start(self._results, self._lost)
        if self._watch is None:
            self._watch = asyncio.get_running_loop().create_task(self._sweep())
        waiting, self._unsent = self._unsent, []
        for invocation in waiting:
            if invocation.tag not in self._in_flight:
                continue
            if is_another and invocation.attempts:  # a host that lost the session may have lost the key
                del self._in_flight[invocation.tag]
                self._settle(invocation, Outcome(error=self._lost_call()))
            else:
                stream.writer.put(invocation)
        self._variables.resume(again=self._of_this_session)
        self._sessions.resume()

    async def close(self) -> None:
        """End the session on the host and the connection to it."""
        self._closed = True
        for task in (self._reconnect, self._watch, self._renewing):
            if task is not None:
                task.cancel()
        self._variables.fail(None)
        self._sessions.fail(None)
        if self._stream is not None:
            await self._stream.leave(destroy=not self._joined)
        if self._channel is not None:
            await self._channel.close()
        self._fail_all(TransportError("CONNECTION_FAILED", "The session was closed", ran="unknown"))

    async def _explain(self, details: str) -> AltarError:
        return await asyncio.to_thread(explain_handshake_failure, self._target, self._files, details)

    def _lost(self, reason: AltarError | None) -> None:
        """The stream ended. Calls that were sent are unknown; the others wait for the next stream."""
        stream, self._stream = self._stream, None
        if stream is None or self._closed:
            return
        queued = stream.writer.unsent()
        unsent = {item.tag for item in queued if isinstance(item, Invocation)}
        self._variables.lost(
            asked for item in queued if isinstance(item, host_pb2.ConnectRequest) for asked in item.variable_requests
        )
        error = reason or self._lost_call()
        for tag, invocation in list(self._in_flight.items()):
            is_kept = invocation.once and invocation.chunks is None  # the values of a stream are not
            if tag in unsent or (is_kept and invocation.attempts < MAX_SENT):
                self._unsent.append(invocation)
            else:
                del self._in_flight[tag]
                self._settle(invocation, Outcome(error=_copy(error)))
        if self._unsent or self._variables.needs_stream or self._sessions.needs_stream:
            self._connect_again()

    def _lost_call(self) -> AltarError:
        return TransportError(
            "CONNECTION_FAILED",
            f"The connection to the host at {self._target} was lost",
            ran="unknown",
            hint="repeat the call only if the tool may be run twice",
        )

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
                if time.monotonic() >= until or failed.code in SESSION_GONE:
                    failed.ran = "no"
                    self._fail_all(failed)
                    return
                await asyncio.sleep(pause)
                pause = min(1.0, pause * 2)
            else:
                return

    def _fail_all(self, error: AltarError) -> None:
        self._variables.fail(error)
        self._sessions.fail(error)
        calls, self._in_flight, self._unsent = self._in_flight, {}, []
        for invocation in calls.values():
            told = _copy(error)
            if invocation.once and invocation.attempts:
                told.ran = "unknown"
            self._settle(invocation, Outcome(error=told))

    async def _sweep(self) -> None:
        """The last word on a deadline, for when the host says none."""
        while True:
            await asyncio.sleep(0.1)
            now = time.monotonic()
            unanswered = [tag for tag, call in self._in_flight.items() if now >= call.deadline + GRACE]
            for tag in unanswered:
                invocation = self._in_flight.pop(tag)
                self._settle(invocation, Outcome(error=no_answer(invocation)))
                if invocation.attempts:
                    self._owed_since = min(self._owed_since, now)
            if self._stream is not None and now - self._owed_since > SILENCE:
                await self._start_over(self._stream)
            if self._credential is not None and self._stream is not None and self._credential.is_due:
                self._renew(self._credential)

    def _renew(self, credential: ClientCredential) -> None:
        if self._renewing is None or self._renewing.done():
            self._renewing = asyncio.get_running_loop().create_task(self._renewed(credential))

    async def _renewed(self, credential: ClientCredential) -> None:
        """Show the host a fresh credential before the last one ends; what fails is tried again in some seconds."""
        try:
            await self._sessions.extend(self.session_id, None, credential=await credential.fresh())
        except AltarError as failed:
            _log.warning("credential not renewed", extra={"code": failed.code, "reason": failed.message})

    async def _start_over(self, stream: ClientStream) -> None:
        """Leave a connection on which nothing comes any more, such as one that is open on this side only."""
        self._owed_since = math.inf
        channel, self._channel = self._channel, None
        self._lost(None)
        await stream.close()
        if channel is not None:
            await channel.close()


def _ran(invocation: Invocation) -> Ran:
    """What a client can say of a call that got no answer: one that was never in a frame cannot have run."""
    return "unknown" if invocation.attempts else "no"


def _contract(told: host_pb2.Contract) -> RemoteContract:
    digest = wire.digest_from_wire(told.ref.digest)
    return RemoteContract(told.ref.name, told.ref.version, digest, told.declaration, weighted=told.weighted)


def certificates_of(options: Mapping[str, Any]) -> CertificateFiles:
    """The certificate files of a client, from the options of a source; CERTIFICATE_ERROR when one is not set."""
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
        error.code,
        error.message,
        hint=error.hint,
        detail=error.detail,
        path=error.path,
        ran=error.ran,
        retry_after=error.retry_after,
        defects=error.defects,
        more_defects=error.more_defects,
        handle=error.handle,
    )


def _unsettled(invocation: Invocation, _outcome: Outcome) -> None:
    raise RuntimeError(f"{invocation.call_id} was settled before it ran")
