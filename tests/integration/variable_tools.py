"""Tools that use the variables of the session they are called in."""

from __future__ import annotations

import altar
from altar.later.context import ToolContext


@altar.tool
async def variable_count_awaited(context: ToolContext, name: str) -> int:
    """Add one to a variable, and say what it is then."""
    now = await context.variables.get(name)
    return int((await context.variables.set(name, now.value + 1, expected_version=now.version)).value)


@altar.tool
def variable_count(context: ToolContext, name: str) -> int:
    """Add one to a variable, and say what it is then."""
    now = context.sync_variables.get(name)
    return int(context.sync_variables.set(name, now.value + 1, expected_version=now.version).value)


@altar.tool
async def variable_reaches(context: ToolContext, name: str, at_least: int) -> int:
    """Wait until a variable is so large, and say how large it is."""
    async with context.variables.watch(name) as watch:
        async for variable in watch:
            if variable.value is not None and variable.value >= at_least:
                return int(variable.value)
    return -1


@altar.tool
def variable_misuse(context: ToolContext) -> int:
    """Ask for a variable there is not."""
    return int(context.sync_variables.get("nothing_of_that_name").value)
