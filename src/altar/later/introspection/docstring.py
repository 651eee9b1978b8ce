"""What a docstring says about a function: a summary, a line per parameter, a line about the result.

A function comes in; `Documentation` goes out.
Google, NumPy and Sphinx styles are recognized by their section headings.
A docstring that follows none of them is one free text, of which the first paragraph is the summary.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin

if TYPE_CHECKING:
    from griffe import DocstringSection

_SPHINX = re.compile(r"^\s*:(param|parameter|arg|argument|returns?|raises?|type|rtype)\b[^:\n]*:", re.MULTILINE)
_NUMPY = re.compile(
    r"^[ \t]*(Parameters|Other Parameters|Returns|Yields|Raises)[ \t]*\n[ \t]*-{3,}[ \t]*$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Documentation:
    """The parts of a docstring that a declaration uses; a part that is absent is empty."""

    summary: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict)
    returns: str = ""
    yields: str = ""


def documentation(function: Callable[..., object]) -> Documentation:
    """Read the docstring of `function`; without one, every part is empty."""
    text = _text(function)
    if ":" not in text and len(text.splitlines()) <= 1:
        return Documentation(summary=_one_line(text))  # a section takes a colon, or a second line
    sections = _sections(text)
    return Documentation(
        summary=_summary(sections),
        parameters=_parameters(sections),
        returns=_first(sections, "returns"),
        yields=_first(sections, "yields"),
    )


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function somebody wrote: what is inside a partial, a staticmethod or an object with `__call__`."""
    while isinstance(function, functools.partial):
        function = function.func
    if isinstance(function, staticmethod):
        return function.__func__
    return function if inspect.isroutine(function) else type(function).__call__


def description_of(annotation: Any, documented: str | None) -> str | None:
    """The description to add to a parameter: a text in Annotated, else the docstring's; None when Field has one."""
    held = marks(annotation)
    if not held:
        return documented or None
    from pydantic.fields import FieldInfo

    if any(isinstance(mark, FieldInfo) and mark.description for mark in held):
        return None
    texts = [mark if isinstance(mark, str) else getattr(mark, "documentation", None) for mark in held]
    return next((text for text in texts if isinstance(text, str)), documented) or None


def described(annotation: Any, text: str | None) -> Any:
    """The annotation with a description, where there is one to add."""
    if text is None:
        return annotation
    from pydantic import Field

    return Annotated[annotation, Field(description=text)]


def marks(annotation: Any) -> tuple[Any, ...]:
    """What `Annotated` adds to a type; nothing for a plain type."""
    return tuple(annotation.__metadata__) if get_origin(annotation) is Annotated else ()


def _text(function: Callable[..., object]) -> str:
    """What the author wrote: on the function, or for an object with `__call__` on that or on its class."""
    inner = underlying(function)
    if inner.__name__ == "__call__":
        return inspect.cleandoc(inner.__doc__ or type(function).__doc__ or "").strip()
    return (inspect.getdoc(inner) or "").strip()


def _sections(text: str) -> list[DocstringSection]:
    import griffe

    docstring = griffe.Docstring(text, lineno=1)
    style = _style(text)
    if style == "numpy":
        return griffe.parse_numpy(docstring, warnings=False)
    if style == "sphinx":
        return griffe.parse_sphinx(docstring, warnings=False)
    return griffe.parse_google(docstring, warnings=False)


def _style(text: str) -> Literal["google", "numpy", "sphinx"]:
    if _NUMPY.search(text):
        return "numpy"
    return "sphinx" if _SPHINX.search(text) else "google"


def _summary(sections: list[DocstringSection]) -> str:
    """The first paragraph of the free text, on one line."""
    for section in sections:
        if section.kind.value == "text":
            return _one_line(str(section.value).strip().split("\n\n", 1)[0])
    return ""


def _parameters(sections: list[DocstringSection]) -> dict[str, str]:
    described: dict[str, str] = {}
    for section in sections:
        if section.kind.value in {"parameters", "other parameters"}:
            for parameter in section.value:
                described.setdefault(parameter.name.lstrip("*"), _one_line(parameter.description))
    return {name: text for name, text in described.items() if text}


def _first(sections: list[DocstringSection], kind: Literal["returns", "yields"]) -> str:
    for section in sections:
        if section.kind.value == kind and section.value:
            return _one_line(section.value[0].description)
    return ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
