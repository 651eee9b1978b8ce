"""Tools that may run where they are called, each in its own way, and leave a trace of the process that ran them."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import altar
from altar.later.bound_variables import require_recorded


@altar.tool(local_dispatch=True)
def pid_here(n: int = 0) -> int:
    """Say in which process it runs."""
    return os.getpid()


@altar.tool(local_dispatch=True)
async def pid_async(n: int = 0) -> int:
    """Say in which process it runs."""
    await asyncio.sleep(0)
    return os.getpid()


@altar.tool
def pid_there(n: int = 0) -> int:
    """Say in which process it runs, which is never the caller's."""
    return os.getpid()


@altar.tool(local_dispatch=True, fallback=True)
def add_line(path: str, line: str) -> int:
    """Append a line to a file, and say in which process."""
    with Path(path).open("a") as file:
        print(line, file=file)
    return os.getpid()


@altar.tool(local_dispatch=True)
async def wait_for_file(path: str, began: str) -> str:
    """Say that it has begun, and wait until a file is there."""
    Path(began).touch()
    while not Path(path).exists():  # noqa: ASYNC110 - what is waited for happens in another process
        await asyncio.sleep(0.01)
    return "done"


@altar.tool(local_dispatch=True)
def fail_with(code: str) -> int:
    """Fail as it is told to."""
    raise altar.ExecutionError(code, "as you wish")


@altar.tool(local_dispatch=True)
def letters(size: int) -> str:
    """Give so many letters."""
    return "x" * size


@altar.tool(
    local_dispatch=True,
    fallback=True,
    metadata={"variables": {"warmth": {"binds": "it", "schema": {"type": "number"}}}},
)
async def follow_warmth(context: altar.ToolContext, *, change: bool = False) -> str:
    """Read a variable that the contract binds, after changing it if told to; give what its call was recorded with."""
    if change:
        await context.variables.set("warmth", 1.0)
    held = await context.variables.snapshot()
    require_recorded(context.invocation, {name: held[name].value for name in ("warmth",) if name in held})
    return context.invocation.variables
