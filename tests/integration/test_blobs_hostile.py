"""Blobs of peers that lie, that send too much, or that know nothing of blobs: each is answered by name."""

from __future__ import annotations

import base64
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from types import SimpleNamespace
from typing import Any

import grpc
import orjson
import pytest

import altar
from altar._proto.altar.adm.v1 import adm_pb2
from altar._proto.altar.grid.v1 import call_pb2, host_pb2, runtime_pb2
from altar.adm.blobs import MAX_BLOBS, Blob
from altar.adm.canonical import JsonValue, canonical, digest
from altar.grid import wire
from altar.later.registry import Registry
from altar.testing import LocalGrid, Row, until
from tests.integration import blob_tools, raw, test_runtime
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

LARGE = os.urandom(20_000)
REFERENCE = Blob("", LARGE).reference
MUCH = 3_500_000
"""Bytes that are within the limit of a message, and beyond it as base64 text."""


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([blob_tools.__file__], runtimes=1) as running:
        yield running
        stop_and_audit(running)


def with_blobs(call: call_pb2.ToolCall, *blobs: tuple[str, bytes]) -> call_pb2.ToolCall:
    for path, data in blobs:
        call.blobs.add(path=path, data=data)
    return call


def told(result: call_pb2.ToolResult) -> tuple[str, str, int]:
    error = result.result.error
    return error.type, error.field_path, error.ran


# ------------------------------------------------------------------------------------------------------ hostile clients


@pytest.mark.parametrize(
    ("arguments", "blobs", "expected"),
    [
        ({"data": REFERENCE}, [("/data", LARGE[::-1])], ("MALFORMED_REQUEST", "/data", adm_pb2.RAN_NO)),
        ({"data": REFERENCE}, [("/data", LARGE[1:])], ("MALFORMED_REQUEST", "/data", adm_pb2.RAN_NO)),
        ({"data": REFERENCE}, [], ("INVALID_TOOL_ARGS", "/data", adm_pb2.RAN_NO)),
        ({"data": "QQ=="}, [("/data", LARGE)], ("MALFORMED_REQUEST", "/data", adm_pb2.RAN_NO)),
        ({"data": REFERENCE}, [("/data", LARGE)] * 2, ("MALFORMED_REQUEST", "/data", adm_pb2.RAN_NO)),
        ({"data": REFERENCE}, [("/data", LARGE), ("/x", b"")], ("MALFORMED_REQUEST", "/x", adm_pb2.RAN_NO)),
        ({"data": REFERENCE}, [("data", LARGE)], ("MALFORMED_REQUEST", "data", adm_pb2.RAN_NO)),
        (REFERENCE, [("", LARGE)], ("INVALID_TOOL_ARGS", "", adm_pb2.RAN_NO)),
        (
            {"data": REFERENCE},
            [("/data", LARGE), *[("/x", b"")] * MAX_BLOBS],
            ("PROTOCOL_VIOLATION", "", adm_pb2.RAN_NO),
        ),
        ({"data": REFERENCE}, [("/data", bytes(5_000_000))], ("MESSAGE_TOO_LARGE", "", adm_pb2.RAN_NO)),
        ({"data": REFERENCE}, [("/" + "x" * 4_200_000, b"")], ("MESSAGE_TOO_LARGE", "", adm_pb2.RAN_NO)),
    ],
)
def test_what_a_client_says_wrongly_is_refused_and_the_stream_goes_on(
    grid: LocalGrid, arguments: JsonValue, blobs: Sequence[tuple[str, bytes]], expected: tuple[str, str, int]
) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer).session_id
        wrong = with_blobs(raw.tool_call("blob_same", arguments, tag=1, session=session), *blobs)
        right = with_blobs(raw.tool_call("blob_same", {"data": REFERENCE}, tag=2, session=session), ("/data", LARGE))
        peer.send(host_pb2.ConnectRequest(calls=[wrong, right]))

        refused, answered = raw.result_of(peer, 1), raw.result_of(peer, 2)

    assert told(refused) == expected
    assert orjson.loads(answered.result.content) == base64.b64encode(LARGE).decode()


# ------------------------------------------------------------------------------------------- clients that know no blobs


def test_a_client_that_takes_no_blobs_gets_text(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer).session_id
        text = base64.b64encode(LARGE).decode()
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("blob_same", {"data": text}, session=session)]))

        result = raw.result_of(peer)

    assert not result.blobs
    assert orjson.loads(result.result.content) == text


