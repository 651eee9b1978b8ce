"""The source of a host: labels, needs, homes of sessions, breakers, and what a refused call is told."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from altar.adm.errors import ExecutionError, TransportError
from altar.grid.host.breaker import CONSECUTIVE, OPEN, SUCCESSES
from altar.grid.host.runtimes import NOBODY, AttachedRuntime, RuntimeSource
from altar.grid.manifests.manifest import Manifest
from altar.later.invocation import Invocation, Outcome
from altar.testing import FakeClock
from tests.unit.grid.contracts import Link, declaration
from tests.unit.later.doubles import Answers

DONE = Outcome(b"1")
HELD = Manifest(
    [
        declaration("send"),
        declaration("look", read_only=True),
        declaration("count", stateful=True),
        declaration("recall", stateful=True, idempotent=True),
        replace(declaration("train"), metadata={"altar.requires": {"hardware": "gpu"}}),
    ]
)


class Place:
    """A source, its clock, and what it told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.notes: list[tuple[Any, str, str]] = []
        self.answers = Answers()
        self.source = RuntimeSource(
            HELD,
            queue=100,
            heartbeat=1e9,
            note=lambda event, subject, note: self.notes.append((event, subject, note)),
            clock=self.clock,
        )

    def attach(
        self, name: str, *tools: str, slots: int = 4, can: tuple[str, ...] = (), **labels: str
    ) -> AttachedRuntime:
        runtime = self.source.attach(name, Link())
        runtime.capabilities = frozenset(can)
        runtime.kind = "python 0.1.0"
        runtime.concurrency = 99
        runtime.labels = tuple(sorted(labels.items()))
        for tool in tools or HELD.names:
            contract = HELD.find(tool)
            self.source.fulfil(runtime, tool, contract.version, contract.digest)
        self.source.credit(runtime, slots)
        return runtime

    def run(self, name: str = "send", **more: Any) -> Invocation:
        invocation = Invocation(name, b'{"n":1}', "c-1", **{"deadline": math.inf, **more})
        invocation.contract = HELD.find(name)
        invocation.version = invocation.contract.version
        self.source.run(invocation, self.answers)
        return invocation

    def end(self, invocation: Invocation, outcome: Outcome = DONE) -> None:
        """The runtime of a call answers, and can take another."""
        runtime = self.source._runtimes[invocation.runtime]
        self.source.result(runtime, invocation.handle, outcome)
        self.source.credit(runtime, 1)

    def open(self, name: str = "send") -> Invocation:
        """Let calls fail until a breaker opens; returns the last of them."""
        for _ in range(CONSECUTIVE):
            invocation = self.run(name)
            self.end(invocation, broken())
        self.answers.given.clear()
        return invocation


def broken() -> Outcome:
    """What a runtime answered that does not speak the protocol."""
    return Outcome(error=TransportError("PROTOCOL_VIOLATION", "no status", ran="unknown"))


@pytest.fixture
def place() -> Place:
    return Place()


# ---------------------------------------------------------------------------------------------------- labels, needs


def test_a_contract_that_requires_labels_runs_only_where_they_are(place: Place) -> None:
    place.attach("plain", slots=9)
    place.attach("gpu", hardware="gpu", zone="a")

    assert {place.run("train").runtime for _ in range(4)} == {"gpu"}


def test_when_nobody_has_the_labels_the_call_ends_by_their_name(place: Place) -> None:
    place.attach("plain")
    place.run("train")
    place.source.sweep()
    assert place.answers.given == []

    place.clock.advance(NOBODY + 0.1)
    place.source.sweep()

    error = place.answers.error
    assert (error.code, error.ran) == ("DEPENDENCY_UNAVAILABLE", "no")
    assert error.message == "No runtime with hardware=gpu fulfils 'train' at the moment"
    assert error.hint == "start one: `altar runtime --tools MODULE --label hardware=gpu`"


def test_a_call_that_waits_for_labels_goes_to_the_first_that_brings_them(place: Place) -> None:
    invocation = place.run("train")
    place.attach("plain")
    assert invocation.runtime == ""

    place.attach("gpu", hardware="gpu")

    assert invocation.runtime == "gpu"


def test_preferred_labels_are_followed_as_long_as_there_is_room(place: Place) -> None:
    place.attach("near", slots=2, zone="a")
    place.attach("far", slots=9, zone="b")

    went = [place.run(prefers=(("zone", "a"),)).runtime for _ in range(4)]

    assert went == ["near", "near", "far", "far"]


def test_a_need_that_nobody_meets_is_refused_by_name_and_at_once(place: Place) -> None:
    place.attach("old")

    place.run(needs=("streaming",))

    error = place.answers.error
    assert (error.code, error.ran) == ("FEATURE_UNAVAILABLE", "no")
    assert "needs 'streaming', which a runtime of python 0.1.0 cannot do" in error.message


def test_a_need_is_met_by_the_one_that_can_however_busy_it_is(place: Place) -> None:
    place.attach("old", slots=9)
    able = place.attach("new", slots=2, can=("streaming",))

    calls = [place.run(needs=("streaming",)) for _ in range(3)]

    assert [one.runtime for one in calls] == ["new", "new", ""]
    place.source.credit(able, 1)
    assert calls[2].runtime == "new"


