"""Reading JSON as strictly as its contract is written.

In: the core schema that pydantic makes of the annotations.
Out: the same, in which a JSON value becomes what it is and nothing near it.

Left alone, pydantic reads the text "5" as a number or as a moment of 1970, and true as a member of `Literal[1]`.
A contract mostly refuses such values before they get here, but not where one of several alternatives admits them:
the text "5" is right for `int | date` by the form of a date, and must not arrive as the number 5.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from pydantic_core import CoreSchema, SchemaValidator

__all__ = ["nodes", "reader"]

_Node = dict[str, Any]

_INSIDE = frozenset(
    "schema items_schema keys_schema values_schema extras_schema extras_keys_schema arguments_schema var_args_schema"
    " var_kwargs_schema json_schema python_schema lax_schema strict_schema choices steps fields definitions".split()
)
"""Words of a core schema that hold further ones, alone, in lists, or by name."""
_EXACT = frozenset({"int", "float", "bool", "time", "timedelta"})
"""What would otherwise also be made of a text that looks like it."""
_TURNED_FIRST = frozenset({"function-before", "function-wrap"})
"""A function of the user's own comes first here: what it gives on is Python, and its own affair."""
_DATES = {"date": r"^\d{4}-\d\d-\d\d$", "datetime": r"^\d{4}-\d\d-\d\d[Tt _]\d\d:\d\d"}
"""Types that are also made of a text that is a number of seconds, and how a text that is really one of them begins."""
_OUTER = ("ref", "metadata", "serialization")
_GENERATOR_WORDS = frozenset("type items_schema min_length max_length ref metadata".split())


def reader(schema: CoreSchema) -> SchemaValidator:
    """A validator that makes Python values of JSON, without any that only look like them."""
    from pydantic_core import SchemaValidator

    strict = cast("CoreSchema", _strict(dict(schema)))
    return SchemaValidator(strict, _use_prebuilt=False)  # the prebuilt ones of models are not strict


def nodes(schema: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every core schema inside of one, itself first."""
    yield schema
    for word in _INSIDE & schema.keys():
        for inner in _schemas(schema[word]):
            yield from nodes(inner)


def _schemas(held: Any) -> Iterator[Mapping[str, Any]]:
    """The schemas in what stands beside one of the words: one, a list of them (some with a label), or named ones."""
    if isinstance(held, Mapping):
        if isinstance(held.get("type"), str):
            yield held
        else:
            yield from (inner for each in held.values() for inner in _schemas(each))
    elif isinstance(held, list):
        for each in held:
            yield from _schemas(each[0] if isinstance(each, tuple) else each)


def _strict(schema: _Node, *, exact: bool = True) -> _Node:
    """The schema made strict; `exact` is off below a function of the user's own, and for the keys of a dict."""
    kind = schema["type"]
    exact = exact and kind not in _TURNED_FIRST
    made = {word: _inside(word, held, exact=exact) if word in _INSIDE else held for word, held in schema.items()}
    if kind == "generator":
        return {**{word: made[word] for word in _GENERATOR_WORDS & made.keys()}, "type": "list"}
    if kind == "literal":
        return _literal(made)
    if not exact:
        return made
    if kind in _EXACT:
        made.setdefault("strict", True)
    elif kind in _DATES:
        return _date(made)
    elif kind == "union" and _may_be_date_or_text(schema["choices"]):
        made["mode"] = "left_to_right"  # each is exact by now, but a date no longer counts as such
    return made


def _inside(word: str, held: Any, *, exact: bool) -> Any:
    if word == "keys_schema":
        exact = False  # a key is text, whatever it stands for
    return _each(held, lambda schema: _strict(schema, exact=exact))


def _each(held: Any, turn: Callable[[_Node], _Node]) -> Any:
    if isinstance(held, dict):
        if isinstance(held.get("type"), str):
            return turn(held)
        return {name: _each(inner, turn) for name, inner in held.items()}
    if isinstance(held, list):
        return [_each(inner, turn) for inner in held]
    return (turn(held[0]), *held[1:]) if isinstance(held, tuple) else held


def _may_be_date_or_text(choices: list[Any]) -> bool:
    kinds = {(choice[0] if isinstance(choice, tuple) else choice)["type"] for choice in choices}
    return "str" in kinds and not kinds.isdisjoint(_DATES)


def _date(schema: _Node) -> _Node:
    """A date or datetime, but not from a text that is a number."""
    kind = schema["type"]
    outer: _Node = {word: schema.pop(word) for word in _OUTER if word in schema}
    text = {"type": "str", "pattern": _DATES[kind]}
    wrong = {"type": "custom-error", "schema": text, "custom_error_type": f"{kind}_type"}
    return {"type": "chain", "steps": [wrong, schema], **outer}


def _literal(schema: _Node) -> _Node:
    """A choice of values in which 1 is not True, and a member of an Enum is found by its value."""
    expected: list[Any] = schema["expected"]
    groups: dict[type | None, list[Any]] = {}
    for value in expected:
        apart = isinstance(value, Enum) or type(value) in (int, bool)
        groups.setdefault(type(value) if apart else None, []).append(value)
    if groups.keys() == {None}:
        return schema
    outer: _Node = {word: schema[word] for word in _OUTER if word in schema}
    choices = [_one_of(kind, values) for kind, values in groups.items()]
    return {**(choices[0] if len(choices) == 1 else {"type": "union", "choices": choices}), **outer}


def _one_of(kind: type | None, values: list[Any]) -> _Node:
    literal = {"type": "literal", "expected": values}
    if kind is None:
        return literal
    if issubclass(kind, Enum):
        first: _Node = {"type": "enum", "cls": kind, "members": list(kind.__members__.values())}
    else:
        first = {"type": kind.__name__, "strict": True}
    return {"type": "chain", "steps": [first, literal]}
