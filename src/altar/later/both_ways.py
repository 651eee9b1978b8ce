"""A session as a framework needs it, which may call one tool from a coroutine and the next from a plain function.

:class:`BothWays` takes a session of either kind, and is called in either way: in the event loop of the session, in
another one, or in a thread that has none.
What an application cancels is cancelled where it runs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from altar.adm.call import ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import ConfigurationError
from altar.later.approvals import ApprovalSource
from altar.later.contracts import unknown_tool
from altar.later.front import SyncSession
from altar.later.live import not_open
from altar.later.options import ApprovalMode
from altar.later.portal import wait_in
from altar.later.session import Session

__all__ = ["BothWays"]

T = TypeVar("T")


class BothWays:
    """Calls through an open session, for who awaits and for who waits.

    ``approval`` says what a call does that a person must approve, as the option of a session; None leaves it as it is.
    """

    def __init__(self, session: Session | SyncSession, *, approval: ApprovalMode | None = None) -> None:
        self._session = session if approval is None else session.options(approval=approval)

    # ----------------------------------------------------------------------------------------------- what there is

    def contracts(self, names: Iterable[str] | None = None) -> list[FunctionDeclaration]:
        """The contracts of these tools, each a name or ``name@range``; of all that the session has, for None.

        Raises UNSUPPORTED_TOOL for one that is not in the session, with the name that is nearest.
        """
        listed = self._session.tools
        found = []
        for name in listed if names is None else names:
            declaration = self._session.declaration(name)
            if declaration is None:
                raise unknown_tool(name.partition("@")[0], listed)
            found.append(declaration)
        return found

    @property
    def asks_people(self) -> bool:
        """Whether calls go to a host, which may ask people before it lets one run."""
        asker = self._async.asker
        return asker.tools is None and (asker.live.source is None or isinstance(asker.live.source, ApprovalSource))

    # ---------------------------------------------------------------------------------------------- to call, to wait

    def call(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool and wait for its result in this thread.

        Raises INCOMPATIBLE_MODE in the thread of the session's own event loop, which would wait for itself.
        """
        if isinstance(self._session, SyncSession):
            return self._session.call(name, arguments)
        return self._wait(self._session.call(name, arguments))

    def resume(self, handle: str) -> ToolResult:
        """Make a call again that waited for approval, by the handle of its error, and wait for its result."""
        if isinstance(self._session, SyncSession):
            return self._session.resume(handle)
        return self._wait(self._session.resume(handle))

    def values(self, name: str, arguments: Mapping[str, Any]) -> Iterator[Any]:
        """The values of a tool that streams, one by one, in this thread; raises what the call failed with."""
        if isinstance(self._session, SyncSession):
            with self._session.stream(name, arguments) as stream:
                yield from stream
            return
        values = self._session.stream(name, arguments)
        try:
            while taken := self._wait(values.take()):
                yield from taken
        finally:
            with suppress(RuntimeError):
                self._wait(values.aclose())

    # --------------------------------------------------------------------------------------------- to call, to await

    async def acall(self, name: str, arguments: Mapping[str, Any]) -> ToolResult:
        """Call a tool and await its result, in whatever event loop; to cancel this cancels the call."""
        return await self._in_its_loop(lambda session: session.call(name, arguments))

    async def aresume(self, handle: str) -> ToolResult:
        """Make a call again that waited for approval, by the handle of its error, and await its result."""
        return await self._in_its_loop(lambda session: session.resume(handle))

    async def avalues(self, name: str, arguments: Mapping[str, Any]) -> AsyncIterator[Any]:
        """The values of a tool that streams, one by one, in whatever event loop; raises what the call failed with."""
        stream = self._async.stream(name, arguments)
        try:
            while taken := await self._in_its_loop(lambda _: stream.take()):
                for value in taken:
                    yield value
        finally:
            if stream.begun:
                await self._in_its_loop(lambda _: stream.aclose())

    # -------------------------------------------------------------------------------------------------------- inside

    @property
    def _async(self) -> Session:
        return self._session.underneath if isinstance(self._session, SyncSession) else self._session

    async def _in_its_loop(self, wanted: Callable[[Session], Coroutine[Any, Any, T]]) -> T:
        if isinstance(self._session, SyncSession):
            return await asyncio.wrap_future(self._session.begin(wanted))
        loop = self._session.asker.live.loop
        if loop is None or loop is asyncio.get_running_loop():
            return await wanted(self._session)
        return await _elsewhere(loop, wanted(self._session))

    def _wait(self, coroutine: Coroutine[Any, Any, T]) -> T:
        loop = self._async.asker.live.loop
        if loop is None or loop.is_closed():
            coroutine.close()
            raise not_open("This session is not open", hint="use `async with altar.session(...) as s:`")
        try:
            return wait_in(loop, coroutine)
        except ConfigurationError as refused:
            if refused.code != "INCOMPATIBLE_MODE":
                raise
            raise ConfigurationError(
                "INCOMPATIBLE_MODE",
                "A tool of an asynchronous session cannot be waited for in the session's own event loop",
                ran="no",
                hint="await it, or open the session with `with altar.session(...)`",
            ) from refused


def _elsewhere(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> Awaitable[T]:
    return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(coroutine, loop))