# ------------------------------------------------------------------------------------------------------------ homes


def test_the_stateful_calls_of_a_session_go_to_one_runtime_and_sessions_are_spread(place: Place) -> None:
    for number in range(4):
        place.attach(f"r{number}", slots=1000)

    homes = {
        session: {place.run(tool, session_id=session).runtime for tool in ("count", "recall") for _ in range(3)}
        for session in map(str, range(40))
    }

    assert all(len(runtimes) == 1 for runtimes in homes.values())
    assert len({runtime for runtimes in homes.values() for runtime in runtimes}) == 4


def test_without_a_session_the_principal_has_a_home(place: Place) -> None:
    for number in range(4):
        place.attach(f"r{number}", slots=1000)

    went = {who: {place.run("count", principal=who).runtime for _ in range(5)} for who in map(str, range(20))}

    assert all(len(runtimes) == 1 for runtimes in went.values())
    assert len({runtime for runtimes in went.values() for runtime in runtimes}) > 1


def test_a_stateful_call_waits_for_its_runtime_rather_than_going_elsewhere(place: Place) -> None:
    home = place.attach("home", slots=1)
    place.run("count", session_id="s")
    other = place.attach("other", slots=9)

    waiting = place.run("count", session_id="s")
    anyone = place.run("send")
    place.source.credit(other, 1)
    assert (waiting.runtime, anyone.runtime) == ("", "other")
    place.source.credit(home, 1)

    assert waiting.runtime == "home"


def test_a_runtime_that_comes_draws_no_session_away(place: Place) -> None:
    place.attach("first", slots=1000)
    sessions = [str(number) for number in range(50)]
    for session in sessions:
        place.run("count", session_id=session)
    place.attach("second", slots=1000)

    assert {place.run("count", session_id=session).runtime for session in sessions} == {"first"}
    assert {place.run("count", session_id=f"new-{session}").runtime for session in sessions} == {"first", "second"}


def test_when_its_runtime_leaves_a_session_moves_with_what_waits(place: Place) -> None:
    home = place.attach("home", slots=1)
    lost, idempotent = place.run("count", session_id="s"), None
    place.attach("other", slots=9)
    waiting = place.run("count", session_id="s")
    idempotent = place.run("recall", session_id="s")

    place.source.detach(home, "gone")

    assert [invocation for invocation, _ in place.answers.given] == [lost]
    assert (place.answers.error.code, waiting.runtime, idempotent.runtime) == ("RUNTIME_CRASH", "other", "other")


def test_what_waits_for_a_runtime_that_drains_moves(place: Place) -> None:
    home = place.attach("home", slots=1)
    runs = place.run("count", session_id="s")
    place.attach("other", slots=9)
    waiting = place.run("count", session_id="s")

    place.source.drain(home)

    assert (runs.runtime, waiting.runtime) == ("home", "other")


def test_stateful_calls_that_came_before_any_runtime_get_one_home(place: Place) -> None:
    calls = [place.run("count", session_id=session) for session in ("a", "b") for _ in range(5)]
    place.attach("one", slots=3)
    place.attach("two", slots=30)
    place.source.credit(place.source._runtimes["one"], 30)

    assert [{one.runtime for one in calls if one.session_id == session} for session in "ab"] in (
        [{"one"}, {"one"}],
        [{"one"}, {"two"}],
    )


def test_a_stateful_call_that_waits_for_its_runtime_can_be_cancelled(place: Place) -> None:
    home = place.attach("home", slots=1)
    place.run("count", session_id="s")
    waiting = place.run("count", session_id="s")

    place.source.cancel(waiting)
    place.source.cancel(waiting)
    place.source.credit(home, 5)

    assert (place.answers.error.code, len(home.in_flight)) == ("CANCELLED", 1)


def test_nested_stateful_calls_go_to_the_same_home(place: Place) -> None:
    for number in range(4):
        place.attach(f"r{number}", slots=1000)
    for session in map(str, range(20)):
        home = place.run("count", session_id=session).runtime

        assert place.run("count", session_id=session, depth=1).runtime == home


# ---------------------------------------------------------------------------------- where breakers keep calls away


def test_a_runtime_that_keeps_failing_at_a_tool_gets_no_calls_of_it_and_all_others(place: Place) -> None:
    place.attach("one")
    place.open()
    other = place.attach("two", "send")

    assert place.run("send").runtime == other.runtime_id
    assert place.run("look").runtime == "one"
    assert ("breaker.opened", "one", "send@1.0.0 for 30 s") in place.notes


def test_when_all_are_open_the_call_is_refused_and_told_when_to_come_back(place: Place) -> None:
    place.attach("one")
    place.open()
    place.clock.advance(10)

    place.run("send")

    error = place.answers.error
    assert (error.code, error.ran, error.retry_after) == ("DEPENDENCY_UNAVAILABLE", "no", timedelta(seconds=OPEN - 10))
    assert "has failed at it too often" in error.message


