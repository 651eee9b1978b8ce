"""EnterpriseGovernanceService: approvals of calls, and break-glass.

Who may decide on a request is judged by its approver roles, and not by a permission of the method; so each request is
shown to those it concerns and to who may read all, and to anybody else it does not exist.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import orjson

from altar._proto.altar.aesp.v1 import audit_pb2
from altar._proto.altar.aesp.v1 import governance_pb2 as pb
from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.governance.approvals import MOST_REASON_BYTES
from altar.aesp.governance.desk import call_text
from altar.aesp.governance.rendering import rendered
from altar.aesp.governance.requests import State, Vote
from altar.aesp.permissions import covered, parse_permission
from altar.aesp.principal import PrincipalKind
from altar.aesp.service.paging import after, limit_of, next_cursor
from altar.grid.host.approval_waits import no_approvals

if TYPE_CHECKING:
    from google.protobuf.descriptor import ServiceDescriptor

    from altar.aesp.governance.approvals import Approvals
    from altar.aesp.governance.break_glass import BreakGlass, Glass
    from altar.aesp.governance.requests import Request
    from altar.aesp.principal import Principal
    from altar.aesp.rbac import Rbac
    from altar.aesp.service.administration import Asked
    from altar.aesp.service.audit import Audit
    from altar.grid.trust.certificates import Identity
    from altar.ledger.subjects import Subjects

__all__ = ["Governance", "require_person"]

Schema = Mapping[str, Any]
_PAGES = 20
_NO_SIGN_IN = frozenset({"api_key", "certificate", "question"})


class Governance:
    """Approvals and break-glasses of the asker's own tenant; ``approvals`` is None on a host without them.

    ``schema_of`` gives the parameters of a contract by name and version, None for one that is not there any more.
    ``account_of`` gives the id of the account of a certificate, "" for one that can have none.
    """

    descriptor: ServiceDescriptor = pb.DESCRIPTOR.services_by_name["EnterpriseGovernanceService"]

    def __init__(
        self,
        approvals: Approvals | None,
        glass: BreakGlass | None,
        *,
        rbac: Rbac,
        audit: Audit,
        subjects: Subjects | None,
        schema_of: Callable[[str, str], Schema | None],
        now: Callable[[], float],
        account_of: Callable[[Identity], str] = lambda _identity: "",
    ) -> None:
        self._approvals = approvals
        self._glass = glass
        self._rbac = rbac
        self._audit = audit
        self._subjects = subjects
        self._schema_of = schema_of
        self._now = now
        self._account_of = account_of

    # -------------------------------------------------------------------------------------------------- approvals

    async def list_pending_approvals(
        self, asked: Asked, request: pb.ListPendingApprovalsRequest
    ) -> pb.ListPendingApprovalsResponse:
        """The open requests that concern the asker, a page of them, by id."""
        approvals, who = self._there, asked.principal
        limit, behind = limit_of(request.limit), after(request.cursor)
        found = [one for one in approvals if one.id > behind and self._is_shown(one, who)]
        open_ones = [one for one in found if approvals.state_of(one) in {State.PENDING, State.APPROVED}]
        page = sorted(open_ones, key=lambda one: one.id)[:limit]
        cursor = next_cursor(page, limit, lambda one: one.id)
        return pb.ListPendingApprovalsResponse(approvals=map(self._told, page), next_cursor=cursor)

    async def get_approval(self, asked: Asked, request: pb.GetApprovalRequest) -> pb.GetApprovalResponse:
        """One request with its call, as this host renders it from what it keeps."""
        found = await self._shown(asked.principal, request.approval_id)
        told = self._told(found)
        if self._subjects is not None:
            arguments = await call_text(self._there, self._subjects, found)
            told.arguments = rendered(arguments, self._schema_of(found.tool, found.version))
        return pb.GetApprovalResponse(approval=told)

    async def adjudicate_approval(
        self, asked: Asked, request: pb.AdjudicateApprovalRequest
    ) -> pb.AdjudicateApprovalResponse:
        """Approve what the digest says, or refuse."""
        who, approve = asked.principal, request.adjudication == pb.ADJUDICATION_APPROVE
        if request.adjudication not in {pb.ADJUDICATION_APPROVE, pb.ADJUDICATION_REFUSE}:
            raise _malformed("The request neither approves nor refuses", "/adjudication")
        found = await self._shown(who, request.approval_id)
        require_person(who, action="decide", resource=f"approvals/{found.id}")
        reason = request.reason.strip()
        if len(reason.encode()) > MOST_REASON_BYTES or not (reason or approve):
            raise _malformed(f"A refusal needs a reason; one has at most {MOST_REASON_BYTES} bytes", "/reason")
        if approve and request.digest != found.digest:
            raise ValidationError(
                "RESOURCE_CONFLICT",
                f"The digest is not that of {found.id!r}",
                ran="no",
                hint=f"look at it again with `altar approvals show {found.id}`",
                path="/digest",
            )
        quorum = self._there.quorum
        vote = Vote(who.id, approve, reason, int(self._now() * 1000), quorum.account(who.id))
        await self._there.decide(found, vote, over=self._account_of(asked.identity))
        return pb.AdjudicateApprovalResponse(approval=self._told(found))

    async def withdraw_approval(self, asked: Asked, request: pb.WithdrawApprovalRequest) -> pb.WithdrawApprovalResponse:
        """Take back a request of one's own."""
        who = asked.principal
        found = await self._shown(who, request.approval_id)
        if not self._there.quorum.is_asker(who.id, found):
            raise AuthorizationError(
                "PERMISSION_DENIED",
                f"{found.id!r} is not your request",
                ran="no",
                hint="an approver refuses it instead: altar approvals refuse",
            )
        await self._there.withdraw(found, principal=who.id)
        return pb.WithdrawApprovalResponse(approval=self._told(found))

    async def get_approval_history(
        self, asked: Asked, request: pb.GetApprovalHistoryRequest
    ) -> pb.GetApprovalHistoryResponse:
        """What the record says of requests, the newest first; of one of them when it is named."""
        limit, cursor, found = limit_of(request.limit), request.cursor, list[pb.ApprovalEvent]()
        for _ in range(_PAGES):
            query = audit_pb2.QueryEventsRequest(event_type="approval.*", limit=1000 if request.approval_id else limit)
            query.cursor = cursor
            page = await self._audit.query_events(asked, query)
            events = map(_event, page.events)
            found += [one for one in events if request.approval_id in {"", one.approval_id}]
            cursor = page.next_cursor
            if not cursor or len(found) >= limit:
                break
        return pb.GetApprovalHistoryResponse(events=found, next_cursor=cursor)

    # ------------------------------------------------------------------------------------------------ break-glass

    async def open_break_glass(self, asked: Asked, request: pb.OpenBreakGlassRequest) -> pb.OpenBreakGlassResponse:
        """Let calls pass without approval for a while, once an alarm was taken."""
        glass, who = self._breakable, asked.principal
        require_person(who, action="break_glass", resource="governance")
        opened = await glass.open(
            tenant=who.tenant, tools=request.tools, reason=request.reason, seconds=request.seconds, principal=who.id
        )
        return pb.OpenBreakGlassResponse(break_glass=_glass(opened))

    async def close_break_glass(self, asked: Asked, request: pb.CloseBreakGlassRequest) -> pb.CloseBreakGlassResponse:
        """End one before its time."""
        glass, who = self._breakable, asked.principal
        closed = await glass.close(request.break_glass_id, tenant=who.tenant, principal=who.id)
        return pb.CloseBreakGlassResponse(break_glass=_glass(closed))

    async def list_break_glass(self, asked: Asked, _request: pb.ListBreakGlassRequest) -> pb.ListBreakGlassResponse:
        """What is open in the tenant."""
        return pb.ListBreakGlassResponse(open=map(_glass, self._breakable.of(asked.principal.tenant)))

    @property
    def _there(self) -> Approvals:
        if self._approvals is None:
            raise no_approvals()
        return self._approvals

    @property
    def _breakable(self) -> BreakGlass:
        if self._glass is None:
            raise no_approvals()
        return self._glass

    async def _shown(self, who: Principal, request_id: str) -> Request:
        await self._there.recorded(request_id)
        found = self._there.of(request_id, tenant=who.tenant)
        if found is None or not self._is_shown(found, who):
            raise ValidationError(
                "UNKNOWN_RESOURCE",
                f"There is no request {request_id[:64]!r}",
                ran="no",
                hint="`altar approvals list` shows those that concern you",
            )
        await self._there.refresh(found)
        return found

    def _is_shown(self, request: Request, who: Principal) -> bool:
        if request.tenant != who.tenant or not request.durable:
            return False
        if self._there.quorum.is_asker(who.id, request) or self._there.quorum.may_decide(who.id, request):
            return True
        return self._rbac.decide(who, resource=f"approvals/{request.id}", action="read").allowed

    def _told(self, request: Request) -> pb.Approval:
        approvals = self._there
        told = pb.Approval(
            approval_id=request.id,
            state=f"APPROVAL_STATE_{approvals.state_of(request)}",
            tool=request.tool,
            version=request.version,
            principal_id=request.principal,
            created_ms=request.created_ms,
            expires_ms=request.expires_ms,
            bundle_digest=request.bundle,
            digest=request.digest,
        )
        for need, count in zip(request.needs, approvals.quorum.counted(request), strict=True):
            told.needs.add(policy=need.policy, approvers=need.approvers, quorum=need.quorum, approved=count)
        for vote in request.votes:
            told.votes.add(
                principal_id=vote.principal, approved=vote.approve, reason=vote.reason, decided_ms=vote.time_ms
            )
        return told


