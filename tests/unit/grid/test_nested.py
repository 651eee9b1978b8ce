"""The nested calls of one connection, seen from the runtime: what leaves, what is settled when nothing can."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.adm.call import ToolResult
from altar.adm.errors import AltarError, ConfigurationError
from altar.grid.capabilities import HOST, Capability
from altar.grid.remote_variables import RemoteVariables
from altar.grid.runtime.nested import CallOut, NestedCalls, caller_of
from altar.later.context import ToolContext
from altar.later.invocation import Invocation
from altar.later.registry import Registry
from altar.later.session import Session


class Connection:
    """A connection that a test fills and empties by hand, and the context of a call that runs."""

    def __init__(self, *capabilities: str, limit: int = 1000) -> None:
        self.queued: list[Any] = []
        self.calls = NestedCalls(self.queued.append, Registry(), RemoteVariables(lambda _: True))
        told = runtime_pb2.AnnounceRuntimeResponse(capabilities=capabilities, max_message_bytes=limit)
        told.available_contracts.add(name="other", version="1.0.0")
        self.calls.announced(told)
        self.parent = Invocation("outer", b"{}", "c-1", tag=77, deadline=float("inf"))
        self.context = ToolContext(self.parent, nested=self.calls.of)

    @property
    def session(self) -> Session:
        return self.context.session

    def frame(self) -> runtime_pb2.AttachRequest:
        """What leaves with the next frame."""
        frame = runtime_pb2.AttachRequest()
        for item in self.queued:
            if isinstance(item, CallOut):
                self.calls.add(frame, item)
            else:
                frame.MergeFrom(item)
        self.queued.clear()
        return frame


async def started(session: Session, **arguments: Any) -> asyncio.Task[ToolResult]:
    """A call that waits for its answer."""
    task = asyncio.create_task(session.call("other", **arguments))
    await asyncio.sleep(0)
    return task


def code_of(result: ToolResult) -> tuple[str | None, str | None]:
    assert result.error is not None
    return result.error.type, result.error.ran


async def test_a_call_leaves_with_the_tag_of_its_parent_and_the_time_of_its_contract() -> None:
    connection = Connection(*HOST)
    waiting = await started(connection.session, n=1)

    (call,) = connection.frame().nested_calls
    assert (call.parent_tag, call.remaining_ms, call.call.name, call.call.args) == (77, 0, "other", b'{"n":1}')

    answered = call_pb2.ToolResult(tag=call.tag)
    answered.result.status, answered.result.content = adm_pb2.RESULT_STATUS_SUCCESS, b"5"
    connection.calls.take(runtime_pb2.AttachResponse(nested_results=[answered]))
    assert (await waiting).content == 5


async def test_a_limit_that_somebody_asked_for_goes_with_it() -> None:
    connection = Connection(*HOST)
    waiting = await started(connection.session.options(timeout=2))

    (call,) = connection.frame().nested_calls

    assert 0 < call.remaining_ms <= 2000
    waiting.cancel()


async def test_a_call_that_is_cancelled_before_it_left_never_leaves() -> None:
    connection = Connection(*HOST)
    waiting = await started(connection.session)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert connection.frame() == runtime_pb2.AttachRequest()


async def test_the_host_hears_that_a_call_which_left_is_cancelled() -> None:
    connection = Connection(*HOST)
    waiting = await started(connection.session)
    (call,) = connection.frame().nested_calls

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting

    assert [cancel.tag for cancel in connection.frame().nested_cancels] == [call.tag]


async def test_when_the_connection_is_lost_each_call_ends_and_says_whether_it_left() -> None:
    connection = Connection(*HOST)
    sent = await started(connection.session)
    connection.frame()
    unsent = await started(connection.session)

    connection.calls.lost()

    assert code_of(await sent) == ("CONNECTION_FAILED", "unknown")
    assert code_of(await unsent) == ("CONNECTION_FAILED", "no")
    assert code_of(await connection.session.call("other")) == ("CONNECTION_FAILED", "no")


async def test_a_call_inside_of_a_cancelled_one_does_not_leave() -> None:
    connection = Connection(*HOST)
    connection.parent.cancelled = True

    assert code_of(await connection.session.call("other")) == ("CANCELLED", "no")
    assert connection.queued == []


async def test_arguments_beyond_the_limit_of_the_host_do_not_leave() -> None:
    connection = Connection(*HOST, limit=10)

    assert code_of(await connection.session.call("other", text="x" * 10)) == ("MESSAGE_TOO_LARGE", "no")
    assert connection.queued == []


async def test_a_host_of_an_older_release_is_refused_by_name_and_hears_nothing() -> None:
    connection = Connection()

    with pytest.raises(ConfigurationError) as refused:
        _ = connection.session

    assert (refused.value.code, refused.value.ran) == ("FEATURE_UNAVAILABLE", "no")
    assert refused.value.message == "'outer' calls other tools: it needs 'nested', which this host cannot do"
    assert connection.queued == []


async def test_a_host_that_cannot_stream_is_refused_by_name_where_the_reading_begins() -> None:
    connection = Connection(Capability.NESTED)

    with pytest.raises(AltarError) as refused:
        async for _ in connection.session.stream("other"):
            pass

    assert refused.value.code == "FEATURE_UNAVAILABLE"
    assert "'streaming'" in refused.value.message
    assert connection.queued == []


async def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    connection = Connection(*HOST)

    connection.calls.take(runtime_pb2.AttachResponse(nested_results=[call_pb2.ToolResult(tag=9)]))


async def test_the_session_knows_the_names_of_the_tools_of_its_host() -> None:
    assert Connection(*HOST).session.tools == ["other"]


def test_a_runtime_knows_of_the_caller_its_id_and_its_depth_and_no_more() -> None:
    caller = caller_of(call_pb2.ToolCall(parent_call_id="c" * 200, depth=3))

    assert (caller.call_id, caller.depth, caller.name) == ("c" * 128, 2, "")