def test_half_open_one_call_is_tried_and_three_close_it(place: Place) -> None:
    place.attach("one")
    place.open()
    place.clock.advance(OPEN)

    for _ in range(SUCCESSES):
        trial, refused = place.run("send"), place.run("send")
        assert (trial.runtime, refused.runtime) == ("one", "")
        place.end(trial)

    assert place.notes[-1] == ("breaker.closed", "one", "send@1.0.0")
    assert [place.run("send").runtime for _ in range(2)] == ["one", "one"]


def test_a_trial_that_fails_opens_it_for_longer(place: Place) -> None:
    place.attach("one")
    place.open()
    place.clock.advance(OPEN)

    place.end(place.run("send"), broken())

    assert place.notes[-1] == ("breaker.opened", "one", "send@1.0.0 for 60 s")


def test_a_trial_that_never_left_is_tried_again_when_its_runtime_is_back(place: Place) -> None:
    one = place.attach("one")
    place.open()
    place.clock.advance(OPEN)
    trial = place.run("send")
    assert isinstance(one.link, Link)
    one.link.queued.append(trial)

    place.source.detach(one, "gone")
    place.answers.given.clear()
    place.attach("one")

    place.source.sweep()
    assert trial.runtime == "one"
    assert place.run("send").runtime == ""


def test_a_breaker_that_opens_moves_what_waits_for_that_runtime(place: Place) -> None:
    place.attach("one", slots=1)
    for _ in range(CONSECUTIVE - 1):
        place.end(place.run("count", session_id="s"), broken())
    last, waiting = place.run("count", session_id="s"), place.run("count", session_id="s")
    place.answers.given.clear()

    place.end(last, broken())
    place.source.sweep()

    assert [invocation for invocation, _ in place.answers.given] == [last, waiting]
    assert place.answers.given[1][1].error is not None
    assert place.answers.given[1][1].error.code == "DEPENDENCY_UNAVAILABLE"


def test_calls_that_wait_are_ended_when_the_last_breaker_opens(place: Place) -> None:
    place.attach("one", slots=1)
    for _ in range(CONSECUTIVE - 1):
        place.end(place.run("send"), broken())
    last, waiting = place.run("send"), place.run("send")
    place.answers.given.clear()

    place.source.result(place.source._runtimes["one"], last.handle, broken())
    place.source.sweep()

    assert [invocation for invocation, _ in place.answers.given] == [last, waiting]
    assert place.answers.given[1][1].error is not None
    assert place.answers.given[1][1].error.code == "DEPENDENCY_UNAVAILABLE"


def test_the_errors_of_a_tool_open_nothing(place: Place) -> None:
    place.attach("one")
    for _ in range(50):
        place.end(place.run("send"), Outcome(error=ExecutionError("TOOL_EXECUTION_FAILED", "x", ran="yes")))

    assert not any(event == "breaker.opened" for event, _, _ in place.notes)
    assert place.source.breakers.all == {}


def test_a_runtime_that_hangs_opens_its_breaker_and_one_that_was_given_little_time_does_not(place: Place) -> None:
    for seconds, opens in ((1.0, False), (30.0, True)):
        runtime = place.attach(f"with-{seconds:g}", slots=99)
        for _ in range(CONSECUTIVE):
            place.source.heard(runtime)
            place.run("send", deadline=place.clock() + seconds)
            place.clock.advance(seconds + 1)
            place.source.sweep()

        assert any(event == "breaker.opened" for event, _, _ in place.notes) is opens
        place.source.detach(runtime, "done")


def test_a_runtime_that_crashes_at_each_call_is_kept_from_that_tool_when_it_is_back(place: Place) -> None:
    for _ in range(CONSECUTIVE):
        runtime = place.attach("one")
        place.run("send")
        place.source.detach(runtime, "gone")
    place.answers.given.clear()
    place.attach("one")

    place.run("send")

    assert place.answers.error.code == "DEPENDENCY_UNAVAILABLE"
    assert place.run("look").runtime == "one"


def test_nested_calls_heed_breakers_and_labels(place: Place) -> None:
    place.attach("one")
    place.open()
    assert place.run("train", depth=1).runtime == ""
    place.run("send", depth=1)
    assert place.answers.error.code == "DEPENDENCY_UNAVAILABLE"

    place.clock.advance(OPEN)

    assert place.run("send", depth=1).runtime == "one"


# ----------------------------------------------------------------------------------------------------------- status


def test_the_status_tells_labels_breakers_and_what_waits(place: Place) -> None:
    place.attach("one", slots=1, zone="a")
    place.open()
    place.run("look")
    place.run("look")

    (shown,) = place.source.status()
    queue = place.source.queue_status()

    assert (shown["labels"], shown["breakers"], shown["kind"]) == (
        {"zone": "a"},
        {"send@1.0.0": "open"},
        "python 0.1.0",
    )
    assert queue == {"calls": 1, "limit": 100, "bytes": 7, "tools": {"look@1.0.0": 1}, "nested": 0}
