"""Streams at the client's end of a connection: when they may begin, and how they end when the host does not say it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.adm.errors import AltarError
from altar.grid.client import client as client_module
from altar.grid.client.client import GridSource
from altar.later.chunks import Chunks
from altar.later.invocation import Invocation, Outcome
from tests.unit.grid.test_client import Host, connected
from tests.unit.later.doubles import Answers


class Anything:
    """A contract that checks nothing, as the client has it."""

    version = "1.0.0"
    digest = ""

    def check(self, arguments: bytes) -> None:
        """Left to the host."""

    def check_result(self, content: bytes) -> None:
        """Left to the host."""

    def check_beside(self, invocation: Invocation) -> None:
        """Left to the host."""

    def check_result_beside(self, outcome: Outcome) -> None:
        """Left to the host."""


def stream_on(source: GridSource, answers: Answers) -> Invocation:
    """Ask for a stream, as an executor does."""
    call = Invocation("count", b"{}", "c1", deadline=time.monotonic() + 60, chunks=Chunks())
    call.chunks.open(Anything())
    source.run(call, answers)
    return call


async def answered(answers: Answers) -> AltarError:
    """The error of the one answer, once it is there."""
    async with asyncio.timeout(20):
        while not answers.given:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.001)
    ((_, outcome),) = answers.given
    assert isinstance(outcome, Outcome)
    assert outcome.error is not None
    return outcome.error


class StreamingHost(Host):
    """One that can stream, unlike a host of release 0.1.0."""

    def stream_stream(self, _method: str, **_: Any) -> Any:
        made = super().stream_stream(_method, **_)
        hello = self.reads.get_nowait()
        assert isinstance(hello, host_pb2.ConnectResponse)
        hello.hello.capabilities.append("streaming")
        self.reads.put_nowait(hello)
        return made

    async def sent(self) -> call_pb2.ToolCall:
        """The call, once it was written."""
        async with asyncio.timeout(20):
            while not self.calls:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.001)
        return next(call for frame in self.frames for call in frame.calls)


async def test_a_host_that_cannot_stream_is_not_asked_to() -> None:
    host, answers = Host(), Answers()
    async with connected(host) as source:
        stream_on(source, answers)

        refused = await answered(answers)

    assert host.calls == []
    assert (refused.code, refused.ran) == ("FEATURE_UNAVAILABLE", "no")
    expected = "Reading the values of 'count' one by one needs 'streaming', which the host at host:1 cannot do"
    assert refused.message == expected


async def test_a_stream_says_its_window_and_grants_half_of_it_again_when_that_was_read() -> None:
    host, answers = StreamingHost(), Answers()
    async with connected(host) as source:
        call = stream_on(source, answers)
        sent = await host.sent()
        chunk = call_pb2.StreamChunk(tag=sent.tag, index=0, payloads=[b"1"] * 200)
        host.reads.put_nowait(host_pb2.ConnectResponse(stream_chunks=[chunk]))
        for most in (1, 64, 64):
            assert len(await call.chunks.take(most)) == most
        assert not any(frame.stream_credits for frame in host.frames)
        await call.chunks.take(1)
        await source._stream.writer.flushed()  # type: ignore[union-attr]  # it is connected

    assert (sent.window.chunks, sent.window.bytes) == (256, 512 * 1024)
    (credit,) = [credit for frame in host.frames for credit in frame.stream_credits]
    assert (credit.tag, credit.more.chunks, credit.more.bytes) == (sent.tag, 129, 129)


async def test_a_host_that_leaves_values_out_ends_the_stream_and_is_told_so() -> None:
    host, answers = StreamingHost(), Answers()
    async with connected(host) as source:
        stream_on(source, answers)
        sent = await host.sent()
        chunk = call_pb2.StreamChunk(tag=sent.tag, index=3, payloads=[b"1"])
        host.reads.put_nowait(host_pb2.ConnectResponse(stream_chunks=[chunk]))

        broken = await answered(answers)

    assert (broken.code, broken.message) == (
        "PROTOCOL_VIOLATION",
        "Value 3 of the stream came when value 0 was due",
    )
    assert host.cancels == [sent.tag]


async def test_a_stream_that_was_left_and_of_which_the_host_says_nothing_was_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client_module, "HEED_SECONDS", 0.0)
    monkeypatch.setattr(client_module, "GRACE", 0.0)
    host, answers = StreamingHost(), Answers()
    async with connected(host) as source:
        call = stream_on(source, answers)
        sent = await host.sent()
        source.cancel(call)
        assert answers.given == []

        cancelled = await answered(answers)

    assert (cancelled.code, cancelled.ran) == ("CANCELLED", "unknown")
    assert host.cancels == [sent.tag]
