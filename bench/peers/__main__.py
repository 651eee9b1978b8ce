"""Calls and declarations beside others, in one process; runs in `.venv-peers`, where all of them are installed.

``python -m bench.peers calls|declare --rounds N`` prints one JSON list: for each way the name, the distribution, its
version, and the figure of each round.
A round measures everybody in turn for a short while, so that a noisy moment is noisy for all.
Before the first round each way to call must give the right answer, and refuse a wrong argument.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import importlib
import json
import time
from collections.abc import Awaitable, Callable
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

import altar
from bench.functions import functions
from bench.tools import ANSWER, ARGUMENTS, WRONG, Given, plain_probe

__all__ = ["main"]

PEERS = ("ours", "langchain", "fast_mcp", "pydantic_ai")
SLICE = 0.03
"""Seconds of processor time for one way to call in one round."""

MANY = 1000

Figures = dict[tuple[str, str], list[float]]
"""Of each round, by the name of the way and its distribution."""


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["calls", "declare"])
    parser.add_argument("--rounds", type=int, default=15)
    orders = parser.parse_args()
    peers = [importlib.import_module(f"bench.peers.{name}") for name in PEERS]
    figures = asyncio.run(_calls(peers, orders.rounds)) if orders.what == "calls" else _declare(peers, orders.rounds)
    print(json.dumps([[name, library, _version(library), rounds] for (name, library), rounds in figures.items()]))


async def _calls(peers: list[ModuleType], rounds: int) -> Figures:
    """CPU µs that each way adds to the plain call."""
    async with contextlib.AsyncExitStack() as stack:
        ways: dict[tuple[str, str], Callable[[Given], Awaitable[object]]] = {}
        for peer in peers:
            found = await stack.enter_async_context(peer.calls())
            ways |= {(name, peer.NAME): call for name, call in found.items()}
        for (name, _), call in ways.items():
            await _prove(name, call)
        counts = {way: await _count(call) for way, call in ways.items()}
        figures: Figures = {way: [] for way in ways}
        for _ in range(rounds):
            plain = await _each(lambda given: plain_probe(**given), 10_000)
            for way, call in ways.items():
                figures[way].append(await _each(call, counts[way]) - plain)
        return figures


async def _prove(name: str, call: Callable[[Given], Awaitable[object]]) -> None:
    """Raise unless the call answers rightly, and refuses what the types forbid."""
    if await call(ARGUMENTS) != ANSWER:
        raise RuntimeError(f"{name} gives another answer")
    with contextlib.suppress(Exception):
        await call(WRONG)
        raise SystemExit(f"{name} takes wrong arguments")


async def _count(call: Callable[[Given], Awaitable[object]]) -> int:
    """How many calls fill a slice."""
    return max(3, int(SLICE / ((await _each(call, 10)) * 1e-6)))


async def _each(call: Callable[[Given], Awaitable[object]], count: int) -> float:
    """CPU µs of one call."""
    began = time.process_time()
    for _ in range(count):
        await call(ARGUMENTS)
    return (time.process_time() - began) / count * 1e6


def _declare(peers: list[ModuleType], rounds: int) -> Figures:
    """CPU seconds for declaring a thousand functions."""
    figures: Figures = {(peer.TITLE, peer.NAME): [] for peer in peers}
    for peer in peers:
        peer.declare(functions(20))
    for _ in range(rounds):
        for peer in peers:
            made = functions(MANY)
            gc.collect()
            began = time.process_time()
            peer.declare(made)
            figures[peer.TITLE, peer.NAME].append(time.process_time() - began)
    return figures


def _version(name: str) -> str:
    """The version of a distribution; ALTAR runs from its source here."""
    try:
        return version(name)
    except PackageNotFoundError:
        return altar.__version__


if __name__ == "__main__":
    main()
