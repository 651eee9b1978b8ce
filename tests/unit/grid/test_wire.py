"""Our words and the wire's: nothing is lost on the way, and nothing unset means yes."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta

import grpc
import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.adm.call import ErrorObject
from altar.adm.codes import CODES
from altar.adm.defect import Defect
from altar.adm.errors import AltarError, TransportError, ValidationError, error_of
from altar.grid import frames, wire
from altar.grid.frames import FRAME_BYTES, FRAME_ITEMS, FrameWriter
from altar.later.invocation import Invocation, Outcome
from altar.later.variable_table import Declare, Delete, Read, Request, Update

DIGEST = "sha256:" + "5a" * 32


def test_a_call_arrives_as_it_was_sent_with_what_is_left_of_its_time() -> None:
    sent = Invocation(
        "add",
        b'{"n":1}',
        "c-1",
        version="1.0.0",
        known_digest=DIGEST,
        deadline=110.5,
        session_id="s",
        correlation_id="k",
        invocation_id="i",
    )
    call = call_pb2.ToolCall()

    size = wire.add_call(call, sent, tag=7, now=100.0)
    got = wire.invocation_of(call, now=500.0)

    assert size > len(sent.arguments)
    assert (got.name, got.arguments, got.call_id, got.version) == ("add", b'{"n":1}', "c-1", "1.0.0")
    assert (got.known_digest, got.session_id, got.correlation_id, got.invocation_id) == (DIGEST, "s", "k", "i")
    assert (got.deadline, got.tag) == (510.5, 7)


@pytest.mark.parametrize(
    ("deadline", "remaining"), [(math.inf, 2**32 - 1), (100.0, 1), (0.0, 1), (100.0009, 1), (100.25, 250)]
)
def test_the_time_that_is_left_is_never_nothing(deadline: float, remaining: int) -> None:
    call = call_pb2.ToolCall()

    wire.add_call(call, Invocation("add", b"{}", deadline=deadline), tag=1, now=100.0)

    assert call.remaining_ms == remaining


def test_a_call_without_time_is_refused() -> None:
    with pytest.raises(TransportError, match="remaining_ms is 0") as refused:
        wire.invocation_of(call_pb2.ToolCall(), now=0.0)
    assert refused.value.ran == "no"


def test_a_value_arrives_as_it_was_sent() -> None:
    result = call_pb2.ToolResult()
    wire.add_result(result, Invocation("add", b"", "c-1", tag=3, invocation_id="i"), Outcome(b"[1]"))

    assert wire.outcome_of(result) == Outcome(b"[1]")
    assert (result.tag, result.result.call_id, result.result.name) == (3, "c-1", "add")


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("ran", ["no", "yes", "unknown"])
def test_every_error_arrives_as_it_was_sent_but_for_its_detail(code: str, ran: str) -> None:
    sent = error_of(
        code,
        "message",
        hint="hint",
        path="/a/0",
        ran=ran,  # type: ignore[arg-type]  # one of the three
        retry_after=timedelta(milliseconds=1500),
        detail="for our log only",
    )
    target = adm_pb2.ErrorObject()
    wire.error_to_wire(target, sent)

    got = wire.error_from_wire(target)

    assert type(got) is type(sent)
    assert (got.code, got.message, got.hint, got.path, got.ran) == (code, "message", "hint", "/a/0", ran)
    assert got.retry_after == sent.retry_after
    assert b"for our log only" not in target.SerializeToString()


def test_an_error_of_a_newer_peer_keeps_its_words() -> None:
    got = wire.error_from_wire(adm_pb2.ErrorObject(type="FROM_THE_FUTURE", message="later"))

    assert (got.code, got.message, got.ran) == ("INTERNAL", "later", "unknown")
    assert got.detail == "unknown code 'FROM_THE_FUTURE'"


@pytest.mark.parametrize("status", [adm_pb2.RESULT_STATUS_UNSPECIFIED, 99])
def test_a_result_without_a_known_status_is_a_failure(status: int) -> None:
    result = call_pb2.ToolResult()
    result.result.status = status  # type: ignore[assignment]  # what a peer could send
    result.result.content = b"1"

    error = wire.outcome_of(result).error

    assert error is not None
    assert (error.code, error.ran) == ("PROTOCOL_VIOLATION", "unknown")


def test_every_code_has_a_grpc_status_that_exists_and_is_no_success() -> None:
    names = {status.name for status in grpc.StatusCode} - {"OK"}

    assert {info.grpc_status for info in CODES.values()} <= names


def test_digests_keep_their_bytes() -> None:
    assert wire.digest_from_wire(wire.digest_to_wire(DIGEST)) == DIGEST
    assert wire.digest_from_wire(b"") == ""


def test_the_transport_lets_more_through_than_we_take_so_that_we_can_say_no() -> None:
    options = dict(wire.message_options(1000))

    assert options["grpc.max_receive_message_length"] > 2 * 1000
    assert options["grpc.max_send_message_length"] > 2 * 1000


# ------------------------------------------------------------------------------------------------------------ frames


class Stream:
    """What was written, and a gate that can be held shut."""

    def __init__(self, *, gathers: bool = False, on_room: Callable[[], None] | None = None) -> None:
        self.frames: list[host_pb2.ConnectRequest] = []
        self.open = asyncio.Event()
        self.open.set()
        self.failure: Exception | None = None
        self.writer: FrameWriter[host_pb2.ConnectRequest, int] = FrameWriter(
            self.write, host_pb2.ConnectRequest, self.add, gathers=gathers, on_room=on_room
        )
        self.task = asyncio.get_running_loop().create_task(self.writer.run())

    async def write(self, frame: host_pb2.ConnectRequest) -> None:
        if self.failure is not None:
            raise self.failure
        self.frames.append(frame)
        await self.open.wait()

    def add(self, frame: host_pb2.ConnectRequest, item: int) -> int:
        frame.cancels.add(tag=item)
        return item

    async def close(self) -> None:
        self.task.cancel()
        with suppress(asyncio.CancelledError):
            await self.task

    @property
    def tags(self) -> list[list[int]]:
        return [[cancel.tag for cancel in frame.cancels] for frame in self.frames]


async def test_an_item_leaves_at_once_and_those_that_come_meanwhile_leave_together() -> None:
    stream = Stream()
    stream.open.clear()
    stream.writer.put(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert stream.tags == [[1]]

    for item in (2, 3, 4):
        stream.writer.put(item)
    stream.open.set()
    await stream.writer.flushed()
    await stream.close()

    assert stream.tags == [[1], [2, 3, 4]]


async def test_a_writer_that_gathers_sends_what_is_put_in_the_same_turn_together() -> None:
    stream = Stream(gathers=True)
    await asyncio.sleep(0)
    stream.writer.put(1)
    asyncio.get_running_loop().call_soon(stream.writer.put, 2)

    await asyncio.sleep(0)
    await stream.writer.flushed()
    await stream.close()

    assert stream.tags == [[1, 2]]


async def test_a_frame_is_closed_when_it_is_full() -> None:
    stream = Stream()
    for item in (FRAME_BYTES - 1, 1, 2, FRAME_BYTES * 3, 5):
        stream.writer.put(item)
    await stream.writer.flushed()
    await stream.close()

    assert stream.tags == [[FRAME_BYTES - 1, 1], [2, FRAME_BYTES * 3], [5]]


async def test_a_frame_holds_only_so_many_items_so_that_nobody_waits_for_one_frame_of_everything() -> None:
    stream = Stream()
    for item in range(2 * FRAME_ITEMS + 1):
        stream.writer.put(item)
    await stream.writer.flushed()
    await stream.close()

    assert [FRAME_ITEMS, FRAME_ITEMS, 1] == [len(tags) for tags in stream.tags]
    assert list(range(2 * FRAME_ITEMS + 1)) == [tag for tags in stream.tags for tag in tags]


async def test_what_is_put_after_everything_was_taken_back_leaves_as_ever() -> None:
    stream = Stream()
    stream.writer.put(1)
    assert stream.writer.unsent() == [1]

    stream.writer.put(2)
    await stream.writer.flushed()
    await stream.close()

    assert stream.tags == [[2]]


async def test_what_never_got_into_a_frame_can_be_taken_back() -> None:
    stream = Stream()
    stream.open.clear()
    stream.writer.put(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stream.writer.put(2)
    stream.writer.put(3)

    assert stream.writer.unsent() == [2, 3]
    assert stream.writer.unsent() == []
    await stream.close()


async def test_a_writer_that_is_finished_writes_what_it_has_and_ends() -> None:
    stream = Stream()
    stream.open.clear()
    stream.writer.put(1)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    stream.writer.put(2)

    stream.writer.finish()
    stream.open.set()
    await stream.task

    assert stream.tags == [[1], [2]]


async def test_a_writer_that_has_nothing_to_write_is_finished_at_once() -> None:
    stream = Stream()
    await asyncio.sleep(0)

    stream.writer.finish()

    await stream.task
    assert stream.tags == []


async def test_there_is_no_room_while_too_many_bytes_wait() -> None:
    stream = Stream()
    stream.open.clear()
    stream.writer.put(FRAME_BYTES)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await stream.writer.room()

    stream.writer.put(1, size=frames.MAX_WAITING_BYTES + 1)
    waiting = asyncio.get_running_loop().create_task(stream.writer.room())
    await asyncio.sleep(0)
    assert not waiting.done()

    stream.open.set()
    await waiting
    await stream.close()


async def test_who_waits_for_room_in_a_crowded_stream_is_told_once_when_there_is_some() -> None:
    told: list[bool] = []
    stream = Stream(on_room=lambda: told.append(stream.writer.is_crowded))
    stream.open.clear()
    stream.writer.put(FRAME_BYTES)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    for _ in range(2):
        stream.writer.put(1, size=frames.MAX_WAITING_BYTES)
    assert (stream.writer.is_crowded, told) == (True, [])

    stream.open.set()
    await stream.writer.flushed()
    await stream.close()

    assert told == [False]


async def test_a_stream_that_fails_ends_the_writer() -> None:
    stream = Stream()
    stream.failure = OSError("gone")
    stream.writer.put(1)

    with pytest.raises(OSError, match="gone"):
        await stream.task


async def test_nothing_to_write_is_flushed() -> None:
    stream = Stream()
    await stream.writer.flushed()
    await stream.close()


def test_the_answer_to_what_is_too_large_names_both_sizes() -> None:
    error: AltarError = wire.too_large("arguments", 11, 10, ran="no")

    assert (error.code, error.message) == ("MESSAGE_TOO_LARGE", "The arguments are 11 bytes and the limit is 10")


def test_who_dials_takes_messages_as_large_as_the_host_says() -> None:
    options = dict(wire.message_options())

    assert (options["grpc.max_receive_message_length"], options["grpc.max_send_message_length"]) == (-1, -1)


def test_what_is_wrong_is_told_to_the_other_side_and_no_more_than_twenty_of_it() -> None:
    found = [Defect(f"/n/{number}", "TYPE", f"Defect {number}") for number in range(30)]
    found[1] = Defect(None, "REQUIRED", "Something is missing")
    found[2] = Defect("", "RANGE", "\ud800" * 400)
    sent = adm_pb2.ErrorObject()

    wire.error_to_wire(sent, ValidationError.from_defects("INVALID_TOOL_ARGS", found, ran="no"))
    received = wire.error_from_wire(adm_pb2.ErrorObject.FromString(sent.SerializeToString()))

    assert received.defects[:2] == tuple(found[:2])
    assert received.defects[2] == Defect("", "RANGE", "?" * 400)
    assert (len(received.defects), received.more_defects) == (20, 10)
    assert ErrorObject.of(received).details is not None


def test_a_defect_of_a_kind_that_a_newer_peer_knows_is_kept() -> None:
    sent = adm_pb2.ErrorObject(type="INVALID_TOOL_ARGS", message="No.", defects=[{"kind": "NEWER", "message": "New."}])

    (defect,) = wire.error_from_wire(sent).defects
    assert (defect.path, defect.category, defect.message) == (None, "NEWER", "New.")


@pytest.mark.parametrize(
    "request_",
    [
        Declare("a", b"{}", b"1"),
        Update({"a": b"1", "b": b"2"}, {"a": 3, "c": 4}),
        Update({}),
        Delete("a"),
        Delete("a", 2**63),
        Read(),
        Read(("b", "a")),
    ],
)
def test_a_request_for_variables_arrives_as_it_was(request_: Request) -> None:
    sent = wire.variable_request(request_).SerializeToString()

    assert wire.variable_request_of(wire.VariableRequest.FromString(sent)) == request_
