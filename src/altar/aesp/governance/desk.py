"""Approvals as those see them who made the call: wait for a decision, and be told the call again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from altar.adm.errors import AuthorizationError
from altar.aesp.control_plane import principal_of
from altar.aesp.governance import refusals as told
from altar.aesp.governance.kept import opened
from altar.aesp.governance.requests import State
from altar.grid.host.approval_waits import LONGEST_SECONDS, ApprovalTold

if TYPE_CHECKING:
    from altar.aesp.callers import PrincipalCallers
    from altar.aesp.governance.approvals import Approvals
    from altar.aesp.governance.requests import Request
    from altar.grid.host.callers import Caller
    from altar.ledger.subjects import Subjects

__all__ = ["ApprovalDesk", "call_text"]


class ApprovalDesk:
    """Answers requesters, each about their own requests only."""

    def __init__(self, approvals: Approvals, subjects: Subjects, callers: PrincipalCallers) -> None:
        self._approvals = approvals
        self._subjects = subjects
        self._callers = callers

    async def __call__(self, caller: Caller, handle: str, *, seconds: float, tell_call: bool) -> ApprovalTold:
        """How a request stands; see `altar.grid.host.approval_waits.ApprovalWaits`."""
        self._callers.admit(caller, "use")
        who = principal_of(caller.who)
        request = await self._own(handle, who.tenant, who.id)
        if seconds > 0 and self._approvals.state_of(request) is State.PENDING:
            await self._approvals.waiting.until_told(handle, principal=who.id, seconds=min(seconds, LONGEST_SECONDS))
            self._callers.admit(caller, "use")
        state = self._approvals.state_of(request)
        if not tell_call:
            return ApprovalTold(state)
        arguments = await call_text(self._approvals, self._subjects, request)
        return ApprovalTold(state, request.tool, request.version, arguments)

    async def _own(self, handle: str, tenant: str, principal: str) -> Request:
        found = self._approvals.any(handle)
        if found is None:
            found = await self._approvals.adopt(handle, tenant=tenant, principal=principal)
        if found is None or found.tenant != tenant or not self._approvals.quorum.is_asker(principal, found):
            raise told.unknown(handle)
        return found


async def call_text(approvals: Approvals, subjects: Subjects, request: Request) -> bytes:
    """The arguments of a request as they were made, canonical JSON.

    Raises AuthorizationError APPROVAL_VOID when they are gone, or were made unreadable to forget somebody.
    """
    if request.id in approvals.elsewhere:
        return approvals.elsewhere[request.id]
    body = await approvals.arguments(request)
    subject = subjects.find(request.tenant, request.principal)
    text = opened(subject, request.id, body) if subject is not None and body is not None else None
    if text is None:
        raise AuthorizationError(
            "APPROVAL_VOID",
            f"The call of {request.id!r} is not kept any more",
            ran="no",
            hint="make the call again, which asks for a new approval",
        )
    return str(orjson.loads(text)["arguments"]).encode()
