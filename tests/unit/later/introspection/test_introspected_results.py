"""What a declared function gives: the canonical JSON of its result, or a word on why there is none."""

from __future__ import annotations

import base64
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import math
import pathlib
import socket
import types
import uuid
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from altar.adm.canonical import canonical, parse_canonical
from altar.adm.errors import AltarError, ValidationError
from altar.later.tool import ToolFunction, tool

declared = functools.partial(tool, description="d", register=False)


class Color(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    tags: set[str] = dataclasses.field(default_factory=set)
    raw: bytes = b""
    more: Any = None


class Guest(BaseModel):
    name: str
    tags: set[str] = set()
    more: Any = None

    @field_validator("name")
    @classmethod
    def judge(cls, name: str) -> str:
        """Refuse two names, one of them badly."""
        if name == "nobody":
            raise ValueError("nobody cannot come")
        if name == "broken":
            raise RuntimeError("a secret")
        return name


def untyped():  # type: ignore[no-untyped-def]  # noqa: ANN201 - a result without annotation
    """Return anything."""


def typed(annotation: Any) -> ToolFunction[..., Any]:
    def give() -> None: ...

    give.__annotations__ = {"return": annotation}
    return declared(give)


def named(part: Any) -> str:
    """A name that is the same in every run, which the order of a set is not."""
    text = str(part)
    return type(part).__name__ if "{" in text and not isinstance(part, bytes) else text[:40]


NAIVE = dt.datetime(2026, 1, 2, 3, 4, 5)  # noqa: DTZ001 - users write these
UTC = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
VALUES: list[tuple[Any, Any, bytes]] = [
    (str, "å", '"å"'.encode()),
    (int, 2**62, b"4611686018427387904"),
    (float, 1.0, b"1"),
    (bool, True, b"true"),
    (type(None), None, b"null"),
    (tuple[int, str], (1, "a"), b'[1,"a"]'),
    (dict[str, Any], {"b": 1, "a": [1.5, None]}, b'{"a":[1.5,null],"b":1}'),
    (dict[int, str], {2: "b", 1: "a"}, b'{"1":"a","2":"b"}'),
    (dict[str, list[dict[str, int]]], {"a": [{"b": 1}]}, b'{"a":[{"b":1}]}'),
    (Literal["ok"], "ok", b'"ok"'),
    (Annotated[str, "a word"], "ok", b'"ok"'),
    (Color, Color.RED, b'"red"'),
    (set[str], {"b", "a", "c"}, b'["a","b","c"]'),
    (frozenset[int], frozenset({10, 9}), b"[10,9]"),
    (bytes, b"\xff\xfe\xfb", b'"//77"'),
    (list[bytes] | None, [b"\xff\xfe\xfb"], b'["//77"]'),
    (UTC.__class__, UTC, b'"2026-01-02T03:04:05Z"'),
    (dt.date, dt.date(2026, 1, 2), b'"2026-01-02"'),
    (dt.timedelta, dt.timedelta(hours=1), b'"PT1H"'),
    (uuid.UUID, uuid.UUID(int=1), b'"00000000-0000-0000-0000-000000000001"'),
    (decimal.Decimal, decimal.Decimal("1.10"), b'"1.10"'),
    (decimal.Decimal, decimal.Decimal("1E+3"), b'"1E+3"'),
    (pathlib.PurePosixPath, pathlib.PurePosixPath("/a/b"), b'"/a/b"'),
    (
        Point,
        Point(1, {"b", "a"}, b"\xff\xfe\xfb", more={"k": (1,)}),
        b'{"more":{"k":[1]},"raw":"//77","tags":["a","b"],"x":1}',
    ),
    (Guest, Guest(name="Ada", tags={"b", "a"}), b'{"more":null,"name":"Ada","tags":["a","b"]}'),
    (list[Guest], [Guest(name="Ada")], b'[{"more":null,"name":"Ada","tags":[]}]'),
    (collections.OrderedDict[str, int], collections.OrderedDict(b=1, a=2), b'{"a":2,"b":1}'),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), VALUES, ids=named)
def test_a_result_is_written_as_its_annotation_says_and_keeps_the_contract(
    annotation: Any, value: Any, expected: bytes
) -> None:
    give = typed(annotation)

    assert expected == give.dump(value)
    give.check_result(expected)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(value, expected) for _, value, expected in VALUES if not isinstance(value, Guest)],
    ids=named,
)
def test_a_result_without_annotation_is_written_by_what_it_is(value: Any, expected: bytes) -> None:
    assert expected == declared(untyped).dump(value)
    declared(untyped).check_result(expected)


def test_any_value_finds_its_form_under_an_annotation_that_says_little() -> None:
    give = typed(dict[str, Any])

    assert b'{"a":["x","y"],"b":"red","c":{"1":"2026-01-02"}}' == give.dump(
        {"a": {"y", "x"}, "b": Color.RED, "c": types.MappingProxyType({1: dt.date(2026, 1, 2)})}
    )


