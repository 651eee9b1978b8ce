"""A runtime before a host that is played by hand: how it leaves, what it grants, and when it ends."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

import altar
from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.grid import wire
from altar.grid.runtime.runtime import Runtime, _pause_after
from altar.grid.trust.authority import Authority
from altar.grid.trust.tls import server_credentials
from altar.later.registry import Registry
from altar.testing import PATIENCE

CONCURRENCY = 3


class Stream:
    """One stream of a runtime, from the host's end: its frames, added up, and what the host says."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self.heard = runtime_pb2.AttachRequest()
        self.over = asyncio.Event()

    async def until(self, condition: Callable[[runtime_pb2.AttachRequest], object]) -> runtime_pb2.AttachRequest:
        """Read until what was heard since the stream began fulfils the condition."""
        async with asyncio.timeout(PATIENCE):
            while not condition(self.heard):
                frame = await self._context.read()
                assert isinstance(frame, runtime_pb2.AttachRequest), "the runtime hung up"
                granted = self.heard.credits
                self.heard.MergeFrom(frame)
                self.heard.credits = granted + frame.credits
        return self.heard

    async def attach(self, *calls: call_pb2.ToolCall) -> int:
        """Take the runtime in, with all it fulfils, and send these calls in that frame; gives what it grants."""
        heard = await self.until(lambda heard: heard.HasField("announce"))
        announced = runtime_pb2.AnnounceRuntimeResponse(heartbeat_ms=1000, max_message_bytes=wire.MAX_MESSAGE_BYTES)
        fulfilled = runtime_pb2.FulfillToolsResponse(
            status=runtime_pb2.FULFILLMENT_STATUS_SUCCESS, fulfilled=heard.fulfill.contracts
        )
        await self._context.write(runtime_pb2.AttachResponse(announced=announced, fulfilled=fulfilled, calls=calls))
        frame = await self._context.read()
        return int(frame.credits)

    async def call(self, name: str, *tags: int, remaining_ms: int = 60_000) -> None:
        """Send calls without arguments."""
        calls = [
            call_pb2.ToolCall(
                tag=tag,
                version="1.0.0",
                remaining_ms=remaining_ms,
                call=adm_pb2.FunctionCall(call_id=f"c{tag}", name=name, args=b"{}"),
            )
            for tag in tags
        ]
        await self._context.write(runtime_pb2.AttachResponse(calls=calls))


class Tools:
    """One plain function, ``wait``, which tells when it began and waits to be let go."""

    def __init__(self) -> None:
        self.began = threading.Semaphore(0)
        self.go = threading.Event()
        self.registry = Registry()
        self.registry.register(altar.tool(self._wait(), register=False))

    def _wait(self) -> Callable[[], int]:
        def wait() -> int:
            """Wait."""
            self.began.release()
            self.go.wait(PATIENCE)
            return 1

        return wait


@pytest.fixture
def tools() -> Any:
    made = Tools()
    yield made
    made.go.set()


@pytest.fixture
async def dialled(tmp_path: Path, tools: Tools) -> AsyncIterator[Any]:
    """Dial with a runtime: gives it, the task that runs it, and the queue of its streams at the host."""
    streams: asyncio.Queue[Stream] = asyncio.Queue()

    async def attach(_requests: object, context: Any) -> None:
        stream = Stream(context)
        streams.put_nowait(stream)
        await stream.over.wait()

    authority = Authority.create(tmp_path / "authority")
    server = grpc.aio.server()
    handler = grpc.stream_stream_rpc_method_handler(
        attach,
        request_deserializer=runtime_pb2.AttachRequest.FromString,
        response_serializer=runtime_pb2.AttachResponse.SerializeToString,
    )
    service = "altar.grid.v1.RuntimeService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Attach": handler}),))
    port = server.add_secure_port("127.0.0.1:0", server_credentials(authority.issue("host", "host", tmp_path)))
    await server.start()

    @asynccontextmanager
    async def dial(*, drain: float = PATIENCE) -> AsyncIterator[tuple[Runtime, asyncio.Task[None], Any]]:
        runtime = Runtime(
            tools.registry,
            runtime_id="r",
            target=f"127.0.0.1:{port}",
            files=authority.issue("runtime", "r", tmp_path),
            concurrency=CONCURRENCY,
            drain=timedelta(seconds=drain),
        )
        running = asyncio.create_task(runtime.run())
        yield runtime, running, streams
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    yield dial
    await server.stop(0)


