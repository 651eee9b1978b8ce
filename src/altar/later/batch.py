"""Many calls at once: at most so many at a time, and a result for each, in the order of the calls.

A call that fails is a result like the others; on a grid, calls that begin together travel in one frame.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Protocol

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.errors import ConfigurationError, ValidationError
from altar.later.asking import Named
from altar.later.contracts import no_tool
from altar.later.tool import ToolFunction

__all__ = ["CONCURRENCY", "Call", "OnResult", "batch"]

CONCURRENCY = 16
"""How many calls of a batch run at a time unless somebody says otherwise."""

Call = FunctionCall | tuple[str | ToolFunction[..., Any], Mapping[str, Any]]
"""One call of a batch: an ADM call, or a tool and its arguments."""

OnResult = Callable[[int, ToolResult], object]
"""Told the place of a call in the batch and its result, as soon as there is one."""


class Calls(Protocol):
    """What makes one call: the ``call`` of a session."""

    def __call__(self, name: Named, /, **arguments: Any) -> Awaitable[ToolResult]:
        """Call a tool."""
        ...


async def batch(
    call: Calls, calls: Iterable[Call], *, concurrency: int = CONCURRENCY, on_result: OnResult | None = None
) -> list[ToolResult]:
    """Make all calls, at most ``concurrency`` at a time, and return their results in the order of the calls.

    When the batch is cancelled, or ``on_result`` raises, the calls that run are cancelled and the others never begin.
    Raises INVALID_CONFIG for a concurrency below 1, MALFORMED_REQUEST for what is no call, before anything runs.
    """
    if concurrency < 1:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The concurrency is {concurrency!r}, and a batch makes at least 1 call at a time",
            ran="no",
            hint=f"leave it out for {CONCURRENCY}",
        )
    wanted = [_parts(each, place) for place, each in enumerate(calls)]
    results: dict[int, ToolResult] = {}
    waiting = iter(enumerate(wanted))

    async def work() -> None:
        for place, (name, arguments) in waiting:
            results[place] = await call(name, **arguments)
            if on_result is not None:
                on_result(place, results[place])

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(min(concurrency, len(wanted))):
                workers.create_task(work())
    except BaseExceptionGroup as failed:
        raise failed.exceptions[0] from None  # whoever called knows nothing of the workers
    return [results[place] for place in range(len(wanted))]


def _parts(call: object, place: int) -> tuple[Named, Mapping[str, Any]]:
    if isinstance(call, FunctionCall):
        return call, {}
    if isinstance(call, tuple) and len(call) == 2:
        tool, arguments = call
        is_named = isinstance(arguments, Mapping) and all(isinstance(name, str) for name in arguments)
        if isinstance(tool, (str, ToolFunction)) and is_named:
            return tool, arguments
        if not isinstance(tool, (str, ToolFunction, FunctionCall)):
            what, hint = no_tool(tool)
            raise ValidationError("MALFORMED_REQUEST", f"Item {place} of the batch: {what}", ran="no", hint=hint)
    raise ValidationError(
        "MALFORMED_REQUEST",
        f"Item {place} of the batch, of type {type(call).__name__!r}, is not a tool and its arguments",
        ran="no",
        hint="give pairs such as ('get_weather', {'city': 'Oslo'}), or altar.FunctionCall",
    )
