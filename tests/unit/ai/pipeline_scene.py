"""Tools for runs of pipelines, what they did, and how a test runs one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

import altar
from altar.adm.errors import error_of
from altar.ai.pipelines import (
    Pipeline,
    PipelineResult,
    Retry,
    pipeline,
    tool,
)
from altar.later.session import Session

DONE: list[str] = []
FAILS: dict[str, list[altar.AltarError]] = {}
AT_ONCE = {"now": 0, "most": 0}
UNDONE = asyncio.Event()
SOON = Retry(attempts=3, base=0.0, jitter=0.0)


def _fail(name: str) -> None:
    DONE.append(name)
    if FAILS.get(name):
        raise FAILS[name].pop(0)


@altar.tool(read_only=True)
async def pl_find(query: str, limit: int = 2) -> list[str]:
    """Find some."""
    _fail("find")
    return [f"{query}{number}" for number in range(limit)]


@altar.tool(read_only=True)
async def pl_up(text: str) -> str:
    """Write in capitals."""
    AT_ONCE["now"] += 1
    AT_ONCE["most"] = max(AT_ONCE["most"], AT_ONCE["now"])
    await asyncio.sleep(0)
    AT_ONCE["now"] -= 1
    _fail("up")
    return text.upper()


@altar.tool
def pl_pay(amount: int) -> dict[str, str]:
    """Pay, which must not happen twice."""
    _fail("pay")
    return {"receipt": f"r{amount}"}


@altar.tool
async def pl_refund(receipt: str) -> str:
    """Pay back."""
    _fail(f"refund {receipt}")
    UNDONE.set()
    return "refunded"


@altar.tool
async def pl_book(amount: int) -> dict[str, str]:
    """Book, which may fail."""
    _fail("book")
    return {"seat": "1A"}


@altar.tool
async def pl_wait(amount: int) -> str:
    """Wait until it is cancelled."""
    DONE.append("wait")
    try:
        await asyncio.Event().wait()
    finally:
        DONE.append("left")
    return "never"


@altar.tool
def pl_nested(query: str, context: altar.ToolContext) -> dict[str, Any]:
    """Run a pipeline inside of a plain tool."""
    return pipeline("pl_inner", [tool("pl_find")]).run(context.sync, query=query).unwrap()


@altar.tool
async def pl_loose(amount: int) -> dict[str, Any]:
    """Give an object of which nothing is said."""
    return {"amount": amount + 1, "note": "new"}


@pytest.fixture(autouse=True)
def clean() -> Iterator[None]:
    DONE.clear()
    UNDONE.clear()
    FAILS.clear()
    AT_ONCE.update(now=0, most=0)
    yield
    FAILS.clear()


def run(made: Pipeline, /, session: Session | None = None, **inputs: Any) -> PipelineResult:
    async def awaited() -> PipelineResult:
        async with session or altar.session(source="later:") as opened:
            return await made.run(opened, inputs)

    return asyncio.run(awaited())


def in_session(work: Callable[[Session], Awaitable[None]]) -> None:
    async def awaited() -> None:
        async with altar.session(source="later:") as session:
            await work(session)

    asyncio.run(awaited())


def failing(code: str, **parts: Any) -> altar.AltarError:
    return error_of(code, "It did not work", **parts)


def paths(result: PipelineResult) -> list[tuple[str, str]]:
    return [(step.path, step.status) for step in result.steps]
