"""Streaming tools, contexts and batches: the same in this process and on a grid."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

import altar
from altar.later.context import LogLine, Progress
from altar.later.pulling import SyncStream
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session
from altar.later.stream import Stream
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
    "streaming_texts",
    "streaming_marks",
    "streaming_amarks",
    "streaming_waits",
    "streaming_await",
    "streaming_late",
    "streaming_alate",
    "streaming_tells",
    "streaming_chatters",
    "streaming_isolated",
)
MIB = 1024 * 1024


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


# ------------------------------------------------------------------------------------------------ values one by one


def read(stream: SyncStream) -> tuple[list[Any], altar.AltarError | None]:
    """The values of a stream, and what it failed with."""
    values: list[Any] = []
    try:
        for value in stream:
            values.append(value)  # noqa: PERF402 - what came before a failure is kept
    except altar.AltarError as failed:
        return values, failed
    return values, None


@pytest.mark.parametrize("tool", ["streaming_count", "streaming_acount", "streaming_isolated"])
@pytest.mark.parametrize("upto", [0, 1, 700])
def test_a_stream_gives_each_value_and_then_the_account_of_all(session: Session, tool: str, upto: int) -> None:
    with session as s:
        stream = s.stream(tool, upto=upto)
        values = list(stream)
        content = s.call(tool, upto=upto).content

    assert values == content == list(range(upto))
    written = orjson.dumps(values)
    assert stream.result.status is altar.ResultStatus.SUCCESS
    assert stream.result.content is None
    assert stream.result.metadata == {
        "chunks": upto,
        "bytes": len(written),
        "digest": f"sha256:{hashlib.sha256(written).hexdigest()}",
    }


@pytest.mark.parametrize("tool", ["streaming_count", "streaming_acount"])
async def test_a_stream_is_read_in_an_event_loop_as_without_one(session: Session, tool: str) -> None:
    async with session as s:
        stream = s.stream(tool, upto=700)
        values = [value async for value in stream]

    assert values == list(range(700))
    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 700


@pytest.mark.parametrize("tool", ["streaming_count", "streaming_acount"])
def test_a_generator_that_fails_gives_its_error_after_the_values_that_came_before(session: Session, tool: str) -> None:
    with session as s:
        stream = s.stream(tool, upto=9, stop_at=3)
        values, error = read(stream)

    assert values == [0, 1, 2]
    assert error is not None
    assert (error.code, error.message, error.ran) == ("DATA_PROCESSING_ERROR", "No more than 3", "yes")
    assert stream.result.error is not None
    assert stream.result.metadata is not None
    assert (stream.result.error.type, stream.result.metadata["chunks"]) == ("DATA_PROCESSING_ERROR", 3)


def test_a_value_that_breaks_the_promise_is_named_by_its_place_in_the_stream(session: Session) -> None:
    with session as s:
        stream = s.stream("streaming_odd", values=[1, 2, "three", 4])
        values, error = read(stream)

    assert values == [1, 2]
    assert error is not None
    expected = ("SCHEMA_VIOLATION", "The result's member `[2]` must be an integer, not a string", "/2", "yes")
    assert (error.code, error.message, error.path, error.ran) == expected
    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 2


def test_a_value_that_is_too_large_is_refused_with_its_size(session: Session) -> None:
    with session as s:
        values, error = read(s.stream("streaming_texts", sizes=[3, 4 * MIB, 4]))

    assert values == ["xxx"]
    assert error is not None
    expected = (
        "MESSAGE_TOO_LARGE",
        "The contents of one value of the stream are 4194306 bytes and the limit is 4194304",
    )
    assert (error.code, error.message, error.ran) == (*expected, "yes")


def test_a_value_as_large_as_a_message_passes_between_others(session: Session) -> None:
    sizes = [1, 4 * MIB - 2, 0, 3 * MIB, 2]
    with session as s:
        assert [len(value) for value in s.stream("streaming_texts", sizes=sizes)] == sizes


def test_the_first_value_is_read_before_the_last_is_made(session: Session, tmp_path: Path) -> None:
    with session as s, s.options(timeout=30).stream("streaming_waits", directory=str(tmp_path)) as stream:
        values = iter(stream)
        first = next(values)
        (tmp_path / "go").touch()

        assert (first, list(values)) == (0, [1])


@pytest.mark.parametrize("tool", ["streaming_marks", "streaming_amarks"])
def test_a_stream_that_is_left_has_closed_its_generator(session: Session, tool: str, tmp_path: Path) -> None:
    with session as s:
        with s.stream(tool, directory=str(tmp_path), upto=10**9) as stream:
            values = [value for value, _ in zip(stream, range(3), strict=False)]

        assert values == [0, 1, 2]
        assert (tmp_path / "closed").exists()
        assert stream.result.error is not None
        assert (stream.result.error.type, stream.result.error.ran) == ("CANCELLED", "yes")
        passed: Any = stream.result.metadata
        assert passed["chunks"] >= 3


@pytest.mark.parametrize("tool", ["streaming_marks", "streaming_amarks"])
async def test_a_loop_that_is_left_closes_the_generator_by_itself(session: Session, tool: str, tmp_path: Path) -> None:
    async with session as s:
        async for value in s.stream(tool, directory=str(tmp_path), upto=10**9):
            if value == 2:
                break
        await asyncio.to_thread(until, (tmp_path / "closed").exists, what="the generator was closed")


@pytest.mark.parametrize("tool", ["streaming_waits", "streaming_await"])
async def test_cancelling_the_reader_closes_the_generator(session: Session, tool: str, tmp_path: Path) -> None:
    async with session as s:
        values: list[int] = []

        async def reading() -> None:
            async for value in s.stream(tool, directory=str(tmp_path), first=3):
                values.append(value)  # noqa: PERF401 - what came before it was cancelled is kept

        task = asyncio.create_task(reading())
        while len(values) < 3:  # noqa: ASYNC110 - another task reads
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        (tmp_path / "go").touch()  # a plain function hears of it with its next value
        await asyncio.to_thread(until, (tmp_path / "closed").exists, what="the generator was closed")


@pytest.mark.parametrize("tool", ["streaming_late", "streaming_alate"])
async def test_a_stream_that_is_late_is_a_timeout_after_the_values_that_came(session: Session, tool: str) -> None:
    values: list[int] = []

    async def reading(stream: Stream) -> None:
        async for value in stream:
            values.append(value)  # noqa: PERF401 - what came before a failure is kept

    async with session as s:
        stream = s.stream(tool)
        with pytest.raises(altar.ExecutionError) as late:
            await reading(stream)

    assert values == [1]
    expected = ("TIMEOUT", f"'{tool}' had not ended when its time was up", "yes")
    assert (late.value.code, late.value.message, late.value.ran) == expected
    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 1


def test_a_tool_that_does_not_stream_gives_its_one_value(session: Session) -> None:
    with session as s:
        stream = s.stream("streaming_known")
        (value,) = stream

    assert value["left"] is True
    assert stream.result.status is altar.ResultStatus.SUCCESS
    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 1


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "path"),
    [
        ("streaming_count", {"upto": "x"}, "INVALID_TOOL_ARGS", "/upto"),
        ("streaming_cuont", {"upto": 1}, "UNSUPPORTED_TOOL", None),
        ("streaming_count", {"upto": object()}, "SERIALIZATION_ERROR", "/upto"),
    ],
    ids=["wrong", "unknown", "unwritable"],
)
def test_a_stream_that_never_begins_raises_where_it_is_read(
    session: Session, tool: str, arguments: dict[str, Any], code: str, path: str | None
) -> None:
    with session as s:
        stream = s.stream(tool, arguments)
        values, error = read(stream)

    assert values == []
    assert error is not None
    assert (error.code, error.path, error.ran) == (code, path, "no")
    assert stream.result.status is altar.ResultStatus.ERROR


def test_closing_a_session_ends_the_streams_that_are_read(session: Session, tmp_path: Path) -> None:
    with session as s:
        values = iter(s.stream("streaming_amarks", directory=str(tmp_path), upto=10**9))
        assert next(values) == 0

    assert (tmp_path / "closed").exists()


# -------------------------------------------------------------------------------------------- what is told on the way


@pytest.mark.parametrize("how", ["call", "stream"])
def test_what_a_tool_tells_is_heard_before_its_result(session: Session, how: str) -> None:
    told: list[Progress | LogLine] = []
    with session as s:
        listening = s.options(on_progress=told.append, on_log=told.append)
        values = listening.call("streaming_tells", times=3).content if how == "call" else None
        values = values or list(listening.stream("streaming_tells", times=3))
        heard = list(told)

    assert values == [0, 1, 2]
    assert heard == told
    latest = [one for one in told if isinstance(one, Progress)][-1]
    assert (latest.tool, latest.done, latest.total, latest.message) == ("streaming_tells", 3, 3, "counting")
    lines = [one for one in told if isinstance(one, LogLine)]
    assert [(line.message, line.facts["number"]) for line in lines] == [("at", 0), ("at", 1), ("at", 2)]


async def test_of_much_progress_the_latest_is_heard(session: Session) -> None:
    told: list[Progress] = []
    async with session as s:
        result = await s.options(on_progress=told.append).call("streaming_chatters", times=20_000)

    assert result.content == 20_000
    assert told[-1].done == 19_999
    assert [one.done for one in told] == sorted({one.done for one in told})


async def test_a_listener_that_fails_harms_no_call(session: Session) -> None:
    def failing(told: Progress) -> None:
        raise ValueError("a listener")

    async with session as s:
        assert (await s.options(on_progress=failing).call("streaming_tells", times=2)).content == [0, 1]


def test_a_tool_calls_another(session: Session) -> None:
    with session as s:
        assert s.call("streaming_asks").content == "SUCCESS"
