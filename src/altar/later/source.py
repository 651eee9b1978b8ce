"""Where does a call run?

A :class:`ToolSource` carries out one admitted call and settles it.
:class:`LocalSource` is the one that knows the user's function; all others pass the call on to a process that has
one.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, Ran, error_of
from altar.later.executor import Catalog
from altar.later.invocation import Answer, Invocation, Outcome, Work

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.tool import ToolFunction

__all__ = ["LocalSource", "OpenSource", "Request", "SessionCatalog", "ToolSource", "late", "open_source", "told"]

MAX_ERROR_TEXT = 4_096
"""Characters of an error's message, hint or path that are told to a caller."""
_MAX_RETRY = timedelta(milliseconds=2**32 - 1)


_log = logging.getLogger("altar.later")


class ToolSource(Protocol):
    """Carries out admitted calls.

    Must settle every invocation it was given exactly once, whatever is raised, cancelled or lost.
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

    def run_async(self, invocation: Invocation, work: Work) -> None:
        """Run a coroutine that settles the invocation itself."""
        ...

    def cancel(self, invocation: Invocation) -> None:
        """Stop the function if it can be stopped."""
        ...


class LocalSource:
    """Runs the user's function in this process."""

    __slots__ = ("_workplace",)

    def __init__(self, workplace: Workplace) -> None:
        self._workplace = workplace

    def run(self, invocation: Invocation, settle: Answer) -> None:
        """Bind the arguments to the annotated Python types, then call the function."""
        tool: ToolFunction[..., Any] = invocation.contract
        if time.monotonic() >= invocation.deadline:
            settle(invocation, Outcome(error=late(invocation, ran="no")))
            return
        args, kwargs = tool.bind(invocation.arguments)
        if tool.is_async:
            self._workplace.run_async(invocation, _awaited(tool, args, kwargs, invocation, settle))
        else:
            self._workplace.run_plain(invocation, lambda: _called(tool, args, kwargs, invocation), settle)

    def cancel(self, invocation: Invocation) -> None:
        """Cancel a coroutine; a plain function cannot be stopped and keeps its slot until it returns."""
        self._workplace.cancel(invocation)


def _called(
    tool: ToolFunction[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any], invocation: Invocation
) -> Outcome:
    try:
        outcome = Outcome(tool.dump(tool.function(*args, **kwargs)))
    except BaseException as raised:
        if isinstance(raised, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
            raise  # a person at the keyboard, who means all of this program
        outcome = _failed(raised, invocation)
    if time.monotonic() >= invocation.deadline:
        return Outcome(error=late(invocation, ran="yes"))
    return outcome


async def _awaited(
    tool: ToolFunction[..., Any],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    invocation: Invocation,
    settle: Answer,
) -> None:
    deadline = None if math.isinf(invocation.deadline) else _loop_time(invocation.deadline)
    outcome: Outcome | None = None
    try:
        async with asyncio.timeout_at(deadline) as limit:
            try:
                outcome = Outcome(tool.dump(await tool.function(*args, **kwargs)))
            except asyncio.CancelledError:
                raise
            except BaseException as raised:  # noqa: BLE001 - whatever a tool raises is its outcome
                outcome = _failed(raised, invocation)
    except TimeoutError:
        outcome = Outcome(error=late(invocation, ran="yes"))
    else:
        if limit.expired() or time.monotonic() >= invocation.deadline:  # it may have blocked the loop
            outcome = Outcome(error=late(invocation, ran="yes"))
    finally:
        if outcome is None:
            outcome = Outcome(error=ExecutionError("CANCELLED", "The call was cancelled", ran="yes"))
        settle(invocation, outcome)


def _loop_time(deadline: float) -> float:
    return asyncio.get_running_loop().time() + (deadline - time.monotonic())


def _failed(raised: BaseException, invocation: Invocation) -> Outcome:
    """What a tool raised: its own words only when it meant them for the caller, and always ``ran: yes``.

    The traceback goes to the log here, where the tool ran, and nowhere else.
    """
    if not isinstance(raised, AltarError):
        _log.warning(
            "tool failed",
            exc_info=raised,
            extra={"tool": invocation.name, "call": invocation.call_id, "invocation": invocation.invocation_id},
        )
    try:
        error = Outcome.failed(raised).error
        failed = None if error is None else told(error, ran="yes")
    except Exception:  # noqa: BLE001 - the words of an error are a tool's code too, and may fail
        kind = type(raised).__name__[:MAX_ERROR_TEXT]
        failed = ExecutionError("TOOL_EXECUTION_FAILED", f"The tool failed with {kind}", ran="yes", detail=kind)
    return Outcome(error=failed)


def told(error: AltarError, *, ran: Ran | None = None) -> AltarError:
    """The error as a caller is told it, in the same words wherever the tool ran; ``ran`` takes the place of its own.

    A tool may have put anything into its error: what comes out are texts that UTF-8 holds, of at most MAX_ERROR_TEXT
    characters, and a time to wait in whole milliseconds that is neither negative nor nothing.
    Raises whatever reading the error raises.
    """
    return error_of(
        error.code,
        _text(error.message) or "The tool failed without a word",
        hint=_text(error.hint) or None,
        detail=_text(error.detail) or None,
        path=None if error.path is None else _text(error.path),
        ran=ran or error.ran,
        retry_after=_wait(error.retry_after),
    )


def _text(text: object) -> str:
    """Text that can be told: no half surrogate pairs, not a book."""
    return "" if text is None else str(text)[:MAX_ERROR_TEXT].encode("utf-8", "replace").decode("utf-8")


def _wait(wait: timedelta | None) -> timedelta | None:
    if wait is None:
        return None
    whole = timedelta(milliseconds=max(timedelta(), min(wait, _MAX_RETRY)) // timedelta(milliseconds=1))
    return whole or None


def late(invocation: Invocation, *, ran: Ran) -> AltarError:
    """The answer to a call whose time is up, in the words of every mode."""
    began = "had not begun" if ran == "no" else "had not ended"
    return ExecutionError(
        "TIMEOUT",
        f"{invocation.name!r} {began} when its time was up",
        ran=ran,
        hint="give the call more time, or declare @altar.tool(timeout=…)",
    )


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

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """What a tool is; None for one that is not in the session."""
        ...


class OpenSource(Protocol):
    """The entry point of group ``altar.sources`` behind an address scheme."""

    def __call__(self, request: Request) -> AbstractAsyncContextManager[tuple[SessionCatalog, ToolSource]]:
        """Connect, and give the catalog and the source of a session for as long as the context lasts."""
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
