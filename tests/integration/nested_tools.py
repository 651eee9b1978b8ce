"""Tools that call tools: those of this module, and those of `nested_leaves`, which another runtime fulfils."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import altar
from altar.testing import until


@altar.tool
def plain_caller(tool: str, context: altar.ToolContext) -> dict[str, Any]:
    """Call another tool from a thread."""
    inner = context.sync.call(tool).unwrap()
    return {"process": os.getpid(), "id": context.call_id, "correlation": context.correlation_id, "inner": inner}


@altar.tool
async def waiting(tool: str, context: altar.ToolContext) -> dict[str, Any]:
    """Call another tool from a coroutine."""
    inner = (await context.call(tool)).unwrap()
    return {"process": os.getpid(), "id": context.call_id, "correlation": context.correlation_id, "inner": inner}


@altar.tool
async def asks(tool: str, arguments: dict[str, Any], context: altar.ToolContext) -> dict[str, Any]:
    """Call another tool with these arguments, and say how that ended."""
    result = await context.call(tool, arguments)
    if result.error is None:
        return {"content": result.content}
    return {"code": result.error.type, "message": result.error.message, "ran": result.error.ran}


@altar.tool
def down(depth: int, context: altar.ToolContext) -> int:
    """Call the other, to this depth."""
    return 0 if depth == 0 else 1 + int(context.sync.call("adown", depth=depth - 1).unwrap())


@altar.tool
async def adown(depth: int, context: altar.ToolContext) -> int:
    """Call the other, to this depth."""
    return 0 if depth == 0 else 1 + int((await context.call("down", depth=depth - 1)).unwrap())


@altar.tool
async def circle(context: altar.ToolContext) -> Any:
    """Call the tool that calls this one."""
    return (await context.call("circle_back")).unwrap()


@altar.tool
async def circle_back(context: altar.ToolContext) -> Any:
    """Call the tool that called this one."""
    return (await context.call("circle")).unwrap()


@altar.tool(calls=["leaf"])
async def may_call_leaf(tool: str, context: altar.ToolContext) -> Any:
    """Call a tool, which must be the leaf."""
    return (await context.call(tool)).unwrap()


@altar.tool(calls=[])
async def may_call_nothing(context: altar.ToolContext) -> Any:
    """Call a tool, which none may be."""
    return (await context.call("leaf")).unwrap()


@altar.tool
async def fan_out(width: int, context: altar.ToolContext) -> list[Any]:
    """Call the sum of each number with itself, many at once."""
    results = await context.session.batch([("leaf_double", {"n": n}) for n in range(width)])
    return [result.unwrap() for result in results]


@altar.tool
def fan_out_plain(width: int, context: altar.ToolContext) -> list[Any]:
    """The same from a thread."""
    return [result.unwrap() for result in context.sync.batch([("leaf_double", {"n": n}) for n in range(width)])]


@altar.tool
async def forgets(evidence: str, context: altar.ToolContext) -> str:
    """Begin a call and end without waiting for it."""
    task = asyncio.create_task(context.call("lingers", evidence=evidence))
    await asyncio.to_thread(until, Path(evidence).exists, what="the beginning of the other tool")
    _KEPT.add(task)
    task.add_done_callback(_KEPT.discard)
    return "ended"


_KEPT: set[asyncio.Task[Any]] = set()


@altar.tool
async def counts(context: altar.ToolContext) -> int:
    """Count in a variable of the session, through the session of the context."""
    variable = await context.session.variables.get("n")
    await context.session.variables.set("n", variable.value + 1)
    return int((await context.variables.get("n")).value)


@altar.tool(read_only=True)
async def reads(context: altar.ToolContext) -> Any:
    """Call another tool, as one that changes nothing."""
    return (await context.call("leaf")).unwrap()


@altar.tool
def calls_later(tool: str, arguments: dict[str, Any], go: str, context: altar.ToolContext) -> Any:
    """Say that it runs, wait until it may go on, and call another tool."""
    Path(go + ".began").touch()
    until(Path(go).exists, what="the word to go on")
    return context.sync.call(tool, arguments).unwrap()


@altar.tool
async def lets_linger(evidence: str, context: altar.ToolContext) -> Any:
    """Wait for a tool that never ends."""
    return (await context.call("lingers", evidence=evidence)).unwrap()


@altar.tool
async def sums(upto: int, context: altar.ToolContext) -> int:
    """Add up what another tool counts, as it comes."""
    return sum([number async for number in context.session.stream("numbers", upto=upto)])


@altar.tool
def sums_plainly(upto: int, context: altar.ToolContext) -> int:
    """The same from a thread."""
    return sum(context.sync.stream("numbers", upto=upto))


@altar.tool
async def reads_some(evidence: str, context: altar.ToolContext) -> list[int]:
    """Read three values of a stream that has no end."""
    values = []
    async with context.session.stream("endless", evidence=evidence) as stream:
        async for value in stream:
            values.append(value)
            if len(values) == 3:
                break
    return values


@altar.tool
async def listens(context: altar.ToolContext) -> list[str]:
    """Hear what another tool tells."""
    heard: list[str] = []
    session = context.session.options(
        on_progress=lambda told: heard.append(f"{told.tool} {told.done:.1f} of {told.total:.1f}: {told.message}"),
        on_log=lambda told: heard.append(f"{told.tool} {told.message} {dict(told.facts)}"),
    )
    (await session.call("tells")).unwrap()
    return heard


@altar.tool
async def pays_once(key: str, evidence: str, context: altar.ToolContext) -> list[Any]:
    """Make the same call twice under one key."""
    session = context.session.options(idempotency_key=key)
    return [(await session.call("pays", evidence=evidence)).unwrap() for _ in range(2)]
