"""A bundle looked at before it is in force: does it fit the contracts, what is odd, how do its tests end, what changes?

The same is done by `altar policy validate` from files and by a host when a bundle is handed in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.aesp.policy.cases import Case, CaseResult, Decided, cases_of, default_values, run_case, said_values
from altar.aesp.policy.cel import NUL, has_nul, unevaluable
from altar.aesp.policy.facts import static_facts
from altar.aesp.policy.linting import Finding, Holders, lint
from altar.aesp.policy.policy import Bundle
from altar.aesp.policy.programs import CompiledBundle, Step, compile_bundle, compile_policy, variables_for

if TYPE_CHECKING:
    from altar.aesp.policy.cel import Expression
    from altar.grid.manifests.manifest import HostContract

__all__ = ["DecisionChange", "Examination", "decided_by", "examination_of", "examine"]


@dataclass(frozen=True, slots=True)
class DecisionChange:
    """A call of some test that would be decided on otherwise: what was, what would be, and the policy that decides."""

    case: str
    tool: str
    was: str
    becomes: str
    policy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was found in a bundle of so many ``policies``; ``tested`` says whether its tests were run.

    ``changes``, ``added``, ``removed`` and ``changed`` compare it with another bundle, and are empty without one.
    """

    policies: int
    findings: tuple[Finding, ...]
    cases: tuple[CaseResult, ...] = ()
    tested: bool = True
    compared: bool = False
    changes: tuple[DecisionChange, ...] = ()
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def wrong(self) -> tuple[str, ...]:
        """Why the bundle cannot be in force, in sentences; empty when it can."""
        errors = [str(finding) for finding in self.findings if finding.severity == "error"]
        failed = [f"test {case.name!r} fails: {case.message}" for case in self.cases if not case.passed]
        return (*errors, *failed)

    def to_json(self) -> dict[str, Any]:
        """Give the same for programs, with the names that the wire has."""
        cases = [{"name": case.name, **{k: v for k, v in asdict(case).items() if k != "name"}} for case in self.cases]
        changes = [
            {"case_name": one.case, **{k: v for k, v in asdict(one).items() if k != "case"}} for one in self.changes
        ]
        return {
            "accepted": not self.wrong,
            "findings": [asdict(finding) for finding in self.findings],
            "cases": cases,
            "changes": changes,
            "added": list(self.added),
            "removed": list(self.removed),
            "changed": list(self.changed),
            "policies": self.policies,
        }


def examine(
    bundle: Bundle,
    contracts: Sequence[HostContract],
    *,
    against: Bundle | None = None,
    holders: Holders | None = None,
    runs_tests: bool = True,
    step: Step = lambda: None,
) -> Examination:
    """Look at a bundle as a host with these contracts would.

    ``against`` is the bundle in force, whose decisions are compared in the tests of both.
    ``step`` is called before each piece of work, which takes milliseconds, and may raise to end it all.
    Raises ValidationError INVALID_POLICY for a policy that fits no tool at all, and for a test that is none.
    """
    compiled = compile_bundle(bundle, contracts, step=step)
    problems = [
        Finding("error", "does-not-fit", problem.policy.name, 0, _hinted(problem.message, problem.hint))
        for problem in compiled.problems
    ]
    odd = lint(bundle, contracts, _expressions(bundle, contracts, step), holders=holders)
    cases = cases_of(bundle) if runs_tests else []
    results = []
    for case in cases:
        step()
        results.append(run_case(case, contracts, lambda contract, one: decided_by(compiled, contract, one)))
    added, removed, changed = _compared(bundle, against)
    return Examination(
        policies=len(bundle.policies),
        findings=(*problems, *odd),
        cases=tuple(results),
        tested=runs_tests,
        compared=against is not None,
        changes=(
            tuple(_changes(compiled, against, contracts, cases, step)) if against is not None and runs_tests else ()
        ),
        added=added,
        removed=removed,
        changed=changed,
    )


