"""The tools this process has declared, and the part of them that one session may use.

LATER §2.1: one global registry holds declaration and function; a session holds a permitted subset of its names.
"""

from __future__ import annotations

import difflib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from altar.adm.errors import AuthorizationError, DeclarationError, ValidationError
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation, too_large

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.tool import ToolFunction

__all__ = ["REGISTRY", "Registry", "SessionTools", "unknown_tool"]


class Registry:
    """Tools by name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._tools: dict[str, ToolFunction[..., Any]] = {}
        self._lock = threading.Lock()

    def register(self, tool: ToolFunction[..., Any]) -> None:
        """Add a tool.

        The same function declared again (a reloaded module, a notebook cell run twice) replaces itself.
        Another function under a name that is taken raises DeclarationError.
        """
        with self._lock:
            known = self._tools.get(tool.name)
            if known is not None and _origin(known) != _origin(tool):
                raise DeclarationError(
                    "INVALID_DECLARATION",
                    f"The tool {tool.name!r} is declared twice: by {'.'.join(_origin(known))!r} "
                    f"and by {'.'.join(_origin(tool))!r}",
                    hint="give one of them another name: @altar.tool(name=…)",
                )
            self._tools[tool.name] = tool

    def get(self, name: str) -> ToolFunction[..., Any] | None:
        """The tool of that name, or None."""
        return self._tools.get(name)

    def find(self, invocation: Invocation) -> ToolFunction[..., Any]:
        """The contract of a call, for a process that lets every declared tool be called (a runtime)."""
        tool = self._tools.get(invocation.name)
        if tool is None:
            raise unknown_tool(invocation.name, self._tools)
        return tool

    def tools(self) -> list[ToolFunction[..., Any]]:
        """All tools, by name."""
        with self._lock:
            return [self._tools[name] for name in sorted(self._tools)]

    def __iter__(self) -> Iterator[ToolFunction[..., Any]]:
        return iter(self.tools())

    def __len__(self) -> int:
        return len(self._tools)

    def clear(self) -> None:
        """Forget everything; for tests."""
        with self._lock:
            self._tools.clear()


REGISTRY = Registry()
"""The registry of this process, which :func:`altar.tool` fills."""


class SessionTools:
    """The catalog of a local session: the tools it was opened with, until its time to live has passed.

    The time to live slides: every call found starts it again.
    """

    def __init__(
        self,
        tools: Iterable[ToolFunction[..., Any]],
        *,
        ttl: timedelta,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tools = {tool.name: tool for tool in tools}
        self._ttl = ttl.total_seconds()
        self._clock = clock
        self._expires = clock() + self._ttl

    def find(self, invocation: Invocation) -> ToolFunction[..., Any]:
        """The contract of a call.

        SESSION_EXPIRED when the session is over; MESSAGE_TOO_LARGE for arguments that no host would take either.
        """
        now = self._clock()
        if now >= self._expires:
            raise AuthorizationError("SESSION_EXPIRED", "The session has expired", ran="no", hint="open a new session")
        self._expires = now + self._ttl
        tool = self._tools.get(invocation.name)
        if tool is None:
            raise unknown_tool(invocation.name, self._tools)
        if len(invocation.arguments) > MAX_MESSAGE_BYTES:
            raise too_large("arguments", len(invocation.arguments), MAX_MESSAGE_BYTES, ran="no")
        return tool

    @property
    def names(self) -> list[str]:
        """Names of the tools, sorted."""
        return sorted(self._tools)

    def declaration(self, name: str) -> FunctionDeclaration | None:
        """What a tool is; None for one that is not in the session."""
        tool = self._tools.get(name)
        return tool.declaration if tool is not None else None

    def runs_in(self, name: str) -> Literal["caller", "loop"]:
        """Where a call of this tool can run: a plain function without a limit of its own needs no event loop."""
        tool = self._tools.get(name)
        return "caller" if tool is None or not (tool.is_async or tool.timeout) else "loop"


_LONGEST_NAME = 64


def unknown_tool(name: str, known: Iterable[str]) -> ValidationError:
    """The one way to say that there is no such tool here, with the nearest name that is."""
    fits = len(name) <= _LONGEST_NAME  # comparing takes time, and no tool has a longer name
    near = difflib.get_close_matches(name, list(known), n=1) if fits else []
    return ValidationError(
        "UNSUPPORTED_TOOL",
        f"Tool {name[:_LONGEST_NAME]!r} is not in this session",
        ran="no",
        hint=f"did you mean {near[0]!r}?" if near else "`altar tools` lists what there is",
    )


def _origin(tool: ToolFunction[..., Any]) -> tuple[str, str]:
    return tool.function.__module__, tool.function.__qualname__
