"""The tools this process has declared, and the part of them that one session may use.

LATER §2.1: one global registry holds declaration and function; a session holds a permitted subset of its names.
A tool may be there in several versions side by side.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakValueDictionary

from altar.adm.errors import AuthorizationError, DeclarationError
from altar.adm.ranges import Version
from altar.later.contracts import Contracts, note_deprecated, unknown_tool
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation, too_large

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.tool import ToolFunction

__all__ = ["REGISTRY", "Registry", "SessionTools", "unknown_tool"]


class Registry:
    """Tools by name and version. Safe to use from several threads."""

    def __init__(self) -> None:
        self._contracts: Contracts[ToolFunction[..., Any]] = Contracts()
        self._ever: WeakValueDictionary[tuple[str, str, str, str], ToolFunction[..., Any]] = WeakValueDictionary()
        self._lock = threading.Lock()

    def register(self, tool: ToolFunction[..., Any], *, replace: bool = False) -> None:
        """Add a tool, beside other versions of the same name.

        The same function declared again (a reloaded module, a notebook cell run twice) replaces itself.
        Another function under a name and version that are taken raises DeclarationError, unless ``replace`` is true
        (ADM decision D32).
        """
        with self._lock:
            known = self._of_version(tool)
            if known is not None and not replace and _origin(known) != _origin(tool):
                raise DeclarationError(
                    "INVALID_DECLARATION",
                    f"The tool {tool.name!r} is declared twice: by {'.'.join(_origin(known))!r} "
                    f"and by {'.'.join(_origin(tool))!r}",
                    hint="give one of them another name or version: @altar.tool(name=…, version=…)",
                )
            self._contracts.add(tool)
            self._ever[*_origin(tool), tool.name, tool.version] = tool

    def unregister(self, name: str, version: str | None = None) -> None:
        """Forget a tool: all its versions, or those that a version or range admits.

        Raises ValidationError UNSUPPORTED_TOOL or VERSION_MISMATCH when there is nothing to forget.
        """
        with self._lock:
            for tool in self._contracts.choose([name if version is None else f"{name}@{version}"]):
                self._contracts.remove(tool)

    def get(self, name: str, asked: str = "") -> ToolFunction[..., Any] | None:
        """The tool that a name and a version or range mean, the highest version without one; None for none."""
        return self._contracts.look(name, asked)

    def find(self, invocation: Invocation) -> ToolFunction[..., Any]:
        """The contract of a call, for a process that lets every declared tool be called (a runtime)."""
        return self._contracts.find(invocation.name, invocation.version)

    def choose(self, tools: Iterable[str]) -> Contracts[ToolFunction[..., Any]]:
        """The tools as they are now that ``tools`` allow, each a name or ``name@range``; all for none."""
        with self._lock:
            return self._contracts.choose(tools)

    def tools(self) -> list[ToolFunction[..., Any]]:
        """All tools, by name, and the newest version of a name first."""
        with self._lock:
            return list(self._contracts)

    def ever(self) -> list[ToolFunction[..., Any]]:
        """Every tool that was registered and still exists, even if it has been forgotten here since."""
        with self._lock:
            return list(self._ever.values())

    def __iter__(self) -> Iterator[ToolFunction[..., Any]]:
        return iter(self.tools())

    def __len__(self) -> int:
        return len(self._contracts)

    def clear(self) -> None:
        """Forget everything; for tests."""
        with self._lock:
            self._contracts = Contracts()

    def _of_version(self, tool: ToolFunction[..., Any]) -> ToolFunction[..., Any] | None:
        """What is registered under the name and version of this tool, whatever their build metadata."""
        version = Version.parse(tool.version)
        known = self._contracts.versions(tool.name)
        return next((other for other in known if Version.parse(other.version) == version), None)


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
        self._tools = tools if isinstance(tools, Contracts) else Contracts(tools)
        self._ttl = ttl.total_seconds()
        self._clock = clock
        self._expires = clock() + self._ttl
        self._deprecated = {tool for tool in self._tools if tool.declaration.annotations.deprecated}

    def find(self, invocation: Invocation) -> ToolFunction[..., Any]:
        """The contract of a call.

        SESSION_EXPIRED when the session is over; MESSAGE_TOO_LARGE for arguments that no host would take either.
        """
        now = self._clock()
        if now >= self._expires:
            self.touch()  # which refuses
        self._expires = now + self._ttl
        tool = self._tools.find(invocation.name, invocation.version)
        if invocation.size > MAX_MESSAGE_BYTES:
            raise too_large("arguments", invocation.size, MAX_MESSAGE_BYTES, ran="no")
        if self._deprecated and tool in self._deprecated:
            self._deprecated.discard(tool)
            note_deprecated(tool)
        return tool

    def touch(self) -> None:
        """The session is used: its time to live begins again. Raises SESSION_EXPIRED when it is over."""
        now = self._clock()
        if now >= self._expires:
            raise AuthorizationError("SESSION_EXPIRED", "The session has expired", ran="no", hint="open a new session")
        self._expires = now + self._ttl

    def extend(self, ttl: timedelta | None) -> None:
        """Let the session live for so long from now on, and after each use; None for as long as it did so far."""
        if ttl is not None:
            self._ttl = ttl.total_seconds()
        self._expires = self._clock() + self._ttl

    @property
    def ttl(self) -> timedelta:
        """How long the session lives after each use."""
        return timedelta(seconds=self._ttl)

    @property
    def left(self) -> float:
        """Seconds until the session is over, unless it is used again."""
        return self._expires - self._clock()

    @property
    def names(self) -> list[str]:
        """Names of the tools, sorted."""
        return self._tools.names

    def declaration(self, name: str, asked: str = "") -> FunctionDeclaration | None:
        """What a tool is, in the version asked for; None for one that is not in the session."""
        tool = self._tools.look(name, asked)
        return tool.declaration if tool is not None else None

    def runs_in(self, name: str, asked: str = "") -> Literal["caller", "loop"]:
        """Where a call of this tool can run: a plain function without a limit of its own needs no event loop."""
        tool = self._tools.look(name, asked)
        return "caller" if tool is None or not (tool.is_async or tool.timeout) else "loop"


def _origin(tool: ToolFunction[..., Any]) -> tuple[str, str]:
    return tool.function.__module__, tool.function.__qualname__
