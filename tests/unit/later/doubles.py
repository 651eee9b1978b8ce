"""Doubles that several units of `later` are tested with: contracts, sources and a note of what was answered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from altar.adm.errors import AltarError, ValidationError
from altar.later.invocation import Answer, Invocation, Outcome


@dataclass
class Contract:
    """A contract that raises what it is told to raise."""

    version: str = "1.0.0"
    digest: str = "sha256:" + "0" * 64
    unfit: Exception | None = None
    broken: Exception | None = None

    def check(self, arguments: bytes) -> None:
        if self.unfit is not None:
            raise self.unfit

    def check_result(self, content: bytes) -> None:
        if self.broken is not None:
            raise self.broken

    def check_beside(self, invocation: Invocation) -> None:
        self.check(invocation.arguments)

    def check_result_beside(self, outcome: Outcome) -> None:
        self.check_result(outcome.content)


@dataclass
class Catalog:
    """A catalog of one tool, `known`."""

    contract: Contract = field(default_factory=Contract)

    def find(self, invocation: Invocation) -> Contract:
        if invocation.name != "known":
            raise ValidationError("UNSUPPORTED_TOOL", f"no {invocation.name}", ran="no")
        return self.contract


@dataclass
class Source:
    """A source that does what it is told, and remembers for whom."""

    run_with: Callable[[Invocation, Answer], None] = lambda call, settle: settle(call, Outcome(b"1"))
    ran: list[Invocation] = field(default_factory=list)

    def run(self, invocation: Invocation, settle: Answer) -> None:
        self.ran.append(invocation)
        self.run_with(invocation, settle)

    def cancel(self, invocation: Invocation) -> None:
        """Nothing to stop."""


@dataclass
class Answers:
    """Every answer, in order."""

    given: list[tuple[Invocation, Outcome]] = field(default_factory=list)

    def __call__(self, invocation: Invocation, outcome: Outcome) -> None:
        self.given.append((invocation, outcome))

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for _, outcome in self.given]

    @property
    def error(self) -> AltarError:
        ((_, outcome),) = self.given
        assert outcome.error is not None
        return outcome.error


def call(name: str = "known", **more: Any) -> Invocation:
    made = Invocation(name, b"{}", "c1")
    for key, value in more.items():
        setattr(made, key, value)
    return made
