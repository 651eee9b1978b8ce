"""What a child process is told besides its calls is always that of the call, whatever happened there before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import altar
from altar.later.isolation import carried
from tests.unit.later.isolation import carried_tools
from tests.unit.later.isolation.carried_tools import isolated_word

NAME = f"{carried_tools.__name__}:take_word"


@pytest.fixture
def said() -> Iterator[dict[str, str]]:
    """The word that the children of this process are told."""
    word = {"word": "first"}
    carried.carry(NAME, lambda _: dict(word))
    yield word
    carried._TELLERS[NAME] = lambda _: None


def test_what_a_child_could_not_take_is_not_taken_for_told(said: dict[str, str]) -> None:
    with altar.session([isolated_word], source="later:", timeout=60) as session:
        before = session.call("isolated_word").unwrap()
        said["word"] = "refused"
        refused = [session.call("isolated_word").error for _ in range(2)]
        said["word"] = "second"
        after = session.call("isolated_word").unwrap()

    assert ["INVALID_CONFIG", "INVALID_CONFIG"] == [each and each.type for each in refused]
    assert ["no", "no"] == [each and each.ran for each in refused]
    assert ("first", "second") == (before, after)


def test_what_a_tool_changes_in_its_process_does_not_count_for_the_next_call(said: dict[str, str]) -> None:
    with altar.session([isolated_word], source="later:", timeout=60) as session:
        session.call("isolated_word", change="mine")
        after = session.call("isolated_word").unwrap()

    assert "first" == after
