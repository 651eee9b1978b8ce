"""The clients of the load: processes with a closed loop of calls each, so many in flight, for so long.

Each says ``ready`` when it is connected, waits for ``go`` on stdin, and prints one JSON object: calls, seconds,
latencies in milliseconds, CPU seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import time
from collections.abc import Awaitable, Callable

import altar
import altar.settings
from bench.tools import ARGUMENTS, GIVEN

__all__ = ["main"]


async def _run(orders: argparse.Namespace) -> None:
    async with altar.session(tools=[orders.tool]) as session:
        load = _Load(session, orders)
        await (load.stream_once() if orders.streams else load.call_once())
        _say("ready")
        await asyncio.get_running_loop().run_in_executor(None, os.read, 0, len("go\n"))
        load.begin = time.perf_counter() + orders.warm
        load.end = load.begin + orders.seconds
        cpu = time.process_time()
        one = load.stream_once if orders.streams else load.call_once
        async with asyncio.TaskGroup() as group:
            for _ in range(orders.in_flight):
                group.create_task(load.repeat(one))
        used = time.process_time() - cpu
    latencies = sorted(load.latencies)
    _say(
        json.dumps(
            {
                "calls": load.measured,
                "all": load.all,
                "seconds": orders.seconds,
                "p50": latencies[len(latencies) // 2] * 1000 if latencies else 0,
                "p99": latencies[int(len(latencies) * 0.99)] * 1000 if latencies else 0,
                "cpu": used,
                "max_rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
        )
    )


class _Load:
    """What one client does and counts: calls, or the chunks of streams; of streams the latency is to the first one."""

    def __init__(self, session: altar.Session, orders: argparse.Namespace) -> None:
        self._session = session
        self._tool: str = orders.tool
        self._arguments = GIVEN.get(orders.tool, ARGUMENTS)
        self._take: Callable[[altar.ToolResult], object] = (
            altar.ToolResult.bytes_at if orders.tool == "mirror" else altar.ToolResult.unwrap
        )
        self.begin = self.end = 0.0
        self.measured = self.all = 0
        self.latencies: list[float] = []

    async def repeat(self, once: Callable[[], Awaitable[None]]) -> None:
        while time.perf_counter() < self.end:
            await once()

    async def call_once(self) -> None:
        began = time.perf_counter()
        result = await self._session.call(self._tool, **self._arguments)
        self._take(result)
        self._count(began, 1)

    async def stream_once(self) -> None:
        began = time.perf_counter()
        first = True
        async with self._session.stream(self._tool, **self._arguments) as stream:
            async for _ in stream:
                self._count(began, 1, is_first=first)
                first = False
                if self.all % 64 == 0 and time.perf_counter() >= self.end:
                    return

    def _count(self, began: float, count: int, *, is_first: bool = True) -> None:
        self.all += count
        now = time.perf_counter()
        if self.begin <= now < self.end:
            self.measured += count
            if is_first:
                self.latencies.append(now - began)


def _say(line: str) -> None:
    """One write for one line, so that the lines of several processes do not mix."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    """Read the orders and obey."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", default="probe")
    parser.add_argument("--streams", action="store_true", help="read streams and count chunks")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    orders = parser.parse_args()
    for _ in range(orders.processes - 1):  # before gRPC is imported, which does not survive a fork
        if os.fork() == 0:
            break
    asyncio.run(_run(orders))


if __name__ == "__main__":
    main()
