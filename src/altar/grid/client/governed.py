"""A session on a grid that may run tools in its own process: under a permit of the host, or when none is in reach.

What is joined here is a row of the table of modes: the contracts of the host, those of this process where both are the
same contract; `HostGate`; and `LocalSource`, or the stream to the host for calls that go there.
Where a call runs is decided when its contract is found, and never changes after it was sent.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from altar._proto.altar.grid.v1 import host_pb2
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.grid.capabilities import Capability
from altar.grid.client.client import GridSource, certificates_of, target_of
from altar.grid.client.client import connect as connect_remote
from altar.grid.client.client_credential import owner_in
from altar.grid.client.fallback import Fallback, is_unreachable
from altar.grid.client.governed_link import GovernedLink
from altar.grid.client.host_contracts import HostContracts
from altar.grid.client.host_gate import HostGate
from altar.grid.client.journals import Journals
from altar.grid.client.shipping import LeftOver
from altar.grid.trust.certificates import identity_in
from altar.grid.trust.tls import CertificateFiles
from altar.later.approvals import is_handle
from altar.later.beside import checked_by
from altar.later.context import ToolContext
from altar.later.gate import Gate
from altar.later.invocation import Answer, Contract, Invocation
from altar.later.local_dispatch import ExecutionMode, allows_local_dispatch
from altar.later.registry import REGISTRY, Registry
from altar.later.source import LocalSource, Request, SessionCatalog, ToolSource
from altar.later.tool import ToolFunction
from altar.later.workplace import LoopTasks

__all__ = ["GovernedCatalog", "GovernedSource", "Terms", "connect"]

_log = logging.getLogger("altar.grid")

JOURNAL = Path(".altar/journal")
"""Where a session keeps its journals unless it is told another place."""

_TICK_SECONDS = 0.1
_LEAVE_SECONDS = 5.0
"""How long a session that ends waits for the calls that run here, and then for the host to record them."""
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Terms:
    """Where the calls of a session may run: the mode, the tools that may do without a host, and the journal."""

    mode: ExecutionMode = ExecutionMode.REMOTE
    fallback: tuple[str, ...] = ()
    journal: Path = JOURNAL

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Terms | None:
        """The terms in the options of a source; None when every call goes to the grid.

        Raises ConfigurationError INVALID_CONFIG for a mode that there is not.
        """
        said = options.get("execution_mode") or ExecutionMode.REMOTE
        if said not in set(ExecutionMode):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"There is no execution mode {said!r}",
                ran="no",
                hint=f"there is {', '.join(ExecutionMode)}",
            )
        terms = cls(ExecutionMode(said), tuple(options.get("fallback") or ()), Path(options.get("journal") or JOURNAL))
        return terms if terms.fallback or terms.mode is not ExecutionMode.REMOTE else None


@asynccontextmanager
async def connect(request: Request) -> AsyncIterator[tuple[SessionCatalog, ToolSource]]:
    """Connect to a host, ship what earlier processes left behind, and leave in order.

    ``request.options``: those of :func:`altar.grid.client.client.connect`, and ``execution_mode``, ``fallback`` (names
    of tools) and ``journal`` (a directory).
    A host that cannot be reached is no error when there are tools that may do without it.
    """
    terms = Terms.of(request.options)
    if terms is None:
        async with connect_remote(request) as remote:
            yield remote
        return
    target, session_id = target_of(request.address)
    files = certificates_of(request.options)
    owner = await owner_in(request.options, target=target)
    source = GovernedSource(target, files, request, terms=terms, session_id=session_id, owner=owner)
    try:
        await source.begin()
        yield source.catalog, source
    finally:
        await source.close()


class GovernedCatalog:
    """The catalog of the row: the contracts of the host, and of those the tools that run here.

    A tool of this process is meant only where it is the very contract that the host has.
    """

    def __init__(
        self, contracts: HostContracts, *, mode: ExecutionMode, fallback: Fallback, registry: Registry
    ) -> None:
        self.permitted = False
        self._contracts = contracts
        self._mode = mode
        self._fallback = fallback
        self._registry = registry

    def find(self, invocation: Invocation) -> Contract:
        """The contract of a call: the tool itself where it is to run here, else what the host told of it."""
        spare = None if self._contracts.names else self._fallback.tool(invocation.name, invocation.version)
        if spare is not None:  # no host has told anything yet, so it is in nobody's session but this one's
            return spare
        contract = self._contracts.find(invocation)
        if self._mode is ExecutionMode.REMOTE:
            return contract
        tool = self._registry.get(contract.name, contract.version)
        why_not = self._why_not(tool, contract.digest, invocation)
        if tool is not None and why_not is None:
            invocation.where = "caller"
            return tool
        if self._mode is ExecutionMode.GOVERNED_LOCAL and why_not is not None:
            raise why_not
        return contract

    @property
    def names(self) -> list[str]:
        """Names of the tools, sorted."""
        return self._contracts.names or self._fallback.names

    def declaration(self, name: str, asked: str = "") -> FunctionDeclaration | None:
        """What a tool is, in the version asked for; None for one that is not in the session."""
        told = self._contracts.declaration(name, asked)
        spare = None if told is not None or self._contracts.names else self._fallback.tool(name, asked)
        return spare.declaration if spare is not None else told

    def _why_not(self, tool: ToolFunction[..., Any] | None, digest: str, invocation: Invocation) -> AltarError | None:
        """Why a call cannot run here; None when it can."""
        name = invocation.name
        if tool is None:
            return _unavailable(f"{name!r} is not declared in this process", "import the module that declares it")
        if tool.digest != digest:
            return ValidationError(
                "VERSION_MISMATCH",
                f"{name!r} in this process is not the contract that the host has",
                ran="no",
                hint="run the release of the code that the manifest was made from",
            )
        if not allows_local_dispatch(tool.declaration):
            return _unavailable(
                f"The contract of {name!r} does not allow it to run where it is called",
                "declare it with local_dispatch=True, and give the host its new contract",
            )
        if not self.permitted:
            return _unavailable(
                "The host does not let this client run tools in its own process",
                "ask its operator to name you in host.local_dispatch",
            )
        if invocation.chunks is not None or (invocation.once and not is_handle(invocation.call_id)):
            what = "one by one" if invocation.chunks is not None else "with an idempotency key"
            return _unavailable(f"{name!r} cannot be called {what} in this process", "call it on the grid")
        return None


class GovernedSource(GridSource):
    """The stream to the host, and the workplace for what runs here.

    ``owner`` is in whose name the session is, where a credential says that: it has journals of its own.
    """

    def __init__(
        self,
        target: str,
        files: CertificateFiles,
        request: Request,
        *,
        terms: Terms,
        session_id: str = "",
        owner: str = "",
        registry: Registry = REGISTRY,
        wall_ms: Callable[[], int] | None = None,
    ) -> None:
        super().__init__(target, files, request, session_id=session_id)
        self._terms = terms
        self._wall_ms = wall_ms or _wall_ms
        self._principal = owner or identity_in(files.certificate).name
        self._fallback = Fallback(terms.fallback, registry)
        self.catalog = GovernedCatalog(self.contracts, mode=terms.mode, fallback=self._fallback, registry=registry)
        self.link = GovernedLink(self._put, lambda: self.session_id)
        loop = asyncio.get_running_loop()
        self.journals = Journals(
            terms.journal, principal=self._principal, target=target, deliver=lambda told: _soon(loop, told)
        )
        self._left = LeftOver(terms.journal, principal=self._principal, target=target)
        self._gate: HostGate | None = None
        self._workplace: LoopTasks | None = None
        self._here: LocalSource | None = None
        self._waiting: list[Callable[[AltarError | None], None]] = []
        self._trying: asyncio.Task[None] | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._pause = _FIRST_PAUSE
        self._next_try = 0.0

    def owner(self) -> str:
        """In whose name the session is, also before the host was reached."""
        return super().owner() or self._principal

    # ------------------------------------------------------------------------------------------------------- the row

    def gate(self, inner: Gate, *, context: Callable[[Invocation], ToolContext]) -> Gate:
        """The gate of the session, over its own; ``context`` makes what a tool that runs here is given."""
        self._workplace = LoopTasks()
        self._here = LocalSource(self._workplace, context=context)
        self._here.limit = self.max_message_bytes
        self._gate = HostGate(
            inner,
            link=self.link,
            journals=self.journals,
            reach=self,
            fallback=self._fallback,
            wall_ms=self._wall_ms,
        )
        return self._gate

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Run it here, or put it on the stream, as was decided when its contract was found."""
        if invocation.where and self._here is not None:
            self._here.run(invocation, settle)
        else:
            super().run(invocation, settle)

    def cancel(self, invocation: Invocation) -> None:
        """Keep it from running, stop it here, or tell the host."""
        if self._gate is not None and self._gate.cancel(invocation):
            return
        if invocation.where and self._here is not None:
            self._here.cancel(invocation)
        else:
            super().cancel(invocation)

    # ------------------------------------------------------------------------------------------------ the connection

    async def begin(self) -> None:
        """Connect for the first time, and ship what was left behind."""
        try:
            await self.connect()
        except AltarError as failed:
            if not (self._fallback and is_unreachable(failed)):
                raise
            _log.warning("no host in reach", extra={"host": self._target, "reason": failed.message})
        self._ticking = asyncio.get_running_loop().create_task(self._tick())
        for each in await asyncio.to_thread(self._left.read):
            self.link.report(each.report, each.taken)

    async def connect(self) -> None:
        """Open a stream and a session on it, and go on with what waits for one."""
        try:
            await super().connect()
        except AltarError as failed:
            self._tell_reached(failed)
            raise
        self.catalog.permitted = self._stream is not None and Capability.LOCAL_DISPATCH in self._stream.capabilities
        if self._here is not None:
            self._here.limit = self.max_message_bytes
        self._pause = _FIRST_PAUSE
        self._tell_reached(None)
        self.link.resume()

    @property
    def connected(self) -> bool:
        """Whether there is a stream now."""
        return self._stream is not None

    @property
    def max_message_bytes(self) -> int:
        """The host's limit for arguments and results."""
        return self._max_message_bytes

    @property
    def takes_blobs(self) -> bool:
        """Whether the host takes large bytes beside the JSON; so while there is no connection."""
        return self._stream is None or Capability.BLOBS in self._stream.capabilities

    def reach(self, then: Callable[[AltarError | None], None]) -> None:
        """Try to connect, once; ``then`` hears how that went."""
        if self._stream is not None:
            then(None)
            return
        self._waiting.append(then)
        self._try()

    def find_again(self, invocation: Invocation) -> None:
        """Find the contract of a call among those that the host has told since."""
        invocation.contract = self.catalog.find(invocation)
        if invocation.where:
            invocation.values = checked_by(invocation.contract, invocation)

    async def close(self) -> None:
        """Wait a while for what runs here and for the host to record it; what it has not stays in the journal."""
        gate = self._gate
        if gate is not None:
            for invocation in list(gate.calls):
                self.cancel(invocation)
            await _until(lambda: not gate.calls, _LEAVE_SECONDS)
        await _until(lambda: not self.link.unanswered or self._stream is None, _LEAVE_SECONDS)
        for task in (self._ticking, self._trying):
            if task is not None:
                task.cancel()
        if self._workplace is not None:
            self._workplace.close()
        await asyncio.to_thread(self.journals.close)
        self._left.close()
        await super().close()

    def _results(self, frame: host_pb2.ConnectResponse) -> None:
        super()._results(frame)
        self.link.answered(frame)

    def _lost(self, reason: AltarError | None) -> None:
        self.link.lost()
        super()._lost(reason)
        if self.link.asking and not self._closed:
            self._connect_again()

    def _fail_all(self, error: AltarError) -> None:
        super()._fail_all(error)
        self.link.fail(error)

    def _put(self, message: host_pb2.ConnectRequest) -> bool:
        if self._stream is not None:
            self._stream.writer.put(message)
            return True
        if message.authorizations and not self._closed:
            self._connect_again()
        return False

    def _try(self) -> None:
        """Try to connect once, unless that is being done."""
        if self._trying is None or self._trying.done():
            self._trying = asyncio.get_running_loop().create_task(self._connect_once())

    async def _connect_once(self) -> None:
        if self._reconnect is not None and not self._reconnect.done():
            await asyncio.wait({self._reconnect})
            if self._stream is not None:
                self._tell_reached(None)
                return
        with suppress(AltarError):  # who waits has heard of it
            await self.connect()

    def _tell_reached(self, error: AltarError | None) -> None:
        waiting, self._waiting = self._waiting, []
        for then in waiting:
            then(error)

    async def _tick(self) -> None:
        """Look after what waits: late questions, results that are withheld, and a host that is out of reach."""
        while True:
            await asyncio.sleep(_TICK_SECONDS)
            now = time.monotonic()
            self.link.sweep(now)
            if self._gate is not None:
                self._gate.sweep(now)
            wants_host = self.link.unanswered or not self.contracts.names
            if self._stream is None and wants_host and now >= self._next_try:
                self._next_try = now + self._pause
                self._pause = min(_LONGEST_PAUSE, 2 * self._pause)
                self._try()


def _unavailable(what: str, hint: str) -> AltarError:
    return ConfigurationError(
        "FEATURE_UNAVAILABLE", what, ran="no", hint=f"{hint}, or use execution_mode='local_first'"
    )


def _soon(loop: asyncio.AbstractEventLoop, told: Callable[[], None]) -> None:
    loop.call_soon_threadsafe(told)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


async def _until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:  # noqa: ASYNC110 - at the end of a session only
        await asyncio.sleep(0.005)
