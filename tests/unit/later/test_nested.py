"""A tool that calls tools: in the same session, within its own time, to a depth that has an end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from typing import Any

import pytest

import altar
from altar.later.context import Progress, ToolContext
from altar.later.nesting import MAX_DEPTH
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session
from altar.later.workplace import LoopThreads
from altar.testing import PATIENCE


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    before = REGISTRY.tools()
    REGISTRY.clear()

    @altar.tool
    def leaf(context: ToolContext) -> dict[str, Any]:
        """Say who asks."""
        left = context.deadline
        return {
            "parent": context.parent_id,
            "correlation": context.correlation_id,
            "left": None if left is None else left.total_seconds(),
            "thread": threading.get_ident(),
            "principal": context.principal,
        }

    @altar.tool
    async def aleaf(context: ToolContext) -> dict[str, Any]:
        """Say who asks."""
        return {"parent": context.parent_id, "correlation": context.correlation_id, "thread": threading.get_ident()}

    @altar.tool
    def plain(tool: str, context: ToolContext) -> dict[str, Any]:
        """Call another tool."""
        inner: dict[str, Any] = context.sync.call(tool).unwrap()
        return {"id": context.call_id, "thread": threading.get_ident(), "inner": inner}

    @altar.tool
    async def waiting(tool: str, context: ToolContext) -> dict[str, Any]:
        """Call another tool."""
        inner: dict[str, Any] = (await context.call(tool)).unwrap()
        return {"id": context.call_id, "thread": threading.get_ident(), "inner": inner}

    @altar.tool
    def down(depth: int, context: ToolContext) -> int:
        """Call the other, to this depth."""
        return 0 if depth == 0 else 1 + int(context.sync.call("adown", depth=depth - 1).unwrap())

    @altar.tool
    async def adown(depth: int, context: ToolContext) -> int:
        """Call the other, to this depth."""
        return 0 if depth == 0 else 1 + int((await context.call("down", depth=depth - 1)).unwrap())

    @altar.tool
    def count(upto: int) -> Iterator[int]:
        """Count."""
        yield from range(upto)

    @altar.tool
    def sums(upto: int, context: ToolContext) -> int:
        """Sum what another counts."""
        return sum(context.sync.stream("count", upto=upto))

    @altar.tool
    async def asums(upto: int, context: ToolContext) -> int:
        """Sum what another counts."""
        return sum([value async for value in context.session.stream("count", upto=upto)])

    @altar.tool
    async def doubles(upto: int, context: ToolContext) -> AsyncIterator[int]:
        """Double what another counts."""
        async for value in context.session.stream("count", upto=upto):
            yield 2 * value

    @altar.tool
    def many(context: ToolContext) -> list[int]:
        """Call many."""
        return [result.unwrap() for result in context.sync.batch([("sums", {"upto": each}) for each in range(5)])]

    @altar.tool
    async def amany(context: ToolContext) -> list[int]:
        """Call many."""
        calls = [("sums", {"upto": each}) for each in range(5)]
        return [result.unwrap() for result in await context.session.batch(calls)]

    yield
    REGISTRY.clear()
    for tool in before:
        REGISTRY.register(tool)


PAIRS = pytest.mark.parametrize(
    ("outer", "inner"), [("plain", "leaf"), ("plain", "aleaf"), ("waiting", "leaf"), ("waiting", "aleaf")]
)


@PAIRS
async def test_a_tool_calls_a_tool(outer: str, inner: str) -> None:
    async with Session(Options()) as session:
        result: Any = (await session.call(outer, tool=inner)).unwrap()
        alone: Any = (await session.call("leaf")).unwrap()

    assert result["inner"]["parent"] == result["id"]
    assert result["inner"]["correlation"] == alone["correlation"]
    assert alone["parent"] is None


@PAIRS
@pytest.mark.parametrize("timeout", [None, 20.0])
def test_a_tool_calls_a_tool_without_a_loop(outer: str, inner: str, timeout: float | None) -> None:
    with Session(Options()) as session:
        result: Any = session.options(timeout=timeout).call(outer, tool=inner).unwrap()

    assert result["inner"]["parent"] == result["id"]


@pytest.mark.parametrize("timeout", [None, 20.0])
def test_a_plain_tool_that_a_plain_tool_calls_runs_in_the_same_thread(timeout: float | None) -> None:
    with Session(Options()) as session:
        result: Any = session.options(timeout=timeout).call("plain", tool="leaf").unwrap()

    assert result["inner"]["thread"] == result["thread"]
    assert (result["thread"] == threading.get_ident()) is (timeout is None)


@pytest.mark.parametrize("outer", ["plain", "waiting"])
async def test_a_call_inside_of_a_call_has_no_more_time_than_that_and_the_same_principal(outer: str) -> None:
    async with Session(Options(default_timeout=timedelta(hours=1), principal="ann")) as session:
        result: Any = (await session.options(timeout=20).call(outer, tool="leaf")).unwrap()

    assert result["inner"]["left"] <= 20
    assert result["inner"]["principal"] == "ann"


@pytest.mark.parametrize("tool", ["down", "adown"])
def test_tools_call_tools_to_a_depth(tool: str) -> None:
    with Session(Options()) as session:
        deepest = session.call(tool, depth=MAX_DEPTH - 1)
        deeper = session.call(tool, depth=MAX_DEPTH)

    assert deepest.content == MAX_DEPTH - 1
    assert deeper.error is not None
    assert deeper.error.type == "POLICY_VIOLATION"
    assert f"Tools call tools {MAX_DEPTH} calls deep, and no deeper: … → " in deeper.error.message


async def test_more_chains_than_threads_do_not_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    def narrow(place: LoopThreads, **_: Any) -> None:
        made(place, threads=2)

    made = LoopThreads.__init__
    monkeypatch.setattr(LoopThreads, "__init__", narrow)
    async with asyncio.timeout(PATIENCE), Session(Options()) as session:
        results = await session.batch([("down", {"depth": 9})] * 12, concurrency=12)

    assert [result.content for result in results] == [9] * 12


@pytest.mark.parametrize("tool", ["sums", "asums"])
def test_a_tool_reads_the_stream_of_another(tool: str) -> None:
    with Session(Options()) as session:
        assert session.call(tool, upto=100).content == sum(range(100))


async def test_a_generator_reads_another() -> None:
    async with Session(Options()) as session:
        assert [value async for value in session.stream("doubles", upto=40)] == [2 * value for value in range(40)]
        left = session.stream("doubles", upto=10**9)
        async for _ in left:
            break
        await left.aclose()

    assert left.result.error is not None
    assert left.result.error.type == "CANCELLED"


@pytest.mark.parametrize("tool", ["many", "amany"])
def test_a_tool_makes_many_calls(tool: str) -> None:
    with Session(Options()) as session:
        assert session.call(tool).content == [0, 0, 1, 3, 6]


def test_who_listens_to_a_call_hears_of_the_calls_inside_of_it() -> None:
    @altar.tool
    def tells(context: ToolContext) -> None:
        """Tell."""
        context.progress(1)

    @altar.tool
    async def relays(context: ToolContext) -> None:
        """Call who tells."""
        await context.call("tells")

    heard: list[Progress] = []
    with Session(Options()) as session:
        session.options(on_progress=heard.append).call("relays").unwrap()

    assert [told.tool for told in heard] == ["tells"]


def test_a_failure_inside_is_a_value_for_the_tool_that_called() -> None:
    @altar.tool
    def fails() -> None:
        """Fail."""
        raise ValueError("secret")

    @altar.tool
    def copes(context: ToolContext) -> str:
        """Look at what came back."""
        error = context.sync.call("fails").error
        return "" if error is None else error.message

    with Session(Options()) as session:
        assert session.call("copes").content == "The tool failed with ValueError"


async def test_a_coroutine_does_not_wait_in_the_way_of_plain_functions() -> None:
    @altar.tool
    async def confused(context: ToolContext) -> str:
        """Wait in the loop's own thread."""
        try:
            context.sync.call("aleaf")
        except altar.ConfigurationError as refused:
            return refused.code
        return ""

    async with Session(Options()) as session:
        assert (await session.call("confused")).content == "INCOMPATIBLE_MODE"


async def test_a_cancelled_call_cancels_the_coroutine_that_it_waits_for() -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    @altar.tool
    async def inner() -> None:
        """Wait for ever."""
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @altar.tool
    async def outer(context: ToolContext) -> None:
        """Call it."""
        await context.call("inner")

    async with Session(Options()) as session:
        calling = asyncio.create_task(session.call("outer"))
        await began.wait()
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert ended.is_set()