def examination_of(report: Mapping[str, Any]) -> Examination:
    """Give the examination that a host told, from its message as JSON."""
    return Examination(
        policies=int(report.get("policies", 0)),
        findings=tuple(Finding(**one) for one in report["findings"]),
        cases=tuple(CaseResult(**one) for one in report["cases"]),
        compared=True,
        changes=tuple(
            DecisionChange(one["case_name"], one["tool"], one["was"], one["becomes"], one["policy"])
            for one in report["changes"]
        ),
        added=tuple(report["added"]),
        removed=tuple(report["removed"]),
        changed=tuple(report["changed"]),
    )


def decided_by(compiled: CompiledBundle, contract: HostContract, case: Case) -> Decided:
    """Decide on the call of a test as a host would on one with these facts."""
    tool = compiled.for_tool(contract)
    known = default_values(case, contract)
    known |= static_facts(contract, constants=compiled.bundle.constants, environment=case.environment)
    known |= said_values(case)
    try:
        values = {name: known[name] for name in tool.needs if name in known}
        if has_nul(values):
            raise unevaluable(NUL)
        tool.plan.add_arguments(values, canonical(dict(case.arguments)))
        ruling = tool.verdicts(values)
    except AltarError as error:
        return Decided("ERROR", reason=error.message)
    decides = ruling.decided[0].name if ruling.decided else ""
    if ruling.error is not None:
        return Decided("ERROR", decides, ruling.error.message)
    return Decided(str(ruling.effect), decides)


def _expressions(bundle: Bundle, contracts: Sequence[HostContract], step: Step) -> dict[str, Expression]:
    """The condition of each policy, compiled for one of the contracts that it is about."""
    made: dict[str, Expression] = {}
    for policy in bundle.policies:
        step()
        contract = next((one for one in contracts if policy.governs(one.name)), None)
        compiled = compile_policy(policy, variables_for(bundle, contract), tool="")
        if compiled.expression is not None:
            made[policy.name] = compiled.expression
    return made


def _compared(bundle: Bundle, against: Bundle | None) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """The names of policies and constants that are new, gone, and other than before; what else differs is changed."""
    if against is None:
        return (), (), ()
    before, after = _parts(against), _parts(bundle)
    return (
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
    )


def _parts(bundle: Bundle) -> dict[str, str]:
    """What a bundle is made of, by name, as far as it decides or is recorded."""
    constants = {f"constants.{name}": repr(value) for name, value in bundle.constants.items()}
    policies = {policy.name: policy.digest for policy in bundle.policies}
    return {**constants, **policies, "default": bundle.default, "record": repr(sorted(bundle.record))}


def _hinted(message: str, hint: str) -> str:
    return f"{message}; {hint}" if hint else message


def _changes(
    compiled: CompiledBundle, against: Bundle, contracts: Sequence[HostContract], cases: Sequence[Case], step: Step
) -> list[DecisionChange]:
    """Decide on the calls of the tests of both bundles by both, and give what differs."""
    try:
        before = compile_bundle(against, contracts, step=step)
        theirs = cases_of(against)
    except AltarError:  # what is in force cannot be read any more, so that nothing can be compared with it
        step()
        return []
    calls = {_call(case): case for case in [*theirs, *cases]}
    found = []
    for case in calls.values():
        step()
        was = _verdict(before, contracts, case)
        becomes = _verdict(compiled, contracts, case)
        if was.verdict != becomes.verdict:
            found.append(DecisionChange(case.name, case.tool, was.verdict, becomes.verdict, becomes.policy))
    return found


def _call(case: Case) -> str:
    """The call of a test, whatever the test is called and expects."""
    return repr((case.tool, case.version, case.arguments, case.facts, case.environment, case.time))


def _verdict(compiled: CompiledBundle, contracts: Sequence[HostContract], case: Case) -> Decided:
    decided = Decided("")

    def decide(contract: HostContract, one: Case) -> Decided:
        nonlocal decided
        decided = decided_by(compiled, contract, one)
        return decided

    run_case(case, contracts, decide)
    return decided
