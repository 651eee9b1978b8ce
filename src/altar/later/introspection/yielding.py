"""What a function yields: generators, and functions that return an iterator.

A tool that streams gives its values one by one; collected, they are an array.
In: a function and the annotation of its result.
Out: the annotation of one value, and whether the values are awaited.
"""

from __future__ import annotations

import contextlib
import inspect
from collections import abc
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from altar.adm.errors import DeclarationError
from altar.later.introspection.docstring import underlying

__all__ = ["Yields", "is_awaited", "yields"]

_Kind = Literal["plain", "async"]
_SHOWN: dict[_Kind, str] = {"plain": "Iterator", "async": "AsyncIterator"}
_ORIGINS: tuple[tuple[_Kind | Literal["either"], tuple[Any, ...]], ...] = (
    ("plain", (abc.Iterator, abc.Generator)),
    ("async", (abc.AsyncIterator, abc.AsyncGenerator, abc.AsyncIterable)),
    ("either", (abc.Iterable,)),
)


@dataclass(frozen=True, slots=True)
class Yields:
    """The annotation of one value, `Any` where the function does not say; and whether the values are awaited."""

    item: Any
    awaited: bool


def yields(function: Callable[..., Any], name: str, hints: Mapping[str, Any]) -> Yields | None:
    """What `function` yields; None for one that gives a single result.

    `hints` are its annotations as types.
    Raises DeclarationError when the annotation of the result and the function do not agree.
    """
    if _is_context_manager(function):
        raise _refused(f"{name!r} is a context manager, and a tool gives values", "write a function that uses it")
    makes = _makes(_written(function))
    if "return" not in hints:
        return None if makes is None else Yields(Any, makes == "async")
    says = _says(hints["return"])
    if makes is None and says is None:
        return None
    if makes is None and is_awaited(function):
        raise _refused(f"{name!r} has to be awaited before it yields", "write `yield` in it, and not `return`")
    if makes is not None and says != makes and not (makes == "plain" and says == "either"):
        raise _refused(
            f"{name!r} yields its values, and its result is annotated as something else",
            f"annotate what it yields: -> {_SHOWN[makes]}[…]",
        )
    if makes is None and says == "either":
        return None  # whatever can be iterated, such as a list, is collected at once
    parts = get_args(hints["return"])
    if len(parts) > 1 and parts[1] not in (None, type(None), Any, object):
        raise _refused(
            f"{name!r} is a generator that waits for values to be sent to it, and nobody sends any",
            f"write -> {_SHOWN[makes or 'plain']}[…]",
        )
    return Yields(parts[0] if parts else Any, "async" in {makes, says})


def is_awaited(function: Callable[..., Any]) -> bool:
    """Whether `function` is a coroutine function, or a wrapper around one made with `functools.wraps`."""
    return inspect.iscoroutinefunction(_written(function))


def _is_context_manager(function: Callable[..., Any]) -> bool:
    code = getattr(underlying(function), "__code__", None)
    return code is not None and code.co_filename == contextlib.__file__


def _written(function: Callable[..., Any]) -> Any:
    """The function somebody wrote, inside of every wrapper."""
    return underlying(inspect.unwrap(underlying(function)))


def _makes(written: Any) -> _Kind | None:
    if inspect.isasyncgenfunction(written):
        return "async"
    return "plain" if inspect.isgeneratorfunction(written) else None


def _says(result: Any) -> _Kind | Literal["either"] | None:
    origin = get_origin(result) or result
    return next((kind for kind, origins in _ORIGINS if any(origin is known for known in origins)), None)


def _refused(message: str, hint: str) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, hint=hint)
