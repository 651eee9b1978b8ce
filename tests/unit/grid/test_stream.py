"""One stream at the host: how it ends when reading it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest

from altar._proto.altar.grid.v1 import host_pb2, runtime_pb2
from altar.grid.frames import FRAME_BYTES
from altar.grid.host.client_link import ClientLink
from altar.grid.host.host import Host, HostLimits
from altar.grid.host.runtime_link import RuntimeLink
from altar.grid.stream_window import TURN_BYTES
from altar.grid.trust.tls import Identity
from altar.later.invocation import Invocation, Outcome
from altar.ledger import Ledger
from tests.integration import raw
from tests.unit.grid.contracts import MANIFEST
from tests.unit.grid.test_stream_flow import TEXTS
from tests.unit.ledger.samples import open_ledger, signer_in


class Context:
    """The other end of a stream: what it says, and what it was told."""

    def __init__(self, read: Callable[[], Awaitable[bytes]]) -> None:
        self.read = read
        self.told: list[host_pb2.ConnectResponse] = []

    def peer(self) -> str:
        return "ipv4:192.0.2.7:4711"

    async def write(self, data: bytes) -> None:
        self.told.append(host_pb2.ConnectResponse.FromString(data))


async def silence() -> bytes:
    """A peer that says nothing."""
    await asyncio.Event().wait()
    return b""


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = open_ledger(tmp_path / "log.db", signer_in(tmp_path))
    yield opened
    opened.close()


def client(ledger: Ledger, context: Context) -> ClientLink:
    host = Host(name="host-1", manifest=MANIFEST, ledger=ledger)
    return ClientLink(host, Identity("altar.local", "client", "alice"), cast("Any", context))


async def test_a_defect_while_a_stream_is_read_ends_it_in_words_and_is_logged(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def hello() -> bytes:
        return host_pb2.ConnectRequest(hello=raw.HELLO).SerializeToString()

    def failing(_frame: object) -> None:
        raise KeyError("a defect")

    context = Context(hello)
    link = client(ledger, context)
    monkeypatch.setattr(link, "_take", failing)

    await link.hold()

    closing = context.told[-1].closing
    assert (closing.type, closing.message) == ("INTERNAL", "The host could not go on with this stream")
    assert "KeyError" not in closing.hint
    assert "KeyError: 'a defect'" in caplog.text


async def test_values_that_wait_and_their_result_take_as_many_frames_as_they_need(ledger: Ledger) -> None:
    link = client(ledger, Context(silence))
    call = Invocation("look", b"{}", "c-1", tag=7)
    link._host.streams.begin(call, 1000, 10**6, link.writer.put)
    call.chunks.open(TEXTS)
    call.chunks.window()
    call.chunks.arrived(0, [b'"' + b"x" * 10_000 + b'"'] * 90)
    link._answer(call, call.chunks.close(Outcome(streamed=call.chunks.close(Outcome()).streamed)))

    context = cast("Any", link._context)
    running = asyncio.create_task(link.writer.run())
    await link.writer.flushed()
    running.cancel()

    frames: list[host_pb2.ConnectResponse] = context.told
    assert max(frame.ByteSize() for frame in frames) < FRAME_BYTES + 2 * TURN_BYTES
    assert [len(frame.results) for frame in frames] == [0] * (len(frames) - 1) + [1]
    assert sum(len(chunk.payloads) for frame in frames for chunk in frame.stream_chunks) == 90


async def test_sessions_that_have_ended_by_themselves_are_not_kept_by_the_stream_that_opened_them(
    ledger: Ledger,
) -> None:
    limits = HostLimits(sessions_per_principal=4)
    host = Host(name="host-1", manifest=MANIFEST, ledger=ledger, limits=limits)
    link = ClientLink(host, Identity("altar.local", "client", "alice"), cast("Any", Context(silence)))
    for _ in range(20):
        link._take(host_pb2.ConnectRequest(create_sessions=[host_pb2.CreateSession(tag=1)]))
        for session in list(host.sessions):
            host.sessions.destroy(session.session_id, "alice", force=True)

    assert len(link._sessions) <= 4


async def test_a_runtime_whose_certificate_has_ended_is_told_what_lets_it_dial_again(ledger: Ledger) -> None:
    async def nothing() -> bytes:
        await asyncio.Event().wait()
        return b""

    told: list[runtime_pb2.AttachResponse] = []
    context = Context(nothing)
    host = Host(name="host-1", manifest=MANIFEST, ledger=ledger)
    link = RuntimeLink(host, Identity("altar.local", "runtime", "one"), cast("Any", context))

    async def write(data: bytes) -> None:
        told.append(runtime_pb2.AttachResponse.FromString(data))

    context.write = write  # type: ignore[method-assign]  # a runtime hears other frames than a client
    link.certificate_ended()
    await link.hold()

    (frame,) = told
    assert (frame.closing.type, frame.closing.message) == ("CONNECTION_FAILED", "The certificate of 'one' has ended")


async def test_a_peer_that_is_gone_is_no_defect(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone() -> bytes:
        raise RuntimeError("RPC is over")

    context = Context(gone)
    link = client(ledger, context)
    reasons: list[str] = []
    monkeypatch.setattr(link, "lost", reasons.append)

    await link.hold()

    assert (reasons, context.told, caplog.records) == (["connection lost (RuntimeError)"], [], [])


async def test_a_stream_that_is_cancelled_while_it_ends_is_lost_all_the_same(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gRPC cancels the handler of a stream whose peer is gone, when that has begun to end by itself, too."""
    ending, ended = asyncio.Event(), asyncio.Event()

    async def gone() -> bytes:
        raise RuntimeError("RPC is over")

    async def write_on() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await ended.wait()

    link = client(ledger, Context(gone))
    reasons: list[str] = []
    monkeypatch.setattr(link, "lost", reasons.append)
    monkeypatch.setattr(link.writer, "run", write_on)
    holding = asyncio.create_task(link.hold())
    await ending.wait()
    holding.cancel()
    await asyncio.wait((holding,))
    ended.set()

    assert reasons == ["connection lost (RuntimeError)"]
    assert holding.cancelled()
