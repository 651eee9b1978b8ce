"""What a pipeline adds to the calls that it makes, and what it takes to build and check one.

Ten steps are compared with ten bare calls of the same session, in turns, since a machine is noisy; the tools are
coroutines that do nothing, so that only the way there is measured.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altar
from altar.ai.pipelines import Checkpoints, Pipeline, pipeline, tool

__all__ = ["measure"]

STEPS, TURNS, SHORT, LONG = 10, 60, 20, 100


@altar.tool
async def bench_step(value: int) -> dict[str, int]:
    """Give the value on."""
    return {"value": value}


@altar.tool(read_only=True)
async def bench_look(value: int) -> dict[str, int]:
    """Give the value on, and change nothing."""
    return {"value": value}


def measure(rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """Yield name, unit, kind and the figures of each round."""
    taken = [asyncio.run(_ten()) for _ in range(rounds)]
    yield "ten bare calls", "µs CPU", "latency", [bare for bare, _ in taken]
    yield "a pipeline of ten steps, added", "µs CPU", "latency", [through - bare for bare, through in taken]
    for what, which in (("that must not happen twice", "bench_step"), ("that may happen twice", "bench_look")):
        kept = [asyncio.run(_kept(which)) for _ in range(rounds)]
        yield f"ten steps {what}, with checkpoints, added", "ms", "latency", [ms - bare for bare, ms in kept]
    yield "building and checking a pipeline of 100 steps", "ms", "latency", [_built() for _ in range(rounds)]


def _steps(count: int, which: str = "bench_step") -> Pipeline:
    return pipeline("bench_steps", [tool(which) for _ in range(count)], inputs={"value": int})


async def _ten() -> tuple[float, float]:
    """Microseconds of ten calls, and of a pipeline that makes them: the best of many short turns of each."""
    made = _steps(STEPS)
    direct, through = [], []
    async with altar.session(["bench_step"], source="later:") as session:
        for _ in range(TURNS):
            began = time.process_time()
            for _ in range(SHORT):
                given: dict[str, Any] = {"value": 1}
                for _ in range(STEPS):
                    given = (await session.call("bench_step", **given)).unwrap()
            direct.append(time.process_time() - began)
            began = time.process_time()
            for _ in range(SHORT):
                (await made.run(session, value=1)).unwrap()
            through.append(time.process_time() - began)
    return min(direct) / SHORT * 1e6, min(through) / SHORT * 1e6


async def _kept(which: str) -> tuple[float, float]:
    """Milliseconds of ten calls, and of a pipeline with a checkpoint at each, which waits for the disk.

    What must not happen twice is waited for at each step, what may only at the end.
    """
    made = _steps(STEPS, which)
    direct, through = [], []
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder) / "runs.db")
        async with altar.session([which], source="later:") as session:
            for _ in range(SHORT):
                began = time.perf_counter()
                for _ in range(STEPS):
                    (await session.call(which, value=1)).unwrap()
                direct.append(time.perf_counter() - began)
                began = time.perf_counter()
                (await made.run(session, value=1, checkpoint=checkpoints)).unwrap()
                through.append(time.perf_counter() - began)
    return _median(direct) * 1e3, _median(through) * 1e3


def _built() -> float:
    began = time.perf_counter()
    _steps(LONG)
    return (time.perf_counter() - began) * 1e3


def _median(figures: list[float]) -> float:
    return sorted(figures)[len(figures) // 2]
