"""What a runtime that does not read can make a host hold: a bounded number of bytes, and the rest waits or goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.grid import frames
from altar.testing import LocalGrid, until
from tests.integration import pressure_tools, raw
from tests.integration.auditing import stop_and_audit
from tests.integration.test_streaming_grid import status

pytestmark = pytest.mark.timeout(180)

SIZE = 1024 * 1024
"""Bytes of the arguments of a call here."""
CALLS = 48
"""Calls that are made; all of them together are three times what may wait for one runtime."""
ON_ITS_WAY = 4 * 1024 * 1024
"""Bytes that gRPC and the kernel may have taken from the host, or thereabouts."""


@pytest.fixture
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([pressure_tools.__file__], runtimes=0) as running:
        yield running
        stop_and_audit(running)


async def test_a_runtime_that_does_not_read_is_sent_no_more_calls_than_may_wait_for_it(grid: LocalGrid) -> None:
    with raw.runtime(grid, "slow") as slow:
        contracts = await asyncio.to_thread(_attach, slow)
        slow.send(runtime_pb2.AttachRequest(credits=CALLS))
        async with grid.session() as session:
            calls = [asyncio.create_task(session.call(contracts[0].name, text="x" * SIZE)) for _ in range(CALLS)]
            await asyncio.to_thread(until, lambda: _sent_and_waiting(grid)[1] > 0, what="a call that waits")
            await asyncio.to_thread(until, lambda: sum(_sent_and_waiting(grid)) == CALLS, what="all calls")
            sent, waiting = _sent_and_waiting(grid)

            serving = asyncio.create_task(asyncio.to_thread(_serve, slow, CALLS))
            results = await asyncio.gather(*calls)
            await serving

    assert sent * SIZE <= frames.MAX_WAITING_BYTES + frames.FRAME_BYTES + 2 * SIZE + ON_ITS_WAY
    assert waiting == CALLS - sent
    assert [SIZE] * CALLS == [result.unwrap() for result in results]


def _attach(slow: raw.Stream) -> list[call_pb2.ContractRef]:
    """Attach as a runtime that fulfils everything the host offers."""
    announce = runtime_pb2.AnnounceRuntime(runtime_id="slow", language="raw", protocol_versions=["1.0"])
    slow.send(runtime_pb2.AttachRequest(announce=announce))
    told = slow.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("announced")).announced
    contracts = list(told.available_contracts)
    slow.send(runtime_pb2.AttachRequest(fulfill=runtime_pb2.FulfillTools(contracts=contracts)))
    slow.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("fulfilled"))
    return contracts


def _serve(slow: raw.Stream, count: int) -> None:
    """Answer so many calls with the length of their text."""
    while count:
        frame = slow.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls)
        answers = runtime_pb2.AttachRequest()
        for call in frame.calls:
            result = answers.results.add(tag=call.tag, invocation_id=call.invocation_id)
            result.result.call_id, result.result.name = call.call.call_id, call.call.name
            result.result.status = adm_pb2.RESULT_STATUS_SUCCESS
            result.result.content = str(len(call.call.args) - len('{"text":""}')).encode()
        count -= len(frame.calls)
        slow.send(answers)


def _sent_and_waiting(grid: LocalGrid) -> tuple[int, int]:
    told = status(grid)
    return sum(runtime["in_flight"] for runtime in told["runtimes"]), told["queue"]["calls"]
