"""The steps "policy" and "approval" of an explanation: what a bundle decides on one call, and what would turn that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from altar.aesp.policy.cel import presence_asked
from altar.aesp.policy.concluding import Conclusion, conclude
from altar.aesp.policy.explanation import PolicyStep, Step, needed_words
from altar.aesp.policy.policy import Bundle, Effect, Policy
from altar.aesp.policy.programs import CompiledPolicy, compile_policy, variables_for
from altar.aesp.policy.walk import walk_policy

if TYPE_CHECKING:
    from altar.grid.manifests.manifest import HostContract

__all__ = ["Decided", "Governing", "decide", "governing", "name_of_bundle", "with_contract"]


class Decided(NamedTuple):
    """Both steps, and what they come from."""

    policy: Step
    approval: Step
    conclusion: Conclusion


class Governing(NamedTuple):
    """The policies of a bundle that are about one tool, compiled, and the types of the variables they may read."""

    policies: tuple[CompiledPolicy, ...]
    types: Mapping[str, str]


def governing(bundle: Bundle, tool: str, contract: HostContract | None) -> Governing:
    """Give the policies about a tool; without its contract, arguments have the types that they are given."""
    variables = variables_for(bundle, contract)
    chosen = [policy for policy in bundle.policies if policy.governs(tool)]
    made = tuple(compile_policy(policy, variables, tool=tool) for policy in chosen)
    types = dict(variables.types)
    for policy in chosen if variables.closed else ():
        types |= variables.with_guarded(presence_asked(policy.condition)).types
    return Governing(made, types)


def decide(
    bundle: Bundle | None,
    of_tool: Governing,
    *,
    values: Mapping[str, Any],
    missing: Collection[str] = (),
    full: bool = True,
    approved: bool = False,
) -> Decided:
    """Say what a bundle decides on a call of a tool, policy by policy; None is a tenant without policies.

    ``values``, ``missing`` and ``full`` are as for `walk_policy`; ``approved`` calls carry an approval.
    Without ``full`` policies that are only tried out (``dry_run``) are not told of.
    """
    if bundle is None:
        none = ("the tenant has no policies in force",)
        return Decided(Step(check="policy", result="passed", reasons=none), _not_needed(), Conclusion("allow"))
    policies, types = of_tool
    walked = [walk_policy(each, types=types, values=values, missing=missing, full=full) for each in policies]
    known = [(each.policy, step.result) for each, step in zip(policies, walked, strict=True)]
    conclusion = conclude(known, default=bundle.default, approved=approved)
    silent = conclusion.verdict in {"allow", "undecidable"}
    deciding = set[str]() if silent else {policy.name for policy in conclusion.policies}
    steps = tuple(replace(step, decides=step.name in deciding) for step in walked)
    return Decided(
        _policy_step(bundle, tuple(step for step in steps if full or not step.dry_run), conclusion),
        _approval_step(known, steps, conclusion, full=full, approved=approved),
        conclusion,
    )


def name_of_bundle(bundle: Bundle, *, version: int = 0) -> str:
    """Give the words for a bundle: its name, its version where that is known, and its digest."""
    return f"{bundle.name}{f' version {version}' if version else ''}, {bundle.digest}"


def with_contract(
    step: Step, contract: HostContract, *, full: bool = True, approved: bool = False, here: bool = True
) -> Step:
    """Give the step "approval" with what the contract itself asks for, whatever policies say.

    ``here`` says whether anybody can approve calls on this host.
    """
    asked = contract.governance.requires_approval if contract.governance is not None else None
    if asked is None or step.result not in {"passed", "asks"}:
        return step
    if not here:
        none = ("the contract asks for approval, and this host takes none: its tier is foundation",)
        needed = ("a host of the tier advanced",)
        return Step(check="approval", result="refused", code="FEATURE_UNAVAILABLE", reasons=none, needed=needed)
    if approved:
        return Step(check="approval", result="passed", reasons=("it was approved",))
    words = _people_asked("the contract", asked.approvers, asked.quorum, asked.waits.total_seconds(), full=full)
    others = step.result == "asks"
    return Step(
        check="approval",
        result="asks",
        code="APPROVAL_PENDING",
        reasons=(*(step.reasons if others else ()), words),
        needed=(*(step.needed if others else ()), "the approval that the contract asks for"),
    )


def _policy_step(bundle: Bundle, steps: tuple[PolicyStep, ...], conclusion: Conclusion) -> Step:
    reasons: list[str] = []
    if not steps:
        reasons.append("no policy is about this tool")
    if conclusion.verdict in {"allow", "audit", "pending"}:
        if conclusion.verdict == "audit":
            reasons.append("it passes, and is marked in the record")
        return Step(check="policy", result="passed", reasons=tuple(reasons), policies=steps)
    if conclusion.verdict == "undecidable":
        missing = sorted({path for step in steps if step.result == "unknown" for path in step.missing})
        reasons.append(f"it depends on what is not known: {', '.join(missing) or 'the facts of the call'}")
        return Step(check="policy", result="not recorded", reasons=tuple(reasons), policies=steps)
    if not conclusion.policies:
        reasons.append("the bundle denies what no policy allows, and none does")
        needed = tuple(_to_allow(bundle, steps))
    else:
        needed = tuple(_to_pass(steps))
    return Step(
        check="policy",
        result="refused",
        code=conclusion.code,
        reasons=tuple(reasons),
        needed=needed,
        policies=steps,
    )


def _to_pass(steps: tuple[PolicyStep, ...]) -> Iterator[str]:
    """Say for each policy that denies what would turn its condition."""
    for step in steps:
        if not step.decides:
            continue
        what = f"policy {step.name!r} (line {step.line})"
        if step.hidden:
            yield f"{what} would have to be false: ask who may explain policies"
        elif step.result == "error":
            yield f"{what} could not be evaluated, which denies: mend it, or give what it reads"
        elif step.turns:
            yield f"{what} would be {'false' if step.result == 'true' else 'true'} if {needed_words(step.turns)}"
        else:
            yield f"{what} would have to be false; there is no small change that is sure to do it"


def _to_allow(bundle: Bundle, steps: tuple[PolicyStep, ...]) -> Iterator[str]:
    """Say for each policy that could have allowed what it would have taken."""
    named = {policy.name for policy in bundle.policies if policy.effect is Effect.ALLOW and not policy.dry_run}
    ways = [
        f"policy {step.name!r} (line {step.line}) to allow it"
        + (f", as it would if {needed_words(step.turns)}" if step.turns else "")
        for step in steps
        if step.name in named
    ]
    yield "; or ".join(ways) if ways else "a policy that allows this tool"


def _approval_step(
    known: list[tuple[Policy, Any]],
    steps: tuple[PolicyStep, ...],
    conclusion: Conclusion,
    *,
    full: bool,
    approved: bool,
) -> Step:
    asking = [policy for policy, value in known if value == "true" and policy.effect is Effect.REQUIRE_APPROVAL]
    asking = [policy for policy in asking if not policy.dry_run]
    if conclusion.verdict == "denied":
        return Step(check="approval", result="not reached")
    if conclusion.verdict == "undecidable":
        return Step(check="approval", result="not recorded")
    if not asking:
        return _not_needed()
    if approved:
        return Step(check="approval", result="passed", reasons=("it was approved",))
    reasons = tuple(_asked(policy, full=full) for policy in asking)
    turns = {step.name: step.turns for step in steps}
    needed = tuple(
        f"the approval that policy {policy.name!r} (line {policy.line}) asks for"
        + (f"; it would ask for none if {needed_words(turns[policy.name])}" if turns[policy.name] else "")
        for policy in asking
    )
    return Step(check="approval", result="asks", code="APPROVAL_PENDING", reasons=reasons, needed=needed)


def _asked(policy: Policy, *, full: bool) -> str:
    seconds = policy.expires.total_seconds()
    return _people_asked(f"policy {policy.name!r}", policy.approvers, policy.quorum, seconds, full=full)


def _people_asked(who: str, approvers: Collection[str], quorum: int, seconds: float, *, full: bool) -> str:
    people = "1 person" if quorum == 1 else f"{quorum} different people"
    roles = " or ".join(approvers) if full else ""
    role = f" in the role {roles}" if roles else ""
    return f"{who} asks for {people}{role}, within {seconds / 3600:g} h; nobody approves a call of their own"


def _not_needed() -> Step:
    return Step(check="approval", result="passed", reasons=("no policy asks for one",))
