"""The gate of a host: refuses what is late, and keeps the record of what runs.

Entries of one turn of the event loop go to the ledger together, which joins them with whatever else waits.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError
from altar.later.invocation import Answer, Invocation, Outcome
from altar.ledger import entry
from altar.ledger.ledger import EntriesRefusedError, Ledger, Then

__all__ = ["SessionGate"]

_log = logging.getLogger("altar.grid")


@dataclass(slots=True)
class _Queued:
    """An entry that waits for the end of this turn of the event loop, and what happens when it is durable."""

    entries: list[entry.Intent | entry.Outcome | entry.Event] = field(default_factory=list)
    thens: list[tuple[int, Then]] = field(default_factory=list)

    def tell_each(self, refused: EntriesRefusedError) -> None:
        """Some entries contradict the log, by a mistake of this process: tell only those who gave them."""
        ends = [offset for offset, _ in self.thens[1:]] + [len(self.entries)]
        for (offset, durable), end in zip(self.thens, ends, strict=True):
            seqs = refused.seqs[offset:end]
            _tell(durable, seqs[0], refused if -1 in seqs else None)


class SessionGate:
    """The gate of a plain GRID host: the session has been checked at find, the record is kept here.

    Entries of one turn of the event loop go to the ledger together, which joins them with whatever else waits.
    """

    def __init__(self, ledger: Ledger, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queued = _Queued()
        self._idle: asyncio.Future[None] | None = None
        self.in_flight = 0
        self.closing = False

    def authorize(self, invocation: Invocation) -> None:
        """Refuse what is late already, everything while the host is leaving, and what the record cannot hold."""
        if self.closing:
            raise AuthorizationError(
                "NOT_ACTIVE",
                "The host is shutting down",
                ran="no",
                hint="try again, or another host",
                retry_after=timedelta(seconds=1),
            )
        if self._clock() >= invocation.deadline:
            raise ExecutionError("TIMEOUT", "The call came too late to be run", ran="no", hint="allow more time")
        invocation.record = _intent(invocation)

    def intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        """Commit one intent for each call of the frame, in one transaction; then run them."""
        intents = [invocation.record for invocation in frame]
        self.in_flight += len(frame)

        def durable(first_seq: int, error: AltarError | None) -> None:
            if error is not None:
                self._ended(len(frame))
                for invocation in frame:
                    refuse(invocation, Outcome(error=error))
                return
            for seq, invocation in enumerate(frame, first_seq):
                invocation.intent = seq
            run(frame)

        self._queue(intents, durable)

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Commit the outcome; then answer. What could not be recorded is withheld and its outcome is unknown."""

        def durable(_first_seq: int, error: AltarError | None) -> None:
            self._ended(1)
            answer(invocation, outcome if error is None else Outcome(error=_withheld(error)))

        self._queue([_outcome(invocation, outcome)], durable)

    def note(self, event: entry.EventName, subject: str, note: str) -> None:
        """Record something that is not a call: a session opened, a runtime attached."""
        self._queue([entry.Event(event=event, subject=subject, note=note)], _ignore)

    async def idle(self) -> None:
        """Wait until no call is in flight. New ones must be refused meanwhile."""
        if self.in_flight:
            self._idle = self._loop.create_future()
            await self._idle

    def _ended(self, count: int) -> None:
        self.in_flight -= count
        if self._idle is not None and not self.in_flight and not self._idle.done():
            self._idle.set_result(None)

    def _queue(
        self,
        entries: Sequence[entry.Intent | entry.Outcome | entry.Event],
        durable: Then,
    ) -> None:
        if not self._queued.entries:
            self._loop.call_soon(self._flush)
        self._queued.thens.append((len(self._queued.entries), durable))
        self._queued.entries.extend(entries)

    def _flush(self) -> None:
        queued, self._queued = self._queued, _Queued()

        def then(first_seq: int, error: AltarError | None) -> None:
            if isinstance(error, EntriesRefusedError):
                queued.tell_each(error)
            else:
                for offset, durable in queued.thens:
                    _tell(durable, first_seq + offset, error)

        self._ledger.commit(queued.entries, then)


def _tell(durable: Then, first_seq: int, error: AltarError | None) -> None:
    """Tell one of those who wait for the ledger; its failure is its own and must not reach the others."""
    try:
        durable(first_seq, error)
    except Exception:  # noqa: BLE001 - as the docstring says
        _log.exception("nobody took what the ledger said")


def _ignore(_first_seq: int, _error: AltarError | None) -> None:
    """Nobody waits for an event to be durable; a ledger that fails has told the host already."""


def _intent(invocation: Invocation) -> entry.Intent:
    return entry.Intent(
        invocation=invocation.invocation_id,
        call=invocation.call_id,
        tool=invocation.name,
        version=invocation.version,
        contract=invocation.contract.digest,
        arguments=digest(invocation.arguments),
        principal=invocation.principal,
        tenant=invocation.tenant,
        session=invocation.session_id,
        correlation=invocation.correlation_id,
    )


def _outcome(invocation: Invocation, outcome: Outcome) -> entry.Outcome:
    error = outcome.error
    return entry.Outcome(
        intent=invocation.intent,
        invocation=invocation.invocation_id,
        status="SUCCESS" if error is None else "ERROR",
        code="" if error is None else error.code,
        ran="yes" if error is None else error.ran,
        result=digest(outcome.content) if error is None else "",
        runtime=invocation.runtime,
        attempts=invocation.attempts,
    )


def _withheld(error: AltarError) -> AltarError:
    _log.error("outcome not recorded", extra={"reason": error.detail or error.message})
    return ExecutionError(
        "OUTCOME_UNKNOWN",
        "The call ran, but its outcome could not be recorded, so it is withheld",
        ran="unknown",
        hint="ask the operator of the host; do not repeat a call that is not idempotent",
    )
