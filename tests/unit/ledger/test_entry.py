from __future__ import annotations

import string
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.adm.canonical import JsonValue, canonical
from altar.adm.errors import ValidationError
from altar.ledger import Event, Intent, Outcome
from altar.ledger.entry import MAX_ENTRY_BYTES, Start, Stop, entry_members
from tests.unit.ledger.samples import DIGEST, TIME_MS, intent, outcome

text = st.text(max_size=24)
times = st.integers(0, 2**53)


@given(st.lists(text, min_size=8, max_size=8), times)
def test_an_intent_is_canonical_json(values: list[str], time_ms: int) -> None:
    names = ("invocation", "call", "tool", "version", "principal", "tenant", "session", "correlation")
    members = dict(zip(names, values, strict=True))

    body = intent(1, **members).encode(time_ms)

    expected: dict[str, JsonValue] = {
        **members,
        "arguments": DIGEST,
        "contract": DIGEST,
        "kind": "intent",
        "time": time_ms,
        "v": 2,
    }
    assert canonical(expected) == body


@given(text, text, text, st.integers(0, 2**40), times, st.integers(0, 99))
def test_an_outcome_is_canonical_json(
    invocation: str, code: str, runtime: str, seq: int, time_ms: int, attempts: int
) -> None:
    body = Outcome(
        intent=seq,
        invocation=invocation,
        status="ERROR",
        code=code,
        ran="unknown",
        result="",
        runtime=runtime,
        attempts=attempts,
    ).encode(time_ms)

    expected: dict[str, JsonValue] = {
        "attempts": attempts,
        "code": code,
        "intent": seq,
        "invocation": invocation,
        "kind": "outcome",
        "ran": "unknown",
        "result": "",
        "runtime": runtime,
        "status": "ERROR",
        "time": time_ms,
        "v": 2,
    }
    assert canonical(expected) == body


@given(text, text, times)
def test_events_starts_and_stops_are_canonical_json(subject: str, note: str, time_ms: int) -> None:
    event = Event(event="session.opened", subject=subject, note=note).encode(time_ms)
    start = Start(epoch=3, host=subject, log=note, software="altar 0.1.0", sqlite=3_040_001).encode(time_ms)
    stop = Stop(epoch=3).encode(time_ms)

    common: dict[str, JsonValue] = {"time": time_ms, "v": 2}
    opened: dict[str, JsonValue] = {
        "kind": "event",
        "event": "session.opened",
        "subject": subject,
        "note": note,
    }
    assert canonical(common | opened) == event
    began: dict[str, JsonValue] = {
        "kind": "start",
        "epoch": 3,
        "host": subject,
        "log": note,
        "software": "altar 0.1.0",
        "sqlite": 3_040_001,
    }
    assert canonical(common | began) == start
    assert canonical(common | {"kind": "stop", "epoch": 3}) == stop


@given(st.text(st.sampled_from(string.printable + "\x00\x1f\u00e9\u2028\U0001f600"), max_size=400))
def test_whatever_is_accepted_fits_and_whatever_is_refused_does_not(principal: str) -> None:
    try:
        size = len(intent(1, principal=principal).encode(2**53))
    except ValidationError:
        whole = canonical({**orjson.loads(intent(1).encode(2**53)), "principal": principal})
        assert len(whole) > MAX_ENTRY_BYTES
    else:
        assert size <= MAX_ENTRY_BYTES


def test_the_worst_text_of_unchecked_length_still_fits() -> None:
    names = ("invocation", "call", "tool", "version", "principal", "tenant", "session", "correlation")
    shares = dict.fromkeys(names, "\x00" * 33) | {"principal": "\x00" * (270 - 7 * 33)}

    assert len(intent(1, **shares).encode(2**53)) <= MAX_ENTRY_BYTES


def test_short_text_that_grows_when_it_is_written_is_refused_too() -> None:
    with pytest.raises(ValidationError, match="does not fit in the log: 2161 bytes"):
        intent(1, principal="\x00" * 300)
    with pytest.raises(ValidationError, match="does not fit in the log"):
        Event(event="runtime.detached", subject="r", note="\x00" * 330)


def test_optional_members_are_written_in_order_and_only_when_they_say_something() -> None:
    plain = orjson.loads(intent(1).encode(TIME_MS))
    told = intent(1, parent="inv-0", route="weights:5/100", where="caller", key="once").encode(TIME_MS)

    expected = plain | {"parent": "inv-0", "route": "weights:5/100", "where": "caller", "key": "once"}
    assert {"parent", "route", "where", "key"}.isdisjoint(plain)
    assert canonical(expected) == told


def test_the_outcome_of_a_stream_says_what_was_passed_on() -> None:
    plain = orjson.loads(outcome(1, 5).encode(TIME_MS))
    partial = replace(outcome(1, 5), status="PARTIAL", code="TIMEOUT", chunks=3, bytes=41, reported="laptop-1:7")

    expected = plain | {"status": "PARTIAL", "code": "TIMEOUT", "chunks": 3, "bytes": 41, "reported": "laptop-1:7"}
    assert {"chunks", "bytes", "reported"}.isdisjoint(plain)
    assert canonical(expected) == partial.encode(TIME_MS)


