"""A stream that is left before its end closes its generator, and its call is recorded as cancelled."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Iterator

import pytest

import altar
from altar.later import workplace
from altar.later.session import Options, Session
from altar.testing import PATIENCE
from tests.unit.later.streaming import Noted, chunks_of, ended, metadata, noted, read, read_here

__all__ = ["noted"]  # a fixture

BOTH = pytest.mark.parametrize("tool", ["count", "acount"])


@BOTH
async def test_a_loop_that_is_left_closes_the_generator_and_is_recorded_as_cancelled(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.stream(tool, upto=10**9)
        async for value in stream:
            if value == 5:
                break
        result = await ended(stream)

    assert noted.closed.is_set()
    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("CANCELLED", "yes")
    assert chunks_of(result) >= 6


@BOTH
@pytest.mark.parametrize("timeout", [None, 20.0])
def test_without_a_loop_it_is_left_as_well(noted: Noted, tool: str, timeout: float | None) -> None:
    with Session(Options()) as session:
        stream = session.options(timeout=timeout).stream(tool, upto=10**9)
        for value in stream:
            if value == 5:
                break
        stream.close()
        result = stream.result

    assert noted.closed.is_set()
    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("CANCELLED", "yes")


@pytest.mark.parametrize("tool", ["count", "acount"])
async def test_an_error_in_the_readers_own_loop_closes_the_generator(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.stream(tool, upto=10**9)

        async def fail() -> None:
            async with stream:
                async for _ in stream:
                    raise KeyError

        with pytest.raises(KeyError):
            await fail()
        assert noted.closed.is_set()

    assert stream.result.error is not None
    assert stream.result.error.type == "CANCELLED"


@pytest.mark.parametrize("tool", ["held", "aheld"])
async def test_a_generator_that_waits_is_ended_too(noted: Noted, tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "HEED_SECONDS", 0.05)
    async with Session(Options()) as session:
        stream = session.stream(tool)
        async for value in stream:
            assert value == 1
            await asyncio.to_thread(noted.began.wait, PATIENCE)
            break
        result = await ended(stream)
        noted.go.set()
        assert await asyncio.to_thread(noted.closed.wait, PATIENCE)

    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("CANCELLED", "yes")


@BOTH
async def test_closing_the_session_closes_its_streams(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.stream(tool, upto=10**9)
        reader = aiter(stream)
        assert await anext(reader) == 0

    assert noted.closed.is_set()
    assert stream.result.error is not None
    assert stream.result.error.type == "CANCELLED"
    with pytest.raises(altar.AltarError):
        await read(reader, [])


@BOTH
def test_closing_a_session_without_a_loop_closes_its_streams(noted: Noted, tool: str) -> None:
    with Session(Options()) as session:
        stream = session.stream(tool, upto=10**9)
        reader = iter(stream)
        assert next(reader) == 0

    assert noted.closed.is_set()
    assert stream.result.error is not None
    assert stream.result.error.type == "CANCELLED"
    with pytest.raises(altar.AltarError):
        read_here(reader, [])


@pytest.mark.parametrize("tool", ["held", "aheld"])
async def test_a_reader_that_is_cancelled_leaves(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.stream(tool)

        async def read() -> list[int]:
            return [value async for value in stream]

        reading = asyncio.create_task(read())
        await asyncio.to_thread(noted.began.wait, PATIENCE)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        noted.go.set()
        result = await ended(stream)

    assert noted.closed.is_set()
    assert result.error is not None
    assert result.error.type == "CANCELLED"


async def test_a_stream_that_nobody_reads_runs_nothing(noted: Noted) -> None:
    async with Session(Options()) as session:
        stream = session.stream("count", upto=3)
        with pytest.raises(altar.ValidationError, match="has not ended") as early:
            _ = stream.result
        await stream.aclose()

    assert noted.made == 0
    assert early.value.code == "INVALID_SESSION"


def test_a_stream_without_a_loop_that_nobody_reads_runs_nothing(noted: Noted) -> None:
    with Session(Options()) as session:
        for name in ("count", "acount"):
            with session.stream(name, upto=3) as stream, pytest.raises(altar.ValidationError, match="has not ended"):
                _ = stream.result

    assert noted.made == 0


async def test_what_was_left_after_its_last_value_was_made_has_succeeded(noted: Noted) -> None:
    async with Session(Options()) as session:
        stream = session.stream("acount", upto=2)
        async for _ in stream:
            await asyncio.to_thread(noted.closed.wait, PATIENCE)
            await asyncio.sleep(0)
            break
        result = await ended(stream)

    assert result.status == "SUCCESS"
    assert result.metadata == metadata("[0,1]", 2)


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_generator_that_ignores_its_end_is_complained_of_and_held_by_nobody(
    noted: Noted, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def stubborn() -> Iterator[int]:
        """Go on once more."""
        while not noted.closed.is_set():
            try:
                yield 1
            except GeneratorExit:
                noted.closed.set()
                yield 2

    async def astubborn() -> AsyncIterator[int]:
        """Go on once more."""
        while not noted.closed.is_set():
            try:
                yield 1
            except GeneratorExit:
                noted.closed.set()
                yield 2

    altar.tool(astubborn if asynchronous else stubborn, name="stubborn")
    async with Session(Options()) as session:
        stream = session.stream("stubborn")
        async for _ in stream:
            break
        result = await ended(stream)

    assert result.error is not None
    assert result.error.type == "CANCELLED"
    assert noted.closed.is_set()
    assert "tool did not close" in caplog.messages


async def test_what_a_generator_raises_while_it_is_closed_is_for_the_log(
    noted: Noted, caplog: pytest.LogCaptureFixture
) -> None:
    @altar.tool
    def sour() -> Iterator[int]:
        """Fail at the end."""
        try:
            yield from range(1000)
        finally:
            raise OSError("no more")

    async with Session(Options()) as session:
        stream = session.stream("sour")
        async for _ in stream:
            break
        result = await ended(stream)

    assert result.error is not None
    assert result.error.type == "CANCELLED"
    assert "tool did not close" in caplog.messages


def test_an_interrupt_is_the_programs_and_the_call_is_recorded(noted: Noted) -> None:
    @altar.tool
    def interrupted() -> Iterator[int]:
        """One value, then a person at the keyboard."""
        yield 1
        raise KeyboardInterrupt

    with Session(Options()) as session:
        stream = session.stream("interrupted")
        with pytest.raises(KeyboardInterrupt):
            list(stream)

    assert stream.result.error is not None
    assert (stream.result.error.type, stream.result.error.ran) == ("CANCELLED", "yes")


async def test_a_generator_that_is_left_may_wait_while_it_closes(noted: Noted) -> None:
    """Its ``finally`` block is not cancelled, whether it waited for room or was just about to go on."""

    @altar.tool
    async def careful(rests: bool) -> AsyncIterator[int]:
        """Yield for ever, and take a while to close."""
        try:
            while True:
                yield 1
                if rests:
                    await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0.01)
            noted.closed.set()

    for reads, rests in [(1, False), (1, True), (20, False), (20, True)]:
        noted.closed.clear()
        async with Session(Options()) as session:
            stream = session.stream(careful, rests=rests)
            reader = aiter(stream)
            for _ in range(reads):
                await anext(reader)
            await stream.aclose()

        assert noted.closed.is_set(), (reads, rests)
        assert stream.result.error is not None
        assert stream.result.error.type == "CANCELLED"


async def test_a_reader_may_be_collected_at_any_moment(noted: Noted) -> None:
    """Also in the loop's own thread while that holds the lock of its chunks, where leaving at once would hang."""
    async with Session(Options()) as session:
        stream = session.stream("acount", upto=10**9)
        reader = aiter(stream)
        await anext(reader)
        call = stream._call
        assert call is not None

        with call._chunks._lock:
            del reader
        await ended(stream)

    assert noted.closed.is_set()


async def test_a_session_whose_closing_is_cancelled_keeps_no_threads(noted: Noted) -> None:
    @altar.tool
    async def slow_to_close() -> AsyncIterator[int]:
        """Take for ever to close."""
        try:
            yield 1
            await asyncio.Event().wait()
        finally:
            noted.began.set()
            await asyncio.Event().wait()

    session = Session(Options())

    async def use() -> None:
        async with session:
            await session.call("one")
            reader = aiter(session.stream(slow_to_close))
            await anext(reader)

    task = asyncio.create_task(use())
    async with asyncio.timeout(PATIENCE):
        await asyncio.to_thread(noted.began.wait, PATIENCE)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while any(thread.name.startswith("altar-tool_") for thread in threading.enumerate()):  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def test_a_single_value_that_was_read_and_left_is_held_by_nobody(noted: Noted) -> None:
    with Session(Options()) as session:
        stream = session.stream("one")
        assert next(iter(stream)) == 1
        gone = weakref.ref(stream._pulled)
        del stream
        gc.collect()

        assert gone() is None
