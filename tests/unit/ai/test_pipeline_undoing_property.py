"""Random pipelines with everything inside of everything, which fail or are cancelled at random moments.

A small world notes what tools did and what was undone; a model says what must have been undone, and each once.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypedDict

from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

import altar
from altar.adm.errors import error_of
from altar.ai.pipelines import Pipeline, PipelineEvent, PipelineResult, branch, parallel, pipeline, sub, tool
from altar.ai.pipelines import map as each_of
from altar.ai.pipelines.places import is_inside

Key = tuple[int, ...]
"""A call: the number of its step, and the values of the maps around it."""


@dataclass
class World:
    """What happened; ``ends`` are where in ``undone`` another step stood in for the one that was undone."""

    done: list[Key] = field(default_factory=list)
    undone: list[Key] = field(default_factory=list)
    tried: list[Key] = field(default_factory=list)
    replaced: list[str] = field(default_factory=list)
    ends: list[int] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)


WORLD = World()


@altar.tool
async def prop_do(
    number: int, how: str, before: int, after: int, *, i0: int = -1, i1: int = -1, i2: int = -1
) -> dict[str, Any]:
    """Do something, wait before and after it; fail, give what is refused, or nothing."""
    for _ in range(before):
        await asyncio.sleep(0)
    if how == "fails":
        raise error_of("TOOL_EXECUTION_FAILED", "It did not work")
    WORLD.done.append((number, i0, i1, i2))
    for _ in range(after):
        await asyncio.sleep(0)
    match how:
        case "lies":
            return []  # type: ignore[return-value]  # that is the lie
        case "replaces":
            return {"way": 2}
        case _:
            return {}


@altar.tool
async def prop_undo(number: int, how: str, i0: int = -1, i1: int = -1, i2: int = -1) -> dict[str, Any]:
    """Undo it, or fail."""
    await asyncio.sleep(0)
    if how == "fails":
        WORLD.tried.append((number, i0, i1, i2))
        raise error_of("TOOL_EXECUTION_FAILED", "It cannot be undone")
    WORLD.undone.append((number, i0, i1, i2))
    return {}


# ------------------------------------------------------------------------------------------------- random pipelines


class Spec(TypedDict):
    """A step in the making."""

    kind: str
    inner: list[Spec]
    how: str
    before: int
    after: int
    undo: str
    fallback: Spec | None
    count: int
    most: int


def specs() -> st.SearchStrategy[Spec]:
    waits = st.integers(0, 3)
    undo = st.sampled_from(["", "undoes", "undoes", "undoes", "fails", "fails, and another undoes"])

    def made(kinds: list[str], inner: st.SearchStrategy[list[Spec]], other: st.SearchStrategy[Spec]) -> Any:
        return st.fixed_dictionaries(
            {
                "kind": st.sampled_from(kinds),
                "inner": inner,
                "how": st.sampled_from(["works", "works", "works", "works", "fails", "lies", "replaces"]),
                "before": waits,
                "after": waits,
                "undo": undo,
                "fallback": st.none() | other,
                "count": st.integers(0, 3),
                "most": st.integers(1, 3),
            }
        )

    leaf = made(["tool"], st.just([]), st.nothing())
    with_fallback = made(["tool"], st.just([]), leaf)
    return st.recursive(
        with_fallback,
        lambda inner: made(["parallel", "sub", "branch", "map"], st.lists(inner, min_size=1, max_size=3), inner),
        max_leaves=10,
    )


@dataclass
class Maker:
    """Makes steps of specifications, and knows what each of them undoes."""

    numbers: Iterator[int] = field(default_factory=itertools.count)
    pipelines: dict[str, list[Any]] = field(default_factory=dict)
    undo: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    fallbacks: dict[int, int] = field(default_factory=dict)
    items: dict[int, int] = field(default_factory=dict)
    in_turn: bool = False

    def step(self, spec: Spec, depth: int = 0) -> Any:
        number = next(self.numbers)
        options: dict[str, Any] = {"name": f"s{number}"}
        if spec["undo"]:
            options["compensate"] = self._compensation(number, spec["undo"])
        if spec["fallback"] is not None and not has_map(spec):
            self.fallbacks[number] = number + 1
            options["fallback"] = self.step(spec["fallback"], depth)
        self.undo[number] = spec["undo"]
        inner, most = spec["inner"], 1 if self.in_turn else spec["most"]
        match spec["kind"]:
            case "tool":
                fixed = {"number": number, "how": spec["how"], "before": spec["before"], "after": spec["after"]}
                return tool(prop_do, fixed, **options)
            case "parallel":
                self.groups[number] = spec["undo"]
                return parallel(*[self.step(each, depth) for each in inner], concurrency=most, **options)
            case "map" if depth < 3:
                self.groups[number] = spec["undo"]
                self.items[number] = number + 1
                one = self.step(inner[0], depth + 1)
                over, output = f"list{spec['count']}", f"out{number}"
                return each_of(one, over=over, item=f"i{depth}", output=output, concurrency=most, **options)
            case kind:
                self.groups[number] = spec["undo"]
                self.pipelines[f"p{number}"] = [self.step(each, depth) for each in inner]
                if kind == "branch":
                    return branch("way", {"1": f"p{number}"}, **options)
                return sub(f"p{number}", **options)

    def number(self, path: str) -> int:
        """The number of the step at a path, which may stand in for another one."""
        name, *beside = re.findall(r"s\d+|\[|\(fallback", path.rpartition("/")[2])
        number = int(name.removeprefix("s"))
        for sign in beside:
            number = self.items[number] if sign == "[" else self.fallbacks[number]
        return number

    def _compensation(self, number: int, undo: str) -> Any:
        how, _, other = undo.partition(", ")
        fallback = tool(prop_undo, {"number": number, "how": "undoes"}) if other else None
        return tool(prop_undo, {"number": number, "how": how}, fallback=fallback)


def has_map(spec: Spec) -> bool:
    """Whether a step gives a field, which a fallback would have to give as well."""
    beside = [] if spec["fallback"] is None else [spec["fallback"]]
    return spec["kind"] == "map" or any(has_map(each) for each in (*spec["inner"], *beside))


# ------------------------------------------------------------------------------------------------------- the test


def told(happened: PipelineEvent) -> None:
    if happened.kind == "step_replaced":
        WORLD.replaced.append(happened.path)
        WORLD.ends.append(len(WORLD.undone))
    if happened.kind == "step_started":
        WORLD.begun.append(happened.path)


def after_turns(turns: int, work: Callable[[], object]) -> None:
    """Do something when the event loop has turned that often."""
    loop = asyncio.get_running_loop()
    if turns:
        loop.call_soon(after_turns, turns - 1, work)
    else:
        work()


async def ran(made: Pipeline, cancels: range) -> PipelineResult | None:
    """What came of a run; None for one that was cancelled, at each of these turns of the event loop."""
    async with altar.session([prop_do, prop_undo], source="later:") as session:
        inputs = {"way": 1, **{f"list{count}": [*range(count)] for count in range(4)}}
        running = asyncio.ensure_future(made.run(session, inputs, on_event=told))
        for turns in cancels:
            after_turns(turns, running.cancel)
        try:
            return await running
        except asyncio.CancelledError:
            return None


@settings(max_examples=100, deadline=None, phases=[Phase.generate], report_multiple_bugs=False)
@given(st.lists(specs(), min_size=1, max_size=4), st.booleans(), st.integers(0, 50), st.sampled_from([0, 0, 1, 40]))
def test_what_was_done_in_a_run_that_fails_or_is_cancelled_is_undone_exactly_once(
    steps: list[Spec], in_turn: bool, cancelled_at: int, cancels: int
) -> None:
    global WORLD  # noqa: PLW0603 - what tools of this module write to
    WORLD = World()
    maker = Maker(in_turn=in_turn)
    made = pipeline(
        "random",
        [maker.step(each) for each in steps],
        pipelines=maker.pipelines,
        inputs={"way": int, **{f"list{count}": list[int] for count in range(4)}},
    )

    result = asyncio.run(ran(made, range(cancelled_at, cancelled_at + cancels)))

    failed = result is None or result.error is not None
    event("cancelled" if result is None else "failed" if failed else "went well")
    each_once(maker)
    calls = {key for key in WORLD.done if maker.undo[key[0]]}
    if failed:
        assert {key for key in calls if maker.undo[key[0]] != "fails"} == {
            key for key in WORLD.undone if key[0] not in maker.groups
        }
        assert {key for key in calls if maker.undo[key[0]] == "fails"} <= set(WORLD.tried)
    elif result is not None:
        undone = {maker.number(path) for path in result.compensated}
        assert undone == {key[0] for key in WORLD.undone}
        for path in result.compensated:
            assert any(is_inside(path, whole) for whole in WORLD.replaced), path
        for step in result.steps:
            inside = any(is_inside(step.path, whole) for whole in WORLD.replaced)
            if "(compensation)" not in step.path:
                assert not (inside and step.status == "done" and maker.undo[maker.number(step.path)] == "undoes")
    if result is not None:
        assert not [step.path for step in result.steps if step.status == "running"]
        left = [step.path for step in result.steps if step.status == "cancelled"]
        assert not [path for path in left if maker.undo[maker.number(path)] or "(compensation)" in path]
    groups_before_what_failed(maker, steps, result)


def each_once(maker: Maker) -> None:
    """Nothing was undone twice, nor anything that was not done."""
    assert not [key for key, times in Counter(WORLD.undone).items() if times > 1]
    assert not [key for key, times in Counter(WORLD.tried).items() if times > 1]
    done = set(WORLD.done)
    assert not [key for key in (*WORLD.undone, *WORLD.tried) if key not in done and key[0] not in maker.groups]
    if maker.in_turn:
        event("in turn")
        for start, end in itertools.pairwise((0, *WORLD.ends, len(WORLD.undone))):
            partly = [key for key in WORLD.undone[start:end] if key in done]
            assert partly == sorted(partly, key=WORLD.done.index, reverse=True), "the last first"


def groups_before_what_failed(maker: Maker, steps: list[Spec], result: PipelineResult | None) -> None:
    """A group that has ended, because a later step has begun, is undone as a whole where the run fails."""
    if result is not None and result.error is None:
        return
    undone = Counter(key[0] for key in WORLD.undone)
    begun = {path.partition("/")[0].partition("[")[0].partition(" ")[0] for path in WORLD.begun}
    names = list(dict.fromkeys(each for each in begun))
    last = max((int(name.removeprefix("s")) for name in names), default=-1)
    for number, undo in maker.groups.items():
        if undo in {"", "fails"} or f"s{number}" not in begun or number >= last:
            continue
        whole = f"s{number}"
        if not any(is_inside(path, whole) for path in WORLD.replaced):
            assert 1 == undone[number], whole
