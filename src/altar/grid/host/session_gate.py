"""The gate of a host: refuses what is late, and keeps the record of what runs.

Entries of one turn of the event loop go to the ledger together, which joins them with whatever else waits.

The intent of a call is durable before the call runs, and its outcome before it is answered.
A call whose contract is ``read_only`` in the host's own manifest changes nothing, so nothing is lost with it: it runs
first, and intent and outcome are committed together before the answer.
A host that is asked to be strict commits both in order for every call.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, ExecutionError
from altar.grid.host.idempotency import ClaimListener, KeyLimits, Keys
from altar.grid.host.sessions import tenant_of
from altar.later.fingerprint import no_stream
from altar.later.invocation import Answer, Invocation, Outcome, Streamed
from altar.ledger import entry
from altar.ledger.ledger import EntriesRefusedError, Ledger, Then
from altar.ledger.subjects import Subjects, commitment

__all__ = ["Hold", "SessionGate", "intent_of", "outcome_of_call"]

Hold = Callable[[Invocation, Callable[[Invocation], None], Answer], bool]
"""True for a call that is held back, and goes on, or is answered with what it is refused with, later."""

_log = logging.getLogger("altar.grid")


@dataclass(slots=True)
class _Queued:
    """An entry that waits for the end of this turn of the event loop, and what happens when it is durable."""

    entries: list[entry.Entry] = field(default_factory=list)
    thens: list[tuple[int, Then]] = field(default_factory=list)

    def tell_each(self, refused: EntriesRefusedError) -> None:
        """Some entries contradict the log, by a mistake of this process: tell only those who gave them."""
        ends = [offset for offset, _ in self.thens[1:]] + [len(self.entries)]
        for (offset, durable), end in zip(self.thens, ends, strict=True):
            seqs = refused.seqs[offset:end]
            _tell(durable, seqs[0], refused if -1 in seqs else None)


class SessionGate:
    """The gate of a plain GRID host: the session has been checked at find, the record is kept here.

    ``strict_intents`` commits the intent of every call before it runs, also where the contract is ``read_only``.
    ``key_limits`` bound what is kept for idempotency keys.
    ``keys`` is None until the first key is used, here or by an earlier process of this host.
    ``hold`` may hold a call back before its intent; None where nothing is held back.
    """

    def __init__(
        self,
        ledger: Ledger,
        *,
        clock: Callable[[], float] = time.monotonic,
        strict_intents: bool = False,
        key_limits: KeyLimits | None = None,
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._strict = strict_intents
        self._subjects = ledger.subjects
        self._key_limits = key_limits or KeyLimits()
        self._loop = asyncio.get_running_loop()
        self._queued = _Queued()
        self._idle: asyncio.Future[None] | None = None
        self.in_flight = 0
        self.closing = False
        self.keys: Keys | None = None
        self.hold: Hold | None = None
        self._listener: ClaimListener | None = None
        if ledger.has_results:
            self._use_keys()

    def authorize(self, invocation: Invocation) -> None:
        """Refuse what is late already, everything while the host is leaving, and what the record cannot hold."""
        if self.closing and invocation.parent is None:  # who runs may call what it needs to come to its end
            raise AuthorizationError(
                "NOT_ACTIVE",
                "The host is shutting down",
                ran="no",
                hint="try again, or another host",
                retry_after=timedelta(seconds=1),
            )
        if self._clock() >= invocation.deadline:
            raise ExecutionError("TIMEOUT", "The call came too late to be run", ran="no", hint="allow more time")
        if invocation.once:
            self._require_repeatable(invocation)
        invocation.record = intent_of(invocation, self._subjects)

    def intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        """Commit one intent for each call of the frame, in one transaction; then run them.

        What only reads runs at once; its intent waits in ``invocation.record`` for the outcome.
        """
        if self.hold is not None:
            frame = self.held_back(frame, lambda call: self._admit([call], run, refuse), refuse)
        self._admit(frame, run, refuse)

    def _admit(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        if self.keys is not None:
            frame = self.keys.admit(frame, refuse)
        if self._strict:
            self._intend(frame, run, refuse)
            return
        reading: list[Invocation] = []
        others: list[Invocation] = []
        for call in frame:
            at_once = call.contract.read_only and call.chunks is None and not (call.once or call.where)
            (reading if at_once else others).append(call)
        if others:
            self._intend(others, run, refuse)
        if reading:
            self.in_flight += len(reading)
            place = self._ledger.size  # about where their intents would be: who waits longest is told by it
            for call in reading:
                call.intent = place
            run(reading)

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Commit the outcome; then answer. What could not be recorded is withheld and its outcome is unknown."""
        if invocation.once and self.keys is not None:
            self.keys.keep(invocation, outcome, lambda: self._record(invocation, outcome, answer))
        else:
            self._record(invocation, outcome, answer)

    def _record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        def durable(_first_seq: int, error: AltarError | None) -> None:
            told = outcome if error is None else Outcome(error=_withheld(error))
            if invocation.once and self.keys is not None:
                self.keys.ended(invocation, told)
            self._ended(1)
            answer(invocation, told)

        made = outcome_of_call(invocation, outcome)
        if invocation.record is None:
            self._queue([made], durable)
        else:
            made.intent = -1  # the entry before it, in the same commit
            self._queue([invocation.record, made], durable)

    def commit(self, entries: Sequence[entry.Entry], then: Then) -> None:
        """Record entries in one transaction with all others of this turn; ``then`` as for `Ledger.commit`.

        Where the record names nobody, the principal of an event is given by its name, and recorded by its pseudonym.
        """
        if self._subjects is not None:
            entries = [self._private(each) if isinstance(each, entry.Event) else each for each in entries]
        self._queue(entries, then)

    def tell_claims(self, listener: ClaimListener) -> None:
        """Tell somebody of each key that is claimed from now on."""
        self._listener = listener
        if self.keys is not None:
            self.keys.listener = listener

    def knows_key(self, key: tuple[str, str, str]) -> bool:
        """Whether the host knows what became of the call under a key: tenant, principal and call id."""
        return self.keys is not None and self.keys.knows(key)

    def named(self, tenant: str, principal: str) -> str:
        """What the record calls a principal: its name, or its pseudonym where nobody is to be named."""
        return principal if self._subjects is None else self._subjects.of(tenant, principal).pseudonym

    def recorded(self, made: str, *, tenant: str, principal: str, invocation: str) -> str:
        """What the record has of a digest that a caller gave: itself, or a commitment under the salt of its call."""
        if self._subjects is None or not made:
            return made
        return commitment(self._subjects.of(tenant, principal).salt(invocation), made)

    def note(self, event: entry.EventName, subject: str, note: str, *, tenant: str = "") -> None:
        """Record something that is not a call: a session opened, a runtime attached; "" for the host's own log."""
        self._queue([entry.Event(event=event, subject=subject, note=note, tenant=tenant)], _ignore)

    def leave(self, invocation: Invocation, *, is_lost: bool = False) -> Invocation | None:
        """A caller waits no longer; gives the call that is to be cancelled for it, if any is: see `Keys.leave`."""
        if not invocation.once or self.keys is None:
            return invocation
        return self.keys.leave(invocation, is_lost=is_lost)

    def held_back(
        self, frame: Sequence[Invocation], go_on: Callable[[Invocation], None], refuse: Answer
    ) -> Sequence[Invocation]:
        """The calls of a frame that need not be held back; each of the others goes on, or is refused, by itself."""
        hold = self.hold
        if hold is None:
            return frame

        def gone_on(call: Invocation) -> None:
            try:
                go_on(call)
            finally:
                self._ended(1)

        def refused(call: Invocation, outcome: Outcome) -> None:
            self._ended(1)
            refuse(call, outcome)

        rest: list[Invocation] = []
        for call in frame:
            if hold(call, gone_on, refused):
                self.in_flight += 1
            else:
                rest.append(call)
        return rest

    def admit(self, frame: Sequence[Invocation], refuse: Answer) -> list[Invocation]:
        """The calls of a frame that are to run: of those under a key only the first; for who commits by themselves."""
        return list(frame) if self.keys is None else self.keys.admit(frame, refuse)

    def settled(self, invocation: Invocation, outcome: Outcome) -> None:
        """A call that `admit` let pass has ended, and its outcome is durable."""
        if invocation.once and self.keys is not None:
            self.keys.ended(invocation, outcome)

    def sweep(self) -> None:
        """Let go of what has waited too long and of what has expired. Called some twenty times a second."""
        if self.keys is not None:
            self.keys.sweep()

    async def idle(self) -> None:
        """Wait until no call is in flight. New ones must be refused meanwhile."""
        if self.in_flight:
            self._idle = self._loop.create_future()
            await self._idle

    def _intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        self.in_flight += len(frame)

        def durable(first_seq: int, error: AltarError | None) -> None:
            if error is not None:
                self._ended(len(frame))
                for invocation in frame:
                    refused = Outcome(error=error)
                    if invocation.once and self.keys is not None:
                        self.keys.ended(invocation, refused)
                    refuse(invocation, refused)
                return
            for seq, invocation in enumerate(frame, first_seq):
                invocation.intent = seq
                invocation.record = None
            run(frame)

        self._queue([invocation.record for invocation in frame], durable)

    def _require_repeatable(self, invocation: Invocation) -> None:
        """Raise FEATURE_UNAVAILABLE for what cannot have an idempotency key; open what keys need at the first."""
        verdict = invocation.verdict
        is_approved = verdict is not None and verdict.approval == invocation.call_id
        if invocation.chunks is not None and not is_approved:
            raise no_stream()
        if invocation.where and not is_approved:
            raise ConfigurationError(
                "FEATURE_UNAVAILABLE",
                "A call that runs where it is made cannot have an idempotency key",
                ran="no",
                hint="let the call run on the grid, or leave the key out",
            )
        if self.keys is None:
            self._use_keys()

    def _use_keys(self) -> None:
        self.keys = Keys(self._ledger, limits=self._key_limits, commit=self._counted, clock=self._clock)
        self.keys.listener = self._listener

    def _private(self, event: entry.Event) -> entry.Event:
        if not event.principal:
            return event
        return replace(event, principal=self.named(tenant_of(event.principal), event.principal))

    def _counted(self, entries: Sequence[entry.Entry], then: Then) -> None:
        """Commit entries somebody waits for; they count as in flight until they are durable."""
        self.in_flight += 1

        def durable(first_seq: int, error: AltarError | None) -> None:
            self._ended(1)
            then(first_seq, error)

        self._queue(entries, durable)

    def _ended(self, count: int) -> None:
        self.in_flight -= count
        if self._idle is not None and not self.in_flight and not self._idle.done():
            self._idle.set_result(None)

    def _queue(
        self,
        entries: Sequence[entry.Entry],
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


def intent_of(invocation: Invocation, subjects: Subjects | None = None) -> entry.Intent:
    """The entry that a found and checked call gets before it runs.

    With ``subjects`` it has a pseudonym for the principal, and a commitment to the arguments for their digest.
    Raises ValidationError MALFORMED_REQUEST when it would not fit in the record.
    """
    parent = invocation.parent
    principal, arguments = invocation.principal, digest(invocation.arguments)
    if subjects is not None:
        subject = subjects.of(invocation.tenant, principal)
        principal = subject.pseudonym
        invocation.salt = subject.salt(invocation.invocation_id)
        arguments = commitment(invocation.salt, arguments)
    verdict, variables = invocation.verdict, invocation.variables
    return entry.Intent(
        invocation=invocation.invocation_id,
        call=invocation.call_id,
        tool=invocation.name,
        version=invocation.version,
        contract=invocation.contract.digest,
        arguments=arguments,
        principal=principal,
        tenant=invocation.tenant,
        session=invocation.session_id,
        correlation=invocation.correlation_id,
        parent="" if parent is None else parent.invocation_id,
        route=invocation.route,
        where=invocation.where,
        key="once" if invocation.once else "",
        policy="" if verdict is None else verdict.bundle,
        verdict="" if verdict is None else verdict.verdict,
        approval="" if verdict is None else verdict.approval,
        facts="" if verdict is None else verdict.facts,
        variables=_recorded(variables, invocation) if variables else "",
    )


def outcome_of_call(invocation: Invocation, outcome: Outcome) -> entry.Outcome:
    """The entry that says how the call of a committed intent ended."""
    if outcome.streamed is not None:
        return _outcome_of_stream(invocation, outcome, outcome.streamed)
    error = outcome.error
    return entry.Outcome(
        intent=invocation.intent,
        invocation=invocation.invocation_id,
        status="SUCCESS" if error is None else "ERROR",
        code="" if error is None else error.code,
        ran="yes" if error is None else error.ran,
        result=_recorded(digest(outcome.content), invocation) if error is None else "",
        runtime=invocation.runtime,
        attempts=invocation.attempts,
    )


def _outcome_of_stream(invocation: Invocation, outcome: Outcome, streamed: Streamed) -> entry.Outcome:
    """The entry for a stream: how much was passed on, and its digest, however it ended."""
    error = outcome.error
    status: entry.Status = "SUCCESS" if error is None else "PARTIAL" if streamed.chunks else "ERROR"
    return entry.Outcome(
        intent=invocation.intent,
        invocation=invocation.invocation_id,
        status=status,
        code="" if error is None else error.code,
        ran="yes" if error is None else error.ran,
        result="" if status == "ERROR" else _recorded(streamed.digest, invocation),
        runtime=invocation.runtime,
        attempts=invocation.attempts,
        chunks=streamed.chunks,
        bytes=streamed.bytes,
    )


def _recorded(made: str, invocation: Invocation) -> str:
    """A digest as the record has it: itself, or a commitment to it."""
    return made if invocation.salt is None else commitment(invocation.salt, made)


def _tell(durable: Then, first_seq: int, error: AltarError | None) -> None:
    """Tell one of those who wait for the ledger; its failure is its own and must not reach the others."""
    try:
        durable(first_seq, error)
    except Exception:  # noqa: BLE001 - as the docstring says
        _log.exception("nobody took what the ledger said")


def _ignore(_first_seq: int, _error: AltarError | None) -> None:
    """Nobody waits for an event to be durable; a ledger that fails has told the host already."""


def _withheld(error: AltarError) -> AltarError:
    _log.error("outcome not recorded", extra={"reason": error.detail or error.message})
    return ExecutionError(
        "OUTCOME_UNKNOWN",
        "The call ran, but its outcome could not be recorded, so it is withheld",
        ran="unknown",
        hint="ask the operator of the host; do not repeat a call that is not idempotent",
    )
