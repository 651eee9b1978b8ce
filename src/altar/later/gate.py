"""May a call run, and what is recorded of it?

A :class:`Gate` decides (step 3), commits the intents of a frame (step 4) and the outcome of each call (step 7).
:class:`OpenGate` is the gate of a process that answers to nobody but itself: a local session, a runtime that only
its host can reach, and a client whose host decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from altar.later.invocation import Answer, Invocation, Outcome

__all__ = ["Gate", "OpenGate"]


class Gate(Protocol):
    """Decides and records.

    Must record exactly one outcome for every intent it committed.
    Must not call ``run`` before the intents are durable, unless the call only reads, nor the answer before the outcome
    is.
    """

    def authorize(self, invocation: Invocation) -> None:
        """Raise AuthorizationError unless this checked call may run now."""
        ...

    def intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        """Commit the intents of the frame together, then ``run`` it; if they cannot be written, refuse each."""
        ...

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Commit the outcome, then answer. What cannot be recorded is not answered as done."""
        ...


class OpenGate:
    """Lets everything pass and keeps no record."""

    __slots__ = ()

    def authorize(self, invocation: Invocation) -> None:
        """Every call may run."""

    def intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        """Run at once."""
        run(frame)

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Answer at once."""
        answer(invocation, outcome)
