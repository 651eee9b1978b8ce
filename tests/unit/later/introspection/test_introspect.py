"""What a declaration takes from the docstring, from the annotations and from the place where it is made."""

from __future__ import annotations

import dataclasses
import datetime as dt
import functools
import subprocess
import sys
import typing
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from altar.adm.declaration import Annotations
from altar.adm.errors import DeclarationError
from altar.later.introspection.introspect import declare


@dataclasses.dataclass
class Point:
    x: int


class Thing:
    """Does things."""

    def __call__(self, a: int) -> None: ...


def test_the_digest_of_a_contract_with_a_set_does_not_depend_on_the_hash_seed() -> None:
    program = (
        "from altar.later.introspection.introspect import declare\n"
        "def f(c: frozenset[str] = frozenset('abcdefgh')) -> None: 'd'\n"
        "print(declare(f)[0].digest)"
    )

    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONPATH": "src", "PYTHONHASHSEED": seed},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in ("1", "2", "3")
    }

    assert 1 == len(digests)


def google(city: str, days: int = 1) -> str:
    """Get the
    weather.

    More text.

    Args:
        city: the city name
            on two lines
        days (int): number of days

    Returns:
        the report
    """
    return city * days


def numpy(city: str, days: int = 1) -> str:
    """Get the weather.

    More text.

    Parameters
    ----------
    city : str
        the city name
        on two lines
    days : int, optional
        number of days

    Returns
    -------
    str
        the report
    """
    return city * days


def sphinx(city: str, days: int = 1) -> str:
    """Get the weather.

    More text.

    :param city: the city name
        on two lines
    :param int days: number of days
    :returns: the report
    """
    return city * days


@pytest.mark.parametrize("function", [google, numpy, sphinx])
def test_every_style_of_docstring_describes_the_same_contract(function: Callable[..., Any]) -> None:
    declaration, _ = declare(function)
    properties = declaration.parameters.json_schema["properties"]

    assert declaration.returns is not None
    assert "Get the weather." == declaration.description
    assert "the city name on two lines" == properties["city"]["description"]
    assert "number of days" == properties["days"]["description"]
    assert "the report" == declaration.returns.json_schema["description"]


def test_a_field_description_comes_before_the_docstring() -> None:
    def f(a: Annotated[int, Field(description="from Field")], b: Annotated[int, "from text"], c: int) -> None:
        """Do it.

        Args:
            a: from docstring
            b: from docstring
            c: from docstring
        """

    properties = declare(f)[0].parameters.json_schema["properties"]

    assert ["from Field", "from text", "from docstring"] == [properties[name]["description"] for name in "abc"]


def test_what_is_said_at_the_declaration_comes_before_what_is_found() -> None:
    declaration, _ = declare(
        google,
        name="weather-now",
        description="Mine.",
        version="2.1.0",
        annotations=Annotations(read_only=True),
        metadata={"team": "north"},
    )

    assert ("weather-now", "Mine.", "2.1.0") == (
        declaration.name,
        declaration.description,
        declaration.version,
    )
    assert declaration.annotations.read_only
    assert {"team": "north"} == declaration.metadata


def test_an_object_is_described_by_the_docstring_of_its_class() -> None:
    assert "Does things." == declare(Thing(), name="thing")[0].description


def test_a_wrapped_function_is_declared_as_the_function_inside() -> None:
    def loud(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    assert declare(google)[0].digest == declare(loud(google))[0].digest


def test_names_local_to_the_place_of_the_declaration_can_be_annotations() -> None:
    class Local(BaseModel):
        x: int

    def f(a: Local) -> None:
        """Do it."""

    with pytest.raises(DeclarationError):
        declare(f)
    declaration, binder = declare(f, namespace={"Local": Local})

    assert {"a": {"$ref": "#/$defs/Local"}} == declaration.parameters.json_schema["properties"]
    assert ((), {"a": Local(x=1)}) == binder.bind(b'{"a":{"x":1}}')


def test_a_typed_dict_of_the_module_typing_is_a_type_like_any_other() -> None:
    class Old(typing.TypedDict, total=False):
        a: typing.Required[int]
        b: str

    @dataclasses.dataclass
    class Box:
        old: Old

    def f(old: Old, boxes: dict[str, Box]) -> None:
        """Do it."""

    declaration, binder = declare(f, namespace={"Old": Old, "Box": Box})
    schema = declaration.parameters.json_schema

    assert {"$ref": "#/$defs/Old"} == schema["properties"]["old"] == schema["$defs"]["Box"]["properties"]["old"]
    assert ["a"] == schema["$defs"]["Old"]["required"]
    assert ((), {"old": {"a": 1}, "boxes": {"x": Box({"a": 2, "b": "c"})}}) == binder.bind(
        b'{"old":{"a":1},"boxes":{"x":{"old":{"a":2,"b":"c"}}}}'
    )


def test_a_default_that_is_right_in_python_but_not_in_json_is_left_out() -> None:
    class Renamed(BaseModel):
        x: int = Field(validation_alias="in", serialization_alias="out")

    def f(a: Renamed = Renamed.model_validate({"in": 1})) -> None:  # noqa: B008 - what users write
        """Do it."""

    declaration, _ = declare(f, namespace={"Renamed": Renamed})

    assert "default" not in declaration.parameters.json_schema["properties"]["a"]


def test_arguments_inside_a_model_stay_as_open_as_the_model_is() -> None:
    def f(a: Point) -> None:
        """Do it."""

    _, binder = declare(f)

    assert ((), {"a": Point(1)}) == binder.bind(b'{"a":{"extra":true,"x":1}}')


def test_a_validator_in_an_annotation_runs_on_its_argument() -> None:
    def f(a: Annotated[str, AfterValidator(str.upper)]) -> None:
        """Do it."""

    assert ((), {"a": "X"}) == declare(f)[1].bind(b'{"a":"x"}')


def test_what_a_validator_of_the_users_own_gives_on_is_read_as_pydantic_reads_it() -> None:
    class Early(BaseModel):
        day: dt.date
        ids: set[int]
        names: dict[int, str]

        @model_validator(mode="before")
        @classmethod
        def passed_on(cls, value: Any) -> Any:
            return value

    def f(a: Early, b: Annotated[int, BeforeValidator(len, json_schema_input_type=str)]) -> None:
        """Do it."""

    declaration, binder = declare(f, namespace={"Early": Early})
    _, named = binder.bind(b'{"a":{"day":"2026-01-02","ids":[1],"names":{"1":"a"}},"b":"four"}')

    assert {"type": "string"} == declaration.parameters.json_schema["properties"]["b"]
    assert {"a": Early(day=dt.date(2026, 1, 2), ids={1}, names={1: "a"}), "b": 4} == named


def test_a_model_inside_of_a_model_is_read_as_strictly_as_an_argument() -> None:
    class Inner(BaseModel):
        when: int | dt.date

    class Outer(BaseModel):
        inner: list[Inner]

    def f(a: Outer) -> None:
        """Do it."""

    _, binder = declare(f, namespace={"Outer": Outer})

    with pytest.raises(ValueError, match="valid integer"):
        binder.bind(b'{"a":{"inner":[{"when":"5"}]}}')
