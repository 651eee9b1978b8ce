"""The host: manifest, gate and runtimes, joined in one executor.

``execute(frame)`` is what a client's frame becomes; everything else here is what that needs: sessions, the record,
and an orderly start and stop.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from altar.grid.manifest import Manifest
from altar.grid.runtimes import RuntimeSource
from altar.grid.session_gate import SessionGate
from altar.grid.sessions import HostCatalog, HostSession, Sessions
from altar.grid.variables import HostVariables
from altar.later.executor import Executor
from altar.later.invocation import Invocation, Outcome
from altar.ledger.ledger import Ledger

__all__ = ["Host", "HostLimits"]

_log = logging.getLogger("altar.grid")

_WATCH_SECONDS = 0.05
_LONGEST_DETAIL = 2_000


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
    ) -> None:
        self.name = name
        self.limits = limits or HostLimits()
        self.manifest = manifest
        self.gate = SessionGate(ledger, clock=clock)
        self.sessions = Sessions(
            default_ttl=self.limits.session_ttl,
            max_ttl=self.limits.max_session_ttl,
            per_principal=self.limits.sessions_per_principal,
            clock=clock,
            store=ledger.sessions,
            wall_ms=ledger.wall_ms,
            note=lambda session_id, why: self.gate.note("session.closed", session_id, why),
        )
        self.sessions.restore()
        self.variables = HostVariables(self.sessions)
        self.runtimes = RuntimeSource(
            manifest,
            queue=self.limits.queue,
            heartbeat=self.limits.heartbeat.total_seconds(),
            note=self.gate.note,
            clock=clock,
        )
        self._ledger = ledger
        self._clock = clock
        self._numbers = itertools.count(1)
        self._prefix = f"{name}-{ledger.epoch}-"
        self._executor = Executor(HostCatalog(manifest, self.sessions), self.gate, self.runtimes, self._answer)

    def execute(self, frame: Sequence[Invocation]) -> None:
        """Carry out a frame of a client's calls; each is answered through its ``reply_to``."""
        for invocation in frame:
            invocation.invocation_id = self._prefix + str(next(self._numbers))
            if not invocation.correlation_id:
                invocation.correlation_id = invocation.invocation_id
        self._executor.execute(frame)

    def cancel(self, invocation: Invocation) -> None:
        """The client no longer waits for this call; its outcome is recorded all the same."""
        self.runtimes.cancel(invocation)

    def open_session(self, principal: str, tools: Sequence[str], *, ttl: float) -> HostSession:
        """Open a session for a principal; ``ttl`` in seconds, 0 for the default."""
        session = self.sessions.create(principal, tools, ttl=ttl, manifest=self.manifest)
        self.gate.note("session.opened", session.session_id, principal)
        return session

    def close_session(self, session_id: str, principal: str, *, force: bool) -> None:
        """End a session of that principal."""
        session = self.sessions.destroy(session_id, principal, force=force)
        for invocation in session.calls:
            self.cancel(invocation)

    async def watch(self, *edge: Callable[[], None]) -> None:
        """Until cancelled: end what is late, detach what is silent, drop what has expired, and do what ``edge`` asks.

        A step that fails is logged, once until it succeeds again, and the others go on.
        """
        steps: tuple[Callable[[], object], ...] = (self.runtimes.sweep, self.sessions.sweep, *edge)
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
            "epoch": self._ledger.epoch,
            "sessions": len(self.sessions),
            "in_flight": self.gate.in_flight,
            "runtimes": self.runtimes.status(),
            "commits": self._ledger.commits,
            "entries": self._ledger.entries_written,
        }

    def _answer(self, invocation: Invocation, outcome: Outcome) -> None:
        self.sessions.ended(invocation)
        if outcome.error is not None and outcome.error.code == "INTERNAL":
            _log.error(
                "call failed inside ALTAR",
                extra={
                    "tool": invocation.name,
                    "invocation": invocation.invocation_id,
                    "runtime": invocation.runtime,
                    "detail": (outcome.error.detail or outcome.error.message)[:_LONGEST_DETAIL],
                },
            )
        try:
            invocation.reply_to(invocation, outcome)
        except Exception:  # noqa: BLE001 - the other calls of its frame are to be answered all the same
            _log.exception("answering failed", extra={"invocation": invocation.invocation_id})
