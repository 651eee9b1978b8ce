"""What another bundle would have decided on the calls that a log has: which would change, and by which policies.

In come recorded calls in their order and a bundle; out comes a `Replayed`: how many stay, how many change from what to
what, samples of them, and how many cannot be decided because the log does not hold what the bundle reads.
A call is decided again by the facts that were recorded with it; beside those, its tool, version and time are known, and
what its contract says, as far as the manifest has that version.
Counters of calls a day are not taken from the record but counted again, under the bundle that is tried.
Calls with equal facts are decided once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from altar.aesp.policy.cel import Expression, has_nul
from altar.aesp.policy.concluding import Conclusion, conclude
from altar.aesp.policy.conditions import Known
from altar.aesp.policy.deciding import governing
from altar.aesp.policy.facts import static_facts
from altar.aesp.policy.judging import Judges, Judging
from altar.aesp.policy.policy import Bundle, Policy
from altar.aesp.policy.programs import CompiledPolicy
from altar.aesp.policy.recorded_calls import DAY_MS, OF_POLICY, RecordedCall
from altar.aesp.policy.recorded_values import OF_CALL, TIMES, TYPED, recorded_as, typed, value_of_call, values_of
from altar.aesp.policy.walk import judged, walk_policy

if TYPE_CHECKING:
    from altar.aesp.policy.facts import Costs
    from altar.grid.manifests.manifest import HostContract

__all__ = ["COUNTERS", "MAX_SAMPLES", "Change", "Replay", "Replayed", "Tool", "tool_of"]

MAX_SAMPLES = 20
"""How many changed calls are named for each kind of change."""
MAX_KEPT = 50_000
"""How many different facts are kept with what they lead to."""
COUNTERS = ("principal.daily_invocations", "request.principal.daily_invocations", "tenant.daily_invocations")
"""The facts that are counted again."""
_PASSES = frozenset({"allow", "audit"})
_HANDLE = "approval-"  # how the ids of requests begin, under which approved calls are made


@dataclass(frozen=True, slots=True)
class Tool:
    """What is known of a tool beside the record: its contract where the manifest has it, and facts.

    ``facts`` are those that every call of it has: what its contract says, and constants of the bundle.
    """

    contract: HostContract | None
    facts: Mapping[str, Any]


class Change(NamedTuple):
    """A call that would be decided otherwise: where it stands, and by which policies."""

    position: int
    time_ms: int
    tool: str
    principal: str
    was: str
    becomes: str
    policies: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay found; all numbers are calls.

    ``changes`` counts them by what they were and would be, ``samples`` names some of each kind.
    ``by_policy`` counts by the policies that decide under the new bundle, ``changed_by`` only for calls that change.
    ``missing`` counts what was not recorded, by path; a call may miss several.
    ``elsewhere`` were refused by another check than policy, and would be again.
    ``recounted`` are the counters that the bundle reads and that were counted again.
    ``problems`` say of which tools nothing could be said, and why.
    """

    calls: int
    same: int
    undecidable: int
    elsewhere: int
    changes: Mapping[tuple[str, str], int]
    by_policy: Mapping[str, int]
    changed_by: Mapping[str, int]
    missing: Mapping[str, int]
    samples: tuple[Change, ...]
    recounted: tuple[str, ...]
    problems: Mapping[str, str]
    since_ms: int
    until_ms: int

    @property
    def changed(self) -> int:
        """Give how many calls would be decided otherwise."""
        return sum(self.changes.values())


