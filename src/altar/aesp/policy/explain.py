"""Explaining a call that is only thought of: the checks of a host in their order, by what the host knows now.

In comes a `Question`, out comes an `Explanation`; nothing is called, recorded or counted.
Who may explain policies gets everything.
Who asks about a call of their own is told how it is decided on, but a tool that they do not see is not there, roles
that others hold are not named, nor conditions shown that speak of roles, and policies that are only tried out are left
out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.aesp.policy.cases import Case, default_values, said_values
from altar.aesp.policy.deciding import Governing, decide, governing, name_of_bundle, with_contract
from altar.aesp.policy.explanation import CHECKS, Explanation, Step, Verdict
from altar.aesp.policy.facts import Circumstances, Desk, static_facts
from altar.aesp.policy.policy import Bundle
from altar.aesp.policy.programs import CompiledBundle, compile_bundle
from altar.aesp.policy.rights import Rights, unseen
from altar.later.invocation import Invocation

if TYPE_CHECKING:
    from altar.aesp.principal import Principal
    from altar.grid.manifests.manifest import HostContract, Manifest

__all__ = ["Explainer", "InForce", "Question", "explained", "offline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A call that is only thought of.

    ``arguments`` are as a caller gives them; ``version`` is a version or a range, "" for any.
    ``time`` is when it is made, None for now; ``environment`` replaces the operator's, None for that itself.
    """

    tool: str
    version: str = ""
    arguments: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    time: datetime | None = None
    environment: Mapping[str, str] | None = None


class InForce(Protocol):
    """Which bundle decides for a tenant."""

    def of(self, tenant: str) -> CompiledBundle | None:
        """Give it; None for a tenant without policies. Raises POLICY_ERROR for one that cannot be used."""

    def version_of(self, tenant: str) -> int:
        """Give the number of its version."""


class Explainer:
    """Explains calls on a host. For the thread of its decisions, the host's loop.

    ``manifest`` gives the contracts now; ``desk`` is where facts are taken from; ``in_force`` is None on a host of a
    tier without policies.
    """

    def __init__(
        self,
        rights: Rights,
        *,
        manifest: Callable[[], Manifest],
        in_force: InForce | None,
        desk: Desk,
    ) -> None:
        self._rights = rights
        self._manifest = manifest
        self._in_force = in_force
        self._desk = desk

    def explain(self, who: Principal, question: Question, *, full: bool, assumed: bool) -> Explanation:
        """Explain a call by ``who``.

        ``full`` tells what others hold too; ``assumed`` says that ``who`` is only asked about and proved nothing.
        """
        return self.begin(who, question, full=full, assumed=assumed)()

    def begin(self, who: Principal, question: Question, *, full: bool, assumed: bool) -> Callable[[], Explanation]:
        """Take what `explain` needs from what the host knows now; the function that is given works out the rest.

        That takes some milliseconds, and may be called in another thread.
        """
        when = question.time or datetime.fromtimestamp(self._desk.now(), UTC)
        steps, contract = self._rights_of(who, question, full=full, assumed=assumed)
        reached = all(step.result == "passed" or (full and step.check in {"permitted", "quota"}) for step in steps)
        policy = self._policy(who, contract, question, when, full=full) if contract is not None and reached else None

        def finish() -> Explanation:
            more, bundle = policy() if policy is not None else ((), "")
            return explained(
                "hypothetical",
                [*steps, *more],
                tenant=who.tenant,
                principal=who.id,
                tool=question.tool,
                version=contract.version if contract is not None else question.version,
                time_ms=int(when.timestamp() * 1000),
                bundle=bundle,
            )

        return finish

    def _rights_of(
        self, who: Principal, question: Question, *, full: bool, assumed: bool
    ) -> tuple[list[Step], HostContract | None]:
        """Take the checks before policy; the contract is None where nothing may be said about it."""
        steps: list[Step] = []
        for step in (self._rights.authenticated(who, assumed=assumed), self._rights.active(who)):
            steps.append(step)
            if step.result == "refused":
                return steps, None
        contract = self._found(question)
        seen = unseen(question.tool) if contract is None else self._rights.visible(who, contract)
        if contract is None or seen.result == "refused":
            return [*steps, seen if full else unseen(question.tool)], None
        return [
            *steps,
            seen,
            _fits(contract, question),
            self._rights.permitted(who, contract, full=full),
            self._rights.quota(who.tenant),
        ], contract

    def _policy(
        self, who: Principal, contract: HostContract, question: Question, when: datetime, *, full: bool
    ) -> Callable[[], tuple[tuple[Step, ...], str]]:
        """Take the facts of the call now; the function gives the last two steps, and the words for the bundle."""
        if self._in_force is None:
            none = ("this host has no policies: its tier is foundation",)
            policy, approval = (Step(check=name, result="passed", reasons=none) for name in ("policy", "approval"))
            steps = (policy, with_contract(approval, contract, here=False))
            return lambda: (steps, "")
        try:
            compiled = self._in_force.of(who.tenant)
            facts = {} if compiled is None else self._facts(compiled, who, contract, question, when)
            version = self._in_force.version_of(who.tenant)
        except AltarError as broken:
            needed = ("an administrator of the tenant would have to mend its policies, or the call to be smaller",)
            step = Step(check="policy", result="refused", code=broken.code, reasons=(str(broken),), needed=needed)
            return lambda: ((step,), "")

        def judge() -> tuple[tuple[Step, ...], str]:
            if compiled is None:
                decided = decide(None, Governing((), {}), values={})
                return (decided.policy, with_contract(decided.approval, contract, full=full)), ""
            bundle = compiled.bundle
            decided = decide(bundle, governing(bundle, contract.name, contract), values=facts, full=full)
            approval = with_contract(decided.approval, contract, full=full)
            return (decided.policy, approval), name_of_bundle(bundle, version=version)

        return judge

    def _facts(
        self, compiled: CompiledBundle, who: Principal, contract: HostContract, question: Question, when: datetime
    ) -> dict[str, Any]:
        """Give the facts as the check of policies has them, for a call that carries no approval."""
        desk = replace(self._desk, now=when.timestamp, has_approval=lambda _: False)
        call = Invocation(
            contract.name,
            canonical(dict(question.arguments)),
            version=contract.version,
            principal=who.id,
            tenant=who.tenant,
            contract=contract,
            who=who,
        )
        facts = compiled.for_tool(contract).plan.facts(Circumstances(desk, call))
        if question.environment is not None and "environment" in facts:
            facts["environment"] = dict(question.environment)
        return facts

    def _found(self, question: Question) -> HostContract | None:
        try:
            return self._manifest().find(question.tool, question.version)
        except AltarError:
            return None


