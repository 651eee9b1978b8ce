"""Others over a wire, on this machine: FastMCP's streamable HTTP with its own client, and an actor of Ray.

``python -m bench.peers.wire fastmcp|ray --in-flight N --seconds S`` runs in `.venv-peers` and prints one JSON object:
calls per second, latencies in milliseconds, and CPU µs per call of the client and of who serves.
The work is the probe of `bench.tools`; who serves is a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version
from typing import Any

import psutil

from bench.tools import ANSWER, ARGUMENTS, WRONG, Given, plain_probe

__all__ = ["main"]

Call = Callable[[Given], Awaitable[object]]


@contextlib.asynccontextmanager
async def fastmcp() -> AsyncIterator[tuple[Call, list[int]]]:
    """A server without sessions that answers in JSON, which is the fastest that FastMCP offers."""
    from fastmcp import Client

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.peers.wire", "serve", "--port", str(port)
    )
    try:
        await _listens(port)
        async with Client(f"http://127.0.0.1:{port}/mcp") as client:

            async def call(arguments: Given) -> object:
                return (await client.call_tool("plain_probe", arguments)).structured_content

            yield call, [server.pid]
    finally:
        server.terminate()
        await server.wait()


@contextlib.asynccontextmanager
async def ray() -> AsyncIterator[tuple[Call, list[int]]]:
    """One asynchronous actor; Ray checks no types, so the probe does it by pydantic, as a user would."""
    import ray as library
    from pydantic import validate_call

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with tempfile.TemporaryDirectory(prefix="ray-") as at:
        library.init(
            num_cpus=2,
            include_dashboard=False,
            log_to_driver=False,
            _temp_dir=at,
            _node_ip_address="127.0.0.1",
            object_store_memory=100 << 20,
        )

        @library.remote(num_cpus=0, max_concurrency=256)
        class Actor:
            def __init__(self) -> None:
                self._probe = validate_call(config={"strict": True})(plain_probe)

            async def probe(self, arguments: Given) -> object:
                return await self._probe(**arguments)

            async def pid(self) -> int:
                return os.getpid()

        try:
            actor: Any = Actor.remote()  # type: ignore[attr-defined]  # the decorator makes another class of it

            async def call(arguments: Given) -> object:
                return await actor.probe.remote(arguments)

            yield call, [await actor.pid.remote()]
        finally:
            library.shutdown()


async def measure(
    peer: Callable[[], contextlib.AbstractAsyncContextManager[tuple[Call, list[int]]]], orders: argparse.Namespace
) -> None:
    """Prove that it answers rightly, warm up, and count."""
    async with peer() as (call, servers):
        if await call(ARGUMENTS) != ANSWER:
            raise RuntimeError(f"{orders.what} gives another answer")
        with contextlib.suppress(Exception):
            await call(WRONG)
            raise SystemExit(f"{orders.what} takes wrong arguments")
        latencies: list[float] = []
        begin = time.perf_counter() + orders.seconds / 4
        end = begin + orders.seconds
        count = 0

        async def worker() -> None:
            nonlocal count
            while (began := time.perf_counter()) < end:
                await call(ARGUMENTS)
                count += 1
                if began >= begin:
                    latencies.append(time.perf_counter() - began)

        cpu, served = time.process_time(), _cpu(servers)
        async with asyncio.TaskGroup() as group:
            for _ in range(orders.in_flight):
                group.create_task(worker())
        cpu, served = time.process_time() - cpu, _cpu(servers) - served
    latencies.sort()
    print(
        json.dumps(
            {
                "version": version(orders.what),
                "calls/s": len(latencies) / orders.seconds,
                "p50 ms": latencies[len(latencies) // 2] * 1000,
                "p99 ms": latencies[int(len(latencies) * 0.99)] * 1000,
                "client µs": cpu / count * 1e6,
                "server µs": served / count * 1e6,
            }
        )
    )


def serve(port: int) -> None:
    """Be FastMCP's server."""
    from fastmcp import FastMCP

    server: FastMCP = FastMCP("bench")
    server.tool(plain_probe)
    server.run(
        "http",
        host="127.0.0.1",
        port=port,
        stateless_http=True,
        json_response=True,
        show_banner=False,
        uvicorn_config={"log_level": "error", "access_log": False},
    )


async def _listens(port: int) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            writer.close()
            return
    raise RuntimeError("the server does not listen")


def _cpu(pids: list[int]) -> float:
    times = [psutil.Process(pid).cpu_times() for pid in pids]
    return float(sum(each.user + each.system for each in times))


def main() -> None:
    """Measure one of them, or be the server of one."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["fastmcp", "ray", "serve"])
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--port", type=int, default=0)
    orders = parser.parse_args()
    if orders.what == "serve":
        serve(orders.port)
    else:
        asyncio.run(measure({"fastmcp": fastmcp, "ray": ray}[orders.what], orders))


if __name__ == "__main__":
    main()
