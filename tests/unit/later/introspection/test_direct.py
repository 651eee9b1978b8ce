"""What is bound directly is what pydantic would have bound, in value and in type."""

from __future__ import annotations

import datetime as dt
import enum
import functools
from typing import Annotated, Any, Literal, Optional, Union

import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import altar
from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.later.tool import ToolFunction

DIRECT: list[Any] = [
    str,
    int,
    float,
    bool,
    None,
    list[str],
    list[int],
    list[float],
    list[list[float]],
    list[bool],
    dict[str, str],
    dict[str, int],
    dict[str, float],
    dict[str, list[float]],
    list[dict[str, float | None]],
    float | None,
    list[float] | None,
    Optional[str],  # noqa: UP045 - as users write it
    str | int | bool,
    Union[int, str, None],  # noqa: UP007 - as users write it
    list[str | int],
    Literal["a", "b"],
    Literal[1, "1", True],
    list[Literal["a", 1]],
    Annotated[int, pydantic.Field(gt=0, le=2**53 + 1, description="a count")],
    Annotated[float, pydantic.Field(ge=0, lt=1.5)],
    Annotated[str, pydantic.Field(min_length=1, max_length=3)],
    Annotated[list[float], pydantic.Field(max_length=2)],
    Annotated[dict[str, int], pydantic.Field(min_length=1)],
    Annotated[list[Annotated[int, pydantic.Field(ge=-1)]], pydantic.Field(examples=[[1]])],
]


class Colour(enum.Enum):
    RED = "red"


class Shouted(str):
    __slots__ = ()


def shouted(text: str) -> str:
    return text.upper()


TURNED: list[Any] = [
    Any,
    object,
    list,
    dict,
    list[Any],
    dict[str, Any],
    dict[int, str],
    set[str],
    tuple[int, int],
    bytes,
    dt.date,
    Colour,
    int | float,
    float | str,
    Literal[Colour.RED],
    Annotated[int, pydantic.Field(strict=True)],
    Annotated[int, pydantic.Field(multiple_of=2)],
    Annotated[str, pydantic.Field(pattern="^a")],
    Annotated[float, pydantic.Field(gt=2**53)],
    Annotated[str, pydantic.StringConstraints(strip_whitespace=True)],
    Annotated[str, pydantic.AfterValidator(shouted)],
    Annotated[str, pydantic.BeforeValidator(shouted)],
    Annotated[int, pydantic.WithJsonSchema({"type": "string"})],
    Annotated[int, pydantic.Field(json_schema_extra={"type": "string"})],
    Annotated[int, pydantic.Field(alias="other")],
    Annotated[list[str], pydantic.Field(fail_fast=True)],
    list[dt.date],
    dict[str, Colour],
    Colour | None,
]

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-3, 3),
    st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**63 - 1]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.0, -0.0, 1.0, 1e16, 1e20, 1e21, 1.5e300, 5e-324, 9.5e18, 1.8446744073709552e19]),
)
TEXTS = st.one_of(st.text(max_size=5).filter(lambda text: text.isprintable()), st.sampled_from(["a", "b", "1", "red"]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=5,
)


@functools.cache
def declared(place: int) -> ToolFunction[..., Any]:
    def taking(given: Any) -> None:
        """Take it."""

    taking.__annotations__["given"] = [*DIRECT, *TURNED][place]
    return altar.tool(taking, register=False)


def typed(value: Any) -> Any:
    """A value and the types of all its parts."""
    if isinstance(value, dict):
        return dict, {key: typed(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [typed(part) for part in value]
    return type(value), value


@pytest.mark.parametrize("place", range(len(DIRECT)), ids=[str(each).partition(" at 0x")[0] for each in DIRECT])
def test_jsons_own_types_are_bound_directly(place: int) -> None:
    assert declared(place).binds_directly


@pytest.mark.parametrize("place", range(len(TURNED)), ids=[str(each).partition(" at 0x")[0] for each in TURNED])
def test_whatever_else_is_left_to_pydantic(place: int) -> None:
    assert not declared(len(DIRECT) + place).binds_directly


@given(st.integers(0, len(DIRECT) - 1), VALUES)
@example(2, 1)
@example(2, 1.8446744073709552e19)
@example(2, 1e21)
@example(2, -0.0)
@example(7, [1, 0.5])
@example(14, [{"a": None, "b": 2}])
@example(22, True)
@example(22, 1)
@example(25, 0)
def test_what_is_bound_directly_is_what_pydantic_binds(place: int, value: Any) -> None:
    tool = declared(place)
    arguments = canonical({"given": value})
    try:
        values = tool.check(arguments)
    except AltarError:
        return

    _, directly = tool.bind(arguments, values)

    _, by_pydantic = tool.bind(arguments)
    assert typed(by_pydantic) == typed(directly)


@pytest.mark.parametrize("place", range(len(DIRECT)), ids=[str(each).partition(" at 0x")[0] for each in DIRECT])
def test_values_of_each_type_come_through(place: int) -> None:
    """The property above would hold for nothing if its values never fitted."""
    tool, fitting = declared(place), 0

    for value in [None, True, "a", "1", 1, 0, 0.25, [], ["a"], [1, 2], [0.5, 1], [[1, 1.5]], [True], [{"a": 1}]]:
        for given_value in (value, {"k": value}):
            arguments = canonical({"given": given_value})
            try:
                values = tool.check(arguments)
            except AltarError:
                continue
            fitting += 1
            _, directly = tool.bind(arguments, values)
            assert typed(tool.bind(arguments)[1]) == typed(directly)

    assert fitting


def test_positional_only_parameters_and_defaults_are_bound_directly_too() -> None:
    @altar.tool(register=False)
    def weigh(amount: float, /, unit: str = "kg", *, exact: bool = False) -> None:
        """Weigh it."""

    arguments = canonical({"amount": 2, "exact": True})

    args, kwargs = weigh.bind(arguments, weigh.check(arguments))

    assert typed(((2.0,), {"exact": True})) == typed((args, kwargs))


def test_a_function_without_parameters_is_bound_directly() -> None:
    @altar.tool(register=False)
    def ping() -> None:
        """Answer."""

    assert ((), {}) == ping.bind(b"{}", ping.check(b"{}"))
    assert ping.binds_directly