def require_person(who: Principal, *, action: str, resource: str) -> None:
    """Raise PERMISSION_DENIED unless a person asks who has signed in: no program, no key, no certificate.

    INSUFFICIENT_SCOPE for a token that was narrowed, unless to this.
    """
    if who.kind is not PrincipalKind.USER or who.authenticated_by in _NO_SIGN_IN:
        raise AuthorizationError(
            "PERMISSION_DENIED",
            "Only a person who has signed in may do this",
            ran="no",
            hint="`altar login` first; keys and certificates are for programs",
        )
    if who.scopes is not None and covered(map(parse_permission, who.scopes), resource=resource, action=action) is None:
        raise AuthorizationError(
            "INSUFFICIENT_SCOPE",
            f"The token does not carry {resource}:{action}",
            ran="no",
            hint="sign in without narrowing the token",
        )


def _glass(glass: Glass) -> pb.BreakGlass:
    return pb.BreakGlass(
        break_glass_id=glass.id,
        tools=glass.tools,
        reason=glass.reason,
        principal_id=glass.principal,
        opened_ms=glass.opened_ms,
        until_ms=glass.until_ms,
        used=glass.used,
    )


def _event(event: audit_pb2.AuditEvent) -> pb.ApprovalEvent:
    said = orjson.loads(event.record)
    return pb.ApprovalEvent(
        event=event.event_type,
        approval_id=str(said.get("subject", "")),
        principal_id=event.principal_id,
        time_ms=event.timestamp_ms,
        resource=event.resource,
        data=str(said.get("data", "")),
    )


def _malformed(message: str, path: str) -> ValidationError:
    return ValidationError("MALFORMED_REQUEST", message, ran="no", path=path)
