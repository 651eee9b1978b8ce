"""Every way to write a function: what its contract holds, and how it is called."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import inspect
import subprocess
import sys
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from typing import Annotated, Any, NotRequired, TypeVar, Unpack, overload

import pytest
import typing_extensions
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

import altar
from altar.adm.errors import ValidationError
from altar.later.tool import ToolFunction, tool

declared = functools.partial(tool, description="d", register=False)
INT = {"type": "integer"}
TEXT = {"type": "string"}
R = TypeVar("R")


class Options(TypedDict):
    size: int
    color: NotRequired[str]


class Point(BaseModel):
    x: int


class Shop:
    """A shop."""

    prices = {"tea": 3}  # noqa: RUF012 - not what is tested

    def price(self, item: str) -> int:
        """Tell a price."""
        return self.prices[item]

    @classmethod
    def name(cls, polite: bool = False) -> str:
        """Tell the name."""
        return "Mr " * polite + cls.__name__

    @staticmethod
    def double(number: int) -> int:
        """Double it."""
        return 2 * number

    async def __call__(self, item: str) -> int:
        """Ask in person."""
        return self.price(item)


def properties(made: ToolFunction[..., Any]) -> Any:
    return made.declaration.parameters.json_schema["properties"]


def called(made: ToolFunction[..., Any], arguments: bytes) -> Any:
    """Check, bind and call, as a source does."""
    args, kwargs = made.bind(arguments, made.check(arguments))
    unread, named = made.bind(arguments)
    assert (args, kwargs) == (unread, named), "the direct way and the one through pydantic differ"
    return made.function(*args, **kwargs)


# ------------------------------------------------------------------------------------------- any number of them


def test_further_positional_arguments_are_an_optional_list() -> None:
    @declared
    def add(first: int, *more: int, scale: int = 1) -> Any:
        return (first, more, scale)

    assert {"type": "array", "items": INT, "default": []} == properties(add)["more"]
    assert ["first"] == add.declaration.parameters.json_schema["required"]
    assert (1, (), 1) == called(add, b'{"first":1}')
    assert (1, (2, 3), 4) == called(add, b'{"first":1,"more":[2,3],"scale":4}')
    with pytest.raises(ValidationError):
        add.check(b'{"first":1,"more":["2"]}')


def test_what_stands_before_further_arguments_keeps_its_default() -> None:
    @declared
    def add(a: int, b: int = 2, /, c: int = 3, *more: Point) -> Any:
        return (a, b, c, more)

    assert (1, 2, 3, (Point(x=4),)) == called(add, b'{"a":1,"more":[{"x":4}]}')
    assert (1, 2, 5, ()) == called(add, b'{"a":1,"c":5}')


def test_further_named_arguments_are_members_of_their_type() -> None:
    @declared
    def label(item: str, **labels: int) -> Any:
        return (item, labels)

    schema = label.declaration.parameters.json_schema
    assert ({"item": TEXT}, INT) == (schema["properties"], schema["additionalProperties"])
    assert ("tea", {"a": 1, "b": 2}) == called(label, b'{"a":1,"b":2,"item":"tea"}')
    with pytest.raises(ValidationError):
        label.check(b'{"a":"1","item":"tea"}')


def test_further_named_arguments_can_be_models() -> None:
    @declared
    def place(**points: Point) -> Any:
        return points

    assert {"$ref": "#/$defs/Point"} == place.declaration.parameters.json_schema["additionalProperties"]
    assert {"a": Point(x=1)} == called(place, b'{"a":{"x":1}}')


def test_a_further_name_cannot_take_the_place_of_a_parameter() -> None:
    @declared
    def send(context: altar.ToolContext, sender: Annotated[str, Field(alias="from")], **headers: str) -> Any:
        return (sender, headers)

    assert ((), {"sender": "a", "x": "b"}) == send.bind(b'{"from":"a","x":"b"}')
    for taken in (b'{"context":"a","from":"a"}', b'{"from":"a","sender":"b"}'):
        with pytest.raises(ValidationError):
            send.check(taken)


def test_unpacked_options_are_members_by_their_names() -> None:
    @declared
    def paint(item: str, **options: Unpack[Options]) -> Any:
        return (item, options)

    @declared
    def backported(item: str, **options: typing_extensions.Unpack[Options]) -> Any:
        return (item, options)

    for made in (paint, backported):
        schema = made.declaration.parameters.json_schema
        assert {"item": TEXT, "size": INT, "color": TEXT} == schema["properties"]
        assert ["item", "size"] == schema["required"]
        assert ("tea", {"size": 1}) == called(made, b'{"item":"tea","size":1}')
        with pytest.raises(ValidationError):
            made.check(b'{"item":"tea","size":1,"weight":2}')


# ------------------------------------------------------------------------------------------ whatever can be called


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (Shop().price, b'{"item":"tea"}', 3),
        (Shop.name, b'{"polite":true}', "Mr Shop"),
        (Shop().name, b"{}", "Shop"),
        (Shop.double, b'{"number":2}', 4),
        (vars(Shop)["double"], b'{"number":2}', 4),
        (functools.partial(Shop.double, number=3), b"{}", 6),
        (functools.partial(Shop.double, 3), b"{}", 6),
        (functools.partial(functools.partial(Shop().price), "tea"), b"{}", 3),
        (functools.lru_cache(Shop.double), b'{"number":2}', 4),
    ],
    ids=["method", "class method", "of an object", "static", "staticmethod", "by name", "partial", "twice", "cached"],
)
def test_whatever_can_be_called_can_be_a_tool(function: Callable[..., Any], arguments: bytes, expected: Any) -> None:
    made = declared(function)

    assert not made.is_async
    assert expected == called(made, arguments)


def test_an_object_that_is_called_asynchronously_is_awaited() -> None:
    made = declared(Shop(), name="ask")

    assert made.is_async
    assert 3 == asyncio.run(called(made, b'{"item":"tea"}'))


def loud(function: Callable[..., R]) -> Callable[..., R]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> R:
        return function(*args, **kwargs)

    return wrapper


def test_a_plain_wrapper_around_a_coroutine_function_is_awaited() -> None:
    @declared
    @loud
    @loud
    async def fetch(url: str) -> str:
        return url

    assert fetch.is_async
    assert {"url": TEXT} == properties(fetch)
    assert "a" == asyncio.run(called(fetch, b'{"url":"a"}'))


def test_of_a_function_with_overloads_the_implementation_counts() -> None:
    @overload
    def twice(value: int) -> int: ...
    @overload
    def twice(value: str) -> str: ...
    def twice(value: int | str) -> int | str:
        return value * 2

    made = declared(twice)

    assert {"anyOf": [INT, TEXT]} == properties(made)["value"]
    assert "aa" == called(made, b'{"value":"a"}')


def test_names_that_are_local_are_found_inside_of_local_classes_too() -> None:
    @dataclasses.dataclass
    class Inner:
        x: int

    @dataclasses.dataclass
    class Outer:
        inner: Inner
        others: list[Outer]

    @tool(register=False)
    def take(outer: Outer) -> int:
        """Take it."""
        return outer.inner.x

    assert 1 == called(take, b'{"outer":{"inner":{"x":1},"others":[]}}')


@pytest.mark.parametrize(
    ("default", "shown"),
    [(3, 3), (None, None), ([1], [1]), ({"a": [1]}, {"a": [1]}), (Point(x=1), {"x": 1}), (("a", 1), ["a", 1])],
    ids=str,
)
def test_a_default_is_shown_as_it_would_be_sent(default: Any, shown: Any) -> None:
    def f(x=default): ...  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - annotated below

    f.__annotations__ = {"x": type(default) if default is not None else int | None}
    made = declared(f)

    assert shown == properties(made)["x"]["default"]
    assert [] == made.declaration.parameters.json_schema["required"]


# ------------------------------------------------------------------------------------------------------- contexts


def test_a_context_never_reaches_the_contract() -> None:
    @declared
    def plain(a: int, context: altar.ToolContext) -> int:
        return a

    @declared
    def optional(a: int, *, told: altar.ToolContext | None = None) -> int:
        return a

    @declared
    def marked(a: int, ctx: Annotated[altar.ToolContext, "the call"]) -> int:
        return a

    @declared
    def without(a: int) -> int:
        return a

    assert ["context", "told", "ctx", None] == [each.context for each in (plain, optional, marked, without)]
    assert 1 == len({each.declaration.parameters for each in (plain, optional, marked, without)})
    assert ((), {"a": 1}) == plain.bind(b'{"a":1}')
    with pytest.raises(ValidationError):
        plain.check(b'{"a":1,"context":null}')


def test_a_context_imported_for_the_type_checker_only_is_known_by_its_name() -> None:
    program = (
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "import altar\n"
        "if TYPE_CHECKING:\n"
        "    from altar import ToolContext\n"
        "@altar.tool\n"
        "def f(a: int, context: ToolContext | None = None) -> int:\n"
        "    'Do it.'\n"
        "    return a\n"
        "print(f.context, sorted(f.declaration.parameters.json_schema['properties']))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": "src"}, check=True, capture_output=True, text=True
    )

    assert "context ['a']" == done.stdout.strip()


# --------------------------------------------------------------------------------------------------------- streams


def counted(to: int) -> Iterator[int]:
    yield from range(to)


def generated(to: int) -> Generator[int, None, str]:
    yield from range(to)
    return "lost"


def unsaid(to: int):  # type: ignore[no-untyped-def]  # noqa: ANN201 - without an annotation
    yield from range(to)


def iterated(to: int) -> Iterable[int]:
    yield from range(to)


def returned(to: int) -> Iterator[int]:
    return iter(range(to))


async def counted_async(to: int) -> AsyncIterator[int]:
    for number in range(to):
        yield number


async def generated_async(to: int) -> AsyncGenerator[int, None]:
    for number in range(to):
        yield number


def returned_async(to: int) -> AsyncIterable[int]:
    return counted_async(to)


@pytest.mark.parametrize(
    ("function", "is_async", "items"),
    [
        (counted, False, INT),
        (generated, False, INT),
        (unsaid, False, {}),
        (iterated, False, INT),
        (returned, False, INT),
        (loud(counted), False, INT),
        (functools.partial(counted, 3), False, INT),
        (counted_async, True, INT),
        (generated_async, True, INT),
        (returned_async, True, INT),
        (loud(counted_async), True, INT),
    ],
    ids=lambda each: getattr(each, "__name__", ""),
)
def test_what_yields_is_a_stream_and_collected_an_array(
    function: Callable[..., Any], is_async: bool, items: dict[str, Any]
) -> None:
    made = declared(function)

    assert (True, is_async) == (made.streams, made.is_async)
    assert made.declaration.returns is not None
    schema = made.declaration.returns.json_schema
    assert ("array", items) == (schema["type"], schema["items"])
    assert {"streaming": True} == made.declaration.metadata
    made.check_result(made.dump([0, 1]))


def test_an_iterable_that_is_returned_whole_is_no_stream() -> None:
    @declared
    def numbers() -> Iterable[int]:
        return [1, 2]

    assert (False, {}) == (numbers.streams, numbers.declaration.metadata)
    assert b"[1,2]" == numbers.dump(numbers())


def test_one_value_of_a_stream_is_written_by_its_annotation() -> None:
    @declared
    def points() -> Iterator[set[str] | Point]:
        yield Point(x=1)

    assert b'{"x":1}' == points.dump_item(Point(x=1))
    assert b'["a","b"]' == points.dump_item({"b", "a"})
    assert b'[{"x":1},["a","b"]]' == points.dump([Point(x=1), {"b", "a"}])


def test_what_is_yielded_is_described_by_the_docstring() -> None:
    def numbers() -> Iterator[int]:
        """Count.

        Yields:
            each number
        """
        yield 1

    declaration = tool(numbers, register=False).declaration

    assert declaration.returns is not None
    assert "each number" == declaration.returns.json_schema["items"]["description"]


def test_a_stream_is_called_as_it_was() -> None:
    made = declared(counted)

    assert inspect.isgeneratorfunction(made.function)
    assert [0, 1] == list(made(2))


def test_an_awaitable_result_is_no_stream() -> None:
    @declared
    async def later(work: str) -> list[str]:
        return [work]

    made: Awaitable[list[str]] = later("a")

    assert (True, False) == (later.is_async, later.streams)
    assert ["a"] == asyncio.run(_waited(made))


async def _waited(made: Awaitable[R]) -> R:
    return await made
