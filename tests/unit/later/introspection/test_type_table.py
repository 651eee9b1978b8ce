"""Every row of the table of types, and what must hold for any JSON value: check and bind never disagree badly."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import json
import types
import typing
from collections.abc import Iterator
from typing import Any, TypeVar

import pydantic
import pytest
import typing_extensions
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import TypeAliasType

from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import DeclarationError, ValidationError
from altar.later.introspection.type_schema import is_native
from altar.later.tool import ToolFunction, tool
from scripts import generate_types_page
from tests.unit.later.introspection.named_types import Box, Short
from tests.unit.later.introspection.type_table import REFUSED, ROWS, Refused, Row, evaluated

EVERY = [row for rows in ROWS.values() for row in rows]
by_annotation = pytest.mark.parametrize("row", EVERY, ids=lambda row: row.annotation)


def declared(annotation: Any, *, returned: Any = None) -> ToolFunction[..., Any]:
    def f(x): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - the annotations come from the table

    f.__annotations__ = {"x": annotation, "return": returned}
    return tool(f, description="d", register=False)


def taken(made: ToolFunction[..., Any], value: object) -> Any:
    """What arrives for a JSON value; raises ValidationError when it is refused, by the contract or by the type."""
    arguments = canonical({"x": value})  # type: ignore[dict-item]  # it is JSON
    values = made.check(arguments)
    _, read = made.bind(arguments)
    _, turned = made.bind(arguments, values)
    assert repr(read["x"]) == repr(turned["x"]), "the text and the values that were read from it differ"
    return read["x"]


@by_annotation
def test_an_annotation_becomes_its_schema(row: Row) -> None:
    annotation = evaluated(row.annotation)
    declaration = declared(annotation, returned=annotation).declaration
    schema = declaration.parameters.json_schema

    assert row.schema == schema["properties"]["x"] | ({"$defs": schema["$defs"]} if "$defs" in schema else {})
    assert declaration == FunctionDeclaration.from_adm(declaration.to_adm())
    if row.returns is not None:
        assert declaration.returns is not None
        assert row.returns == declaration.returns.json_schema


@by_annotation
def test_an_argument_arrives_as_its_annotation_says(row: Row) -> None:
    arrived = taken(declared(evaluated(row.annotation)), json.loads(row.argument))
    expected = evaluated(row.value)

    assert type(expected) is type(arrived)
    assert repr(expected) == repr(arrived) or expected == arrived


@by_annotation
def test_what_arrives_can_be_given_back(row: Row) -> None:
    annotation = evaluated(row.annotation)
    made = declared(annotation, returned=annotation)

    for argument in (row.argument, *row.other):
        content = made.dump(taken(made, json.loads(argument)))
        made.check_result(content)
        if argument == row.argument:
            assert (row.result or row.argument) == content.decode()


@pytest.mark.parametrize(("row", "wrong"), [(row, each) for row in EVERY for each in row.refused], ids=str)
def test_another_value_is_refused(row: Row, wrong: str) -> None:
    with pytest.raises(ValidationError) as refused:
        taken(declared(evaluated(row.annotation)), json.loads(wrong))

    assert ("INVALID_TOOL_ARGS", "no") == (refused.value.code, refused.value.ran)


@pytest.mark.parametrize("row", REFUSED, ids=lambda row: row.annotation)
def test_what_has_no_form_in_json_is_refused_where_it_is_declared(row: Refused) -> None:
    for annotation in (evaluated(row.annotation), list[evaluated(row.annotation)]):  # type: ignore[misc]  # from data
        with pytest.raises(DeclarationError) as refused:
            declared(annotation)

        if annotation == evaluated(row.annotation):
            assert (f"Parameter 'x' of 'f' {row.why}", row.hint) == (refused.value.message, refused.value.hint)


TEXTS = (
    "|0|1|-1|1.5|1e3|5|86400|1767322800|true|false|yes|null|None|nan|inf| 1|1_0"
    "|2026-01-02|2026-01-02T03:04:05Z|2026-01-02T03:04:05|03:04:05|P1D|PT5S|1 day, 0:00:01"
    '|red|blue|RED|c|cat|READ|aGk=|//77|10.0.0.1|a|[1]|{"a":1}'
    "|Europe/Oslo|https://example.com|00000000-0000-0000-0000-000000000001"
).split("|")
"""Texts that somewhere are taken for something else."""
LOOKALIKES: list[Any] = [
    *TEXTS,
    None,
    True,
    False,
    0,
    1,
    2,
    3,
    -1,
    5,
    86400,
    2**31,
    0.5,
    1.5,
    1e300,
    [],
    {},
    [1],
    ["1"],
]
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 9) | st.sampled_from(TEXTS)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=3)
)  # fmt: skip
NAMES = st.sampled_from(
    ["x", "label", "kind", "title", "held", "item", "count", "on", "side", "value", "leaves", *TEXTS]
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))
TOOLS = [(row, declared(evaluated(row.annotation), returned=evaluated(row.annotation))) for row in EVERY]


@pytest.mark.parametrize(
    ("row", "made"), [made[:2] for made in TOOLS], ids=lambda each: getattr(each, "annotation", "")
)
def test_no_lookalike_reaches_a_function_as_another_type(row: Row, made: ToolFunction[..., Any]) -> None:
    for value in LOOKALIKES:
        places = range(7) if row.argument[0] in "[{" else (0,)
        wrong = {json.dumps(with_one_part(json.loads(row.argument), value, place)) for place in places}
        for each in wrong:
            hold(row, made, json.loads(each))


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(TOOLS), VALUES, st.integers(0, 20))
def test_whatever_reaches_a_function_is_of_its_annotated_type(
    made: tuple[Row, ToolFunction[..., Any]], value: Any, place: int
) -> None:
    hold(*made, with_one_part(json.loads(made[0].argument), value, place))


def hold(row: Row, made: ToolFunction[..., Any], value: Any) -> None:
    """A value is refused, or arrives as it should, can be given back, and no JSON type has changed on the way."""
    try:
        arrived = taken(made, value)
    except ValidationError:
        return

    annotation = evaluated(row.annotation)
    assert is_of(annotation, arrived), f"{row.annotation} made {arrived!r} of {value!r}"
    content = made.dump(arrived)
    made.check_result(content)
    if is_native(annotation):
        assert canonical(value) == content, f"{row.annotation} changed {value!r}"


def with_one_part(argument: Any, value: Any, place: int) -> Any:
    """A right argument in which one part, at any depth, is another value."""
    keys = list(argument if isinstance(argument, dict) else range(len(argument)) if isinstance(argument, list) else ())
    if not keys or place == 0:
        return value
    key = keys[place % len(keys)]
    argument[key] = with_one_part(argument[key], value, place // 3)
    return argument


def is_of(annotation: Any, value: Any) -> bool:  # noqa: PLR0911 - one answer a kind of type
    """Whether a value is of an annotated type, to the letter: True is no int, 1 is no float."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    kind = origin or annotation
    if annotation in (Any, object) or (isinstance(annotation, TypeVar) and not annotation.__constraints__):
        return annotation is not Short or isinstance(value, str)
    if isinstance(annotation, TypeVar):
        return any(is_of(each, value) for each in annotation.__constraints__)
    if annotation in (typing.LiteralString, pydantic.AwareDatetime):
        return type(value) is (str if annotation is typing.LiteralString else dt.datetime)
    if hasattr(annotation, "__supertype__"):
        return is_of(annotation.__supertype__, value)
    if isinstance(annotation, TypeAliasType):
        return is_of(evaluated(v) if isinstance(v := annotation.__value__, str) else v, value)
    if kind is typing.Literal:
        return any(type(part) is type(value) and part == value for part in parts)
    if kind in (typing.Union, types.UnionType):
        return any(is_of(part, value) for part in parts)
    if kind in (typing.Annotated, typing.Required, typing.NotRequired):
        return is_of(parts[0], value)
    if typing_extensions.is_typeddict(kind):
        hints = typing.get_type_hints(kind, include_extras=True)
        return type(value) is dict and all(is_of(hints[key], value[key]) for key in hints.keys() & value.keys())
    if kind is None or kind in (int, float, bool, str, bytes, type(None)):
        return type(value) is (kind or type(None)) or (value is None and kind is None)
    return isinstance(value, kind) and all(is_of(inner, held) for inner, held in inside(annotation, value))


