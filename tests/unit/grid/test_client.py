"""The client's end of a stream: what leaves, what no longer does, and what a call is told that is given up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import grpc.aio
import pytest

from altar._proto.altar.grid.v1 import host_pb2
from altar.grid.client.client import GridSource
from altar.grid.trust.tls import CertificateFiles
from altar.later.invocation import Invocation
from altar.later.source import Request
from tests.unit.later.doubles import Answers

FILES = CertificateFiles(certificate=Path("c.pem"), key=Path("k.pem"), authority=Path("a.pem"))


@dataclass
class Host:
    """A channel and its one stream, written to and never sent; it says hello and opens the session."""

    frames: list[host_pb2.ConnectRequest] = field(default_factory=list)
    reads: asyncio.Queue[object] = field(default_factory=asyncio.Queue)
    may_write: asyncio.Event = field(default_factory=asyncio.Event)

    def stream_stream(self, _method: str, **_: Callable[..., Any]) -> Callable[[], Host]:
        answer = host_pb2.ConnectResponse(sessions_created=[{"tag": 1, "session_id": "s-1"}])
        answer.hello.max_message_bytes = 100
        self.reads.put_nowait(answer)
        self.may_write.set()
        return lambda: self

    async def write(self, frame: host_pb2.ConnectRequest) -> None:
        await self.may_write.wait()
        self.frames.append(frame)

    async def read(self) -> object:
        return await self.reads.get()

    async def done_writing(self) -> None:
        self.reads.put_nowait(grpc.aio.EOF)

    def cancel(self) -> None:
        """Nothing is open."""

    async def close(self) -> None:
        """Nothing is open."""

    @property
    def calls(self) -> list[str]:
        return [call.call.call_id for frame in self.frames for call in frame.calls]

    @property
    def cancels(self) -> list[int]:
        return [cancel.tag for frame in self.frames for cancel in frame.cancels]


@asynccontextmanager
async def connected(host: Host, *, ttl: timedelta | None = None) -> AsyncIterator[GridSource]:
    source = GridSource("host:1", FILES, Request("grid://host:1", ttl=ttl))
    source._channel = cast("grpc.aio.Channel", host)
    await source.connect()
    try:
        yield source
    finally:
        await source.close()


def call(call_id: str) -> Invocation:
    return Invocation("add", b"{}", call_id, deadline=time.monotonic() + 60)


@pytest.mark.parametrize(
    ("ttl", "asked"),
    [
        (None, 0),
        (timedelta(), 1),
        (timedelta(seconds=0.4), 1),
        (timedelta(seconds=1), 1),
        (timedelta(seconds=1.5), 2),
        (timedelta.max, 2**32 - 1),
    ],
)
async def test_a_time_to_live_is_asked_for_in_whole_seconds_and_never_as_the_default(
    ttl: timedelta | None, asked: int
) -> None:
    host = Host()

    async with connected(host, ttl=ttl):
        pass

    assert host.frames[0].create_sessions[0].ttl_seconds == asked


async def test_a_call_whose_time_is_up_before_it_leaves_is_not_sent() -> None:
    host, answers, late = Host(), Answers(), call("late")

    async with connected(host) as source:
        source.run(late, answers)
        source.run(call("in time"), answers)
        late.deadline = time.monotonic()
    ((told, outcome), (other, _)) = answers.given

    assert host.calls == ["in time"]
    assert (told, other.call_id) == (late, "in time")
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.ran) == ("TIMEOUT", "no")


async def test_a_call_that_is_cancelled_before_it_leaves_is_not_sent_and_did_not_run() -> None:
    host, answers, given_up = Host(), Answers(), call("given up")

    async with connected(host) as source:
        source.run(given_up, answers)
        source.cancel(given_up)
        assert (answers.error.code, answers.error.ran) == ("CANCELLED", "no")
        source.cancel(given_up)

    assert len(answers.given) == 1
    assert (host.calls, host.cancels) == ([], [])


async def test_a_call_that_is_cancelled_after_it_left_is_settled_once_and_the_host_is_told() -> None:
    host, answers, given_up = Host(), Answers(), call("given up")

    async with connected(host) as source:
        source.run(given_up, answers)
        assert source._stream is not None
        await source._stream.writer.flushed()
        source.cancel(given_up)
        assert (answers.error.code, answers.error.ran) == ("CANCELLED", "unknown")
        host.reads.put_nowait(host_pb2.ConnectResponse(results=[{"tag": given_up.tag}]))

    assert len(answers.given) == 1
    assert (host.calls, host.cancels) == (["given up"], [given_up.tag])
