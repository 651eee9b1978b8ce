"""Which runtime gets a call: beside a model that looks at all of them, and with very many."""

from __future__ import annotations

import random
from collections import Counter
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from altar.grid.host import routing
from altar.grid.host.routing import AttachedRuntime, Demand, Key, Router
from altar.grid.host.waiting import Lane, Waiting
from altar.later.invocation import Invocation
from altar.testing import FakeClock
from tests.unit.grid.contracts import Link

SEND: Key = ("send", "1.0.0")
LOOK: Key = ("look", "1.0.0")


def runtime(name: str, *keys: Key, credits_: int = 1, **labels: str) -> AttachedRuntime:
    """A runtime that no router knows yet."""
    made = AttachedRuntime(name, Link(), connection_epoch=1, now=0.0, changed=lambda _: None)
    for key in keys or (SEND,):
        made.fulfils.add(key)
    made.credits = credits_
    made.labels = tuple(sorted(labels.items()))
    return made


def router(*runtimes: AttachedRuntime, seed: int = 1) -> Router:
    """A router of these runtimes."""
    made = Router(draw=random.Random(seed).random)
    for one in runtimes:
        made.place(one)
    return made


_TAGS = count(1)


def busy(made: Router, one: AttachedRuntime, times: int = 1) -> None:
    """Give a runtime something to do."""
    for _ in range(times):
        one.in_flight[next(_TAGS)] = Invocation("send", b"{}")
    made.refile(one)


# ---------------------------------------------------------------------------------------------------------- plainly


def test_runtimes_that_are_equal_take_turns() -> None:
    alike = [runtime(f"alike-{number}", credits_=99) for number in range(3)]
    unlike = [runtime(f"unlike-{number}", credits_=99, node=str(number)) for number in range(3)]
    for those in (alike, unlike):
        made = router(*those)
        chosen = Counter[str]()
        for _ in range(9):
            one = made.pool(SEND).least()
            assert one is not None
            chosen[one.runtime_id] += 1
            busy(made, one)
            one.in_flight.clear()
            made.refile(one)

        assert set(chosen.values()) == {3}


def test_with_very_many_that_are_unlike_the_work_is_spread_nearly_evenly() -> None:
    those = [runtime(f"r{number}", credits_=999, node=str(number)) for number in range(500)]
    made = router(*those)

    for _ in range(500 * 10):
        one = made.pool(SEND).least()
        assert one is not None
        busy(made, one)

    loads = [len(one.in_flight) for one in those]
    assert min(loads) >= 5
    assert max(loads) <= 14  # one choice by chance alone would give some of them 20 and more


def test_preferred_labels_are_looked_for_in_their_order_and_the_last_is_given_up_first() -> None:
    far = runtime("far", region="us", zone="a")
    near = runtime("near", region="eu", zone="b")
    made = router(far, near, runtime("plain"))
    demand = Demand(*SEND)

    def order(*prefers: tuple[str, str]) -> list[list[str]]:
        return [[one.runtime_id for one in pool.runtimes()] for pool in made.nearer(demand, prefers)]

    assert order(("region", "eu"), ("zone", "b")) == [["near"], ["near"]]
    assert order(("region", "eu"), ("zone", "a")) == [[], ["near"]]
    assert order(("region", "eu"), ("zone", "nowhere")) == [["near"]]
    assert order(("region", "nowhere"), ("zone", "a")) == []


def test_labels_that_nobody_has_leave_nothing_behind() -> None:
    made = router(runtime("one", zone="a"))
    for number in range(100):
        assert list(made.nearer(Demand(*SEND), (("zone", str(number)),))) == []

    assert len(made._pools) == 0


def test_demands_that_nobody_waits_for_are_forgotten_when_they_are_too_many() -> None:
    one = runtime("one", credits_=5)
    made, queue = router(one), Waiting(10, clock=FakeClock())
    waits = made.pool(SEND, needs=("kept",))
    place = queue.add(Invocation("send", b"{}"), waits.lane)
    for number in range(routing.MAX_POOLS + 10):
        made.pool(SEND, needs=(str(number),))

    assert len(made._pools) < 100
    assert made.pool(SEND, needs=("kept",)) is waits
    assert made.pool(SEND).least() is one
    assert waits.lane.oldest() is place


