"""Tools that are called by tools, and say by whom."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import altar
from altar.testing import until


@altar.tool(read_only=True)
def leaf(context: altar.ToolContext) -> dict[str, Any]:
    """Say who asks, and where this runs."""
    left = context.deadline
    return {
        "process": os.getpid(),
        "id": context.call_id,
        "parent": context.parent_id,
        "principal": context.principal,
        "correlation": context.correlation_id,
        "session": context.session_id,
        "left": None if left is None else left.total_seconds(),
    }


@altar.tool(timeout=5)
async def short_leaf(context: altar.ToolContext) -> float:
    """Say how much time there is."""
    left = context.deadline
    return -1.0 if left is None else left.total_seconds()


@altar.tool(read_only=True)
async def leaf_double(n: int) -> int:
    """Twice the number."""
    await asyncio.sleep(0)
    return 2 * n


@altar.tool
async def lingers(evidence: str) -> str:
    """Wait for ever, and write down how it was ended."""
    Path(evidence).write_text("began")
    try:
        await asyncio.Event().wait()
    finally:
        Path(evidence).write_text("ended")
    return "never"


@altar.tool
async def hold() -> str:
    """Wait for ever."""
    await asyncio.Event().wait()
    return "never"


@altar.tool
async def numbers(upto: int) -> AsyncIterator[int]:
    """Count, one number after the other."""
    for number in range(upto):
        yield number


@altar.tool
def endless(evidence: str) -> Iterator[int]:
    """Count for ever, and write down that it was closed."""
    try:
        number = 0
        while True:
            yield number
            number += 1
    finally:
        Path(evidence).write_text("closed")


@altar.tool
async def tells(context: altar.ToolContext) -> None:
    """Say how far it is."""
    context.progress(1, 2, "half")
    context.log("done", count=2)


@altar.tool
def pays(evidence: str) -> int:
    """Add a line to the evidence, and say how many there are."""
    with Path(evidence).open("a") as file:
        file.write("paid\n")
    return len(Path(evidence).read_text().splitlines())


@altar.tool(timeout=0.5)
def outlives(go: str) -> None:
    """Run on until it may end, whatever its caller was told."""
    until(Path(go).exists, what="the word to end")