async def test_a_runtime_that_leaves_still_runs_what_was_on_its_way_and_ends_when_the_host_hangs_up(
    dialled: Any, tools: Tools
) -> None:
    tools.go.set()
    async with dialled() as (runtime, running, streams):
        stream = await streams.get()
        await stream.attach()

        runtime.leave()
        await stream.until(lambda heard: heard.HasField("drain"))
        await stream.call("wait", 1, 2)
        heard = await stream.until(lambda heard: len(heard.results) == 2)

        assert {1: b"1", 2: b"1"} == {result.tag: result.result.content for result in heard.results}
        assert not running.done()
        stream.over.set()
        await asyncio.wait_for(running, PATIENCE)


async def test_a_runtime_grants_no_more_on_a_new_connection_than_its_functions_leave_free(
    dialled: Any, tools: Tools
) -> None:
    async with dialled() as (_, _, streams):
        first = await streams.get()
        assert CONCURRENCY == await first.attach()
        await first.call("wait", 1, 2)
        for _ in range(2):
            assert await asyncio.to_thread(tools.began.acquire, timeout=PATIENCE)
        first.over.set()

        second = await streams.get()

        assert CONCURRENCY - 2 == await second.attach()
        tools.go.set()
        await second.until(lambda heard: heard.credits == 2)


async def test_a_runtime_that_leaves_waits_for_a_function_whose_call_was_answered(dialled: Any, tools: Tools) -> None:
    async with dialled() as (runtime, running, streams):
        stream = await streams.get()
        await stream.attach()
        await stream.call("wait", 1, remaining_ms=20)
        (late,) = (await stream.until(lambda heard: heard.results)).results
        assert "TIMEOUT" == late.result.error.type

        runtime.leave()
        await stream.until(lambda heard: heard.HasField("drain"))
        stream.over.set()
        done, _ = await asyncio.wait((running,), timeout=0.05)

        assert not done
        tools.go.set()
        await asyncio.wait_for(running, PATIENCE)


async def test_a_runtime_that_leaves_does_not_wait_longer_than_it_said(dialled: Any, tools: Tools) -> None:
    async with dialled(drain=0.05) as (runtime, running, streams):
        stream = await streams.get()
        await stream.attach()
        await stream.call("wait", 1)
        assert await asyncio.to_thread(tools.began.acquire, timeout=PATIENCE)

        runtime.leave()

        await asyncio.wait_for(running, PATIENCE)
        assert not tools.go.is_set()


async def test_a_nested_call_that_comes_with_the_answer_to_the_announcement_is_run(dialled: Any, tools: Tools) -> None:
    async with dialled() as (_, _, streams):
        stream = await streams.get()
        function = adm_pb2.FunctionCall(call_id="c1", name="wait", args=b"{}")
        await stream.attach(call_pb2.ToolCall(tag=1, version="1.0.0", remaining_ms=60_000, call=function, depth=1))
        assert await asyncio.to_thread(tools.began.acquire, timeout=PATIENCE)
        tools.go.set()
        (result,) = (await stream.until(lambda heard: heard.results)).results

        assert result.result.content == b"1"
        stream.over.set()


def test_a_connection_that_ends_as_soon_as_it_is_attached_is_dialled_ever_more_slowly() -> None:
    pauses = [0.0]
    for _ in range(8):
        pauses.append(_pause_after(pauses[-1], attached=0.5))

    assert pauses[1:] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0]
    assert _pause_after(5.0, attached=60.0) == 0.1
