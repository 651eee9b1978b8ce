"""Simple conditions judged in Python, as the CEL engine would judge them, at a twentieth of what asking it costs.

In: a compiled `Expression` and the types of its variables. Out: a `Native`, or None for what is left to the engine.
The engine stays the definition of what a condition means.
A judge says yes or no only where the engine is sure to say the same; for everything else, such as a value that is
missing or not of its type, it raises `UnsureError`, and the engine is asked.
So no error is ever made here, and what is not understood costs nothing but time.

Judged here are comparisons, ``in``, ``&&``, ``||``, ``!``, ``? :``, ``has``, sizes, beginnings, ends and parts of
texts, members of maps of texts, parts of a time, and our own functions, of variables whose types are known.
Arithmetic, regular expressions and macros are the engine's; what stands left of them may decide without them.
Parts of a time in a time zone are asked of the engine, once for each second.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from altar.adm.errors import AltarError
from altar.aesp.policy.cel import NUMBER, Expression, compile_expression, has_nul
from altar.aesp.policy.functions import FUNCTIONS

if TYPE_CHECKING:
    from altar.aesp.policy.checked import Node

__all__ = ["Judge", "Native", "UnsureError", "native_judge"]

Judge = Callable[[Mapping[str, Any]], bool]
"""Tells for the facts of a call whether a condition is true. Raises UnsureError where the engine has to be asked."""


class UnsureError(Exception):
    """The engine has to be asked."""


class Native(NamedTuple):
    """What judges a condition; ``is_whole`` says that all of it is understood, and not only what may decide alone."""

    judge: Judge
    is_whole: bool


def native_judge(expression: Expression, *, types: Mapping[str, str]) -> Native | None:
    """Give what judges an expression; None where the engine has to be asked always.

    ``types`` are those of its variables, as for `compile_expression`.
    The facts that a judge is given hold no NUL, as for `Expression.evaluate_checked`.
    """
    part = _part(expression.tree, types)
    return None if part is None or part.kind != "bool" else Native(_run_of(part), part.is_whole)


class _Open:
    """What the value of a part is that depends on the call."""


_OPEN: Final = _Open()
_Run = Callable[[Mapping[str, Any]], Any]


class _Part(NamedTuple):
    """A part of an expression: the type of its value; the value where it is always the same, else how to find it."""

    kind: str
    value: Any = _OPEN
    run: _Run = lambda _: None
    is_whole: bool = True


def _part(node: Node, types: Mapping[str, str]) -> _Part | None:
    """Understand a node and all below it; None for what is not sure to be understood."""
    if node.kind == "constant":
        return _constant(node.value)
    if node.kind == "ident":
        return _variable(node.name.lstrip("."), types)
    if node.kind == "list":
        return _list([_part(each, types) for each in node.children])
    if node.kind in {"select", "has"}:
        held, member = _part(node.children[0], types), _Part("string", node.name)
        if held is None or held.kind != _MAP:
            return None
        return _made("string", _member, held, member) if node.kind == "select" else _made("bool", _is_in, member, held)
    if node.kind != "call" or len(node.overloads) != 1:
        return None
    overload = node.overloads[0]
    if overload in _LOGIC:
        return _logic(overload, node, types)
    parts = [_part(each, types) for each in node.children]
    known = [each for each in parts if each is not None]
    return _call(overload, known) if len(known) == len(parts) else None


# ------------------------------------------------------------------------------------------------------- values

_MAP = "map<string, string>"
_LIST = "list<string>"
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1


def _constant(value: object) -> _Part | None:
    kind = {bool: "bool", int: "int", float: "double", str: "string"}.get(type(value))
    return None if kind is None or has_nul(value) else _Part(kind, value)


def _variable(name: str, types: Mapping[str, str]) -> _Part | None:
    kind = "double" if types.get(name) == NUMBER else types.get(name, "")
    return _Part(kind, run=_READERS[kind](name)) if kind in _READERS else None


def _list(parts: list[_Part | None]) -> _Part | None:
    """Understand a list of texts, or of whole numbers, that are written in the expression."""
    kinds = {None if each is None else each.kind for each in parts}
    values = [_OPEN if each is None else each.value for each in parts]
    if len(kinds) != 1 or not kinds <= {"string", "int"} or _OPEN in values:
        return None
    return _Part("list<string>" if kinds == {"string"} else "list<int>", values)


def _text_of(name: str) -> _Run:
    def read(facts: Mapping[str, Any]) -> str:
        value = facts.get(name)
        if type(value) is not str or not (value.isascii() or _is_text(value)):
            raise UnsureError
        return value

    return read


def _of_type(kind: type) -> Callable[[str], _Run]:
    def reader(name: str) -> _Run:
        def read(facts: Mapping[str, Any]) -> Any:
            value = facts.get(name)
            if type(value) is not kind:
                raise UnsureError
            return value

        return read

    return reader


def _integer_of(name: str) -> _Run:
    def read(facts: Mapping[str, Any]) -> int:
        value = facts.get(name)
        if type(value) is not int or not _LOWEST <= value <= _HIGHEST:
            raise UnsureError
        return value

    return read


def _time_of(name: str) -> _Run:
    def read(facts: Mapping[str, Any]) -> datetime:
        value = facts.get(name)
        if type(value) is not datetime or value.tzinfo is not UTC or not _FIRST_YEAR <= value.year <= _LAST_YEAR:
            raise UnsureError
        return value

    return read


def _texts_of(name: str) -> _Run:
    def read(facts: Mapping[str, Any]) -> list[str]:
        value = facts.get(name)
        if type(value) is not list or not _are_texts(value):
            raise UnsureError
        return value

    return read


def _map_of(name: str) -> _Run:
    def read(facts: Mapping[str, Any]) -> dict[str, str]:
        value = facts.get(name)
        if type(value) is not dict or not _are_texts(value) or not _are_texts(value.values()):
            raise UnsureError
        return value

    return read


def _are_texts(values: Any) -> bool:
    try:
        joined = "".join(values)
    except TypeError:
        return False
    return joined.isascii() or all(map(_is_text, values))


def _is_text(value: str) -> bool:
    """Tell whether a text can be given to the engine, which a half of a character cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


