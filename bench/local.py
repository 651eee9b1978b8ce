"""What LATER adds to a function: CPU of a call through a session minus CPU of the plain call."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import altar
from bench.tools import ARGUMENTS, plain_probe, plain_probe_sync

__all__ = ["measure"]

CALLS = 5000


def measure(rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """Yield name, unit, kind and the figures of each round."""
    tool_async: list[float] = []
    tool_sync: list[float] = []
    for _ in range(rounds):
        tool_async.append(asyncio.run(_async_round()))
        tool_sync.append(_sync_round())
    yield "local call of an async function, added", "µs CPU", "latency", tool_async
    yield "local call of a plain function, sync front, added", "µs CPU", "latency", tool_sync


async def _async_round() -> float:
    async with altar.session(tools=["probe"], source="later:") as session:
        (await session.call("probe", **ARGUMENTS)).unwrap()
        began = time.process_time()
        for _ in range(CALLS):
            await session.call("probe", **ARGUMENTS)
        through = time.process_time() - began
    began = time.process_time()
    for _ in range(CALLS):
        await plain_probe(**ARGUMENTS)
    return (through - (time.process_time() - began)) / CALLS * 1e6


def _sync_round() -> float:
    with altar.session(tools=["probe_sync"], source="later:") as session:
        session.call("probe_sync", **ARGUMENTS).unwrap()
        began = time.process_time()
        for _ in range(CALLS):
            session.call("probe_sync", **ARGUMENTS)
        through = time.process_time() - began
    began = time.process_time()
    for _ in range(CALLS):
        plain_probe_sync(**ARGUMENTS)
    return (through - (time.process_time() - began)) / CALLS * 1e6
