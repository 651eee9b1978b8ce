"""Where does a call run?

A :class:`ToolSource` carries out one admitted call and settles it.
:class:`LocalSource` is the one that knows the user's function; all others pass the call on to a process that has
one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from altar.adm.errors import ConfigurationError
from altar.later.beside import text_beside
from altar.later.context import ToolContext
from altar.later.deadline import Deadlines
from altar.later.executor import Catalog
from altar.later.invocation import MAX_MESSAGE_BYTES, Answer, Invocation, Outcome, Work, late
from altar.later.running import (
    Run,
    Steps,
    awaited,
    called,
    collected,
    collected_async,
    steps,
    streamed_async,
)

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.gate import Gate
    from altar.later.tool import ToolFunction

__all__ = [
    "GatedSource",
    "LocalSource",
    "OpenSource",
    "OwnedSource",
    "Request",
    "SessionCatalog",
    "SessionSource",
    "ToolSource",
    "open_source",
]


class ToolSource(Protocol):
    """Carries out admitted calls.

    Must settle every invocation it was given exactly once, whatever is raised, cancelled or lost.
    Values of an invocation with ``chunks`` go there before it is settled, and none after.
    """

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Start the call; ``settle`` takes its outcome, now or later."""
        ...

    def cancel(self, invocation: Invocation) -> None:
        """The caller no longer waits. The call still ends with an outcome."""
        ...


Job = Callable[[], Outcome]
"""A plain function, bound to its arguments, that never raises."""

Freed = Callable[[Invocation], None]
"""Told when the user's function has really ended, which may be after its call was answered."""


