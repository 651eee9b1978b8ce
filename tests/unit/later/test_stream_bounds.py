"""A stream is bound in time and room, has one reader, and stays with its session and its process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

import altar
from altar.later.chunks import WINDOW_BYTES, WINDOW_CHUNKS
from altar.later.session import Options, Session
from altar.testing import PATIENCE
from tests.unit.later.streaming import Noted, noted, read

__all__ = ["noted"]  # a fixture

BOTH = pytest.mark.parametrize("tool", ["count", "acount"])


@BOTH
async def test_a_reader_that_does_not_read_holds_no_more_than_a_window(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.options(timeout=0.3).stream(tool, upto=10**9)
        async with stream:
            reader = aiter(stream)
            assert await anext(reader) == 0
            await asyncio.to_thread(noted.closed.wait, PATIENCE)  # its time is up, and nobody read
            made = noted.made
            values = [0]
            with pytest.raises(altar.ExecutionError) as late:
                await read(reader, values)

    assert made <= WINDOW_CHUNKS + 2
    assert values == list(range(len(values)))
    assert (late.value.code, late.value.ran) == ("TIMEOUT", "yes")
    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == len(values)


async def test_a_window_is_full_of_bytes_too(noted: Noted) -> None:
    size = WINDOW_BYTES // 2
    async with Session(Options()) as session, session.stream("texts", sizes=[size] * 50) as stream:
        reader = aiter(stream)
        assert len(await anext(reader)) == size
        assert noted.made <= 4
        assert len(await anext(reader)) == size
        assert noted.made <= 5


@pytest.mark.parametrize("tool", ["held", "aheld"])
async def test_the_deadline_holds_over_the_whole_stream(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.options(timeout=0.2).stream(tool)
        with pytest.raises(altar.ExecutionError, match="had not ended when its time was up") as late:
            async for _ in stream:
                pass
        noted.go.set()
        assert await asyncio.to_thread(noted.closed.wait, PATIENCE)

    assert (late.value.code, late.value.ran) == ("TIMEOUT", "yes")


def test_a_generator_in_its_readers_thread_is_late_between_its_values(noted: Noted) -> None:
    with Session(Options()) as session:
        reader = iter(session.stream("count", upto=3))
        assert next(reader) == 0
        pulled = reader._pulled  # type: ignore[attr-defined]  # the deadline is moved instead of waited for
        pulled._invocation.deadline = time.monotonic() - 1
        with pytest.raises(altar.ExecutionError) as late:
            next(reader)

    assert late.value.code == "TIMEOUT"
    assert noted.closed.is_set()


async def test_a_stream_has_one_reader(noted: Noted) -> None:
    async with Session(Options()) as session:
        stream = session.stream("acount", upto=3)
        assert [value async for value in stream] == [0, 1, 2]
        with pytest.raises(altar.ConfigurationError, match="has a reader already") as second:
            aiter(stream)

    assert second.value.code == "INCOMPATIBLE_MODE"


def test_a_stream_without_a_loop_has_one_reader(noted: Noted) -> None:
    with Session(Options()) as session:
        stream = session.stream("count", upto=3)
        assert list(stream) == [0, 1, 2]
        with pytest.raises(altar.ConfigurationError, match="has a reader already"):
            iter(stream)


async def test_a_reader_is_asked_once_at_a_time(noted: Noted) -> None:
    async with Session(Options()) as session, session.stream("aheld") as stream:
        reader = aiter(stream)
        assert await anext(reader) == 1
        first = asyncio.ensure_future(anext(reader))
        await asyncio.to_thread(noted.began.wait, PATIENCE)
        await asyncio.sleep(0)
        with pytest.raises(altar.ConfigurationError, match="has a reader already"):
            await anext(reader)
        await stream.aclose()
        with pytest.raises(altar.ExecutionError):
            await first


async def test_the_context_of_the_reader_reaches_the_generator_and_its_scopes_hold(noted: Noted) -> None:
    @altar.tool
    async def scoped() -> AsyncIterator[int]:
        """Hold a time limit over values."""
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as group:
            waiting = group.create_task(asyncio.sleep(PATIENCE))
            yield 1
            yield 2
            waiting.cancel()

    async with Session(Options()) as session:
        assert [value async for value in session.stream("scoped")] == [1, 2]


async def test_nobody_streams_from_a_session_that_is_not_open(noted: Noted) -> None:
    session = Session(Options())
    with pytest.raises(altar.ValidationError, match="not open"):
        async for _ in session.stream("count", upto=1):
            pass


def test_a_stream_from_a_closed_session_is_refused(noted: Noted) -> None:
    with Session(Options()) as session:
        early = [session.stream(name, upto=1) for name in ("count", "acount")]
    for stream in early:
        with pytest.raises(altar.ValidationError, match="not open"):
            list(stream)
    with pytest.raises(altar.ValidationError, match="not open"):
        session.stream("count", upto=1)


FORKED = """
import os, sys
from collections.abc import AsyncIterator, Iterator
import altar

@altar.tool
def count() -> Iterator[int]:
    "Count."
    yield from range(1000)

@altar.tool
async def acount() -> AsyncIterator[int]:
    "Count."
    for number in range(1000):
        yield number

with altar.session(source="later:") as session:
    readers = [iter(session.stream(name)) for name in ("count", "acount")]
    assert [next(reader) for reader in readers] == [0, 0]
    child = os.fork()
    if not child:
        said = []
        for reader in readers:
            reader._values.clear()  # what was taken before the fork is the child's too
            try:
                next(reader)
            except altar.ValidationError as refused:
                said.append(refused.code)
        del reader, readers
        os._exit(0 if said == ["INVALID_SESSION"] * 2 else 1)
    _, status = os.waitpid(child, 0)
    assert [next(reader) for reader in readers] == [1, 1]
    sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_stream_stays_with_its_process(noted: Noted) -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORKED], timeout=PATIENCE, check=False)

    assert done.returncode == 0
