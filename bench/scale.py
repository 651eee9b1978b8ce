"""Many peers, and many calls: does the host keep its pace and its memory?

``python -m bench.scale crowd`` attaches 1 000 runtimes from four processes, opens 10 000 sessions on ten connections,
and sends 2 000 calls a second in an open loop; latencies count from the moment a call was due.
``python -m bench.scale memory`` makes 1 000 000 calls, of 1 000 principals' sessions, with metrics, the record and, for
each fourth call, an idempotency key, and reads the memory of the host after 100 000 of them and at the end.
``python -m bench.scale streams`` reads 100 streams on one connection, stops reading one of them for 30 seconds, and
tells at which rate the others go on, and by how much the memory of the host grows.
Each prints one JSON object; how far it is stands on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil
from rich.progress import Progress

from altar.grid.stream_window import SIZE
from altar.later.stream import Stream
from altar.testing import LocalGrid

__all__ = ["main"]

ROOT = Path(__file__).resolve().parent.parent
ONCE_EVERY = 4
"""Of so many calls of the measurement of memory one has an idempotency key."""
KEPT = 20
"""Seconds for which results under such keys are kept there: less than the first tenth of the calls takes."""


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["crowd", "memory", "streams"])
    parser.add_argument("--runtimes", type=int, default=1000)
    parser.add_argument("--sessions", type=int, default=10_000)
    parser.add_argument("--principals", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=2000)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--still", type=float, default=30, help="seconds for which one stream is not read")
    orders = parser.parse_args()
    measured = {"crowd": crowd, "memory": memory, "streams": streams}[orders.what](orders)
    print(json.dumps(measured, indent=2))


def crowd(orders: argparse.Namespace) -> dict[str, Any]:
    """A thousand runtimes, ten thousand sessions, an open loop."""
    with _grid(runtimes=0) as grid:
        names = [f"crowd-{number}" for number in range(max(orders.runtimes, 10))]
        _issue(grid, [("runtime", name) for name in names[: orders.runtimes]] + [("client", n) for n in names[:10]])
        share = -(-orders.runtimes // 4)
        began = time.monotonic()
        crowds = [_start(grid, "runtimes", first=first, count=share) for first in range(0, orders.runtimes, share)]
        for each in crowds:
            _line(each)
        attached = time.monotonic() - began
        load = _start(grid, "clients", count=10, sessions=orders.sessions, rate=orders.rate, seconds=orders.seconds)
        _line(load)
        before = _cpu(grid)
        load.stdin.write(b"go\n")
        load.stdin.flush()
        figures: dict[str, Any] = json.loads(_line(load))
        calls = figures["calls/s"] * orders.seconds
        figures["host µs"] = (_cpu(grid) - before) / calls * 1e6
        figures["host MB"] = _rss(grid) / 1e6
        figures["attached in s"] = attached
        for each in crowds:
            each.stdin.close()
        figures["runtimes"] = [json.loads(_line(each)) for each in crowds]
        for each in (*crowds, load):
            each.wait(30)
    return figures


def memory(orders: argparse.Namespace) -> dict[str, Any]:
    """The memory of the host after a tenth of the calls, and after all."""
    settings = {"host.operations": "127.0.0.1:0", "host.idempotency_kept": KEPT}
    with _grid(runtimes=1, settings=settings) as grid, Progress(disable=not sys.stderr.isatty()) as progress:
        _issue(grid, [("client", f"crowd-{number}") for number in range(orders.principals)])
        task = progress.add_task("calls", total=orders.calls)
        rss: dict[int, float] = {}
        rounds = 10
        for number in range(1, rounds + 1):
            seconds = orders.calls / rounds / orders.rate
            many = {"count": orders.principals, "sessions": orders.principals, "once_every": ONCE_EVERY}
            load = _start(grid, "clients", **many, rate=orders.rate, seconds=seconds)
            _line(load)
            load.stdin.write(b"go\n")
            load.stdin.flush()
            figures = json.loads(_line(load))
            load.wait(30)
            if figures["failed"]:
                raise RuntimeError(f"calls failed: {figures['failed']}")
            rss[number * orders.calls // rounds] = _rss(grid) / 1e6
            print(f"{number * orders.calls // rounds} calls: {_rss(grid) / 1e6:.1f} MB", file=sys.stderr, flush=True)
            progress.update(task, completed=number * orders.calls // rounds)
    first, last = rss[orders.calls // rounds], rss[orders.calls]
    return {"host MB after": rss, "grown by %": (last / first - 1) * 100}


def streams(orders: argparse.Namespace) -> dict[str, Any]:
    """Many streams on one connection, of which one is not read for a while."""
    with _grid(runtimes=1) as grid:
        return asyncio.run(_one_stands_still(grid, orders))


async def _one_stands_still(grid: LocalGrid, orders: argparse.Namespace) -> dict[str, Any]:
    async with grid.session() as session:
        reads = asyncio.Event()
        reads.set()
        counts = [0] * orders.streams

        async def read(number: int, stream: Stream) -> None:
            async for _ in stream:
                counts[number] += 1
                if number == 0:
                    await reads.wait()

        made = [session.stream("ticks", count=1_000_000_000) for _ in counts]
        tasks = [asyncio.create_task(read(number, stream)) for number, stream in enumerate(made)]

        async def rate(seconds: float) -> tuple[float, float]:
            """Values a second of all streams but the first, and CPU µs of the host for each."""
            before, began, used = sum(counts[1:]), time.monotonic(), _cpu(grid)
            await asyncio.sleep(seconds)
            count = max(1, sum(counts[1:]) - before)
            return count / (time.monotonic() - began), (_cpu(grid) - used) / count * 1e6

        await rate(2)
        before = await rate(orders.still / 3)
        resident = _rss(grid)
        reads.clear()
        stood = counts[0]
        meanwhile = await rate(orders.still)
        grown = _rss(grid) - resident
        passed = counts[0] - stood
        reads.set()
        after = await rate(orders.still / 3)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    return {
        "chunks/s of the others, and host µs each, before": before,
        "while one is not read": meanwhile,
        "afterwards": after,
        "kept of the rate before and after, %": meanwhile[0] / ((before[0] + after[0]) / 2) * 100,
        "values the idle one took meanwhile": passed,
        "values it took afterwards": counts[0] - stood,
        "host grown by bytes": grown,
        "one window, bytes": SIZE,
    }


def _grid(*, runtimes: int, settings: Mapping[str, object] | None = None) -> LocalGrid:
    return LocalGrid(
        ["bench.tools"],
        runtimes=runtimes,
        settings={"runtime.concurrency": 256, **(settings or {})},
        environ={"PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, sys.path)])},
    )


def _issue(grid: LocalGrid, parties: list[tuple[Any, str]]) -> None:
    with Progress(disable=not sys.stderr.isatty()) as progress:
        for role, name in progress.track(parties, description="certificates"):
            grid.certificate(role, name)


def _start(grid: LocalGrid, what: str, **orders: object) -> Any:
    options = [word for name, value in orders.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    at = ["--target", f"127.0.0.1:{grid.port}", "--certificates", str(grid.directory / "certificates")]
    return subprocess.Popen(
        [sys.executable, "-m", "bench.crowd", what, *at, *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )


def _line(process: Any) -> bytes:
    line: bytes = process.stdout.readline()
    if not line:
        raise RuntimeError(f"a crowd ended with {process.wait(30)}")
    return line


def _host(grid: LocalGrid) -> Any:
    if grid.host is None:
        raise RuntimeError("the host is not running")
    return psutil.Process(grid.host.pid)


def _cpu(grid: LocalGrid) -> float:
    times = _host(grid).cpu_times()
    return float(times.user + times.system)


def _rss(grid: LocalGrid) -> float:
    return float(_host(grid).memory_info().rss)


if __name__ == "__main__":
    main()
