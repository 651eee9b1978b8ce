"""What a runtime may ask for inside of a call, said by hand: only what it is running, and only as whoever called."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import grpc
import pytest

from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.adm.call import ToolResult
from altar.adm.canonical import parse
from altar.grid import wire
from altar.testing import LocalGrid
from tests.integration import nested_elsewhere, nested_leaves, nested_tools, raw
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    tools = [nested_tools.__file__, nested_leaves.__file__]
    with LocalGrid([*tools, nested_elsewhere.__file__], runtimes=0) as running:
        running.start_runtime(1, modules=tools)
        yield running
        stop_and_audit(running)


class Asked:
    """A call from a client, while a hand-made runtime carries it out."""

    def __init__(self, peer: raw.Stream, tag: int) -> None:
        self.peer = peer
        self.tag = tag

    def nested(self, *calls: call_pb2.ToolCall) -> list[call_pb2.ToolResult]:
        """Make calls inside of it, and wait for their results."""
        self.peer.send(runtime_pb2.AttachRequest(nested_calls=calls))
        results: list[call_pb2.ToolResult] = []
        while len(results) < len(calls):
            frame = self.peer.receive(runtime_pb2.AttachResponse, lambda each: each.nested_results)
            results.extend(frame.nested_results)
        return sorted(results, key=lambda each: each.tag)

    def one(self, call: call_pb2.ToolCall) -> call_pb2.ToolResult:
        """Make one call inside of it, and wait for its result."""
        return self.nested(call)[0]

    def end(self) -> None:
        """Answer it."""
        result = call_pb2.ToolResult(tag=self.tag)
        result.result.status = adm_pb2.RESULT_STATUS_SUCCESS
        result.result.content = b'"here"'
        self.peer.send(runtime_pb2.AttachRequest(results=[result], credits=1))


@contextmanager
def attached(grid: LocalGrid, name: str, *capabilities: str) -> Iterator[raw.Stream]:
    """A runtime by hand that fulfils `elsewhere`, and can do what it says."""
    with raw.runtime(grid, name) as peer:
        tool = nested_elsewhere.elsewhere
        ref = call_pb2.ContractRef(name=tool.name, version=tool.version, digest=wire.digest_to_wire(tool.digest))
        peer.send(
            runtime_pb2.AttachRequest(
                announce=runtime_pb2.AnnounceRuntime(
                    runtime_id=name,
                    language="raw",
                    sdk_version="0.1.0",
                    protocol_versions=["1.0"],
                    capabilities=capabilities,
                    concurrency=4,
                ),
                fulfill=runtime_pb2.FulfillTools(contracts=[ref]),
                credits=4,
            )
        )
        peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("fulfilled"))
        yield peer
        peer.send(runtime_pb2.AttachRequest(drain=runtime_pb2.Drain()))
        with suppress(grpc.RpcError, StopIteration):  # until the host has hung up, and sends it no call of another test
            peer.receive(runtime_pb2.AttachResponse, lambda _: False)


@contextmanager
def asked(grid: LocalGrid, name: str) -> Iterator[tuple[Asked, dict[str, ToolResult], Any]]:
    """A client calls `elsewhere` in a session, and a hand-made runtime of that name has got the call."""
    with attached(grid, name, "nested") as peer, grid.session() as session:
        results: dict[str, ToolResult] = {}

        def call() -> None:
            results["elsewhere"] = session.options(timeout=20).call("elsewhere")

        calling = threading.Thread(target=call)
        calling.start()
        (sent,) = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        it = Asked(peer, sent.tag)
        try:
            yield it, results, sent
        finally:
            it.end()
            calling.join(20)


def nested_call(tool: str, arguments: Any = None, *, tag: int = 1, parent: int, **more: Any) -> call_pb2.ToolCall:
    return raw.tool_call(tool, arguments or {}, tag=tag, parent_tag=parent, **more)


def code_of(result: call_pb2.ToolResult) -> str:
    return result.result.error.type


def test_a_nested_call_is_made_as_whoever_called_its_parent_whatever_it_says_of_itself(grid: LocalGrid) -> None:
    with asked(grid, "raw-identity") as (it, _, sent):
        call = nested_call("leaf", parent=it.tag, remaining_ms=3_600_000, correlation_id="mine", session="session-mine")
        call.depth, call.parent_call_id, call.invocation_id = 9, "mine", "mine"
        result = it.one(call)

    told: Any = parse(result.result.content)
    assert told["session"] == sent.session_id
    assert told["correlation"] == sent.correlation_id
    assert told["parent"] == sent.call.call_id
    assert told["left"] <= 20
    intents = {each["invocation"]: each for each in grid.entries() if each["kind"] == "intent"}
    child = intents[result.invocation_id]
    assert child["parent"] == sent.invocation_id
    assert child["principal"] == intents[sent.invocation_id]["principal"] == "client-1"


def test_a_call_inside_of_nothing_is_refused(grid: LocalGrid) -> None:
    with asked(grid, "raw-nothing") as (it, _, _sent):
        result = it.one(nested_call("leaf", parent=0))

    assert code_of(result) == "PERMISSION_DENIED"
    assert result.result.error.ran == adm_pb2.RAN_NO


def test_a_call_inside_of_a_call_that_another_runtime_runs_is_refused(grid: LocalGrid) -> None:
    with asked(grid, "raw-victim") as (victim, _, _sent), attached(grid, "raw-thief", "nested") as thief:
        result = Asked(thief, 0).one(nested_call("leaf", parent=victim.tag))

    assert code_of(result) == "INVALID_SESSION"


def test_a_call_inside_of_a_call_that_has_ended_is_refused(grid: LocalGrid) -> None:
    with asked(grid, "raw-late") as (it, _, _sent):
        it.end()
        result = it.one(nested_call("leaf", parent=it.tag))

    assert code_of(result) == "INVALID_SESSION"
    assert "has ended" in result.result.error.message


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"version": "9" * 200}, "MALFORMED_REQUEST"),
        ({"contract_digest": b"x" * 32}, "VERSION_MISMATCH"),
    ],
)
def test_a_nested_call_that_is_malformed_or_stale_is_refused_alone(
    grid: LocalGrid, change: dict[str, Any], code: str
) -> None:
    with asked(grid, "raw-malformed") as (it, _, _sent):
        refused, done = it.nested(
            nested_call("leaf", tag=1, parent=it.tag, **change), nested_call("leaf", tag=2, parent=it.tag)
        )

    assert code_of(refused) == code
    assert done.result.status == adm_pb2.RESULT_STATUS_SUCCESS


def test_a_tag_that_is_in_use_ends_the_stream(grid: LocalGrid) -> None:
    with attached(grid, "raw-twice", "nested") as peer, grid.session() as session:
        calling = threading.Thread(target=session.call, args=("elsewhere",))
        calling.start()
        (sent,) = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        twice = [nested_call("asks", {"tool": "leaf", "arguments": {}}, parent=sent.tag) for _ in range(2)]
        peer.send(runtime_pb2.AttachRequest(nested_calls=twice))
        closing = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("closing")).closing
        calling.join(20)

    assert closing.type == "PROTOCOL_VIOLATION"
    assert "Tag 1 of a nested call is in use" in closing.message


def test_nobody_has_more_nested_calls_in_flight_than_the_limit(grid: LocalGrid) -> None:
    with asked(grid, "raw-many") as (it, _, _sent):
        many = [nested_call("hold", tag=tag, parent=it.tag) for tag in range(1, 1026)]
        it.peer.send(runtime_pb2.AttachRequest(nested_calls=many))
        (refused,) = it.peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.nested_results).nested_results

    assert refused.tag == 1025
    assert code_of(refused) == "RESOURCE_EXHAUSTED"
    assert "1024 calls of other tools in flight" in refused.result.error.message


def test_a_call_that_needs_what_a_runtime_cannot_do_is_refused_by_name(grid: LocalGrid) -> None:
    with attached(grid, "raw-old", "deadline", "cancel", "drain"), grid.session() as session:
        told: Any = session.call("asks", tool="elsewhere", arguments={}).unwrap()

    assert told == {
        "code": "FEATURE_UNAVAILABLE",
        "message": "The call of 'elsewhere' needs 'nested', which a runtime of raw 0.1.0 cannot do",
        "ran": "no",
    }


@pytest.mark.parametrize("capabilities", [["x"] * 65, ["x" * 65]])
def test_a_runtime_that_announces_more_capabilities_than_there_may_be_is_sent_away(
    grid: LocalGrid, capabilities: list[str]
) -> None:
    with raw.runtime(grid, "raw-boasts") as peer:
        announce = runtime_pb2.AnnounceRuntime(
            runtime_id="raw-boasts", protocol_versions=["1.0"], capabilities=capabilities
        )
        peer.send(runtime_pb2.AttachRequest(announce=announce))
        closing = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("closing")).closing
        with pytest.raises((grpc.RpcError, StopIteration)):
            peer.receive(runtime_pb2.AttachResponse)

    assert closing.type == "PROTOCOL_VIOLATION"


def test_a_host_says_what_it_can_do(grid: LocalGrid) -> None:
    with raw.runtime(grid, "raw-listens") as peer:
        announce = runtime_pb2.AnnounceRuntime(runtime_id="raw-listens", protocol_versions=["1.0"])
        peer.send(runtime_pb2.AttachRequest(announce=announce))
        announced = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("announced")).announced

    assert {"nested", "variables"} <= set(announced.capabilities)
