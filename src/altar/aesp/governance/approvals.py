"""Approvals of calls: asked for by the policy check, given by people, and used once, as a claim.

A call that needs approval is refused with APPROVAL_PENDING and the id of a request; nothing waits on the host.
The same call made again under that id as its idempotency key is the one that was approved: the claim of the key is its
use, so that it runs once over two connections and over a restart.
Whether it may run is judged then, by what holds then: the votes that count, the policies, the contract, the time.

Everything happens in the event loop of the host; what is decided is durable in the tenant's log before it holds.
"""

from __future__ import annotations

import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from altar.adm.canonical import digest
from altar.adm.errors import AltarError, ExecutionError, TransportError
from altar.aesp.governance import refusals as told
from altar.aesp.governance.contract_needs import need_of_contract, required_of
from altar.aesp.governance.recording import Commit, Recording
from altar.aesp.governance.requests import CONTRACT, PREFIX, ApprovalLimits, Need, Request, State, Vote, need_of
from altar.aesp.governance.waiting import Waiting
from altar.aesp.policy.check import PolicyVerdict

if TYPE_CHECKING:
    from altar.aesp.governance.kept import KeptCalls
    from altar.aesp.governance.quorum import Quorum
    from altar.aesp.governance.shared import SharedCalls
    from altar.aesp.policy.policy import Bundle
    from altar.grid.manifests.manifest import HostContract
    from altar.later.invocation import Invocation
    from altar.ledger.subjects import Subjects

__all__ = ["MOST_REASON_BYTES", "Approvals", "verdict_of"]

_log = logging.getLogger("altar.aesp")

Knows = Callable[[tuple[str, str, str]], bool]
ContractOf = Callable[[str, str], "HostContract | None"]

MOST_REASON_BYTES = 600


