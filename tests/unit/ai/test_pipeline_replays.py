"""A run that goes on goes over what has ended first: all of it is found again, and undone where the run fails."""

from __future__ import annotations

import asyncio
import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import Phase, event, given, settings
from hypothesis import strategies as st

import altar
from altar.adm.errors import error_of
from altar.ai.pipelines import Checkpoints, Pipeline, PipelineResult, Step, parallel, pipeline, sub, tool
from altar.ai.pipelines.at_once import together
from altar.ai.pipelines.replay import Replay
from altar.ai.pipelines.run_list import list_runs
from altar.ai.pipelines.stops import StepFailedError, no_list
from tests.unit.ai import test_pipeline_undoing_property as random_ones
from tests.unit.ai.test_pipeline_undoing_property import Maker, Spec, World, after_turns, prop_do, prop_undo, specs

TOLD: list[str] = []
FINISHED: defaultdict[str, asyncio.Event] = defaultdict(asyncio.Event)
HOLD: list[str] = []


@altar.tool
async def replay_do(what: str) -> str:
    """Do something.

    Args:
        what: What is done.
    """
    TOLD.append(f"do {what}")
    FINISHED[TOLD[-1]].set()
    return what


@altar.tool(idempotent=True)
async def replay_undo(what: str) -> str:
    """Undo it, or wait until that is cancelled.

    Args:
        what: What is undone.
    """
    if HOLD:
        FINISHED["holds"].set()
        await asyncio.Event().wait()
    TOLD.append(f"undo {what}")
    return what


@altar.tool
async def replay_fail(after: str) -> str:
    """Fail when something else was done.

    Args:
        after: What must have been done by then.
    """
    await FINISHED[f"do {after}"].wait()
    raise error_of("TOOL_EXECUTION_FAILED", "It did not work")


@pytest.fixture(autouse=True)
def clean() -> None:
    for held in (TOLD, HOLD, FINISHED):
        held.clear()


def does(what: str) -> Step:
    undo = tool(replay_undo, {"what": what})
    return tool(replay_do, {"what": what}, name=what, output=what, compensate=undo)


BESIDE = pipeline(
    "replay_beside",
    [parallel(tool(replay_fail, output="failed"), sub("deep"))],
    pipelines={"deep": [parallel(does("a"), does("b")), does("c")]},
    inputs={"after": str},
    outputs=["c"],
)
"""A failure beside steps that are further inside, and so are gone over later."""


async def stopped(made: Pipeline, file: Path, *, when: str) -> None:
    """A run that is kept, and cancelled when a tool told that."""
    async with altar.session(source="later:") as session:
        running = asyncio.ensure_future(made.run(session, {"after": "c"}, checkpoint=file, run_id="r"))
        await FINISHED[when].wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running


async def test_what_is_gone_over_after_a_failure_was_found_again_is_undone_too(tmp_path: Path) -> None:
    HOLD.append("all that is undone")
    await stopped(BESIDE, tmp_path / "runs.db", when="holds")
    HOLD.clear()

    async with altar.session(source="later:") as session:
        result = await BESIDE.resume(session, "r", checkpoint=tmp_path / "runs.db")

    assert result.error is not None
    assert ["do a", "do b", "do c"] == [line for line in TOLD if line.startswith("do ")]
    assert {"undo a", "undo b", "undo c"} <= set(TOLD)
    assert {"parallel/deep/c", "parallel/deep/parallel/a", "parallel/deep/parallel/b"} == set(result.compensated)


async def test_nothing_new_begins_beside_a_failure_that_is_found_again() -> None:
    told: list[str] = []
    replay = Replay()

    async def new() -> None:
        await replay.new()
        told.append("new")

    async def failing() -> None:
        raise no_list("p", "s", "f")

    with pytest.raises(StepFailedError):
        await together([new, failing, new], 3, None, replay)
    await replay.new()

    assert [] == told


@settings(max_examples=40, deadline=None, phases=[Phase.generate], report_multiple_bugs=False)
@given(st.lists(specs(), min_size=1, max_size=3), st.lists(st.integers(0, 120), min_size=1, max_size=3))
def test_what_was_done_in_a_run_that_is_cancelled_and_resumed_is_undone_where_it_fails_at_last(
    steps: list[Spec], cancels: list[int]
) -> None:
    random_ones.WORLD = World()
    maker = Maker()
    made = pipeline(
        "random",
        [maker.step(each) for each in steps],
        pipelines=maker.pipelines,
        inputs={"way": int, **{f"list{count}": list[int] for count in range(4)}},
    )
    with tempfile.TemporaryDirectory() as folder:
        result = asyncio.run(at_last(made, Path(folder) / "runs.db", cancels))

    event("went well" if result.error is None else "failed")
    done = {key for key in random_ones.WORLD.done if maker.undo[key[0]]}
    if result.error is not None:
        undone = {key for key in random_ones.WORLD.undone if key[0] not in maker.groups}
        assert {key for key in done if maker.undo[key[0]] != "fails"} == undone
        assert {key for key in done if maker.undo[key[0]] == "fails"} <= set(random_ones.WORLD.tried)


async def at_last(made: Pipeline, file: Path, cancels: list[int]) -> PipelineResult:
    """What came of a run that was cancelled after so many turns, and as often resumed."""
    async with altar.session([prop_do, prop_undo], source="later:") as session:
        inputs = {"way": 1, **{f"list{count}": [*range(count)] for count in range(4)}}
        with Checkpoints(file) as kept:
            for turns in [*cancels, None]:
                if file.exists() and list_runs(file):
                    run = made.resume(session, "r", checkpoint=kept, unknown="again")
                else:
                    run = made.run(session, inputs, checkpoint=kept, run_id="r")
                running = asyncio.ensure_future(run)
                if turns is not None:
                    after_turns(turns, running.cancel)
                try:
                    result = await running
                except asyncio.CancelledError:
                    continue
        return result