_READERS: Final[Mapping[str, Callable[[str], _Run]]] = {
    "bool": _of_type(bool),
    "int": _integer_of,
    "double": _of_type(float),
    "string": _text_of,
    "timestamp": _time_of,
    _LIST: _texts_of,
    _MAP: _map_of,
}


# -------------------------------------------------------------------------------------------------------- logic

_LOGIC: Final = frozenset({"logical_and", "logical_or", "conditional"})


def _logic(overload: str, node: Node, types: Mapping[str, str]) -> _Part | None:
    """Understand what need not look at all of its parts; a part that is never looked at need not be understood.

    The engine looks at the left one first, and an error of it is hidden by a right one that decides.
    A judge that is not sure of the left one leaves it to the engine, which knows.
    """
    first = _part(node.children[0], types)
    if first is None or first.kind != "bool":
        return None
    if overload == "conditional":
        return _choice(first, node, types)
    decides = overload == "logical_or"
    if first.value is decides:
        return first
    second = _part(node.children[1], types)
    if first.value is not _OPEN:
        return second if second is not None and second.kind == "bool" else None
    if second is not None and second.kind != "bool":
        return None
    one, other = first.run, _run_of(second)
    is_whole = first.is_whole and second is not None and second.is_whole
    if decides:
        return _Part("bool", run=lambda facts: one(facts) or other(facts), is_whole=is_whole)
    return _Part("bool", run=lambda facts: one(facts) and other(facts), is_whole=is_whole)


def _choice(first: _Part, node: Node, types: Mapping[str, str]) -> _Part | None:
    if first.value is not _OPEN:
        return _part(node.children[1 if first.value else 2], types)
    second, third = (_part(each, types) for each in node.children[1:])
    known = second if second is not None else third
    if known is None or (second is not None and third is not None and second.kind != third.kind):
        return None
    asked, one, other = first.run, _run_of(second), _run_of(third)
    is_whole = all(each is not None and each.is_whole for each in (first, second, third))
    return _Part(known.kind, run=lambda facts: one(facts) if asked(facts) else other(facts), is_whole=is_whole)


# -------------------------------------------------------------------------------------------------------- calls


def _call(overload: str, parts: list[_Part]) -> _Part | None:
    """Understand a call by the engine's name for the function, and by the types of what it is given."""
    kinds = tuple(each.kind for each in parts)
    if overload in {"equals", "not_equals"}:
        if kinds[0] != kinds[1] or kinds[0] not in _EQUAL:
            return None
        return _made("bool", operator.eq if overload == "equals" else operator.ne, *parts)
    if overload in _INDEXED and kinds == _INDEXED[overload]:
        return _made("string", _member, *parts)
    if overload == "in_list" and kinds in {("string", _LIST), ("int", "list<int>")}:
        return _made("bool", _is_in, *parts)
    found = _CALLS.get(overload)
    if found is None or kinds != found[0]:
        return None
    return _made(found[1], found[2], *parts)


