"""Slots of nested calls: as many at each depth as a runtime takes at once, beside those of the calls of clients."""

from __future__ import annotations

import math
from typing import Any

import pytest

from altar.adm.errors import ExecutionError
from altar.grid.host import nested_slots
from altar.grid.host.runtimes import GRACE, NOBODY, AttachedRuntime, RuntimeSource
from altar.later.invocation import Invocation, Outcome
from altar.testing import FakeClock
from tests.unit.grid.contracts import MANIFEST, Link, call
from tests.unit.later.doubles import Answers

DONE = Outcome(b"1")


class Place:
    """A source, and runtimes that take two calls at once at each depth."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.answers = Answers()
        self.source = RuntimeSource(MANIFEST, queue=2, heartbeat=60.0, note=lambda *_: None, clock=self.clock)

    def attach(
        self, name: str, *, concurrency: int = 2, capabilities: frozenset[str] = frozenset({"nested"})
    ) -> AttachedRuntime:
        runtime = self.source.attach(name, Link())
        runtime.concurrency, runtime.capabilities, runtime.kind = concurrency, capabilities, "python 0.1.0"
        contract = MANIFEST.find("send")
        self.source.fulfil(runtime, "send", contract.version, contract.digest)
        self.source.credit(runtime, concurrency)
        return runtime

    def run(self, depth: int = 1, *, deadline: float = math.inf, **more: Any) -> Invocation:
        parent = call("look", depth=depth - 1) if depth else None
        needs = ("nested",) if depth else ()
        invocation = call("send", deadline=deadline, depth=depth, parent=parent, needs=needs, **more)
        self.source.run(invocation, self.answers)
        return invocation

    def outcome(self, invocation: Invocation) -> Outcome:
        """What the call was answered."""
        (outcome,) = (outcome for answered, outcome in self.answers.given if answered is invocation)
        return outcome


@pytest.fixture
def place() -> Place:
    return Place()


def sent(runtime: AttachedRuntime) -> list[Invocation]:
    assert isinstance(runtime.link, Link)
    return runtime.link.sent


def test_a_runtime_whose_credits_are_spent_still_takes_the_calls_that_its_functions_wait_for(place: Place) -> None:
    one = place.attach("one")
    for _ in range(2):
        place.run(0)

    nested = place.run(1)
    deeper = place.run(2)

    assert one.credits == 0
    assert sent(one)[-2:] == [nested, deeper]


def test_nested_calls_spend_no_credits(place: Place) -> None:
    one = place.attach("one")
    for _ in range(2):
        place.run(1)

    plain = place.run(0)

    assert sent(one)[-1] is plain


def test_at_each_depth_no_more_run_than_the_runtime_takes_at_once(place: Place) -> None:
    one = place.attach("one")
    first, second = place.run(1), place.run(1)
    waiting = place.run(1)
    assert waiting not in sent(one)

    place.source.result(one, first.handle, DONE)

    assert sent(one) == [first, second, waiting]
    assert place.outcome(first) == DONE


def test_a_slot_of_another_depth_does_not_serve_who_waits(place: Place) -> None:
    one = place.attach("one")
    for _ in range(2):
        place.run(1)
    deeper, waiting = place.run(2), place.run(1)

    place.source.result(one, deeper.handle, DONE)

    assert waiting not in sent(one)


def test_the_least_busy_runtime_gets_a_nested_call(place: Place) -> None:
    one, two = place.attach("one"), place.attach("two")

    for _ in range(4):
        place.run(1)

    assert (len(sent(one)), len(sent(two))) == (2, 2)


def test_a_runtime_that_comes_serves_the_nested_calls_that_wait(place: Place) -> None:
    place.attach("one", concurrency=1)
    place.run(1)
    waiting = place.run(1)

    two = place.attach("two")

    assert sent(two) == [waiting]


def test_a_runtime_that_leaves_still_takes_what_its_calls_wait_for(place: Place) -> None:
    one = place.attach("one")
    place.run(0)
    place.source.drain(one)

    nested = place.run(1)

    assert sent(one)[-1] is nested


def test_another_runtime_is_preferred_to_one_that_leaves(place: Place) -> None:
    one, two = place.attach("one"), place.attach("two")
    for _ in range(3):
        place.run(0)
    leaving, staying = sorted((one, two), key=lambda each: len(sent(each)))
    place.source.drain(leaving)

    nested = place.run(1)

    assert sent(staying)[-1] is nested


def test_a_nested_call_that_waits_is_cancelled_where_it_waits(place: Place) -> None:
    one = place.attach("one", concurrency=1)
    place.run(1)
    waiting = place.run(1)

    place.source.cancel(waiting)

    ended = place.outcome(waiting).error
    assert isinstance(ended, ExecutionError)
    assert (ended.code, ended.ran) == ("CANCELLED", "no")
    assert waiting not in sent(one)


def test_a_nested_call_that_is_late_frees_its_slot(place: Place) -> None:
    one = place.attach("one", concurrency=1)
    late = place.run(1, deadline=place.clock() + 1)
    waiting = place.run(1)

    place.clock.advance(1 + 2 * GRACE)
    place.source.sweep()

    error = place.outcome(late).error
    assert error is not None
    assert error.code == "TIMEOUT"
    assert sent(one)[-1] is waiting


def test_a_nested_call_waits_for_its_deadline_and_no_longer(place: Place) -> None:
    place.attach("one", concurrency=1)
    place.run(1)
    waiting = place.run(1, deadline=place.clock() + 1)

    place.clock.advance(1.5)
    place.source.sweep()

    error = place.outcome(waiting).error
    assert error is not None
    assert (error.code, error.ran) == ("TIMEOUT", "no")


def test_a_nested_call_that_nobody_fulfils_waits_a_while_and_is_told_so(place: Place) -> None:
    waiting = place.run(1)

    place.source.sweep()
    place.clock.advance(NOBODY + 1)
    place.source.sweep()

    error = place.outcome(waiting).error
    assert error is not None
    assert (error.code, error.ran) == ("DEPENDENCY_UNAVAILABLE", "no")


def test_more_nested_calls_than_may_wait_are_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nested_slots, "WAITING", 1)
    place.attach("one", concurrency=1)
    place.run(1)
    place.run(1)

    refused = place.outcome(place.run(1)).error

    assert refused is not None
    assert (refused.code, refused.ran) == ("RESOURCE_EXHAUSTED", "no")


def test_runtimes_without_the_capability_are_named_and_get_no_nested_call(place: Place) -> None:
    old = place.attach("old", capabilities=frozenset({"deadline", "cancel", "drain"}))

    refused = place.outcome(place.run(1)).error

    assert refused is not None
    assert (refused.code, refused.ran) == ("FEATURE_UNAVAILABLE", "no")
    assert refused.message == "The call of 'send' needs 'nested', which a runtime of python 0.1.0 cannot do"
    assert sent(old) == []


def test_a_plain_call_that_needs_a_capability_goes_only_where_it_is(place: Place) -> None:
    old = place.attach("old")
    new = place.attach("new", capabilities=frozenset({"nested", "streaming"}))

    for _ in range(2):
        place.source.run(call("send", needs=("streaming",)), place.answers)

    assert (len(sent(old)), len(sent(new))) == (0, 2)


def test_a_call_that_waits_for_a_capability_is_not_given_to_a_runtime_without_it(place: Place) -> None:
    new = place.attach("new", concurrency=1, capabilities=frozenset({"streaming"}))
    place.source.run(call("send", needs=("streaming",)), place.answers)
    waiting = call("send", needs=("streaming",))
    place.source.run(waiting, place.answers)

    old = place.attach("old")
    assert sent(old) == []
    place.source.credit(new, 1)

    assert sent(new)[-1] is waiting


def test_a_call_of_a_lost_runtime_may_run_again_elsewhere_only_if_it_never_left(place: Place) -> None:
    one = place.attach("one", concurrency=1)
    running, queued = place.run(1), place.run(2)
    assert isinstance(one.link, Link)
    one.link.queued = [queued]
    two = place.attach("two")

    place.source.detach(one, "lost")

    assert sent(two) == [queued]
    error = place.outcome(running).error
    assert error is not None
    assert (error.code, error.ran) == ("RUNTIME_CRASH", "unknown")
