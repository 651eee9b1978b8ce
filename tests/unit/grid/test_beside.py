"""Blobs at the edges of the wire: to peers of earlier releases, in frames, and in kept results."""

from __future__ import annotations

import asyncio
import base64
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.adm.blobs import MAX_BLOBS, Blob
from altar.adm.canonical import canonical
from altar.adm.errors import TransportError
from altar.grid import wire
from altar.grid.beside import blobs_of, needs_blobs, result_as_text
from altar.grid.capabilities import HOST, Capability
from altar.grid.host.stored_result import KEPT_BYTES, outcome_kept, written
from altar.later.invocation import Invocation, Outcome
from tests.unit.grid.test_client import Host, connected
from tests.unit.grid.test_nested import Connection
from tests.unit.later.doubles import Answers

LARGE = b"\x01" * 9000
TEXT = canonical({"data": base64.b64encode(LARGE).decode()})


def call(data: bytes = LARGE) -> Invocation:
    blob = Blob("/data", data)
    arguments = canonical({"data": blob.reference})
    return Invocation("same", arguments, "c-1", deadline=time.monotonic() + 60, blobs=(blob,))


# --------------------------------------------------------------------------------------------------- clients, old hosts


async def sent_to(host: Host, invocation: Invocation, answers: Answers, *, limit: int) -> list[call_pb2.ToolCall]:
    async with connected(host) as source:
        source._max_message_bytes = limit
        source.run(invocation, answers)
        assert source._stream is not None
        await source._stream.writer.flushed()
    return [each for frame in host.frames for each in frame.calls]


async def test_a_host_of_an_earlier_release_is_sent_text() -> None:
    (sent,) = await sent_to(Host(), call(), Answers(), limit=20_000)

    assert (sent.call.args, list(sent.blobs)) == (TEXT, [])


async def test_a_host_of_an_earlier_release_is_not_sent_what_is_too_large_as_text() -> None:
    answers = Answers()

    assert await sent_to(Host(), call(), answers, limit=10_000) == []

    error = answers.error
    assert (error.code, error.ran) == ("FEATURE_UNAVAILABLE", "no")
    assert "'blobs', which the host at host:1 cannot do" in error.message


class NewHost(Host):
    """A host that takes blobs."""

    def stream_stream(self, _method: str, **_: Any) -> Any:
        made = super().stream_stream(_method)
        answer = self.reads.get_nowait()
        assert isinstance(answer, host_pb2.ConnectResponse)
        answer.hello.capabilities.append("blobs")
        self.reads.put_nowait(answer)
        return made


async def test_a_host_that_takes_blobs_is_sent_the_bytes_as_they_are() -> None:
    (sent,) = await sent_to(NewHost(), call(), Answers(), limit=10_000)

    assert sent.call.args == call().arguments
    assert [(blob.path, blob.data) for blob in sent.blobs] == [("/data", LARGE)]


async def test_no_host_is_sent_more_than_it_takes() -> None:
    host, invocation = NewHost(), call()

    async with connected(host) as source:
        source._max_message_bytes = 9000
        with pytest.raises(TransportError, match=f"are {invocation.size} bytes and the limit is 9000") as refused:
            source.run(invocation, Answers())

    assert refused.value.code == "MESSAGE_TOO_LARGE"


# ------------------------------------------------------------------------------------------------ tools that call tools


@pytest.mark.parametrize(("capabilities", "as_text"), [(HOST, False), ([Capability.NESTED], True)])
async def test_a_tool_calls_another_with_bytes_as_its_host_takes_them(capabilities: Any, as_text: bool) -> None:
    connection = Connection(*capabilities, limit=20_000)
    waiting = asyncio.create_task(connection.session.call("other", data=LARGE))
    await asyncio.sleep(0)

    (sent,) = connection.frame().nested_calls

    assert (sent.call.args == TEXT) is as_text
    assert (len(sent.blobs) == 0) is as_text
    waiting.cancel()


async def test_a_tool_hears_by_name_what_its_host_cannot_be_given() -> None:
    connection = Connection(Capability.NESTED, limit=10_000)

    result = await connection.session.call("other", data=LARGE)

    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("FEATURE_UNAVAILABLE", "no")


# --------------------------------------------------------------------------------------------------------------- frames


def test_blobs_go_into_a_message_and_out_of_it_and_count_in_its_size() -> None:
    message, result = call_pb2.ToolCall(), call_pb2.ToolResult()
    outcome = Outcome(canonical(Blob("", LARGE).reference), blobs=(Blob("", LARGE),))

    size = wire.add_call(message, call(), tag=1, now=time.monotonic())
    size_of_result = wire.add_result(result, call(), outcome)

    back = wire.invocation_of(call_pb2.ToolCall.FromString(message.SerializeToString()), now=0.0)
    assert (back.arguments, back.blobs) == (call().arguments, call().blobs)
    assert min(size, size_of_result) > len(LARGE)
    assert wire.outcome_of(call_pb2.ToolResult.FromString(result.SerializeToString())) == outcome


def test_more_blobs_than_a_call_may_have_are_not_even_counted() -> None:
    with pytest.raises(TransportError) as refused:
        blobs_of([call_pb2.Blob()] * (MAX_BLOBS + 1))

    assert (refused.value.code, refused.value.ran) == ("PROTOCOL_VIOLATION", "no")


@pytest.mark.parametrize(("limit", "needed"), [(12_050, ()), (11_000, ("blobs",))])
def test_a_call_asks_for_a_runtime_that_takes_blobs_when_it_is_too_large_as_text(
    limit: int, needed: tuple[str, ...]
) -> None:
    invocation = call()

    needs_blobs(invocation, limit)

    assert invocation.needs == needed


def test_a_replayed_result_stays_one_as_text() -> None:
    outcome = Outcome(canonical(Blob("", LARGE).reference), blobs=(Blob("", LARGE),), replayed=True)

    assert result_as_text(call(), outcome, limit=20_000, who="it").replayed
    assert result_as_text(call(), outcome, limit=1000, who="it").replayed


# --------------------------------------------------------------------------------------------------------- kept results


@given(st.lists(st.tuples(st.text(max_size=5), st.binary(max_size=200)), min_size=1, max_size=4))
def test_a_kept_result_is_told_again_with_its_blobs(parts: list[tuple[str, bytes]]) -> None:
    blobs = tuple(Blob(f"/{path}", data) for path, data in parts)
    outcome = Outcome(b'{"any":"thing"}', blobs=blobs)

    assert outcome_kept(written(outcome)) == outcome


def test_what_is_beside_counts_in_what_is_kept() -> None:
    outcome = Outcome(b"{}", blobs=(Blob("", bytes(KEPT_BYTES)),))

    assert written(outcome) == b"!%d" % (KEPT_BYTES + 2)
