"""Variables over the wire by hand: requests that no honest client or runtime would send, and what the host says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from altar._proto.altar.grid.v1 import host_pb2, runtime_pb2, variable_pb2
from altar.adm.canonical import canonical
from altar.grid.host.variables import MAX_WATCHES
from altar.later.variable_table import MAX_VARIABLES
from altar.testing import LocalGrid
from tests.integration import variable_tools
from tests.integration.auditing import stop_and_audit
from tests.integration.raw import HELLO, Stream, announce, client, open_session, runtime, tool_call

pytestmark = pytest.mark.timeout(180)

INTEGER = canonical({"type": "INTEGER"})


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([variable_tools.__file__], runtimes=0) as running:
        yield running
        stop_and_audit(running)


@pytest.fixture
def peer(grid: LocalGrid) -> Iterator[Stream]:
    with client(grid) as opened:
        yield opened


def send(peer: Stream, *requests: dict[str, Any], session: str) -> None:
    peer.send(host_pb2.ConnectRequest(variable_requests=[{"session_id": session, **each} for each in requests]))


def answers(peer: Stream, count: int) -> dict[int, variable_pb2.VariableAnswer]:
    found: dict[int, variable_pb2.VariableAnswer] = {}
    while len(found) < count:
        frame = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.variable_answers)
        found |= {answer.tag: answer for answer in frame.variable_answers}
    return found


def declared(name: str = "a", value: bytes = b"1", schema: bytes = INTEGER, *, tag: int = 1) -> dict[str, Any]:
    return {"tag": tag, "declare": {"name": name, "schema": schema, "value": value}}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({}, "PROTOCOL_VIOLATION"),
        ({"update": {"values": [{"name": "a", "value": b"1"}] * (MAX_VARIABLES + 1)}}, "PROTOCOL_VIOLATION"),
        ({"read": {"names": ["a"] * (MAX_VARIABLES + 1)}}, "PROTOCOL_VIOLATION"),
        ({"watch": {"names": ["a"] * (MAX_VARIABLES + 1)}}, "RESOURCE_EXHAUSTED"),
        ({"update": {"values": [{"name": "a"}]}}, "SERIALIZATION_ERROR"),
        ({"update": {"values": [{"name": "a", "value": b"{"}]}}, "SERIALIZATION_ERROR"),
        ({"update": {"values": [{"name": "x" * 5000, "value": b"1"}]}}, "UNKNOWN_VARIABLE"),
        ({"declare": {"name": "b", "schema": b"[]", "value": b"1"}}, "INVALID_DECLARATION"),
        ({"declare": {"name": "", "schema": INTEGER, "value": b"1"}}, "MALFORMED_REQUEST"),
        ({"declare": {"name": "b", "schema": b" " * 70_000, "value": b"1"}}, "MESSAGE_TOO_LARGE"),
        ({"delete": {"name": "a", "expected_version": 2**64 - 1}}, "VARIABLE_CONFLICT"),
        ({"session_id": "session-0", "read": {}}, "INVALID_SESSION"),
        ({"session_id": "", "call_tag": 1, "read": {}}, "INVALID_SESSION"),
    ],
    ids=lambda each: str(each)[:40],
)
def test_what_no_honest_client_asks_is_refused_and_the_stream_goes_on(
    peer: Stream, request_: dict[str, Any], code: str
) -> None:
    session = open_session(peer).session_id
    send(peer, declared(), session=session)
    answers(peer, 1)

    send(peer, {"tag": 2} | request_, {"tag": 3, "read": {}}, session=session)

    found = answers(peer, 2)
    assert (found[2].error.type, found[3].error.type) == (code, "")
    assert [(each.name, each.value, each.version) for each in found[3].variables] == [("a", b"1", 1)]


def test_a_frame_of_too_many_requests_ends_the_stream_with_a_reason(peer: Stream) -> None:
    session = open_session(peer).session_id

    send(peer, *[{"tag": number, "read": {}} for number in range(20_000)], session=session)

    closing = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.HasField("closing")).closing
    assert closing.type == "PROTOCOL_VIOLATION"


def test_changes_that_come_faster_than_the_disk_are_refused_or_kept_and_each_is_answered_once(peer: Stream) -> None:
    session = open_session(peer).session_id
    send(peer, declared(), session=session)
    answers(peer, 1)
    many = 5_000

    changes = [{"tag": 10 + number, "update": {"values": [{"name": "a", "value": b"7"}]}} for number in range(many)]
    send(peer, *changes, session=session)

    found = answers(peer, many)
    done = [answer for answer in found.values() if not answer.HasField("error")]
    assert {answer.error.type for answer in found.values()} == {"", "RESOURCE_EXHAUSTED"}
    assert [answer.variables[0].version for answer in done] == [2 + number for number in range(len(done))]


def test_a_stream_has_so_many_watches_and_no_more(peer: Stream) -> None:
    session = open_session(peer).session_id
    send(peer, *[{"tag": number, "watch": {}} for number in range(1, MAX_WATCHES + 2)], session=session)

    found = answers(peer, MAX_WATCHES + 1)

    assert found[MAX_WATCHES + 1].error.type == "RESOURCE_EXHAUSTED"
    assert all(found[number].complete for number in range(1, MAX_WATCHES + 1))
    send(peer, {"tag": 1, "unwatch": {}}, {"tag": 999, "watch": {}}, {"tag": 77, "unwatch": {}}, session=session)
    assert answers(peer, 1)[999].complete


def test_a_watch_is_told_as_a_whole_first_and_then_what_changes(peer: Stream) -> None:
    session = open_session(peer).session_id
    send(peer, declared("a"), declared("b", tag=2), {"tag": 3, "watch": {}}, session=session)

    first = answers(peer, 3)[3]
    send(peer, {"tag": 4, "delete": {"name": "a"}}, session=session)
    found = answers(peer, 2)

    assert (first.complete, {each.name for each in first.variables}) == (True, {"a", "b"})
    assert (found[3].complete, [(each.name, each.value, each.version) for each in found[3].variables]) == (
        False,
        [("a", b"", 2)],
    )


def test_a_session_taken_up_on_another_stream_is_the_same_one_and_outlives_the_first(grid: LocalGrid) -> None:
    with client(grid, "roamer") as first:
        session = open_session(first, "variable_count")
        send(first, declared(), session=session.session_id)
        answers(first, 1)
    with client(grid, "roamer") as second:
        wanted = host_pb2.CreateSession(tag=7, session_id=session.session_id, tools=["variable_misuse"], ttl_seconds=9)
        second.send(host_pb2.ConnectRequest(hello=HELLO, create_sessions=[wanted]))
        found = second.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_created).sessions_created[0]
        send(second, {"tag": 1, "read": {}}, session=session.session_id)

        assert (found.tag, found.session_id, found.ttl_seconds) == (7, session.session_id, session.ttl_seconds)
        assert [contract.ref.name for contract in found.contracts] == ["variable_count"]
        assert [each.name for each in answers(second, 1)[1].variables] == ["a"]


def test_a_runtime_has_the_variables_of_a_call_only_while_it_runs_it(grid: LocalGrid, peer: Stream) -> None:
    session = open_session(peer)
    send(peer, declared("n"), session=session.session_id)
    answers(peer, 1)
    ref = next(contract.ref for contract in session.contracts if contract.ref.name == "variable_count")
    with runtime(grid, "by-hand") as hand:
        announce(hand, "by-hand", [ref])
        call = tool_call("variable_count", {"name": "n"}, session=session.session_id)
        peer.send(host_pb2.ConnectRequest(calls=[call]))
        sent = hand.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls[0]

        def ask(tag: int, call_tag: int, **more: Any) -> Any:
            asked = variable_pb2.VariableRequest(tag=tag, call_tag=call_tag, read={}, **more)
            hand.send(runtime_pb2.AttachRequest(variable_requests=[asked]))
            frame = hand.receive(runtime_pb2.AttachResponse, lambda frame: frame.variable_answers)
            return frame.variable_answers[0]

        assert [each.name for each in ask(1, sent.tag).variables] == ["n"]
        for tag, other, more in (
            (2, sent.tag + 1, {}),
            (3, 0, {"session_id": session.session_id}),
        ):
            assert ask(tag, other, **more).error.type == "INVALID_SESSION"
        result = {"tag": sent.tag, "result": {"status": 1, "content": b"1"}}
        hand.send(runtime_pb2.AttachRequest(results=[result]))
        peer.receive(host_pb2.ConnectResponse, lambda frame: frame.results)
        assert ask(4, sent.tag).error.type == "INVALID_SESSION"


def test_a_runtime_may_not_go_on_watching_when_its_call_has_ended(grid: LocalGrid, peer: Stream) -> None:
    session = open_session(peer)
    send(peer, declared("n"), session=session.session_id)
    answers(peer, 1)
    ref = next(contract.ref for contract in session.contracts if contract.ref.name == "variable_count")
    with runtime(grid, "watching") as hand:
        announce(hand, "watching", [ref])
        peer.send(
            host_pb2.ConnectRequest(calls=[tool_call("variable_count", {"name": "n"}, session=session.session_id)])
        )
        sent = hand.receive(runtime_pb2.AttachResponse, lambda frame: frame.calls).calls[0]
        watch = variable_pb2.VariableRequest(tag=1, call_tag=sent.tag, watch={})
        hand.send(runtime_pb2.AttachRequest(variable_requests=[watch]))
        first = hand.receive(runtime_pb2.AttachResponse, lambda frame: frame.variable_answers).variable_answers[0]
        result = {"tag": sent.tag, "result": {"status": 1, "content": b"1"}}
        hand.send(runtime_pb2.AttachRequest(results=[result]))
        peer.receive(host_pb2.ConnectResponse, lambda frame: frame.results)

        send(peer, {"tag": 2, "update": {"values": [{"name": "n", "value": b"42"}]}}, session=session.session_id)
        last = hand.receive(runtime_pb2.AttachResponse, lambda frame: frame.variable_answers).variable_answers[0]

    assert [each.value for each in first.variables] == [b"1"]
    assert (last.tag, last.error.type, list(last.variables)) == (1, "INVALID_SESSION", [])


def test_watches_that_have_ended_with_their_session_make_room_for_others(peer: Stream) -> None:
    open_session(peer)
    for number in range(MAX_WATCHES + 1):
        peer.send(host_pb2.ConnectRequest(create_sessions=[{"tag": 2}]))
        created = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.sessions_created).sessions_created[0]
        session = created.session_id
        send(peer, {"tag": 1 + number, "watch": {}}, session=session)
        assert answers(peer, 1)[1 + number].complete
        peer.send(host_pb2.ConnectRequest(destroy_sessions=[{"tag": 1, "session_id": session}]))
        assert answers(peer, 1)[1 + number].error.type == "INVALID_SESSION"


def test_a_small_frame_that_asks_for_much_is_answered_without_holding_it_all_at_once(
    grid: LocalGrid, peer: Stream
) -> None:
    assert grid.host is not None
    session = open_session(peer).session_id
    text = canonical({"type": "STRING"})
    values = [declared(f"v{number}", canonical("x" * 250_000), text, tag=1 + number) for number in range(8)]
    for value in values:
        send(peer, value, session=session)
    answers(peer, len(values))
    host = psutil.Process(grid.host.pid)
    before = host.memory_info().rss

    many = 200
    send(peer, *[{"tag": 100 + number, "read": {}} for number in range(many)], session=session)
    most = before
    found = 0
    while found < many:
        frame = peer.receive(host_pb2.ConnectResponse, lambda frame: frame.variable_answers)
        found += len(frame.variable_answers)
        most = max(most, host.memory_info().rss)

    assert most - before < 100 * 1024 * 1024
