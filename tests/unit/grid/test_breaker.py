"""Breakers: when one opens, what it lets pass half-open, and what never counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from altar.adm.errors import ExecutionError, TransportError
from altar.grid.host.breaker import (
    CONSECUTIVE,
    FEWEST,
    FORGOTTEN,
    LONGEST,
    OPEN,
    SUCCESSES,
    WINDOW,
    Breaker,
    BreakerState,
)
from altar.grid.host.breaker_desk import MOST, BreakerDesk, verdict_on
from altar.grid.host.routing import AttachedRuntime
from altar.later.invocation import Outcome
from tests.unit.grid.contracts import Link, call


def opened(now: float = 0.0) -> Breaker:
    """A breaker that has just opened for the first time."""
    breaker = Breaker()
    for _ in range(CONSECUTIVE):
        breaker.failed(now)
    assert breaker.state is BreakerState.OPEN
    return breaker


def half_open(now: float = OPEN) -> tuple[Breaker, object]:
    """A breaker that lets one call pass, and that call."""
    breaker, trial = opened(now - OPEN), object()
    assert breaker.ready(now)
    breaker.trial = trial
    return breaker, trial


# --------------------------------------------------------------------------------------------------------- opening


def test_it_opens_with_the_fifth_failure_in_a_row() -> None:
    breaker = Breaker()

    assert [breaker.failed(float(second)) for second in range(5)] == [False, False, False, False, True]
    assert not breaker.ready(4 + OPEN - 0.1)


def test_a_success_ends_the_row() -> None:
    breaker = Breaker()
    for _ in range(3):
        for _ in range(CONSECUTIVE - 1):
            breaker.failed(0.0)
        for _ in range(FEWEST):
            breaker.succeeded(0.0)

    assert breaker.state is BreakerState.CLOSED


def test_a_row_that_is_long_ago_is_forgotten() -> None:
    breaker = Breaker()
    for _ in range(CONSECUTIVE - 1):
        breaker.failed(0.0)

    assert not breaker.failed(FORGOTTEN + 0.1)


def test_it_opens_when_half_of_ten_calls_fail_in_the_window() -> None:
    breaker = Breaker()
    for _ in range(4):
        assert not breaker.failed(0.0)
        assert not breaker.succeeded(0.0)
    breaker.succeeded(0.0)

    assert breaker.failed(0.0)


def test_nine_calls_are_too_few_to_judge() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
        breaker.succeeded(0.0)

    assert not breaker.failed(0.0)


def test_what_is_older_than_the_window_does_not_count() -> None:
    breaker = Breaker()
    for _ in range(4):
        breaker.failed(0.0)
        breaker.succeeded(0.0)
    breaker.succeeded(1.0)

    assert not breaker.failed(float(WINDOW))


# ------------------------------------------------------------------------------------------------------- half-open


def test_while_it_is_open_nothing_counts() -> None:
    breaker = opened()
    until = breaker.until

    assert not breaker.failed(1.0)
    assert not breaker.succeeded(1.0)
    assert (breaker.state, breaker.until) == (BreakerState.OPEN, until)


def test_when_its_time_is_over_one_call_is_tried_and_no_other() -> None:
    breaker = opened()
    assert not breaker.ready(OPEN - 0.01)
    assert breaker.ready(OPEN)

    breaker.trial = object()

    assert not breaker.ready(OPEN + 100)


def test_three_successes_one_after_the_other_close_it() -> None:
    breaker, trial = half_open()
    for number in range(SUCCESSES):
        assert breaker.ready(OPEN) or breaker.trial is trial
        breaker.trial = trial
        assert breaker.succeeded(OPEN, call=trial) is (number == SUCCESSES - 1)

    assert breaker.state is BreakerState.CLOSED


def test_calls_that_were_sent_before_it_opened_neither_close_nor_open_it() -> None:
    breaker, _ = half_open()

    for _ in range(10):
        assert not breaker.succeeded(OPEN, call=object())
        assert not breaker.failed(OPEN, call=object())
        assert not breaker.failed(OPEN)
    assert breaker.state is BreakerState.HALF_OPEN


def test_each_time_in_a_row_it_is_open_for_twice_as_long_up_to_a_limit() -> None:
    breaker, times = opened(), []
    now = 0.0
    for _ in range(6):
        times.append(breaker.opened_for)
        now = breaker.until
        assert breaker.ready(now)
        breaker.trial = "a call"
        assert breaker.failed(now, call="a call")

    assert times == [30, 60, 120, 240, 300, 300]
    assert breaker.until == now + LONGEST


def test_successes_are_counted_anew_after_it_opened_again() -> None:
    breaker, trial = half_open()
    for _ in range(SUCCESSES - 1):
        breaker.trial = trial
        breaker.succeeded(OPEN, call=trial)
    breaker.trial = trial
    breaker.failed(OPEN, call=trial)
    assert breaker.ready(breaker.until)
    breaker.trial = trial

    assert not breaker.succeeded(breaker.until, call=trial)


def test_what_was_counted_before_it_opened_does_not_count_after_it_closed() -> None:
    breaker, trial = half_open(now=OPEN)
    for _ in range(SUCCESSES):
        breaker.trial = trial
        breaker.succeeded(OPEN, call=trial)
    for _ in range(4):
        breaker.succeeded(OPEN)

    assert not breaker.failed(OPEN)
    assert breaker.state is BreakerState.CLOSED


def test_a_trial_that_says_nothing_lets_another_be_tried() -> None:
    breaker, trial = half_open()

    breaker.undecided(trial)

    assert breaker.ready(OPEN)


def test_it_is_over_when_nothing_that_it_counted_counts_any_more() -> None:
    breaker = Breaker()
    breaker.failed(0.0)
    breaker.succeeded(0.0)

    assert not breaker.is_over(WINDOW - 1.0)
    assert breaker.is_over(float(WINDOW))
    assert not opened().is_over(1e9)


class Model(RuleBasedStateMachine):
    """A breaker beside the plainest one that could be written: a list of all that ended."""

    steps: ClassVar[st.SearchStrategy[float]] = st.sampled_from([0.0, 0.3, 1.0, 7.0, 29.9, 30.0, 61.0, 301.0])

    def __init__(self) -> None:
        super().__init__()
        self.breaker = Breaker()
        self.now = 1000.0
        self.ended: list[tuple[int, bool]] = []
        self.row: list[float] = []
        self.state = "closed"
        self.open_for = OPEN
        self.until = 0.0
        self.successes = 0
        self.trial: object = None

    @rule(seconds=steps)
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule(well=st.booleans(), times=st.integers(1, 6))
    def others_end(self, *, well: bool, times: int) -> None:
        for _ in range(times):
            changed = (self.breaker.succeeded if well else self.breaker.failed)(self.now, call=object())
            assert changed is (self.state == "closed" and self._counted(well=well))

    @precondition(lambda self: self.trial is None)
    @rule()
    def ask(self) -> None:
        due = self.state == "half-open" or (self.state == "open" and self.now >= self.until)
        assert self.breaker.ready(self.now) is due
        if due:
            if self.state == "open":
                self.state, self.successes = "half-open", 0
            self.trial = self.breaker.trial = object()

    @precondition(lambda self: self.trial is not None)
    @rule(how=st.sampled_from(["well", "badly", "undecided"]))
    def trial_ends(self, how: str) -> None:
        trial, self.trial = self.trial, None
        if how == "undecided":
            self.breaker.undecided(trial)
        elif how == "badly":
            assert self.breaker.failed(self.now, call=trial)
            self._open(min(LONGEST, self.open_for * 2))
        else:
            self.successes += 1
            assert self.breaker.succeeded(self.now, call=trial) is (self.successes == SUCCESSES)
            if self.successes == SUCCESSES:
                self.state, self.open_for, self.ended, self.row = "closed", OPEN, [], []

    @invariant()
    def is_as_the_model_says(self) -> None:
        assert self.breaker.state.value == self.state
        assert self.breaker.trial is self.trial
        if self.state == "open":
            assert self.breaker.until == self.until

    def _counted(self, *, well: bool) -> bool:
        """Whether the breaker opens by one more call that ended."""
        self.ended.append((int(self.now), not well))
        self.ended = [one for one in self.ended if one[0] > int(self.now) - WINDOW]
        seconds = [second for second, failed in self.ended if failed]
        self.ended = [one for one in self.ended if seconds and one[0] >= min(seconds)]
        if well:
            self.row = []
            return False
        self.row = [*self.row, self.now] if self.row and self.now - self.row[-1] <= FORGOTTEN else [self.now]
        failures = sum(failed for _, failed in self.ended)
        if len(self.row) >= CONSECUTIVE or (len(self.ended) >= 10 and failures * 2 >= len(self.ended)):
            self._open(OPEN)
            return True
        return False

    def _open(self, seconds: float) -> None:
        self.state, self.open_for, self.until = "open", seconds, self.now + seconds
        self.ended, self.row = [], []


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


# ----------------------------------------------------------------------------------------------- what speaks against


@pytest.mark.parametrize(
    ("outcome", "verdict"),
    [
        (Outcome(b"1"), True),
        (Outcome(error=ExecutionError("TOOL_EXECUTION_FAILED", "x")), True),
        (Outcome(error=ExecutionError("RUNTIME_CRASH", "the child process of an isolated tool")), True),
        (Outcome(error=TransportError("MESSAGE_TOO_LARGE", "x")), True),
        (Outcome(error=ExecutionError("CANCELLED", "x")), None),
        (Outcome(error=TransportError("PROTOCOL_VIOLATION", "x")), False),
    ],
)
def test_only_what_the_runtime_itself_did_speaks_against_it(outcome: Outcome, verdict: bool | None) -> None:
    assert verdict_on(call(), outcome) is verdict


@pytest.mark.parametrize(("given", "verdict"), [(30.0, False), (29.0, False), (28.0, None), (1.0, None)])
def test_a_timeout_speaks_against_it_only_if_the_call_had_the_time_of_its_contract(
    given: float, verdict: bool | None
) -> None:
    invocation = call(deadline=1000.0 + given)
    invocation.sent = 1000.0

    assert verdict_on(invocation, Outcome(error=ExecutionError("TIMEOUT", "x"))) is verdict


# -------------------------------------------------------------------------------------------------------- the desk


class Desk:
    """A desk, what it noted, and how often a runtime changed."""

    def __init__(self) -> None:
        self.notes: list[tuple[str, str, str]] = []
        self.changed: list[str] = []
        self.desk = BreakerDesk(
            lambda event, subject, note: self.notes.append((event, subject, note)),
            changed=lambda runtime: self.changed.append(runtime.runtime_id),
        )

    def runtime(self, name: str) -> AttachedRuntime:
        made = AttachedRuntime(name, Link(), connection_epoch=1, now=0.0, changed=lambda _: None)
        made.fulfils.add(("send", "1.0.0"))
        made.credits = 1
        self.desk.attached(made)
        return made

    def crash(self, runtime: AttachedRuntime, times: int = 1, *, now: float = 0.0) -> None:
        for _ in range(times):
            self.desk.lost(runtime, [call(), call(), call()], (), now)


def test_a_lost_connection_is_one_failure_of_a_tool_however_many_of_its_calls_ran() -> None:
    desk = Desk()
    one = desk.runtime("one")

    desk.crash(one, CONSECUTIVE - 1)
    assert desk.notes == []
    desk.crash(one)

    assert desk.notes == [("breaker.opened", "one", "send@1.0.0 for 30 s")]
    assert desk.changed == ["one"]
    assert desk.desk.states("one") == {"send@1.0.0": "open"}


def test_a_breaker_outlives_the_connection_of_its_runtime() -> None:
    desk = Desk()
    older = desk.runtime("one")
    desk.crash(older, CONSECUTIVE)
    desk.desk.left(older)
    assert desk.desk.blocked == {}

    newer = desk.runtime("one")

    assert newer.blocked == {("send", "1.0.0")}
    assert desk.desk.wait(("send", "1.0.0"), 10.0) == OPEN - 10


def test_a_runtime_whose_trials_succeed_is_noted_as_closed() -> None:
    desk = Desk()
    one = desk.runtime("one")
    desk.crash(one, CONSECUTIVE)
    assert desk.desk.trial(call(), OPEN - 1) is None

    for _ in range(SUCCESSES):
        invocation = call()
        assert desk.desk.trial(invocation, OPEN) is one
        assert desk.desk.trial(call(), OPEN) is None
        desk.desk.judge(one, invocation, verdict=True, now=OPEN)

    assert desk.notes[-1] == ("breaker.closed", "one", "send@1.0.0")
    assert (one.blocked, desk.desk.blocked) == (set(), {})


def test_a_trial_needs_room_and_whatever_the_call_needs() -> None:
    desk = Desk()
    one = desk.runtime("one")
    desk.crash(one, CONSECUTIVE)
    needy = call()
    needy.needs = ("streaming",)

    assert desk.desk.trial(needy, OPEN) is None
    one.credits = 0
    assert desk.desk.trial(call(), OPEN) is None


def test_breakers_that_no_longer_count_are_forgotten_and_their_number_is_limited() -> None:
    desk = Desk()
    for number in range(MOST + 1):
        desk.crash(desk.runtime(f"r{number}"))
    assert len(desk.desk.all) == MOST

    desk.desk.sweep(FORGOTTEN + 1, ())
    assert desk.desk.all == {}

    desk.crash(desk.runtime("again"))
    assert list(desk.desk.all) == ["again"]


def test_an_open_breaker_of_a_runtime_that_never_came_back_is_forgotten() -> None:
    desk = Desk()
    one = desk.runtime("one")
    desk.crash(one, CONSECUTIVE)

    forget: Callable[[float], None] = lambda now: desk.desk.sweep(now, ())  # noqa: E731 - said once
    forget(OPEN + FORGOTTEN)
    assert "one" in desk.desk.all
    forget(OPEN + FORGOTTEN + 1)
    assert desk.desk.all == {}
