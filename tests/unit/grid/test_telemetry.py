"""Places in a trace, spans of each party, and what they never hold."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from altar._proto.altar.grid.v1 import call_pb2
from altar.adm.errors import ConfigurationError, ExecutionError
from altar.grid import wire
from altar.grid.telemetry import LONGEST_STATE, Role, Trace, Tracing, made_tracing, open_tracing, trace_of, tracing_in
from altar.later.invocation import Invocation, Outcome, call_facts

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Party:
    """One party of a grid, and the spans it has made."""

    def __init__(self, role: Role, *, sample: float = 1.0) -> None:
        self._kept = InMemorySpanExporter()
        self.tracing: Tracing = made_tracing(SimpleSpanProcessor(self._kept), role=role, name="one", sample=sample)

    @property
    def spans(self) -> Sequence[ReadableSpan]:
        return self._kept.get_finished_spans()

    def passed(self, call: Invocation, outcome: Outcome | None = None) -> Invocation:
        """Let a call pass."""
        self.tracing.begin(call)
        self.tracing.end(call, outcome or Outcome(b"1"))
        return call


def call(trace: Trace | None = None, **more: Any) -> Invocation:
    return Invocation("add", b'{"a":"secret"}', "c-1", trace=trace, **more)


# ------------------------------------------------------------------------------------------------- W3C Trace Context


def test_what_a_peer_said_is_read_and_said_again() -> None:
    trace = trace_of(PARENT, "vendor=1")

    assert trace is not None
    assert (True, "vendor=1", PARENT) == (trace.sampled, trace.state, trace.parent)


@pytest.mark.parametrize(
    "traceparent",
    [
        "",
        "00",
        PARENT.upper(),
        PARENT + "-more",
        PARENT[:-1],
        "ff" + PARENT[2:],
        "00-" + "0" * 32 + PARENT[35:],
        PARENT[:36] + "0" * 16 + "-01",
        PARENT.replace("0af", "xyz"),
        "01-" + PARENT[3:] + "-" + "x" * 100,
        PARENT + "\n",
    ],
)
def test_what_cannot_be_read_counts_as_not_said(traceparent: str) -> None:
    assert trace_of(traceparent) is None


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    trace = trace_of("01" + PARENT[2:] + "-more")

    assert trace is not None
    assert PARENT == trace.parent


@pytest.mark.parametrize("state", ["x" * (LONGEST_STATE + 1), "a=1\nb=2", "ü=1"])
def test_a_state_that_is_too_long_or_no_text_is_dropped(state: str) -> None:
    trace = trace_of(PARENT, state)

    assert trace is not None
    assert trace.state == ""


def test_the_place_of_a_call_travels_in_its_envelope_also_through_a_host_that_does_not_trace() -> None:
    message = call_pb2.ToolCall(remaining_ms=1000, traceparent=PARENT, tracestate="vendor=1")

    received = wire.invocation_of(message, now=0.0)
    wire.add_call(sent := call_pb2.ToolCall(), received, tag=1, now=0.0)

    assert (PARENT, "vendor=1") == (sent.traceparent, sent.tracestate)
    assert PARENT.split("-")[1] == call_facts(received)["trace"]


def test_a_call_that_nobody_traces_has_no_trace() -> None:
    received = wire.invocation_of(call_pb2.ToolCall(remaining_ms=1000), now=0.0)
    wire.add_call(sent := call_pb2.ToolCall(), received, tag=1, now=0.0)

    assert (None, "") == (received.trace, sent.traceparent)
    assert "trace" not in call_facts(received)


# ------------------------------------------------------------------------------------------------------------- spans


@pytest.mark.parametrize("role", ["client", "host", "runtime"])
def test_a_call_without_a_trace_begins_one_and_tells_its_span(role: Role) -> None:
    party = Party(role)

    made = party.passed(call())

    (span,) = party.spans
    assert span.parent is None
    assert span.context is not None
    assert f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-01" == made.trace.parent


def test_a_call_of_a_sampled_trace_is_below_the_span_it_came_from_whatever_the_share() -> None:
    party = Party("host", sample=0.0)

    made = party.passed(call(trace_of(PARENT, "vendor=1")))

    (span,) = party.spans
    assert span.parent is not None
    assert PARENT == f"00-{span.parent.trace_id:032x}-{span.parent.span_id:016x}-01"
    assert "vendor=1" == made.trace.state
    assert made.trace.parent != PARENT


def test_a_call_of_a_trace_that_is_not_sampled_passes_unchanged() -> None:
    party = Party("host")
    unsampled = PARENT[:-1] + "0"

    made = party.passed(call(trace_of(unsampled)))

    assert unsampled == made.trace.parent
    assert () == party.spans


def test_no_trace_is_recorded_where_the_share_is_nothing_and_each_call_has_an_id_all_the_same() -> None:
    party = Party("client", sample=0.0)

    one, other = party.passed(call()), party.passed(call())

    assert () == party.spans
    assert one.trace.trace_id != other.trace.trace_id
    assert trace_of(one.trace.parent) is not None
    assert not one.trace.sampled


@pytest.mark.parametrize(
    ("role", "name", "operation"),
    [
        ("client", "call_tool add", None),
        ("host", "call_tool add", None),
        ("runtime", "execute_tool add", "execute_tool"),
    ],
)
def test_names_are_those_of_the_conventions(role: Role, name: str, operation: str | None) -> None:
    party = Party(role)
    party.passed(call(invocation_id="i-1", correlation_id="w-1", version="1.0.0"))

    (span,) = party.spans
    assert span.attributes is not None
    assert (name, operation) == (span.name, span.attributes.get("gen_ai.operation.name"))
    assert {
        "gen_ai.tool.name": "add",
        "gen_ai.tool.call.id": "c-1",
        "altar.invocation.id": "i-1",
        "altar.correlation.id": "w-1",
        "altar.tool.version": "1.0.0",
        "altar.tenant": "default",
    }.items() <= dict(span.attributes).items()


def test_a_failed_call_says_its_code_and_neither_its_message_nor_its_arguments() -> None:
    party = Party("host")
    error = ExecutionError("TIMEOUT", "'secret' took too long", hint="secret", detail="secret", ran="yes")

    party.passed(call(), Outcome(error=error))

    (span,) = party.spans
    assert span.attributes is not None
    assert ("ERROR", "TIMEOUT") == (span.status.status_code.name, span.status.description)
    assert ("TIMEOUT", "yes") == (span.attributes["error.type"], span.attributes["altar.ran"])
    assert "secret" not in span.to_json()


def test_a_span_ends_once_however_often_its_call_is_settled() -> None:
    party = Party("client")
    made = call()
    answers: list[Invocation] = []
    party.tracing.begin(made)
    settle = party.tracing.ending(lambda invocation, _: answers.append(invocation))

    settle(made, Outcome(b"1"))
    settle(made, Outcome(b"2"))

    assert 1 == len(party.spans)
    assert [made, made] == answers


def test_calls_of_a_frame_that_are_not_sampled_are_carried_out_together() -> None:
    party = Party("runtime", sample=0.0)
    frames: list[list[str]] = []
    calls = [call(), call(trace_of(PARENT)), call()]
    for number, each in enumerate(calls):
        each.call_id = str(number)

    party.tracing.each(calls, lambda frame: frames.append([one.call_id for one in frame]))

    assert [["1"], ["0", "2"]] == frames


# ------------------------------------------------------------------------------------------------------------ opening


def test_without_its_packages_tracing_is_off_and_the_log_says_how_to_have_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with caplog.at_level(logging.WARNING, "altar.grid"):
        made = open_tracing(role="host", name="without", endpoint="http://127.0.0.1:1", sample=1.0)

    assert made is None
    (line,) = caplog.records
    assert "pip install 'altar-ai[observe]'" == line.__dict__["hint"]


def test_an_endpoint_that_is_no_url_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="is no URL of a collector") as refused:
        open_tracing(role="host", name="x", endpoint="127.0.0.1:4317", sample=1.0)

    assert "INVALID_CONFIG" == refused.value.code


def test_a_source_without_an_endpoint_is_not_traced_and_one_with_a_tracing_of_its_own_takes_that() -> None:
    own = Party("client").tracing

    assert tracing_in({}) is None
    assert tracing_in({"otlp_endpoint": None, "trace_sample": 1.0}) is None
    assert own is tracing_in({"tracing": own, "otlp_endpoint": "http://127.0.0.1:1"})