def _made(kind: str, does: Callable[..., Any], *parts: _Part) -> _Part | None:
    """Join parts by a function; where all are always the same, so is what it gives."""
    if all(each.value is not _OPEN for each in parts):
        try:
            value = does(*(each.value for each in parts))
        except UnsureError:
            return None
        return _Part(kind, value)
    is_whole = all(each.is_whole for each in parts)
    if len(parts) == 1:
        of = parts[0].run
        return _Part(kind, run=lambda facts: does(of(facts)), is_whole=is_whole)
    left, right = parts
    one, other, held, given = left.run, right.run, left.value, right.value
    if given is not _OPEN:
        return _Part(kind, run=lambda facts: does(one(facts), given), is_whole=is_whole)
    if held is not _OPEN:
        return _Part(kind, run=lambda facts: does(held, other(facts)), is_whole=is_whole)
    return _Part(kind, run=lambda facts: does(one(facts), other(facts)), is_whole=is_whole)


def _run_of(part: _Part | None) -> _Run:
    """Give what finds the value of a part; of one that is not understood, nothing does."""
    if part is None:
        return _unsure
    value = part.value
    return part.run if value is _OPEN else lambda _: value


def _unsure(_facts: Mapping[str, Any]) -> Any:
    raise UnsureError


def _member(held: Mapping[str, str], name: str) -> str:
    if name not in held:
        raise UnsureError
    return held[name]


def _is_in(value: Any, held: Any) -> bool:
    return value in held


def _sure(does: Callable[..., Any]) -> Callable[..., Any]:
    """Leave to the engine what one of our own functions refuses."""

    def run(*given: Any) -> Any:
        try:
            return does(*given)
        except ValueError:
            raise UnsureError from None

    return run


def _in_zone(function: str) -> Callable[[datetime, str], int]:
    return lambda time, zone: _of_second(function, time.replace(microsecond=0), zone)


@lru_cache(maxsize=1_024)
def _of_second(function: str, second: datetime, zone: str) -> int:
    """Ask the engine for a part of a time in a zone, which is the same for all of a second."""
    try:
        value = _asking(function).evaluate({"time": second, "zone": zone})
    except AltarError:
        raise UnsureError from None
    if type(value) is not int:
        raise UnsureError
    return value


@lru_cache(maxsize=16)
def _asking(function: str) -> Expression:
    return compile_expression(f"time.{function}(zone)", variables={"time": "timestamp", "zone": "string"}, result="int")


_FIRST_YEAR, _LAST_YEAR = 1970, 2261
_EQUAL = frozenset({"bool", "int", "double", "string"})
_INDEXED = {"index_map": (_MAP, "string")}
_PAIRS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "less": operator.lt,
    "less_equals": operator.le,
    "greater": operator.gt,
    "greater_equals": operator.ge,
}
_TEXTS = ("string", "string")
_OF_TIME: Final[Mapping[str, tuple[str, Callable[[datetime], int]]]] = {
    "year": ("getFullYear", lambda time: time.year),
    "month": ("getMonth", lambda time: time.month - 1),
    "day_of_year": ("getDayOfYear", lambda time: time.timetuple().tm_yday - 1),
    "day_of_month": ("getDayOfMonth", lambda time: time.day - 1),
    "day_of_month_1_based": ("getDate", lambda time: time.day),
    "day_of_week": ("getDayOfWeek", lambda time: time.isoweekday() % 7),
    "hours": ("getHours", lambda time: time.hour),
    "minutes": ("getMinutes", lambda time: time.minute),
    "seconds": ("getSeconds", lambda time: time.second),
}
"""The parts of a time by the engine's names: the function of CEL, and what it gives in UTC."""
_CALLS: Final[Mapping[str, tuple[tuple[str, ...], str, Callable[..., Any]]]] = {
    "logical_not": (("bool",), "bool", operator.not_),
    **{
        f"{name}_{'int64' if kind == 'int' else kind}": ((kind, kind), "bool", does)
        for name, does in _PAIRS.items()
        for kind in ("int", "double", "string")
    },
    "in_map": (("string", _MAP), "bool", _is_in),
    "starts_with_string": (_TEXTS, "bool", str.startswith),
    "ends_with_string": (_TEXTS, "bool", str.endswith),
    "contains_string": (_TEXTS, "bool", str.__contains__),
    "add_string": (_TEXTS, "string", operator.add),
    **{
        name: ((kind,), "int", len)
        for word, kind in (("string", "string"), ("list", _LIST), ("map", _MAP))
        for name in (f"size_{word}", f"{word}_size")
    },
    **{f"timestamp_to_{name}": (("timestamp",), "int", does) for name, (_, does) in _OF_TIME.items()},
    **{
        f"timestamp_to_{name}_with_tz": (("timestamp", "string"), "int", _in_zone(function))
        for name, (function, _) in _OF_TIME.items()
    },
    **{f"{each.name}_{'_'.join(each.takes)}": (each.takes, each.gives, _sure(each.run)) for each in FUNCTIONS},
}
"""What a call is given, what it gives, and what does it, by the engine's name."""
