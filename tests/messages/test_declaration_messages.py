"""Wrong uses of `@tool`, and the exact words they are answered with."""

# mypy: disable-error-code="empty-body"
# The functions here are declared and never called.

from __future__ import annotations

import contextlib
import functools
import math
import socket
import sys
import typing
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any

import pytest
from pydantic import AliasChoices, BaseModel, EmailStr, Field, ImportString, SecretStr

from altar.adm.errors import DeclarationError
from altar.later.context import ToolContext
from altar.later.registry import Registry
from altar.later.tool import tool

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTheChecker


class Old(typing.TypedDict):
    a: int


class Tight(BaseModel):
    a: int = Field(default=1, json_schema_extra={"shape": "round"})


class Login(BaseModel):
    name: str
    key: SecretStr


class Thing:
    def method(self, a: int) -> None: ...
    def __call__(self, a: int) -> None: ...


def no_type(city) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001 - the wrong use
def many(*cities) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN002 - the wrong use
def named(**cities) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN003 - the wrong use
def iterator(cities: Iterator[str]) -> None: ...
def klass(kind: type[int]) -> None: ...
def ratio(ratio: Fraction) -> None: ...
def secret(key: SecretStr) -> None: ...
def secret_inside(login: Login) -> None: ...
def imported(name: ImportString[Any]) -> None: ...
def keyed(grid: dict[tuple[int, int], str]) -> None: ...
def mail(address: EmailStr) -> None: ...
def two_contexts(first: ToolContext, second: ToolContext | None = None) -> None: ...
def context_by_position(context: ToolContext, /) -> None: ...
def context_before_rest(context: ToolContext, *cities: str) -> None: ...
def untyped_context(context) -> None: ...  # type: ignore[no-untyped-def]  # noqa: ANN001 - the wrong use
async def iterator_later() -> AsyncIterator[int]: ...
def callback(then: Callable[[int], int]) -> None: ...
def callback_or_none(then: Callable[[int], int] | None = None) -> None: ...
def no_form(connection: socket.socket) -> None: ...
def no_form_inside(first: int, connections: list[socket.socket]) -> None: ...
def no_form_result() -> socket.socket: ...
def function_result() -> Callable[[], int]: ...
def old_typed_dict(old: Old) -> None: ...
def bad_pattern(code: Annotated[str, Field(pattern="(")]) -> None: ...
def field_as_default(days: int = Field(default=1, ge=1)) -> None: ...
def two_aliases(days: Annotated[int, Field(validation_alias=AliasChoices("a", "b"))]) -> None: ...
def none_default(days: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013 - the wrong use
def wrong_default(days: Annotated[int, Field(ge=1)] = 0) -> None: ...
def for_the_checker(price: OnlyForTheChecker) -> None: ...
def extra_keyword(tight: Tight) -> None: ...
def returns_awaitable() -> Awaitable[int]: ...
def undocumented() -> None: ...


def none_result() -> None:
    """Do nothing."""


def unread(city: int) -> None: ...


unread.__annotations__["city"] = "1 +"


def generator() -> list[int]:  # type: ignore[misc]  # the wrong use
    yield 1


async def asynchronous_generator() -> Iterator[int]:  # type: ignore[misc]  # the wrong use
    yield 1


def listening() -> Generator[int, str, None]:
    yield 1


@contextlib.contextmanager
def opened() -> Iterator[int]:
    yield 1


def blank() -> None:
    """ """


JSON_HINT = "use text, numbers, lists, dicts, dataclasses or pydantic models"

WRONG: list[tuple[str, Callable[[], Any], str, str | None]] = [
    (
        "a parameter without a type",
        lambda: declare(no_type),
        "Parameter 'city' of 'no_type' has no type",
        "annotate it, for example city: str",
    ),
    (
        "any number of arguments",
        lambda: declare(many),
        "'many' takes any number of arguments (*cities) without a type",
        "annotate it, *cities: str, or take a list: cities: list[…]",
    ),
    (
        "arguments of any name",
        lambda: declare(named),
        "'named' takes arguments of any name (**cities) without a type",
        "annotate it, **cities: str, or take a mapping: cities: dict[str, …]",
    ),
    (
        "a function as an argument",
        lambda: declare(callback),
        "Parameter 'then' of 'callback' is a function, and a function cannot be sent as JSON",
        "take a name or a Literal, and choose the function inside",
    ),
    (
        "a function as an optional argument",
        lambda: declare(callback_or_none),
        "Parameter 'then' of 'callback_or_none' is a function, and a function cannot be sent as JSON",
        "take a name or a Literal, and choose the function inside",
    ),
    (
        "a type that JSON cannot hold",
        lambda: declare(no_form),
        "Parameter 'connection' of 'no_form' has the type 'socket', which has no form in JSON",
        JSON_HINT,
    ),
    (
        "a type that JSON cannot hold, inside another",
        lambda: declare(no_form_inside),
        "Parameter 'connections' of 'no_form_inside' has the type 'list[socket]', which has no form in JSON",
        JSON_HINT,
    ),
    (
        "a result that JSON cannot hold",
        lambda: declare(no_form_result),
        "The result of 'no_form_result' has the type 'socket', which has no form in JSON",
        JSON_HINT,
    ),
    (
        "a function as a result",
        lambda: declare(function_result),
        "The result of 'function_result' is a function, and a function cannot be sent as JSON",
        "take a name or a Literal, and choose the function inside",
    ),
    (
        "a pattern that does not compile",
        lambda: declare(bad_pattern),
        "Parameter 'code' of 'bad_pattern' has the type 'str' with a limit or a pattern that cannot be used",
        "mend its Field(…)",
    ),
    (
        "Field(…) as the default",
        lambda: declare(field_as_default),
        "Parameter 'days' of 'field_as_default' has pydantic's Field(…) as its default value",
        "write days: Annotated[…, Field(…)], and the default after it",
    ),
    (
        "a choice of aliases",
        lambda: declare(two_aliases),
        "Parameter 'days' of 'two_aliases' has more than one alias",
        "give it one name",
    ),
    (
        "None as the default of a number",
        lambda: declare(none_default),
        "The default None of parameter 'days' of 'none_default' does not fit its type",
        "write days: … | None = None",
    ),
    (
        "a default outside the limits",
        lambda: declare(wrong_default),
        "The default 0 of parameter 'days' of 'wrong_default' does not fit its type",
        "change the default or the type: the value is 0 but must be at least 1",
    ),
    (
        "a type imported for the type checker only",
        lambda: declare(for_the_checker),
        "'for_the_checker' uses the name 'OnlyForTheChecker' in an annotation, and nothing has that name",
        "define or import 'OnlyForTheChecker' first, and not only under TYPE_CHECKING",
    ),
    (
        "a keyword that JSON Schema does not have",
        lambda: declare(extra_keyword),
        (
            "The parameters of 'extra_keyword' cannot be a contract: `shape` is not a keyword of ADM 1.1 "
            "(at /$defs/Tight/properties/a/shape)"
        ),
        None,
    ),
    (
        "an iterator as an argument",
        lambda: declare(iterator),
        "Parameter 'cities' of 'iterator' is an iterator, which is used up as it is read",
        "use a list, or Iterable[…]",
    ),
    (
        "a class as an argument",
        lambda: declare(klass),
        "Parameter 'kind' of 'klass' is a class, and a class cannot be sent as JSON",
        "take a name or a Literal, and choose the class inside",
    ),
    (
        "a number that JSON does not have",
        lambda: declare(ratio),
        "Parameter 'ratio' of 'ratio' is a fraction, and JSON has no such numbers",
        "use a Decimal, or a tuple of two numbers",
    ),
    (
        "a secret as an argument",
        lambda: declare(secret),
        "Parameter 'key' of 'secret' is a secret, and what is sent in a call can be read in its records",
        "let the function read the secret itself, where it runs",
    ),
    (
        "a secret inside of an argument",
        lambda: declare(secret_inside),
        "Parameter 'login' of 'secret_inside' holds a secret, and what is sent in a call can be read in its records",
        "let the function read the secret itself, where it runs",
    ),
    (
        "the name of anything that can be imported",
        lambda: declare(imported),
        (
            "Parameter 'name' of 'imported' is the name of anything that can be imported, "
            "and a caller must not choose what is run"
        ),
        "take a Literal of the names that may be used",
    ),
    (
        "keys that are not text",
        lambda: declare(keyed),
        "Parameter 'grid' of 'keyed' is a dict with keys that are not text in JSON",
        "use text or numbers, or a list of pairs",
    ),
    (
        "a type that needs another package",
        lambda: declare(mail),
        "Parameter 'address' of 'mail' has the type 'EmailStr', which needs a package that is not installed",
        "email-validator is not installed, run `pip install 'pydantic[email]'`",
    ),
    (
        "a context taken twice",
        lambda: declare(two_contexts),
        "'two_contexts' takes its context more than once, as 'first' and 'second'",
        "take it once",
    ),
    (
        "a context by position",
        lambda: declare(context_by_position),
        "The context of 'context_by_position' cannot be passed by its name 'context'",
        "let 'context' stand at the end, after a `*` or after `*args`",
    ),
    (
        "a context before any number of arguments",
        lambda: declare(context_before_rest),
        "The context of 'context_before_rest' cannot be passed by its name 'context'",
        "let 'context' stand at the end, after a `*` or after `*args`",
    ),
    (
        "a context without a type",
        lambda: declare(untyped_context),
        "Parameter 'context' of 'untyped_context' has no type",
        "annotate it, for example context: str",
    ),
    (
        "a generator annotated as what it collects",
        lambda: declare(generator),
        "'generator' yields its values, and its result is annotated as something else",
        "annotate what it yields: -> Iterator[…]",
    ),
    (
        "an asynchronous generator annotated as a plain one",
        lambda: declare(asynchronous_generator),
        "'asynchronous_generator' yields its values, and its result is annotated as something else",
        "annotate what it yields: -> AsyncIterator[…]",
    ),
    (
        "a generator that waits for values",
        lambda: declare(listening),
        "'listening' is a generator that waits for values to be sent to it, and nobody sends any",
        "write -> Iterator[…]",
    ),
    (
        "a context manager",
        lambda: declare(opened),
        "'opened' is a context manager, and a tool gives values",
        "write a function that uses it",
    ),
    (
        "an iterator that has to be awaited first",
        lambda: declare(iterator_later),
        "'iterator_later' has to be awaited before it yields",
        "write `yield` in it, and not `return`",
    ),
    (
        "an awaitable from a plain function",
        lambda: declare(returns_awaitable),
        "'returns_awaitable' returns something to be awaited",
        "declare it with `async def`",
    ),
    (
        "a method without its object",
        lambda: declare(Thing.method),
        "'method' is a method without its object",
        "declare the method of an object: altar.tool(thing.method)",
    ),
    (
        "a class",
        lambda: declare(Thing),
        "'Thing' is a class, and a tool is a function",
        "write a function that makes and uses the object",
    ),
    (
        "an object without a name",
        lambda: declare(Thing()),
        "'__call__' is no name for a tool",
        "give it one: altar.tool(…, name='…')",
    ),
    (
        "a lambda",
        lambda: declare(lambda: None),
        "'<lambda>' is no name for a tool",
        "give it one: altar.tool(…, name='…')",
    ),
    (
        "a name with a dot",
        lambda: declare(blank, name="weather.today"),
        (
            "The tool name 'weather.today' is not allowed: it takes up to 64 letters, digits, '_' and '-', "
            "and begins with a letter or '_'"
        ),
        "for example 'weather_today'",
    ),
    (
        "a name that ends with a line break",
        lambda: declare(blank, name="weather\n"),
        (
            "The tool name 'weather\\n' is not allowed: it takes up to 64 letters, digits, '_' and '-', "
            "and begins with a letter or '_'"
        ),
        "for example 'weather'",
    ),
    (
        "a name that begins with a digit",
        lambda: declare(blank, name="7"),
        (
            "The tool name '7' is not allowed: it takes up to 64 letters, digits, '_' and '-', "
            "and begins with a letter or '_'"
        ),
        "for example 'get_weather'",
    ),
    (
        "no description",
        lambda: tool(undocumented, register=False),
        "'undocumented' has no description, and a model chooses tools by their descriptions",
        "write a docstring, or @altar.tool(description='…')",
    ),
    (
        "a blank docstring",
        lambda: tool(blank, register=False),
        "'blank' has no description, and a model chooses tools by their descriptions",
        "write a docstring, or @altar.tool(description='…')",
    ),
    (
        "a name in place of the function",
        lambda: tool("weather"),  # type: ignore[call-overload]
        "A value of the type 'str' is not a function, and only a function can be a tool",
        "write @altar.tool, or @altar.tool(name='…', …) with named options",
    ),
    (
        "a timeout of nothing",
        lambda: declare(blank, timeout=0),
        "The timeout of 'blank' is 0, and must be more than nothing and less than for ever",
        "give seconds, or a timedelta: timeout=2.5",
    ),
    (
        "a timeout for ever",
        lambda: declare(blank, timeout=math.inf),
        "The timeout of 'blank' is inf, and must be more than nothing and less than for ever",
        "give seconds, or a timedelta: timeout=2.5",
    ),
    (
        "a function of the interpreter",
        lambda: declare(dict.fromkeys, name="fromkeys"),
        "Parameter 'iterable' of 'fromkeys' has no type",
        "annotate it, for example iterable: str",
    ),
    (
        "a function of the interpreter without a signature",
        lambda: declare(max),
        "The signature of 'max' cannot be read",
        "wrap it in a function",
    ),
    (
        "an annotation that is not Python",
        lambda: declare(unread),
        "The annotations of 'unread' cannot be read: Forward reference must be an expression -- got '1 +'",
        None,
    ),
    (
        "a version that is not one",
        lambda: declare(blank, version="one"),
        "`version` is 'one', not a version such as 1.2.0",
        None,
    ),
]

declare: Any = functools.partial(tool, description="d", register=False)


@pytest.mark.parametrize(("wrong", "message", "hint"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_a_wrong_declaration_is_answered_with_these_words(
    wrong: Callable[[], Any], message: str, hint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "email_validator", None)  # as where it is not installed

    with pytest.raises(DeclarationError) as refused:
        wrong()

    assert message == refused.value.message
    assert hint == refused.value.hint
    assert "INVALID_DECLARATION" == refused.value.code


def test_a_name_that_is_taken_is_answered_with_these_words() -> None:
    registry = Registry()
    registry.register(declare(blank, name="taken"))

    with pytest.raises(DeclarationError) as refused:
        registry.register(declare(none_result, name="taken"))

    told = f"The tool 'taken' is declared twice: by '{__name__}.blank' and by '{__name__}.none_result'"
    assert told == refused.value.message
    assert "give one of them another name or version: @altar.tool(name=…, version=…)" == refused.value.hint
