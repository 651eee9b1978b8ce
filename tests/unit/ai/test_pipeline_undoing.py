"""A step that has done its work is undone when its run fails, wherever the run stopped after that.

Between the end of a call and the next step a run can fail in many ways; each of them is a test.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypedDict

import pytest

import altar
from altar.adm.codes import Ran
from altar.adm.errors import AltarError, error_of
from altar.ai.pipelines import (
    PipelineEvent,
    PipelineResult,
    at_once,
    kept,
    parallel,
    pipeline,
    sub,
    tool,
    transform,
)
from altar.ai.pipelines.kept import Kept
from altar.later.gate import OpenGate
from altar.later.invocation import Invocation
from altar.later.registry import Registry
from altar.later.session import Options, Session
from tests.unit.ai.pipeline_scene import DONE, FAILS, clean, failing, in_session, paths, run

__all__ = ["clean"]

GO_ON = threading.Event()
EMPTY = Registry()


class Scene:
    """What is new for each test."""

    began: asyncio.Event


class Receipt(TypedDict):
    receipt: str


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    Scene.began = asyncio.Event()
    GO_ON.clear()
    yield
    GO_ON.set()


@altar.tool
async def pu_loose(amount: int) -> dict[str, Any]:
    """Give an object of which nothing is said."""
    DONE.append("loose")
    return {"amount": -1, "note": "mine", "receipt": f"r{amount}"}


@altar.tool
async def pu_lies(amount: int) -> Receipt:
    """Promise a receipt, and give none."""
    DONE.append("lies")
    return {"paper": amount}  # type: ignore[typeddict-item, typeddict-unknown-key]  # that is the lie


@altar.tool
async def pu_no_json(amount: int) -> Any:
    """Give what is no JSON."""
    DONE.append("no_json")
    return object()


@altar.tool
async def pu_huge(amount: int) -> str:
    """Give more than fits into a message."""
    DONE.append("huge")
    return "x" * 5_000_000


@altar.tool
async def pu_late(amount: int) -> Receipt:
    """Come to its end after its time."""
    DONE.append("late")
    time.sleep(0.15)  # noqa: ASYNC251 - so that nobody can interrupt it
    return {"receipt": "late"}


@altar.tool
def pu_in_thread(amount: int, context: altar.ToolContext) -> Receipt:
    """Pay in a thread, when the test says so."""
    context.progress(0.0)
    GO_ON.wait(20)
    DONE.append("paid")
    return {"receipt": f"r{amount}"}


@altar.tool
async def pu_pay(amount: int) -> Receipt:
    """Pay."""
    DONE.append("paid")
    return {"receipt": f"r{amount}"}


@altar.tool
async def pu_fail_soon(amount: int) -> str:
    """Fail when the other one has begun."""
    await Scene.began.wait()
    raise error_of("TOOL_EXECUTION_FAILED", "It did not work")


@altar.tool
async def pu_undo(receipt: str = "none", amount: int = 0, note: str = "") -> str:
    """Undo."""
    DONE.append(f"undo {receipt} {amount} {note}".rstrip())
    return "undone"


@altar.tool
async def pu_slow_undo(receipt: str) -> str:
    """Undo, when the test says so."""
    Scene.began.set()
    for _ in range(20):
        await asyncio.sleep(0)
    DONE.append(f"undo {receipt}")
    return "undone"


@altar.tool
async def pu_instead(amount: int) -> Receipt:
    """Do it otherwise."""
    DONE.append("instead")
    return {"receipt": "other"}


# ---------------------------------------------------------------------------- results that cannot be taken as fields


def test_a_step_whose_result_would_replace_a_field_is_undone_with_the_fields_that_it_did_not_replace() -> None:
    made = pipeline(
        "replacing",
        [
            tool("pl_find", {"query": "a"}, output="note"),
            tool(pu_loose, inputs={"amount": "sum"}, compensate=tool(pu_undo, inputs={"amount": "sum", "note": "x"})),
        ],
        inputs={"sum": int, "x": str},
    )

    result = run(made, sum=3, x="before")

    assert ["find", "loose", "undo r3 3 before"] == DONE
    assert ("pu_loose",) == result.compensated
    assert ("pu_loose", "compensated") in paths(result)
    assert result.error is not None
    assert ("INVALID_PIPELINE", "yes") == (result.error.type, result.error.ran)


@pytest.mark.parametrize(
    ("which", "code"),
    [("pu_lies", "SCHEMA_VIOLATION"), ("pu_no_json", "SERIALIZATION_ERROR"), ("pu_huge", "MESSAGE_TOO_LARGE")],
)
def test_a_step_whose_result_breaks_its_promise_is_no_json_or_is_too_large_is_undone(which: str, code: str) -> None:
    made = pipeline("unfit", [tool(which, output="x", compensate=tool(pu_undo))], inputs={"amount": int})

    result = run(made, amount=4)

    assert result.error is not None
    assert (code, "yes") == (result.error.type, result.error.ran)
    assert [which.removeprefix("pu_"), "undo none 4"] == DONE
    assert (which,) == result.compensated


def test_a_step_that_ends_after_its_time_is_undone_before_another_stands_in() -> None:
    late = tool(pu_late, timeout=0.05, compensate=tool(pu_undo, {"receipt": "?"}), fallback=tool(pu_instead))

    result = run(pipeline("tardy", [late], inputs={"amount": int}), amount=4)

    assert {"receipt": "other"} == result.unwrap()
    assert ["late", "undo ? 4", "instead"] == DONE


def test_a_tool_that_raises_has_not_done_its_work_and_is_not_undone() -> None:
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]
    made = pipeline("raising", [tool("pl_book", compensate=tool(pu_undo))], inputs={"amount": int})

    assert () == run(made, amount=1).compensated
    assert ["book"] == DONE


def test_a_step_whose_result_would_replace_a_field_is_undone_before_its_fallback_stands_in() -> None:
    step = tool(pu_loose, compensate=tool(pu_undo, {"note": "back"}), fallback=tool(pu_instead))
    made = pipeline("replaced", [tool("pl_find", {"query": "a"}, output="note"), step], inputs={"amount": int})

    result = run(made, amount=1)

    assert {"receipt": "other"} == result.unwrap()
    assert ["find", "loose", "undo r1 -1 back", "instead"] == DONE


def test_a_group_whose_fields_collide_only_in_the_run_is_undone_as_a_whole_and_in_its_parts() -> None:
    group = parallel(
        tool(pu_loose, name="one", compensate=tool(pu_undo, {"note": "one"})),
        tool(pu_loose, name="two"),
        name="both",
        compensate=tool(pu_undo, {"note": "both"}, inputs={"amount": "sum"}),
    )
    made = pipeline("colliding", [group], inputs={"amount": int, "sum": int})

    result = run(made, amount=1, sum=2)

    assert result.error is not None
    assert "Step 'both/" in result.error.message
    assert ["loose", "loose", "undo r1 2 both", "undo r1 -1 one"] == DONE
    assert ("both", "both/one") == result.compensated


# --------------------------------------------------------------------------------------- cancelled, closed, not kept


def test_a_step_whose_end_is_being_written_when_another_fails_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = Kept.ended

    async def slowly(self: Kept, path: str, *args: Any, **named: Any) -> None:
        if path == "parallel/pu_pay":
            Scene.began.set()
            await asyncio.Event().wait()
        await ended(self, path, *args, **named)

    monkeypatch.setattr(Kept, "ended", slowly)
    group = parallel(tool(pu_pay, compensate=tool(pu_undo)), tool(pu_fail_soon))
    made = pipeline("written", [group], inputs={"amount": int})

    async def work(session: Session) -> None:
        result = await made.run(session, amount=1, checkpoint=tmp_path / "runs.db")
        assert ("parallel/pu_pay",) == result.compensated

    in_session(work)
    assert ["paid", "undo r1 1"] == DONE


def go_on_after_some_turns(turns: int = 10) -> None:
    """Let the tool in its thread go on when the event loop has turned that often, and all who can be are cancelled."""
    loop = asyncio.get_running_loop()
    if turns:
        loop.call_soon(go_on_after_some_turns, turns - 1)
    else:
        GO_ON.set()


def began(_: object) -> None:
    Scene.began.set()


@pytest.mark.parametrize("is_kept", [False, True])
def test_the_answer_of_a_step_that_can_be_undone_is_heard_when_another_fails(tmp_path: Path, is_kept: bool) -> None:
    group = parallel(tool(pu_in_thread, compensate=tool(pu_undo)), tool(pu_fail_soon))
    made = pipeline("heard", [group], inputs={"amount": int})
    checkpoint = {"checkpoint": tmp_path / "runs.db"} if is_kept else {}

    def told(event: PipelineEvent) -> None:
        if (event.kind, event.path) == ("step_ended", "parallel/pu_fail_soon"):
            go_on_after_some_turns()

    async def work(session: Session) -> None:
        hears = session.options(on_progress=began)
        result = await made.run(hears, {"amount": 1}, on_event=told, **checkpoint)
        assert ("parallel/pu_in_thread",) == result.compensated
        assert result.error is not None
        assert result.error.hint is None, "nothing was left while it ran"

    in_session(work)
    assert ["paid", "undo r1 1"] == DONE


def test_a_run_that_is_cancelled_hears_the_answer_of_a_step_that_can_be_undone() -> None:
    made = pipeline("left", [tool(pu_in_thread, compensate=tool(pu_undo))], inputs={"amount": int})

    async def work(session: Session) -> None:
        running = asyncio.ensure_future(made.run(session.options(on_progress=began), amount=1))
        await Scene.began.wait()
        running.cancel()
        go_on_after_some_turns()
        with pytest.raises(asyncio.CancelledError):
            await running

    in_session(work)
    assert ["paid", "undo r1 1"] == DONE


def test_a_kept_run_that_is_cancelled_hears_the_answer_and_goes_on_with_the_next_step(tmp_path: Path) -> None:
    made = pipeline("kept", [tool(pu_in_thread, compensate=tool(pu_undo)), tool("pl_book")], inputs={"amount": int})

    async def work(session: Session) -> None:
        hears = session.options(on_progress=began)
        running = asyncio.ensure_future(made.run(hears, amount=1, checkpoint=tmp_path / "runs.db", run_id="r"))
        await Scene.began.wait()
        running.cancel()
        go_on_after_some_turns()
        with pytest.raises(asyncio.CancelledError):
            await running
        result = await made.resume(session, "r", checkpoint=tmp_path / "runs.db")
        assert {"seat": "1A"} == result.unwrap()

    in_session(work)
    assert ["paid", "book"] == DONE


def test_a_step_that_can_be_undone_and_does_not_answer_is_left_after_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(at_once, "_SOON", 0.01)
    step = tool("pl_wait", compensate=tool(pu_undo))
    made = pipeline("silent", [parallel(step, tool(pu_fail_soon))], inputs={"amount": int})
    Scene.began.set()

    result = run(made, amount=1)

    assert ["wait", "left"] == DONE
    assert result.error is not None
    assert "left while it ran, so that nobody knows its outcome: 'parallel/pl_wait'" == result.error.hint


async def test_a_call_that_is_refused_after_its_caller_left_is_neither_tried_again_nor_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answers = asyncio.Event(), asyncio.Event()

    async def refusing(*_: Any, **__: Any) -> Any:
        asked.set()
        await answers.wait()
        raise error_of("INVALID_SESSION", "The session was closed", ran="no")

    made = pipeline("refused", [tool(pu_pay, compensate=tool(pu_undo), fallback=tool(pu_instead))])
    async with altar.session(source="later:") as session:
        running = asyncio.ensure_future(made.run(session, amount=1))
        monkeypatch.setattr(Session, "call", refusing)
        await asked.wait()
        running.cancel()
        asyncio.get_running_loop().call_soon(answers.set)
        with pytest.raises(asyncio.CancelledError):
            await running


def test_what_was_done_in_a_group_is_undone_to_the_end_when_another_group_fails_meanwhile() -> None:
    made = pipeline(
        "crossing",
        [parallel(sub("risky", fallback=sub("other")), tool(pu_fail_soon))],
        pipelines={
            "risky": [tool(pu_pay, compensate=tool(pu_slow_undo)), tool("pl_book")],
            "other": [tool(pu_instead), tool("pl_book")],
        },
        inputs={"amount": int},
    )
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]

    result = run(made, amount=1)

    assert ["paid", "book", "undo r1"] == DONE
    assert ("parallel/risky/pu_pay",) == result.compensated
    assert result.error is not None
    assert result.error.hint is None


def test_a_session_that_is_closed_in_the_middle_ends_the_run_which_tells_what_was_done_and_not_undone() -> None:
    made = pipeline("shut", [tool(pu_pay, compensate=tool(pu_undo)), tool(pu_pay, output="x")], inputs={"amount": int})
    session = altar.session(source="later:")

    def closes(event: PipelineEvent) -> None:
        if event.path == "pu_pay_2":
            session.asker.live.executor = None

    async def awaited() -> PipelineResult:
        async with session:
            return await made.run(session, amount=1, on_event=closes)

    result = asyncio.run(awaited())

    assert ["paid"] == DONE
    assert result.error is not None
    assert "INVALID_SESSION" == result.error.type
    assert "Step 'pu_pay_2' of 'shut'" in result.error.message
    assert "not undone, because the compensation failed: 'pu_pay'" in str(result.error.hint)


# ----------------------------------------------------------------------------------------------------- checkpoints


def test_a_step_whose_result_no_checkpoint_can_hold_has_failed_and_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_LARGEST", 1500)
    made = pipeline(
        "large",
        [tool(pu_pay), tool(pu_sized, {"size": 1600}, output="x", compensate=tool(pu_undo, {"note": "sized"}))],
        inputs={"amount": int},
    )

    async def work(session: Session) -> None:
        result = await made.run(session, amount=1, checkpoint=tmp_path / "runs.db", run_id="r")
        assert result.error is not None
        assert ("MESSAGE_TOO_LARGE", "yes") == (result.error.type, result.error.ran)
        assert "Step 'pu_sized' of 'large': The checkpoint of 'pu_sized' would have" in result.error.message
        assert ("pu_sized",) == result.compensated
        assert result.to_json() == (await made.resume(session, "r", checkpoint=tmp_path / "runs.db")).to_json()

    in_session(work)
    assert ["paid", "sized", "undo r1 1 sized"] == DONE


def test_a_run_whose_fields_are_together_more_than_a_checkpoint_can_hold_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_LARGEST", 2500)
    sized = [tool(pu_sized, {"size": 1000}, name=f"s{n}", compensate=tool(pu_undo, {"note": f"{n}"})) for n in range(3)]

    async def work(session: Session) -> None:
        made = pipeline("heavy", sized, inputs={"amount": int})
        result = await made.run(session, amount=1, checkpoint=tmp_path / "runs.db", run_id="r")
        assert result.error is not None
        assert "MESSAGE_TOO_LARGE" == result.error.type
        assert ("s2", "s1", "s0") == result.compensated
        again = await made.resume(session, "r", checkpoint=tmp_path / "runs.db")
        assert ("s2", "s1", "s0") == again.compensated

    in_session(work)
    assert ["sized", "sized", "sized", "undo none 1 2", "undo none 1 1", "undo none 1 0"] == DONE


@altar.tool
async def pu_sized(size: int) -> str:
    """Give a text of that length."""
    DONE.append("sized")
    return "x" * size


@pytest.mark.parametrize("which", ["pu_lies", "pu_loose"])
def test_a_step_whose_result_was_not_taken_is_undone_by_who_resumes_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, which: str
) -> None:
    begin = Kept.begin

    async def full(self: Kept, path: str, *args: Any) -> Any:
        if path.endswith("(compensation)"):
            raise error_of("DEPENDENCY_UNAVAILABLE", "The disk is full")
        return await begin(self, path, *args)

    steps = [tool("pl_find", {"query": "a"}, output="note"), tool(which, compensate=tool(pu_undo, {"note": "late"}))]
    made = pipeline("later_on", steps, inputs={"amount": int})

    async def work(session: Session) -> None:
        monkeypatch.setattr(Kept, "begin", full)
        with pytest.raises(AltarError, match="The disk is full"):
            await made.run(session, amount=1, checkpoint=tmp_path / "runs.db", run_id="r")
        monkeypatch.setattr(Kept, "begin", begin)
        result = await made.resume(session, "r", checkpoint=tmp_path / "runs.db")
        assert (which,) == result.compensated

    in_session(work)
    undone = {"pu_lies": "undo none 1 late", "pu_loose": "undo r1 -1 late"}
    assert ["find", which.removeprefix("pu_"), undone[which]] == DONE


class Unreached(OpenGate):
    """Answers as if nothing could be reached, to these tools, each once."""

    def __init__(self, *names: str, ran: Ran) -> None:
        self.names = list(names)
        self.ran = ran

    def authorize(self, invocation: Invocation) -> None:
        if invocation.name in self.names:
            self.names.remove(invocation.name)
            raise error_of("CONNECTION_FAILED", "The connection was lost", ran=self.ran)


@pytest.mark.parametrize("ran", ["no", "unknown"])
def test_a_kept_run_that_is_interrupted_undoes_nothing_and_goes_on_when_it_is_resumed(tmp_path: Path, ran: Ran) -> None:
    made = pipeline("interrupted", [tool(pu_pay, compensate=tool(pu_undo)), tool("pl_book")], inputs={"amount": int})

    async def awaited() -> None:
        async with Session(Options(gate=Unreached("pl_book", ran=ran))) as session:
            result = await made.run(session, amount=1, checkpoint=tmp_path / "runs.db", run_id="r")
            assert ["paid"] == DONE
            assert result.error is not None
            doubt = "" if ran == "no" else "; the step may have run, and is asked for then"
            assert f"to resume the run 'r' goes on here{doubt}" == result.error.hint
            unknown = None if ran == "no" else "again"
            result = await made.resume(session, "r", checkpoint=tmp_path / "runs.db", unknown=unknown)
            assert {"seat": "1A"} == result.unwrap()

    asyncio.run(awaited())
    assert ["paid", "book"] == DONE


def test_a_kept_run_whose_undoing_is_interrupted_goes_on_undoing_when_it_is_resumed(tmp_path: Path) -> None:
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]
    steps = [
        tool(pu_pay, compensate=tool(pu_undo)),
        tool(pu_pay, output="x", name="more", compensate=tool(pu_slow_undo, {"receipt": "more"})),
        tool("pl_book"),
    ]
    made = pipeline("stopped", steps, inputs={"amount": int})

    async def awaited() -> None:
        async with Session(Options(gate=Unreached("pu_undo", ran="no"))) as session:
            result = await made.run(session, amount=1, checkpoint=tmp_path / "runs.db", run_id="r")
            assert ["paid", "paid", "book", "undo more"] == DONE
            assert result.error is not None
            assert "CONNECTION_FAILED" == result.error.type
            result = await made.resume(session, "r", checkpoint=tmp_path / "runs.db")
            assert result.error is not None
            assert "TOOL_EXECUTION_FAILED" == result.error.type
            assert ("more", "pu_pay") == result.compensated

    asyncio.run(awaited())
    assert ["paid", "paid", "book", "undo more", "undo r1 1"] == DONE


def test_a_kept_run_with_a_tool_whose_contract_nobody_knows_is_refused_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pipeline("unknown", [tool(pu_pay), tool("pu_undo")], inputs={"amount": int})
    monkeypatch.setattr(Session, "declaration", lambda self, name: None)
    monkeypatch.setattr("altar.ai.pipelines.plan.REGISTRY", EMPTY)

    async def work(session: Session) -> None:
        with pytest.raises(AltarError, match="only where the contracts of all its tools are known"):
            await made.run(session, amount=1, checkpoint=tmp_path / "runs.db")

    in_session(work)
    assert [] == DONE


# ------------------------------------------------------------------------------------------- what a compensation takes


def test_a_compensation_of_the_first_step_takes_what_is_there_and_tells_nothing_of_the_inputs() -> None:
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]
    made = pipeline("first", [tool(pu_pay, compensate=tool(pu_undo)), tool("pl_book")])

    assert ["amount"] == list(made.check().inputs["properties"])
    assert ("pu_pay",) == run(made, amount=1).compensated
    assert ["paid", "book", "undo r1 1"] == DONE


@altar.tool
async def pu_undo_with_reason(receipt: str, reason: str) -> str:
    """Undo for a reason."""
    return "undone"


def test_a_compensation_that_lacks_a_field_is_refused_when_the_pipeline_is_made() -> None:
    with pytest.raises(altar.DeclarationError, match=r"'pu_pay \(compensation\)' of 'lacks' needs 'reason'"):
        pipeline("lacks", [tool(pu_pay, compensate=tool(pu_undo_with_reason))])
    with pytest.raises(altar.DeclarationError, match=r"'pu_pay \(compensation\)' of 'lacks' needs 'reason'"):
        pipeline("lacks", [tool(pu_pay, compensate=tool(pu_undo_with_reason)), tool(pu_reason)])


@altar.tool
async def pu_reason(amount: int) -> dict[str, str]:
    """Give a reason, after somebody was paid."""
    return {"reason": "late"}


# ---------------------------------------------------------------------------------------------- functions out of time


def test_a_function_that_takes_longer_than_the_run_may_fails_after_it_and_what_was_done_is_undone() -> None:
    def slowly(receipt: str) -> str:
        time.sleep(0.15)  # nobody can interrupt it
        return receipt

    made = pipeline("dawdling", [tool(pu_pay, compensate=tool(pu_undo)), transform(slowly)], timeout=0.1)

    result = run(made, amount=1)

    assert result.error is not None
    assert ("TIMEOUT", "yes") == (result.error.type, result.error.ran)
    assert "'dawdling' may take 0.1 s, and its time was up while step 'slowly' ran" == result.error.message
    assert [("pu_pay", "done"), ("slowly", "failed")] == paths(result)[:2], "no time is left for undoing either"
    assert "not undone, because the compensation failed: 'pu_pay'" in str(result.error.hint)


def test_a_function_in_a_group_that_is_late_has_the_fallback_of_the_group() -> None:
    def slowly(amount: int) -> int:
        time.sleep(0.06)  # nobody can interrupt it
        return amount

    late = sub("late", timeout=0.03, fallback=transform(abs, takes=["amount"], gives=["slowly"]))
    made = pipeline("grouped", [late], pipelines={"late": [transform(slowly)]}, inputs={"amount": int}, timeout=20)

    result = run(made, amount=-1)

    assert {"slowly": 1} == result.unwrap()
    assert "the time of the step around it was up while it ran" in str(result.steps[0].error)
