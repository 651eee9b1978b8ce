"""Streaming tools, contexts and batches: the same in this process and on a grid, or a clear no."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session
from altar.testing import LocalGrid, until
from tests.integration import streaming_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

TOOLS = (
    "streaming_count",
    "streaming_acount",
    "streaming_odd",
    "streaming_endless",
    "streaming_known",
    "streaming_asks",
    "streaming_until_cancelled",
)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([streaming_tools.__file__]) as running:
        yield running
        stop_and_audit(running)


@pytest.fixture(scope="module", autouse=True)
def declared() -> None:
    """The tools, where a local session finds them, whatever an earlier module has made of the registry."""
    for tool in vars(streaming_tools).values():
        if isinstance(tool, altar.ToolFunction):
            REGISTRY.register(tool)


@pytest.fixture(params=["local", "grid"])
def session(request: pytest.FixtureRequest) -> Session:
    if request.param == "local":
        return Session(Options(TOOLS))
    made: Session = request.getfixturevalue("grid").session(TOOLS)
    return made


@pytest.mark.parametrize("tool", ["streaming_count", "streaming_acount"])
def test_a_call_of_a_generator_gives_the_list_of_its_values(session: Session, tool: str) -> None:
    with session as s:
        assert s.call(tool, upto=300).content == list(range(300))
        assert s.call(tool, upto=0).content == []


@pytest.mark.parametrize("tool", ["streaming_count", "streaming_acount"])
def test_a_generator_that_fails_gives_its_error_and_no_values(session: Session, tool: str) -> None:
    with session as s:
        result = s.call(tool, upto=9, stop_at=3)

    assert result.content is None
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("DATA_PROCESSING_ERROR", "No more than 3")
    assert result.error.ran == "yes"


def test_a_generator_that_breaks_its_promise_is_an_error(session: Session) -> None:
    with session as s:
        result = s.call("streaming_odd", values=[1, "two"])

    assert result.error is not None
    assert result.error.ran == "yes"


def test_a_generator_without_an_end_is_stopped_at_the_size_of_a_message(session: Session) -> None:
    with session as s:
        result = s.call("streaming_endless", size=100_000)

    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("MESSAGE_TOO_LARGE", "yes")


def test_a_tool_knows_of_its_call(session: Session) -> None:
    with session as s:
        result = s.call("streaming_known")

    said: Any = result.content
    assert said == {"call": result.call_id, "left": True, "cancelled": False, "parent": None}


async def test_a_plain_function_sees_that_its_caller_has_left(session: Session, tmp_path: Path) -> None:
    async with session as s:
        calling = asyncio.create_task(s.call("streaming_until_cancelled", directory=str(tmp_path)))
        await asyncio.to_thread(until, (tmp_path / "began").exists, what="the tool began")
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.to_thread(until, (tmp_path / "stopped").exists, what="the tool stopped")


def test_a_batch_gives_a_result_for_each_call_in_order(session: Session) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [("streaming_count", {"upto": number}) for number in range(200)]
    calls[7] = ("streaming_count", {"upto": "seven"})
    calls[8] = ("streaming_cuont", {})
    told: list[int] = []
    with session as s:
        results = s.batch(calls, concurrency=64, on_result=lambda place, result: told.append(place))

    assert [result.content for result in results if result.error is None] == [
        list(range(number)) for number in range(200) if number not in {7, 8}
    ]
    assert [result.error.type for result in results[7:9] if result.error] == ["INVALID_TOOL_ARGS", "UNSUPPORTED_TOOL"]
    assert sorted(told) == list(range(200))


def test_values_do_not_stream_from_a_grid_yet_and_it_says_so(grid: LocalGrid) -> None:
    with grid.session(TOOLS) as s, pytest.raises(altar.ConfigurationError, match="from a grid yet") as refused:
        list(s.stream("streaming_count", upto=3))

    assert refused.value.code == "FEATURE_UNAVAILABLE"
    assert refused.value.hint == "session.call(…) gives all of them as one list"


def test_a_tool_on_a_runtime_calls_no_other_and_says_so(grid: LocalGrid) -> None:
    with grid.session(TOOLS) as s:
        assert s.call("streaming_asks").content == "FEATURE_UNAVAILABLE"
    with Session(Options(TOOLS)) as local:
        assert local.call("streaming_asks").content == "SUCCESS"
