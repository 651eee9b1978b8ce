"""Peers that hold a valid certificate and keep to no rule: raw frames on the two streams of a host."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from altar.grid.trust.tls import CertificateFiles, channel_credentials

CLIENT = "/altar.grid.v1.HostService/Connect"
RUNTIME = "/altar.grid.v1.RuntimeService/Attach"
SECONDS = 20.0


class RawStream:
    """One stream of bytes: `send` what you like, `read` what comes."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def send(self, frame: bytes) -> bool:
        """Send a frame; false when the stream is over, which is an answer too."""
        from grpc.aio import AioRpcError

        try:
            await asyncio.wait_for(self._call.write(frame), SECONDS)
        except (AioRpcError, asyncio.InvalidStateError):
            return False
        return True

    async def read(self) -> bytes | None:
        """The next frame, or None at the end of the stream."""
        from grpc.aio import AioRpcError

        try:
            frame = await asyncio.wait_for(self._call.read(), SECONDS)
        except AioRpcError:
            return None
        return frame if isinstance(frame, bytes) else None

    async def close_writing(self) -> None:
        """Say no more."""
        from grpc.aio import AioRpcError

        with suppress(AioRpcError, asyncio.InvalidStateError):
            await self._call.done_writing()

    async def end(self) -> None:
        """Say no more, and wait for the host to hang up."""
        from grpc.aio import AioRpcError

        with suppress(AioRpcError, asyncio.InvalidStateError):
            await self._call.done_writing()
        while await self.read() is not None:
            pass

    def leave(self) -> None:
        """Cancel the stream."""
        self._call.cancel()


class RawPeer:
    """A connection to a host that opens raw streams."""

    def __init__(self, channel: Any) -> None:
        self._channel = channel

    def stream(self, method: str) -> RawStream:
        """Open a stream of one of the two services."""
        return RawStream(self._channel.stream_stream(method)())


@asynccontextmanager
async def raw_peer(port: int, files: CertificateFiles) -> AsyncIterator[RawPeer]:
    """Connect with these certificate files."""
    credentials = channel_credentials(files)
    from grpc.aio import secure_channel

    options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
    async with secure_channel(f"127.0.0.1:{port}", credentials, options=options) as channel:
        yield RawPeer(channel)
