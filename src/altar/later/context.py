"""What a tool may know of the call that it carries out, and what it may do meanwhile: :class:`ToolContext`.

A function asks for it with a parameter that is annotated so; the parameter is no part of the contract.
:class:`Progress` and :class:`LogLine` are what it tells its caller on the way, :class:`Listener` is who hears them.
"""

from __future__ import annotations

import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, ValidationError
from altar.later.app_records import RecordEvent, record_event
from altar.later.invocation import Invocation, call_facts, late
from altar.later.usage import add_usage

if TYPE_CHECKING:
    from altar.adm.call import ToolResult
    from altar.later.front import SyncSession
    from altar.later.session import Session
    from altar.later.variables import SyncVariables, Variables

__all__ = ["Listener", "LogLine", "Mailbox", "Nested", "Progress", "ToolContext", "ToolVariables"]

_log = logging.getLogger("altar.later")
_tool_log = logging.getLogger("altar.tool")

MOST_WAITING = 1000
"""Lines of log that wait for a slow listener; of more, the oldest are dropped."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call is: ``done`` of ``total`` (None when nobody knows), in whatever the tool counts."""

    tool: str
    call_id: str
    done: float
    total: float | None = None
    message: str | None = None


@dataclass(frozen=True, slots=True)
class LogLine:
    """A fixed phrase and its facts, which a tool tells while it runs."""

    tool: str
    call_id: str
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who hears what running tools tell; a listener that raises is itself told in the log, and harms no call."""

    on_progress: Callable[[Progress], object] | None = None
    on_log: Callable[[LogLine], object] | None = None

    def __bool__(self) -> bool:
        """Whether anybody listens."""
        return self.on_progress is not None or self.on_log is not None

    def hear(self, told: Progress | LogLine) -> None:
        """Pass one thing on."""
        try:
            if isinstance(told, Progress):
                if self.on_progress is not None:
                    self.on_progress(told)
            elif self.on_log is not None:
                self.on_log(told)
        except Exception:  # noqa: BLE001 - somebody else's call goes on
            _log.exception("listener failed", extra={"tool": told.tool, "call": told.call_id})


class Mailbox:
    """What has been told and not yet heard, across threads: of progress the latest, of log lines the newest.

    ``carry`` is called with something to do whenever there is something to hear, and must get it done where the
    listener belongs.
    """

    __slots__ = ("_carry", "_listener", "_lock", "_waiting")

    def __init__(self, listener: Listener, carry: Callable[[Callable[[], None]], object]) -> None:
        self._listener = listener
        self._carry = carry
        self._lock = threading.Lock()
        self._waiting: deque[Progress | LogLine] = deque(maxlen=MOST_WAITING)

    def tell(self, told: Progress | LogLine) -> None:
        """Leave it for the listener; from any thread, and without waiting."""
        with self._lock:
            was_empty = not self._waiting
            newest = self._waiting[-1] if self._waiting else None
            if isinstance(newest, Progress) and isinstance(told, Progress) and newest.call_id == told.call_id:
                self._waiting[-1] = told
            else:
                self._waiting.append(told)
        if was_empty:
            self._carry(self._deliver)

    def _deliver(self) -> None:
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for told in waiting:
            self._listener.hear(told)


@dataclass(frozen=True, slots=True)
class Nested:
    """How a tool calls other tools: the session it was called in, for coroutines and for plain functions."""

    session: Session
    sync: SyncSession


@dataclass(frozen=True, slots=True)
class ToolVariables:
    """The variables of the session that a tool was called in, for coroutines and for plain functions."""

    variables: Variables
    sync: SyncVariables


class ToolContext:
    """One call, seen by the function that carries it out.

    Annotate a parameter ``context: altar.ToolContext`` (or ``altar.ToolContext | None = None``): it is filled in for
    each call, by name, and never reaches the schema.
    It may be used from any thread, and until the function has ended; after that it refuses.
    """

    __altar_context__: ClassVar[bool] = True
    __slots__ = ("_ended", "_invocation", "_nested", "_tell", "_variables", "language_model", "session_id")

    def __init__(
        self,
        invocation: Invocation,
        *,
        session_id: str = "",
        tell: Callable[[Progress | LogLine], None] | None = None,
        nested: Callable[[ToolContext], Nested] | None = None,
        variables: Callable[[ToolContext], ToolVariables] | None = None,
        language_model: Any = None,
    ) -> None:
        self._invocation = invocation
        self._tell = tell
        self._nested: Callable[[ToolContext], Nested] | None = nested
        self._variables = variables
        self._ended = False
        self.session_id = session_id or invocation.session_id
        self.language_model = language_model  # for altar.ai: which one the session names, None for that of the process

    def __repr__(self) -> str:
        """Name the call; never its arguments."""
        return f"<context of {self._invocation.name!r}, call {self.call_id!r}>"

    # ---------------------------------------------------------------------------------------------- who asks for what

    @property
    def call_id(self) -> str:
        """The id of this call, made by its caller."""
        return self._invocation.call_id

    @property
    def correlation_id(self) -> str:
        """What joins everything that is done for one request; the same in calls that this one makes."""
        return self._invocation.correlation_id

    @property
    def principal(self) -> str:
        """Who asks."""
        return self._invocation.principal

    @property
    def parent_id(self) -> str | None:
        """The id of the call whose function made this one; None when an application did."""
        parent = self._invocation.parent
        return None if parent is None else parent.call_id

    # -------------------------------------------------------------------------------------------------- to stop in time

    @property
    def deadline(self) -> timedelta | None:
        """The time that is left, nothing when it is up; None when there is no limit."""
        if math.isinf(self._invocation.deadline):
            return None
        return timedelta(seconds=max(0.0, self._invocation.deadline - time.monotonic()))

    @property
    def cancelled(self) -> bool:
        """Whether nobody waits for the answer any more: the caller has left, or the time is up.

        The caller of a call that was made by a tool has left, too, when that tool's own caller has.
        """
        return self._invocation.is_left or time.monotonic() >= self._invocation.deadline

    def check_cancelled(self) -> None:
        """Raise ExecutionError CANCELLED, or TIMEOUT when the time is up; call it where your function can stop."""
        if self._invocation.is_left:
            raise ExecutionError("CANCELLED", "The call was cancelled", ran="yes")
        if time.monotonic() >= self._invocation.deadline:
            raise late(self._invocation, ran="yes")

    # -------------------------------------------------------------------------------------------- to tell on the way

    def progress(self, done: float, total: float | None = None, message: str | None = None) -> None:
        """Say how far the work is; cheap, never waits, and a slow listener hears the latest only.

        Raises INVALID_SESSION when the function has ended.
        """
        self.require_running()
        if self._tell is not None and not self.cancelled:
            self._tell(Progress(self._invocation.name, self.call_id, done, total, message))

    def log(self, message: str, /, **facts: Any) -> None:
        """Write a fixed phrase and its facts to the log ``altar.tool``, with the ids of the call, and tell the caller.

        Give no arguments and no results as facts: logs are read by others than your caller.
        Raises INVALID_SESSION when the function has ended.
        """
        self.require_running()
        _tool_log.info(
            message,
            extra={**call_facts(self._invocation), "facts": facts},
        )
        if self._tell is not None and not self.cancelled:
            self._tell(LogLine(self._invocation.name, self.call_id, message, facts))

    def used(self, **numbers: float) -> None:
        """Add to what this call took, such as ``used(input_tokens=120, cost_usd=0.002)``: ``usage`` of the result.

        Numbers of one name are summed; they reach the caller however the call ends.
        Raises MALFORMED_REQUEST for what is no finite number, is negative, or is more than 32 names, and
        INVALID_SESSION when the function has ended.
        """
        self.require_running()
        add_usage(self._invocation, numbers)

    # ------------------------------------------------------------------------------------------- to call other tools

    @property
    def session(self) -> Session:
        """The session that this call was made in, for coroutine functions: ``await context.session.call(…)``.

        What is called through it ends no later than this call, and has this call as its parent.
        Raises INVALID_SESSION when the function has ended, FEATURE_UNAVAILABLE where there is no session.
        """
        return self._others().session

    @property
    def sync(self) -> SyncSession:
        """The same session for plain functions: ``context.sync.call(…)``; a plain tool runs in the same thread."""
        return self._others().sync

    async def call(self, name: str, arguments: Mapping[str, Any] | None = None, /, **named: Any) -> ToolResult:
        """Call another tool: ``context.session.call(…)`` for short."""
        return await self.session.call(name, arguments, **named)

    # ---------------------------------------------------------------------------------------- to share what it knows

    @property
    def variables(self) -> Variables:
        """The variables of the session that this call was made in, for coroutines: ``await context.variables.get(…)``.

        Raises INVALID_SESSION when the function has ended, FEATURE_UNAVAILABLE where there are none.
        """
        self._require_variables()
        return self._variables(self).variables if self._variables is not None else self._others().session.variables

    @property
    def sync_variables(self) -> SyncVariables:
        """The same variables for plain functions, which run in a thread: ``context.sync_variables.get(…)``."""
        self._require_variables()
        return self._variables(self).sync if self._variables is not None else self._others().sync.variables

    async def record(self, event: str, data: Mapping[str, Any] | None = None, /) -> None:
        """Put an event into the record of the host that this call came from; for coroutines.

        It stands there as ``app.<event>`` with the session and the correlation id of the call when this returns.
        Raises as :meth:`Session.record` does.
        """
        self._require_variables()
        if self._variables is None:
            await self.session.record(event, data)
        else:
            await self._variables(self).variables.record(self._event(event, data))

    def sync_record(self, event: str, data: Mapping[str, Any] | None = None, /) -> None:
        """Put an event into the record, as :meth:`record` does, for plain functions, which run in a thread."""
        self._require_variables()
        if self._variables is None:
            self.sync.record(event, data)
        else:
            self._variables(self).sync.record(self._event(event, data))

    def require_running(self) -> None:
        """Raise INVALID_SESSION when the function of this context has ended."""
        if self._ended:
            raise ValidationError(
                "INVALID_SESSION",
                f"The call {self.call_id!r} has ended, and its context with it",
                ran="no",
                hint="use a context only while the function that was given it runs",
            )

    def end(self) -> None:
        """The function has ended; whoever kept its context is refused from here on."""
        self._ended = True

    @property
    def invocation(self) -> Invocation:
        """The call on its way, as the executor knows it; for sources and sessions."""
        return self._invocation

    def _event(self, event: str, data: Mapping[str, Any] | None) -> RecordEvent:
        return record_event(event, data, id=uuid.uuid4().hex, correlation=self.correlation_id)

    def _require_variables(self) -> None:
        self.require_running()
        if self._variables is None and self._nested is None:
            raise ConfigurationError(
                "FEATURE_UNAVAILABLE",
                f"{self._invocation.name!r} has no variables where it runs",
                ran="no",
                hint="a tool that runs in a process of its own takes what it needs as arguments",
            )

    def _others(self) -> Nested:
        self.require_running()
        if self._nested is None:
            raise _no_session(self._invocation.name)
        return self._nested(self)


def _no_session(name: str) -> AltarError:
    return ConfigurationError(
        "FEATURE_UNAVAILABLE",
        f"{name!r} cannot call other tools where it runs: it has no session there",
        ran="no",
        hint="let the application call both tools, and leave isolate='process' out of a tool that calls others",
    )
