"""Members that are described once give the contract that pydantic gives when it looks at all of them together."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Optional, TypeVar

import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

import altar
from altar.adm.errors import AltarError, DeclarationError
from altar.later.introspection import introspect, member, type_schema
from altar.later.introspection.docstring import Documentation, documentation
from altar.later.introspection.settled import is_settled
from altar.later.tool import ToolFunction
from tests.unit.later.introspection.type_table import REFUSED, ROWS, evaluated

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Number(enum.IntEnum):
    ONE = 1
    TWO = 2


@dataclass
class Place:
    """Somewhere."""

    city: str
    colour: Colour = Colour.RED
    height: float = 0.5
    tags: list[str] = field(default_factory=list)


@dataclass
class Endless:
    """Refused, as its default cannot be written."""

    height: float = float("inf")


class Order(pydantic.BaseModel):
    """What somebody wants."""

    item: str
    place: Place | None = None


class Tree(pydantic.BaseModel):
    """A thing of its own kind."""

    colour: Colour = Colour.BLUE
    below: list[Tree] = []


class Named__Oddly(pydantic.BaseModel):
    part: int


class Arguments(pydantic.BaseModel):
    """Named as the object of all arguments is."""

    part: int


def _another_order() -> type[pydantic.BaseModel]:
    class Order(pydantic.BaseModel):
        """What somebody wants."""

        other: int

    return Order


ANOTHER_ORDER = _another_order()
OWN: list[Any] = [
    *(str, int, float, bool, None, Any, object, list, dict, int | str, str | int, str | None, Optional[int]),  # noqa: UP045
    *(Literal["a", 1], Literal[1], Literal[True], Annotated[int, "a count"], Annotated[list[str], "texts"]),
    *(
        Colour,
        Number,
        Place,
        Order,
        Tree,
        Named__Oddly,
        Endless,
        Arguments,
        ANOTHER_ORDER,
        list[Order],
        dict[str, Tree],
    ),
    *(dict[Number, str], dict[Colour, Order], Order | None, tuple[int, Place], set[Colour], list[Tree] | None),
    *(Annotated[int, pydantic.Field(ge=0, description="at least none")], Annotated[Order, "an order"]),
]
TABLE: list[Any] = [evaluated(row.annotation) for rows in ROWS.values() for row in rows]
TEXTS = st.sampled_from(["", "One part.", "Ein Stück – größer.", "A part: with a colon."])
PARTS = st.tuples(st.sampled_from([*OWN, *TABLE]), st.booleans(), TEXTS)


def made(parts: list[tuple[Any, bool, str]], returns: Any) -> Callable[..., Any]:
    """A function with these parameters: the annotation of each, whether it may be left out, and its description."""

    def function(*_: Any, **__: Any) -> Any:
        raise AssertionError

    kind = inspect.Parameter.KEYWORD_ONLY
    function.__annotations__ = {f"part_{place}": part[0] for place, part in enumerate(parts)} | {"return": returns}
    function.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # as a decorator may set it
        [
            inspect.Parameter(f"part_{place}", kind, default=None if may_lack else inspect.Parameter.empty)
            for place, (_, may_lack, _) in enumerate(parts)
        ]
    )
    lines = "".join(f"\n    part_{place}: {text}" for place, (_, _, text) in enumerate(parts) if text)
    function.__doc__ = f"Make it.\n\nArgs:{lines}" if lines else "Make it."
    return function


@contextmanager
def everything_at_once() -> Iterator[None]:
    """Let pydantic look at all members of each object together, and keep nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(introspect, "members_of", lambda _: None)
        patch.setattr(type_schema, "is_settled", lambda _: False)
        yield


def contract(function: Callable[..., Any]) -> object:
    """Everything that a declaration fixes, in its order; for what is refused, the words."""
    try:
        tool: ToolFunction[..., Any] = altar.tool(function, name="made", register=False)
    except AltarError as refused:
        return type(refused), refused.code, refused.message, refused.hint, refused.path
    returns = tool.declaration.returns
    return (
        tool.digest,
        repr(tool.declaration.parameters.json_schema),
        None if returns is None else repr(returns.json_schema),
        tool.declaration.signature,
        tool.binds_directly,
    )


def both(function: Callable[..., Any]) -> tuple[object, object]:
    """The contract, and the one that is made of everything at once."""
    with everything_at_once():
        whole = contract(function)
    return whole, contract(function)


@pytest.mark.parametrize("annotation", [*OWN, *TABLE], ids=lambda annotation: repr(annotation).partition(" at 0x")[0])
@pytest.mark.parametrize("may_lack", [False, True])
def test_a_type_has_the_contract_that_it_has_among_others(annotation: Any, may_lack: bool) -> None:
    whole, known = both(made([(annotation, may_lack, "A part.")], annotation))

    assert whole == known