@pytest.mark.parametrize(
    "changes",
    [
        {"chunks": 1},
        {"bytes": 1},
        {"chunks": 1, "bytes": -1},
        {"chunks": 0, "bytes": 2, "result": ""},
        {"status": "PARTIAL", "code": "TIMEOUT"},
        {"status": "PARTIAL", "code": "TIMEOUT", "chunks": 0, "bytes": 2},
        {"status": "ERROR", "code": "TIMEOUT", "chunks": 1, "bytes": 2},
        {"reported": "laptop-1"},
        {"reported": "laptop-1:0"},
    ],
)
def test_an_outcome_whose_members_contradict_each_other_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        replace(outcome(1, 5), **changes)


def test_a_parent_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValidationError, match="shorten 'parent'"):
        intent(1, parent="a" * 2000)


def test_an_overlong_name_is_refused_and_named() -> None:
    with pytest.raises(ValidationError) as caught:
        intent(1, principal="a" * 3000)

    assert "MALFORMED_REQUEST" == caught.value.code
    assert "The intent does not fit in the log: 3361 bytes where 2048 are the limit" == caught.value.message
    assert "shorten 'principal': it has 3000 characters" == caught.value.hint


def test_text_that_utf8_cannot_hold_is_refused() -> None:
    with pytest.raises(ValidationError, match="cannot be written as UTF-8"):
        intent(1, principal="\ud800")
    with pytest.raises(ValidationError, match="cannot be written as UTF-8"):
        Event(event="runtime.attached", subject="\ud800")


def test_what_is_no_digest_is_refused() -> None:
    with pytest.raises(ValidationError, match="The contract digest of an intent must be"):
        intent(1, contract="sha256:beef")
    with pytest.raises(ValidationError, match="The result digest of an outcome must be"):
        Outcome(intent=1, invocation="i", status="SUCCESS", code="", ran="yes", result="x", runtime="", attempts=1)


def test_an_outcome_needs_whole_numbers() -> None:
    with pytest.raises(ValidationError, match="whole numbers"):
        Outcome(intent=1, invocation="i", status="SUCCESS", code="", ran="yes", result="", runtime="", attempts=-1)
    with pytest.raises(ValidationError, match="whole numbers"):
        Outcome(
            intent=1,
            invocation="i",
            status="SUCCESS",
            code="",
            ran="yes",
            result="",
            runtime="",
            attempts=True,
        )


def test_what_is_not_text_is_refused() -> None:
    with pytest.raises(TypeError):
        intent(1, session=None)


def test_a_relative_position_is_replaced_when_the_outcome_is_written() -> None:
    assert 41 == entry_members(outcome(1, -1).encode(TIME_MS, intent=41))["intent"]


def test_members_are_read_from_objects_only() -> None:
    with pytest.raises(ValueError, match="an entry is a JSON object"):
        entry_members(b"[]")


def test_an_intent_is_a_value() -> None:
    assert intent(1) == intent(1)
    assert intent(1) != intent(1, parent="inv-0")
    assert Intent is type(intent(1))


def test_an_event_says_more_only_where_there_is_something_to_say() -> None:
    plain = orjson.loads(Event(event="app.order_shipped", subject="o-1", tenant="acme").encode(TIME_MS))
    said = Event(
        event="call.denied",
        subject="tools/x",
        principal="p-0",
        session="s-1",
        correlation="c-1",
        action="execute",
        resource="tools/x",
        outcome="DENIED",
        code="PERMISSION_DENIED",
        count=4000,
        data='{"reason":"no role"}',
    ).encode(TIME_MS)

    more = {
        "action": "execute",
        "code": "PERMISSION_DENIED",
        "correlation": "c-1",
        "count": 4000,
        "data": '{"reason":"no role"}',
        "event": "call.denied",
        "outcome": "DENIED",
        "principal": "p-0",
        "resource": "tools/x",
        "session": "s-1",
        "subject": "tools/x",
    }
    assert {"event", "kind", "note", "subject", "time", "v"} == plain.keys()
    assert canonical(plain | more) == said


@pytest.mark.parametrize(
    "name", ["", "app", "App.x", "app..x", ".x", "app.x-y", "app.1", "a" * 30 + "." + "b" * 34, "app.x\n"]
)
def test_a_name_that_is_none_of_an_event_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is no name of an event"):
        Event(event=name, subject="s")


@pytest.mark.parametrize(
    "data", ["[]", "1", "{", '{"b":1,"a":2}', '{"a": 1}', '{"a":"' + "x" * 1020 + '"}', '{"a":1,"a":1}', "\ud800"]
)
def test_data_that_are_no_canonical_object_of_a_kilobyte_are_refused(data: str) -> None:
    with pytest.raises(ValidationError, match="must be one JSON object in canonical form"):
        Event(event="app.x", subject="s", data=data)


def test_an_event_that_does_not_fit_or_contradicts_itself_is_refused() -> None:
    with pytest.raises(ValidationError, match="does not fit in the log"):
        Event(event="app.x", subject="s", resource="r" * 1000, data='{"a":"' + "x" * 1000 + '"}')
    with pytest.raises(ValidationError, match="cannot end as 'MAYBE'"):
        Event(event="app.x", subject="s", outcome=cast("Any", "MAYBE"))
    with pytest.raises(ValidationError, match="-1 times"):
        Event(event="app.x", subject="s", count=-1)


def test_a_commitment_may_stand_where_a_digest_stands() -> None:
    committed = "hmac-sha256:" + "5a" * 32

    body = orjson.loads(intent(1, arguments=committed, parent="inv-0").encode(TIME_MS))
    ended = orjson.loads(replace(outcome(1, 5), result=committed).encode(TIME_MS))

    assert (committed, committed) == (body["arguments"], ended["result"])
    with pytest.raises(ValidationError, match="The contract digest"):
        intent(1, contract=committed)
