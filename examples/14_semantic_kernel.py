# pip install 'altar-ai[semantic-kernel]'
"""The functions of a Semantic Kernel as tools with a contract, and tools of ALTAR as a plugin of a kernel.

Semantic Kernel wants an environment of its own, without mcp 2: `make semantic-kernel` makes one.
"""

from __future__ import annotations

import asyncio
from datetime import date
from typing import Literal

from semantic_kernel import Kernel
from semantic_kernel.functions import KernelArguments, kernel_function

import altar
from altar.adapters.semantic_kernel import from_semantic_kernel, to_semantic_kernel


class Hotel:
    """A plugin as anybody writes it."""

    @kernel_function(name="price", description="What a room costs for a night.")
    def price(self, night: date, room: Literal["single", "double"] = "single") -> int:
        return (80 if room == "single" else 120) + 20 * (night.weekday() >= 5)


@altar.tool(read_only=True)
def total(prices: list[int]) -> int:
    """Add prices up.

    Args:
        prices: What each night costs.
    """
    return sum(prices)


kernel = Kernel()
kernel.add_plugin(Hotel(), "hotel")
tools = from_semantic_kernel(kernel, register=True)


async def main() -> None:
    async with altar.session(source="later:") as session:
        print(session.tools)
        kernel.add_plugin(to_semantic_kernel(session, names=["total"]))

        friday = await session.call("hotel-price", night="2026-11-27")
        saturday = await session.call("hotel-price", night="2026-11-28", room="double")
        print(friday.content, saturday.content)

        refused = await session.call("hotel-price", night="2026-11-27", room="suite")
        print(refused.text.splitlines()[0])

        arguments = KernelArguments(prices=[friday.content, saturday.content])
        print((await kernel.invoke(plugin_name="altar", function_name="total", arguments=arguments)).value)


asyncio.run(main())

# Prints:
# ['hotel-price', 'total']
# 80 140
# Argument `room` is 'suite' but must be one of 'single', 'double' (INVALID_TOOL_ARGS)
# 220
