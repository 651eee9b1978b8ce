"""A TCP proxy on loopback that can be cut, stalled and let go on, for faults between two processes.

It works in a thread of its own, so that a test may wait for processes that need it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from altar.testing import until


class Proxy:
    """Carries bytes between whoever dials ``port`` and ``target``, a port of this machine that may be set later."""

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links: set[_Link] = set()
        self._stalled = False
        self._accepting = True

    def __enter__(self) -> Self:
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._server.close)
        self.cut()
        until(lambda: not self._links, what="the end of the proxy's connections")
        asyncio.run_coroutine_threadsafe(self._server.wait_closed(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """What to dial."""
        return f"127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every connection that there is now; later ones are carried."""
        self._do(self._reset_all)

    def stall(self) -> None:
        """Carry nothing any more, on no connection, and close none: the peers see only silence."""
        self._do(lambda: self._stall(True))

    def resume(self) -> None:
        """Carry on, and with what was held back first."""
        self._do(lambda: self._stall(False))

    def lose_the_far_side(self) -> None:
        """Half-open: reset the side of the target, and let the side that dialled hear nothing, ever.

        Later connections are carried.
        """
        self._do(self._halve_all)

    def _do(self, step: Callable[[], object]) -> None:
        done = threading.Event()

        def take_it() -> None:
            step()
            done.set()

        self._loop.call_soon_threadsafe(take_it)
        assert done.wait(30)

    def _reset_all(self) -> None:
        for link in list(self._links):
            link.reset()

    def _halve_all(self) -> None:
        for link in list(self._links):
            link.half_open()

    def _stall(self, stalled: bool) -> None:
        self._stalled = stalled
        for link in self._links:
            if stalled:
                link.open.clear()
            else:
                link.open.set()

    async def _listen(self) -> asyncio.Server:
        server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, far_writer)
        if not self._stalled:
            link.open.set()
        self._links.add(link)
        try:
            await asyncio.gather(link.pump(reader, far_writer), link.pump(far_reader, writer))
        finally:
            link.reset()
            self._links.discard(link)


class _Link:
    """One connection and its continuation."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter) -> None:
        self._near = near
        self._far = far
        self.open = asyncio.Event()
        self._silent = False
        self._over = asyncio.Event()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry bytes in one direction until one side ends."""
        try:
            while data := await reader.read(65536):
                await self.open.wait()
                if self._silent:
                    break
                writer.write(data)
                await writer.drain()
        except OSError:
            pass
        if self._silent:
            await self._over.wait()
        self.reset()

    def half_open(self) -> None:
        """End the far side without a word to the near one."""
        self._silent = True
        self._far.transport.abort()

    def reset(self) -> None:
        """End both sides at once."""
        self._over.set()
        self.open.set()
        self._near.transport.abort()
        self._far.transport.abort()
