"""`@tool`: a Python function becomes a contract, and stays the function it was.

A function comes in; a :class:`ToolFunction` goes out and into the registry of this process.
It can be called as before, and it can be called with canonical JSON, which is how every source calls it.
"""

from __future__ import annotations

import functools
import inspect
import math
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Generic, ParamSpec, TypeVar, overload

import orjson

from altar.adm.canonical import canonical
from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.errors import AltarError, DeclarationError, ValidationError
from altar.later.docstring import underlying
from altar.later.introspect import Binder, declare
from altar.later.json_form import RESULT, pointer

__all__ = ["ToolFunction", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_DEEPEST = 64  # ADM §3: no value is nested deeper
_INT64 = 2**63


class ToolFunction(Generic[P, R]):
    """A declared function: still callable as it was, and callable with JSON.

    `declaration` is its contract, `function` the plain function, `timeout` what a call gets by itself.
    """

    __name__: str
    __qualname__: str
    declaration: FunctionDeclaration
    function: Callable[P, R]
    is_async: bool
    name: str
    timeout: timedelta | None

    def __init__(
        self,
        function: Callable[P, R],
        *,
        declaration: FunctionDeclaration,
        binder: Binder,
    ) -> None:
        """Join a function with its contract; :func:`tool` is the usual way to get here."""
        self.function = function if hasattr(function, "__qualname__") else _named(function)
        functools.update_wrapper(self, self.function)
        self.declaration = declaration
        self.name = declaration.name
        self.timeout = declaration.timeout
        self.is_async = inspect.iscoroutinefunction(underlying(function))
        self._binder = binder

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the plain function, with nothing between."""
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        """Name the contract."""
        return f"<tool {self.name} {self.declaration.version}>"

    @property
    def version(self) -> str:
        """The version of the contract."""
        return self.declaration.version

    @property
    def digest(self) -> str:
        """`sha256:…` of the canonical declaration."""
        return self.declaration.digest

    def check(self, arguments: bytes) -> None:
        """Raise ValidationError INVALID_TOOL_ARGS unless canonical `arguments` fit the contract.

        That they are canonical was proved where they came in: by the session that wrote them, or by the host.
        """
        self.declaration.check_arguments(orjson.loads(arguments))

    def bind(self, arguments: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the named Python arguments for a JSON object, in the types of the annotations.

        An argument that is absent is left to the function's own default.
        Raises ValidationError INVALID_TOOL_ARGS, `ran` no, when a type's own validator refuses a value.
        """
        try:
            return self._binder.bind(arguments)
        except Exception as refused:
            raise _unbound(self.name, refused, arguments) from refused

    def dump(self, value: object) -> bytes:
        """The canonical JSON of what the function returned, by its return annotation or else by what it is.

        Raises SERIALIZATION_ERROR, `ran` yes, with the place and the Python type of what JSON cannot hold.
        """
        if self._binder.native:
            return RESULT.write(value)
        try:
            return canonical(self._binder.plain(value))
        except (AltarError, ValueError, TypeError, RecursionError) as unfit:
            RESULT.write(value)  # says where, when it is the value's fault
            raise RESULT.unfit("", value, "cannot be written as its annotation says", unfit) from unfit

    def check_result(self, content: bytes) -> None:
        """Raise ValidationError SCHEMA_VIOLATION unless canonical `content` is what the contract promises."""
        if self.declaration.returns is not None:
            self.declaration.check_result(orjson.loads(content))


@overload
def tool(function: Callable[P, R], /) -> ToolFunction[P, R]: ...
@overload
def tool(
    function: Callable[P, R],
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    version: str = "1.0.0",
    read_only: bool = False,
    idempotent: bool = False,
    destructive: bool = False,
    open_world: bool = False,
    stateful: bool = False,
    deprecated: bool = False,
    timeout: float | timedelta | None = None,
    metadata: Mapping[str, Any] | None = None,
    register: bool = True,
) -> ToolFunction[P, R]: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    version: str = "1.0.0",
    read_only: bool = False,
    idempotent: bool = False,
    destructive: bool = False,
    open_world: bool = False,
    stateful: bool = False,
    deprecated: bool = False,
    timeout: float | timedelta | None = None,
    metadata: Mapping[str, Any] | None = None,
    register: bool = True,
) -> Callable[[Callable[P, R]], ToolFunction[P, R]]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    version: str = "1.0.0",
    read_only: bool = False,
    idempotent: bool = False,
    destructive: bool = False,
    open_world: bool = False,
    stateful: bool = False,
    deprecated: bool = False,
    timeout: float | timedelta | None = None,
    metadata: Mapping[str, Any] | None = None,
    register: bool = True,
) -> Any:
    """Declare a function as a tool: `@altar.tool`, `@altar.tool(…)` or `altar.tool(function, …)`.

    Name, parameters and result come from the signature, descriptions from the docstring.
    `timeout` is in seconds, or a timedelta; None leaves it to the session.
    `register=False` declares without entering the registry of this process.
    Raises DeclarationError, with a hint, for what cannot be a tool.
    """
    annotations = Annotations(
        read_only=read_only,
        idempotent=idempotent,
        destructive=destructive,
        open_world=open_world,
        stateful=stateful,
        deprecated=deprecated,
    )

    def declared(function: Callable[..., Any]) -> ToolFunction[..., Any]:
        if isinstance(function, ToolFunction):
            function = function.function
        declaration, binder = declare(
            function,
            name=name,
            description=description,
            version=version,
            annotations=annotations,
            metadata={**(metadata or {}), **_limit(timeout, name or str(getattr(function, "__name__", "the tool")))},
            namespace=_locals_of_caller(),
        )
        made = ToolFunction(function, declaration=declaration, binder=binder)
        if register:
            from altar.later.registry import REGISTRY

            REGISTRY.register(made)
        return made

    if function is None:
        return declared
    _require_function(function)
    return declared(function)


