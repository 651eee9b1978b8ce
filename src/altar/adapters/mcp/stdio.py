"""The program of a server of MCP, spoken to over its stdin and stdout, whose lines have an end.

In: a command, the variables that it needs and its folder.
Out: the two streams of messages that a client of MCP takes; the program ends with them.
A line may have MAX_LINE bytes: a program that writes more without a line break is let go of.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TextIO, cast

import anyio
import mcp_types
from mcp.client.stdio import get_default_environment
from mcp.shared.message import SessionMessage

from altar.adapters.mcp.servers import StdioServer
from altar.adm.errors import ExecutionError

__all__ = ["MAX_LINE", "program"]

MAX_LINE: Final = 64 * 1024 * 1024
"""A line of a program has at most so many bytes; what has been read of it is at most twice as much."""

PATIENCE: Final = 2.0
"""For so many seconds a program may go on after its stdin was closed, and again after it was asked to end."""

_LOOK: Final = 0.02
"""After so many seconds it is looked again whether what the program started has ended."""

_FLUSH: Final = 0.5
"""What was sent before the end may take so many seconds to be written."""


@asynccontextmanager
async def program(server: StdioServer, given: dict[str, str], *, errors: TextIO) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of messages from and to a program, which runs in a process group of its own while they are open.

    ``given`` are the variables that it gets besides HOME, PATH and a few others like these; ``errors`` gets its stderr.
    Raises OSError where it cannot be started, and DEPENDENCY_UNAVAILABLE, when the streams are closed, where a line
    had no end.
    """
    loop = asyncio.get_running_loop()
    transport, running = await loop.subprocess_exec(
        lambda: _Running(loop),
        *server.command,
        env=get_default_environment() | given,
        cwd=server.directory or None,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
    )
    received, reading = anyio.create_memory_object_stream[SessionMessage | Exception](0)
    writing, sent = anyio.create_memory_object_stream[SessionMessage](0)
    taking = asyncio.ensure_future(_take(running.lines, received))
    giving = asyncio.ensure_future(_give(running, transport, sent, received))
    try:
        yield reading, writing
    finally:
        with anyio.CancelScope(shield=True):
            reading.close()
            writing.close()
            await asyncio.wait((giving,), timeout=_FLUSH)
            await _end(running, transport, gently=_failed(taking) is None)
            for task in (taking, giving):
                task.cancel()
            await asyncio.wait((taking, giving))
        for task in (taking, giving):
            if (failed := _failed(task)) is not None:
                raise failed


class _Running(asyncio.SubprocessProtocol):
    """What the event loop tells of the program: its lines, whether its stdin is full, and that it has ended."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.lines = asyncio.StreamReader(limit=MAX_LINE, loop=loop)
        self.room = asyncio.Event()
        self.room.set()
        self.ended = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Let the reader hold the program back when nobody takes its lines."""
        stdout = cast("asyncio.SubprocessTransport", transport).get_pipe_transport(1)
        self.lines.set_transport(cast("asyncio.ReadTransport", stdout))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Keep what was written to stdout."""
        self.lines.feed_data(data)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """Stdout was closed, or stdin is no longer read."""
        if fd == 1:
            self.lines.feed_eof()
        self.room.set()

    def pause_writing(self) -> None:
        """The program does not read as fast as it is written to."""
        self.room.clear()

    def resume_writing(self) -> None:
        """The program has read."""
        self.room.set()

    def process_exited(self) -> None:
        """The program has ended; others that it started may still hold its pipes."""
        self.ended.set()


async def _take(lines: asyncio.StreamReader, received: Any) -> None:
    """Pass on each line as a message until stdout ends or nobody listens; then read on, so that nothing hangs in it."""
    async with received:
        while line := await _line(lines):
            try:
                await received.send(_message(line))
            except (anyio.ClosedResourceError, anyio.BrokenResourceError):
                break
    while await lines.read(64 * 1024):
        pass


async def _line(lines: asyncio.StreamReader) -> bytes:
    """The next line, empty at the end."""
    try:
        return await lines.readuntil()
    except asyncio.IncompleteReadError:  # what ends without a line break was cut off
        return b""
    except asyncio.LimitOverrunError as endless:
        raise ExecutionError(
            "DEPENDENCY_UNAVAILABLE",
            f"The server of MCP wrote a line of more than {MAX_LINE} bytes",
            ran="unknown",
            hint="ask it for less at a time, or tell who makes it",
        ) from endless


def _message(line: bytes) -> SessionMessage | Exception:
    """The message of a line; what is none is told to the client as the error that it is."""
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except ValueError as wrong:
        return wrong


async def _give(running: _Running, transport: asyncio.SubprocessTransport, sent: Any, received: Any) -> None:
    """Write each message as a line; when the program does not read any more, the client is told by the end of all."""
    stdin = cast("asyncio.WriteTransport", transport.get_pipe_transport(0))
    async with sent, received:
        async for message in sent:
            await running.room.wait()
            if not stdin.is_closing():
                stdin.write(message.message.model_dump_json(by_alias=True, exclude_unset=True).encode() + b"\n")
            if stdin.is_closing():
                break


async def _end(running: _Running, transport: asyncio.SubprocessTransport, *, gently: bool) -> None:
    """End the program as the protocol says: close its stdin, then ask, then kill it and all that it started.

    Without ``gently`` it is asked at once.
    """
    stdin = transport.get_pipe_transport(0)
    if stdin is not None:
        stdin.close()
    group = transport.get_pid()  # its own, also when it has ended and what it started goes on
    if gently:
        await _gone(running, group)
    for asked in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, asked)
            await _gone(running, group)
    with suppress(PermissionError):
        transport.close()


async def _gone(running: _Running, group: int) -> None:
    """Wait until the program has ended with all of its group, for PATIENCE at most."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE):
            await running.ended.wait()
            with suppress(ProcessLookupError):
                while True:  # nothing tells when those end that the program started
                    os.killpg(group, 0)
                    await asyncio.sleep(_LOOK)


def _failed(task: asyncio.Future[None]) -> BaseException | None:
    """What a task failed with; None while it runs, and when it did not."""
    return task.exception() if task.done() and not task.cancelled() else None
