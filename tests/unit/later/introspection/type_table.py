"""The table of types: what each annotation becomes, as data for the tests and for the page of reference.

The annotations are read with the names of `named_types.py` and those of :data:`NAMES`.
"""

from __future__ import annotations

import collections
import datetime as dt
import decimal
import fractions
import ipaddress
import pathlib
import re
import typing
import uuid
import zoneinfo
from collections.abc import Callable, Generator, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import pydantic

from tests.unit.later.introspection import named_types

__all__ = ["NAMES", "REFUSED", "ROWS", "Refused", "Row", "evaluated"]

NAMES: dict[str, Any] = {
    **vars(typing),
    **vars(collections),
    "AbstractSet": AbstractSet,
    "BaseModel": pydantic.BaseModel,
    "Callable": Callable,
    "Decimal": decimal.Decimal,
    "Field": pydantic.Field,
    "Fraction": fractions.Fraction,
    "Generator": Generator,
    "HttpUrl": pydantic.HttpUrl,
    "ImportString": pydantic.ImportString,
    "AwareDatetime": pydantic.AwareDatetime,
    "IPv4Address": ipaddress.IPv4Address,
    "IPv6Network": ipaddress.IPv6Network,
    "Iterator": Iterator,
    "Path": pathlib.Path,
    "PositiveInt": pydantic.PositiveInt,
    "SecretStr": pydantic.SecretStr,
    "UTC": dt.UTC,
    "UUID": uuid.UUID,
    "ZoneInfo": zoneinfo.ZoneInfo,
    "date": dt.date,
    "datetime": dt.datetime,
    "re": re,
    "time": dt.time,
    "timedelta": dt.timedelta,
    **vars(named_types),
}


def evaluated(text: str) -> Any:
    """The object that an annotation or a value of the table stands for."""
    return eval(text, dict(NAMES))


@dataclass(frozen=True, slots=True)
class Row:
    """One annotation: its schema, an argument as JSON, the object that arrives, and what is refused.

    `result` is the JSON that the object becomes as a result, and `returns` the schema of that, where they differ.
    """

    annotation: str
    schema: dict[str, Any]
    argument: str
    value: str
    refused: tuple[str, ...]
    result: str | None = None
    returns: dict[str, Any] | None = None
    note: str = ""
    other: tuple[str, ...] = ()
    """Further arguments that are accepted."""


@dataclass(frozen=True, slots=True)
class Refused:
    """One annotation that no tool can have: the rest of the sentence "Parameter 'x' …", and the hint."""

    annotation: str
    why: str
    hint: str


INT: dict[str, Any] = {"type": "integer"}
TEXT: dict[str, Any] = {"type": "string"}
NUMBER: dict[str, Any] = {"type": "number"}
BOOL: dict[str, Any] = {"type": "boolean"}
NULL: dict[str, Any] = {"type": "null"}
INTS: dict[str, Any] = {"type": "array", "items": INT}
SET: dict[str, Any] = {**INTS, "uniqueItems": True}
COUNTS: dict[str, Any] = {"type": "object", "additionalProperties": INT}
DECIMAL: dict[str, Any] = {"type": "string", "pattern": r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"}
POINT: dict[str, Any] = {
    "type": "object",
    "properties": {"x": INT, "label": {"type": "string", "default": "here"}},
    "required": ["x"],
}
MOVIE: dict[str, Any] = {"type": "object", "properties": {"title": TEXT, "year": INT}, "required": ["title"]}
ADDRESS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "street": {"type": "string", "minLength": 1, "description": "With the number"},
        "zip": {"anyOf": [TEXT, NULL], "default": None},
    },
    "required": ["street"],
}
ACCESS: dict[str, Any] = {
    "type": "integer",
    "minimum": 0,
    "maximum": 7,
    "description": "The sum of any of READ = 1, WRITE = 2, RUN = 4",
}
CAT: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"type": "string", "const": "cat"}, "lives": {"type": "integer", "default": 9}},
    "required": ["kind"],
}
DOG: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"type": "string", "const": "dog"}},
    "required": ["kind"],
}


def text(form: str) -> dict[str, Any]:
    return {"type": "string", "format": form}


def named(name: str, schema: dict[str, Any], **further: Any) -> dict[str, Any]:
    """The schema of a class: a reference to its definition."""
    return {"$ref": f"#/$defs/{name}", "$defs": {name: schema, **further}}


