"""The host: manifest, gate and runtimes, joined in one executor.

``execute(frame)`` is what a client's frame becomes; everything else here is what that needs: sessions, the record,
and an orderly start and stop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from altar import __version__
from altar.grid.host.app_records import AppRecords
from altar.grid.host.approval_waits import ApprovalWaits
from altar.grid.host.callers import Caller, Callers, CertificateCallers
from altar.grid.host.families import Families
from altar.grid.host.host_streams import HostStreams
from altar.grid.host.idempotency import KeyLimits
from altar.grid.host.metrics import Meter
from altar.grid.host.permit_history import reported_in
from altar.grid.host.permits import PermitLimits, Permits
from altar.grid.host.registration import Registrations
from altar.grid.host.runtimes import RuntimeSource
from altar.grid.host.session_gate import SessionGate
from altar.grid.host.sessions import HostCatalog, HostSession, Sessions, Views
from altar.grid.host.variables import HostVariables
from altar.grid.manifests.manifest import Manifest
from altar.grid.telemetry import Tracing
from altar.later.executor import Executor
from altar.later.gate import Gate
from altar.later.invocation import Invocation, Outcome, call_facts
from altar.ledger.ledger import Ledger
from altar.ledger.session_store import Then

__all__ = ["Host", "HostLimits", "HostState"]

_log = logging.getLogger("altar.grid")

_WATCH_SECONDS = 0.05
_LONGEST_DETAIL = 2_000

HostState = Literal["starting", "serving", "draining", "expired", "failed"]
"""Whether a host takes calls, or why not."""


@dataclass(frozen=True, slots=True)
class HostLimits:
    """What a host allows: bytes of one message, calls that wait for a runtime, lifetimes, heartbeats."""

    max_message_bytes: int = 4 * 1024 * 1024
    queue: int = 1024
    heartbeat: timedelta = timedelta(seconds=10)
    session_ttl: timedelta = timedelta(hours=1)
    max_session_ttl: timedelta = timedelta(days=1)
    sessions_per_principal: int = 1024
    drain: timedelta = timedelta(seconds=30)
    strict_intents: bool = False
    keys: KeyLimits = field(default_factory=KeyLimits)
    stream_idle: timedelta = timedelta(seconds=60)
    permits: PermitLimits = field(default_factory=PermitLimits)


class Host:
    """One host process: owns the contracts, decides, records and routes."""

    def __init__(
        self,
        *,
        name: str,
        manifest: Manifest,
        ledger: Ledger,
        limits: HostLimits | None = None,
        clock: Callable[[], float] = time.monotonic,
        development: bool = False,
        meter: Meter | None = None,
        tracing: Tracing | None = None,
        control: Callable[[SessionGate], Gate] | None = None,
        callers: Callers | None = None,
        views: Views | None = None,
    ) -> None:
        """Take the collaborators.

        A control plane gives ``control``, which makes the gate that decides before the one that records, ``callers``,
        and ``views`` of the contracts.
        """
        self.name = name
        self.limits = limits or HostLimits()
        self.manifest = manifest
        self.registrations = Registrations(self, development=development)
        self.gate = SessionGate(
            ledger, clock=clock, strict_intents=self.limits.strict_intents, key_limits=self.limits.keys
        )
        self.callers = callers or CertificateCallers()
        self.approvals: ApprovalWaits | None = None
        deciding: Gate = control(self.gate) if control is not None else self.gate
        self.sessions = Sessions(
            default_ttl=self.limits.session_ttl,
            max_ttl=self.limits.max_session_ttl,
            per_principal=self.limits.sessions_per_principal,
            clock=clock,
            store=ledger.sessions,
            wall_ms=ledger.wall_ms,
            note=self._session_closed,
        )
        self.sessions.restore()
        self.app_records = AppRecords(self.gate.commit)
        self.variables = HostVariables(self.sessions, self.app_records)
        self.families = Families(self.cancel)
        self.runtimes = RuntimeSource(
            manifest,
            queue=self.limits.queue,
            heartbeat=self.limits.heartbeat.total_seconds(),
            note=self.gate.note,
            clock=clock,
        )
        self.streams = HostStreams(
            limit=self.limits.max_message_bytes,
            idle=self.limits.stream_idle.total_seconds(),
            end=self.runtimes.cut,
            clock=clock,
        )
        self.meter = meter
        self.tracing = tracing
        self.listening = False
        self.clients = 0
        self._ledger = ledger
        if meter is not None:
            ledger.on_stored = meter.stored
        self._clock = clock
        self._numbers = itertools.count(1)
        self._prefix = f"{name}-{ledger.epoch}-"
        self.catalog = HostCatalog(manifest, self.sessions)
        self.catalog.views = views
        self._executor = Executor(self.catalog, deciding, self.runtimes, self._answer)
        self.permits = Permits(
            self.gate,
            ledger,
            limits=self.limits.permits,
            granted=self._granted,
            contract_of=lambda name, version: self.manifest.get(name, version),  # noqa: PLW0108 - it is replaced
            prefix=(name, ledger.epoch),
            mint=lambda: self._prefix + str(next(self._numbers)),
            history=lambda place: reported_in(ledger.place, place),
            clock=clock,
            decide=deciding.authorize,
        )
        self._permitting = Executor(self.catalog, self.permits, self.permits, self._answer)
        self.chores: list[Callable[[], object]] = [self.permits.sweep, self.streams.sweep, self.gate.sweep]
        self.offered: set[Callable[[str], None]] = set()
        self.manifest_status: Callable[[], dict[str, Any]] | None = None

    def execute(self, frame: Sequence[Invocation]) -> None:
        """Carry out a frame of a client's calls; each is answered through its ``reply_to``."""
        for invocation in frame:
            invocation.invocation_id = self._prefix + str(next(self._numbers))
            if not invocation.correlation_id:
                invocation.correlation_id = invocation.invocation_id
        self._observe(frame)
        self._executor.execute(frame)

    def authorize(self, frame: Sequence[Invocation]) -> None:
        """Decide on calls that are to run where they were made; one that may is answered with an empty outcome."""
        for invocation in frame:
            invocation.where = "caller"
            invocation.invocation_id = self._prefix + str(next(self._numbers))
            if not invocation.correlation_id:
                invocation.correlation_id = invocation.invocation_id
        self._observe(frame)
        self._permitting.execute(frame)

    def cancel(self, invocation: Invocation) -> None:
        """The client no longer waits for this call; its outcome is recorded all the same."""
        if not invocation.cancelled:
            self._cancel(self.gate.leave(invocation))

    def lost(self, invocation: Invocation) -> None:
        """The connection of whoever made this call is gone; under an idempotency key they may come back for it."""
        if not invocation.cancelled:
            self._cancel(self.gate.leave(invocation, is_lost=True))

    def _cancel(self, invocation: Invocation | None) -> None:
        if invocation is not None:
            self.runtimes.cancel(invocation)
            self.families.cancelled(invocation)

    def open_session(
        self,
        caller: Caller,
        tools: Sequence[str],
        *,
        ttl: float,
        labels: Mapping[str, str] | None = None,
        then: Then | None = None,
    ) -> HostSession:
        """Open a session for a caller, which it does not outlive; ``ttl`` in seconds, 0 for the default.

        ``then`` is told when it is durable.
        Raises what a control plane refuses it with, and as `Sessions.create` does.
        """
        self.callers.admit(caller.require(), "create")
        session = self.sessions.create(
            caller.id,
            tools,
            ttl=ttl,
            manifest=self.catalog.seen_by(caller.who),
            labels=labels,
            then=then,
            tenant=caller.tenant,
            until=self.until(caller),
        )
        session.who = caller.who
        who = self.gate.named(caller.tenant, caller.id)
        self.gate.note("session.opened", session.session_id, who, tenant=caller.tenant)
        return session

    def take_up(self, session_id: str, caller: Caller) -> HostSession:
        """A session of that caller that was opened before; it lives at least as long as this credential allows."""
        self.callers.admit(caller.require(), "use")
        session = self.sessions.get(session_id, caller.id)
        session.until = max(session.until, self.until(caller))
        session.who = caller.who
        return session

    def until(self, caller: Caller) -> float:
        """Until when the credential of a caller lasts, on the monotonic clock; infinite when it does not end."""
        if math.isinf(caller.expires):
            return math.inf
        return self._clock() + caller.expires - self._ledger.wall_ms() / 1000

    def close_session(self, session_id: str, principal: str, *, force: bool, then: Then | None = None) -> None:
        """End a session of that principal; ``then`` is told when that is durable."""
        session = self.sessions.destroy(session_id, principal, force=force, then=then)
        for invocation in list(session.calls):
            self.cancel(invocation)

    def activate(self, manifest: Manifest) -> None:
        """Take a new manifest into use, at once and for all: calls that were admitted keep the contract they have."""
        self.offer(self.registrations.over(manifest))

    def offer(self, manifest: Manifest) -> None:
        """Offer these contracts, registered ones included, to clients and runtimes from here on."""
        self.manifest = manifest
        self.catalog.replace(manifest)
        self.runtimes.replace(manifest)
        self.tell_contracts("")

    def tell_contracts(self, session_id: str) -> None:
        """Tell every stream that contracts have changed, in that session or, when it is empty, in all."""
        for tell in list(self.offered):
            tell(session_id)

    async def watch(self, *edge: Callable[[], None]) -> None:
        """Until cancelled: end what is late, detach what is silent, drop what has expired, and do what ``edge`` asks.

        A step that fails is logged, once until it succeeds again, and the others go on.
        """
        steps: tuple[Callable[[], object], ...] = (
            self.runtimes.sweep,
            self.sessions.sweep,
            self.gate.sweep,
            *self.chores,
            *edge,
        )
        failing: set[Callable[[], object]] = set()
        while True:
            for step in steps:
                try:
                    step()
                    failing.discard(step)
                except Exception:  # noqa: BLE001 - a host that no longer watches would keep every late call
                    if step not in failing:
                        _log.exception("watching failed", extra={"step": step.__qualname__})
                    failing.add(step)
            await asyncio.sleep(_WATCH_SECONDS)

    async def drain(self) -> None:
        """Take no more calls and wait, within limits, until those in flight have their outcomes."""
        self.gate.closing = True
        with suppress(TimeoutError):
            async with asyncio.timeout(self.limits.drain.total_seconds()):
                await self.gate.idle()

    def status(self) -> dict[str, Any]:
        """What is going on, for people and for probes."""
        return {
            "host": self.name,
            "version": __version__,
            "epoch": self._ledger.epoch,
            "state": self.state,
            "clients": self.clients,
            "sessions": len(self.sessions),
            "sessions_of": dict(self.sessions.open_in),
            "in_flight": self.gate.in_flight,
            "streams": len(self.streams),
            "stream_bytes": self.streams.waiting_bytes,
            "runtimes": self.runtimes.status(),
            "queue": self.runtimes.queue_status(),
            "commits": self._ledger.commits,
            "entries": self._ledger.entries_written,
            "manifest": self.manifest_status() if self.manifest_status is not None else {},
            **({"calls": self.meter.snapshot()} if self.meter is not None else {}),
        }

    @property
    def state(self) -> HostState:
        """Whether calls are taken: ``serving``, or why not."""
        if self._ledger.failed:
            return "failed"
        if self.gate.closing:
            return "draining"
        if self.manifest_status is not None and self.manifest_status().get("expired"):
            return "expired"
        return "serving" if self.listening else "starting"

    def _observe(self, frame: Sequence[Invocation]) -> None:
        if self.meter is not None:
            self.meter.begin(frame)
        if self.tracing is not None:
            for invocation in frame:
                self.tracing.begin(invocation)

    def _granted(self, invocation: Invocation) -> None:
        self.sessions.ended(invocation)
        if self.tracing is not None:
            self.tracing.end(invocation, Outcome())
        invocation.reply_to(invocation, Outcome())

    def _session_closed(self, session_id: str, why: str, tenant: str) -> None:
        self.gate.note("session.closed", session_id, why, tenant=tenant)
        self.registrations.session_ended(session_id)

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        self.sessions.ended(invocation)
        if self.families.children:
            self.families.ended(invocation)
        if outcome.error is not None and outcome.error.code == "INTERNAL":
            _log.error(
                "call failed inside ALTAR",
                extra={
                    **call_facts(invocation),
                    "runtime": invocation.runtime,
                    "detail": (outcome.error.detail or outcome.error.message)[:_LONGEST_DETAIL],
                },
            )
        if self.meter is not None:
            self.meter.count(invocation, outcome)
        if self.tracing is not None:
            self.tracing.end(invocation, outcome)
        try:
            invocation.reply_to(invocation, outcome)
        except Exception:  # noqa: BLE001 - the other calls of its frame are to be answered all the same
            _log.exception("answering failed", extra=call_facts(invocation))
