"""Peers that begin and never end: handshakes, prefaces, headers, first frames, requests to the operations endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from altar.testing import LocalGrid, until
from altar.verify import verify
from tests.fault import slow
from tests.fault.raw import CLIENT, RUNTIME, raw_peer
from tests.fault.scene import TOOLS, told, unanswered
from tests.fault.test_hostile import farewell

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(180)]

PEERS = 100
"""Slow peers of each kind."""
HANDSHAKE = 10 + 5
"""Seconds after which a connection that has not become one is ended: its time, and patience."""
HEADERS = 1_000
"""Headers that each of them sends, 140 bytes each."""
SILENCE = 30 + 10
"""Seconds after which one that answers no ping is ended: two keepalives, and patience."""


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    """One grid for all; in the end its log verifies."""
    place = tmp_path_factory.mktemp("slow")
    settings = {"host.operations": "127.0.0.1:0"}
    with LocalGrid(
        [TOOLS], runtimes=1, directory=place, settings=settings, environ={"FAULT_RAN": str(place / "ran")}
    ) as running:
        yield running
        assert running.host is not None
        assert running.host.alive
        until(lambda: unanswered(running) == [], what="an outcome for each intent")
        running.stop()
        assert () == verify(running.export(), vkey=running.vkey).findings


@asynccontextmanager
async def served_meanwhile(grid: LocalGrid) -> AsyncIterator[None]:
    """A new honest client for each call, all the while: each gets in and is served."""
    over = asyncio.Event()

    async def work() -> list[object]:
        failed: list[object] = []
        while True:
            async with grid.session(timeout=10) as session:
                result = await session.call("once", key=f"honest-{id(over)}-{len(failed)}", attempt=1)
            failed.append(told(result))
            if over.is_set():
                return failed

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        over.set()
        results = await asyncio.wait_for(working, 30)
    assert {(None, None)} == set(results)


async def test_handshakes_that_never_end_are_ended_and_others_get_in(grid: LocalGrid) -> None:
    context = slow.tls_context(grid.client)
    async with served_meanwhile(grid):
        peers = [await slow.tcp_only(grid.port) for _ in range(PEERS)]
        peers += [await slow.half_a_hello(grid.port) for _ in range(PEERS)]
        peers += [await slow.preface_only(grid.port, context) for _ in range(PEERS)]

        ended = await asyncio.gather(*(slow.closed_by_peer(peer, within=HANDSHAKE) for peer in peers))

    assert [True] * 3 * PEERS == ended


async def test_connections_that_ask_nothing_and_requests_that_stop_in_their_headers_are_ended(grid: LocalGrid) -> None:
    context = slow.tls_context(grid.client)
    async with served_meanwhile(grid):
        quiet = [await slow.greeted(grid.port, context) for _ in range(PEERS)]
        begun = [await slow.headers_begun(grid.port, context) for _ in range(PEERS)]
        ended = await asyncio.gather(*(slow.closed_by_peer(peer, within=SILENCE) for peer in (*quiet, *begun)))

    assert [True] * 2 * PEERS == ended


async def test_headers_that_never_end_keep_nobody_out(grid: LocalGrid) -> None:
    """gRPC takes a peer that goes on sending for alive, and its request for one that is still to come."""
    context = slow.tls_context(grid.client)
    async with served_meanwhile(grid):
        peers = [await slow.headers_begun(grid.port, context) for _ in range(PEERS)]
        for begin in range(0, HEADERS, 100):
            for _, writer in peers:
                writer.writelines(map(slow.dribble, range(begin, begin + 100)))
                await writer.drain()

    for _, writer in peers:
        writer.transport.abort()


async def test_streams_whose_first_frame_never_comes_are_ended_with_the_reason(grid: LocalGrid) -> None:
    async with (
        served_meanwhile(grid),
        raw_peer(grid.port, grid.certificate("client", "mallory")) as client,
        raw_peer(grid.port, grid.certificate("runtime", "mallory")) as runtime,
    ):
        streams = [client.stream(CLIENT) for _ in range(PEERS)]
        attaching = [runtime.stream(RUNTIME) for _ in range(PEERS)]
        codes = await asyncio.gather(
            *(farewell(stream) for stream in streams), *(farewell(stream, runtime=True) for stream in attaching)
        )

    assert ["PROTOCOL_VIOLATION"] * 2 * PEERS == codes


async def test_requests_that_dribble_in_keep_no_probe_out(grid: LocalGrid) -> None:
    assert grid.host is not None
    address = str(grid.host.announced[0]["operations"])
    port = int(address.rpartition(":")[2])
    async with served_meanwhile(grid):
        peers = [await asyncio.open_connection("127.0.0.1", port) for _ in range(PEERS)]
        dribbling = [asyncio.create_task(_dribbles_a_request(peer)) for peer in peers]

        answers = [await _probe(port) for _ in range(20)]
        cut = await asyncio.gather(*dribbling)

    assert [b"HTTP/1.1 200 OK"] * 20 == answers
    assert [True] * PEERS == cut


async def _dribbles_a_request(peer: slow.Streams) -> bool:
    closing = asyncio.create_task(slow.closed_by_peer(peer, within=15))
    peer[1].write(b"GET /healthz HTTP/1.1\r\n")
    for number in range(10_000):
        await asyncio.wait({closing}, timeout=0.3)
        if closing.done():
            break
        peer[1].write(f"X-{number}: 1\r\n".encode())
    return await closing


async def _probe(port: int) -> bytes:
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            answer = await reader.read()
            writer.close()
    except (OSError, TimeoutError) as refused:
        return repr(refused).encode()
    return answer.partition(b"\r\n")[0]
