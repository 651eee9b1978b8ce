"""Explaining a call that was made: from what its log holds, and from nothing else.

The record has the verdict, which bundle decided, and the facts that its policies read, as far as they may be kept.
From those the conditions are judged again; what was not recorded stays unknown, and a verdict that the facts do not
lead to is said to be so.
Which role granted a call is not in its record: the checks before policy are known to have let it pass, and no more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from altar.adm.errors import ValidationError
from altar.aesp.policy.deciding import Decided, decide, governing, name_of_bundle, with_contract
from altar.aesp.policy.explain import explained
from altar.aesp.policy.explanation import CHECKS, Explanation, Step, Verdict
from altar.aesp.policy.facts import static_facts
from altar.aesp.policy.policy import Bundle
from altar.aesp.policy.recorded_calls import RecordedCall, read_call
from altar.aesp.policy.recorded_values import OF_CALL, TIMES, value_of_call, values_of
from altar.aesp.policy.refused_by import CHECK_OF, NEEDED

if TYPE_CHECKING:
    from altar.grid.manifests.manifest import HostContract

__all__ = ["MARKED", "Marked", "explain_past", "find_call", "read_at"]

MARKED = ("invocation", "call", "correlation")
"""The ids by which a call is looked for."""
MAX_ID = 128

_APPROVAL = "approval"


class Marked(Protocol):
    """A log that is searched for bytes."""

    def marked(self, marks: list[bytes], start: int = 0) -> Iterator[Any]:
        """Give the rows (``tenant``, ``position``, ``body``) whose entries hold one of some marks."""

    def entries(self, tenant: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Give positions and bytes of the entries of one log."""


def find_call(log: Marked, tenant: str, asked: str) -> RecordedCall:
    """Find a call of a tenant by the id of its invocation, of the call, or of what it belongs to.

    Of several the newest is given; an invocation counts before a call, and that before a correlation.
    Raises ValidationError UNKNOWN_RESOURCE when there is none, MALFORMED_REQUEST for what is no id.
    """
    if not 0 < len(asked) <= MAX_ID or not asked.isascii() or not asked.isprintable():
        raise ValidationError("MALFORMED_REQUEST", f"{asked[:80]!r} is no id of a call", ran="no")
    word = orjson.dumps(asked)
    marks = [b'"%s":%s' % (name.encode(), word) for name in MARKED]
    marks += [each.replace(b'"', b'\\"') for each in marks[:2]]  # within the data of a refusal
    best: tuple[int, RecordedCall] | None = None
    for row in log.marked(marks):
        call = read_call(row.position, row.body) if row.tenant == tenant else None
        rank = next((3 - at for at, name in enumerate(MARKED) if call is not None and getattr(call, name) == asked), 0)
        if call is not None and rank and (best is None or rank >= best[0]):
            best = (rank, call)
    if best is None:
        raise _unknown(asked)
    return best[1]


def read_at(log: Marked, tenant: str, position: int) -> RecordedCall:
    """Give the call whose intent or refusal stands at a position of the tenant's log.

    Raises ValidationError UNKNOWN_RESOURCE when no call stands there.
    """
    for at, body in log.entries(tenant, position, position + 1):
        call = read_call(at, body)
        if call is not None:
            return call
        raise ValidationError(
            "UNKNOWN_RESOURCE",
            f"What stands at position {position} of the log is no call",
            ran="no",
            hint="`altar audit list` shows what it is; explained are intents and refused calls",
        )
    raise _unknown(f"position {position}")


