"""GRID → LATER: a tool that may run in the process that calls it when no host can be reached.

It is off unless the caller names the tool, its contract allows it and the operator of the host permits the caller.
It never follows a denial, nor a call that was sent: only a connection that could not be made.
Such a call is journaled like one under a permit, its result says that it is one, and the host is told when it is back.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from altar.adm.errors import AltarError
from altar.later.bound_variables import bound_by
from altar.later.local_dispatch import allows_fallback
from altar.later.registry import Registry
from altar.later.tool import ToolFunction

__all__ = ["Fallback", "is_unreachable"]


class Fallback:
    """The tools of this process that may run without a host, of those that the caller named."""

    def __init__(self, tools: Iterable[str], registry: Registry) -> None:
        self._tools = frozenset(tools)
        self._registry = registry

    def __bool__(self) -> bool:
        """Whether any tool was named."""
        return bool(self._tools)

    def tool(self, name: str, version: str = "", *, digest: str = "") -> ToolFunction[..., Any] | None:
        """The tool that may run here, in that version or range; None when it may not, or is not that contract.

        What follows variables of the session does not: the host keeps them, and its record would lack their digest.
        ``digest`` is that of the host's contract, empty when no host has told one.
        """
        tool = self._registry.get(name, version) if name in self._tools else None
        if tool is None or not allows_fallback(tool.declaration) or digest not in {"", tool.digest}:
            return None
        return tool if bound_by(tool.declaration) is None else None

    @property
    def names(self) -> list[str]:
        """Names of the tools that can be called before any host was reached, sorted."""
        return sorted(name for name in self._tools if self.tool(name) is not None)


def is_unreachable(error: AltarError) -> bool:
    """Whether it says that no connection could be made; a refused certificate is a denial and no such thing."""
    return error.code == "CONNECTION_FAILED" and error.ran == "no"
