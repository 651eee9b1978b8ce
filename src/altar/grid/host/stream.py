"""One stream at the host: frames in until it ends, frames out from a queue, and a word when it closes.

What is in the frames is the business of :mod:`client_link` and :mod:`runtime_link`.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.message import DecodeError

from altar import __version__
from altar.adm.errors import AltarError, AuthorizationError, ExecutionError, TransportError, ValidationError
from altar.grid import wire
from altar.grid.frames import FrameWriter
from altar.grid.host.host import Host
from altar.grid.trust.tls import Identity

if TYPE_CHECKING:
    import grpc.aio
    from google.protobuf.message import Message

__all__ = ["SMALL", "Fill", "Link", "require_protocol", "twice"]

_log = logging.getLogger("altar.grid")

_HELLO_SECONDS = 10.0
_FAREWELL_SECONDS = 1.0
SMALL = 200
"""Bytes that anything but a call or a result is taken for when a frame is filled."""

Frame = TypeVar("Frame", bound="Message")
Fill = Callable[[Any], object]
"""Adds one item to a frame; gives its size in bytes if that is not small."""


class Link(ABC):
    """One stream: reads frames until it ends, writes frames from its queue, and says why when it closes."""

    writer: FrameWriter[Any, Any]

    def __init__(self, host: Host, identity: Identity, context: grpc.aio.ServicerContext[bytes, bytes]) -> None:
        self._host = host
        self._identity = identity
        self._context = context
        self._closing: AltarError | None = None
        self._closed = asyncio.Event()

    async def hold(self) -> None:
        """Carry the stream until one of the two sides ends it."""
        tasks = _, writing, _ = [
            asyncio.get_running_loop().create_task(step)
            for step in (self._read(), self.writer.run(), self._closed.wait())
        ]
        silent = False
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._closing is not None:
                # gRPC never ends a write that follows one that was cancelled half way
                self.writer.stop()
                await asyncio.wait((writing,), timeout=_FAREWELL_SECONDS)
                silent = not writing.done()
        finally:
            for task in tasks:
                task.cancel()
            try:
                await asyncio.wait(tasks)
            finally:  # gRPC cancels whoever holds a stream that is lost, and may do so at this very moment
                self.lost(_reason(self._closing, tasks))
        if self._closing is not None and not silent:
            await self._write(self._farewell(self._closing))

    def close(self, reason: AltarError) -> None:
        """End the stream, saying why."""
        self._closing = reason
        self._closed.set()

    def finish(self) -> None:
        """End the stream when everything that is queued for the other side has been sent; nothing is wrong."""
        self.writer.finish()

    def certificate_ended(self) -> None:
        """End the stream because the certificate it was opened with has ended."""
        self.close(
            AuthorizationError(
                "INVALID_CREDENTIALS",
                f"The certificate of {self._identity.name!r} has ended",
                ran="unknown",
                hint="renew the certificate and connect again",
            )
        )

    @abstractmethod
    def lost(self, reason: str) -> None:
        """The stream is over."""

    @abstractmethod
    async def _frames(self) -> None:
        """Read frames until there are no more."""

    @abstractmethod
    def _farewell(self, reason: AltarError) -> Message:
        """The last frame, which says why."""

    async def _read(self) -> None:
        try:
            await self._frames()
        except AltarError as reason:
            self.close(reason)
        except ConnectionError:
            raise
        except Exception:  # noqa: BLE001 - a stream that nobody reads would wait for ever
            _log.exception("reading failed", extra={"peer": self._identity.name})
            self.close(
                ExecutionError(
                    "INTERNAL",
                    "The host could not go on with this stream",
                    ran="unknown",
                    hint="this is a defect of ALTAR; the log of the host has the details",
                )
            )

    async def _next(self, kind: type[Frame]) -> Frame | None:
        try:
            data: object = await self._context.read()
        except Exception as lost:
            raise ConnectionError from lost  # gRPC has several words for a peer that is gone
        if not isinstance(data, bytes):  # the end of the stream
            return None
        try:
            frame = kind.FromString(data)
        except DecodeError as malformed:
            raise TransportError(
                "PROTOCOL_VIOLATION",
                "The frame is not a message of this protocol",
                ran="unknown",
                hint="check that both sides speak protocol " + wire.PROTOCOL_VERSION,
            ) from malformed
        crowded = wire.crowded(frame)
        if crowded is not None:
            del frame, data  # the error would keep them, and they are large
            raise crowded
        return frame

    async def _first(self, kind: type[Frame]) -> Frame | None:
        try:
            return await asyncio.wait_for(self._next(kind), _HELLO_SECONDS)
        except TimeoutError:
            raise TransportError("PROTOCOL_VIOLATION", "No first frame came in time", ran="no") from None

    async def _write(self, frame: Message) -> None:
        await self._context.write(frame.SerializeToString())


def require_protocol(versions: Any) -> None:
    """Raise VERSION_MISMATCH unless one of the versions on offer is of our major version."""
    if not any(version.partition(".")[0] == wire.PROTOCOL_VERSION.partition(".")[0] for version in versions):
        raise ValidationError(
            "VERSION_MISMATCH",
            f"This host speaks protocol {wire.PROTOCOL_VERSION}; the other side offers "
            + (", ".join(versions[:8])[:200] or "none"),
            ran="no",
            hint=f"this host is altar {__version__}; use a release that speaks its protocol",
        )


def twice(what: str) -> AltarError:
    """The error for what a stream says once, in its first frame, and said again."""
    return TransportError("PROTOCOL_VIOLATION", f"The {what} belongs in the first frame, and only there", ran="unknown")


def _reason(closing: AltarError | None, tasks: list[asyncio.Task[Any]]) -> str:
    raised = [task.exception() for task in tasks if task.done() and not task.cancelled()]
    if closing is not None:
        return closing.message
    failed = next((error for error in raised if isinstance(error, Exception)), None)
    return f"connection lost ({type(failed.__cause__ or failed).__name__})" if failed is not None else "left"
