"""Tools of the tests of the tier FOUNDATION."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import altar
from altar.later.context import ToolContext


@altar.tool(read_only=True)
def weather(city: str) -> str:
    """Say what the weather is."""
    return f"sunny in {city}"


@altar.tool()
def transfer(amount: int) -> int:
    """Move some money."""
    return amount


@altar.tool()
async def numbers(count: int) -> AsyncIterator[int]:
    """Give numbers, slowly, until the count is reached."""
    for number in range(count):
        yield number
        await asyncio.sleep(0.01)


@altar.tool()
async def outer(amount: int, context: ToolContext) -> int:
    """Move some money by calling another tool."""
    moved: int = (await context.session.call("transfer", amount=amount)).unwrap()
    return moved
