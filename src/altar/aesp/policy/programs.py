"""A bundle ready to decide: compiled once for each contract, so that a call only looks its programs up.

The policies that apply to a tool are judged at one go (`altar.aesp.policy.judging`); one that has no value then, such
as one with an error, is asked by itself.
A policy that does not fit a contract is a `Problem`; where such a bundle is used all the same, it refuses what that
policy governs.
"""

from __future__ import annotations

import difflib
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.policy.cel import Expression, compile_expression, presence_asked
from altar.aesp.policy.checked import Node, walk
from altar.aesp.policy.facts import Plan, static_facts
from altar.aesp.policy.judging import Judges, Judging, Key
from altar.aesp.policy.policy import Bundle, Effect, Policy
from altar.aesp.policy.types import Variables, variables_of

if TYPE_CHECKING:
    from altar.aesp.policy.facts import Costs
    from altar.grid.manifests.manifest import HostContract

__all__ = [
    "CompiledBundle",
    "CompiledPolicy",
    "Problem",
    "Ruling",
    "Step",
    "ToolPolicies",
    "compile_bundle",
    "compile_policy",
    "variables_for",
]

MAX_SECONDS: Final = 0.1
"""How long policies may be asked one by one for one call."""
Step = Callable[[], None]
"""Called before a piece of work of some milliseconds; may raise to end it."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A policy that does not fit a contract; ``message`` begins with the line."""

    policy: Policy
    tool: str
    line: int
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class CompiledPolicy:
    """A policy for one tool: its expression, or the problem in its place."""

    policy: Policy
    expression: Expression | None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Ruling:
    """What the policies of a tool say to a call.

    ``effect`` is what becomes of it, ``decided`` the policies that it comes from: all that asked for approval, those
    that marked it, the first that denied.
    ``error`` is why the first of ``decided`` had no value; the effect is DENY then.
    ``would`` names the dry-run policies that were true, or had an error, with what they would have done.
    ``beneath`` is what would be decided without those that deny, where each of them yields to a break-glass.
    """

    effect: Effect
    decided: tuple[Policy, ...] = ()
    error: AuthorizationError | None = None
    would: tuple[tuple[str, str], ...] = ()
    beneath: Ruling | None = None


class ToolPolicies:
    """The policies that apply to one contract, compiled.

    ``policies`` are in the order of the bundle; ``needs`` are the variables they read, ``plan`` how facts are found.
    """

    __slots__ = ("_default", "_judges", "_silent", "needs", "plan", "policies")

    def __init__(
        self,
        policies: tuple[CompiledPolicy, ...],
        *,
        default: Effect,
        judges: Judges,
        plan: Plan,
        needs: frozenset[str],
    ) -> None:
        self.policies = policies
        self.needs = needs
        self.plan = plan
        self._default = default
        self._judges = judges
        self._silent = Ruling(Effect.ALLOW) if default is Effect.ALLOW else Ruling(Effect.DENY)

    @property
    def reads(self) -> frozenset[tuple[str, ...]]:
        """The paths that the policies read, such as ``("args", "customer", "country")``."""
        return frozenset(
            path for each in self.policies if each.expression is not None for path in each.expression.reads
        )

    def verdicts(self, facts: Mapping[str, Any]) -> Ruling:
        """Decide by facts: DENY wins, then what has an error, then REQUIRE_APPROVAL, AUDIT and ALLOW.

        Where the bundle denies by default, a call passes only when an ALLOW is true.
        """
        true, unsure = self._judges.judge(facts)
        if not true and not unsure:
            return self._silent
        failed = self._one_by_one(unsure, facts, true) if unsure else []
        return self._ruled([self.policies[place].policy for place in sorted(true)], failed)

    def _one_by_one(
        self, places: Sequence[int], facts: Mapping[str, Any], true: list[int]
    ) -> list[tuple[Policy, AuthorizationError]]:
        """Ask the policies at these places by themselves: add to ``true``, and give those that have an error."""
        failed: list[tuple[Policy, AuthorizationError]] = []
        ends = time.monotonic() + MAX_SECONDS
        for place in sorted(places):
            each = self.policies[place]
            try:
                if time.monotonic() > ends:
                    raise AuthorizationError("POLICY_ERROR", "The policies take too long for this call", ran="no")
                if _value(each, facts):
                    true.append(place)
            except AuthorizationError as error:
                failed.append((each.policy, error))
        return failed

    def _ruled(self, fired: list[Policy], failed: Sequence[tuple[Policy, AuthorizationError]]) -> Ruling:
        would = tuple((policy.name, str(policy.effect)) for policy in fired if policy.dry_run)
        would += tuple((policy.name, "ERROR") for policy, _ in failed if policy.dry_run)
        binding = [policy for policy in fired if not policy.dry_run]
        denying = tuple(policy for policy in binding if policy.effect is Effect.DENY)
        if denying:
            yields = all(policy.break_glass for policy in denying)
            rest = [policy for policy in fired if policy not in denying]
            return Ruling(Effect.DENY, denying, None, would, self._ruled(rest, failed) if yields else None)
        for policy, error in failed:
            if not policy.dry_run:
                return Ruling(Effect.DENY, (policy,), error, would)
        allowing = tuple(policy for policy in binding if policy.effect is Effect.ALLOW)
        if self._default is Effect.DENY and not allowing:
            return Ruling(Effect.DENY, (), None, would)
        for effect in (Effect.REQUIRE_APPROVAL, Effect.AUDIT):
            found = tuple(policy for policy in binding if policy.effect is effect)
            if found:
                return Ruling(effect, found, None, would)
        return Ruling(Effect.ALLOW, allowing, None, would)


