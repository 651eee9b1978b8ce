"""Functions by the thousand, as an application or a package of tools might have them.

Each has a name, a docstring in Google's style and up to six parameters of its own, of types that take their turns.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel

__all__ = ["functions"]


class Colour(Enum):
    """What it looks like."""

    RED = "red"
    BLUE = "blue"


@dataclass
class Place:
    """Somewhere."""

    city: str
    street: str = ""


class Order(BaseModel):
    """What somebody wants."""

    item: str
    count: int = 1
    notes: list[str] = []


_TYPES = (
    ("str", ""),
    ("int", "3"),
    ("list[str]", ""),
    ("float", "0.5"),
    ("Literal['fast', 'small', 'cheap']", "'fast'"),
    ("bool", "False"),
    ("dict[str, int]", ""),
    ("str | None", "None"),
    ("date", ""),
    ("Place", ""),
    ("Order", ""),
    ("Colour", ""),
    ("list[dict[str, float]]", ""),
    ("int | None", "None"),
    ("tuple[int, int]", ""),
    ("list[Order]", ""),
)
_RESULTS = ("str", "int", "list[str]", "dict[str, float]", "Place", "list[Order]", "bool", "str | None")
_SCOPE = {"Colour": Colour, "Literal": Literal, "Order": Order, "Place": Place, "date": date, "__name__": __name__}


def functions(count: int) -> list[Callable[..., Any]]:
    """Return that many functions, no two alike, defined anew as a module would define them."""
    types, results = itertools.cycle(_TYPES), itertools.cycle(_RESULTS)
    text = [_function(number, list(itertools.islice(types, 1 + number % 6)), next(results)) for number in range(count)]
    scope: dict[str, Any] = dict(_SCOPE)
    exec(compile("\n".join(text), "made", "exec"), scope)  # noqa: S102 - the text is made here
    return [scope[f"make_{number}"] for number in range(count)]


def _function(number: int, types: list[tuple[str, str]], result: str) -> str:
    given = [(f"part_{place}", kind, default) for place, (kind, default) in enumerate(types)]
    given.sort(key=lambda part: bool(part[2]))  # those with a default come last
    parameters = ", ".join(f"{name}: {kind}" + (f" = {default}" if default else "") for name, kind, default in given)
    described = "\n".join(f"        {name}: What {name} of thing {number} is made of." for name, _, _ in given)
    return (
        f"def make_{number}({parameters}) -> {result}:\n"
        f'    """Make thing number {number} of its parts.\n\n    Args:\n{described}\n    """\n'
        f"    raise RuntimeError\n"
    )
