"""The runtimes of a host: who gets a call, and what becomes of it when its runtime is lost."""

from __future__ import annotations

import math
from typing import Any

import pytest

from altar.adm.errors import ExecutionError, ValidationError
from altar.grid.host import runtimes, waiting
from altar.grid.host.fitness import MAX_ATTEMPTS
from altar.grid.host.runtimes import GRACE, NOBODY, AttachedRuntime, RuntimeSource
from altar.later.invocation import Invocation, Outcome
from altar.testing import FakeClock
from tests.unit.grid.contracts import MANIFEST, Link, call
from tests.unit.later.doubles import Answers

DONE = Outcome(b"1")


class Place:
    """A source with a queue of two, and what it told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.notes: list[tuple[Any, str]] = []
        self.answers = Answers()
        self.source = RuntimeSource(
            MANIFEST,
            queue=2,
            heartbeat=1.0,
            note=lambda event, subject, _note: self.notes.append((event, subject)),
            clock=self.clock,
        )

    def attach(self, name: str, *, slots: int = 4, tools: tuple[str, ...] = ("send", "look")) -> AttachedRuntime:
        runtime = self.source.attach(name, Link())
        for tool in tools:
            contract = MANIFEST.find(tool)
            self.source.fulfil(runtime, tool, contract.version, contract.digest)
        self.source.credit(runtime, slots)
        return runtime

    def run(self, name: str = "send", *, deadline: float = math.inf, **more: Any) -> Invocation:
        invocation = call(name, deadline=deadline, **more)
        self.source.run(invocation, self.answers)
        return invocation


@pytest.fixture
def place() -> Place:
    return Place()


def link(runtime: AttachedRuntime) -> Link:
    assert isinstance(runtime.link, Link)
    return runtime.link


# ------------------------------------------------------------------------------------------------------- choosing


def test_a_call_goes_to_the_runtime_with_least_in_flight(place: Place) -> None:
    one, two = place.attach("one"), place.attach("two")

    for _ in range(4):
        place.run()

    assert (len(one.in_flight), len(two.in_flight)) == (2, 2)


def test_no_call_is_sent_without_a_credit(place: Place) -> None:
    one = place.attach("one", slots=1)
    place.run()
    waiting = place.run()
    assert (len(link(one).sent), one.credits) == (1, 0)

    place.source.credit(one, 1)

    assert link(one).sent[-1] is waiting


def test_a_runtime_that_grants_without_measure_has_no_more_calls_at_once_than_the_limit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "MOST_AT_ONCE", 3)
    one = place.attach("one", slots=2**32 - 1)
    for _ in range(4):
        place.run()
        place.source.credit(one, 2**32 - 1)
    assert (len(link(one).sent), place.source.waiting.count) == (3, 1)

    place.source.result(one, next(iter(one.in_flight)), DONE)
    place.source.credit(one, 1)

    assert (len(link(one).sent), one.credits) == (4, 0)


def test_a_runtime_that_does_not_read_gets_no_call_before_it_does(place: Place) -> None:
    one = place.attach("one")
    link(one).is_crowded = True
    place.run()
    waiting = place.run()
    place.source.credit(one, 2)
    assert (len(link(one).sent), place.source.waiting.count) == (1, 1)

    link(one).is_crowded = False
    place.source.room(one)

    assert link(one).sent[-1] is waiting
    assert (place.source.waiting.count, one.credits) == (0, 4)


def test_a_nested_call_does_not_go_to_a_runtime_that_does_not_read(place: Place) -> None:
    one, two = place.attach("one"), place.attach("two")
    one.concurrency = two.concurrency = 4
    link(one).is_crowded = True

    place.run(depth=1)
    place.run(depth=1)

    assert (len(link(one).sent), len(link(two).sent)) == (0, 2)


def test_a_call_goes_only_where_its_contract_is_fulfilled(place: Place) -> None:
    one, two = place.attach("one", tools=("look",)), place.attach("two", tools=("send",))

    place.run("send")

    assert (link(one).sent, len(link(two).sent)) == ([], 1)


def test_those_that_wait_longest_go_first(place: Place) -> None:
    first, second = place.run("send"), place.run("look")
    first.intent, second.intent = 1, 2

    one = place.attach("one", slots=1)
    assert link(one).sent == [first]
    place.source.credit(one, 1)
    assert link(one).sent == [first, second]


def test_a_full_queue_refuses_and_says_when_to_come_back(place: Place) -> None:
    for _ in range(3):
        place.run()

    error = place.answers.error
    assert (error.code, error.ran) == ("RESOURCE_EXHAUSTED", "no")
    assert error.retry_after is not None


def test_in_a_full_queue_whoever_has_most_in_it_gives_way(place: Place) -> None:
    older, newer = place.run(principal="greedy"), place.run(principal="greedy")
    older.intent, newer.intent = 1, 2

    place.run(principal="modest")

    assert [newer] == [invocation for invocation, _ in place.answers.given]
    assert place.answers.error.message == "2 calls are waiting for a runtime already"


def test_calls_that_wait_are_limited_in_bytes_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAITING_BYTES", 10)  # the arguments of a call are seven
    place.run()
    place.run()

    error = place.answers.error
    assert (error.code, error.message) == ("RESOURCE_EXHAUSTED", "Calls of 7 bytes are waiting for a runtime already")


def test_whoever_has_most_bytes_waiting_gives_way(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAITING_BYTES", 30)
    monkeypatch.setattr(place.source.waiting, "limit", 100)
    theirs = [place.run(principal="greedy") for _ in range(4)]
    for number, invocation in enumerate(theirs):
        invocation.intent = number

    mine = place.run(principal="modest")
    one = place.attach("one", slots=9)

    assert [(theirs[-1], "RESOURCE_EXHAUSTED")] == [
        (invocation, outcome.error.code) for invocation, outcome in place.answers.given if outcome.error is not None
    ]
    assert [*theirs[:-1], mine] == sorted(link(one).sent, key=lambda sent: sent is mine)


def test_one_call_alone_may_wait_however_large_it_is(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "WAITING_BYTES", 1)
    invocation = place.run()

    assert link(place.attach("one")).sent == [invocation]


def test_the_stream_of_a_runtime_that_leaves_ends_when_its_last_call_has_ended(place: Place) -> None:
    one = place.attach("one")
    place.run()
    place.run()
    place.source.drain(one)
    first, second = one.in_flight

    place.source.result(one, first, DONE)
    assert not link(one).finished
    place.source.result(one, second, DONE)

    assert link(one).finished


def test_the_stream_of_a_runtime_that_leaves_with_nothing_to_do_ends_at_once(place: Place) -> None:
    one = place.attach("one")
    assert not link(one).finished

    place.source.drain(one)

    assert link(one).finished


def test_the_stream_of_a_runtime_that_leaves_ends_when_its_last_call_is_late(place: Place) -> None:
    one = place.attach("one")
    place.run(deadline=place.clock() + 1)
    place.source.drain(one)
    place.clock.advance(1 + GRACE)
    place.source.heard(one)

    place.source.sweep()

    assert link(one).finished


def test_a_runtime_that_leaves_is_none_that_a_call_could_wait_for(place: Place) -> None:
    one = place.attach("one")
    busy = place.run()
    place.source.drain(one)
    place.run()
    place.source.sweep()
    place.clock.advance(NOBODY + 0.1)
    place.source.heard(one)
    place.source.sweep()

    assert place.answers.error.code == "DEPENDENCY_UNAVAILABLE"
    assert busy in one.in_flight.values()


def test_a_runtime_that_leaves_gets_no_new_calls_and_its_results_count(place: Place) -> None:
    one = place.attach("one")
    place.run()
    place.source.drain(one)

    place.run()
    place.source.result(one, next(iter(one.in_flight)), DONE)

    assert len(link(one).sent) == 1
    assert place.answers.outcomes == [DONE]


# --------------------------------------------------------------------------------------------------------- results


def test_a_result_settles_its_call_once(place: Place) -> None:
    one = place.attach("one")
    invocation = place.run()
    (tag,) = one.in_flight

    for _ in range(2):
        place.source.result(one, tag, DONE)
    place.source.result(one, 999, DONE)

    assert place.answers.given == [(invocation, DONE)]


def test_a_runtime_cannot_answer_for_another(place: Place) -> None:
    one, two = place.attach("one"), place.attach("two")
    place.run()
    (tag,) = one.in_flight

    place.source.result(two, tag, DONE)

    assert place.answers.given == []


# -------------------------------------------------------------------------------------------------------- losing one


def test_a_call_that_may_run_twice_goes_elsewhere(place: Place) -> None:
    one = place.attach("one")
    invocation = place.run("look")
    two = place.attach("two")

    place.source.detach(one, "gone")

    assert link(two).sent == [invocation]
    assert (invocation.attempts, invocation.runtime) == (2, "two")
    assert place.answers.given == []


def test_a_call_that_must_not_run_twice_is_unknown(place: Place) -> None:
    one = place.attach("one")
    place.run("send")
    two = place.attach("two")

    place.source.detach(one, "gone")

    assert link(two).sent == []
    assert (place.answers.error.code, place.answers.error.ran) == ("RUNTIME_CRASH", "unknown")


def test_a_call_that_never_left_goes_elsewhere_whatever_its_contract(place: Place) -> None:
    one = place.attach("one")
    invocation = place.run("send")
    link(one).queued.append(invocation)
    two = place.attach("two")

    place.source.detach(one, "gone")

    assert link(two).sent == [invocation]
    assert invocation.attempts == 1


def test_a_call_whose_caller_fails_to_hear_of_it_takes_no_other_down(place: Place) -> None:
    heard: list[Invocation] = []

    def settle(invocation: Invocation, outcome: Outcome) -> None:
        if invocation is deaf:
            raise RuntimeError("the caller is gone")
        heard.append(invocation)

    one = place.attach("one")
    deaf, other = call(), call()
    for invocation in (deaf, other):
        place.source.run(invocation, settle)

    place.source.detach(one, "gone")

    assert heard == [other]


def test_even_a_call_that_may_run_twice_is_not_tried_for_ever(place: Place) -> None:
    runtimes = [place.attach(f"r{number}") for number in range(MAX_ATTEMPTS)]
    invocation = place.run("look")

    for _ in range(MAX_ATTEMPTS):
        place.source.detach(next(one for one in runtimes if invocation in one.in_flight.values()), "gone")

    assert place.answers.error.code == "RUNTIME_CRASH"
    assert invocation.attempts == MAX_ATTEMPTS


def test_a_call_that_waits_for_a_second_attempt_may_have_run(place: Place) -> None:
    one = place.attach("one")
    place.run("look")
    place.source.detach(one, "gone")
    place.source.sweep()
    assert place.answers.given == []

    place.clock.advance(NOBODY + 0.1)
    place.source.sweep()

    assert (place.answers.error.code, place.answers.error.ran) == ("DEPENDENCY_UNAVAILABLE", "unknown")


def test_a_call_that_was_cancelled_is_not_tried_again(place: Place) -> None:
    one, invocation = place.attach("one"), place.run("look")
    two = place.attach("two")
    place.source.cancel(invocation)
    assert link(one).cancelled == [invocation.handle]

    place.source.detach(one, "gone")

    assert link(two).sent == []
    assert len(place.answers.given) == 1


def test_a_newer_connection_fences_the_older(place: Place) -> None:
    older = place.attach("one")
    invocation = place.run("send")
    (tag,) = older.in_flight
    newer = place.attach("one")

    place.source.result(older, tag, DONE)
    place.source.credit(older, 5)
    place.source.detach(older, "late news")

    assert place.answers.error.code == "RUNTIME_CRASH"
    assert link(older).closed is not None
    assert newer.connection_epoch > older.connection_epoch
    again = place.run("send")
    assert (link(newer).sent, link(older).sent) == ([again], [invocation])
    assert place.notes == [
        ("runtime.attached", "one"),
        ("runtime.detached", "one"),
        ("runtime.attached", "one"),
    ]


# ---------------------------------------------------------------------------------------------------------- watching


def test_a_runtime_that_is_silent_is_detached_and_told_to_come_back(place: Place) -> None:
    one = place.attach("one")
    place.run("send")
    place.clock.advance(2.9)
    place.source.sweep()
    assert place.answers.given == []

    place.clock.advance(0.2)
    place.source.sweep()

    assert place.answers.error.code == "RUNTIME_CRASH"
    closed = link(one).closed
    assert closed is not None
    assert closed.code == "CONNECTION_FAILED"


def test_a_runtime_that_was_heard_is_kept(place: Place) -> None:
    one = place.attach("one")
    for _ in range(5):
        place.clock.advance(2)
        place.source.heard(one)
        place.source.sweep()

    assert link(one).closed is None


def test_a_call_that_is_late_is_ended_a_little_after_its_deadline(place: Place) -> None:
    one = place.attach("one")
    place.run("send", deadline=place.clock() + 1)
    (tag,) = one.in_flight
    place.clock.advance(1)
    place.source.heard(one)
    place.source.sweep()
    assert place.answers.given == []

    place.clock.advance(GRACE)
    place.source.sweep()

    assert (place.answers.error.code, place.answers.error.ran) == ("TIMEOUT", "unknown")
    assert link(one).cancelled == [tag]
    assert one.in_flight == {}


def test_a_call_that_waits_too_long_did_not_run(place: Place) -> None:
    one = place.attach("one", slots=0)
    place.run("send", deadline=place.clock() + 1)
    place.clock.advance(1)
    place.source.heard(one)
    place.source.sweep()

    assert (place.answers.error.code, place.answers.error.ran) == ("TIMEOUT", "no")
    assert place.answers.error.message == "No runtime was free for 'send' in time"


def test_a_call_that_nobody_fulfils_is_given_up_after_a_while(place: Place) -> None:
    place.attach("one", tools=("look",))
    place.run("send")
    place.source.sweep()
    place.clock.advance(NOBODY + 0.1)
    place.source.sweep()

    assert (place.answers.error.code, place.answers.error.ran) == ("DEPENDENCY_UNAVAILABLE", "no")


def test_a_call_that_waits_can_be_cancelled_and_did_not_run(place: Place) -> None:
    invocation = place.run("send")

    place.source.cancel(invocation)
    place.attach("one")

    assert (place.answers.error.code, place.answers.error.ran) == ("CANCELLED", "no")
    assert place.source.status()[0]["in_flight"] == 0


# --------------------------------------------------------------------------------------------------------- fulfilling


def test_a_contract_that_differs_is_refused_by_name(place: Place) -> None:
    one = place.source.attach("one", Link())

    with pytest.raises(ValidationError, match=r"'send' at 1\.0\.0 is not the contract of the host") as refused:
        place.source.fulfil(one, "send", "1.0.0", "sha256:" + "0" * 64)
    assert refused.value.code == "VERSION_MISMATCH"
    with pytest.raises(ValidationError, match=r"no 'other' at 1\.0\.0"):
        place.source.fulfil(one, "other", "1.0.0", "")
    assert one.fulfils == set()


def test_settling_before_anything_ran_is_a_mistake_of_the_program() -> None:
    place = Place()
    with pytest.raises(RuntimeError, match="was settled before it ran"):
        place.source._settle(call(), Outcome(error=ExecutionError("INTERNAL", "x")))


def test_a_call_that_may_have_run_before_nobody_can_take_it_is_not_said_not_to_have_run(place: Place) -> None:
    able, _ = place.attach("r-1", slots=0, tools=()), place.attach("r-2", slots=0)
    able.capabilities = frozenset({"streaming"})
    look = MANIFEST.find("look")
    place.source.fulfil(able, look.name, look.version, look.digest)
    place.source.credit(able, 1)
    invocation = place.run("look", needs=("streaming",))

    place.source.detach(able, "connection lost")

    ((_, outcome),) = [each for each in place.answers.given if each[0] is invocation]
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.ran) == ("FEATURE_UNAVAILABLE", "unknown")
