"""The nearest name, and how little is compared to find it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import pytest

from altar.adm.near import nearest


def test_the_name_that_is_most_like_a_wrong_one_is_found() -> None:
    assert nearest("get_wether", ["add", "get_weather", "get_width"]) == "get_weather"


def test_nothing_is_found_where_nothing_is_alike() -> None:
    assert nearest("transmogrify", ["add", "get_weather"]) is None


def test_a_name_among_thousands_is_found_by_how_it_begins_and_ends() -> None:
    known = [f"get_{number:03}" for number in range(900)] + ["get_weather"]

    assert nearest("get_wether", known) == "get_weather"


def test_a_name_that_is_very_long_is_not_compared() -> None:
    assert nearest("a" * 10_000, ["a" * 9_999]) is None


def test_only_a_few_of_many_names_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    looked_at = 0

    def names() -> Iterator[str]:
        nonlocal looked_at
        for number in range(100_000):
            looked_at += 1
            yield f"name_{number}"

    def count(word: str, possibilities: list[str], n: int) -> list[str]:
        compared.append(len(possibilities))
        return []

    monkeypatch.setattr(difflib, "get_close_matches", count)

    assert nearest("name_x", names()) is None

    assert compared == [8]
    assert looked_at <= 1025