# ----------------------------------------------------------------------------------------- declaring


def _require_function(function: object) -> None:
    if not callable(function):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"A {type(function).__name__!r} is not a function, and only a function can be a tool",
            hint="write @altar.tool, or @altar.tool(name='…', …) with named options",
        )


def _locals_of_caller() -> Mapping[str, Any]:
    """The names that are local to where a tool is declared, such as a model defined in the same function."""
    frame = sys._getframe(1)  # noqa: SLF001 - the only way to a caller's names
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back
    return frame.f_locals


def _limit(timeout: float | timedelta | None, name: str) -> dict[str, int]:
    """The tool's own limit as a member of its contract, so that it holds wherever the tool runs."""
    if timeout is None:
        return {}
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if not (math.isfinite(seconds) and seconds > 0):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"The timeout of {name!r} is {timeout!r}, and must be more than nothing and less than for ever",
            hint="give seconds, or a timedelta: timeout=2.5",
        )
    return {"timeout_ms": max(1, round(seconds * 1000))}


def _named(function: Callable[P, R]) -> Callable[P, R]:
    """A partial, or an object with `__call__`, as a function with the name and module of what it calls."""

    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    functools.update_wrapper(call, underlying(function))
    call.__wrapped__ = function  # type: ignore[attr-defined]  # the signature is that of the callable itself
    return call


# --------------------------------------------------------------------------------- arguments refused


def _unbound(name: str, refused: Exception, arguments: bytes) -> ValidationError:
    """Why the arguments could not be bound, without the values and without what a validator let slip."""
    from pydantic import ValidationError as Refusal

    if isinstance(refused, AltarError):
        return ValidationError("INVALID_TOOL_ARGS", refused.message, path=refused.path, ran="no")
    if not isinstance(refused, Refusal):
        return ValidationError(
            "INVALID_TOOL_ARGS",
            f"The arguments of {name!r} could not be read",
            detail=f"{type(refused).__name__}: {refused}",
            path="",
            ran="no",
        )
    found = refused.errors(include_url=False, include_context=False, include_input=False)
    location = found[0]["loc"]
    steps = _existing(location, orjson.loads(arguments)) if location else []
    place = f"Argument `{'.'.join(steps)}`" if steps else "The arguments"
    reason = found[0]["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
    return ValidationError("INVALID_TOOL_ARGS", f"{place}: {reason}{more}", path=pointer(steps), ran="no")


def _existing(location: tuple[int | str, ...], value: Any) -> list[str]:
    """The steps of pydantic's location that exist in the arguments; the others name branches of a union."""
    steps: list[str] = []
    for step in location:
        keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
        if step in keys:
            value = value[step]
            steps.append(str(step))
    return steps
