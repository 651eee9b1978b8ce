"""Stand-ins for time and for a gate, for tests of applications that use ALTAR."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from altar.adm.canonical import parse
from altar.adm.errors import AltarError
from altar.later.gate import OpenGate
from altar.later.invocation import Answer, Invocation, Outcome

__all__ = ["FakeClock", "RecordingGate"]


class FakeClock:
    """A monotonic clock that stands still until it is told otherwise."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        """The time, in seconds."""
        return self.now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass(slots=True)
class RecordingGate(OpenGate):
    """Lets calls pass unless ``refuse`` has an error for their tool, and remembers what it was asked."""

    refuse: Mapping[str, AltarError] = field(default_factory=dict)
    intents: list[Invocation] = field(default_factory=list)
    outcomes: list[tuple[Invocation, Outcome]] = field(default_factory=list)

    @property
    def calls(self) -> list[tuple[str, Any]]:
        """The name and the arguments of every call that was let through, in order."""
        return [(invocation.name, parse(invocation.arguments)) for invocation in self.intents]

    def authorize(self, invocation: Invocation) -> None:
        """Raise the error that was prepared for this tool, if there is one."""
        if invocation.name in self.refuse:
            raise self.refuse[invocation.name]

    def intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        """Remember the frame and run it."""
        self.intents.extend(frame)
        run(frame)

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Remember the outcome and answer."""
        self.outcomes.append((invocation, outcome))
        answer(invocation, outcome)