ROWS: dict[str, list[Row]] = {
    "Text, numbers and nothing": [
        Row("str", TEXT, '"Oslo"', "'Oslo'", ("1", "true", "null", '["Oslo"]')),
        Row("int", INT, "3", "3", ('"3"', "3.5", "true", "null"), note="64 bits; 3.0 is 3"),
        Row("float", NUMBER, "3", "3.0", ('"3"', "true", '"NaN"'), note="never NaN or infinite", other=("1e3", "-0.5")),
        Row("bool", BOOL, "true", "True", ("1", '"true"', "null")),
        Row("None", NULL, "null", "None", ("false", "0", '""')),
        Row(
            "Decimal",
            {"anyOf": [NUMBER, DECIMAL]},
            '"1.10"',
            "Decimal('1.10')",
            ("true", '"1,10"', '"NaN"', '""'),
            returns=DECIMAL,
            note="text keeps every digit",
            other=("1", "0.5", '"1e3"'),
        ),
        Row(
            "Annotated[int, Field(ge=1, le=10)]",
            {"type": "integer", "minimum": 1, "maximum": 10},
            "10",
            "10",
            ("0", "11", '"5"'),
        ),
        Row("PositiveInt", {"type": "integer", "exclusiveMinimum": 0}, "1", "1", ("0", "true")),
        Row(
            "Annotated[str, Field(pattern='^[a-z]+$', max_length=3)]",
            {"type": "string", "pattern": "^[a-z]+$", "maxLength": 3},
            '"abc"',
            "'abc'",
            ('"ABC"', '"abcd"', "1"),
        ),
        Row("Annotated[str, 'a city']", {"type": "string", "description": "a city"}, '"Oslo"', "'Oslo'", ("1",)),
        Row("LiteralString", TEXT, '"Oslo"', "'Oslo'", ("1",)),
        Row("UserId", INT, "7", "7", ('"7"',), note="a NewType is its own type"),
        Row("Any", {}, '{"a":[1,null]}', "{'a': [1, None]}", (), note="any JSON value, as it is"),
        Row("object", {}, '"x"', "'x'", ()),
    ],
    "Alternatives and choices": [
        Row(
            "str | None",
            {"anyOf": [TEXT, NULL]},
            "null",
            "None",
            ("1", "[]"),
            note="null may be sent, and must be unless there is a default",
            other=('"x"',),
        ),
        Row("Optional[int]", {"anyOf": [INT, NULL]}, "1", "1", ('"1"', "true")),
        Row("int | str", {"anyOf": [INT, TEXT]}, '"5"', "'5'", ("1.5", "true", "null"), other=("5",)),
        Row(
            "int | date",
            {"anyOf": [INT, text("date")]},
            '"2026-01-02"',
            "date(2026, 1, 2)",
            ('"5"', '"x"', "true"),
            note="text that looks like a number is no number",
            other=("5",),
        ),
        Row("bool | date", {"anyOf": [BOOL, text("date")]}, "true", "True", ('"true"', "1", '"5"')),
        Row(
            "datetime | str",
            {"anyOf": [text("date-time"), TEXT]},
            '"2026-01-02T03:04:05Z"',
            "datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)",
            ("5",),
            note="the first that fits",
            other=('"5"', '"soon"'),
        ),
        Row("list[int] | dict[str, int]", {"anyOf": [INTS, COUNTS]}, '{"a":1}', "{'a': 1}", ('["1"]', "1")),
        Row("Literal['c', 'f']", {"type": "string", "enum": ["c", "f"]}, '"c"', "'c'", ('"k"', "1")),
        Row("Literal[1, 2]", {"type": "integer", "enum": [1, 2]}, "1", "1", ("3", "true", '"1"')),
        Row(
            "Literal[1, 'x', True, None]",
            {"enum": [1, "x", True, None]},
            "true",
            "True",
            ("2", "false", '"1"'),
            other=("1", '"x"', "null"),
        ),
        Row(
            "Literal[1] | bool",
            {"anyOf": [{"type": "integer", "const": 1}, BOOL]},
            "true",
            "True",
            ("2", '"true"'),
            note="true is not 1",
            other=("1", "false"),
        ),
        Row(
            "Literal[True] | int",
            {"anyOf": [{"type": "boolean", "const": True}, INT]},
            "1",
            "1",
            ("false", '"1"'),
            other=("true", "0"),
        ),
        Row("Literal[Color.RED]", {"type": "string", "const": "red"}, '"red"', "Color.RED", ('"blue"', "1")),
        Row(
            "Literal[Color.RED, 'none']",
            {"type": "string", "enum": ["red", "none"]},
            '"red"',
            "Color.RED",
            ('"blue"',),
            other=('"none"',),
        ),
        Row(
            "Color",
            named("Color", {"type": "string", "enum": ["red", "blue"]}),
            '"red"',
            "Color.RED",
            ('"RED"', "1"),
            note="by value",
        ),
        Row("Size", named("Size", {"type": "integer", "enum": [1, 2]}), "2", "Size.LARGE", ("3", "true", '"1"')),
        Row(
            "Size | bool",
            {"anyOf": [{"$ref": "#/$defs/Size"}, BOOL], "$defs": {"Size": {"type": "integer", "enum": [1, 2]}}},
            "true",
            "True",
            ("3",),
            other=("1", "false"),
        ),
        Row("Unit", named("Unit", {"type": "string", "enum": ["c", "f"]}), '"c"', "Unit.CELSIUS", ('"k"',)),
        Row(
            "Access",
            named("Access", ACCESS),
            "3",
            "Access.READ | Access.WRITE",
            ("8", "-1", '"READ"', "true"),
            note="a sum of members",
            other=("0", "7"),
        ),
    ],
    "Times, ids, places": [
        Row(
            "datetime",
            text("date-time"),
            '"2026-01-02T03:04:05Z"',
            "datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)",
            ('"5"', "5", '"soon"', '"2026-01-02"', '"1767322800"'),
            note="with or without an offset: aware or naive",
            other=('"2026-01-02T03:04:05"', '"2026-01-02T03:04:05+02:00"'),
        ),
        Row(
            "AwareDatetime",
            text("date-time"),
            '"2026-01-02T03:04:05Z"',
            "datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)",
            ('"2026-01-02T03:04:05"', '"5"'),
        ),
        Row(
            "date",
            text("date"),
            '"2026-01-02"',
            "date(2026, 1, 2)",
            ('"2026-13-02"', '"86400"', "86400", '"2026-01-02T00:00:00Z"'),
        ),
        Row("time", text("time"), '"03:04:05"', "time(3, 4, 5)", ('"5"', "5", '"25:00:00"')),
        Row("timedelta", text("duration"), '"PT1H30M"', "timedelta(minutes=90)", ("5", '"5"', '"soon"')),
        Row("ZoneInfo", text("zoneinfo"), '"Europe/Oslo"', "ZoneInfo('Europe/Oslo')", ('"Moon/Base"', "1")),
        Row("UUID", text("uuid"), '"00000000-0000-0000-0000-000000000001"', "UUID(int=1)", ('"1"', "1")),
        Row("Path", text("path"), '"a/b.txt"', "Path('a/b.txt')", ("1", "null"), note="not looked up"),
        Row("IPv4Address", text("ipv4"), '"10.0.0.1"', "IPv4Address('10.0.0.1')", ('"10.0.0"', "5")),
        Row("IPv6Network", text("ipv6network"), '"2001:db8::/32"', "IPv6Network('2001:db8::/32')", ('"x"', "5")),
        Row(
            "HttpUrl",
            {**text("uri"), "minLength": 1, "maxLength": 2083},
            '"https://example.com/a"',
            "HttpUrl('https://example.com/a')",
            ('"ftp://example.com"', '""', "1"),
        ),
        Row("re.Pattern[str]", text("regex"), '"^a"', "re.compile('^a')", ('"("', "1")),
        Row(
            "bytes",
            {"type": "string", "contentEncoding": "base64"},
            '"//77"',
            r"b'\xff\xfe\xfb'",
            ('"?"', "1"),
            note="base64, on the way in in either alphabet",
        ),
    ],
    "Collections": [
        Row("list[int]", INTS, "[1,2]", "[1, 2]", ('["1"]', "[true]", "1", '{"0":1}')),
        Row("list", {"type": "array", "items": {}}, '[1,"a"]', "[1, 'a']", ("1", "{}")),
        Row(
            "set[int]", SET, "[2,1]", "{1, 2}", ("[1,1]", '["1"]'), result="[1,2]", note="in a fixed order as a result"
        ),
        Row(
            "frozenset[str]",
            {"type": "array", "items": TEXT, "uniqueItems": True},
            '["a","b"]',
            "frozenset({'a', 'b'})",
            ('["a","a"]', "[1]"),
        ),
        Row("AbstractSet[int]", SET, "[1]", "frozenset({1})", ("[1,1]",)),
        Row(
            "tuple[int, str]",
            {"type": "array", "prefixItems": [INT, TEXT], "minItems": 2, "maxItems": 2},
            '[1,"a"]',
            "(1, 'a')",
            ("[1]", '["a",1]', '[1,"a",2]'),
        ),
        Row("tuple[int, ...]", INTS, "[1,2]", "(1, 2)", ('["1"]',)),
        Row("deque[int]", INTS, "[1,2]", "deque([1, 2])", ('["1"]', "1")),
        Row("Sequence[int]", INTS, "[1,2]", "[1, 2]", ('["1"]', "1")),
        Row("Collection[int]", INTS, "[1,2]", "[1, 2]", ('["1"]', "1")),
        Row("Iterable[int]", INTS, "[1,2]", "[1, 2]", ('["1"]', "1"), note="a list, every item of it already read"),
        Row("dict[str, int]", COUNTS, '{"a":1}', "{'a': 1}", ('{"a":"1"}', "[]")),
        Row("dict", {"type": "object", "additionalProperties": True}, '{"a":[1]}', "{'a': [1]}", ("[]", '"x"')),
        Row("Mapping[str, int]", COUNTS, '{"a":1}', "{'a': 1}", ('{"a":"1"}',)),
        Row("OrderedDict[str, int]", COUNTS, '{"a":1}', "OrderedDict(a=1)", ('{"a":"1"}',)),
        Row("defaultdict[str, int]", COUNTS, '{"a":1}', "defaultdict(int, a=1)", ('{"a":"1"}',)),
        Row("Counter[str]", COUNTS, '{"a":1}', "Counter(a=1)", ('{"a":"1"}',)),
        Row(
            "dict[int, str]",
            {"type": "object", "additionalProperties": TEXT, "propertyNames": {"pattern": "^-?(0|[1-9][0-9]*)$"}},
            '{"1":"a"}',
            "{1: 'a'}",
            ('{"x":"a"}', '{"1.5":"a"}'),
            note="keys are text in JSON",
        ),
        Row(
            "dict[Size, str]",
            {
                "type": "object",
                "additionalProperties": TEXT,
                "propertyNames": {"enum": ["1", "2"]},
                "$defs": {"Size": {"type": "integer", "enum": [1, 2]}},
            },
            '{"1":"a"}',
            "{Size.SMALL: 'a'}",
            ('{"3":"a"}',),
        ),
        Row(
            "dict[date, int]",
            {**COUNTS, "propertyNames": {"format": "date"}},
            '{"2026-01-02":1}',
            "{date(2026, 1, 2): 1}",
            ('{"soon":1}',),
        ),
        Row(
            "Names",
            named("Names", {"type": "array", "items": TEXT}),
            '["a"]',
            "['a']",
            ("[1]",),
            note="a TypeAliasType keeps its name",
        ),
    ],
    "Classes": [
        Row(
            "Point",
            named("Point", POINT),
            '{"x":1}',
            "Point(1)",
            ('{"x":"1"}', "{}", "[1]"),
            result='{"label":"here","x":1}',
        ),
        Row(
            "Order",
            named(
                "Order",
                {
                    "type": "object",
                    "properties": {"item": TEXT, "count": INT, "tags": {"type": "array", "items": TEXT}},
                    "required": ["item", "count"],
                },
            ),
            '{"count":2,"item":"tea"}',
            "Order(item='tea', count=2)",
            ('{"item":"tea"}', '{"item":"tea","count":"2"}'),
            result='{"item":"tea","tags":[],"total":20}',
            returns={
                "type": "object",
                "properties": {
                    "item": TEXT,
                    "tags": {"type": "array", "items": TEXT},
                    "total": {"type": "integer", "default": 0},
                },
                "required": ["item"],
            },
            note="an InitVar is only read, a field with init=False only written",
        ),
        Row(
            "Track",
            named(
                "Track",
                {"type": "object", "properties": {"title": {"type": "string", "minLength": 1}}, "required": ["title"]},
            ),
            '{"title":"A"}',
            "Track(title='A')",
            ('{"title":""}', '{"title":1}'),
        ),
        Row(
            "Box[int]",
            named("Box_int_", {"type": "object", "properties": {"held": INT}, "required": ["held"]}),
            '{"held":1}',
            "Box(1)",
            ('{"held":"1"}',),
        ),
        Row("Movie", named("Movie", MOVIE), '{"title":"A"}', "{'title': 'A'}", ('{"year":1}', '{"title":1}')),
        Row(
            "OldMovie",
            named("OldMovie", MOVIE),
            '{"title":"A","year":1}',
            "{'title': 'A', 'year': 1}",
            ('{"year":1}', '{"title":"A","year":"1"}'),
            note="a TypedDict of `typing`, on every Python",
        ),
        Row(
            "list[OldMovie]",
            {"type": "array", "items": {"$ref": "#/$defs/OldMovie"}, "$defs": {"OldMovie": MOVIE}},
            '[{"title":"A"}]',
            "[{'title': 'A'}]",
            ("[{}]",),
        ),
        Row(
            "Pair",
            named(
                "Pair",
                {
                    "type": "array",
                    "prefixItems": [TEXT, {"type": "integer", "default": 0}],
                    "minItems": 1,
                    "maxItems": 2,
                },
            ),
            '["a",1]',
            "Pair('a', 1)",
            ("[]", '["a","1"]', '["a",1,2]'),
            note="an array",
        ),
        Row(
            "Spot",
            named("Spot", {"type": "array", "prefixItems": [{}, {}], "minItems": 2, "maxItems": 2}),
            '[1,"a"]',
            "Spot(1, 'a')",
            ("[1]",),
        ),
        Row(
            "Person",
            named(
                "Person",
                {
                    "type": "object",
                    "properties": {"name": TEXT, "address": {"$ref": "#/$defs/Address"}},
                    "required": ["name", "address"],
                },
                Address=ADDRESS,
            ),
            '{"address":{"street":"A 1"},"name":"Ada"}',
            "Person(name='Ada', address=Address(street='A 1'))",
            ('{"name":"Ada"}', '{"name":"Ada","address":{"street":""}}'),
            result='{"address":{"street":"A 1","zip":null},"name":"Ada"}',
        ),
        Row(
            "Node",
            named(
                "Node",
                {
                    "type": "object",
                    "properties": {
                        "value": INT,
                        "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
                    },
                    "required": ["value"],
                },
            ),
            '{"children":[{"children":[],"value":2}],"value":1}',
            "Node(value=1, children=[Node(value=2)])",
            ('{"value":1,"children":[{}]}',),
        ),
        Row(
            "Tree",
            named(
                "Tree",
                {
                    "type": "object",
                    "properties": {"leaves": {"type": "array", "items": {"$ref": "#/$defs/Leaf"}, "default": []}},
                },
                Leaf={
                    "type": "object",
                    "properties": {"tree": {"anyOf": [{"$ref": "#/$defs/Tree"}, NULL], "default": None}},
                },
            ),
            '{"leaves":[{"tree":{"leaves":[]}}]}',
            "Tree(leaves=[Leaf(tree=Tree())])",
            ('{"leaves":[1]}',),
            note="classes may refer to each other",
        ),
        Row(
            "Json",
            named(
                "Json",
                {
                    "anyOf": [
                        {"type": "object", "additionalProperties": {"$ref": "#/$defs/Json"}},
                        {"type": "array", "items": {"$ref": "#/$defs/Json"}},
                        TEXT,
                        INT,
                        NUMBER,
                        BOOL,
                        NULL,
                    ]
                },
            ),
            '{"a":[1,"1",true,null,1.5]}',
            "{'a': [1, '1', True, None, 1.5]}",
            (),
        ),
        Row(
            "Page[Point]",
            named(
                "Page_Point_",
                {
                    "type": "object",
                    "properties": {
                        "items": {"type": "array", "items": {"$ref": "#/$defs/Point"}},
                        "more": {"type": "boolean", "default": False},
                    },
                    "required": ["items"],
                },
                Point=POINT,
            ),
            '{"items":[{"x":1}]}',
            "Page[Point](items=[Point(1)])",
            ('{"items":[1]}',),
            result='{"items":[{"label":"here","x":1}],"more":false}',
        ),
        Row("Short", TEXT, '"a"', "'a'", ("1",), note="a TypeVar is its bound"),
        Row("Number", {"anyOf": [INT, NUMBER]}, "1.5", "1.5", ('"1"', "true"), note="or its constraints", other=("1",)),
        Row(
            "Pet",
            {
                "oneOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}],
                "discriminator": {"propertyName": "kind", "mapping": {"cat": "#/$defs/Cat", "dog": "#/$defs/Dog"}},
                "$defs": {"Cat": CAT, "Dog": DOG},
            },
            '{"kind":"cat"}',
            "Cat(kind='cat')",
            ('{"kind":"cow"}', '{"lives":9}', '{"kind":"cat","lives":"9"}'),
            result='{"kind":"cat","lives":9}',
            other=('{"kind":"dog"}',),
        ),
        Row("Level", {"oneOf": [INT, TEXT]}, '"high"', "'high'", ("1.5", "true"), other=("1",)),
        Row(
            "Renamed",
            named(
                "Renamed",
                {
                    "type": "object",
                    "properties": {"maxPrice": INT},
                    "required": ["maxPrice"],
                    "additionalProperties": False,
                },
            ),
            '{"maxPrice":1}',
            "Renamed(maxPrice=1)",
            ('{"max_price":1}', '{"maxPrice":1,"a":2}'),
            note="aliases both ways",
        ),
        Row(
            "Square",
            named("Square", {"type": "object", "properties": {"side": INT}, "required": ["side"]}),
            '{"side":2}',
            "Square(side=2)",
            ('{"side":"2"}',),
            result='{"area":4,"side":2}',
            returns={
                "type": "object",
                "properties": {"side": INT, "area": {"type": "integer", "readOnly": True}},
                "required": ["side", "area"],
            },
            note="computed fields are part of a result",
        ),
        Row(
            "Day",
            named("Day", {"type": "object", "properties": {"on": text("date")}, "required": ["on"]}),
            '{"on":"2026-01-02"}',
            "Day(on=date(2026, 1, 2))",
            ('{"on":"5"}',),
            result='{"on":"02.01.2026"}',
            returns={"type": "object", "properties": {"on": TEXT}, "required": ["on"]},
            note="a serializer of your own writes the result",
        ),
    ],
}

