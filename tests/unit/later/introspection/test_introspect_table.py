"""Signatures and the contracts they become: one row a signature, its parameters and its result."""

# mypy: disable-error-code="empty-body"
# The functions here are declared and never called.

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import ipaddress
import pathlib
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, Optional, Required, Union

import pytest
from pydantic import BaseModel, Field, HttpUrl
from typing_extensions import Doc, TypedDict

from altar.adm.declaration import FunctionDeclaration
from altar.later.introspection.introspect import declare


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    S = 1
    L = 2


@dataclasses.dataclass
class Point:
    x: int
    y: str = "d"
    z: list[int] = dataclasses.field(default_factory=list)


class Partly(TypedDict, total=False):
    a: Required[int]
    b: str


class Mostly(TypedDict):
    a: int
    n: NotRequired[float]


class Address(BaseModel):
    street: str = Field(description="Street name", min_length=1)
    zip: str | None = None


class Person(BaseModel):
    """Somebody."""

    name: str
    address: Address
    title: str = "title"


class Node(BaseModel):
    v: int
    children: list[Node] = []


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


class Pair(NamedTuple):
    a: int
    b: str = "x"


class Aliased(BaseModel):
    my_field: int = Field(alias="myField")


class Thing:
    """Does things."""

    def method(self, a: int, b: str = "q") -> None: ...
    def __call__(self, a: int) -> None: ...


def primitives(a: int, b: float, c: str, d: bool) -> str: ...
def optional(a: Optional[str]) -> None: ...  # noqa: UP045 - both spellings are in use
def optional_default(a: Optional[int] = None, b: str | None = None) -> None: ...  # noqa: UP045 - same
def union(a: int | str, b: Union[int, list[int]] = 3) -> int: ...  # noqa: UP007 - both spellings are in use
def literal(a: Literal["x", "y"], b: Literal[1, 2, "z"] | None = "z") -> Literal["ok"]: ...
def enums(a: Color, b: Size = Size.S) -> Color: ...
def dataclass(a: Point) -> Point: ...
def typed_dict(a: Partly, b: Mostly) -> Mostly: ...
def model(p: Person) -> Address: ...
def recursive(n: Node) -> Node: ...
def annotated(
    a: Annotated[int, Field(ge=1, le=10, description="one to ten")],
    b: Annotated[str, Field(pattern="^x", max_length=5)] = "x",
) -> None: ...
def described(a: Annotated[int, "a plain text"], b: Annotated[int, Doc("a Doc")]) -> None: ...
def times(a: dt.datetime, b: dt.date, c: dt.time, d: dt.timedelta) -> dt.datetime: ...
def binary(a: bytes, b: bytes = b"\xff\xfe\xfb") -> bytes: ...
def exact(a: decimal.Decimal, b: uuid.UUID, c: pathlib.Path) -> decimal.Decimal: ...
def kinds(a: int, /, b: int, *, c: int = 3) -> None: ...
def collections(
    a: dict[str, int], b: set[int], c: tuple[int, str], d: tuple[int, ...], e: list[dict[str, list[float]]]
) -> dict[str, Any]: ...
def abstract(a: Sequence[int], b: Mapping[str, int], c: frozenset[str] = frozenset({"b", "a"})) -> None: ...
def anything(a: Any, b: object = None) -> Any: ...
def discriminated(pet: Annotated[Cat | Dog, Field(discriminator="kind")]) -> None: ...
def named_tuple(a: Pair) -> Pair: ...
def addresses(a: HttpUrl, b: ipaddress.IPv4Address) -> None: ...
def alias_inside(a: Aliased) -> None: ...
def alias(a: Annotated[int, Field(alias="from")], b: Annotated[int, Field(alias="to")] = 1) -> None: ...
def mutable_defaults(
    a: list[int] = [],  # noqa: B006 - what users write
    b: Point = Point(1),  # noqa: B008 - same
    c: dt.date = dt.date(2026, 1, 1),
) -> None: ...
async def asynchronous(a: int) -> list[int]: ...
def reserved(self_: int, schema: str, json: str, model_config: int = 1, _private: int = 2) -> None: ...
def titled(title: str, default: dict[str, str]) -> None: ...
def nothing() -> None: ...
def silent(a: int): ...  # type: ignore[no-untyped-def]  # noqa: ANN201 - a result without annotation


