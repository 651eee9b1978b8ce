"""Calls that wait: in which order they are served, who gives way, and how long the queue takes to drain."""

from __future__ import annotations

import math
from datetime import timedelta

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from altar.grid.host import waiting
from altar.grid.host.routing import Demand, Pool
from altar.grid.host.waiting import Backlog, Lane, Place, Waiting
from altar.later.invocation import Invocation
from altar.testing import FakeClock


def invocation(principal: str = "anyone", *, size: int = 1, deadline: float = math.inf) -> Invocation:
    return Invocation("send", b"x" * size, principal=principal, deadline=deadline)


def lane() -> Lane:
    return Pool(Demand("send", "1.0.0"), draw=lambda: 0.0).lane


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> Waiting:
    return Waiting(100, clock=clock)


# ---------------------------------------------------------------------------------------------------------- order


def test_the_oldest_of_several_lanes_goes_first_whichever_was_served_before(queue: Waiting) -> None:
    one, two, backlog = lane(), lane(), Backlog()
    backlog.join(one)
    backlog.join(two)
    waiting = [queue.add(invocation(), at) for at in (one, two, one, two, one)]

    served = []
    while (place := backlog.oldest()) is not None:
        queue.take(place, served=True)
        served.append(place)

    assert served == waiting


def test_a_lane_that_was_empty_for_a_while_is_served_again(queue: Waiting) -> None:
    one, backlog = lane(), Backlog()
    backlog.join(one)
    for _ in range(3):
        assert backlog.oldest() is None
        place = queue.add(invocation(), one)
        assert backlog.oldest() is place
        queue.take(place)


# ----------------------------------------------------------------------------------------------------------- pace


def test_whoever_is_refused_is_told_when_what_waits_will_have_been_served(queue: Waiting, clock: FakeClock) -> None:
    one = lane()
    places = [queue.add(invocation(), one) for _ in range(30)]
    for place in places[:20]:
        clock.advance(0.1)
        queue.take(place, served=True)

    assert queue.retry_after() == timedelta(seconds=1)


def test_a_pace_that_has_changed_is_followed(queue: Waiting, clock: FakeClock) -> None:
    one = lane()
    for _ in range(20):
        queue.add(invocation(), one)
    clock.advance(100)
    queue.retry_after()
    for _ in range(10):
        clock.advance(1)
        queue.take(one.oldest(), served=True)

    assert queue.retry_after().total_seconds() == pytest.approx(10 * 20 / 10, rel=0.2)


@pytest.mark.parametrize(("served", "seconds", "told"), [(1, 0.0, 0.05), (1, 1e9, 30.0), (0, 0.0, 0.5), (0, 1e9, 30.0)])
def test_the_wait_that_is_told_is_bounded(
    queue: Waiting, clock: FakeClock, served: int, seconds: float, told: float
) -> None:
    one = lane()
    for _ in range(1 + served):
        queue.add(invocation(), one)
    clock.advance(seconds)
    for _ in range(served):
        queue.take(one.oldest(), served=True)

    assert queue.retry_after() == timedelta(seconds=told)


def test_while_nothing_moves_the_wait_is_as_long_as_nothing_has_moved(queue: Waiting, clock: FakeClock) -> None:
    one = lane()
    places = [queue.add(invocation(), one) for _ in range(20)]
    clock.advance(7)
    for place in places[:10]:
        queue.take(place)

    assert queue.retry_after() == timedelta(seconds=7)


# ------------------------------------------------------------------------------------------------------- deadlines


def test_calls_are_late_in_the_order_of_their_deadlines_and_once(queue: Waiting) -> None:
    one = lane()
    second = queue.add(invocation(deadline=2000.0), one)
    first = queue.add(invocation(deadline=1500.0), one)
    queue.take(queue.add(invocation(deadline=1500.0), one))
    queue.add(invocation(), one)

    assert queue.late(1499.0) == []
    assert queue.late(2000.0) == [first, second]
    assert queue.late(9999.0) == []


