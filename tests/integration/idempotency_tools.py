"""Tools that leave a trace of each run, for calls under idempotency keys."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import altar


@altar.tool
def pay(place: str, amount: int) -> dict[str, int]:
    """Pay, and note it in a file.

    Args:
        place: the folder of the test
        amount: how much
    """
    runs = noted(place)
    return {"amount": amount, "runs": runs}


@altar.tool
async def pay_when_told(place: str) -> int:
    """Note the run, then wait until the test lets it go on.

    Args:
        place: the folder of the test
    """
    runs = noted(place)
    while not Path(place, "go").exists():  # noqa: ASYNC110 - another process makes the file
        await asyncio.sleep(0.01)
    return runs


@altar.tool
def pay_and_fail(place: str) -> int:
    """Note the run, and fail.

    Args:
        place: the folder of the test
    """
    noted(place)
    raise ValueError("no money")


@altar.tool
def pay_at_length(place: str, size: int) -> str:
    """Note the run, and return a long text.

    Args:
        place: the folder of the test
        size: how long
    """
    noted(place)
    return "x" * size


@altar.tool
def pay_by_and_by(place: str) -> Iterator[int]:
    """Note the run, and give values one by one.

    Args:
        place: the folder of the test
    """
    yield noted(place)


@altar.tool
async def pay_around(place: str, key: str, context: altar.ToolContext) -> dict[str, Any]:
    """Pay through another tool, under a key.

    Args:
        place: the folder of the test
        key: the idempotency key
        context: what tools are called through
    """
    result = await context.session.options(idempotency_key=key).call("pay", place=place, amount=5)
    return {"content": result.content, "metadata": result.metadata}


@altar.tool(read_only=True)
def look(n: int) -> int:
    """Look at a number.

    Args:
        n: the number
    """
    return n


@altar.tool(read_only=True)
def look_and_fail(n: int) -> int:
    """Look at a number, and fail.

    Args:
        n: the number
    """
    raise ValueError("nothing to see")


@altar.tool(read_only=True)
async def look_long(place: str) -> int:
    """Look until cancelled.

    Args:
        place: the folder of the test
    """
    noted(place)
    await asyncio.sleep(600)
    return 0


def noted(place: str) -> int:
    """Write a line, and give how many there are."""
    file = Path(place, "runs")
    with file.open("a") as lines:
        lines.write(f"{time.time_ns()}\n")
    return len(file.read_text().splitlines())
