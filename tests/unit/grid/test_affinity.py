"""Homes of sessions: the same runtime as long as it is there, and few that move when one comes or goes."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from altar.grid.host.affinity import EACH, Homes, highest

RUNTIMES = [f"runtime-{number}" for number in range(10)]
SESSIONS = [f"session-{number}" for number in range(5000)]


@given(st.text(), st.lists(st.text(), min_size=1, unique=True), st.randoms())
def test_the_order_of_the_runtimes_makes_no_difference(who: str, runtimes: list[str], random: object) -> None:
    assert highest(who, runtimes) == highest(who, reversed(runtimes))


def test_sessions_are_spread_evenly() -> None:
    count = Counter(highest(who, RUNTIMES) for who in SESSIONS)

    assert all(400 < count[runtime] < 600 for runtime in RUNTIMES)


def test_when_a_runtime_leaves_only_its_own_sessions_move() -> None:
    before = {who: highest(who, RUNTIMES) for who in SESSIONS}
    after = {who: highest(who, RUNTIMES[1:]) for who in SESSIONS}

    assert {who for who in SESSIONS if before[who] != after[who]} == {
        who for who in SESSIONS if before[who] == RUNTIMES[0]
    }


def test_what_was_chosen_is_remembered() -> None:
    homes = Homes()

    chosen = homes.choose("s", RUNTIMES, lives=lambda _: True)

    assert homes.known("s") == (chosen,)
    assert homes.known("another") == ()


def test_a_session_that_uses_several_runtimes_remembers_those_that_live() -> None:
    homes = Homes()
    homes.choose("s", ["a"], lives=lambda _: True)
    homes.choose("s", ["b"], lives=lambda _: True)
    assert homes.known("s") == ("a", "b")

    homes.choose("s", ["c"], lives=lambda one: one == "b")

    assert homes.known("s") == ("b", "c")


def test_what_is_remembered_is_bounded_by_what_was_used_longest_ago() -> None:
    homes = Homes(limit=2)
    for who in ("one", "two"):
        homes.choose(who, ["a"], lives=lambda _: True)
    homes.known("one")
    homes.choose("three", ["a"], lives=lambda _: True)
    assert (homes.known("one"), homes.known("two"), len(homes)) == (("a",), (), 2)

    for runtime in RUNTIMES:
        homes.choose("one", [runtime], lives=lambda _: True)
    assert homes.known("one") == tuple(RUNTIMES[-EACH:])