def explain_past(
    call: RecordedCall,
    *,
    tenant: str,
    principal: str,
    bundle_of: Callable[[str], tuple[Bundle, int] | None],
    contract_of: Callable[[str, str], HostContract | None],
    full: bool = True,
    now: tuple[str, ...] = (),
) -> Explanation:
    """Explain a call by its record.

    ``principal`` is the name for it, or its pseudonym; ``bundle_of`` gives the bundle of a digest with its version,
    None when it is not kept; ``contract_of`` a contract by name and version, None when the manifest has it no more.
    ``now`` says how the request for its approval stands at this moment, which is not in the record.
    """
    notes: list[str] = []
    steps: list[Step]
    bundle = ""
    if call.code and not _is_about_policy(call):
        steps = _refused(call)
    else:
        steps = [_passed(name) for name in CHECKS[: CHECKS.index("policy")]]
        found = bundle_of(call.bundle) if call.bundle else None
        bundle = "" if not call.bundle else call.bundle if found is None else name_of_bundle(found[0], version=found[1])
        steps += _of_policy(call, found, contract_of(call.tool, call.version), notes, full=full)
        steps[-1] = replace(steps[-1], reasons=(*steps[-1].reasons, *now))
    if call.times > 1:
        notes.append(f"This entry stands for {call.times} refusals; only the first of its kind was recorded by itself.")
    told = explained(
        "recorded",
        steps,
        notes=tuple(notes),
        tenant=tenant,
        principal=principal,
        tool=call.tool,
        version=call.version,
        time_ms=call.time_ms,
        bundle=bundle,
        place=f"position {call.position} of the log of {tenant!r}"
        + (f", {call.invocation}" if call.invocation else ""),
    )
    return replace(told, verdict=_verdict(call), code=call.code)


def _verdict(call: RecordedCall) -> Verdict:
    """What is recorded counts, whatever the facts say."""
    if call.was == "pending":
        return Verdict.APPROVAL
    return Verdict.DENIED if call.was == "denied" else Verdict.ALLOWED


def _is_about_policy(call: RecordedCall) -> bool:
    return CHECK_OF.get(call.code) in {"policy", _APPROVAL}


def _refused(call: RecordedCall) -> list[Step]:
    """The steps up to a check before policy that refused."""
    check = CHECK_OF.get(call.code, "")
    if not check:
        return [
            Step(check="authenticated", result="refused", code=call.code, reasons=("no check is known to do this",))
        ]
    steps = [_passed(name) for name in CHECKS[: CHECKS.index(check)]]
    needed = (NEEDED[call.code],) if call.code in NEEDED else ()
    reasons = ["the record holds that it was refused, and not by which facts"]
    if call.code == "INVALID_CREDENTIALS":
        reasons.append("the credential had ended, or its principal was not there or not active")
    return [*steps, Step(check=check, result="refused", code=call.code, reasons=tuple(reasons), needed=needed)]


def _passed(check: str) -> Step:
    return Step(check=check, result="passed", reasons=("recorded is only that it passed",))


def _of_policy(
    call: RecordedCall,
    found: tuple[Bundle, int] | None,
    contract: HostContract | None,
    notes: list[str],
    *,
    full: bool,
) -> list[Step]:
    if found is None:
        return _without_bundle(call, contract, full=full)
    decided = _decided(call, found[0], contract, full=full)
    asked = decided.approval
    if contract is not None:
        asked = with_contract(asked, contract, full=full, approved=call.was == "approved")
    policy, approval = decided.policy, _approval(call, asked)
    if call.was == "break_glass":
        if policy.result == "refused":
            policy = replace(policy, result="passed", code="", reasons=("a break-glass was open for it",), needed=())
        approval = Step(check=_APPROVAL, result="passed", reasons=("a break-glass was open for it",))
    was = {"allow": "allow", "audit": "audit", "approved": "allow", "pending": "pending", "denied": "denied"}.get(
        call.was
    )
    said = "allow" if call.was == "approved" and decided.conclusion.verdict == "audit" else decided.conclusion.verdict
    if call.was == "pending" and said in {"allow", "audit"} and asked.result == "asks":
        said = "pending"  # the contract asked, whatever policies said
    refused_later = CHECK_OF.get(call.code) == _APPROVAL
    if was is not None and said not in {was, "undecidable"} and not (refused_later and said in {"pending", "allow"}):
        notes.append(f"The record says {call.was!r}, and the facts that it holds lead to {said!r}: the record counts.")
    if call.was in {"allow", "audit", "approved"} and policy.result == "not recorded":
        policy = replace(policy, result="passed", reasons=(*policy.reasons, "it let the call pass"))
    if call.was == "pending" and policy.result == "not recorded":
        policy = replace(policy, result="passed", reasons=(*policy.reasons, "it asked for an approval"))
    if call.was == "denied" and not refused_later and policy.result != "refused":
        policy = replace(policy, result="refused", code=call.code)
    return [_by_rule(call, policy), approval]


