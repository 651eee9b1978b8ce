"""The open gate lets everything pass, at once and in order."""

from __future__ import annotations

from altar.later.gate import OpenGate
from altar.later.invocation import Outcome
from tests.unit.later.doubles import Answers, call


def test_every_call_may_run() -> None:
    OpenGate().authorize(call())


def test_a_frame_runs_at_once_and_as_a_whole() -> None:
    frame = [call(), call()]
    ran: list[object] = []

    OpenGate().intend(frame, ran.append, Answers())

    assert ran == [frame]


def test_an_outcome_is_answered_at_once() -> None:
    answers, invocation, outcome = Answers(), call(), Outcome(b"1")

    OpenGate().record(invocation, outcome, answers)

    assert answers.given == [(invocation, outcome)]
