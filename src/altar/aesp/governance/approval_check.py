"""The check of approvals, which comes behind that of policies."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from altar.aesp.governance.approvals import verdict_of
from altar.aesp.governance.contract_needs import required_of
from altar.aesp.governance.requests import PREFIX

if TYPE_CHECKING:
    from altar.aesp.governance.approvals import Approvals
    from altar.aesp.governance.break_glass import BreakGlass
    from altar.later.invocation import Invocation

__all__ = ["approval_check"]


def approval_check(approvals: Approvals, glass: BreakGlass) -> Callable[[Invocation], None]:
    """What policies or the contract want approved passes with an approval, or under a break-glass."""

    def check(invocation: Invocation) -> None:
        if invocation.once and invocation.call_id.startswith(PREFIX):
            approvals.use(invocation)
            return
        verdict, asks = invocation.verdict, required_of(invocation.contract) is not None
        if verdict is None:
            if not asks:
                return
            verdict = invocation.verdict = verdict_of(invocation)
        wants = asks or verdict.wants
        if glass.has_let_pass(invocation) or (wants and glass.covers(invocation)):
            verdict.verdict = "break_glass"
            return
        if not wants:
            return
        raise approvals.ask(invocation)

    return check
