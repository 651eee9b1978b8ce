"""Tools that stream, know their call and call each other, for a grid and for this process."""

from __future__ import annotations

import asyncio
import os
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


@altar.tool(read_only=True)
def streaming_texts(sizes: list[int]) -> Iterator[str]:
    """Yield texts of these sizes."""
    for size in sizes:
        yield "x" * size


@altar.tool(read_only=True)
async def streaming_burst(size: int, count: int) -> AsyncIterator[str]:
    """Yield many texts of a size at once, and end."""
    for _ in range(count):
        yield "x" * size


@altar.tool
def streaming_marks(directory: str, upto: int) -> Iterator[int]:
    """Count, and leave marks: one when it begins, one when it is closed."""
    Path(directory, "began").touch()
    try:
        yield from range(upto)
    finally:
        Path(directory, "closed").touch()


@altar.tool
async def streaming_amarks(directory: str, upto: int) -> AsyncIterator[int]:
    """The same, as a coroutine."""
    Path(directory, "began").touch()
    try:
        for number in range(upto):
            yield number
    finally:
        Path(directory, "closed").touch()


@altar.tool
def streaming_waits(directory: str, first: int = 1) -> Iterator[int]:
    """Count up to a number, wait until somebody leaves a mark, and count one more."""
    Path(directory, "process").write_text(str(os.getpid()))
    try:
        yield from range(first)
        while not Path(directory, "go").exists():
            threading.Event().wait(0.005)
        yield first
    finally:
        Path(directory, "closed").touch()


@altar.tool(idempotent=True)
async def streaming_await(directory: str, first: int = 1) -> AsyncIterator[int]:
    """The same, as a coroutine, and it may be run twice; each run is noted with its process."""
    with Path(directory, "runs").open("a") as runs:  # noqa: ASYNC230 - a line
        runs.write(f"{os.getpid()}\n")
    try:
        for number in range(first):
            yield number
        while not Path(directory, "go").exists():  # noqa: ASYNC110 - another process leaves it
            await asyncio.sleep(0.005)
        yield first
    finally:
        Path(directory, "closed").touch()


@altar.tool(timeout=1)
def streaming_late() -> Iterator[int]:
    """Yield one, and then nothing for longer than it may take."""
    yield 1
    threading.Event().wait(30)
    yield 2


@altar.tool(timeout=1)
async def streaming_alate() -> AsyncIterator[int]:
    """The same, as a coroutine."""
    yield 1
    await asyncio.sleep(30)
    yield 2


@altar.tool(read_only=True)
def streaming_tells(times: int, context: altar.ToolContext) -> Iterator[int]:
    """Yield numbers, and tell of each."""
    for number in range(times):
        context.log("at", number=number, directory=Path("here"), odd=object)
        context.progress(number + 1, times, "counting")
        yield number


@altar.tool(read_only=True)
def streaming_chatters(times: int, context: altar.ToolContext) -> int:
    """Tell far more than anybody wants to hear."""
    for number in range(times):
        context.progress(number, times)
    return times


@altar.tool(read_only=True, isolate="process")
def streaming_isolated(upto: int) -> Iterator[int]:
    """Count in a process of its own."""
    yield from range(upto)
