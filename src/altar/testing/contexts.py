"""A context for tests that call a tool's function directly: :class:`RecordingContext`, made by :func:`context`."""

from __future__ import annotations

import math
import time
from datetime import timedelta

from altar.later.context import LogLine, Progress, ToolContext
from altar.later.invocation import Invocation

__all__ = ["RecordingContext", "context"]


class RecordingContext(ToolContext):
    """A context without a call: keeps what the function tells, and is cancelled when the test says so."""

    __slots__ = ("told",)

    def __init__(self, invocation: Invocation) -> None:
        self.told: list[Progress | LogLine] = []
        super().__init__(invocation, session_id="test", tell=self.told.append)

    def cancel(self) -> None:
        """Let the function see that its caller has left."""
        self.invocation.cancelled = True


def context(
    tool: str = "tool_under_test", *, timeout: float | timedelta | None = None, principal: str = "local"
) -> RecordingContext:
    """A context to pass to a function that asks for one: ``resize(image, context=altar.testing.context())``.

    ``timeout`` is the time until its deadline, in seconds or as a timedelta; None for no deadline.
    ``told`` of what comes back holds what the function said, in order.
    It cannot call other tools: test that in a session.
    """
    seconds = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    deadline = math.inf if seconds is None else time.monotonic() + seconds
    return RecordingContext(
        Invocation(tool, b"{}", "call-under-test", deadline=deadline, principal=principal, correlation_id="test")
    )
