"""Runtimes by hand that say what no call they were sent allows: the host believes its own account and contract."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2
from altar.grid import frames
from altar.testing import LocalGrid
from tests.integration import raw, streaming_tools
from tests.integration.auditing import stop_and_audit
from tests.integration.test_streaming_edge import attached

pytestmark = pytest.mark.timeout(180)

HUGE = 2**64 - 1


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    settings = {"host.heartbeat": 5, "host.max_message_bytes": 100_000}
    with LocalGrid([streaming_tools.__file__], runtimes=0, settings=settings) as running:
        yield running
        stop_and_audit(running)


def _claims(call: call_pb2.ToolCall, *, content: bytes = b"", code: str = "") -> call_pb2.ToolResult:
    """A result with the totals of a stream that never was."""
    result = call_pb2.ToolResult(tag=call.tag)
    result.streamed.chunks = result.streamed.bytes = HUGE
    result.streamed.digest = b"x" * 32
    if code:
        result.result.status = adm_pb2.RESULT_STATUS_ERROR
        result.result.error.type, result.result.error.ran = code, adm_pb2.RAN_YES
    else:
        result.result.status = adm_pb2.RESULT_STATUS_SUCCESS
        result.result.content = content
    return result


@pytest.mark.parametrize("window", [None, call_pb2.Window(chunks=4, bytes=100)])
@pytest.mark.parametrize(
    ("claim", "code"),
    [
        ({"content": b'["not promised"]'}, "SCHEMA_VIOLATION"),
        ({"code": "TOOL_EXECUTION_FAILED"}, "TOOL_EXECUTION_FAILED"),
    ],
)
def test_what_is_said_of_a_stream_that_never_was_is_not_believed_and_hides_nothing(
    grid: LocalGrid, window: call_pb2.Window | None, claim: dict[str, Any], code: str
) -> None:
    with raw.client(grid) as client, attached(grid, "streaming_count") as runtime:
        session = raw.open_session(client).session_id
        asked = raw.tool_call("streaming_count", {"upto": 1}, session=session)
        if window is not None:
            asked.window.CopyFrom(window)
        client.send(host_pb2.ConnectRequest(calls=[asked]))
        (call,) = runtime.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        runtime.send(runtime_pb2.AttachRequest(results=[_claims(call, **claim)]))
        result = raw.result_of(client)

    assert result.result.error.type == code
    assert result.streamed.chunks == 0
    outcome = next(each for each in grid.entries() if each.get("invocation") == result.invocation_id and "code" in each)
    assert outcome["code"] == code
    assert outcome.get("chunks", 0) == 0


def test_many_sessions_that_are_opened_at_once_are_told_in_frames_that_can_be_sent(grid: LocalGrid) -> None:
    with raw.client(grid) as client:
        session = raw.open_session(client).session_id
        again = [host_pb2.CreateSession(tag=tag, session_id=session) for tag in range(2, 1002)]
        client.send(host_pb2.ConnectRequest(create_sessions=again))
        told: list[int] = []
        while len(told) < 1000:
            frame = client.receive(host_pb2.ConnectResponse)
            told.extend(created.tag for created in frame.sessions_created)
            assert frame.ByteSize() < frames.FRAME_BYTES + 2 * max(each.ByteSize() for each in frame.sessions_created)

    assert told == list(range(2, 1002))