def test_what_is_remembered_of_calls_that_are_gone_is_bounded(clock: FakeClock) -> None:
    queue, one = Waiting(3, clock=clock), lane()
    for _ in range(3):
        queue.add(invocation("greedy", size=5), one)
    for number in range(1000):
        assert queue.make_room(invocation(f"p{number}"), queue.take)
        queue.take(queue.add(invocation(f"p{number}", deadline=2000.0), one))
        queue.add(invocation("greedy", deadline=2000.0), one)
        assert queue._largest is not None
        assert max(len(queue._late), len(queue._largest)) <= 2 * 4 + waiting._SPARE

    for place in list(one.calls.values()):
        queue.take(place)
    assert (queue._of, queue.lanes, queue.count, queue.size, queue._largest) == ({}, {}, 0, 0, None)


def test_the_status_says_what_waits_for_which_tool(queue: Waiting) -> None:
    queue.add(invocation(size=3), lane())
    queue.add(invocation(size=4), lane())

    assert queue.status() == {"calls": 2, "limit": 100, "bytes": 7, "tools": {"send@1.0.0": 2}}


# ------------------------------------------------------------------------------------------------- beside a model


class Model(RuleBasedStateMachine):
    """The queue beside one list of all calls, which is looked through each time."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = FakeClock()
        self.queue = Waiting(6, clock=self.clock)
        self.lanes = [lane() for _ in range(3)]
        self.backlogs = [Backlog(), Backlog()]
        self.serves = [(0, 1), (1, 2)]
        for backlog, places in zip(self.backlogs, self.serves, strict=True):
            for place in places:
                backlog.join(self.lanes[place])
        self.waits: list[Place] = []

    @rule(at=st.integers(0, 2), principal=st.sampled_from("abc"), size=st.integers(0, 3), given=st.integers(0, 5))
    def call(self, at: int, principal: str, size: int, given: int) -> None:
        made = invocation(principal, size=size, deadline=self.clock() + given)
        gave_way: list[Place] = []

        def give_way(place: Place) -> None:
            gave_way.append(place)
            self.queue.take(place)

        expected = self._room(principal)
        assert self.queue.make_room(made, give_way) is (expected is not None)
        assert gave_way == (expected or [])
        self.waits = [place for place in self.waits if place not in gave_way]
        if expected is not None:
            self.waits.append(self.queue.add(made, self.lanes[at]))

    @precondition(lambda self: self.waits)
    @rule(data=st.data())
    def take_back(self, data: st.DataObject) -> None:
        place = data.draw(st.sampled_from(self.waits))
        self.queue.take(place)
        self.waits.remove(place)

    @rule(which=st.integers(0, 1))
    def serve(self, which: int) -> None:
        place = self.backlogs[which].oldest()
        mine = [one for one in self.waits if self.lanes.index(one.lane) in self.serves[which]]
        assert place is (mine[0] if mine else None)
        if place is not None:
            self.queue.take(place, served=True)
            self.waits.remove(place)

    @rule(seconds=st.integers(0, 3))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        late = self.queue.late(self.clock())
        assert set(late) == {one for one in self.waits if one.invocation.deadline <= self.clock()}
        for place in late:
            self.queue.take(place)
            self.waits.remove(place)

    @invariant()
    def holds_what_waits(self) -> None:
        assert self.queue.count == len(self.waits)
        assert self.queue.size == sum(len(one.invocation.arguments) for one in self.waits)
        assert set(self.queue.lanes) == {one.lane for one in self.waits}

    def _room(self, principal: str) -> list[Place] | None:
        """Who gives way to one more call of a principal; None when it is refused."""
        if len(self.waits) < 6:
            return []
        of = {name: [one for one in self.waits if one.invocation.principal == name] for name in "abc"}
        most = max(len(theirs) for theirs in of.values())
        if most <= len(of[principal]) + 1:
            return None
        greedy = next(theirs for theirs in of.values() if len(theirs) == most)  # of equals the first by name
        return [greedy[-1]]


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