def test_a_client_that_takes_no_blobs_hears_by_name_what_it_cannot_be_given(grid: LocalGrid) -> None:
    with raw.client(grid) as peer:
        session = raw.open_session(peer).session_id
        peer.send(host_pb2.ConnectRequest(calls=[raw.tool_call("blob_made", {"size": MUCH}, session=session)]))

        result = raw.result_of(peer)

    assert told(result) == ("FEATURE_UNAVAILABLE", "", adm_pb2.RAN_YES)
    assert "'blobs'" in result.result.error.message
    outcomes = [entry for entry in grid.entries() if entry["kind"] == "outcome"]
    assert outcomes[-1]["status"] == "SUCCESS"  # what the tool did, and not what its caller could be told


def test_a_single_call_may_bring_blobs_and_is_answered_with_text(grid: LocalGrid) -> None:
    call = with_blobs(raw.tool_call("blob_same", {"data": REFERENCE}), ("/data", LARGE))

    result = raw.unary(grid, call)

    assert not result.blobs
    assert orjson.loads(result.result.content) == base64.b64encode(LARGE).decode()
    much = raw.unary(grid, raw.tool_call("blob_made", {"size": MUCH}))
    assert told(much) == ("FEATURE_UNAVAILABLE", "", adm_pb2.RAN_YES)


# --------------------------------------------------------------------------------------------------- hand-made runtimes


@contextmanager
def by_hand(tool: Any, *capabilities: str) -> Iterator[tuple[raw.Stream, LocalGrid]]:
    """A grid whose one runtime is made by hand, fulfils one tool, and can do what it says."""
    with LocalGrid([blob_tools.__file__], runtimes=0) as running, raw.runtime(running, "hand") as peer:
        ref = call_pb2.ContractRef(name=tool.name, version=tool.version, digest=wire.digest_to_wire(tool.digest))
        announce = runtime_pb2.AnnounceRuntime(
            runtime_id="hand", language="raw", protocol_versions=["1.0"], capabilities=capabilities, concurrency=4
        )
        fulfill = runtime_pb2.FulfillTools(contracts=[ref])
        peer.send(runtime_pb2.AttachRequest(announce=announce, fulfill=fulfill, credits=4))
        peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("fulfilled"))
        yield peer, running
        peer.send(runtime_pb2.AttachRequest(drain=runtime_pb2.Drain()))
        with suppress(grpc.RpcError, StopIteration):
            peer.receive(runtime_pb2.AttachResponse, lambda _: False)
        stop_and_audit(running)


def answered(
    peer: raw.Stream, grid: LocalGrid, tool: str, arguments: dict[str, Any], content: bytes, *blobs: tuple[str, bytes]
) -> tuple[call_pb2.ToolCall, altar.ToolResult]:
    """Let a client call a tool, and its runtime answer so; gives the call as the runtime got it, and the result."""
    results: list[altar.ToolResult] = []
    with grid.session(timeout=30) as session:
        calling = threading.Thread(target=lambda: results.append(session.call(tool, arguments)))
        calling.start()
        (sent,) = peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls
        result = call_pb2.ToolResult(tag=sent.tag)
        result.result.status, result.result.content = adm_pb2.RESULT_STATUS_SUCCESS, content
        for path, data in blobs:
            result.blobs.add(path=path, data=data)
        peer.send(runtime_pb2.AttachRequest(results=[result], credits=1))
        calling.join(30)
    return sent, results[0]


def test_what_a_runtime_says_wrongly_is_an_error_that_ran_and_the_host_serves_on() -> None:
    reference, here = canonical(REFERENCE), {"data": b"x"}
    with by_hand(blob_tools.blob_same, "blobs") as (peer, grid):
        wrong: list[tuple[str, bytes, list[tuple[str, bytes]], str | None]] = [
            ("altered", reference, [("", LARGE[::-1])], "PROTOCOL_VIOLATION"),
            ("missing", reference, [], "SCHEMA_VIOLATION"),
            ("surplus", b'"QQ=="', [("/more", LARGE)], "PROTOCOL_VIOLATION"),
            ("twice", reference, [("", LARGE), ("", LARGE)], "PROTOCOL_VIOLATION"),
            ("not canonical", b" " + reference, [("", LARGE)], "SERIALIZATION_ERROR"),
            ("too many", reference, [("", b"")] * (MAX_BLOBS + 1), "PROTOCOL_VIOLATION"),
            ("too large", reference, [("", bytes(5_000_000))], "MESSAGE_TOO_LARGE"),
            ("right", reference, [("", LARGE)], None),
        ]
        for what, content, blobs, code in wrong:
            _, result = answered(peer, grid, "blob_same", here, content, *blobs)
            if code is None:
                assert result.bytes_at() == LARGE
            else:
                assert result.error is not None, what
                assert (what, result.error.type, result.error.ran) == (what, code, "yes")


