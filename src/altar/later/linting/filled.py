"""Tools that no model fills in: the steps of a pipeline do, from fields whose flow is checked before it runs.

Some rules ask what a model is told of the parameters.
They have nothing to ask of such a tool where its author has no place to say it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altar.later.tool import ToolFunction

__all__ = ["filled_by_steps", "is_filled_by_steps", "takes_any_field"]

_FILLED = "__altar_filled__"


def filled_by_steps(tool: ToolFunction[..., Any], *, untyped: Iterable[str]) -> None:
    """Note that steps fill in the tool; those of its parameters that are ``untyped`` take whatever a step gives.

    It is no part of the contract.
    """
    setattr(tool, _FILLED, frozenset(untyped))


def is_filled_by_steps(tool: ToolFunction[..., Any]) -> bool:
    """Whether steps fill in the tool, and no model does."""
    return hasattr(tool, _FILLED)


def takes_any_field(tool: ToolFunction[..., Any], path: str) -> bool:
    """Whether a place in the declaration (a JSON Pointer) belongs to a parameter that takes whatever a step gives."""
    return any(f"{path}/".startswith(f"/parameters/properties/{name}/") for name in getattr(tool, _FILLED, ()))
