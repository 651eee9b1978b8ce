"""Conditions judged in Python beside the CEL engine, which is always right: what one is sure of, the other says too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.policy.cel import Expression, compile_expression
from altar.aesp.policy.native import UnsureError, native_judge

TYPES = {
    "b": "bool",
    "has_args.s": "bool",
    "i": "int",
    "args.i": "int",
    "d": "double",
    "args.n": "number",
    "s": "string",
    "args.s": "string",
    "t": "timestamp",
    "l": "list<string>",
    "m": "map<string, string>",
    "x": "dyn",
}
SILENT = object()


@lru_cache(maxsize=1_000)
def compiled(text: str) -> Expression:
    """The condition, once."""
    return compile_expression(text, variables=TYPES, result="")


def engine_says(text: str, values: Mapping[str, Any]) -> object:
    """What the engine says: a value, or `SILENT` where it has none."""
    try:
        return compiled(text).evaluate_checked(values)
    except AuthorizationError:
        return SILENT


def native_says(text: str, values: Mapping[str, Any]) -> object:
    """What is said in Python: a bool, or `SILENT` where the engine has to be asked."""
    found = native_judge(compiled(text), types=TYPES)
    try:
        return SILENT if found is None else found.judge(values)
    except UnsureError:
        return SILENT


def is_whole(text: str) -> bool:
    """Whether all of a condition is understood."""
    found = native_judge(compiled(text), types=TYPES)
    return found is not None and found.is_whole


VALUES: dict[str, Any] = {
    "b": True,
    "has_args.s": True,
    "i": 3,
    "args.i": -7,
    "d": 2.5,
    "args.n": 100.0,
    "s": "sé",
    "args.s": "/etc/passwd",
    "t": datetime(2028, 2, 29, 23, 59, 58, 999_999, tzinfo=UTC),
    "l": ["a", "é", "b"],
    "m": {"a": "1", "é": "ü"},
}
JUDGED = [
    "b",
    "!b",
    "args.n > 99",
    "args.n >= 100.0 && !b",
    "i < 4 || d > 1.0",
    "i == 3 && args.i != -7",
    "args.s.startsWith('/etc') || args.s.contains('..') || args.s.endsWith('d')",
    "args.s == '/etc/passwd' && s != 's'",
    "s < 't' && s >= 'sé'",
    "has(args.s) && args.s.size() == 11 && size(s) == 2",
    "'a' in l && !(s in l) && size(l) == 3 && l.size() > 2",
    "s in ['x', 'sé']",
    "i in [1, 2, 3]",
    "m.a == '1' && m['é'] == 'ü' && has(m.a) && !has(m.q) && !('q' in m) && m.size() == 2 && size(m) == 2",
    "b ? i > 2 : d > 9.0",
    "(b ? s : args.s) == s",
    "t.getHours() == 23 && t.getMinutes() == 59 && t.getSeconds() == 58",
    "t.getFullYear() == 2028 && t.getMonth() == 1 && t.getDate() == 29 && t.getDayOfMonth() == 28",
    "t.getDayOfWeek() in [0, 6] || t.getDayOfWeek() == 2",
    "t.getDayOfYear() == 59",
    "t.getHours('Europe/Berlin') == 0 && t.getDate('Europe/Berlin') == 1 && t.getMonth('Europe/Berlin') == 2",
    "t.getHours('-02:30') == 21 && t.getMinutes('-02:30') == 29",
    "clearance_rank('secret') > clearance_rank('internal')",
    "ip_in_cidr('10.1.2.3', '10.0.0.0/8') && !ip_in_cidr('11.1.2.3', '10.0.0.0/8')",
    "s + '@' + args.s == 'sé@/etc/passwd'",
    "true",
    "false || b",
]


@pytest.mark.parametrize("text", JUDGED)
def test_simple_conditions_are_judged_without_the_engine_and_as_by_it(text: str) -> None:
    expected = engine_says(text, VALUES)

    assert expected in {True, False}
    assert expected is native_says(text, VALUES)
    assert is_whole(text)


LEFT = [
    "x == 3",
    "s.matches('^s')",
    "l.exists(e, e == 'a')",
    "i + 1 == 4",
    "d * 2.0 == 5.0",
    "t.getHours('Nowhere/Atall') == 0",
    "t.getMilliseconds() == 999",
    "t < timestamp('2030-01-01T00:00:00Z')",
    "l == ['a']",
    "l[0] == 'a'",
    "b && s.matches('^s')",
    "s in [args.s]",
    "'a\\u0000b' == s",
    "int(d) == 2",
]


@pytest.mark.parametrize("text", LEFT)
def test_what_is_not_simple_is_left_to_the_engine(text: str) -> None:
    assert native_says(text, VALUES) is SILENT


WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("a value that is missing", "i > 1", {}),
    ("a truth for a number", "i > 1", {"i": True}),
    ("a fraction for a whole number", "i > 1", {"i": 4.0}),
    ("a whole number beyond 64 bits", "i > 1", {"i": 2**63}),
    ("a whole number for a fraction", "d > 1.0", {"d": 4}),
    ("a number for a truth", "b", {"b": 1}),
    ("a number for a text", "s == 'a'", {"s": 4}),
    ("half a character", "s == 'a'", {"s": "\ud800"}),
    ("half a character in a list", "'a' in l", {"l": ["a", "\ud800"]}),
    ("a number in a list", "'a' in l", {"l": ["a", 3]}),
    ("a tuple for a list", "'a' in l", {"l": ("a",)}),
    ("a text for a list", "'a' in l", {"l": "a"}),
    ("half a character in a map", "has(m.a)", {"m": {"a": "\ud800"}}),
    ("a number in a map", "has(m.a)", {"m": {"a": 1}}),
    ("a member that is missing", "m.q == 'a'", {"m": {"a": "1"}}),
    ("a time that has no zone", "t.getHours() == 1", {"t": datetime(2026, 1, 1)}),  # noqa: DTZ001 - this is the case
    ("the last time there is", "t.getHours() == 23", {"t": datetime.max.replace(tzinfo=UTC)}),
    ("the first time there is", "t.getHours() == 0", {"t": datetime.min.replace(tzinfo=UTC)}),
    ("a clearance that is none", "clearance_rank(s) > 1", {"s": "sekret"}),
    ("an address that is none", "ip_in_cidr(s, '10.0.0.0/8')", {"s": "10.0.0"}),
]


@pytest.mark.parametrize(("text", "facts"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_of_a_value_that_is_not_as_it_should_be_nothing_is_said(text: str, facts: dict[str, Any]) -> None:
    assert native_says(text, facts) is SILENT


def test_what_is_never_looked_at_need_neither_be_there_nor_be_understood() -> None:
    assert native_says("b || i > 3", {"b": True}) is True
    assert native_says("!b && i > 3", {"b": True}) is False
    assert native_says("b ? true : i > 3", {"b": True}) is True
    assert native_says("b && s.matches('a')", {"b": False}) is False
    assert native_says("b || s.matches('a')", {"b": True}) is True
    assert native_says("!(b && s.matches('a')) || d * 2.0 > 1.0", {"b": False}) is True
    assert native_says("b ? s.matches('a') : i > 3", {"b": False, "i": 4}) is True


def test_a_condition_is_whole_unless_something_in_it_is_the_engines() -> None:
    assert is_whole("b && i > 3")
    assert is_whole("true || s.matches('a')")
    assert not is_whole("b && s.matches('a')")
    assert not is_whole("i > 3 && (!b || (d > 1.0 ? b : s.matches('a')))")
    assert native_judge(compiled("s.matches('a') && b"), types=TYPES) is None


def test_a_right_side_that_decides_is_left_to_the_engine_when_the_left_one_has_an_error() -> None:
    assert native_says("i > 3 || b", {"b": True}) is SILENT
    assert engine_says("i > 3 || b", {"b": True}) is True
    assert native_says("s.matches('(') && b", {"s": "a", "b": False}) is SILENT


# ------------------------------------------------------------------------------------------------ whatever there is

_TEXT = st.text(st.sampled_from("ab/é.𝄞"), max_size=4)
_WHOLE = st.one_of(st.integers(-3, 5), st.sampled_from([2**53, 2**63 - 1, -(2**63)]))
_FRACTION = st.one_of(st.sampled_from([0.0, -0.0, 1.0, 2.5, 1e300, math.inf, -math.inf, math.nan]), st.floats())
_TIME = st.datetimes(timezones=st.just(UTC))
_ANY = st.one_of(
    st.none(),
    st.booleans(),
    _WHOLE,
    st.sampled_from([2**63, 10**30]),
    _FRACTION,
    _TEXT,
    st.just("\ud800"),
    st.lists(_TEXT, max_size=2),
)
_OF_TYPE: dict[str, st.SearchStrategy[Any]] = {
    "bool": st.booleans(),
    "int": _WHOLE,
    "double": _FRACTION,
    "number": _FRACTION,
    "string": _TEXT,
    "timestamp": _TIME,
    "list<string>": st.lists(_TEXT, max_size=3),
    "map<string, string>": st.dictionaries(_TEXT, _TEXT, max_size=3),
    "dyn": _ANY,
}
_PROPER = {name: _OF_TYPE[kind] for name, kind in TYPES.items()}
_LOOSE = {name: st.one_of(kind, kind, kind, _ANY) for name, kind in _PROPER.items()}
_FACTS = st.one_of(
    st.fixed_dictionaries(_PROPER), st.fixed_dictionaries(_PROPER), st.fixed_dictionaries({}, optional=_LOOSE)
)


def _quoted(text: str) -> str:
    return f"'{text}'"


def _joined(left: st.SearchStrategy[str], signs: list[str], right: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.builds(lambda a, sign, b: f"({a} {sign} {b})", left, st.sampled_from(signs), right)


_RELATIONS = ["==", "!=", "<", "<=", ">", ">="]
_STRINGS = st.one_of(
    st.sampled_from(["s", "args.s", "m.a", "m['b']", "(s + args.s)"]), _TEXT.map(_quoted), st.just("(b ? s : 'a')")
)
_INTS = st.one_of(
    st.sampled_from(["i", "args.i", "s.size()", "size(l)", "m.size()", "clearance_rank(s)", "(i + 1)", "(-i)"]),
    st.sampled_from([f"t.get{part}()" for part in ("Hours", "Minutes", "Seconds", "DayOfWeek", "DayOfYear")]),
    st.sampled_from([f"t.get{part}()" for part in ("Date", "DayOfMonth", "Month", "FullYear", "Milliseconds")]),
    st.builds(
        lambda part, zone: f"t.get{part}({zone})",
        st.sampled_from(["Hours", "Minutes", "Seconds", "DayOfWeek", "DayOfYear", "Date", "Month", "FullYear"]),
        st.sampled_from(["'Europe/Berlin'", "'Asia/Kathmandu'", "'-02:30'", "'Africa/Monrovia'", "'nowhere'", "s"]),
    ),
    st.integers(-3, 60).map(str),
)
_DOUBLES = st.one_of(st.sampled_from(["d", "args.n", "1.0", "2.5", "-0.0", "1e300", "(d + 1.0)"]))
_ATOMS = st.one_of(
    st.sampled_from(["b", "has(args.s)", "true", "false", "has(m.a)", "s in l", "'a' in l", "s in m", "x == 1"]),
    _joined(_STRINGS, _RELATIONS, _STRINGS),
    _joined(_INTS, _RELATIONS, _INTS),
    _joined(_DOUBLES, _RELATIONS, _DOUBLES),
    _joined(_INTS, ["in"], st.just("[0, 1, 6]")),
    _joined(_STRINGS, ["in"], st.just("['a', 'é', '']")),
    st.builds(
        lambda one, what, other: f"{one}.{what}({other})",
        _STRINGS,
        st.sampled_from(["startsWith", "endsWith", "contains", "matches"]),
        _STRINGS,
    ),
    st.sampled_from(["l.exists(e, e == s)", "l.all(e, e != s)", "ip_in_cidr(s, '10.0.0.0/8')"]),
)
_CONDITIONS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        _joined(inner, ["&&", "||"], inner),
        inner.map(lambda one: f"!({one})"),
        st.builds(lambda a, b, c: f"({a} ? {b} : {c})", inner, inner, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(text=_CONDITIONS, facts=_FACTS)
def test_where_python_is_sure_the_engine_says_the_same(text: str, facts: dict[str, Any]) -> None:
    try:
        compiled(text)
    except ValidationError:  # such as a sign that does not fit
        return

    said = native_says(text, facts)
    if said is not SILENT:
        assert engine_says(text, facts) is said
