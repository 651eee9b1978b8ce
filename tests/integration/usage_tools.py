"""Tools that say what they took."""

from __future__ import annotations

from collections.abc import Iterator

import altar


@altar.tool(name="usage_costs")
def costs(cents: int, context: altar.ToolContext) -> int:
    """Say what it took, and fail on seventy-five."""
    context.used(cost_usd=cents / 100)
    context.used(cost_usd=0.5, lm_calls=1)
    if cents == 75:
        raise ValueError("seventy-five")
    return cents


@altar.tool(name="usage_costs_apart", isolate="process")
def costs_apart(cents: int, context: altar.ToolContext) -> int:
    """Say what it took in a process of its own."""
    context.used(compute_ms=cents)
    return cents


@altar.tool(name="usage_costs_on_the_way")
def costs_on_the_way(count: int, context: altar.ToolContext) -> Iterator[int]:
    """Say after each value what it took."""
    for number in range(count):
        context.used(lm_calls=1)
        yield number