class Replay:
    """Decides recorded calls again under a bundle. Give it each call in the order of the log.

    ``tool_of`` gives what is known of a tool by name and version.
    Calls before ``since_ms`` are only counted, for the counters of the first day.
    """

    def __init__(self, bundle: Bundle, *, tool_of: Callable[[str, str], Tool], since_ms: int = 0) -> None:
        self._bundle = bundle
        self._tool_of = tool_of
        self._since_ms = since_ms
        self._tools: dict[tuple[str, str], _Compiled] = {}
        self._kept: dict[tuple[object, ...], _Still] = {}
        self._outcomes: dict[tuple[object, ...], _Decided] = {}
        self._counted: Counter[str] = Counter()
        self._day = -1
        self._calls = self._same = self._undecidable = self._elsewhere = 0
        self._changes: Counter[tuple[str, str]] = Counter()
        self._by_policy: Counter[str] = Counter()
        self._changed_by: Counter[str] = Counter()
        self._missing: Counter[str] = Counter()
        self._samples: list[Change] = []
        self._samples_of: Counter[tuple[str, str]] = Counter()
        self._problems: dict[str, str] = {}
        self._first = self._last = 0
        self._recounted: set[str] = set()

    def take(self, call: RecordedCall) -> None:
        """Decide one call again."""
        self._turn_day(call.time_ms // DAY_MS)
        if call.time_ms < self._since_ms:
            if call.was not in {"denied", "pending"}:
                self._count(call)
            return
        self._calls += call.times
        self._first, self._last = self._first or call.time_ms, call.time_ms
        if call.code and call.code not in OF_POLICY:
            self._elsewhere += call.times
            return
        if call.code and not call.bundle:  # several refusals in one entry, or no bundle that could be used
            self._undecidable += call.times
            self._missing[_NO_FACTS] += call.times
            return
        decided = self._decided(call)
        becomes: str = decided.conclusion.verdict
        was = _was(call, decided.conclusion)
        if was == "pending" and becomes in _PASSES and call.call.startswith(_HANDLE):
            self._elsewhere += call.times  # it came with a request that nobody had decided on yet
            return
        if becomes == "undecidable":
            self._undecidable += call.times
            for path in decided.missing:
                self._missing[path] += call.times
            becomes = was  # so that it is counted on as it was
        else:
            for name in decided.names:
                self._by_policy[name] += call.times
            if becomes == was:
                self._same += call.times
            else:
                self._note(call, was, becomes, decided.names)
        if becomes in _PASSES or (call.code == "" and becomes == was):
            self._count(call)

    def result(self) -> Replayed:
        """Give what was found so far."""
        return Replayed(
            self._calls,
            self._same,
            self._undecidable,
            self._elsewhere,
            dict(sorted(self._changes.items())),
            dict(self._by_policy.most_common()),
            dict(self._changed_by.most_common()),
            dict(self._missing.most_common()),
            tuple(self._samples),
            tuple(sorted(self._recounted)),
            dict(self._problems),
            self._first,
            self._last,
        )

    def _turn_day(self, day: int) -> None:
        if day != self._day:
            self._day = day
            self._counted.clear()

    def _count(self, call: RecordedCall) -> None:
        self._counted[call.principal] += call.times
        self._counted[_ALL] += call.times

    def _note(self, call: RecordedCall, was: str, becomes: str, names: tuple[str, ...]) -> None:
        self._changes[was, becomes] += call.times
        for name in names:
            self._changed_by[name] += call.times
        if self._samples_of[was, becomes] < MAX_SAMPLES:
            self._samples_of[was, becomes] += 1
            self._samples.append(Change(call.position, call.time_ms, call.tool, call.principal, was, becomes, names))

    def _decided(self, call: RecordedCall) -> _Decided:
        """Decide a call; what equal facts lead to is found once."""
        of = (call.tool, call.version)
        tool = self._tools.get(of)
        if tool is None:
            tool = self._tools[of] = self._compiled(call)
        key = (of, call.facts)
        still = self._kept.get(key)
        if still is None:
            still = self._still(tool, call)
            if len(self._kept) < MAX_KEPT:
                self._kept[key] = still
        moving: tuple[Known, ...] = ()
        missing = still.missing
        if tool.moving.policies:
            values = still.values.copy()
            for name in tool.dynamic:
                value = self._dynamic(name, call)
                if value is not None:
                    values[name] = value
            moving, lacking = self._judge(tool.moving, tool, values, still.unknown, careful=still.careful)
            missing += lacking
        outcome = (of, still.known, moving, missing)
        decided = self._outcomes.get(outcome)
        if decided is None:
            decided = self._outcomes[outcome] = self._concluded(tool, *outcome[1:], bare=not call.facts)
        return decided

    def _dynamic(self, name: str, call: RecordedCall) -> Any:
        if name in COUNTERS:
            # the call that is decided on counts too
            return self._counted[_ALL if name.startswith("tenant.") else call.principal] + 1
        return value_of_call(name, call)

    def _still(self, tool: _Compiled, call: RecordedCall) -> _Still:
        """Judge what depends on nothing but the facts of a call."""
        facts: dict[str, Any] = orjson.loads(call.facts) if call.facts else {}
        values, unknown = _simple_values(tool, facts), _NONE
        if values is None:
            expressions = [
                made for group in (tool.still, tool.moving) for made in group.expressions if made is not None
            ]
            known = dict(tool.facts) | dict.fromkeys(tool.dynamic)
            values, unknown = values_of(expressions, types=tool.types, facts=facts, beside=known)
            values = {name: value for name, value in values.items() if name not in tool.dynamic}
        careful = "\\u0000" in call.facts  # the engine is never given a NUL
        known_of, missing = self._judge(tool.still, tool, values, unknown, careful=careful)
        return _Still(known_of, missing, {n: values[n] for n in tool.moving.needs if n in values}, unknown, careful)

    def _judge(
        self, group: _Group, tool: _Compiled, values: Mapping[str, Any], unknown: frozenset[str], *, careful: bool
    ) -> tuple[tuple[Known, ...], tuple[str, ...]]:
        """Judge the policies of a group at once, and those one by one that have an error or are not known."""
        found: list[Known] = ["false"] * len(group.policies)
        asked: Iterable[int] = range(len(found))
        if not (group.needs & unknown) and not (careful and has_nul(values)):
            true, asked = group.judges.judge(values)
            for place in true:
                found[place] = "true"
        missing: set[str] = set()
        for place in asked:
            policy, expression = group.policies[place], group.expressions[place]
            if expression is None:
                found[place] = "error"
                continue
            value = judged(expression, {n: values[n] for n in expression.needs if n in values}, unknown)[0]
            if value == "unknown":  # the parts that are known may decide alone
                value = walk_policy(
                    CompiledPolicy(policy, expression), types=tool.types, values=values, missing=unknown
                ).result
            if value == "unknown":
                missing.update(expression.needs & unknown)
            found[place] = value
        return tuple(found), tuple(sorted(missing))

    def _concluded(
        self,
        tool: _Compiled,
        still: tuple[Known, ...],
        moving: tuple[Known, ...],
        missing: tuple[str, ...],
        *,
        bare: bool,
    ) -> _Decided:
        known = [*zip(tool.still.policies, still, strict=True), *zip(tool.moving.policies, moving, strict=True)]
        conclusion = conclude(known, default=self._bundle.default)
        lacking = missing if conclusion.verdict == "undecidable" else ()
        if lacking and bare:
            lacking = (_NO_FACTS,)
        return _Decided(conclusion, tuple(policy.name for policy in conclusion.policies), lacking)

    def _compiled(self, call: RecordedCall) -> _Compiled:
        found = self._tool_of(call.tool, call.version)
        of_tool = governing(self._bundle, call.tool, found.contract)
        still, moving = _Gathered([], []), _Gathered([], [])
        dynamic: set[str] = set()
        for each in of_tool.policies:
            made = each.expression
            if each.problem is not None:
                self._problems.setdefault(f"{call.tool}@{call.version}", each.problem.message)
            read = frozenset[str]() if made is None else made.needs & _DYNAMIC
            dynamic |= read
            group = moving if read else still
            group.policies.append(each.policy)
            group.expressions.append(made)
        self._recounted |= dynamic.intersection(COUNTERS)
        return _Compiled(
            _group(still, of_tool.types),
            _group(moving, of_tool.types),
            of_tool.types,
            found.facts,
            tuple(sorted(dynamic)),
            tuple(_planned(still, moving, of_tool.types, dynamic)),
        )


def tool_of(
    bundle: Bundle,
    contract_of: Callable[[str, str], HostContract | None],
    *,
    environment: Mapping[str, str] | None = None,
    costs: Costs | None = None,
) -> Callable[[str, str], Tool]:
    """Give what `Replay` asks of tools, from a manifest.

    ``contract_of`` gives a contract by name and version; ``environment`` are the operator's constants to try with,
    None for those that were recorded; ``costs`` are those of the price list now, for what was not recorded.
    """

    def found(name: str, version: str) -> Tool:
        contract = contract_of(name, version)
        facts: dict[str, Any] = {f"constants.{key}": value for key, value in bundle.constants.items()}
        if contract is not None:
            facts = static_facts(contract, constants=bundle.constants, environment={}, costs=costs)
            del facts["environment"]
        if environment is not None:
            facts["environment"] = dict(environment)
        return Tool(contract, facts)

    return found


class _Gathered(NamedTuple):
    policies: list[Policy]
    expressions: list[Expression | None]


class _Group(NamedTuple):
    """Policies that are judged together."""

    policies: tuple[Policy, ...]
    expressions: tuple[Expression | None, ...]
    judges: Judges
    needs: frozenset[str]


class _Compiled(NamedTuple):
    """The policies of one tool: those that depend on its recorded facts only, and those that also depend on the call.

    ``dynamic`` are the variables that differ from call to call beside the facts; ``plan`` has all others, each with the
    member of the facts that it is recorded as, and its type.
    """

    still: _Group
    moving: _Group
    types: Mapping[str, str]
    facts: Mapping[str, Any]
    dynamic: tuple[str, ...]
    plan: tuple[_Planned, ...]


class _Still(NamedTuple):
    """What facts lead to; ``values`` are those that the other policies read."""

    known: tuple[Known, ...]
    missing: tuple[str, ...]
    values: dict[str, Any]
    unknown: frozenset[str]
    careful: bool


class _Decided(NamedTuple):
    conclusion: Conclusion
    names: tuple[str, ...]
    missing: tuple[str, ...]


class _Planned(NamedTuple):
    """Where the value of a variable comes from; ``members`` are those of a map that is read by its members only."""

    name: str
    recorded: str
    kind: str
    members: tuple[tuple[str, str], ...]


def _was(call: RecordedCall, conclusion: Conclusion) -> str:
    """Say how a call was decided on, in the words for what a bundle decides.

    An approved call was let pass by its approval: where a bundle asks for one, or asks for none of a call that has one,
    nothing changes.
    A break-glass passes over what asks for approval, and over what denies where that says so.
    """
    if call.was == "approved":
        return "allow" if conclusion.verdict == "denied" else conclusion.verdict
    if call.was == "break_glass":
        yields = conclusion.code == "POLICY_VIOLATION" and all(each.break_glass for each in conclusion.policies)
        return "denied" if conclusion.policies and yields else "pending"
    return call.was


def _planned(still: _Gathered, moving: _Gathered, types: Mapping[str, str], dynamic: set[str]) -> Iterator[_Planned]:
    """Plan the values of all variables that do not differ beside the facts."""
    made = [each for of in (still, moving) for each in of.expressions if each is not None]
    for name in sorted({name for each in made for name in each.needs} - dynamic):
        head = tuple(name.split("."))
        below = {path for each in made for path in each.reads if path[: len(head)] == head}
        plain = all(len(path) == len(head) + 1 for path in below)
        members = tuple((".".join(path), path[-1]) for path in sorted(below)) if plain else ()
        yield _Planned(name, recorded_as(name), types.get(name, "dyn"), members)


def _simple_values(tool: _Compiled, facts: Mapping[str, Any]) -> dict[str, Any] | None:
    """Give the values of all that policies read, where each is recorded or known by the contract; else None."""
    values: dict[str, Any] = {}
    for name, key, kind, members in tool.plan:
        value = facts.get(key)
        if value is None:
            value = tool.facts.get(name)
        if value is None and members:
            value = {member: facts.get(path) for path, member in members}
            if None in value.values():
                return None
        if value is None:
            return None
        values[name] = typed(value, kind) if kind in TYPED else value
    return values


def _group(gathered: _Gathered, types: Mapping[str, str]) -> _Group:
    expressions = tuple(gathered.expressions)
    needs = frozenset(name for made in expressions if made is not None for name in made.needs)
    conditions = [((place, ""), made) for place, made in enumerate(expressions)]
    return _Group(tuple(gathered.policies), expressions, Judging().judges(conditions, types=types), needs)


_NONE = frozenset[str]()
_ALL = ""  # no principal has this name
_NO_FACTS = "(no facts were recorded with it)"
_DYNAMIC = frozenset({*COUNTERS, *TIMES, *OF_CALL})
