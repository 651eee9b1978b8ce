"""The check of policies: what a tenant's active bundle says to a call, and what is recorded of that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from altar.adm.errors import AuthorizationError
from altar.aesp.policy.facts import Circumstances, Desk
from altar.aesp.policy.policy import Effect, Policy

if TYPE_CHECKING:
    from altar.aesp.policy.counters import Counters
    from altar.aesp.policy.programs import CompiledBundle, Ruling
    from altar.later.invocation import Invocation

__all__ = ["Bundles", "PolicyVerdict", "counting", "policy_check"]

Check = Callable[["Invocation"], None]


class Bundles(Protocol):
    """The active bundles of a host."""

    def of(self, tenant: str) -> CompiledBundle | None:
        """Give what decides for a tenant, None when it has no policies.

        Raises AuthorizationError POLICY_ERROR when it has some that cannot be used.
        """
        ...


@dataclass(slots=True, kw_only=True)
class PolicyVerdict:
    """What was decided on a call, on its way to the record.

    ``bundle`` is the digest of what decided, ``verdict`` the word for the intent, ``facts`` what policies read.
    ``wants`` are the policies that ask for approval, ``decided`` all that the decision comes from.
    ``approval`` is the request that was approved, "" without one.
    """

    bundle: str
    verdict: str = "allow"
    facts: str = ""
    wants: tuple[Policy, ...] = ()
    decided: tuple[Policy, ...] = ()
    approval: str = ""


def policy_check(bundles: Bundles, desk: Desk, *, glass: Callable[[Invocation], bool] = lambda _: False) -> Check:
    """Let pass what the active bundle of a tenant allows; leave a `PolicyVerdict` on ``invocation.verdict``.

    ``glass`` says whether a break-glass is open for a call; only policies that say so yield to it.
    The check raises AuthorizationError POLICY_VIOLATION, naming policy and message, or POLICY_ERROR.
    A call that needs an approval passes here and is for the next check, which sees it in ``verdict.wants``.
    """

    def check(invocation: Invocation) -> None:
        bundle = bundles.of(invocation.tenant)
        if bundle is None:
            return
        verdict = invocation.verdict = PolicyVerdict(bundle=bundle.digest)
        tool = bundle.for_tool(invocation.contract)
        if tool.policies:
            around = Circumstances(desk, invocation)
            facts = tool.plan.facts(around)
            ruling = tool.verdicts(facts)
            verdict.facts = tool.plan.record(facts, dict(ruling.would) if ruling.would else {}, caller=around.caller)
        else:
            ruling = tool.verdicts({})
        verdict.decided = ruling.decided
        if ruling.effect is Effect.ALLOW:
            return
        if ruling.effect is Effect.DENY:
            if ruling.beneath is not None and ruling.beneath.effect is not Effect.DENY and glass(invocation):
                verdict.verdict = "break_glass"
                return
            raise _denial(ruling)
        if ruling.effect is Effect.AUDIT:
            verdict.verdict = "audit"
        else:
            verdict.wants = ruling.decided

    return check


def counting(counters: Counters) -> Check:
    """Count every call that came so far; for the end of the tuple of checks."""

    def check(invocation: Invocation) -> None:
        counters.passed(invocation.tenant, invocation.principal)

    return check


def _denial(ruling: Ruling) -> AuthorizationError:
    if not ruling.decided:
        return AuthorizationError(
            "POLICY_VIOLATION",
            "No policy allows this call, and what no policy allows is denied",
            ran="no",
            hint="ask whoever keeps the policies",
        )
    policy = ruling.decided[0]
    if ruling.error is not None:
        return AuthorizationError(
            "POLICY_ERROR",
            f"The policy {policy.name!r} could not be evaluated, so the call is denied: {ruling.error.message}",
            ran="no",
            hint="ask whoever keeps the policies; `altar policy explain` shows more",
            detail=ruling.error.detail,
        )
    return AuthorizationError(
        "POLICY_VIOLATION",
        f"The policy {policy.name!r} denies this call{f': {policy.message}' if policy.message else ''}",
        ran="no",
        hint="change the call so that the policy allows it, or ask whoever keeps the policies",
    )
