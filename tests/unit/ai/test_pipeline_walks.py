"""Runs of pipelines where several things happen at once: what is undone, what is told, and what never happens twice."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.errors import DeclarationError, error_of
from altar.ai.pipelines import PipelineEvent, branch, parallel, pipeline, sub, tool
from altar.ai.pipelines import map as each_of
from altar.later.session import Session
from tests.unit.ai.pipeline_scene import DONE, FAILS, clean, failing, in_session, run

__all__ = ["clean"]

PAID = asyncio.Event()


@altar.tool
async def pw_pay(amount: int) -> dict[str, str]:
    """Pay."""
    DONE.append("paid")
    PAID.set()
    return {"receipt": f"r{amount}"}


@altar.tool
async def pw_fail_when_paid(amount: int) -> str:
    """Wait until somebody has paid, then fail."""
    await PAID.wait()
    await asyncio.sleep(0.01)
    DONE.append("failed")
    raise error_of("TOOL_EXECUTION_FAILED", "It did not work")


@altar.tool
async def pw_instead(amount: int) -> str:
    """Do it otherwise."""
    DONE.append("instead")
    return "well"


@altar.tool
async def pw_refund(receipt: str) -> dict[str, Any]:
    """Pay back."""
    DONE.append(f"refund {receipt}")
    return {"amount": 0, "state": "back"}


@pytest.fixture(autouse=True)
def unpaid() -> None:
    PAID.clear()


def test_a_fallback_inside_of_one_branch_undoes_nothing_of_another() -> None:
    made = pipeline(
        "beside",
        [
            parallel(
                sub("risky", fallback=tool("pw_instead", output="pw_fail_when_paid")),
                tool("pw_pay", compensate=tool("pw_refund")),
            )
        ],
        pipelines={"risky": [tool("pw_fail_when_paid")]},
        inputs={"amount": int},
    )

    result = run(made, amount=1)

    assert ["paid", "failed", "instead"] == DONE
    assert {"pw_fail_when_paid": "well", "receipt": "r1"} == result.unwrap()
    assert () == result.compensated


def test_a_compensation_may_give_what_is_a_field_already() -> None:
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]
    made = pipeline("back", [tool("pw_pay", compensate=tool("pw_refund")), tool("pl_book")], inputs={"amount": int})

    result = run(made, amount=1)

    assert ["paid", "book", "refund r1"] == DONE
    assert ("pw_pay",) == result.compensated
    assert result.error is not None
    assert result.error.hint is None


def test_the_step_of_a_map_may_give_what_is_a_field_already() -> None:
    made = pipeline(
        "each",
        [tool("pw_pay"), each_of(tool("pw_pay", inputs={"amount": "one"}), over="amounts", item="one", output="all")],
        inputs={"amount": int, "amounts": list[int]},
    )

    assert {"all": [{"receipt": "r2"}, {"receipt": "r3"}]} == run(made, amount=1, amounts=[2, 3]).unwrap()


def test_a_group_whose_own_time_is_up_says_so_and_has_its_fallback() -> None:
    made = pipeline(
        "grouped",
        [
            parallel(
                tool("pl_wait", timeout=0.05, output="a", fallback=tool("pw_instead")),
                timeout=0.01,
                fallback=tool("pw_instead", output="a"),
            )
        ],
        inputs={"amount": int},
        timeout=20,
    )

    result = run(made, amount=1)

    assert result.error is None, result.error
    assert "well" == result.outputs["a"]


def test_a_pipeline_whose_caller_gives_it_less_time_still_begins() -> None:
    made = pipeline("pw_short", [tool("pw_pay", compensate=tool("pw_refund"))], inputs={"amount": int}, timeout=300)
    made.as_tool()

    async def work(session: Session) -> None:
        result = await session.options(timeout=10).call("pw_short", amount=1)
        assert result.error is None, result.error

    in_session(work)


def test_nothing_stands_in_for_a_group_in_which_a_call_was_left_that_must_not_happen_twice() -> None:
    FAILS["book"] = [failing("TOOL_EXECUTION_FAILED")]
    made = pipeline(
        "in_doubt",
        [parallel(tool("pl_wait", output="a"), tool("pl_book"), fallback=tool("pl_loose"))],
        inputs={"amount": int},
        outputs=["a"],
    )

    result = run(made, amount=1)

    assert ["wait", "book", "left"] == DONE
    assert result.error is not None
    assert "left while it ran, so that nobody knows its outcome: 'parallel/pl_wait'" == result.error.hint


def test_a_reader_whose_stream_is_closed_by_another_comes_to_its_end() -> None:
    made = pipeline("closed", [tool("pl_wait")], inputs={"amount": int})

    async def work(session: Session) -> None:
        stream = made.stream(session, amount=1)
        reader = asyncio.ensure_future(anext(aiter(stream), None))
        await asyncio.sleep(0)
        await stream.aclose()
        assert await asyncio.wait_for(reader, 20) is None

    in_session(work)


def test_a_listener_that_raises_in_the_thread_that_waits_harms_no_run(caplog: pytest.LogCaptureFixture) -> None:
    def broken(event: PipelineEvent) -> None:
        raise RuntimeError(event.kind)

    with altar.session(source="later:") as session:
        result = pipeline("deaf", [tool("pl_find")]).run(session, query="a", on_event=broken)

    assert {"pl_find": ["a0", "a1"]} == result.unwrap()
    assert "listener failed" in caplog.text


def test_an_interrupt_waits_until_what_was_done_is_undone() -> None:
    def interrupts(event: PipelineEvent) -> None:
        if event.path == "pl_wait":
            raise KeyboardInterrupt

    made = pipeline("stopped", [tool("pl_pay", compensate=tool("pl_refund")), tool("pl_wait")], inputs={"amount": int})
    with altar.session(source="later:") as session:
        with pytest.raises(KeyboardInterrupt):
            made.run(session, amount=1, on_event=interrupts)
        assert "refund r1" == DONE[-1]


def test_a_run_that_goes_on_stays_on_the_way_that_a_function_chose(tmp_path: Path) -> None:
    ways = ["one", "two"]
    made = pipeline(
        "chosen",
        [branch(lambda fields: ways.pop(0), {"one": "first", "two": "second"}), tool("pl_wait")],
        pipelines={"first": [tool("pw_pay", output="x")], "second": [tool("pl_book", output="x")]},
        inputs={"amount": int},
    )
    kept = tmp_path / "runs.db"

    async def work(session: Session) -> None:
        async with made.stream(session, amount=1, checkpoint=kept, run_id="r") as stream:
            async for event in stream:
                if event.path == "pl_wait":
                    break
        FAILS.clear()
        result = await made.resume(session, "r", checkpoint=kept, unknown={"pl_wait": "given"})
        assert {"pl_wait": "given"} == result.unwrap()

    in_session(work)
    assert "book" not in DONE
    assert 1 == DONE.count("paid")


def test_a_pipeline_that_is_none_is_a_declaration_error() -> None:
    assert isinstance(failing("INVALID_PIPELINE"), DeclarationError)
