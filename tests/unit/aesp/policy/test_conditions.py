"""Conditions taken apart: what each part is, what the whole is by them, and what would turn it."""

from __future__ import annotations

import random
from functools import lru_cache
from itertools import product

import pytest

from altar.adm.errors import AltarError
from altar.aesp.policy.cel import Expression, compile_expression
from altar.aesp.policy.conditions import MAX_PARTS, Known, parts_of, read_condition
from altar.aesp.policy.walk import judged

LETTERS = dict.fromkeys("abcd", "bool")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a",)),
        ("a && b || c", ("a", "b", "c")),
        ("!(a && (b || c))", ("a", "b", "c")),
        ("a ? b : c ? d : a", ("a", "b", "c", "d")),
        ("!a == b", ("!a == b",)),
        ('args.s == "a && b" && c', ('args.s == "a && b"', "c")),
        (r'args.s == "\" || " && c', (r'args.s == "\" || "', "c")),
        (r"args.s == r'\' || a", (r"args.s == r'\'", "a")),
        ('args.s == """x " || y""" || a', ('args.s == """x " || y"""', "a")),
        ("xs.all(x, x > 1 && x < 9) && a", ("xs.all(x, x > 1 && x < 9)", "a")),
        ("{'k': a || b}['k'] && c", ("{'k': a || b}['k']", "c")),
        ("a && // || never\n b", ("a", "// || never\n b")),
        ("x in [1, 2] && within", ("x in [1, 2]", "within")),
        ("a && a", ("a",)),
        ("((a))", ("a",)),
        ("(a) == (b)", ("(a) == (b)",)),
    ],
)
def test_a_condition_is_taken_apart_at_its_logic_and_nowhere_else(text: str, parts: tuple[str, ...]) -> None:
    assert parts == parts_of(text)


def test_parts_add_up_to_what_the_engine_says_of_the_whole() -> None:
    draw = random.Random(6)

    for _ in range(60):
        text = _drawn(draw, 3)
        whole = compile_expression(text, variables=LETTERS)
        for values in product((True, False, None), repeat=len(LETTERS)):
            given = {name: value for name, value in zip(LETTERS, values, strict=True) if value is not None}
            read = read_condition(text, lambda part, given=given: judged(_compiled(part), given)[0])  # type: ignore[misc]  # mypy infers no lambda with a default
            assert judged(whole, given)[0] == read.value, (text, given)


def test_what_would_turn_a_condition_turns_it_and_nothing_smaller_does() -> None:
    draw = random.Random(7)

    for _ in range(60):
        text = _drawn(draw, 3)
        now: dict[str, bool] = {letter: draw.random() < 0.5 for letter in LETTERS}
        whole = compile_expression(text, variables=LETTERS)
        read = read_condition(text, lambda part, now=now: judged(_compiled(part), now)[0])  # type: ignore[misc]  # as above
        smallest = min(
            (sum(now[n] != other[n] for n in now) for other in _all() if _turns(whole, now, other)), default=0
        )
        for turn in read.turns:
            turned = now | {part.text: part.value == "true" for part in turn}
            assert whole.evaluate(turned) is not whole.evaluate(now)
            assert smallest == len(turn)
        assert bool(read.turns) == (0 < smallest <= 3)


def test_what_is_not_known_leaves_open_only_what_depends_on_it() -> None:
    known: dict[str, Known] = {"a": "false", "b": "unknown"}

    assert "false" == read_condition("a && b", known.__getitem__).value
    assert "unknown" == read_condition("a || b", known.__getitem__).value


def test_a_constant_part_is_nothing_that_could_be_otherwise() -> None:
    read = read_condition("a && true", lambda _: "true", fixed=lambda part: part == "true")

    assert [("a",)] == [tuple(part.text for part in turn) for turn in read.turns]


def test_a_condition_of_very_many_parts_is_told_as_a_whole() -> None:
    text = " && ".join(f"a == {n}" for n in range(MAX_PARTS + 1))

    assert (text,) == tuple(part.text for part in read_condition(text, lambda _: "true").parts)


@pytest.mark.parametrize("text", ["", "(", ")", "&&", "a &&", "a ? b", "a : b", '"', "'''", "!" * 500, "(" * 500, "//"])
def test_what_is_no_condition_is_one_part_and_no_failure(text: str) -> None:
    read = read_condition(text, lambda _: "error")

    assert "error" == read.value


@lru_cache
def _compiled(text: str) -> Expression:
    try:
        return compile_expression(text, variables=LETTERS)
    except AltarError as error:
        raise AssertionError(f"{text!r} does not stand by itself") from error


def _drawn(draw: random.Random, depth: int) -> str:
    kind = draw.randrange(5) if depth else 0
    if kind == 0:
        return draw.choice("abcd")
    parts = [_drawn(draw, depth - 1) for _ in range(3)]
    if kind == 1:
        return f"!({parts[0]})"
    if kind == 2:
        return f"({parts[0]}) ? ({parts[1]}) : ({parts[2]})"
    return f"({parts[0]} {'&&' if kind == 3 else '||'} {parts[1]})"


def _all() -> list[dict[str, bool]]:
    return [dict(zip(LETTERS, values, strict=True)) for values in product((True, False), repeat=len(LETTERS))]


def _turns(whole: Expression, now: dict[str, bool], other: dict[str, bool]) -> bool:
    return whole.evaluate(now) is not whole.evaluate(other)
