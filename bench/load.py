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

import altar
import altar.settings
from bench.tools import ARGUMENTS

__all__ = ["main"]


async def _run(tool: str, in_flight: int, warm: float, seconds: float) -> None:
    async with altar.session(tools=[tool]) as session:
        (await session.call(tool, **ARGUMENTS)).unwrap()
        _say("ready")
        await asyncio.get_running_loop().run_in_executor(None, os.read, 0, len("go\n"))
        latencies: list[float] = []
        begin = time.perf_counter() + warm
        end = begin + seconds

        async def worker() -> None:
            while (began := time.perf_counter()) < end:
                result = await session.call(tool, **ARGUMENTS)
                if result.error is not None:
                    raise RuntimeError(result.error.message)
                if began >= begin:
                    latencies.append(time.perf_counter() - began)

        loop = asyncio.get_running_loop()
        tasks = [loop.create_task(worker()) for _ in range(in_flight)]
        await asyncio.sleep(warm)
        cpu = time.process_time()
        await asyncio.gather(*tasks)
        used = time.process_time() - cpu
    latencies.sort()
    _say(
        json.dumps(
            {
                "calls": len(latencies),
                "seconds": seconds,
                "p50": latencies[len(latencies) // 2] * 1000 if latencies else 0,
                "p99": latencies[int(len(latencies) * 0.99)] * 1000 if latencies else 0,
                "cpu": used,
                "max_rss_kb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
            }
        )
    )


def _say(line: str) -> None:
    """One write for one line, so that the lines of several processes do not mix."""
    os.write(1, f"{line}\n".encode())


def main() -> None:
    """Read the orders and obey."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tool", default="probe")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--in-flight", type=int, default=1)
    parser.add_argument("--warm", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=5.0)
    orders = parser.parse_args()
    for _ in range(orders.processes - 1):  # before gRPC is imported, which does not survive a fork
        if os.fork() == 0:
            break
    asyncio.run(_run(orders.tool, orders.in_flight, orders.warm, orders.seconds))


if __name__ == "__main__":
    main()
