"""The classes and aliases that the table of types uses; shown on its page as they stand here."""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import enum
import typing
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, Literal, NamedTuple, NewType, NotRequired, Required, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, computed_field, field_serializer
from typing_extensions import TypeAliasType, TypedDict

T = TypeVar("T")
Number = TypeVar("Number", int, float)
Short = TypeVar("Short", bound=str)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Size(enum.IntEnum):
    SMALL = 1
    LARGE = 2


class Unit(enum.StrEnum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    RUN = 4


@dataclass
class Point:
    x: int
    label: str = "here"


@dataclass(slots=True, kw_only=True)
class Order:
    item: str
    count: dataclasses.InitVar[int]
    tags: list[str] = field(default_factory=list)
    total: int = field(init=False, default=0)

    def __post_init__(self, count: int) -> None:
        self.total = 10 * count


@pydantic.dataclasses.dataclass
class Track:
    title: str = Field(min_length=1)


@dataclass
class Box(Generic[T]):
    held: T


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class OldMovie(typing.TypedDict, total=False):
    title: Required[str]
    year: int


class Pair(NamedTuple):
    key: str
    value: int = 0


Spot = collections.namedtuple("Spot", "row column")  # noqa: PYI024 - the untyped form is in use too


class Address(BaseModel):
    street: str = Field(description="With the number", min_length=1)
    zip: str | None = None


class Person(BaseModel):
    name: str
    address: Address


class Node(BaseModel):
    value: int
    children: list[Node] = []


class Leaf(BaseModel):
    tree: Tree | None = None


class Tree(BaseModel):
    leaves: list[Leaf] = []


class Page(BaseModel, Generic[T]):
    items: list[T]
    more: bool = False


class Cat(BaseModel):
    kind: Literal["cat"]
    lives: int = 9


class Dog(BaseModel):
    kind: Literal["dog"]


Pet = Annotated[Cat | Dog, Field(discriminator="kind")]
Level = Annotated[
    Annotated[int, Tag("number")] | Annotated[str, Tag("text")],
    Discriminator(lambda value: "number" if isinstance(value, int) else "text"),
]


class Renamed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    max_price: int = Field(alias="maxPrice")


class Square(BaseModel):
    side: int

    @computed_field
    def area(self) -> int:
        return self.side**2


class Day(BaseModel):
    on: dt.date

    @field_serializer("on")
    def written(self, on: dt.date) -> str:
        return on.strftime("%d.%m.%Y")


UserId = NewType("UserId", int)
Names = TypeAliasType("Names", list[str])
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | str | int | float | bool | None")
Anything = dict[str, Any]