INT = {"type": "integer"}
TEXT = {"type": "string"}
NUMBER = {"type": "number"}
NULL = {"type": "null"}
NO_RESULT: dict[str, Any] = {}
BASE64 = {"type": "string", "contentEncoding": "base64"}
DECIMAL = {"type": "string", "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"}
POINT = {
    "type": "object",
    "properties": {
        "x": INT,
        "y": {"type": "string", "default": "d"},
        "z": {"type": "array", "items": INT},
    },
    "required": ["x"],
}
MOSTLY = {"type": "object", "properties": {"a": INT, "n": NUMBER}, "required": ["a"]}
ADDRESS = {
    "type": "object",
    "properties": {
        "street": {"type": "string", "description": "Street name", "minLength": 1},
        "zip": {"anyOf": [TEXT, NULL], "default": None},
    },
    "required": ["street"],
}
NODE = {
    "type": "object",
    "properties": {
        "v": INT,
        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
    },
    "required": ["v"],
}
PAIR = {
    "type": "array",
    "prefixItems": [INT, {"type": "string", "default": "x"}],
    "minItems": 1,
    "maxItems": 2,
}


def parameters(required: Sequence[str] = (), defs: Mapping[str, Any] | None = None, **properties: Any) -> Any:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return schema | ({"$defs": defs} if defs else {})


