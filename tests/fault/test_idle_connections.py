"""Ten thousand connections that ask nothing: a new honest client still gets in, and the host stays small.

They come from this process, which raises its own limit of open files, and the host's with it, before the grid starts.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from altar.testing import LocalGrid, until
from altar.verify import verify
from tests.fault import slow
from tests.fault.scene import TOOLS, told, unanswered

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(240)]

WANTED = 10_000
OTHERS = 500
"""Files that this process and the host need besides."""
NORMAL_PATIENCE = 10.0
"""Seconds that a client waits for its first answer."""
MIB = 2**20
EACH = 256 * 1024
"""Bytes that a host may spend on an idle connection."""


@pytest.fixture(scope="module")
def possible() -> Iterator[int]:
    """How many connections this machine allows, with the limit of open files raised as far as it goes."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    limits = [(WANTED + 2 * OTHERS,) * 2, (before[1], before[1])]
    for limit in limits:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit[0], before[0]), max(limit[1], before[1])))
            break
    count = min(WANTED, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - OTHERS)
    if count < WANTED:
        print(f"the limit of open files allows only {count} connections")
    yield count
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0], resource.getrlimit(resource.RLIMIT_NOFILE)[1]))


@pytest.fixture(scope="module")
def grid(possible: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    """One grid for all; in the end its log verifies."""
    assert possible
    place = tmp_path_factory.mktemp("idle")
    with LocalGrid([TOOLS], runtimes=1, directory=place, environ={"FAULT_RAN": str(place / "ran")}) as running:
        yield running
        assert running.host is not None
        assert running.host.alive
        until(lambda: unanswered(running) == [], what="an outcome for each intent")
        running.stop()
        assert () == verify(running.export(), vkey=running.vkey).findings


async def test_ten_thousand_connections_without_a_handshake_keep_nobody_out(grid: LocalGrid, possible: int) -> None:
    await held(grid, possible, lambda: socket.create_connection(("127.0.0.1", grid.port), timeout=30))


async def test_ten_thousand_connections_with_certificates_keep_nobody_out(grid: LocalGrid, possible: int) -> None:
    context = slow.tls_context(grid.client)

    def connected() -> ssl.SSLSocket:
        connection = context.wrap_socket(socket.create_connection(("127.0.0.1", grid.port), timeout=30))
        connection.sendall(slow.PREFACE + slow.SETTINGS)
        return connection

    await held(grid, possible, connected)


async def held(grid: LocalGrid, count: int, connect: Callable[[], socket.socket]) -> None:
    """Hold so many connections while clients come anew; those who were there before are served all the while."""
    assert grid.host is not None
    process = psutil.Process(grid.host.pid)
    before = process.memory_info().rss
    connections: list[socket.socket] = []
    began = time.monotonic()
    try:
        async with grid.session(timeout=NORMAL_PATIENCE) as there_before:
            with ThreadPoolExecutor(4) as threads:
                loop = asyncio.get_running_loop()
                for _ in range(0, count, 100):
                    made = [loop.run_in_executor(threads, connect) for _ in range(100)]
                    connections += await asyncio.gather(*made)
                    result = await there_before.call("once", key=f"{id(connections)}-{len(connections)}", attempt=1)
                    assert (None, None) == told(result)
            took = time.monotonic() - began
            open_there = process.num_fds()
            waits = [await _newcomer(grid, f"{id(connections)}-new-{number}") for number in range(5)]
            later = await there_before.call("once", key=f"{id(connections)}-later", attempt=1)
            grown = process.memory_info().rss - before
    finally:
        for connection in connections:
            slow.reset_on_close(connection)
            connection.close()
    until(lambda: process.num_fds() < OTHERS, what="the end of the connections at the host")

    print(f"{len(connections)} in {took:.0f} s, {open_there} files open, grown by {grown / MIB:.0f} MiB")
    print(f"a new client was answered after {[f'{wait:.2f}' for wait in waits]} s")
    assert count == len(connections)
    assert (None, None) == told(later)
    assert grown < count * EACH


async def _newcomer(grid: LocalGrid, key: str) -> float:
    """Connect, call, and leave; how many seconds that took."""
    began = time.monotonic()
    async with asyncio.timeout(NORMAL_PATIENCE), grid.session(timeout=NORMAL_PATIENCE) as session:
        assert (None, None) == told(await session.call("once", key=key, attempt=1))
    return time.monotonic() - began
