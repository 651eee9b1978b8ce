"""What child processes are told besides their calls, by whoever has something to tell.

Settings of a process are not those of its children. Who holds some that tools there need says so with :func:`carry`;
a child is told before a call whenever it has changed, over the socket that nobody else reads, and takes all that it
was told before each call: what a tool has changed there since does not count for the next one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from altar.later.context import ToolContext

__all__ = ["Teller", "carry", "changed", "take", "told_of"]

Teller = Callable[["ToolContext | None"], "Mapping[str, Any] | None"]
"""Says as JSON what the child of a call is to know, None for nothing; the context is None for a tool without one."""


def carry(name: str, teller: Teller) -> None:
    """Let each child be told what ``teller`` says; there the function ``name``, as ``module:function``, is given it.

    It is given None when there is nothing to tell any more.
    """
    _TELLERS[name] = teller


def told_of(context: ToolContext | None) -> dict[str, Any]:
    """What the child of a call is to know, by the name of who takes it there."""
    said = {name: teller(context) for name, teller in _TELLERS.items()}
    return {name: each for name, each in said.items() if each is not None}


def changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, Any]:
    """What of it a child does not know yet; None for what holds no more."""
    return {name: now.get(name) for name in before.keys() | now.keys() if before.get(name) != now.get(name)}


def take(told: Mapping[str, Any]) -> None:
    """Give what the parent said to the functions that it names; raises what those do."""
    for name, said in told.items():
        module, _, function = name.partition(":")
        getattr(import_module(module), function)(said)


_TELLERS: Final[dict[str, Teller]] = {}
