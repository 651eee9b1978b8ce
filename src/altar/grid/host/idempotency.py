"""Idempotency keys on the host: what was run under a key once is answered from the record, and never run again.

A key belongs to a principal, and is the call id of the call that it makes repeatable.
While that call runs, others under the key wait for its outcome; when it has ended, they are given its stored result.
What is the same call is told by its fingerprint; another call under the key is refused.
A call that did not run (``ran: no``) frees its key.

The claim is the intent in the log, so nothing can come between the two; here are only small rows of what it says.
Results are in a file beside the log (`ResultStore`), and read from there when they are asked for.
Everything happens in the event loop of the host.
"""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, ExecutionError
from altar.grid.host.stored_result import outcome_kept, outcome_missing, written
from altar.later.fingerprint import conflict, fingerprint, let_go, not_told_again, waits_for_itself
from altar.later.invocation import Answer, Invocation, Outcome, late
from altar.ledger.entry import Event
from altar.ledger.subjects import commitment

if TYPE_CHECKING:
    from altar.ledger.entry import Entry
    from altar.ledger.ledger import Ledger, Then
    from altar.ledger.result_store import ResultStore

__all__ = ["ClaimListener", "KeyLimits", "Keys"]

_FLOOR_SECONDS = 60.0
"""How often it is written down from where on the log is to be searched for claims."""

Key = tuple[str, str, str]
Commit = Callable[[Sequence["Entry"], "Then"], None]


class ClaimListener(Protocol):
    """Hears of each key that is claimed, before the intent is committed, and of the end of the call that did it."""

    def claimed(self, invocation: Invocation) -> None:
        """This call claims its key now; what is recorded here is in the transaction of its intent."""
        ...

    def ended(self, invocation: Invocation, *, ran: bool) -> None:
        """It has ended; one that did not run has freed its key."""
        ...


@dataclass(frozen=True, slots=True)
class KeyLimits:
    """How long keys are kept after their calls have ended, and how many, with how many bytes of results.

    ``waiting`` is how many calls may wait for others under the same key, in all.
    What is beyond is refused before it runs; results of calls that ran by then may exceed ``bytes`` by as much as
    was in flight.
    """

    kept: timedelta = timedelta(minutes=10)
    per_principal: int = 10_000
    in_all: int = 100_000
    bytes_per_principal: int = 64 * 1024 * 1024
    bytes_in_all: int = 1024 * 1024 * 1024
    waiting: int = 1024


@dataclass(slots=True, eq=False)
class _Claim:
    """One key: the call that claimed it, who waits for it, and how it ended.

    ``runner`` is the call while it runs; ``left`` says that nobody waits for that call itself any more.
    ``size`` is how many bytes of its result are kept, ``expires`` is on the monotonic clock.
    ``committed`` says that the record has a commitment to the arguments, which is another one for each call.
    """

    key: Key
    fingerprint: bytes
    invocation_id: str
    runner: Invocation | None = None
    left: bool = False
    waiting: list[Invocation] = field(default_factory=list)
    intent: int = -1
    code: str = ""
    ran: str = "yes"
    size: int = 0
    expires: float = math.inf
    committed: bool = False