def test_a_blob_in_a_place_for_anything_is_text_to_everybody() -> None:
    with by_hand(blob_tools.blob_anything, "blobs") as (peer, grid):
        content = canonical([Blob("/0", LARGE).reference])

        sent, result = answered(peer, grid, "blob_anything", {"value": LARGE}, content, ("/0", LARGE))

    text = base64.b64encode(LARGE).decode()
    assert (sent.call.args, list(sent.blobs)) == (canonical({"value": text}), [])
    assert result.unwrap() == [text]
    assert result.blobs == {}


def test_a_runtime_that_takes_no_blobs_gets_text_and_never_a_call_that_is_too_large_so() -> None:
    with by_hand(blob_tools.blob_same) as (peer, grid):
        text = base64.b64encode(LARGE).decode()
        sent, result = answered(peer, grid, "blob_same", {"data": LARGE}, canonical(text))
        with grid.session(timeout=30) as session:
            error = session.call("blob_same", data=bytes(MUCH)).error

    assert (sent.call.args, list(sent.blobs)) == (canonical({"data": text}), [])
    assert result.bytes_at() == LARGE
    assert error is not None
    assert (error.type, error.ran) == ("FEATURE_UNAVAILABLE", "no")
    assert "'blobs'" in error.message
    assert "raw" in error.message


# ---------------------------------------------------------------------------------- a runtime whose host knows no blobs

dialled = test_runtime.dialled


@pytest.fixture
def tools() -> Any:
    registry = Registry()
    registry.register(blob_tools.blob_made)
    return SimpleNamespace(registry=registry)


async def test_a_host_that_takes_no_blobs_gets_text_or_hears_by_name_what_it_cannot_be_given(dialled: Any) -> None:
    async with dialled() as (_, _, streams):
        stream = await streams.get()
        calls = [raw.tool_call("blob_made", {"size": size}, tag=tag) for tag, size in ((1, 5000), (2, MUCH))]
        await stream.attach()
        await stream._context.write(runtime_pb2.AttachResponse(calls=calls))
        heard = await stream.until(lambda heard: len(heard.results) == 2)

    small, much = sorted(heard.results, key=lambda result: int(result.tag))
    assert not small.blobs
    assert orjson.loads(small.result.content) == base64.b64encode(bytes(5000)).decode()
    assert told(much) == ("FEATURE_UNAVAILABLE", "", adm_pb2.RAN_YES)
    stream.over.set()


# ------------------------------------------------------------------------------------------- where the caller is itself


@pytest.mark.altar(tools="tests.integration.blob_tools")
def test_a_call_that_runs_where_it_is_made_is_recorded_like_any_other(altar_row: Row) -> None:
    with altar_row.session(timeout=30) as session:
        result = session.call("blob_near", data=LARGE)

    assert result.bytes_at() == LARGE
    grid = altar_row.grid
    if grid is None:
        return

    def outcome() -> dict[str, Any] | None:
        entries = grid.entries()
        intents = [entry for entry in entries if entry["kind"] == "intent" and entry["call"] == result.call_id]
        assert {entry["arguments"] for entry in intents} == {digest_of({"data": REFERENCE})}
        ids = {entry["invocation"] for entry in intents}
        return next((entry for entry in entries if entry["kind"] == "outcome" and entry["invocation"] in ids), None)

    until(outcome, what="outcome of the call")
    recorded = outcome()
    assert recorded is not None
    assert recorded["result"] == digest_of(REFERENCE)
    assert ("reported" in recorded) == (altar_row.name == "governed")


def digest_of(value: JsonValue) -> str:
    return digest(canonical(value))
