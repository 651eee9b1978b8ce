"""Generators that several tests of streams read, and what they note of themselves."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

import altar
from altar.later.registry import REGISTRY
from altar.later.stream import Stream
from altar.testing import PATIENCE

__all__ = ["Noted", "chunks_of", "ended", "metadata", "noted", "read", "read_here"]


@dataclass
class Noted:
    """What the generators under test did."""

    made: int = 0
    closed: threading.Event = field(default_factory=threading.Event)
    began: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    thread: int = 0


@pytest.fixture
def noted() -> Iterator[Noted]:
    """Declare the generators under test, and say what they did."""
    noted = Noted()
    before = REGISTRY.tools()
    REGISTRY.clear()

    @altar.tool
    def count(upto: int, stop_at: int = -1) -> Iterator[int]:
        """Count, and fail where told."""
        noted.thread = threading.get_ident()
        try:
            for number in range(upto):
                if number == stop_at:
                    raise ValueError("told so")
                noted.made += 1
                yield number
        finally:
            noted.closed.set()

    @altar.tool
    async def acount(upto: int, stop_at: int = -1) -> AsyncIterator[int]:
        """Count, and fail where told."""
        try:
            for number in range(upto):
                if number == stop_at:
                    raise ValueError("told so")
                noted.made += 1
                yield number
                await asyncio.sleep(0)
        finally:
            noted.closed.set()

    @altar.tool
    def odd(values: list[Any]) -> Iterator[int]:
        """Yield what was given, whatever was promised."""
        try:
            yield from values
        finally:
            noted.closed.set()

    @altar.tool
    async def aodd(values: list[Any]) -> AsyncIterator[int]:
        """Yield what was given, whatever was promised."""
        try:
            for value in values:
                yield value
        finally:
            noted.closed.set()

    @altar.tool
    def texts(sizes: list[int]) -> Iterator[str]:
        """Yield texts of these sizes."""
        try:
            for size in sizes:
                noted.made += 1
                yield "x" * size
        finally:
            noted.closed.set()

    @altar.tool
    def held() -> Iterator[int]:
        """Yield one, wait, yield another."""
        try:
            yield 1
            noted.began.set()
            noted.go.wait(PATIENCE)
            yield 2
        finally:
            noted.closed.set()

    @altar.tool
    async def aheld() -> AsyncIterator[int]:
        """Yield one, wait for ever."""
        try:
            yield 1
            noted.began.set()
            await asyncio.Event().wait()
        finally:
            noted.closed.set()

    @altar.tool
    def one(value: int = 1) -> int:
        """One value."""
        return value

    @altar.tool
    async def aone() -> None:
        """One value, which is nothing."""

    yield noted
    noted.go.set()
    REGISTRY.clear()
    for tool in before:
        REGISTRY.register(tool)


async def read(stream: AsyncIterable[Any], into: list[Any]) -> None:
    """Read a stream to its end."""
    async for value in stream:
        into.append(value)  # noqa: PERF401 - what came before a failure is kept


def read_here(stream: Iterable[Any], into: list[Any]) -> None:
    """The same without a loop."""
    for value in stream:
        into.append(value)  # noqa: PERF402 - what came before a failure is kept


async def ended(stream: Stream) -> altar.ToolResult:
    """Leave a stream, and say what came of it."""
    await stream.aclose()
    return stream.result


def metadata(values: str, chunks: int) -> dict[str, Any]:
    """The metadata of a stream that gave this JSON text."""
    return {"chunks": chunks, "bytes": len(values), "digest": f"sha256:{hashlib.sha256(values.encode()).hexdigest()}"}


def chunks_of(result: altar.ToolResult) -> int:
    """How many values passed."""
    assert result.metadata is not None
    chunks = result.metadata["chunks"]
    assert isinstance(chunks, int)
    return chunks