_USE = "use text, numbers, lists, dicts, dataclasses or pydantic models"
_KEYS = "use text or numbers, or a list of pairs"
_ITERATOR = "use a list, or Iterable[…]"
REFUSED: list[Refused] = [
    Refused(
        "Callable[[int], int]",
        "is a function, and a function cannot be sent as JSON",
        "take a name or a Literal, and choose the function inside",
    ),
    Refused(
        "type[int]",
        "is a class, and a class cannot be sent as JSON",
        "take a name or a Literal, and choose the class inside",
    ),
    Refused("Iterator[int]", "is an iterator, which is used up as it is read", _ITERATOR),
    Refused("Generator[int, None, None]", "is an iterator, which is used up as it is read", _ITERATOR),
    Refused("complex", "is a complex number, and JSON has no such numbers", "use a Decimal, or a tuple of two numbers"),
    Refused("Fraction", "is a fraction, and JSON has no such numbers", "use a Decimal, or a tuple of two numbers"),
    Refused(
        "SecretStr",
        "is a secret, and what is sent in a call can be read in its records",
        "let the function read the secret itself, where it runs",
    ),
    Refused(
        "ImportString",
        "is the name of anything that can be imported, and a caller must not choose what is run",
        "take a Literal of the names that may be used",
    ),
    Refused(
        "Literal[b'x']",
        "is a choice of values that are neither text nor numbers in JSON",
        "choose from text, numbers, true, false and None",
    ),
    Refused("dict[tuple[int, int], str]", "is a dict with keys that are not text in JSON", _KEYS),
    Refused("dict[Point, str]", "is a dict with keys that are not text in JSON", _KEYS),
    Refused("dict[Literal[1], str]", "is a dict with keys that are not text in JSON", _KEYS),
    Refused("bytearray", "has the type 'bytearray', which has no form in JSON", _USE),
    Refused("range", "has the type 'range', which has no form in JSON", _USE),
    Refused("BaseException", "has the type 'BaseException', which has no form in JSON", _USE),
]