class Approvals:
    """The requests of one host.

    ``quorum`` counts votes, ``bundle_of`` gives the active policies of a tenant, ``now`` seconds since 1970.
    `take_up` takes what the log says; until `join` has given where to record, nothing is asked for.
    ``shared`` is there where other hosts may use what this one approved, and ``text_of`` gives them its arguments;
    ``elsewhere`` are the arguments of requests that other hosts approved, by the ids.
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
        self._record = Recording(kept, subjects)
        self._now = now
        self._limits = limits or ApprovalLimits()
        self._requests: dict[str, Request] = {}
        self._same: dict[tuple[str, ...], str] = {}
        self._count: Counter[str] = Counter()
        self._due = 0.0
        self._knows: Knows = _knows_nothing
        self._size: Callable[[], int] = int
        self._floor = -1
        self.shared: SharedCalls | None = None
        self.text_of: Callable[[Request], Awaitable[bytes]] = _no_text
        self.elsewhere: dict[str, bytes] = {}
        self._contract_of: ContractOf = _no_contract

    def __len__(self) -> int:
        return len(self._requests)

    def __iter__(self) -> Iterator[Request]:
        """Every request that is kept, the oldest first; none of another host."""
        return iter([one for one in self._requests.values() if not one.host])

    def join(
        self, *, commit: Commit, knows: Knows, size: Callable[[], int], contract_of: ContractOf | None = None
    ) -> None:
        """Say where to record, which keys the host knows, and from where on the log tells of other open things.

        ``contract_of`` gives the host's contract of a name and version, None for one that is not in its manifest.
        """
        self._contract_of = contract_of or _no_contract
        self._record.commit, self._knows, self._size = commit, knows, size

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
        return self.state_of(request) is State.APPROVED or self.is_again(request)

    def use(self, invocation: Invocation) -> None:
        """Return if an approval stands for this call, and mark it; raises why not.

        AuthorizationError: APPROVAL_PENDING, APPROVAL_REFUSED, or APPROVAL_VOID for whatever cannot become good again.
        """
        request = self._requests.get(invocation.call_id)
        if request is None:
            if self._knows((invocation.tenant, invocation.principal, invocation.call_id)):
                return  # it has run: the key answers, for the same call only
            raise told.unknown(invocation.call_id)
        if request.tenant != invocation.tenant or not self.quorum.is_asker(invocation.principal, request):
            raise told.unknown(invocation.call_id)
        if self._call_of(invocation) != request.call:
            raise told.another(request, invocation)
        if self.is_again(request):
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
        if invocation.verdict is None:
            invocation.verdict = verdict_of(invocation)
        verdict = invocation.verdict
        needs = self._needs(invocation)
        messages = {policy.name: policy.message for policy in verdict.wants}
        call = self._call_of(invocation)
        account = int(call[_ACCOUNT])
        known = self._requests.get(self._same.get(call, ""))
        if known is not None and known.needs == needs and self.state_of(known) in {State.PENDING, State.APPROVED}:
            return told.pending(known, self.state_of(known), messages)
        if known is not None and known.key and known.key == invocation.call_id and self.is_again(known):
            return told.pending(known, State.APPROVED)  # it ran under the handle, which is its key now
        self._require_room(invocation)
        now_ms = int(self._now() * 1000)
        asked = required_of(invocation.contract)
        lasts = min(
            self._limits.longest,
            *(policy.expires for policy in verdict.wants),
            *([] if asked is None else [asked.waits]),
        )
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
            variables=invocation.variables,
            account=account,
        )
        self._add(request)
        self._record.asked(request, invocation.text, then=lambda: self.waiting.tell(request.id))
        return told.pending(request, State.PENDING, messages)

    def claimed(self, invocation: Invocation) -> None:
        """The key of an approved call was claimed: in the same transaction it is recorded that the approval is used."""
        request = self._requests.get(invocation.call_id)
        if request is not None and request.ended is None:
            request.end(State.CONSUMED, now_ms=int(self._now() * 1000))
            request.is_running = True
            self._record.note(request, "approval.consumed", principal=request.principal)
            self.waiting.tell(request.id)

    def ended(self, invocation: Invocation, *, ran: bool) -> None:
        """The call has ended; one that did not run leaves its approval as it was."""
        request = self._requests.get(invocation.call_id)
        if request is None or not request.is_running:
            return
        request.is_running = False
        request.ended_ms = int(self._now() * 1000)
        if self.shared is not None:
            self.shared.ended(invocation, request, ran=ran)
        if not ran:
            request.ended, request.ended_ms = None, 0
            self._record.note(request, "approval.released", principal=request.principal)

    # ------------------------------------------------------------------------------------------------- for people

    def of(self, request_id: str, *, tenant: str) -> Request | None:
        """A request of a tenant that is recorded here."""
        request = self._requests.get(request_id)
        is_here = request is not None and request.tenant == tenant and request.durable and not request.host
        return request if is_here else None

    async def recorded(self, request_id: str) -> None:
        """Return when a request that was just made is recorded, or after some seconds; at once for any other."""
        request = self._requests.get(request_id)
        if request is not None and not request.durable:
            await self.waiting.until_told(request_id, principal=request.principal, seconds=_RECORDED_SECONDS)

    def any(self, request_id: str) -> Request | None:
        """A request, whether it is recorded yet or not; for who made it."""
        return self._requests.get(request_id)

    def request_of(self, call: tuple[str, ...]) -> Request | None:
        """The newest request of a call: what `Request.call` gives, without the account, which is that of now."""
        tenant, principal, *rest = call
        known = (tenant, principal, str(self.quorum.account(principal)), *rest)
        return self._requests.get(self._same.get(known, ""))

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

    async def decide(self, request: Request, vote: Vote, *, over: str = "", correlation: str = "") -> None:
        """Record the word of somebody who may decide, and let it hold.

        ``over`` is the account of the certificate of the connection that the word comes over, where it is known.
        Raises RESOURCE_CONFLICT for a second word of one person, APPROVAL_VOID for a request that has ended or whose
        policies have changed, PERMISSION_DENIED when the word would not count by the time it is recorded.
        """
        if not self.quorum.may_decide(vote.principal, request, over=over):
            raise told.not_yours(request)
        human = self.quorum.human(vote.principal)
        voted = (each.principal for each in request.votes if self.quorum.account(each.principal) == each.account)
        if vote.approve and human in {self.quorum.human(one) for one in (*request.deciding, *voted)}:
            raise told.twice(request, self.state_of(request), self.quorum.counted(request))
        self._require_open(request)
        if vote.approve and not self.quorum.is_asker(request.principal, request):
            raise told.asker_gone(request)
        if vote.approve and not self._is_still_asked(request):
            raise told.changed(request)
        if not vote.approve:
            await self._take_back(request)
        request.deciding.add(vote.principal)
        try:
            await self._record.decided(request, vote, correlation=correlation)
        finally:
            request.deciding.discard(vote.principal)
        self._require_open(request)
        request.votes.append(vote)
        if not vote.approve:
            request.end(State.REFUSED, now_ms=vote.time_ms)
        await self.share(request)
        self.waiting.tell(request.id)

    async def withdraw(self, request: Request, *, principal: str) -> None:
        """Take a request back; APPROVAL_VOID when it has ended."""
        self._require_open(request)
        await self._take_back(request)
        self._require_open(request)
        request.end(State.WITHDRAWN, now_ms=int(self._now() * 1000))
        await self._record.withdrawn(request, principal=principal)
        self.waiting.tell(request.id)

    async def share(self, request: Request) -> None:
        """Let other hosts use a request of this one that is approved; where they cannot be told, it is good here."""
        if self.shared is None or request.host:
            return
        async with request.sharing:
            if request.is_taken_back or self.state_of(request) is not State.APPROVED:
                return
            try:
                await self.shared.publish(request, await self.text_of(request))
            except AltarError as failed:
                _log.warning("approval not shared", extra={"approval": request.id, "reason": failed.message})

    async def adopt(self, request_id: str, *, tenant: str, principal: str) -> Request | None:
        """Take up a request that another host approved, for its requester; None where there is none to use.

        Raises RESOURCE_EXHAUSTED where too many are open, DEPENDENCY_UNAVAILABLE while the store is out of reach.
        """
        if self.shared is None or not request_id.startswith(PREFIX):
            return None
        found = await self.shared.fetch(request_id, tenant=tenant, principal=principal)
        if found is None or not self.quorum.is_asker(principal, found.request):
            return None
        if found.used_here:  # by an earlier process of this host, whose key may still have the result
            if not self._knows((tenant, principal, request_id)):
                return None
            found.request.end(State.CONSUMED, now_ms=int(self._now() * 1000))
        if request_id not in self._requests:
            self._require_room_for(tenant, principal)
            self._add(found.request)
            self.elsewhere[request_id] = found.arguments
        return self._requests[request_id]

    async def refresh(self, request: Request) -> None:
        """Take notice that another host has used a request of this one."""
        if self.shared is not None and self.state_of(request) is State.APPROVED:
            used_by = await self.shared.used_by(request)
            if used_by not in {"", self.shared.host} and request.ended is None:
                request.end(State.CONSUMED, now_ms=int(self._now() * 1000))

    async def arguments(self, request: Request) -> bytes | None:
        """The call as it was made, encrypted; None when it is gone."""
        return await self._record.call_of(request)

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
                if not request.host:
                    self._record.note(request, "approval.expired")
                self.waiting.tell(request.id)
            is_over = request.ended is not None and not request.is_running
            if is_over and now_ms >= request.ended_ms + self._limits.kept.total_seconds() * 1000:
                gone.append(request.id)
        for each in gone:
            self._forget(self._requests[each])
        floor = min((self._size(), *(request.place for request in self._requests.values())))
        if gone or floor - self._floor >= _FLOOR_STEP:
            self._floor = floor
            self._record.drop(gone, floor=floor if floor >= 0 else None)

    # --------------------------------------------------------------------------------------------------- in detail

    def _call_of(self, invocation: Invocation) -> tuple[str, ...]:
        return (
            invocation.tenant,
            invocation.principal,
            str(self.quorum.account(invocation.principal)),
            invocation.name,
            invocation.version,
            invocation.contract.digest,
            invocation.variables,
            digest(invocation.text),
        )

    def is_again(self, request: Request) -> bool:
        """Whether its call has been made, and the host still knows how it ended or will end."""
        return request.ended is State.CONSUMED and self._knows((request.tenant, request.principal, request.id))

    def _mark(self, invocation: Invocation, request: Request) -> None:
        if invocation.verdict is None:
            invocation.verdict = verdict_of(invocation)
        invocation.verdict.verdict = "approved"
        invocation.verdict.approval = request.id

    def _require_same_policies(self, request: Request, invocation: Invocation) -> None:
        """Raise APPROVAL_VOID when what asked has changed, or something else asks now."""
        if not self._is_still_asked(request) or not set(request.needs).issuperset(self._needs(invocation)):
            raise told.changed(request)

    def _is_still_asked(self, request: Request) -> bool:
        """Whether every policy that asked is active, and says what it said then; and the contract, if it asked."""
        of_policies = {need for need in request.needs if need.policy != CONTRACT}
        contract = self._contract_of(request.tool, request.version)
        asked = len(of_policies) < len(request.needs)
        if asked and contract is not None and need_of_contract(contract) not in request.needs:
            return False
        bundle = self.bundle_of(request.tenant)
        if bundle is None or bundle.digest == request.bundle:
            return bundle is not None or not of_policies
        active = {need_of(policy, constants=bundle.constants) for policy in bundle.policies if not policy.dry_run}
        return active.issuperset(of_policies)

    def _needs(self, invocation: Invocation) -> tuple[Need, ...]:
        """What is asked for a call: by policies, and by its contract."""
        bundle = self.bundle_of(invocation.tenant)
        constants = bundle.constants if bundle is not None else {}
        wants = invocation.verdict.wants if invocation.verdict is not None else ()
        needs = [need_of(policy, constants=constants) for policy in wants]
        of_contract = need_of_contract(invocation.contract)
        return tuple(needs if of_contract is None else [*needs, of_contract])

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
        self._require_room_for(invocation.tenant, invocation.principal)

    def _require_room_for(self, tenant: str, principal: str) -> None:
        limits = self._limits
        own, of_tenant = self._count[principal], self._count[f"{tenant}/"]
        if own >= limits.per_principal or of_tenant >= limits.per_tenant or len(self._requests) >= limits.in_all:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                "Too many requests for approval are open",
                ran="no",
                hint="wait until some are decided, or withdraw them: altar approvals withdraw <id>",
            )

    async def _take_back(self, request: Request) -> None:
        """Let no other host use it any more, whatever is on its way to them; APPROVAL_VOID when one does or did."""
        if self.shared is None:
            return
        request.is_taken_back = True
        async with request.sharing:
            if await self.shared.revoke(request):
                return
        request.end(State.CONSUMED, now_ms=int(self._now() * 1000))
        raise told.over(request, State.CONSUMED)

    def _require_open(self, request: Request) -> None:
        state = self.state_of(request)
        if state not in {State.PENDING, State.APPROVED}:
            raise told.over(request, state)

    def _add(self, request: Request) -> None:
        self._requests[request.id] = request
        self._same[request.call] = request.id
        self._count[request.principal] += 1
        self._count[f"{request.tenant}/"] += 1  # no principal is called so

    def _forget(self, request: Request) -> None:
        del self._requests[request.id]
        self.elsewhere.pop(request.id, None)
        self._count -= Counter((request.principal, f"{request.tenant}/"))  # which drops what is none any more
        if self._same.get(request.call) == request.id:
            del self._same[request.call]


_ACCOUNT = 2  # of `Request.call`
_FLOOR_STEP = 1_000
_SWEEP_SECONDS = 1.0
_RECORDED_SECONDS = 5.0


def verdict_of(invocation: Invocation) -> PolicyVerdict:
    """What is recorded of a call that its contract wants approved, in a tenant without policies."""
    need = need_of_contract(invocation.contract)
    return PolicyVerdict(bundle=need.digest if need is not None else invocation.contract.digest)


async def _no_text(_request: Request) -> bytes:
    return b"{}"


def _no_contract(_name: str, _version: str) -> None:
    return None


def _knows_nothing(_key: tuple[str, str, str]) -> bool:
    return False
