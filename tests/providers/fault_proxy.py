"""A TCP proxy on loopback that hangs or drops what runs through it: ``async with faulty(port) as proxy``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

__all__ = ["FaultProxy", "faulty"]


class FaultProxy:
    """Passes bytes to a port of this machine; ``good_before`` connections are served well before the fault."""

    def __init__(self, upstream: int) -> None:
        self.port = 0
        self.mode = "pass"
        self.good_before = 0
        self.connections = 0
        self._upstream = upstream
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join one connection with another one to the upstream."""
        self.connections += 1
        self._writers.append(writer)
        mode = self.mode if self.connections > self.good_before else "pass"
        if mode == "mute":
            with suppress(OSError):
                await reader.read()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._upstream)
        self._writers.append(back)
        await asyncio.gather(self._copy(reader, back, mode="pass"), self._copy(there, writer, mode=mode))

    async def _copy(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, mode: str) -> None:
        with suppress(OSError):
            while data := await source.read(65536):
                if mode == "drop":
                    target.transport.abort()
                if mode in {"hang", "drop"}:
                    return
                target.write(data)
                await target.drain()
            target.close()

    def close(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def faulty(upstream: int) -> AsyncIterator[FaultProxy]:
    """Listen on a port of the system's choice while the block lasts."""
    proxy = FaultProxy(upstream)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        proxy.close()