TABLE: list[tuple[Callable[..., Any], Any, Any]] = [
    (primitives, parameters("abcd", a=INT, b=NUMBER, c=TEXT, d={"type": "boolean"}), TEXT),
    (optional, parameters("a", a={"anyOf": [TEXT, NULL]}), NULL),
    (
        optional_default,
        parameters(a={"anyOf": [INT, NULL], "default": None}, b={"anyOf": [TEXT, NULL], "default": None}),
        NULL,
    ),
    (
        union,
        parameters(
            "a",
            a={"anyOf": [INT, TEXT]},
            b={"anyOf": [INT, {"type": "array", "items": INT}], "default": 3},
        ),
        INT,
    ),
    (
        literal,
        parameters(
            "a",
            a={"type": "string", "enum": ["x", "y"]},
            b={"anyOf": [{"enum": [1, 2, "z"]}, NULL], "default": "z"},
        ),
        {"type": "string", "const": "ok"},
    ),
    (
        enums,
        parameters(
            "a",
            {
                "Color": {"type": "string", "enum": ["red", "blue"]},
                "Size": {"type": "integer", "enum": [1, 2]},
            },
            a={"$ref": "#/$defs/Color"},
            b={"$ref": "#/$defs/Size", "default": 1},
        ),
        {"type": "string", "enum": ["red", "blue"]},
    ),
    (dataclass, parameters("a", {"Point": POINT}, a={"$ref": "#/$defs/Point"}), POINT),
    (
        typed_dict,
        parameters(
            "ab",
            {
                "Partly": {"type": "object", "properties": {"a": INT, "b": TEXT}, "required": ["a"]},
                "Mostly": MOSTLY,
            },
            a={"$ref": "#/$defs/Partly"},
            b={"$ref": "#/$defs/Mostly"},
        ),
        MOSTLY,
    ),
    (
        model,
        parameters(
            "p",
            {
                "Address": ADDRESS,
                "Person": {
                    "description": "Somebody.",
                    "type": "object",
                    "properties": {
                        "name": TEXT,
                        "address": {"$ref": "#/$defs/Address"},
                        "title": {"type": "string", "default": "title"},
                    },
                    "required": ["name", "address"],
                },
            },
            p={"$ref": "#/$defs/Person"},
        ),
        ADDRESS,
    ),
    (
        recursive,
        parameters("n", {"Node": NODE}, n={"$ref": "#/$defs/Node"}),
        {"$ref": "#/$defs/Node", "$defs": {"Node": NODE}},
    ),
    (
        annotated,
        parameters(
            "a",
            a={"type": "integer", "minimum": 1, "maximum": 10, "description": "one to ten"},
            b={"type": "string", "pattern": "^x", "maxLength": 5, "default": "x"},
        ),
        NULL,
    ),
    (
        described,
        parameters("ab", a=INT | {"description": "a plain text"}, b=INT | {"description": "a Doc"}),
        NULL,
    ),
    (
        times,
        parameters(
            "abcd",
            a={"type": "string", "format": "date-time"},
            b={"type": "string", "format": "date"},
            c={"type": "string", "format": "time"},
            d={"type": "string", "format": "duration"},
        ),
        {"type": "string", "format": "date-time"},
    ),
    (binary, parameters("a", a=BASE64, b=BASE64 | {"default": "//77"}), BASE64),
    (
        exact,
        parameters(
            "abc",
            a={"anyOf": [NUMBER, DECIMAL]},
            b={"type": "string", "format": "uuid"},
            c={"type": "string", "format": "path"},
        ),
        DECIMAL,
    ),
    (kinds, parameters("ab", a=INT, b=INT, c=INT | {"default": 3}), NULL),
    (
        collections,
        parameters(
            "abcde",
            a={"type": "object", "additionalProperties": INT},
            b={"type": "array", "items": INT, "uniqueItems": True},
            c={"type": "array", "prefixItems": [INT, TEXT], "minItems": 2, "maxItems": 2},
            d={"type": "array", "items": INT},
            e={
                "type": "array",
                "items": {"type": "object", "additionalProperties": {"type": "array", "items": NUMBER}},
            },
        ),
        {"type": "object", "additionalProperties": True},
    ),
    (
        abstract,
        parameters(
            "ab",
            a={"type": "array", "items": INT},
            b={"type": "object", "additionalProperties": INT},
            c={"type": "array", "items": TEXT, "uniqueItems": True, "default": ["a", "b"]},
        ),
        NULL,
    ),
    (anything, parameters("a", a={}, b={"default": None}), {}),
    (
        discriminated,
        parameters(
            ["pet"],
            {
                name.title(): {
                    "type": "object",
                    "properties": {"kind": {"type": "string", "const": name}},
                    "required": ["kind"],
                }
                for name in ("cat", "dog")
            },
            pet={
                "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
                "discriminator": {
                    "propertyName": "kind",
                    "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"},
                },
            },
        ),
        NULL,
    ),
    (named_tuple, parameters("a", {"Pair": PAIR}, a={"$ref": "#/$defs/Pair"}), PAIR),
    (
        addresses,
        parameters(
            "ab",
            a={"type": "string", "format": "uri", "minLength": 1, "maxLength": 2083},
            b={"type": "string", "format": "ipv4"},
        ),
        NULL,
    ),
    (
        alias_inside,
        parameters(
            "a",
            {"Aliased": {"type": "object", "properties": {"myField": INT}, "required": ["myField"]}},
            a={"$ref": "#/$defs/Aliased"},
        ),
        NULL,
    ),
    (
        alias,
        {
            "type": "object",
            "properties": {"from": INT, "to": INT | {"default": 1}},
            "required": ["from"],
        },
        NULL,
    ),
    (
        mutable_defaults,
        parameters(
            (),
            {"Point": POINT},
            a={"type": "array", "items": INT, "default": []},
            b={"$ref": "#/$defs/Point", "default": {"x": 1, "y": "d", "z": []}},
            c={"type": "string", "format": "date", "default": "2026-01-01"},
        ),
        NULL,
    ),
    (asynchronous, parameters("a", a=INT), {"type": "array", "items": INT}),
    (Thing().method, parameters("a", a=INT, b=TEXT | {"default": "q"}), NULL),
    (Thing(), parameters("a", a=INT), NULL),
    (
        functools.partial(primitives, 1, d=True),
        parameters("bc", b=NUMBER, c=TEXT, d={"type": "boolean", "default": True}),
        TEXT,
    ),
    (
        reserved,
        parameters(
            ["self_", "schema", "json"],
            self_=INT,
            schema=TEXT,
            json=TEXT,
            model_config=INT | {"default": 1},
            _private=INT | {"default": 2},
        ),
        NULL,
    ),
    (
        titled,
        parameters(
            ["title", "default"],
            title=TEXT,
            default={"type": "object", "additionalProperties": TEXT},
        ),
        NULL,
    ),
    (nothing, parameters(), NULL),
    (silent, parameters("a", a=INT), None),
]


@pytest.mark.parametrize(
    ("function", "expected", "returned"), TABLE, ids=[getattr(row[0], "__name__", "object") for row in TABLE]
)
def test_a_signature_becomes_this_contract(function: Callable[..., Any], expected: Any, returned: Any) -> None:
    declaration, _ = declare(function, name="f", description="d")

    assert expected == declaration.parameters.json_schema
    assert returned == (declaration.returns.json_schema if declaration.returns else None)


@pytest.mark.parametrize("function", [row[0] for row in TABLE], ids=lambda f: getattr(f, "__name__", "object"))
def test_every_contract_survives_its_adm_form(function: Callable[..., Any]) -> None:
    declaration, _ = declare(function, name="f", description="d")

    assert declaration == FunctionDeclaration.from_adm(declaration.to_adm())
