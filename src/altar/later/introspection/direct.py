"""Arguments that need no turning: when the value that a contract accepted is already what the function takes.

In: the core schema that pydantic made of a function's parameters.
Out: a function from checked JSON arguments to the Python arguments, or None where only pydantic can tell.
JSON text read by `orjson` and read by pydantic give the same text, integers, truth values, lists and dicts.
So for parameters made of these nothing is left to do once the contract's schema has accepted them; only a `float`
may stand there as an integer, since canonical JSON writes 1.0 as 1.
Everything that is not known here by its exact words (a validator, a strict type, a date, a model) is not direct.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Arguments", "NotBesideError", "Turn", "direct", "direct_by", "turn_of"]

Arguments = dict[str, Any]
"""The members of a JSON object, by name."""

Turn = Callable[[Any], Any]
"""From a JSON value that a contract accepted to the Python value of the same meaning."""


class NotBesideError(Exception):
    """Bytes came as text after all, which only pydantic reads."""


def direct(schema: Mapping[str, Any], *, beside: bool = False) -> Callable[[Arguments], Arguments] | None:
    """Return what makes the arguments of a function from JSON values that its contract has accepted.

    The values must be canonical JSON as `orjson` reads it, and nobody else's: they are changed in place.
    None means that the parameters are not all of JSON's own types, and pydantic must read the text.
    With ``beside`` they may be bytes as well, as long as Python bytes stand there; else NotBesideError is raised.
    """
    try:
        turns = _members(schema, beside=beside)
    except _UnknownError:
        return None
    return direct_by(turns)


def turn_of(field: Mapping[str, Any]) -> tuple[bool, Turn | None]:
    """Tell whether one member of the arguments is direct, and how its value is turned; None: it stays as it is."""
    try:
        return True, _member(field)
    except _UnknownError:
        return False, None


def direct_by(turns: Mapping[str, Turn]) -> Callable[[Arguments], Arguments]:
    """Return what turns these members of the arguments, in place, and leaves the others as they are."""
    if not turns:
        return _as_they_are
    pairs = tuple(turns.items())

    def turned(values: Arguments) -> Arguments:
        for name, turn in pairs:
            if name in values:
                values[name] = turn(values[name])
        return values

    return turned


class _UnknownError(Exception):
    """The schema says something that is not proved here to leave the value as it is."""


def _as_they_are(values: Arguments) -> Arguments:
    return values


def _members(schema: Mapping[str, Any], *, beside: bool) -> dict[str, Turn]:
    """The members that are turned, and how."""
    _require(schema, "typed-dict", {"fields", "cls", "computed_fields", "extra_behavior", "config", "ref"})
    if schema.get("computed_fields") or not _CONFIG.issuperset(schema.get("config", ())):
        raise _UnknownError
    turns = {name: _member(field, beside=beside) for name, field in schema["fields"].items()}
    return {name: turn for name, turn in turns.items() if turn is not None}


def _member(field: Mapping[str, Any], *, beside: bool = False) -> Turn | None:
    _require(field, "typed-dict-field", {"schema", "required"})  # an alias would be another name
    return _turn(field["schema"], beside=beside)


def _turn(schema: Mapping[str, Any], *, beside: bool) -> Turn | None:
    """How a value of this schema is turned into Python's; None when it stays as it is."""
    kind = schema["type"]
    if kind == "nullable":
        _require(schema, kind, {"schema"})
        return _or_none(_turn(schema["schema"], beside=beside))
    if kind == "list":
        _require(schema, kind, {"items_schema", *_LENGTHS})
        return _each(_turn(schema["items_schema"], beside=beside)) if "items_schema" in schema else _unknown()
    if kind == "dict":
        _require(schema, kind, {"keys_schema", "values_schema", *_LENGTHS})
        if "values_schema" not in schema or schema.get("keys_schema") != {"type": "str"}:
            raise _UnknownError
        return _each_member(_turn(schema["values_schema"], beside=beside))
    if kind == "union":
        _require(schema, kind, {"choices"})
        if not all(choice in _APART for choice in schema["choices"]):
            raise _UnknownError
        return None
    if kind == "bytes" and beside:
        _require(schema, kind, set())
        return _beside
    return _scalar(kind, schema)


def _scalar(kind: str, schema: Mapping[str, Any]) -> Turn | None:
    if kind == "literal":
        _require(schema, kind, {"expected"})
        if not all(type(value) in {str, int, bool} for value in schema["expected"]):
            raise _UnknownError
        return None
    _require(schema, kind, _WORDS[kind] if kind in _WORDS else _unknown())
    if kind != "float":
        return None
    if not all(abs(schema[word]) < _EXACT for word in _BOUNDS & schema.keys()):
        raise _UnknownError  # an integer that is rounded to a float may cross such a bound
    return float


def _beside(value: Any) -> bytes:
    if type(value) is not bytes:
        raise NotBesideError
    return value


def _require(schema: Mapping[str, Any], kind: str, words: set[str]) -> None:
    """Raise unless the schema is of that kind and says nothing but these words, and what is for readers only."""
    if schema["type"] != kind or not schema.keys() - {"type", "metadata"} <= words:
        raise _UnknownError
    metadata = schema.get("metadata", {})
    if not metadata.keys() <= {"pydantic_js_updates"}:
        raise _UnknownError
    if not metadata.get("pydantic_js_updates", {}).keys() <= _SAID_TO_READERS:
        raise _UnknownError  # it changes the contract, whose check would no longer prove the type


def _unknown() -> Any:
    raise _UnknownError


def _or_none(turn: Turn | None) -> Turn | None:
    return None if turn is None else lambda value: None if value is None else turn(value)


def _each(turn: Turn | None) -> Turn | None:
    return None if turn is None else lambda values: [turn(value) for value in values]


def _each_member(turn: Turn | None) -> Turn | None:
    return None if turn is None else lambda values: {name: turn(value) for name, value in values.items()}


_CONFIG = frozenset({"ser_json_bytes", "val_json_bytes", "title"})
_SAID_TO_READERS = frozenset({"description", "title", "examples", "deprecated"})
_BOUNDS = frozenset({"gt", "ge", "lt", "le"})
_LENGTHS = frozenset({"min_length", "max_length"})
_EXACT = 2**53
_WORDS: Mapping[str, set[str]] = {
    "str": {*_LENGTHS},
    "int": {*_BOUNDS},
    "float": {*_BOUNDS},
    "bool": set(),
    "none": set(),
}
_APART: tuple[Mapping[str, Any], ...] = ({"type": "str"}, {"type": "int"}, {"type": "bool"}, {"type": "none"})
"""Alternatives that no JSON value shares, so that each value is its own."""
