"""Approvals of calls: asked for by the policy check, given by people, and used once, as a claim.

A call that needs approval is refused with APPROVAL_PENDING and the id of a request; nothing waits on the host.
The same call made again under that id as its idempotency key is the one that was approved: the claim of the key is its
use, so that it runs once over two connections and over a restart.
Whether it may run is judged then, by what holds then: the votes that count, the policies, the contract, the time.

Everything happens in the event loop of the host; what is decided is durable in the tenant's log before it holds.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from altar.adm.canonical import canonical, digest
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, TransportError
from altar.aesp.governance import refusals as told
from altar.aesp.governance.kept import sealed
from altar.aesp.governance.requests import PREFIX, ApprovalLimits, Need, Request, State, Vote, need_of
from altar.aesp.governance.waiting import Waiting
from altar.ledger.entry import Entry, Event
from altar.ledger.subjects import commitment

if TYPE_CHECKING:
    from altar.aesp.governance.break_glass import BreakGlass
    from altar.aesp.governance.kept import KeptCalls
    from altar.aesp.governance.quorum import Quorum
    from altar.aesp.policy.policy import Bundle, Policy
    from altar.later.invocation import Invocation
    from altar.ledger.ledger import Then
    from altar.ledger.subjects import Subjects

__all__ = ["Approvals", "Commit", "approval_check"]

Commit = Callable[[Sequence[Entry], "Then"], None]
Check = Callable[["Invocation"], None]
Knows = Callable[[tuple[str, str, str]], bool]

MOST_REASON_BYTES = 600


def approval_check(approvals: Approvals, glass: BreakGlass) -> Check:
    """The check behind that of policies: what they want approved passes with an approval, or under a break-glass."""

    def check(invocation: Invocation) -> None:
        if invocation.once and invocation.call_id.startswith(PREFIX):
            approvals.use(invocation)
            return
        verdict = invocation.verdict
        if verdict is None:
            return
        if glass.has_let_pass(invocation) or (verdict.wants and glass.covers(invocation)):
            verdict.verdict = "break_glass"
            return
        if not verdict.wants:
            return
        raise approvals.ask(invocation)

    return check


class Approvals:
    """The requests of one host.

    ``quorum`` counts votes, ``bundle_of`` gives the active policies of a tenant, ``now`` seconds since 1970.
    `open` takes up what the log says; until `join` has given where to record, nothing is asked for.
    """

    def __init__(
        self,
        *,
        quorum: Quorum,
        kept: KeptCalls,
        subjects: Subjects,
        bundle_of: Callable[[str], Bundle | None],
        now: Callable[[], float],
        limits: ApprovalLimits | None = None,
    ) -> None:
        self.quorum = quorum
        self.waiting = Waiting()
        self.bundle_of = bundle_of
        self._kept = kept
        self._subjects = subjects
        self._now = now
        self._limits = limits or ApprovalLimits()
        self._requests: dict[str, Request] = {}
        self._same: dict[tuple[str, ...], str] = {}
        self._count: Counter[str] = Counter()
        self._due = 0.0
        self._commit: Commit = _not_joined
        self._knows: Knows = _knows_nothing
        self._size: Callable[[], int] = int
        self._floor = -1

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        """Every request that is kept, the oldest first."""
        return iter(tuple(self._requests.values()))

    def join(self, *, commit: Commit, knows: Knows, size: Callable[[], int]) -> None:
        """Say where to record, which keys the host knows, and from where on the log tells of other open things."""
        self._commit, self._knows, self._size = commit, knows, size

    def take_up(self, requests: Iterable[Request]) -> None:
        """Go on with requests of earlier processes of this host, the oldest first."""
        for request in requests:
            self._add(request)

    # ----------------------------------------------------------------------------------------------- for the gate

    def stands(self, invocation: Invocation) -> bool:
        """Whether a call comes with an approval that stands for it; for policies that ask `request.has_approval`."""
        if not (invocation.once and invocation.call_id.startswith(PREFIX)):
            return False
        request = self._requests.get(invocation.call_id)
        if request is None or self._call_of(invocation) != request.call:
            return False
        return self.state_of(request) is State.APPROVED or self._is_again(request)

    def use(self, invocation: Invocation) -> None:
        """Return if an approval stands for this call, and mark it; raises why not.

        AuthorizationError: APPROVAL_PENDING, APPROVAL_REFUSED, or APPROVAL_VOID for whatever cannot become good again.
        """
        request = self._requests.get(invocation.call_id)
        if request is None or (request.tenant, request.principal) != (invocation.tenant, invocation.principal):
            if self._knows((invocation.tenant, invocation.principal, invocation.call_id)):
                return  # it has run: the key answers, for the same call only
            raise told.unknown(invocation.call_id)
        if self._call_of(invocation) != request.call:
            raise told.another(request, invocation)
        if self._is_again(request):
            self._mark(invocation, request)
            return
        state = self.state_of(request)
        if state is not State.APPROVED:
            raise told.standing(request, state, self._messages(request))
        self._require_same_policies(request, invocation)
        self._mark(invocation, request)

    def ask(self, invocation: Invocation) -> AltarError:
        """Make a request for a call, or find the one that the same call has; gives what to refuse it with.

        Raises RESOURCE_EXHAUSTED where too many are open, MESSAGE_TOO_LARGE for arguments that are too long to be
        shown to anybody.
        """
        verdict = invocation.verdict
        needs = self._needs(invocation.tenant, verdict.wants)
        messages = {policy.name: policy.message for policy in verdict.wants}
        call = self._call_of(invocation)
        known = self._requests.get(self._same.get(call, ""))
        if known is not None and known.needs == needs and self.state_of(known) in {State.PENDING, State.APPROVED}:
            return told.pending(known, self.state_of(known), messages)
        if known is not None and known.key and known.key == invocation.call_id and self._is_again(known):
            return told.pending(known, State.APPROVED)  # it ran under the handle, which is its key now
        self._require_room(invocation)
        now_ms = int(self._now() * 1000)
        lasts = min(self._limits.longest, *(policy.expires for policy in verdict.wants))
        request = Request(
            PREFIX + secrets.token_hex(12),
            tenant=invocation.tenant,
            principal=invocation.principal,
            tool=invocation.name,
            version=invocation.version,
            contract=invocation.contract.digest,
            arguments=call[-1],
            bundle=verdict.bundle,
            needs=needs,
            created_ms=now_ms,
            expires_ms=now_ms + int(lasts.total_seconds() * 1000),
            correlation=invocation.correlation_id,
            key=invocation.call_id if invocation.once else "",
        )
        self._add(request)
        self._keep(request, invocation)
        return told.pending(request, State.PENDING, messages)

    def claimed(self, invocation: Invocation) -> None:
        """The key of an approved call was claimed: in the same transaction it is recorded that the approval is used."""
        request = self._requests.get(invocation.call_id)
        if request is not None and request.ended is None:
            request.end(State.CONSUMED, now_ms=int(self._now() * 1000))
            request.is_running = True
            self._note(request, "approval.consumed", principal=request.principal)
            self.waiting.tell(request.id)

    def ended(self, invocation: Invocation, *, ran: bool) -> None:
        """The call has ended; one that did not run leaves its approval as it was."""
        request = self._requests.get(invocation.call_id)
        if request is None or not request.is_running:
            return
        request.is_running = False
        request.ended_ms = int(self._now() * 1000)
        if not ran:
            request.ended, request.ended_ms = None, 0
            self._note(request, "approval.released", principal=request.principal)

    # ------------------------------------------------------------------------------------------------- for people

    def of(self, request_id: str, *, tenant: str) -> Request | None:
        """A request of a tenant that is recorded."""
        request = self._requests.get(request_id)
        return request if request is not None and request.tenant == tenant and request.durable else None

    async def recorded(self, request_id: str) -> None:
        """Return when a request that was just made is recorded, or after some seconds; at once for any other."""
        request = self._requests.get(request_id)
        if request is not None and not request.durable:
            await self.waiting.until_told(request_id, principal=request.principal, seconds=_RECORDED_SECONDS)

    def any(self, request_id: str) -> Request | None:
        """A request, whether it is recorded yet or not; for who made it."""
        return self._requests.get(request_id)

    def request_of(self, call: tuple[str, ...]) -> Request | None:
        """The newest request of a call, which is what `Request.call` gives."""
        return self._requests.get(self._same.get(call, ""))

    def state_of(self, request: Request) -> State:
        """How a request stands now."""
        if request.ended is not None:
            return request.ended
        if self._now() * 1000 >= request.expires_ms:
            return State.EXPIRED
        return State.APPROVED if self.quorum.is_met(request) else State.PENDING

    def figures(self) -> dict[str, dict[str, int]]:
        """By tenant: how many requests have not come to their end; votes are not counted for it."""
        now_ms = self._now() * 1000
        waiting = (one for one in self._requests.values() if one.ended is None and now_ms < one.expires_ms)
        return {"approvals_pending": dict(Counter(one.tenant for one in waiting))}

    async def decide(self, request: Request, vote: Vote, *, correlation: str = "") -> None:
        """Record the word of somebody who may decide, and let it hold.

        Raises RESOURCE_CONFLICT for a second word of one person, APPROVAL_VOID for a request that has ended or whose
        policies have changed, PERMISSION_DENIED when the word would not count by the time it is recorded.
        """
        if not self.quorum.may_decide(vote.principal, request):
            raise told.not_yours(request)
        human = self.quorum.human(vote.principal)
        spoken = {self.quorum.human(one) for one in (*request.deciding, *(each.principal for each in request.votes))}
        if vote.approve and human in spoken:
            raise told.twice(request)
        self._require_open(request)
        if vote.approve and not self._is_still_asked(request):
            raise told.changed(request)
        request.deciding.add(vote.principal)
        try:
            await self._recorded(request, vote, correlation=correlation)
        finally:
            request.deciding.discard(vote.principal)
        self._require_open(request)
        request.votes.append(vote)
        if not vote.approve:
            request.end(State.REFUSED, now_ms=vote.time_ms)
        self.waiting.tell(request.id)

    async def withdraw(self, request: Request, *, principal: str) -> None:
        """Take a request back; APPROVAL_VOID when it has ended."""
        self._require_open(request)
        request.end(State.WITHDRAWN, now_ms=int(self._now() * 1000))
        await self._durable(self._event(request, "approval.withdrawn", principal=principal, action="withdraw"))
        self.waiting.tell(request.id)

    async def arguments(self, request: Request) -> bytes | None:
        """The call as it was made, encrypted; None when it is gone."""
        found: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

        def then(body: bytes | None, _error: AltarError | None) -> None:
            if not found.done():
                found.set_result(body)

        self._kept.fetch(request.id, then)
        return await found

    def sweep(self) -> None:
        """Let expire what is due, and forget what ended long ago. Called some twenty times a second."""
        now = self._now()
        if 0 <= self._due - now <= _SWEEP_SECONDS:  # a clock that was set back holds up nothing
            return
        self._due = now + _SWEEP_SECONDS
        now_ms = int(now * 1000)
        gone: list[str] = []
        for request in list(self._requests.values()):
            if request.ended is None and now_ms >= request.expires_ms:
                request.end(State.EXPIRED, now_ms=now_ms)
                self._note(request, "approval.expired")
                self.waiting.tell(request.id)
            is_over = request.ended is not None and not request.is_running
            if is_over and now_ms >= request.ended_ms + self._limits.kept.total_seconds() * 1000:
                gone.append(request.id)
        for each in gone:
            self._forget(self._requests[each])
        floor = min((self._size(), *(request.place for request in self._requests.values())))
        if gone or floor - self._floor >= _FLOOR_STEP:
            self._floor = floor
            self._kept.drop(gone, floor=floor if floor >= 0 else None)

    # --------------------------------------------------------------------------------------------------- in detail

    def _call_of(self, invocation: Invocation) -> tuple[str, ...]:
        return (
            invocation.tenant,
            invocation.principal,
            invocation.name,
            invocation.version,
            invocation.contract.digest,
            digest(invocation.text),
        )

    def _is_again(self, request: Request) -> bool:
        """Whether its call has been made, and the host still knows how it ended or will end."""
        return request.ended is State.CONSUMED and self._knows((request.tenant, request.principal, request.id))

    def _mark(self, invocation: Invocation, request: Request) -> None:
        if invocation.verdict is not None:
            invocation.verdict.verdict = "approved"
            invocation.verdict.approval = request.id

    def _require_same_policies(self, request: Request, invocation: Invocation) -> None:
        """Raise APPROVAL_VOID when a policy that asked has changed, or another one asks now."""
        if not self._is_still_asked(request):
            raise told.changed(request)
        wants = invocation.verdict.wants if invocation.verdict is not None else ()
        if not set(request.needs).issuperset(self._needs(invocation.tenant, wants)):
            raise told.changed(request)

    def _is_still_asked(self, request: Request) -> bool:
        """Whether every policy that asked is active, and says what it said then."""
        bundle = self.bundle_of(request.tenant)
        if bundle is None or bundle.digest == request.bundle:
            return bundle is not None
        active = {need_of(policy, constants=bundle.constants) for policy in bundle.policies if not policy.dry_run}
        return active.issuperset(request.needs)

    def _needs(self, tenant: str, policies: Iterable[Policy]) -> tuple[Need, ...]:
        bundle = self.bundle_of(tenant)
        constants = bundle.constants if bundle is not None else {}
        return tuple(need_of(policy, constants=constants) for policy in policies)

    def _messages(self, request: Request) -> dict[str, str]:
        """What the policies that asked say of themselves now, by their names."""
        bundle = self.bundle_of(request.tenant)
        asked = {need.policy for need in request.needs}
        return {one.name: one.message for one in bundle.policies if one.name in asked} if bundle is not None else {}

    def _require_room(self, invocation: Invocation) -> None:
        limits = self._limits
        size = len(invocation.text)
        if size > limits.argument_bytes:
            raise TransportError(
                "MESSAGE_TOO_LARGE",
                f"The arguments are {size} bytes, and {limits.argument_bytes} are shown to approvers",
                ran="no",
                hint="send less, or ask for a policy that approves it otherwise",
            )
        own, of_tenant = self._count[invocation.principal], self._count[f"{invocation.tenant}/"]
        if own >= limits.per_principal or of_tenant >= limits.per_tenant or len(self._requests) >= limits.in_all:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                "Too many requests for approval are open",
                ran="no",
                hint="wait until some are decided, or withdraw them: altar approvals withdraw <id>",
            )

    def _require_open(self, request: Request) -> None:
        state = self.state_of(request)
        if state not in {State.PENDING, State.APPROVED}:
            raise told.over(request, state)

    def _keep(self, request: Request, invocation: Invocation) -> None:
        """Keep the call, then record the request; only then can anybody decide on it."""
        subject = self._subjects.of(request.tenant, request.principal)
        text = canonical(
            {
                "arguments": invocation.text.decode(),
                "needs": [need.to_json() for need in request.needs],
                "principal": request.principal,
            }
        )
        salt = subject.salt(request.id)
        data = {
            "arguments": commitment(salt, request.arguments),
            "asked": commitment(salt, digest(text)),
            "bundle": request.bundle,
            "contract": request.contract,
            "expires": request.expires_ms,
            "version": request.version,
        }
        event = self._event(request, "approval.requested", principal=request.principal, action="request", data=data)

        def recorded(place: int, error: AltarError | None) -> None:
            request.place = place
            request.durable = error is None
            self.waiting.tell(request.id)

        def kept(error: AltarError | None) -> None:
            if error is None:
                self._commit([event], recorded)

        self._kept.save(request.id, sealed(subject, request.id, text), then=kept)

    async def _recorded(self, request: Request, vote: Vote, *, correlation: str) -> None:
        salt = self._subjects.of(request.tenant, request.principal).salt(request.id)
        data = {"approve": vote.approve, "reason": vote.reason, "seen": commitment(salt, request.digest)}
        action: Literal["approve", "refuse"] = "approve" if vote.approve else "refuse"
        event = self._event(
            request, "approval.decided", principal=vote.principal, action=action, data=data, correlation=correlation
        )
        await self._durable(event)

    def _event(
        self,
        request: Request,
        name: str,
        *,
        principal: str = "",
        action: str = "",
        data: dict[str, Any] | None = None,
        correlation: str = "",
    ) -> Event:
        return Event(
            event=name,
            subject=request.id,
            tenant=request.tenant,
            principal=principal,
            action=action,
            resource=f"tools/{request.tool}",
            outcome="SUCCESS",
            correlation=correlation or request.correlation,
            data=canonical(data).decode() if data else "",
        )

    def _note(self, request: Request, name: str, *, principal: str = "") -> None:
        self._commit([self._event(request, name, principal=principal)], _nobody)

    async def _durable(self, event: Event) -> None:
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(_first: int, error: AltarError | None) -> None:
            if not durable.done():
                durable.set_result(None) if error is None else durable.set_exception(error)

        self._commit([event], then)
        await durable

    def _add(self, request: Request) -> None:
        self._requests[request.id] = request
        self._same[request.call] = request.id
        self._count[request.principal] += 1
        self._count[f"{request.tenant}/"] += 1  # no principal is called so

    def _forget(self, request: Request) -> None:
        del self._requests[request.id]
        self._count -= Counter((request.principal, f"{request.tenant}/"))  # which drops what is none any more
        if self._same.get(request.call) == request.id:
            del self._same[request.call]


_FLOOR_STEP = 1_000
_SWEEP_SECONDS = 1.0
_RECORDED_SECONDS = 5.0


def _nobody(_first: int, _error: AltarError | None) -> None:
    """Nobody waits for it to be durable; a ledger that fails has told the host already."""


def _not_joined(_entries: Sequence[Entry], _then: Then) -> None:
    raise AuthorizationError("NOT_ACTIVE", "The host is not ready to ask for approvals", ran="no")


def _knows_nothing(_key: tuple[str, str, str]) -> bool:
    return False
