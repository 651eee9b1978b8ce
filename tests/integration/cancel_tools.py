"""Tools that never end by themselves, and write down what they see of their end, a line each."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import altar


def note(evidence: str, line: str) -> None:
    """Add a line to the evidence."""
    with Path(evidence).open("a") as file:
        file.write(f"{line}\n")


def note_end(evidence: str, ended: BaseException) -> None:
    """Add how a call inside of this one ended; the time of that may be up a moment before that of this one."""
    over = isinstance(ended, asyncio.CancelledError) or getattr(ended, "code", "") in {"CANCELLED", "TIMEOUT"}
    note(evidence, "cancelled" if over else repr(ended))


@altar.tool
def plain(evidence: str, context: altar.ToolContext) -> str:
    """Look, in a thread, whether anybody waits."""
    note(evidence, "began")
    try:
        while not context.cancelled:
            threading.Event().wait(0.01)
        note(evidence, "cancelled")
    finally:
        note(evidence, "finally")
    return "never"


@altar.tool
async def coroutine(evidence: str) -> str:
    """Wait, in a task."""
    note(evidence, "began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        note(evidence, "cancelled")
        raise
    finally:
        note(evidence, "finally")
    return "never"


@altar.tool
def generator(evidence: str) -> Iterator[int]:
    """Make values for ever, in a thread."""
    note(evidence, "began")
    try:
        while True:
            yield 1
            threading.Event().wait(0.01)
    except GeneratorExit:
        note(evidence, "cancelled")
        raise
    finally:
        note(evidence, "finally")


@altar.tool
async def async_generator(evidence: str) -> AsyncIterator[int]:
    """Make values for ever, in a task."""
    note(evidence, "began")
    try:
        while True:
            yield 1
            await asyncio.sleep(0.01)
    except (GeneratorExit, asyncio.CancelledError):
        note(evidence, "cancelled")
        raise
    finally:
        note(evidence, "finally")


@altar.tool(isolate="process")
def isolated(evidence: str) -> str:
    """Look at nothing, in a process of its own."""
    note(evidence, f"began in {os.getpid()}")
    try:
        threading.Event().wait()
    finally:
        note(evidence, "finally")
    return "never"


@altar.tool(isolate="process")
def isolated_generator(evidence: str) -> Iterator[int]:
    """Make values for ever, in a process of its own."""
    note(evidence, f"began in {os.getpid()}")
    try:
        while True:
            yield 1
            threading.Event().wait(0.01)
    finally:
        note(evidence, "finally")


@altar.tool
async def nests(evidence: str, context: altar.ToolContext) -> str:
    """Wait for another tool, in a task."""
    note(evidence, "began")
    try:
        (await context.call("coroutine", evidence=evidence + ".inner")).unwrap()
    except (asyncio.CancelledError, altar.AltarError) as ended:
        note_end(evidence, ended)
        raise
    finally:
        note(evidence, "finally")
    return "never"


@altar.tool
def nests_plainly(evidence: str, context: altar.ToolContext) -> str:
    """Wait for another tool, in a thread."""
    note(evidence, "began")
    try:
        context.sync.call("plain", evidence=evidence + ".inner").unwrap()
    except altar.AltarError as ended:
        note_end(evidence, ended)
        raise
    finally:
        note(evidence, "finally")
    return "never"


@altar.tool
async def nests_a_stream(evidence: str, context: altar.ToolContext) -> str:
    """Read the values of another tool, for ever."""
    note(evidence, "began")
    try:
        async with context.session.stream("async_generator", evidence=evidence + ".inner") as stream:
            async for _ in stream:
                pass
    except (asyncio.CancelledError, altar.AltarError) as ended:
        note_end(evidence, ended)
        raise
    finally:
        note(evidence, "finally")
    return "never"