def inside(annotation: Any, value: Any) -> Iterator[tuple[Any, Any]]:
    """The annotated parts of a collection, a dataclass, a named tuple or a model, with their values."""
    kind, parts = typing.get_origin(annotation) or annotation, typing.get_args(annotation)
    if isinstance(value, dict) and parts:
        yield from ((parts[0], key) for key in value)
        yield from ((parts[1] if len(parts) > 1 else int, held) for held in value.values())
    elif kind is tuple and Ellipsis not in parts:
        yield from zip(parts, value, strict=True)
    elif dataclasses.is_dataclass(kind) or isinstance(value, pydantic.BaseModel) or hasattr(kind, "_fields"):
        hints = typing.get_type_hints(type(value) if kind is not Box else kind, include_extras=True)
        named = [name for name in hints if hasattr(value, name) and not name.startswith("_") and name != "model_config"]
        yield from ((hints[name], getattr(value, name)) for name in named if "ClassVar" not in str(hints[name]))
    elif parts and isinstance(value, (list, set, frozenset, tuple, collections.deque)):
        yield from ((parts[0], held) for held in value)


@given(st.datetimes(timezones=st.none() | st.just(dt.UTC)))
def test_a_datetime_goes_there_and_back(moment: dt.datetime) -> None:
    made = declared(dt.datetime, returned=dt.datetime)

    assert moment == taken(made, json.loads(made.dump(moment)))


def test_the_page_of_types_is_up_to_date() -> None:
    assert generate_types_page.main(["--check"]) == 0, "run scripts/generate_types_page.py"