@pytest.mark.parametrize("refused", REFUSED, ids=lambda refused: str(refused.annotation))
def test_what_is_refused_is_refused_in_the_same_words(refused: Any) -> None:
    whole, known = both(made([(str, False, ""), (evaluated(refused.annotation), False, "")], str))

    assert whole == known
    assert isinstance(known, tuple)
    assert known[0] is DeclarationError


@given(st.lists(PARTS, max_size=6), st.sampled_from([*OWN, *TABLE]), st.booleans())
def test_a_signature_has_the_contract_of_its_parts(
    parts: list[tuple[Any, bool, str]],
    returns: Any,
    forget: bool,
) -> None:
    if forget:
        member._KNOWN.clear()

    whole, known = both(made(parts, returns))

    assert whole == known


def test_two_classes_of_one_name_keep_apart() -> None:
    whole, known = both(made([(Order, False, ""), (ANOTHER_ORDER, False, ""), (list[Order], False, "")], str))

    assert whole == known
    assert member.together(member.members_of({"a": Order}) or {}, {}, required=()) is not None
    each = {**(member.members_of({"a": Order}) or {}), **(member.members_of({"b": ANOTHER_ORDER}) or {})}
    assert len(each) == 2
    assert member.together(each, {}, required=()) is None


def test_alternatives_in_another_order_are_not_taken_for_each_other() -> None:
    one, other = contract(made([(int | str, False, "")], str)), contract(made([(str | int, False, "")], str))

    assert one != other


def test_a_plain_signature_asks_pydantic_nothing_the_second_time(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [(str, False, "A."), (Order, False, "B."), (int | None, True, ""), (list[Place], False, "")]
    contract(made(parts, list[Order]))
    monkeypatch.setattr(type_schema, "_complete", _never)

    contract(made(parts, list[Order]))


def _never(*_: object) -> Any:
    raise AssertionError


@pytest.mark.parametrize(
    ("annotations", "arguments", "bound"),
    [
        ({"a": int, "b": float}, b'{"a":1,"b":2}', {"a": 1, "b": 2.0}),
        ({"a": Colour, "b": list[int]}, b'{"a":"red","b":[1]}', {"a": Colour.RED, "b": [1]}),
        ({"a": Order, "b": Place}, b'{"a":{"item":"x"},"b":{"city":"y"}}', {"a": Order(item="x"), "b": Place("y")}),
    ],
)
def test_what_was_put_together_binds_by_the_types(
    annotations: dict[str, Any], arguments: bytes, bound: dict[str, Any]
) -> None:
    parts = made([(annotation, False, "") for annotation in annotations.values()], str)
    tool: ToolFunction[..., Any] = altar.tool(parts, name="made", register=False)
    renamed = {f"part_{place}": value for place, value in enumerate(bound.values())}
    for place, name in enumerate(annotations):
        arguments = arguments.replace(f'"{name}":'.encode(), f'"part_{place}":'.encode())

    _, named = tool.bind(arguments, tool.check(arguments))

    assert named == renamed
    assert {name: type(value) for name, value in named.items()} == {n: type(v) for n, v in renamed.items()}


class _Equal(type):
    def __eq__(cls, other: object) -> bool:
        return isinstance(other, type)

    def __hash__(cls) -> int:
        return 1


class Marked(pydantic.BaseModel):
    @classmethod
    def __get_pydantic_json_schema__(cls, core: Any, handler: Any) -> Any:
        return {**handler(core), "description": "mine"}


@pytest.mark.parametrize(
    "annotation",
    [
        Annotated[int, pydantic.Field(ge=0)],
        Annotated[str, pydantic.AfterValidator(str.upper)],
        T,
        list[T],  # type: ignore[valid-type]  # nobody says of what
        Marked,
        list[Marked],
        _Equal("Equal", (), {}),
        "str",
    ],
)
def test_what_depends_on_more_than_the_annotation_is_not_settled(annotation: Any) -> None:
    assert not is_settled(annotation)


LINES = st.text(st.characters(codec="utf-8", exclude_characters=":"), max_size=60)


@given(LINES)
def test_a_line_without_a_section_is_the_summary_that_the_parser_finds(text: str) -> None:
    short, long = _documented(text), _documented(f"{text}\n\nFurther words.")

    assert short == Documentation(summary=short.summary)
    if len(inspect.cleandoc(text).strip().splitlines()) == 1:
        assert short.summary == long.summary


def test_a_line_with_a_section_is_not_taken_for_a_summary() -> None:
    assert _documented(":param a: The first.").parameters == {"a": "The first."}


def _documented(text: str) -> Documentation:
    def function() -> None: ...

    function.__doc__ = text
    return documentation(function)
