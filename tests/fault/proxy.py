"""A TCP proxy on loopback that can be cut, stalled, slowed and let go on, for faults between two processes.

It works in a thread of its own, so that a test may wait for processes that need it.
"""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Self

from altar.testing import until

Direction = Literal["target", "dialler"]


class Proxy:
    """Carries bytes between whoever dials ``port`` and ``target``, a port of this machine that may be set later."""

    def __init__(self, target: int = 0) -> None:
        self.target = target
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._links: set[_Link] = set()
        self._stalled = False
        self._pace = _Pace()

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
        """Carry on, at full speed, and with what was held back first."""
        self._do(lambda: self._pace.set(0.0, math.inf))
        self._do(lambda: self._stall(False))

    def lose_one_direction(self, *, towards: Direction) -> None:
        """Carry nothing any more towards the target, or towards who dialled, until `resume`; the other way goes on."""
        self._do(lambda: self._stall(True, only=towards))

    def slow(self, *, delay: float = 0.0, bytes_per_second: float = math.inf) -> None:
        """Hold up what passes, each way, by so many seconds, and let so many bytes pass in a second; until `resume`."""
        self._do(lambda: self._pace.set(delay, bytes_per_second))

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

    def _stall(self, stalled: bool, only: Direction | None = None) -> None:
        self._stalled = stalled and only is None
        for link in self._links:
            for direction, gate in link.gates.items():
                if not stalled:
                    gate.set()
                elif only in {None, direction}:
                    gate.clear()

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
        link = _Link(writer, far_writer, self._pace)
        if not self._stalled:
            for gate in link.gates.values():
                gate.set()
        self._links.add(link)
        try:
            await asyncio.gather(
                link.pump(reader, far_writer, link.gates["target"]),
                link.pump(far_reader, writer, link.gates["dialler"]),
            )
        finally:
            link.reset()
            self._links.discard(link)


@dataclass(slots=True)
class _Pace:
    """How slowly bytes are carried."""

    delay: float = 0.0
    bytes_per_second: float = math.inf

    def set(self, delay: float, bytes_per_second: float) -> None:
        self.delay, self.bytes_per_second = delay, bytes_per_second

    def time_for(self, size: int) -> float:
        return self.delay + size / self.bytes_per_second


class _Link:
    """One connection and its continuation."""

    def __init__(self, near: asyncio.StreamWriter, far: asyncio.StreamWriter, pace: _Pace) -> None:
        self._near = near
        self._far = far
        self._pace = pace
        self.gates: dict[Direction, asyncio.Event] = {"target": asyncio.Event(), "dialler": asyncio.Event()}
        self._silent = False
        self._over = asyncio.Event()

    async def pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        """Carry bytes in one direction until one side ends."""
        try:
            while data := await reader.read(65536):
                await gate.wait()
                if self._silent:
                    break
                held = self._pace.time_for(len(data))
                if held > 0:
                    await asyncio.sleep(held)
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
        for gate in self.gates.values():
            gate.set()
        self._near.transport.abort()
        self._far.transport.abort()
