"""Tools that break one rule each, and one that breaks none; declared and never called."""
# mypy: disable-error-code="empty-body"

from __future__ import annotations

import functools
from datetime import date
from typing import Annotated, Any

from pydantic import BaseModel, Field

import altar
from altar.later.context import ToolContext
from altar.later.linting.filled import filled_by_steps
from altar.later.linting.lint import allow

declared = functools.partial(altar.tool, idempotent=True, register=False)
Text = Annotated[str, Field(max_length=9, description="What is meant.")]
Number = Annotated[int, Field(description="How many there are.")]


class Article(BaseModel):
    """An article of the shop."""

    name: Annotated[str, Field(max_length=9)]
    price: int


class Loose(BaseModel):
    """An article with whatever else."""

    extra: dict[str, Any]


@declared
def good(text: Text, articles: Annotated[list[Article], Field(max_length=3, description="What is sold.")]) -> Text:
    """Say what is sold under a text."""
    return text


@declared
def short(number: Number) -> int:
    """Count."""
    return number


@declared(description="words " * 200)
def long(number: Number) -> int:
    return number


@declared
def long_parameter(number: Annotated[int, Field(description="words " * 200)]) -> int:
    """Count what there is."""
    return number


@declared
def undescribed(number: int, article: Article) -> int:
    """Count what there is."""
    return number


@declared
def count_it_all(number: Annotated[int, Field(description="The number.")]) -> int:
    """Count it all."""
    return number


@declared
def repeats(number: Annotated[int, Field(description="Number.")]) -> int:
    """Count what there is."""
    return number


@declared
def renamed(number: Number) -> int:
    """Count what there is.

    Args:
        number: How many there are.
        amount: What the number was called before.
    """
    return number


@declared
def of_any_name(number: Number, **others: Number) -> int:
    """Count what there is.

    Args:
        number: How many there are.
        apples: How many of them are apples.
    """
    return number + len(others)


@declared
def documented(text: Text, number: Number, *texts: Text, context: ToolContext) -> int:
    """Count what there is.

    Parameters
    ----------
    text, number : str
        What is counted.
    context
        Who asks.
    *texts : str
        What is counted, too.
    """
    return number


filled_in = declared(functools.partial(renamed.function, 3), name="filled_in", register=False)


@declared
def open_object(loose: Annotated[list[Loose], Field(max_length=1, description="What is sold.")]) -> int:
    """Count what there is."""
    return len(loose)


@declared
def anything(value: Annotated[Any, Field(description="What is sold.")]) -> int:
    """Count what there is."""
    return 1


@declared
def given(page: Any, page_number: Any, pages: list[Any], counts: dict[str, int]) -> int:
    """Count what there is."""
    return 1


filled_by_steps(given, untyped=["page"])


@declared
def unbounded(texts: Annotated[list[str], Field(description="What is sold.")]) -> int:
    """Count what there is."""
    return len(texts)


@declared
def inexact(number: Annotated[int, Field(description="How many.", le=2**60)] = 2**55) -> int:
    """Count what there is."""
    return number


@declared
def unseen(number: Annotated[Any, Field(description="How many.")] = object) -> int:
    """Count what there is."""
    return 1


@declared
def mutable(numbers: Annotated[list[int], Field(max_length=3, description="How many.")] = []) -> int:  # noqa: B006 - found
    """Count what there is."""
    return len(numbers)


@declared
def no_result(number: Number):  # type: ignore[no-untyped-def]  # noqa: ANN201 - what is found
    """Count what there is."""


@declared
def open_result(number: Number) -> dict[str, Any]:
    """Count what there is."""
    return {}


@declared(name="with-hyphen")
def hyphen(number: Number) -> int:
    """Count what there is."""
    return number


@declared
def alias(number: Annotated[int, Field(alias="how many", description="In pieces.")]) -> int:
    """Count what there is."""
    return number


@declared
def like_a_context(ctx: Text) -> int:
    """Count what there is."""
    return len(ctx)


@declared
def with_a_context(number: Number, ctx: ToolContext) -> int:
    """Count what there is."""
    return number


@declared
def mapping(counts: Annotated[dict[str, int], Field(description="How many of each.")]) -> int:
    """Count what there is."""
    return len(counts)


@declared(read_only=True, destructive=True)
def contradictory(number: Number) -> int:
    """Count what there is."""
    return number


@declared(read_only=True)
def updateStock(number: Number) -> int:
    """Count what there is."""
    return number


@declared
def purge_stock(number: Number) -> int:
    """Count what there is."""
    return number


@declared(destructive=True)
def drop_stock(number: Number) -> int:
    """Count what there is."""
    return number


@altar.tool(register=False)
def silent(number: Number) -> int:
    """Count what there is."""
    return number


def make() -> altar.ToolFunction[..., int]:
    @declared
    def local(number: Number) -> int:
        """Count what there is."""
        return number

    return local


made_by_import = make()

partial = declared(functools.partial(good.function, "a"), name="partial", isolate="process")


@allow("A301", because="the name is older than the rule")
@declared(name="an-old-name")
def allowed(number: Number) -> int:
    """Count what there is."""
    return number


@declared(name="a-second-name")
@allow("A301", because="the name is older than the rule")
def allowed_below(number: Number) -> int:
    """Count what there is."""
    return number


@allow("A001", because="it was short once")
@declared
def needlessly_allowed(day: Annotated[date, Field(description="Which day is meant.")]) -> int:
    """Count what there is."""
    return day.day