class CompiledBundle:
    """A bundle, ready for the contracts of a host.

    ``problems`` are the policies that do not fit some contract that the bundle was compiled for.
    A contract that comes later, such as one of a single session, is compiled for when it is first called.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        environment: Mapping[str, str],
        costs: Costs | None = None,
        step: Step = lambda: None,
    ) -> None:
        self.bundle = bundle
        self.digest = bundle.digest
        self.problems: tuple[Problem, ...] = ()
        self._environment = environment
        self._costs = costs
        self._step = step
        self._scopes = tuple((policy, policy.scopes) for policy in bundle.policies)
        self._tools: dict[HostContract, ToolPolicies] = {}
        self._compiled: dict[Key, CompiledPolicy] = {}
        self._judging = Judging()

    def for_tool(self, contract: HostContract) -> ToolPolicies:
        """Give the policies that apply to a contract."""
        known = self._tools.get(contract)
        if known is None:
            if len(self._tools) >= _MAX_TOOLS:
                self._tools.clear()
                self._compiled.clear()
                self._judging.clear()
            known = self._tools[contract] = self._made(contract)
        return known

    def _made(self, contract: HostContract) -> ToolPolicies:
        bundle, name = self.bundle, contract.name
        variables = variables_for(bundle, contract)
        chosen: list[Key] = []
        for index, (policy, scopes) in enumerate(self._scopes):
            if any(scope.covers("tools", name) for scope in scopes):
                # what does not speak of arguments is the same for every contract
                key = (index, contract.digest if _ARGS.search(policy.condition) else "")
                if key not in self._compiled:
                    self._step()
                    self._compiled[key] = compile_policy(policy, variables, tool=f"{name}@{contract.version}")
                chosen.append(key)
        policies = tuple(self._compiled[key] for key in chosen)
        types = dict(variables.types)
        for each in policies if variables.closed else ():
            types |= variables.with_guarded(presence_asked(each.policy.condition)).types
        static = static_facts(contract, constants=bundle.constants, environment=self._environment, costs=self._costs)
        expressions = [each.expression for each in policies]
        needs = frozenset(name for each in expressions if each is not None for name in each.needs)
        return ToolPolicies(
            policies,
            default=bundle.default,
            judges=self._judging.judges(list(zip(chosen, expressions, strict=True)), types=types),
            needs=needs,
            plan=Plan(
                needs,
                types=types,
                static=static,
                record=bundle.record,
                walks=any(each is not None and _walks(each.tree) for each in expressions),
            ),
        )


def compile_bundle(
    bundle: Bundle,
    contracts: Iterable[HostContract] = (),
    *,
    environment: Mapping[str, str] | None = None,
    costs: Costs | None = None,
    step: Step = lambda: None,
) -> CompiledBundle:
    """Compile a bundle for contracts; what does not fit is in `CompiledBundle.problems`, sorted by line.

    ``environment`` are the operator's constants, ``costs`` the price list of the tenant.
    ``step`` is called before each policy that is compiled, and may raise to end it all.
    Nothing else is raised: a policy that fits no tool at all is a problem whose ``tool`` is "".
    """
    made = CompiledBundle(bundle, environment=environment or {}, costs=costs, step=step)
    free = variables_for(bundle)
    found: dict[tuple[str, str], Problem] = {}
    for policy in bundle.policies:
        step()
        compiled = compile_policy(policy, free, tool="")
        if compiled.problem is not None:
            found[policy.name, ""] = compiled.problem
    for contract in contracts:
        for each in made.for_tool(contract).policies:
            if each.problem is not None and (each.policy.name, "") not in found:
                found.setdefault((each.policy.name, each.problem.tool), each.problem)
    made.problems = tuple(sorted(found.values(), key=lambda problem: (problem.line, problem.tool)))
    return made


def compile_policy(policy: Policy, variables: Variables, *, tool: str) -> CompiledPolicy:
    """Compile one policy for the variables of one tool; ``tool`` names it in messages, "" for none in particular."""
    guarded = variables.with_guarded(presence_asked(policy.condition)) if variables.closed else variables
    try:
        expression = compile_expression(policy.condition, variables=guarded.types, line=policy.condition_line)
        _require_arguments(policy, expression, guarded)
    except ValidationError as refused:
        about = f"policy {policy.name!r}" + (f" for the tool {tool!r}" if tool else "")
        place, _, said = refused.message.partition(": ")
        line = _LINE.search(place)
        problem = Problem(
            policy,
            tool,
            int(line[1]) if line is not None else policy.line,
            f"{place}: {about}: {said}",
            refused.hint or "",
        )
        return CompiledPolicy(policy, None, problem)
    return CompiledPolicy(policy, expression)


def variables_for(bundle: Bundle, contract: HostContract | None = None) -> Variables:
    """Give the variables that the policies of a bundle may read for a contract, or for any tool."""
    return variables_of(bundle.constants, None if contract is None else contract.declaration.parameters)


_MAX_TOOLS = 4_096
_ARGS = re.compile(r"\bargs\b")
_LINE = re.compile(r"line (\d+)")


def _value(each: CompiledPolicy, facts: Mapping[str, Any]) -> bool:
    """Ask one policy."""
    if each.problem is not None or each.expression is None:
        raise AuthorizationError(
            "POLICY_ERROR",
            "It does not fit this tool",
            ran="no",
            hint="ask whoever keeps the policies",
            detail="" if each.problem is None else each.problem.message,
        )
    value = each.expression.evaluate_checked(facts)
    if value is not True and value is not False:
        raise AuthorizationError("POLICY_ERROR", f"It gives {value!r:.40} and not a yes or no", ran="no")
    return value


def _walks(tree: Node) -> bool:
    """Tell whether a condition has a macro, such as ``exists``, with arguments in it: what it costs grows with them."""
    return any(
        each.kind == "ident" and each.name.lstrip(".").startswith("args")
        for node in walk(tree)
        if node.kind == "comprehension"
        for each in walk(node)
    )


def _require_arguments(policy: Policy, expression: Expression, variables: Variables) -> None:
    """Refuse what reads an argument that the contract does not have."""
    if not variables.closed:
        return
    asked = {name.split(".")[1] for name in presence_asked(policy.condition) if name.startswith("args.")}
    asked |= _members_asked(expression.tree)
    for path in sorted(expression.reads):
        if path[0] == "args" and len(path) > 1 and path[1] not in variables.members and path[1] not in asked:
            line, column = _place_of(policy.condition, path)
            close = difflib.get_close_matches(path[1], sorted(variables.members), n=1)
            there = ", ".join(sorted(variables.members)[:12])
            raise ValidationError(
                "INVALID_POLICY",
                f"line {policy.condition_line + line}{f', column {column}' if column else ''}: "
                f"There is no argument {path[1]!r}",
                hint=f"did you mean {close[0]!r}?" if close else f"there are {there}" if there else "it takes none",
            )


def _members_asked(tree: Node) -> set[str]:
    """Give the names of arguments that a condition asks for with ``"name" in args``."""
    return {
        node.children[0].value
        for node in walk(tree)
        if node.kind == "call"
        and node.name == "@in"
        and isinstance(node.children[0].value, str)
        and node.children[1].kind == "ident"
        and node.children[1].name == "args"
    }


def _place_of(text: str, path: tuple[str, ...]) -> tuple[int, int]:
    found = re.search(rf"\b{re.escape('.'.join(path[:2]))}\b", text) or re.search(re.escape(path[1]), text)
    if found is None:
        return 0, 0
    before = text[: found.start()]
    return before.count("\n"), len(before) - (before.rfind("\n") + 1) + 1