def test_a_runtime_that_goes_leaves_nothing_behind() -> None:
    those = [runtime(f"r{number}", zone=str(number)) for number in range(5)]
    made = router(*those)
    pool = made.pool(SEND)
    for one in those:
        made.remove(one)

    assert (pool.least(), list(pool.runtimes()), made._groups, dict(made._labels)) == (None, [], {}, {})
    assert pool.lane.away == set()


def test_what_waits_for_one_runtime_and_what_waits_for_any_is_served_in_one_order() -> None:
    one, other = runtime("one"), runtime("other")
    made, queue = router(one, other), Waiting(10, clock=FakeClock())
    shared = made.pool(SEND).lane
    own = Lane(made.pool(SEND))
    one.backlog.join(own)
    first, second, third = (queue.add(Invocation("send", b"{}"), lane) for lane in (own, shared, own))

    served = []
    while (place := made.oldest(one)) is not None:
        queue.take(place)
        served.append(place)
    assert served == [first, second, third]
    assert made.oldest(other) is None


# ---------------------------------------------------------------------------------------------------- beside a model


class Model(RuleBasedStateMachine):
    """Runtimes come, go, take and end calls; the router must always know what looking at all of them finds."""

    @initialize()
    def begin(self) -> None:
        self.router = Router(draw=random.Random(1).random)
        self.runtimes: list[AttachedRuntime] = []
        self.names = count(1)
        self.tags = count(1)

    @rule(
        keys=st.sets(st.sampled_from([SEND, LOOK])),
        zone=st.sampled_from(["", "a"]),  # no more groups than are all looked at
        can=st.booleans(),
        credits_=st.integers(0, 3),
    )
    def comes(self, *, keys: set[Key], zone: str, can: bool, credits_: int) -> None:
        made = runtime(f"r{next(self.names)}", *keys, credits_=credits_, **({"zone": zone} if zone else {}))
        made.capabilities = frozenset({"streaming"} if can else ())
        self.runtimes.append(made)
        self.router.place(made)

    @precondition(lambda self: self.runtimes)
    @rule(data=st.data(), what=st.sampled_from(["goes", "drains", "blocked", "unblocked", "fulfils", "credit", "ends"]))
    def changes(self, data: st.DataObject, what: str) -> None:
        one = data.draw(st.sampled_from(self.runtimes))
        if what == "goes":
            self.runtimes.remove(one)
            self.router.remove(one)
        elif what == "drains":
            one.draining = True
            self.router.remove(one)
        elif what == "credit":
            one.credits += 1
            self.router.refile(one)
        elif what == "ends" and one.in_flight:
            one.in_flight.popitem()
            self.router.refile(one)
        else:
            keys = one.fulfils if what == "fulfils" else one.blocked
            if what == "unblocked":
                keys.discard(SEND)
            elif what != "ends":
                keys.add(SEND)
            self.router.place(one)

    @rule(key=st.sampled_from([SEND, LOOK]), zone=st.sampled_from(["", "a", "b", "c"]), need=st.booleans())
    def call(self, *, key: Key, zone: str, need: bool) -> None:
        demand = Demand(*key, (("zone", zone),) if zone else (), ("streaming",) if need else ())
        able = [
            one
            for one in self.runtimes
            if key in one.fulfils
            and key not in one.blocked
            and one.credits > 0
            and not one.draining
            and (not zone or ("zone", zone) in one.labels)
            and (not need or "streaming" in one.capabilities)
        ]
        chosen = self.router.pool(demand[:2], demand.requires, demand.needs).least()
        assert (chosen is None) is (not able)
        if chosen is not None:
            assert chosen in able
            assert len(chosen.in_flight) == min(len(one.in_flight) for one in able)
            chosen.credits -= 1
            chosen.in_flight[next(self.tags)] = Invocation("send", b"{}")
            self.router.refile(chosen)

    @invariant()
    def keeps_groups_apart(self) -> None:
        if not hasattr(self, "router"):
            return
        for group in self.router._groups.values():
            assert group.runtimes
            assert bool(group.mask) is any(one.filed >= 0 for one in group.runtimes)
            assert len({one.labels for one in group.runtimes}) == 1


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
