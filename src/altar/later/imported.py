"""A tool whose contract came from elsewhere: from another framework, a server, a signature of DSPy.

A declaration and a function come in, a :class:`ToolFunction` goes out: the same contract, digest, checks and records as
of a function that was declared here. The function takes JSON values by the names of the contract, in one mapping, so
that any name of a foreign schema is possible.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from typing import Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import DeclarationError
from altar.later.context import ToolContext
from altar.later.introspection.introspect import declare
from altar.later.tool import ToolFunction

__all__ = ["Imported", "imported"]

_CONTEXT = "\0context"  # no parameter of Python, and no name that a foreign schema would use

Imported = Callable[[Mapping[str, Any], ToolContext], Any]
"""What a foreign tool is called by: checked JSON values and the context of the call in, a JSON value out.

It may be a coroutine function, or a generator, also an asynchronous one, which streams its values.
"""


def imported(
    declaration: FunctionDeclaration,
    function: Imported,
    *,
    origin: str,
    register: bool = False,
) -> ToolFunction[..., Any]:
    """A tool with this contract that runs ``function``, which may be a coroutine function or a generator of values.

    ``origin`` says in a few words where it came from, such as ``langchain:search``: a registry takes the same contract
    again from the same origin, and refuses another's under its name.
    The values are those that the contract has accepted, and what comes back is checked against its promise.
    Raises DeclarationError INVALID_DECLARATION for what is no function.
    """
    if not callable(function):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"{declaration.name!r} came with a value of the type {type(function).__name__!r} and no function",
            hint="give a function of (arguments, context)",
        )
    called = _by_name(function)
    called.__name__ = called.__qualname__ = declaration.name
    called.__module__ = origin
    _, binder = declare(called, name=declaration.name, description=declaration.description)
    binder.context = _CONTEXT
    made: ToolFunction[..., Any] = ToolFunction(called, declaration=declaration, binder=binder)
    if register:
        from altar.later.registry import REGISTRY

        REGISTRY.register(made)
    return made


def _by_name(function: Imported) -> Callable[..., Any]:
    """A function of the same kind (plain, coroutine, generator) whose arguments are taken by name."""
    kind = inspect.unwrap(function)
    if not inspect.isroutine(kind):
        kind = type(kind).__call__

    async def awaited(**arguments: Any) -> Any:
        context = arguments.pop(_CONTEXT)
        return await function(arguments, context)

    async def iterated(**arguments: Any) -> AsyncIterator[Any]:
        context = arguments.pop(_CONTEXT)
        async for value in function(arguments, context):
            yield value

    def yielded(**arguments: Any) -> Iterator[Any]:
        context = arguments.pop(_CONTEXT)
        yield from function(arguments, context)

    def plain(**arguments: Any) -> Any:
        context = arguments.pop(_CONTEXT)
        return function(arguments, context)

    if inspect.isasyncgenfunction(kind):
        return iterated
    if inspect.isgeneratorfunction(kind):
        return yielded
    return awaited if inspect.iscoroutinefunction(kind) else plain
