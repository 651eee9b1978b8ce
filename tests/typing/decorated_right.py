"""What a type checker must accept: a decorated function keeps its own signature and answer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import altar


@altar.tool(register=False)
def add(left: int, right: int = 0) -> int:
    """Add two numbers."""
    return left + right


@altar.tool(name="fetch_page", read_only=True, register=False)
async def fetch(url: str, *, limit: int = 10) -> list[str]:
    """Fetch a page."""
    return [url][:limit]


@altar.tool(register=False)
def count(to: int) -> Iterator[int]:
    """Count."""
    yield from range(to)


@altar.tool(register=False)
async def count_slowly(to: int, context: altar.ToolContext | None = None) -> AsyncIterator[int]:
    """Count."""
    for number in range(to):
        yield number


assert_type(add(1, right=2), int)
assert_type(count(3), Iterator[int])
assert_type(count_slowly(3), AsyncIterator[int])
assert_type(count.streams, bool)
assert_type(count_slowly.context, str | None)
assert_type(add.declaration, altar.FunctionDeclaration)


async def later() -> None:
    """Await the asynchronous one."""
    assert_type(await fetch("a", limit=1), list[str])


def sessions() -> None:
    """Open a session both ways and read results."""
    with altar.session(["add"], source="later:", timeout=3) as front:
        result = front.call("add", left=1, right=2)
        assert_type(result, altar.ToolResult)
        assert_type(result.status, altar.ResultStatus)
        assert_type(front.call("add", {"left": 1}), altar.ToolResult)
    with altar.session(tools=[add]) as front, altar.session((fetch, count)), altar.session(tool for tool in (add,)):
        front.stream(count, {"to": 3})
        front.stream("count", to=3)


async def asynchronous_session() -> None:
    """The same session in an event loop."""
    async with altar.session([add, "fetch_page@^1"]) as session:
        assert_type(session, altar.Session)
        assert_type(await session.call("add", left=1), altar.ToolResult)
        assert_type(await session.call(add, {"left": 1}), altar.ToolResult)


def errors(error: altar.AltarError) -> str:
    """An error has a code, and words for each reader."""
    assert_type(error.code, str)
    assert_type(error.hint, str | None)
    return error.code
