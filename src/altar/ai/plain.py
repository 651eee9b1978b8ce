"""Text that stays text: what comes in from a caller must not become a picture, a file or a sound on its way to a model.

DSPy writes such parts into the text of a request between two marks, and cuts them out again before it is sent.
A text that holds such a mark itself could name an address, or a file that the provider keeps for somebody else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, Final

from altar.adm.errors import ValidationError

__all__ = ["require_plain"]

_MARK: Final = "<<CUSTOM-TYPE-"
"""What both marks begin with."""


def require_plain(values: Mapping[str, Any]) -> None:
    """Raise ValidationError INVALID_TOOL_ARGS, ``ran`` no, for a value that has a text with such a mark in it."""
    for name, value in values.items():
        if _is_marked(value):
            raise ValidationError(
                "INVALID_TOOL_ARGS",
                f"The text in {name!r} has {_MARK!r} in it, by which DSPy tells pictures and files from text",
                ran="no",
                hint="leave these characters out",
            )


def _is_marked(value: Any) -> bool:
    if isinstance(value, str):
        return _MARK in value
    if value is None or isinstance(value, int | float | bytes):
        return False
    if isinstance(value, Mapping):
        return any(_is_marked(one) for pair in value.items() for one in pair)
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_is_marked, value))
    if is_dataclass(value):
        return any(_is_marked(getattr(value, each.name)) for each in fields(value))
    held = [getattr(value, "__dict__", None), getattr(value, "__pydantic_extra__", None)]  # of a model of pydantic
    return any(_is_marked(each) for each in held if each)
