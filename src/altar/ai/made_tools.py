"""Which programs of DSPy are tools already; a program is forgotten when nobody else holds it."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

__all__ = ["is_tool", "note_tool"]


def note_tool(program: Any) -> None:
    """Remember that a tool was made of this program."""
    _TOOLS.add(program)


def is_tool(program: Any) -> bool:
    """Whether a tool was made of this very program, registered or not."""
    return program in _TOOLS


_TOOLS: WeakSet[Any] = WeakSet()