def test_an_aware_and_a_naive_time_both_keep_the_contract_of_a_datetime() -> None:
    give = typed(dt.datetime)

    give.check_result(give.dump(UTC))
    give.check_result(give.dump(NAIVE))


def test_a_model_writes_bytes_in_the_way_it_chose_itself() -> None:
    class Page(BaseModel):
        text: bytes

    give = typed(Page)

    assert b'{"text":"hi"}' == give.dump(Page(text=b"hi"))
    assert give.declaration.returns is not None
    assert "binary" == give.declaration.returns.json_schema["properties"]["text"]["format"]


def test_what_only_the_annotation_refuses_is_told_without_a_place() -> None:
    class Page(BaseModel):
        text: bytes

    with pytest.raises(AltarError) as refused:
        typed(Page).dump(Page(text=b"\xff"))

    assert ("SERIALIZATION_ERROR", "", "yes") == (refused.value.code, refused.value.path, refused.value.ran)
    assert "'Page'" in refused.value.message


def test_a_subclass_shows_only_what_its_annotation_promises() -> None:
    class Vip(Guest):
        secret: str = "s"

    assert b"secret" not in typed(Guest).dump(Vip(name="Ada"))


@pytest.mark.parametrize(
    ("annotation", "value"), [(int, "x"), (type(None), 5), (Guest, {"name": 1}), (list[int], {"a": 1})]
)
def test_a_result_of_another_type_breaks_the_contract_after_it_ran(annotation: Any, value: Any) -> None:
    give = typed(annotation)

    with pytest.raises(ValidationError) as refused:
        give.check_result(give.dump(value))

    assert ("SCHEMA_VIOLATION", "yes") == (refused.value.code, refused.value.ran)


CIRCLE: list[Any] = []
CIRCLE.append(CIRCLE)
DEEP: Any = 0
for _ in range(70):
    DEEP = [DEEP]


@pytest.mark.parametrize("annotation", [None, Any, list[Any] | Point | Guest])
@pytest.mark.parametrize(
    ("value", "path", "kind"),
    [
        ([math.nan], "/0", "float"),
        ([math.inf], "/0", "float"),
        ([1, {"a/b": 2**63}], "/1/a~1b", "int"),
        ([CIRCLE], "/0/0", "list"),
        (["\ud800"], "/0", "str"),
        ([{"a": object()}], "/0/a", "object"),
        (Point(1, more=[object()]), "/more/0", "object"),
        (Guest(name="Ada", more=object()), "/more", "object"),
    ],
    ids=named,
)
def test_what_json_cannot_hold_is_named_by_its_place_and_its_type(
    annotation: Any, value: Any, path: str, kind: str
) -> None:
    give = declared(untyped) if annotation is None else typed(annotation)

    with pytest.raises(AltarError) as refused:
        give.dump(value)

    error = refused.value
    assert ("SERIALIZATION_ERROR", path, "yes") == (error.code, error.path, error.ran)
    assert f"{path!r}, of the Python type {kind!r}" in error.message
    error.message.encode()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([{1.5: 1}], "'float', is used as a key"),
        ([{"1": 1, 1: 2}], "'dict', has two keys that are the same as text"),
        ([iter([1])], "'list_iterator', is read as it is used"),
    ],
)
def test_what_would_be_lost_in_json_is_refused(value: Any, words: str) -> None:
    for give in (declared(untyped), typed(Any), typed(list[Any])):
        with pytest.raises(AltarError) as refused:
            give.dump(value)

        assert words in refused.value.message
        assert ("/0", "yes") == (refused.value.path, refused.value.ran)


def test_a_result_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(AltarError, match="nested deeper than 64"):
        declared(untyped).dump(DEEP)


def test_the_value_itself_is_never_shown() -> None:
    class Token:
        def __repr__(self) -> str:
            return "hunter2"

    with pytest.raises(AltarError) as refused:
        declared(untyped).dump([Token()])

    assert "hunter2" not in f"{refused.value.message} {refused.value.hint} {refused.value.detail}"


def test_an_open_socket_has_no_form_in_json() -> None:
    with socket.socket() as opened, pytest.raises(AltarError, match="'socket'"):
        declared(untyped).dump(opened)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_a_json_value_is_written_as_it_is(value: Any) -> None:
    assert canonical(value) == declared(untyped).dump(value) == typed(Any).dump(value)


@given(
    st.dictionaries(st.text(max_size=5), st.sets(st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5))),
    st.binary(),
)
def test_sets_and_bytes_come_back_from_what_was_written(sets: dict[str, Any], raw: bytes) -> None:
    written: Any = parse_canonical(declared(untyped).dump({"sets": sets, "raw": raw}))

    assert sets == {name: set(part) for name, part in written["sets"].items()}
    assert raw == base64.b64decode(written["raw"], validate=True)