def _by_rule(call: RecordedCall, policy: Step) -> Step:
    """Let the policy decide that is recorded to have decided, where the facts do not show it."""
    if not call.rule or any(each.decides for each in policy.policies):
        return policy
    steps = tuple(replace(each, decides=each.name == call.rule) for each in policy.policies)
    reasons = (*policy.reasons, f"recorded is that policy {call.rule!r} decided")
    needed = policy.needed
    if policy.result == "refused" and not needed:
        needed = (f"policy {call.rule!r} would have had to be false; what it read is not recorded",)
    return replace(policy, policies=steps, reasons=reasons, needed=needed)


def _approval(call: RecordedCall, approval: Step) -> Step:
    by = (f"request {call.approval}",) if call.approval else ()
    if call.was == "approved":
        return Step(check=_APPROVAL, result="passed", reasons=("it was approved", *by))
    if call.was in {"allow", "audit"}:
        return Step(check=_APPROVAL, result="passed", reasons=("none was needed",))
    if call.was == "pending":
        needed = approval.needed or (NEEDED[call.code],)
        return replace(approval, result="asks", code=call.code, reasons=(*approval.reasons, *by), needed=needed)
    if CHECK_OF.get(call.code) == _APPROVAL:
        needed = (NEEDED[call.code],)
        return Step(check=_APPROVAL, result="refused", code=call.code, reasons=by, needed=needed)
    return Step(check=_APPROVAL, result="not reached")


def _without_bundle(call: RecordedCall, contract: HostContract | None, *, full: bool) -> list[Step]:
    """What can be said of a call when the bundle that decided is not here."""
    if not call.bundle and not call.code:
        return [Step(check="policy", result="passed", reasons=("no policies were in force",)), _approval(call, _none())]
    asked = _none() if contract is None else with_contract(_none_needed(), contract, full=full)
    if asked.result == "asks" and call.was in {"pending", "approved", "break_glass"}:
        why = "no bundle of that digest is kept here, and the contract asks for approval by itself"
        return [Step(check="policy", result="passed", reasons=(why,)), _approval(call, asked)]
    reasons = ["the bundle that decided is not kept here" if call.bundle else "which bundle decided is not recorded"]
    facts = orjson.loads(call.facts) if call.facts else {}
    reasons += [f"recorded: {name} = {orjson.dumps(value).decode()}" for name, value in sorted(facts.items())]
    is_refused = call.code in {"POLICY_VIOLATION", "POLICY_ERROR"}
    result: Any = "refused" if is_refused else "passed"
    return [
        Step(check="policy", result=result, code=call.code if is_refused else "", reasons=tuple(reasons)),
        _approval(call, _none()),
    ]


def _none() -> Step:
    return Step(check=_APPROVAL, result="not recorded")


def _none_needed() -> Step:
    return Step(check=_APPROVAL, result="passed")


def _decided(call: RecordedCall, bundle: Bundle, contract: HostContract | None, *, full: bool) -> Decided:
    of_tool = governing(bundle, call.tool, contract)
    facts: dict[str, Any] = orjson.loads(call.facts) if call.facts else {}
    beside = _beside(call, bundle, contract)
    expressions = [each.expression for each in of_tool.policies if each.expression is not None]
    values, missing = values_of(expressions, types=of_tool.types, facts=facts, beside=beside)
    approved = call.was == "approved"
    return decide(bundle, of_tool, values=values, missing=missing, full=full, approved=approved)


def _beside(call: RecordedCall, bundle: Bundle, contract: HostContract | None) -> dict[str, Any]:
    """What is known of a call beside its recorded facts: its entry, its contract, the constants of the bundle."""
    known = {f"constants.{name}": value for name, value in bundle.constants.items()}
    if contract is not None:
        known |= static_facts(contract, constants=bundle.constants, environment={})
        known.pop("environment")  # what the operator says now is not what was said then
    return known | dict(_of_entry(call, (*OF_CALL, *TIMES)))


def _of_entry(call: RecordedCall, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    for name in names:
        value = value_of_call(name, call)
        if value is not None:
            yield name, value


def _unknown(what: str) -> ValidationError:
    return ValidationError(
        "UNKNOWN_RESOURCE",
        f"There is no call {what[:80]!r} in the log of this tenant",
        ran="no",
        hint="give the id of an invocation, a call or a correlation, as `altar audit query` shows them",
    )