class Workplace(Protocol):
    """Where a :class:`LocalSource` lets functions run: in this thread, in other threads, as tasks."""

    def run_plain(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Run a plain function."""
        ...

    def run_bounded(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Run a job that ends by itself, with its outcome, when the call is late or cancelled."""
        ...

    def run_async(self, invocation: Invocation, work: Work) -> None:
        """Run a coroutine that settles the invocation itself."""
        ...

    def run_steps(self, invocation: Invocation, values: Steps, settle: Answer) -> None:
        """Step through a plain generator, and pass its values on to the chunks of the invocation."""
        ...

    def run_stream(self, invocation: Invocation, made: Callable[[Answer], Work], settle: Answer) -> None:
        """Run a coroutine that passes values on and settles by what it is given, in a task of its own."""
        ...

    def cancel(self, invocation: Invocation) -> None:
        """Stop the function if it can be stopped."""
        ...


class LocalSource:
    """Runs the user's function in this process.

    ``context`` makes what a function that asks for a ToolContext is given.
    ``limit`` is the size in bytes of the list that the values of a generator are collected to.
    """

    __slots__ = ("_context", "_deadlines", "_workplace", "limit")

    def __init__(self, workplace: Workplace, *, context: Callable[[Invocation], ToolContext] = ToolContext) -> None:
        self._workplace = workplace
        self._context = context
        self._deadlines = Deadlines()
        self.limit = MAX_MESSAGE_BYTES

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Bind the arguments to the annotated Python types, then call the function."""
        tool: ToolFunction[..., Any] = invocation.contract
        if time.monotonic() >= invocation.deadline:
            settle(invocation, Outcome(error=late(invocation, ran="no")))
            return
        if tool.isolate is not None:
            self._run_isolated(tool, invocation, settle)
            return
        values, invocation.values = invocation.values, None  # the function's own from here on
        if invocation.blobs is None:
            args, kwargs = tool.bind(invocation.arguments, values)
        else:
            args, kwargs = tool.bind_beside(invocation, values)
        context = None
        if tool.context is not None:
            context = self._context(invocation)
            kwargs = {**kwargs, tool.context: context}
        run = Run(tool, args, kwargs, invocation, context, self.limit)
        if tool.streams:
            self._run_stream(run, settle)
        elif tool.is_async:
            self._workplace.run_async(invocation, awaited(run, settle, self._deadlines))
        else:
            self._workplace.run_plain(invocation, lambda: called(run), settle)

    def cancel(self, invocation: Invocation) -> None:
        """Cancel a coroutine; a plain function cannot be stopped and keeps its slot until it returns.

        Both can see it in their context. What is isolated is killed; when it streams, after a while to close.
        """
        invocation.cancelled = True
        if invocation.chunks is None and getattr(invocation.contract, "isolate", None) is not None:
            from altar.later.isolation.processes import processes

            processes().kill(invocation)
        self._workplace.cancel(invocation)

    def _run_isolated(self, tool: ToolFunction[..., Any], invocation: Invocation, settle: Answer) -> None:
        """Run it in a child process, which binds the arguments, and which a thread here waits for."""
        from altar.later.isolation.processes import processes

        context = self._context(invocation)  # also for a function without one: the process is told of its session
        place, pool = self._workplace, processes()
        if not tool.streams:
            place.run_bounded(invocation, lambda: _beside(tool, pool.run(tool, invocation, context=context)), settle)
        elif invocation.chunks is None:
            place.run_bounded(
                invocation, lambda: collected(pool.steps(tool, invocation, context=context), self.limit), settle
            )
        else:
            place.run_steps(invocation, pool.steps(tool, invocation, context=context), _ending(pool.kill, settle))

    def _run_stream(self, run: Run, settle: Answer) -> None:
        """Pass the values on one by one where somebody reads them so; else collect them into one list."""
        invocation, place = run.invocation, self._workplace
        if invocation.chunks is None and run.tool.is_async:
            place.run_async(invocation, awaited(run, settle, self._deadlines, made=collected_async))
        elif invocation.chunks is None:
            place.run_plain(invocation, lambda: collected(steps(run), self.limit), settle)
        elif run.tool.is_async:
            deadlines = self._deadlines
            place.run_stream(invocation, lambda answer: awaited(run, answer, deadlines, made=streamed_async), settle)
        else:
            place.run_steps(invocation, steps(run), settle)


def _beside(tool: ToolFunction[..., Any], outcome: Outcome) -> Outcome:
    """What a child process gave as text, with large bytes beside it, as every other tool gives them."""
    return text_beside(outcome.content, tool.gives) if tool.gives is not None and outcome.error is None else outcome


def _ending(kill: Callable[[Invocation], None], settle: Answer) -> Answer:
    """Settle, and let nothing go on that was answered before it had ended."""

    def settled(invocation: Invocation, outcome: Outcome) -> None:
        kill(invocation)
        settle(invocation, outcome)

    return settled


# ------------------------------------------------------------------------------------- sources by their address


@dataclass(frozen=True, slots=True)
class Request:
    """What a session asks of a source when it opens one.

    ``tools`` empty means all that may be seen; ``options`` are the settings of the source's own kind.
    """

    address: str
    tools: tuple[str, ...] = ()
    ttl: timedelta | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


class SessionCatalog(Catalog, Protocol):
    """The catalog of a session: finds contracts, and says what there is to find."""

    @property
    def names(self) -> list[str]:
        """Names of the tools, sorted."""
        ...

    def declaration(self, name: str, asked: str = "") -> FunctionDeclaration | None:
        """What a tool is, in the version or range asked for; None for one that is not in the session."""
        ...


@runtime_checkable
class GatedSource(Protocol):
    """A source that runs some calls in this process by the word of a host, which its gate asks."""

    def gate(self, inner: Gate, *, context: Callable[[Invocation], ToolContext]) -> Gate:
        """The gate of the session, over its own, ``inner``; ``context`` makes what a tool that runs here is given."""
        ...


@runtime_checkable
class SessionSource(Protocol):
    """A source whose calls are in a session of a host, which keeps it as long as its log."""

    session_id: str
    """Random, and of this host alone."""

    async def described(self, session_id: str) -> object:
        """What the host says of a session in the same name; INVALID_SESSION where it never had it, or not any more."""
        ...


@runtime_checkable
class OwnedSource(Protocol):
    """A source that knows in whose name its calls are."""

    def owner(self) -> str:
        """Who that is, in words that are the same for the same principal; empty where that is not known."""
        ...


class OpenSource(Protocol):
    """The entry point of group ``altar.sources`` behind an address scheme."""

    def __call__(self, request: Request) -> AbstractAsyncContextManager[tuple[SessionCatalog, ToolSource]]:
        """Connect, and give the catalog and the source of a session for as long as the context lasts.

        A source that keeps the variables of its session is an :class:`altar.later.variables.VariableSource` as well.
        """
        ...


def open_source(request: Request) -> AbstractAsyncContextManager[tuple[SessionCatalog, ToolSource]]:
    """Open the source behind an address such as ``grid://host:port``, found by its scheme as SQLAlchemy finds dialects.

    Raises ConfigurationError INVALID_CONFIG for a scheme nobody provides, and ENVIRONMENT_ERROR with the install
    line when the extra that provides it is not installed.
    """
    scheme = request.address.partition(":")[0]
    for entry in entry_points(group="altar.sources"):
        if entry.name == scheme:
            try:
                return cast("OpenSource", entry.load())(request)
            except ModuleNotFoundError as missing:
                raise ConfigurationError(
                    "ENVIRONMENT_ERROR",
                    f"The source {scheme!r} needs a package that is not installed: {missing.name!r}",
                    hint=f"pip install 'altar-ai[{scheme}]'",
                ) from missing
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"The source {request.address!r} has no known scheme",
        hint="use 'later:' for this process or 'grid://host:port' for a host",
    )
