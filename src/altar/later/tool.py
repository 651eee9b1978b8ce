"""`@tool`: a Python function becomes a contract, and stays the function it was.

A function comes in; a :class:`ToolFunction` goes out and into the registry of this process.
It can be called as before, and it can be called with canonical JSON, which is how every source calls it.
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from types import FrameType
from typing import Any, Generic, Literal, ParamSpec, TypeVar, overload

import orjson

from altar.adm.blobs import BLOB_BYTES, Places
from altar.adm.canonical import canonical, written_plainly
from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.errors import AltarError, DeclarationError
from altar.later.beside import bytes_beside, checked_arguments, checked_result, text_beside
from altar.later.governance import governance_of
from altar.later.introspection.binder import Binder, Writer
from altar.later.introspection.docstring import underlying
from altar.later.introspection.introspect import declare
from altar.later.introspection.refusal import refused_arguments
from altar.later.invocation import Invocation, Outcome
from altar.later.json_form import RESULT
from altar.later.labels import requires_of
from altar.later.local_dispatch import dispatch_metadata
from altar.later.nesting import calls_of

__all__ = ["ToolFunction", "tool"]

P = ParamSpec("P")
R = TypeVar("R")

_DEEPEST = 64  # ADM §3: no value is nested deeper
_INT64 = 2**63


class ToolFunction(Generic[P, R]):
    """A declared function: still callable as it was, and callable with JSON.

    `declaration` is its contract, `function` the plain function, `timeout` what a call gets by itself.
    `isolate` says that calls run in a process of their own; it is no part of the contract.
    `is_async` says that it is awaited, or iterated, in an event loop; `streams` that it yields its values.
    `context` is the name of the parameter that takes the context of a call, None without one.
    `by_import` says that an import declares it; a function inside another one may be declared while a program runs.
    """

    __name__: str
    __qualname__: str
    declaration: FunctionDeclaration
    function: Callable[P, R]
    is_async: bool
    isolate: Literal["process"] | None
    name: str
    timeout: timedelta | None
    streams: bool
    context: str | None
    by_import: bool

    def __init__(
        self,
        function: Callable[P, R],
        *,
        declaration: FunctionDeclaration,
        binder: Binder,
        isolate: Literal["process"] | None = None,
    ) -> None:
        """Join a function with its contract; :func:`tool` is the usual way to get here."""
        self.function = function if hasattr(function, "__qualname__") else _named(function)
        functools.update_wrapper(self, self.function)
        self.declaration = declaration
        self.name = declaration.name
        self.timeout = declaration.timeout
        self.is_async = binder.is_async
        self.streams = binder.streams
        self.context = binder.context
        self.isolate = isolate
        self.by_import = "<locals>" not in self.function.__qualname__ or _is_importing()
        self._binder = binder
        self._quick = binder.direct if binder.by_name else None
        self._promised = None if declaration.returns is None else declaration.returns.accepts_json

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

    def check(self, arguments: bytes) -> dict[str, Any]:
        """Return the values of canonical `arguments`; raise ValidationError INVALID_TOOL_ARGS unless they fit.

        That they are canonical was proved where they came in: by the session that wrote them, or by the host.
        """
        values: dict[str, Any] = orjson.loads(arguments)
        if not self._fits(values):
            self.declaration.check_arguments(values)  # says why
        return values

    def bind(self, arguments: bytes, values: dict[str, Any] | None = None) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the named Python arguments for a JSON object, in the types of the annotations.

        `values` are what `check` gave for them; they are used up, so that nothing is read twice.
        An argument that is absent is left to the function's own default.
        Raises ValidationError INVALID_TOOL_ARGS, `ran` no, when a type's own validator refuses a value.
        """
        if values is not None and self._quick is not None:
            return (), self._quick(values)
        try:
            return self._binder.bind(arguments, values)
        except Exception as refused:
            raise refused_arguments(self.declaration, refused, arguments) from refused

    def check_beside(self, invocation: Invocation) -> dict[str, Any]:
        """Do what `check` does for a call with blobs; Python bytes stand in their places."""
        values: dict[str, Any] = checked_arguments(self.declaration, invocation).as_bytes()
        return values

    def bind_beside(
        self, invocation: Invocation, values: dict[str, Any] | None
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Do what `bind` does for a call with blobs; `values` are what `check_beside` gave, and are used up."""
        bound = None if values is None else self._binder.bind_beside(values)
        if bound is not None:
            return bound
        return self.bind(invocation.text)

    @property
    def binds_directly(self) -> bool:
        """Whether checked JSON values are the arguments already, so that a call needs no pydantic."""
        return self._binder.direct is not None

    def dump(self, value: object) -> bytes:
        """The canonical JSON of what the function returned, by its return annotation or else by what it is.

        Raises SERIALIZATION_ERROR, `ran` yes, with the place and the Python type of what JSON cannot hold.
        """
        data = written_plainly(value) if self._binder.result.native else None
        return _written(self._binder.result, value) if data is None else data

    def dump_beside(self, value: object) -> Outcome:
        """The outcome of a call whose function returned this, with large bytes beside its JSON.

        Raises as `dump` does.
        """
        if type(value) is bytes and self._binder.result.is_bytes and len(value) >= BLOB_BYTES:
            return bytes_beside(value)
        data = self.dump(value)
        return Outcome(data) if self.gives is None else text_beside(data, self.gives)

    def dump_item(self, value: object) -> bytes:
        """The canonical JSON of one value that a streaming function yields, as :meth:`dump` writes a result."""
        return _written(self._binder.item, value)

    def check_result_beside(self, outcome: Outcome) -> None:
        """Do what `check_result` does for a result with blobs."""
        checked_result(self.declaration, outcome)

    @functools.cached_property
    def gives(self) -> Places | None:
        """Where the result is bytes; None where it never is. A tool that streams gives its values as text."""
        return None if self.streams else self.declaration.gives

    @functools.cached_property
    def _fits(self) -> Callable[[object], bool]:
        return self.declaration.arguments.accepts_json  # which compiles a schema, once it is asked for

    def check_result(self, content: bytes) -> Any:
        """Return the value of canonical `content`; raise ValidationError SCHEMA_VIOLATION unless it was promised.

        Where nothing was promised nothing is read, and the value is None.
        """
        if self._promised is None:
            return None
        value = orjson.loads(content)
        if not self._promised(value):
            self.declaration.check_result(value)  # says why
        return value


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
    isolate: Literal["process"] | None = None,
    calls: Iterable[str] | None = None,
    requires: Mapping[str, str] | None = None,
    local_dispatch: bool = False,
    fallback: bool = False,
    required_roles: Iterable[str] = (),
    required_permissions: Iterable[str] = (),
    classification: str = "",
    governance: Mapping[str, Any] | None = None,
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
    isolate: Literal["process"] | None = None,
    calls: Iterable[str] | None = None,
    requires: Mapping[str, str] | None = None,
    local_dispatch: bool = False,
    fallback: bool = False,
    required_roles: Iterable[str] = (),
    required_permissions: Iterable[str] = (),
    classification: str = "",
    governance: Mapping[str, Any] | None = None,
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
    isolate: Literal["process"] | None = None,
    calls: Iterable[str] | None = None,
    requires: Mapping[str, str] | None = None,
    local_dispatch: bool = False,
    fallback: bool = False,
    required_roles: Iterable[str] = (),
    required_permissions: Iterable[str] = (),
    classification: str = "",
    governance: Mapping[str, Any] | None = None,
    metadata: Mapping[str, Any] | None = None,
    register: bool = True,
) -> Any:
    """Declare a function as a tool: `@altar.tool`, `@altar.tool(…)` or `altar.tool(function, …)`.

    Name, parameters and result come from the signature, descriptions from the docstring.
    `timeout` is in seconds, or a timedelta; None leaves it to the session.
    `isolate="process"` runs each call in a child process, which is killed when the call is late or cancelled;
    the function must stand at the top level of a module, where that process can find it.
    `calls` names the tools that the function may call through its context, in the contract; all there are without it.
    `requires` are labels that a runtime must have to be sent its calls on a grid, such as `{"hardware": "gpu"}`.
    `local_dispatch=True` lets a caller that has the function run it itself, when the host permits that call;
    `fallback=True` lets it do so when no host can be reached. What is destructive may have neither.
    `required_roles` and `required_permissions` are what its author proposes that a caller must have on a host with
    identities, `classification` how sensitive it is, `governance` further members of that kind; an operator decides.
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
        called = name or str(getattr(function, "__name__", "the tool"))
        elsewhere = dispatch_metadata(
            called, metadata or {}, local_dispatch=local_dispatch, fallback=fallback, destructive=destructive
        )
        declaration, binder = declare(
            function,
            name=name,
            description=description,
            version=version,
            annotations=annotations,
            metadata={
                **(metadata or {}),
                **_limit(timeout, called),
                **calls_of(calls, called),
                **requires_of(requires, called),
                **elsewhere,
                **governance_of(
                    called,
                    governance,
                    required_roles=required_roles,
                    required_permissions=required_permissions,
                    classification=classification,
                ),
            },
            namespace=_locals_of_caller(),
        )
        _require_isolation(isolate, function, declaration.name)
        made = ToolFunction(function, declaration=declaration, binder=binder, isolate=isolate)
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
            f"A value of the type {type(function).__name__!r} is not a function, and only a function can be a tool",
            hint="write @altar.tool, or @altar.tool(name='…', …) with named options",
        )