def offline(bundle: Bundle, contract: HostContract, case: Case) -> Explanation:
    """Explain what a bundle decides on the call of a case; what only a host knows is said not to be known.

    What the case does not say has the value that it has in tests of bundles.
    """
    question = Question(tool=contract.name, version=contract.version, arguments=case.arguments, time=case.time)
    known = default_values(case, contract)
    known |= static_facts(contract, constants=bundle.constants, environment=case.environment) | said_values(case)
    fits = _fits(contract, question)
    unknown = {name: Step(check=name, result="not known") for name in CHECKS[: CHECKS.index("policy")]}
    steps = [*(unknown | {fits.check: fits}).values()]
    if fits.result != "refused":
        tool = compile_bundle(bundle, environment=case.environment).for_tool(contract)
        values = {name: known[name] for name in tool.needs if name in known}
        try:
            tool.plan.add_arguments(values, canonical(dict(case.arguments)))
            approved = bool(known["request.has_approval"])
            decided = decide(bundle, governing(bundle, contract.name, contract), values=values, approved=approved)
            steps += [decided.policy, with_contract(decided.approval, contract, approved=approved)]
        except AltarError as refused:
            steps.append(Step(check="policy", result="refused", code=refused.code, reasons=(str(refused),)))
    return explained(
        "hypothetical",
        steps,
        tenant=str(known["tenant.name"]),
        principal=str(known["principal.id"]),
        tool=contract.name,
        version=contract.version,
        time_ms=int(case.time.timestamp() * 1000),
        bundle=name_of_bundle(bundle),
        notes=("No host was asked: who may call the tool, and its quota, are not known here.",),
    )


def explained(kind: Any, steps: list[Step], *, notes: tuple[str, ...] = (), **of: Any) -> Explanation:
    """Join steps into an explanation; the checks behind the last one are not reached."""
    names = {step.check for step in steps}
    last = max((CHECKS.index(step.check) for step in steps), default=-1)
    rest = [Step(check=name, result="not reached") for name in CHECKS[last + 1 :] if name not in names]
    told = (*steps, *rest)
    decided = next((step for step in told if step.result in {"refused", "asks"}), None)
    if decided is not None:
        verdict = Verdict.DENIED if decided.result == "refused" else Verdict.APPROVAL
    elif any(step.check == "policy" and step.result == "not recorded" for step in told):
        verdict = Verdict.UNDECIDABLE
    else:
        verdict = Verdict.ALLOWED
    code = decided.code if decided is not None else ""
    return Explanation(kind=kind, steps=told, verdict=verdict, code=code, notes=notes, **of)


def _fits(contract: HostContract, question: Question) -> Step:
    """Whether the arguments fit the contract, as a host checks them."""
    try:
        contract.check(canonical(dict(question.arguments)))
    except AltarError as refused:
        return Step(
            check="arguments",
            result="refused",
            code=refused.code,
            reasons=(str(refused),),
            needed=("arguments that fit the contract",),
        )
    return Step(check="arguments", result="passed", reasons=("they fit the contract",))
