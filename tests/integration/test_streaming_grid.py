"""Streams over a real grid: what is recorded, who waits for whom, and what becomes of them when somebody is lost."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.grid.stream_window import SIZE
from altar.later.stream import Stream
from altar.testing import LocalGrid, until
from tests.integration import streaming_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

TEXT = 1000
"""Characters of each value of ``streaming_endless`` here."""


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([streaming_tools.__file__], settings={"runtime.concurrency": 128}) as running:
        yield running
        stop_and_audit(running)


def status(grid: LocalGrid) -> dict[str, Any]:
    """What the host says of itself now."""
    host = grid.host
    assert host is not None

    def said() -> list[dict[str, Any]]:
        lines = [json.loads(line) for line in host.log.splitlines() if line.startswith("{")]
        return [line for line in lines if line["log"] == "status"]

    before = len(said())
    host.send(signal.SIGUSR1)
    until(lambda: len(said()) > before, what="the host said how it is")
    return said()[-1]


async def read(stream: Stream, into: list[Any]) -> None:
    """Read a stream to its end; what came before a failure is kept."""
    async for value in stream:
        into.append(value)  # noqa: PERF401


def entries_of(grid: LocalGrid, call_id: str) -> list[dict[str, Any]]:
    """Intent and outcome of a call."""
    entries = grid.entries()
    (intent,) = (entry for entry in entries if entry["kind"] == "intent" and entry["call"] == call_id)
    return [entry for entry in entries if entry.get("invocation") == intent["invocation"]]


# ---------------------------------------------------------------------------------------------------------- the record


def test_the_record_says_how_much_was_passed_on_and_what_it_was(grid: LocalGrid) -> None:
    with grid.session() as s:
        stream = s.stream("streaming_count", upto=300)
        assert len(list(stream)) == 300

    intent, outcome = entries_of(grid, stream.result.call_id)
    assert stream.result.metadata is not None
    assert (intent["kind"], outcome["kind"], outcome["status"]) == ("intent", "outcome", "SUCCESS")
    said = {"chunks": outcome["chunks"], "bytes": outcome["bytes"], "digest": outcome["result"]}
    assert said == stream.result.metadata


def test_a_stream_that_failed_on_its_way_is_recorded_as_partial(grid: LocalGrid) -> None:
    with grid.session() as s:
        stream = s.stream("streaming_count", upto=9, stop_at=4)
        with pytest.raises(altar.ExecutionError, match="No more than 4"):
            list(stream)

    _, outcome = entries_of(grid, stream.result.call_id)
    assert stream.result.metadata is not None
    assert (outcome["status"], outcome["code"], outcome["ran"]) == ("PARTIAL", "DATA_PROCESSING_ERROR", "yes")
    assert (outcome["chunks"], outcome["result"]) == (4, stream.result.metadata["digest"])


def test_the_intent_is_durable_before_the_first_value_is_read(grid: LocalGrid, tmp_path: Path) -> None:
    with grid.session() as s, s.stream("streaming_waits", directory=str(tmp_path)) as stream:
        values = iter(stream)
        assert next(values) == 0

        intents = [entry for entry in grid.entries() if entry["kind"] == "intent"]
        (tmp_path / "go").touch()
        assert list(values) == [1]

    assert intents[-1]["call"] == stream.result.call_id


# ----------------------------------------------------------------------------------------------------------- who waits


async def test_of_a_hundred_streams_on_one_connection_one_that_is_not_read_holds_up_no_other(grid: LocalGrid) -> None:
    async with grid.session() as s:
        idle = s.stream("streaming_endless", size=TEXT)
        assert len(await idle.take()) == 1
        numbers: list[list[int]] = [[] for _ in range(99)]

        await asyncio.gather(*(read(s.stream("streaming_acount", upto=1000), into) for into in numbers))
        assert (await s.call("streaming_count", upto=3)).content == [0, 1, 2]
        told = await asyncio.to_thread(status, grid)
        await idle.aclose()

    assert all(values == list(range(1000)) for values in numbers)
    assert told["streams"] == 1
    assert told["stream_bytes"] <= SIZE + TEXT
    passed: Any = idle.result.metadata
    assert passed["bytes"] <= 2 * (SIZE + TEXT)


async def test_a_stream_that_waited_for_its_reader_goes_on(grid: LocalGrid) -> None:
    async with grid.session() as s:
        stream = s.stream("streaming_count", upto=5000)
        values = await stream.take()
        await asyncio.to_thread(status, grid)
        await read(stream, values)

    assert values == list(range(5000))


async def test_streams_of_large_values_take_turns(grid: LocalGrid) -> None:
    sizes = [300_000] * 12
    lengths: list[list[int]] = [[] for _ in range(8)]

    async def measure(stream: Stream, into: list[int]) -> None:
        async for value in stream:
            into.append(len(value))  # noqa: PERF401

    async with grid.session() as s:
        await asyncio.gather(*(measure(s.stream("streaming_texts", sizes=sizes), into) for into in lengths))

    assert lengths == [sizes] * 8


async def test_many_values_and_a_result_at_once_are_never_more_than_a_frame_may_be() -> None:
    with LocalGrid([streaming_tools.__file__], runtimes=1, settings={"host.max_message_bytes": 20_000}) as narrow:
        async with narrow.session() as s:
            lengths = [len(value) async for value in s.stream("streaming_burst", size=1900, count=256)]
            with pytest.raises(altar.TransportError, match="400002 bytes and the limit is 20000") as refused:
                [value async for value in s.stream("streaming_texts", sizes=[5, 400_000])]
        attached = [each for each in narrow.entries() if each.get("event") == "runtime.attached"]
        stop_and_audit(narrow)

    assert lengths == [1900] * 256
    assert (refused.value.code, len(attached)) == ("MESSAGE_TOO_LARGE", 1)


# ------------------------------------------------------------------------------------------------------ who was lost


@pytest.fixture
async def stream(grid: LocalGrid, tmp_path: Path) -> AsyncIterator[Stream]:
    """A stream of a tool that may be run twice, of which three values come and then none."""
    await asyncio.to_thread(grid.mend)
    async with grid.session() as s:
        yield s.stream("streaming_await", directory=str(tmp_path), first=3)


async def test_a_runtime_that_is_lost_ends_a_stream_after_its_values_and_nothing_is_run_again(
    grid: LocalGrid, stream: Stream, tmp_path: Path
) -> None:
    values = [(await stream.take())[0] for _ in range(3)]
    (process,) = (tmp_path / "runs").read_text().split()
    os.kill(int(process), signal.SIGKILL)

    with pytest.raises(altar.ExecutionError) as lost:
        await read(stream, values)

    assert values == [0, 1, 2]
    assert (lost.value.code, lost.value.ran) == ("RUNTIME_CRASH", "yes")
    assert (tmp_path / "runs").read_text().split() == [process]
    _, outcome = entries_of(grid, stream.result.call_id)
    assert (outcome["status"], outcome["code"], outcome["chunks"]) == ("PARTIAL", "RUNTIME_CRASH", 3)


async def test_a_runtime_that_is_lost_before_the_first_value_is_replaced_for_what_may_be_run_twice(
    grid: LocalGrid, tmp_path: Path
) -> None:
    await asyncio.to_thread(grid.mend)
    values: list[int] = []
    runs = tmp_path / "runs"
    async with grid.session() as s:
        stream = s.stream("streaming_await", directory=str(tmp_path), first=0)
        reading = asyncio.create_task(read(stream, values))
        await asyncio.to_thread(until, runs.exists, what="it began")
        os.kill(int(await asyncio.to_thread(until, runs.read_text, what="it said where")), signal.SIGKILL)
        await asyncio.to_thread(until, lambda: len(runs.read_text().split()) == 2, what="it began elsewhere")
        (tmp_path / "go").touch()
        await reading

    assert values == [0]
    _, outcome = entries_of(grid, stream.result.call_id)
    assert (outcome["status"], outcome["chunks"], outcome["attempts"]) == ("SUCCESS", 1, 2)


async def test_a_host_that_is_lost_ends_a_stream_after_its_values(grid: LocalGrid, tmp_path: Path) -> None:
    await asyncio.to_thread(grid.mend)
    values: list[int] = []
    async with grid.session() as s:
        stream = s.stream("streaming_await", directory=str(tmp_path), first=3)
        values += [(await stream.take())[0] for _ in range(3)]
        await asyncio.to_thread(grid.restart_host, signal.SIGKILL)

        with pytest.raises(altar.TransportError) as lost:
            await read(stream, values)

    assert values == [0, 1, 2]
    assert (lost.value.code, lost.value.ran) == ("CONNECTION_FAILED", "unknown")
    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 3
    await asyncio.to_thread(until, (tmp_path / "closed").exists, what="the generator was closed")
    await asyncio.to_thread(grid.mend)
    for runtime in grid.runtimes.values():
        await asyncio.to_thread(runtime.ready, 2)


async def test_a_client_that_is_gone_has_its_generator_closed(grid: LocalGrid, tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\n"
        "from altar.later.session import Options, Session\n"
        "async def main():\n"
        "    files = dict(zip(('certificate', 'key', 'authority'), sys.argv[2:5]))\n"
        "    async with Session(Options((), sys.argv[1], source_options=files)) as s:\n"
        "        async for value in s.stream('streaming_await', directory=sys.argv[5], first=3):\n"
        "            print(value, flush=True)\n"
        "asyncio.run(main())\n"
    )
    files = (str(grid.client.certificate), str(grid.client.key), str(grid.client.authority))
    client = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, grid.source, *files, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert client.stdout is not None
    for number in range(3):
        assert await client.stdout.readline() == f"{number}\n".encode()
    client.kill()
    await client.wait()

    await asyncio.to_thread(until, (tmp_path / "closed").exists, what="the generator was closed")