def _require_isolation(isolate: object, function: Callable[..., Any], name: str) -> None:
    """Refuse what no other process could find; the rest is seen at the first call, when the module is complete."""
    if isolate is not None and isolate != "process":
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"{name!r} is declared with isolate={isolate!r}, and there is only 'process'",
            hint="write isolate='process', or leave it out",
        )
    if isolate is not None and "<" in getattr(underlying(function), "__qualname__", ""):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"{name!r} is defined inside of a function, where another process cannot find it",
            hint="move it to the top level of its module, or leave isolate='process' out",
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


def _is_importing() -> bool:
    """Whether a module, other than the program itself, is being imported by whoever asks."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to know who asks
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if frame.f_code.co_name == "<module>" and name != "__main__" and name in sys.modules:
            return True
        frame = frame.f_back
    return False


# ----------------------------------------------------------------------------------- writing results


def _written(writer: Writer, value: object) -> bytes:
    """The canonical JSON of a value; raises SERIALIZATION_ERROR for what JSON cannot hold."""
    if writer.native:
        return RESULT.write(value)
    try:
        return canonical(writer.plain(value))
    except (AltarError, ValueError, TypeError, RecursionError) as unfit:
        RESULT.write(value)  # says where, when it is the value's fault
        raise RESULT.unfit("", value, "cannot be written as its annotation says", unfit) from unfit