class Keys:
    """The idempotency keys of a host. ``commit`` records events as the gate does."""

    def __init__(
        self,
        ledger: Ledger,
        *,
        limits: KeyLimits,
        commit: Commit,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the store of results beside the log, and take up what earlier processes of this host left.

        Raises ConfigurationError LOG_DAMAGED when store or log cannot be read.
        """
        self._limits = limits
        self._commit = commit
        self._clock = clock
        self._claims: dict[Key, _Claim] = {}
        self._ended: deque[_Claim] = deque()
        self._waited_for: set[_Claim] = set()
        self._count_of: Counter[str] = Counter()
        self._bytes_of: Counter[str] = Counter()
        self._bytes = 0
        self._waiting = 0
        self._ledger = ledger
        self._subjects = ledger.subjects
        self._results: ResultStore = ledger.results
        self._floor_due = self._clock() + _FLOOR_SECONDS
        self.listener: ClaimListener | None = None
        self._restore()

    def __len__(self) -> int:
        return len(self._claims)

    def knows(self, key: Key) -> bool:
        """Whether a key is claimed, by a call that runs or has run."""
        claim = self._claims.get(key)
        return claim is not None and self._clock() < claim.expires

    # -------------------------------------------------------------------------------------------- before a call runs

    def admit(self, frame: Sequence[Invocation], answer: Answer) -> list[Invocation]:
        """The calls of a frame that are to run; the others are answered here, now or later."""
        return [call for call in frame if not call.once or self._is_first(call, answer)]

    def _is_first(self, invocation: Invocation, answer: Answer) -> bool:
        key = _key_of(invocation)
        intent = invocation.record
        print_ = fingerprint(invocation.name, invocation.version, intent.arguments)
        claim = self._claims.get(key)
        if claim is not None and self._clock() >= claim.expires:
            self._forget(claim)
            claim = None
        if claim is None:
            full = self._full(invocation.principal)
            if full is not None:
                answer(invocation, Outcome(error=full))
                return False
            claim = self._claims[key] = _Claim(key, print_, invocation.invocation_id, runner=invocation)
            claim.committed = invocation.salt is not None
            self._count_of[invocation.principal] += 1
            if self.listener is not None:
                self.listener.claimed(invocation)
            return True
        invocation.record = None
        if claim.fingerprint != self._as_recorded(claim, invocation, intent.arguments):
            answer(invocation, Outcome(error=conflict(invocation.call_id)))
        elif _is_told_once(invocation) or (claim.runner is not None and _is_told_once(claim.runner)):
            answer(invocation, Outcome(error=not_told_again(invocation.call_id)))
        elif claim.runner is not None:
            self._wait(claim, invocation, answer)
        else:
            self._replay(claim, invocation, answer)
        return False

    def _as_recorded(self, claim: _Claim, invocation: Invocation, arguments: str) -> bytes:
        """The fingerprint that this call would have, had it been recorded in the place of the one that claimed.

        ``arguments`` is their digest, or the commitment to it, as it would be recorded for this call itself.
        """
        if self._subjects is not None and invocation.salt is not None:
            arguments = digest(invocation.arguments)
            if claim.committed:
                subject = self._subjects.of(invocation.tenant, invocation.principal)
                arguments = commitment(subject.salt(claim.invocation_id), arguments)
        return fingerprint(invocation.name, invocation.version, arguments)

    def _full(self, principal: str) -> AltarError | None:
        limits = self._limits
        if len(self._claims) < limits.in_all and self._bytes < limits.bytes_in_all:
            own, size = self._count_of[principal], self._bytes_of[principal]
            if own < limits.per_principal and size < limits.bytes_per_principal:
                return None
        soon = self._ended[0].expires - self._clock() if self._ended else 1.0
        return ExecutionError(
            "RESOURCE_EXHAUSTED",
            "No more idempotency keys can be kept now",
            ran="no",
            hint="keys are kept for some minutes after their calls have ended; use them for what must not run twice",
            retry_after=timedelta(seconds=max(0.05, soon)),
        )

    def _wait(self, claim: _Claim, invocation: Invocation, answer: Answer) -> None:
        above = invocation.parent
        while above is not None:
            if above is claim.runner:
                answer(invocation, Outcome(error=waits_for_itself(invocation.call_id)))
                return
            above = above.parent
        if self._waiting >= self._limits.waiting:
            answer(invocation, Outcome(error=_too_many_wait(self._waiting)))
            return
        invocation.arguments = b""  # the one that runs has them
        invocation.values = invocation.blobs = None
        invocation.handle = answer
        claim.waiting.append(invocation)
        self._waited_for.add(claim)
        self._waiting += 1

    def _replay(self, claim: _Claim, invocation: Invocation, answer: Answer) -> None:
        """Read what is kept, record that it is told again, and tell it."""

        def found(body: bytes | None, error: AltarError | None) -> None:
            if error is not None:
                answer(invocation, Outcome(error=error))
                return
            kept = None if body is None else outcome_kept(body)
            self._tell_again(claim, [(invocation, answer)], kept or outcome_missing(claim.code, claim.ran))

        if claim.size:
            self._results.fetch(claim.intent, found)
        else:
            self._tell_again(claim, [(invocation, answer)], outcome_missing(claim.code, claim.ran))

    # ------------------------------------------------------------------------------------------- when a call has ended

    def keep(self, invocation: Invocation, outcome: Outcome, then: Callable[[], None]) -> None:
        """Store the result of a call that ran, and go on with ``then``; what cannot be stored is told, once."""
        claim = self._claims.get(_key_of(invocation))
        if claim is None or claim.runner is not invocation or not _ran(outcome):
            then()
            return
        claim.intent = invocation.intent
        if _is_told_once(invocation):
            then()
            return
        body = written(outcome)

        def durable(error: AltarError | None) -> None:
            if error is None:
                self._count_bytes(claim, len(body))
            then()

        self._results.save(invocation.intent, body, then=durable)

    def ended(self, invocation: Invocation, outcome: Outcome) -> None:
        """The outcome of a call is durable, or it never ran: who waits for it is told."""
        key = _key_of(invocation)
        claim = self._claims.get(key)
        if claim is None or claim.runner is not invocation:
            return
        claim.runner = None
        claim.code = outcome.error.code if outcome.error is not None else ""
        claim.ran = outcome.error.ran if outcome.error is not None else "yes"
        if self.listener is not None:
            self.listener.ended(invocation, ran=_ran(outcome))
        waiting, claim.waiting = claim.waiting, []
        self._waited_for.discard(claim)
        self._waiting -= len(waiting)
        if _ran(outcome):
            claim.expires = self._clock() + self._limits.kept.total_seconds()
            self._ended.append(claim)
        else:
            self._forget(claim)
        if waiting:
            self._tell_again(claim, [(each, each.handle) for each in waiting], outcome)

    def _tell_again(self, claim: _Claim, told: Sequence[tuple[Invocation, Answer]], outcome: Outcome) -> None:
        """Record that a result is told again, then tell it; what did not run is told as it is."""
        if not _ran(outcome):
            for invocation, answer in told:
                answer(invocation, outcome)
            return
        events = [
            Event(event="call.replayed", subject=claim.invocation_id, note=each.correlation_id) for each, _ in told
        ]

        def durable(_first: int, error: AltarError | None) -> None:
            for invocation, answer in told:
                again = Outcome(outcome.content, outcome.error, replayed=True, blobs=outcome.blobs)
                answer(invocation, again if error is None else Outcome(error=error))

        self._commit(events, durable)

    # ---------------------------------------------------------------------------------------------- who waits no longer

    def leave(self, invocation: Invocation, *, is_lost: bool = False) -> Invocation | None:
        """A caller waits no longer for a call under a key; gives the call that is to be cancelled now, if any is.

        The run goes on while anybody waits for it.
        ``is_lost`` says that the connection is gone: the caller may come back for the result, so the run goes on.
        """
        claim = self._claims.get(_key_of(invocation))
        if claim is None:
            return None if is_lost else invocation
        if claim.runner is invocation:
            if _is_told_once(invocation) or not (is_lost or claim.waiting):
                return invocation
            claim.left = claim.left or not is_lost
            invocation.reply_to(invocation, Outcome(error=let_go()))
            invocation.reply_to = _nobody  # its outcome is for the others
            return None
        if invocation not in claim.waiting:
            return None  # its answer is on its way
        claim.waiting.remove(invocation)
        self._waiting -= 1
        answer: Answer = invocation.handle
        answer(invocation, Outcome(error=let_go()))
        return self._last_has_left(claim)

    def sweep(self) -> None:
        """Answer who has waited too long, forget what has expired. Called some twenty times a second."""
        now = self._clock()
        for claim in list(self._waited_for):
            for invocation in [each for each in claim.waiting if now >= each.deadline]:
                claim.waiting.remove(invocation)
                self._waiting -= 1
                answer: Answer = invocation.handle
                answer(invocation, Outcome(error=late(invocation, ran="unknown")))
            if not claim.waiting:
                self._waited_for.discard(claim)
        while self._ended and now >= self._ended[0].expires:
            claim = self._ended.popleft()
            if self._claims.get(claim.key) is claim:
                self._forget(claim)
        if now >= self._floor_due:
            self._floor_due = now + _FLOOR_SECONDS
            self._results.drop([], floor=self._floor())

    def _last_has_left(self, claim: _Claim) -> Invocation | None:
        if claim.waiting:
            return None
        self._waited_for.discard(claim)
        return claim.runner if claim.left else None

    def _forget(self, claim: _Claim) -> None:
        """A key is free again. Its result is no longer kept."""
        del self._claims[claim.key]
        principal = claim.key[1]
        self._count_of[principal] -= 1
        if not self._count_of[principal]:
            del self._count_of[principal]
        if claim.size:
            self._count_bytes(claim, -claim.size)
            self._results.drop([claim.intent])

    def _count_bytes(self, claim: _Claim, size: int) -> None:
        principal = claim.key[1]
        claim.size += size
        self._bytes += size
        self._bytes_of[principal] += size
        if not self._bytes_of[principal]:
            del self._bytes_of[principal]

    def _floor(self) -> int | None:
        """No claim stands before this position; None while the oldest one is not in the log yet."""
        oldest = next(iter(self._claims.values()), None)
        if oldest is None:
            return self._ledger.size
        return oldest.intent if oldest.intent >= 0 else None

    # -------------------------------------------------------------------------------------------------- after a restart

    def _restore(self) -> None:
        """Take up the claims that the log says, with the results that are kept; what is too old is dropped."""
        floor, sizes = self._results.load()
        now, now_ms, kept = self._clock(), self._ledger.wall_ms(), self._limits.kept.total_seconds()
        for said in self._ledger.claims(floor=floor):
            key = self._named(said.key)
            older = self._claims.pop(key, None)
            if older is not None:
                self._count_of[key[1]] -= 1
            age = max(0.0, (now_ms - said.ended_ms) / 1000)  # a clock that was set back makes them younger, never older
            if said.ran == "no" or age >= kept:
                continue
            self._claims[key] = _Claim(
                key,
                fingerprint(said.tool, said.version, said.arguments),
                said.invocation,
                intent=said.intent,
                code=said.code,
                ran=said.ran,
                expires=now + kept - age,
                committed=not said.arguments.startswith("sha256:"),
            )
            self._count_of[key[1]] += 1
        self._ended.extend(sorted(self._claims.values(), key=lambda claim: claim.expires))
        for claim in self._claims.values():
            # A host that was killed between the two has a result and no outcome for it: the log's word counts.
            if claim.code != "OUTCOME_UNKNOWN":
                self._count_bytes(claim, sizes.pop(claim.intent, 0))
        self._results.drop(list(sizes))

    def _named(self, key: Key) -> Key:
        """The key with the name of its principal, where the record has a pseudonym that is still known."""
        known = None if self._subjects is None else self._subjects.name_of(key[1])
        return key if known is None else (*known, key[2])


def _is_told_once(invocation: Invocation) -> bool:
    """Whether nothing of a call is kept under its key: the values of a stream, and what ran where it was made.

    Only a call that was approved can be such a one, and have a key.
    """
    return invocation.chunks is not None or bool(invocation.where)


def _key_of(invocation: Invocation) -> Key:
    return invocation.tenant, invocation.principal, invocation.call_id


def _ran(outcome: Outcome) -> bool:
    """Whether a call may have run, so that its key is not free."""
    return outcome.error is None or outcome.error.ran != "no"


def _nobody(_invocation: Invocation, _outcome: Outcome) -> None:
    """Whoever asked has left, and was told so."""


def _too_many_wait(count: int) -> AltarError:
    return ExecutionError(
        "RESOURCE_EXHAUSTED",
        f"{count} calls are waiting for others under the same idempotency key already",
        ran="no",
        hint="try again under the same key",
        retry_after=timedelta(milliseconds=500),
    )
