"""What a run of a pipeline tells on its way, how it is left, and where it can run."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest

import altar
from altar.ai.pipelines import (
    Pipeline,
    PipelineEvent,
    pipeline,
    tool,
    transform,
)
from altar.later.session import Session
from altar.testing import until
from tests.unit.ai.pipeline_scene import (
    DONE,
    UNDONE,
    clean,
    in_session,
)

__all__ = ["clean"]


# ------------------------------------------------------------------------------------------------- events and streams


def test_a_stream_tells_each_step_and_ends_with_the_result() -> None:
    async def work(session: Session) -> None:
        made = pipeline("told", [tool("pl_find"), tool("pl_pay", {"amount": 1})], inputs={"query": str})
        events = [event async for event in made.stream(session, query="a")]

        assert [
            ("run_started", "", 0),
            ("step_started", "pl_find", 0),
            ("step_ended", "pl_find", 0),
            ("step_started", "pl_pay", 1),
            ("step_ended", "pl_pay", 1),
            ("run_ended", "", 2),
        ] == [(event.kind, event.path, event.done) for event in events]
        assert events[-1].result is not None
        assert {"receipt": "r1"} == events[-1].result.unwrap()

    in_session(work)


def test_a_stream_that_is_left_cancels_the_run_and_undoes_what_it_did() -> None:
    made = pipeline("left", [tool("pl_pay", compensate=tool("pl_refund")), tool("pl_wait")], inputs={"amount": int})

    async def work(session: Session) -> None:
        async with made.stream(session, amount=1) as stream:
            async for event in stream:
                if event.path == "pl_wait":
                    break
        assert ["pay", "wait", "left", "refund r1"] == DONE

    in_session(work)


def test_a_loop_that_is_left_without_closing_its_stream_cancels_too() -> None:
    made = pipeline("left", [tool("pl_pay", compensate=tool("pl_refund")), tool("pl_wait")], inputs={"amount": int})

    async def work(session: Session) -> None:
        async for event in made.stream(session, amount=1):
            if event.path == "pl_wait":
                break
        await asyncio.wait_for(UNDONE.wait(), 20)

    in_session(work)
    assert ["pay", "wait", "left", "refund r1"] == DONE


def test_a_loop_without_an_event_loop_that_is_left_cancels_too() -> None:
    made = pipeline("left", [tool("pl_pay", compensate=tool("pl_refund")), tool("pl_wait")], inputs={"amount": int})

    with altar.session(source="later:") as session:
        for event in made.stream(session, amount=1):
            if event.path == "pl_wait":
                until(lambda: "wait" in DONE, what="the step that waits")
                break
        until(lambda: "refund r1" in DONE, what="what undoes the first step")

    assert ["pay", "wait", "left", "refund r1"] == DONE


def test_a_listener_that_raises_harms_no_run(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: PipelineEvent) -> None:
        raise RuntimeError(event.kind)

    async def work(session: Session) -> None:
        result = await pipeline("deaf", [tool("pl_find")]).run(session, query="a", on_event=broken)
        assert {"pl_find": ["a0", "a1"]} == result.unwrap()

    in_session(work)
    assert "listener failed" in caplog.text


# ------------------------------------------------------------------------------------------------ sessions and tools


def test_a_pipeline_runs_in_a_thread_in_a_plain_tool_and_as_a_tool_itself() -> None:
    made = pipeline("as_one", [tool("pl_find")], inputs={"query": str}, timeout=20, description="Finds.")
    whole = made.as_tool()

    with altar.session(source="later:") as session:
        assert {"pl_find": ["a0", "a1"]} == made.run(session, query="a").unwrap()
        assert {"pl_find": ["b0", "b1"]} == session.call("pl_nested", query="b").unwrap()
        assert {"pl_find": ["c0", "c1"]} == session.call("as_one", query="c").unwrap()
    declared = whole.declaration
    assert {"pipeline": made.digest, "timeout_ms": 20000, "altar.calls": ["pl_find"]} == declared.metadata
    assert declared.annotations.read_only
    assert "Finds." == declared.description


def test_a_tool_that_the_session_does_not_have_is_refused_before_anything_runs() -> None:
    made = pipeline("gone", [tool("pl_pay"), tool("pl_nothing", inputs={"x": "receipt"})])

    with pytest.raises(altar.ValidationError) as refused, altar.session(source="later:") as session:
        made.run(session, amount=1)

    assert "UNSUPPORTED_TOOL" == refused.value.code
    assert [] == DONE


def test_two_pipelines_are_equal_when_a_run_depends_on_the_same() -> None:
    def made(limit: int) -> Pipeline:
        return pipeline("same", [tool("pl_find", {"limit": limit}), transform(len, takes=["pl_find"], gives=["n"])])

    assert made(1) == made(1)
    assert hash(made(1)) == hash(made(1))
    assert made(1) != made(2)


def test_importing_pipelines_loads_no_framework() -> None:
    code = (
        "import sys, altar, altar.ai.pipelines\n"
        "from altar.ai.pipelines import map, parallel, pipeline, tool\n"
        "heavy = 'dspy', 'pydantic_ai', 'pydantic', 'grpc', 'yaml', 'sqlite3'\n"
        "print([each for each in heavy if each in sys.modules])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert "[]\n" == said.stdout
