"""Tools that stream, know their call and call each other, for a grid and for this process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import altar


@altar.tool(read_only=True)
def streaming_count(upto: int, stop_at: int = -1) -> Iterator[int]:
    """Count, and fail where told."""
    for number in range(upto):
        if number == stop_at:
            raise altar.ExecutionError("DATA_PROCESSING_ERROR", f"No more than {number}")
        yield number


@altar.tool(read_only=True)
async def streaming_acount(upto: int, stop_at: int = -1) -> AsyncIterator[int]:
    """Count, and fail where told."""
    for number in range(upto):
        if number == stop_at:
            raise altar.ExecutionError("DATA_PROCESSING_ERROR", f"No more than {number}")
        yield number
        await asyncio.sleep(0)


@altar.tool(read_only=True)
def streaming_odd(values: list[Any]) -> Iterator[int]:
    """Yield what was given, whatever was promised."""
    yield from values


@altar.tool(read_only=True)
def streaming_endless(size: int) -> Iterator[str]:
    """Yield texts for ever."""
    while True:
        yield "x" * size


@altar.tool(read_only=True)
def streaming_known(context: altar.ToolContext) -> dict[str, Any]:
    """Say what is known of the call."""
    context.progress(1, 2)
    context.log("asked", about="the call")
    left = context.deadline
    return {
        "call": context.call_id,
        "left": None if left is None else left.total_seconds() > 0,
        "cancelled": context.cancelled,
        "parent": context.parent_id,
    }


@altar.tool(read_only=True)
async def streaming_asks(context: altar.ToolContext) -> str:
    """Call another tool."""
    try:
        return str((await context.call("streaming_known")).status)
    except altar.ConfigurationError as refused:
        return refused.code


@altar.tool
def streaming_until_cancelled(directory: str, context: altar.ToolContext) -> None:
    """Leave a mark, go on until nobody waits, and leave another."""
    Path(directory, "began").touch()
    while not context.cancelled:
        threading.Event().wait(0.005)
    Path(directory, "stopped").touch()
