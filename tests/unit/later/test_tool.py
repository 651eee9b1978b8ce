"""`@tool`: what a declared function is, takes and gives."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
import decimal
import enum
import functools
import inspect
import pathlib
import subprocess
import sys
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, Field, field_validator

from altar.adm.canonical import canonical
from altar.adm.errors import DeclarationError, ValidationError
from altar.later.registry import REGISTRY
from altar.later.tool import tool

declared = functools.partial(tool, description="d", register=False)


@pytest.fixture
def registry() -> Iterator[None]:
    """The registry as it was, once the test is over."""
    before = REGISTRY.tools()
    yield
    REGISTRY.clear()
    for known in before:
        REGISTRY.register(known)


def weather(city: str, days: int = 1) -> str:
    """Get the weather."""
    return city * days


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


# -------------------------------------------------------------------------------- the decorated function


def test_a_declared_function_can_still_be_called() -> None:
    assert "OsloOslo" == declared(weather)("Oslo", days=2)


def test_a_declared_function_still_looks_like_itself() -> None:
    made = declared(weather)

    assert ("weather", "Get the weather.", __name__) == (made.__name__, made.__doc__, made.__module__)
    assert inspect.signature(weather) == inspect.signature(made)
    assert "<tool weather 1.0.0>" == repr(made)


def test_a_coroutine_function_is_known_as_one_and_still_awaited() -> None:
    @declared
    async def fetch(url: str) -> str:
        return url

    assert fetch.is_async
    assert not declared(weather).is_async
    assert "a" == asyncio.run(fetch("a"))


def test_every_annotation_of_behaviour_reaches_the_contract() -> None:
    names = ("read_only", "idempotent", "destructive", "open_world", "stateful", "deprecated")

    for name in names:
        made = tool(weather, register=False, **{name: True})  # type: ignore[call-overload]
        assert {name: True} == made.declaration.annotations.to_adm()


@pytest.mark.parametrize(
    ("given", "expected"),
    [(2.5, dt.timedelta(seconds=2.5)), (dt.timedelta(minutes=1), dt.timedelta(minutes=1)), (None, None)],
)
def test_a_timeout_is_seconds_or_a_timedelta(given: Any, expected: Any) -> None:
    assert expected == declared(weather, timeout=given).timeout


def test_a_declared_function_can_be_declared_again_under_another_name() -> None:
    again = declared(declared(weather), name="again")

    assert "again" == again.name
    assert weather is again.function


def test_a_model_local_to_the_function_that_declares_can_be_an_annotation() -> None:
    class Local(BaseModel):
        x: int

    @tool(register=False)
    def take(local: Local) -> int:
        """Take it."""
        return local.x

    assert ((), {"local": Local(x=1)}) == take.bind(b'{"local":{"x":1}}')


def test_declaring_enters_the_registry(registry: None) -> None:
    made = tool(weather)

    assert made is REGISTRY.get("weather")


def test_the_same_function_declared_again_replaces_itself(registry: None) -> None:
    tool(weather)
    again = tool(weather)

    assert again is REGISTRY.get("weather")


def test_another_function_of_the_same_name_is_refused(registry: None) -> None:
    tool(weather)

    with pytest.raises(DeclarationError, match="declared twice"):

        @tool(name="weather")
        def other() -> None:
            """Do another thing."""


def test_register_false_leaves_the_registry_alone(registry: None) -> None:
    REGISTRY.clear()
    tool(weather, register=False)

    assert [] == REGISTRY.tools()


@pytest.mark.parametrize(
    "function",
    [functools.partial(weather, "Oslo"), types.MethodType(weather, "Oslo"), staticmethod(weather)],
    ids=["partial", "method", "staticmethod"],
)
def test_whatever_can_be_called_has_a_name_and_a_module_in_the_registry(
    function: Callable[..., Any], registry: None
) -> None:
    made = tool(function)

    assert made is REGISTRY.get("weather")
    assert (__name__, "weather") == (made.function.__module__, made.function.__qualname__)


def test_importing_the_decorator_loads_no_framework() -> None:
    program = (
        "import sys, altar.later.tool\n"
        "print(sorted({'pydantic', 'griffe', 'grpc', 'jsonschema_rs', 'rich'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], env={"PYTHONPATH": "src"}, check=True, capture_output=True, text=True
    )

    assert "[]" == done.stdout.strip()


def test_a_partial_and_an_object_can_still_be_called() -> None:
    assert "OsloOslo" == declared(functools.partial(weather, "Oslo"))(days=2)
    assert inspect.signature(functools.partial(weather, "Oslo")) == inspect.signature(
        declared(functools.partial(weather, "Oslo"))
    )


def test_a_tool_tells_the_version_and_the_digest_of_its_contract() -> None:
    made = declared(weather, version="1.2.0")

    assert ("1.2.0", made.declaration.digest) == (made.version, made.digest)


# ------------------------------------------------------------------------------------------ check and bind


def test_arguments_become_the_types_of_the_annotations() -> None:
    @declared
    def take(
        *,
        point: Point,
        guest: Guest,
        color: Color,
        when: dt.datetime,
        price: decimal.Decimal,
        key: uuid.UUID,
        where: pathlib.Path,
        raw: bytes,
        names: set[str],
        pair: tuple[int, str],
        ratio: float,
    ) -> None: ...

    arguments = canonical(
        {
            "point": {"x": 1, "tags": ["a"], "raw": "//77"},
            "guest": {"name": "Ada"},
            "color": "red",
            "when": "2026-01-02T03:04:05Z",
            "price": "1.10",
            "key": str(uuid.UUID(int=1)),
            "where": "/tmp/x",
            "raw": "//77",
            "names": ["a", "b"],
            "pair": [1, "b"],
            "ratio": 2,
        }
    )
    take.check(arguments)
    _, bound = take.bind(arguments)

    assert {
        "point": Point(1, {"a"}, b"\xff\xfe\xfb"),
        "guest": Guest(name="Ada"),
        "color": Color.RED,
        "when": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "price": decimal.Decimal("1.10"),
        "key": uuid.UUID(int=1),
        "where": pathlib.Path("/tmp/x"),
        "raw": b"\xff\xfe\xfb",
        "names": {"a", "b"},
        "pair": (1, "b"),
        "ratio": 2.0,
    } == bound
    assert float is type(bound["ratio"])


def test_base64_is_read_in_both_alphabets() -> None:
    @declared
    def take(raw: bytes) -> None: ...

    assert take.bind(b'{"raw":"//77"}') == take.bind(b'{"raw":"__77"}')


def test_an_absent_argument_is_left_to_the_default_of_the_function() -> None:
    shared: list[int] = []

    @declared
    def take(a: int, b: list[int] = shared) -> Any:
        return b

    args, kwargs = take.bind(b'{"a":1}')

    assert ((), {"a": 1}) == (args, kwargs)
    assert shared is take.function(*args, **kwargs)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [(b'{"a":1,"b":5,"c":4}', (1, 5, 4)), (b'{"a":1}', (1, 2, 3)), (b'{"a":1,"b":5}', (1, 5, 3))],
)
def test_positional_only_parameters_are_passed_by_position(arguments: bytes, expected: Any) -> None:
    @declared
    def take(a: int, b: int = 2, /, c: int = 3) -> Any:
        return (a, b, c)

    args, kwargs = take.bind(arguments)

    assert expected == take.function(*args, **kwargs)


def test_a_parameter_with_an_alias_is_bound_to_its_own_name() -> None:
    @declared
    def take(sender: Annotated[str, Field(alias="from")]) -> str:
        return sender

    take.check(b'{"from":"a"}')

    assert ((), {"sender": "a"}) == take.bind(b'{"from":"a"}')


def test_any_name_of_a_parameter_will_do() -> None:
    @declared
    def take(schema: int, json: int, model_config: int, _private: int, self_: int, title: int) -> None: ...

    names = ("_private", "json", "model_config", "schema", "self_", "title")
    arguments = canonical(dict.fromkeys(names, 1))
    take.check(arguments)

    assert ((), dict.fromkeys(names, 1)) == take.bind(arguments)


@pytest.mark.parametrize(
    ("arguments", "path"),
    [
        (b"{}", "/city"),
        (b'{"city":1}', "/city"),
        (b'{"city":"Oslo","days":"3"}', "/days"),
        (b'{"city":"Oslo","days":true}', "/days"),
        (b'{"city":"Oslo","town":"Oslo"}', "/town"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_they_are_bound(arguments: bytes, path: str) -> None:
    with pytest.raises(ValidationError) as refused:
        declared(weather).check(arguments)

    assert ("INVALID_TOOL_ARGS", path, "no") == (refused.value.code, refused.value.path, refused.value.ran)


@pytest.mark.parametrize(
    ("arguments", "message", "path"),
    [
        (b'{"guest":{"name":"nobody"}}', "Argument `guest.name`: nobody cannot come", "/guest/name"),
        (b'{"guest":{"name":"broken"}}', "The arguments of 'invite' could not be read", ""),
        (b'{"when":"soon"}', "Argument `when` must be a valid datetime", "/when"),
        (
            b'{"many":[{"name":"Ada"},{"name":"nobody"}]}',
            "Argument `many[1].name`: nobody cannot come",
            "/many/1/name",
        ),
        (b'{"other":1}', "Argument `other` is not declared", "/other"),
        (b"{", "The arguments: Invalid JSON", ""),
    ],
)
def test_what_a_type_refuses_is_named_and_has_not_run(arguments: bytes, message: str, path: str) -> None:
    @declared
    def invite(guest: Guest | None = None, many: list[Guest] | int = 0, when: dt.datetime | None = None) -> None: ...

    with pytest.raises(ValidationError) as refused:
        invite.bind(arguments)

    assert refused.value.message.startswith(message)
    assert ("INVALID_TOOL_ARGS", path, "no") == (refused.value.code, refused.value.path, refused.value.ran)
    assert "secret" not in refused.value.message


def test_a_validator_that_speaks_our_errors_keeps_its_words_and_place() -> None:
    def judge(city: str) -> str:
        raise ValidationError("SCHEMA_VIOLATION", f"There is no {city!r}", path="/city", detail="for the log")

    @declared
    def take(city: Annotated[str, AfterValidator(judge)]) -> None: ...

    with pytest.raises(ValidationError) as refused:
        take.bind(b'{"city":"Atlantis"}')

    assert ("INVALID_TOOL_ARGS", "There is no 'Atlantis'", "/city", "no") == (
        refused.value.code,
        refused.value.message,
        refused.value.path,
        refused.value.ran,
    )
