"""A grid that is watched: traces over three processes, metrics, logs, health and probes, and its end under load."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from altar.later.session import Session
from altar.testing import LocalGrid, until
from tests.integration import observe_tools
from tests.integration.auditing import stop_and_audit
from tests.integration.collecting import Collector, SpanSent, collecting

pytestmark = pytest.mark.timeout(180)

SECRET = "swordfish-4711"


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.fixture(scope="module")
def grid(collector: Collector) -> Iterator[LocalGrid]:
    settings = {"host.operations": "127.0.0.1:0", "telemetry.otlp_endpoint": collector.endpoint}
    with LocalGrid([observe_tools.__file__], runtimes=1, settings=settings) as running:
        yield running
        stop_and_audit(running)


def watched(grid: LocalGrid, collector: Collector, *, sample: float = 1.0) -> Session:
    """A session of this process whose calls are traced."""
    return grid.session(options={**grid.options, "otlp_endpoint": collector.endpoint, "trace_sample": sample})


def page(grid: LocalGrid, path: str, **headers: str) -> str:
    """What the operations endpoint of the host answers."""
    assert grid.host is not None
    request = urllib.request.Request(grid.host.announced[0]["operations"] + path, headers=headers)
    with urllib.request.urlopen(request) as answer:
        return str(answer.read().decode())


def samples(grid: LocalGrid) -> list[Sample]:
    """The figures that a Prometheus server would read now."""
    text = page(grid, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    return [sample for family in text_string_to_metric_families(text) for sample in family.samples]


def value(found: list[Sample], name: str, **labels: str) -> float:
    """The value of the one sample of that name and those labels; 0 when there is none."""
    return sum(sample.value for sample in found if sample.name == name and sample.labels == labels)


def lines(grid: LocalGrid) -> list[dict[str, Any]]:
    """Every line that host and runtimes have logged."""
    return [json.loads(line) for log in grid.logs() for line in log.splitlines()]


def spans_of(collector: Collector, call_id: str, count: int = 3) -> list[SpanSent]:
    """The spans of a call, from its client downwards, once they have all been sent."""
    until(lambda: len(collector.of_call(call_id)) >= count, what=f"{count} spans of {call_id}")
    order = {"altar-client": 0, "altar-host": 1, "altar-runtime": 2}
    return sorted(collector.of_call(call_id), key=lambda span: order[span.service])


# --------------------------------------------------------------------------------------------------------------- traces


def test_a_call_of_three_processes_is_one_trace(grid: LocalGrid, collector: Collector) -> None:
    environ = {
        "ALTAR_SOURCE": grid.source,
        "ALTAR_TELEMETRY_OTLP_ENDPOINT": collector.endpoint,
        **{f"ALTAR_TLS_{part.upper()}": str(path) for part, path in grid.options.items()},
    }
    result = json.loads(grid.altar("call", "plus", "a=1", "--json", environ=environ))

    client, host, runtime = spans_of(collector, result["call_id"])
    assert {client.trace} == {host.trace, runtime.trace}
    assert ("", client.span, host.span) == (client.parent, host.parent, runtime.parent)
    assert ["call_tool plus", "call_tool plus", "execute_tool plus"] == [one.name for one in (client, host, runtime)]
    assert ["CLIENT", "SERVER", "INTERNAL"] == [one.kind for one in (client, host, runtime)]
    assert client.instance.startswith("client-")
    assert ("host-1", "runtime-1") == (host.instance, runtime.instance)
    assert runtime.attributes["gen_ai.operation.name"] == "execute_tool"
    assert {"plus"} == {one.attributes["gen_ai.tool.name"] for one in (client, host, runtime)}
    assert ("runtime-1", "client-1", 1) == tuple(
        host.attributes[f"altar.{name}"] for name in ("runtime.id", "principal", "attempts")
    )
    assert len({one.attributes["altar.invocation.id"] for one in (client, host, runtime)}) == 1


async def test_a_failed_call_is_found_by_its_ids_in_logs_metrics_traces_and_the_audit_log(
    grid: LocalGrid, collector: Collector
) -> None:
    before = samples(grid)
    async with watched(grid, collector) as session:
        result = await session.call("leak", secret=SECRET)

    spans = await asyncio.to_thread(spans_of, collector, result.call_id)
    trace, invocation = spans[0].trace, spans[1].attributes["altar.invocation.id"]
    correlation = spans[1].attributes["altar.correlation.id"]
    assert {"DEPENDENCY_UNAVAILABLE"} == {span.failed for span in spans}
    assert {"DEPENDENCY_UNAVAILABLE"} == {span.attributes["error.type"] for span in spans}
    assert {"yes"} == {span.attributes["altar.ran"] for span in spans}

    (line,) = (line for line in lines(grid) if line.get("trace") == trace)
    assert {
        "level": "warning",
        "log": "call failed",
        "role": "runtime",
        "name": "runtime-1",
        "tool": "leak",
        "call": result.call_id,
        "invocation": invocation,
        "correlation": correlation,
        "tenant": "default",
        "code": "DEPENDENCY_UNAVAILABLE",
    }.items() <= line.items()

    after = samples(grid)
    labels = {"tenant": "default", "tool": "leak", "code": "DEPENDENCY_UNAVAILABLE"}
    counted = value(after, "altar_calls_total", **labels) - value(before, "altar_calls_total", **labels)
    assert counted == 1
    exemplars = {sample.exemplar.labels["trace_id"] for sample in after if sample.exemplar is not None}
    assert trace in exemplars

    entries = [entry for entry in grid.entries() if entry.get("invocation") == invocation]
    intent, outcome = (next(entry for entry in entries if entry["kind"] == kind) for kind in ("intent", "outcome"))
    assert ("DEPENDENCY_UNAVAILABLE", correlation) == (outcome["code"], intent["correlation"])


async def test_arguments_results_and_messages_of_errors_are_in_no_span_no_figure_and_no_line_of_the_host(
    grid: LocalGrid, collector: Collector
) -> None:
    assert grid.host is not None
    async with watched(grid, collector) as session:
        failed, given = await session.call("leak", secret=SECRET), await session.call("give_back", secret=SECRET)

    assert given.unwrap() == SECRET
    for result in (failed, given):
        await asyncio.to_thread(spans_of, collector, result.call_id)
    assert not [sent for sent in collector.raw if SECRET.encode() in sent]
    assert SECRET not in page(grid, "/metrics") + page(grid, "/status")
    assert SECRET not in grid.host.log


async def test_a_call_that_is_not_sampled_has_no_spans_and_its_log_lines_have_a_trace_all_the_same(
    grid: LocalGrid, collector: Collector
) -> None:
    async with watched(grid, collector, sample=0.0) as session:
        quiet = await session.call("leak", secret=SECRET)
    async with watched(grid, collector) as session:
        loud = await session.call("plus", a=1)

    await asyncio.to_thread(spans_of, collector, loud.call_id)
    assert [] == collector.of_call(quiet.call_id)
    (line,) = (line for line in lines(grid) if line.get("call") == quiet.call_id)
    assert len(line["trace"]) == 32


@pytest.mark.parametrize("tool", ["span_here", "span_here_async"])
async def test_the_span_of_a_call_stands_between_those_of_the_callers_program_and_of_the_function(
    grid: LocalGrid, collector: Collector, tool: str
) -> None:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    mine = TracerProvider().get_tracer("mine")
    async with watched(grid, collector, sample=0.0) as session:
        with mine.start_as_current_span("agent") as agent:
            result = await session.call(tool)

    client, _, runtime = await asyncio.to_thread(spans_of, collector, result.call_id)
    context = agent.get_span_context()
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (client.trace, client.parent)
    assert f"{runtime.trace}-{runtime.span}" == result.unwrap()
    assert not trace.get_current_span().get_span_context().is_valid


async def test_a_call_that_a_tool_makes_is_below_the_span_of_that_tool(grid: LocalGrid, collector: Collector) -> None:
    async with watched(grid, collector) as session:
        result = await session.call("around")

    *_, outer = await asyncio.to_thread(spans_of, collector, result.call_id)
    host, inner = await asyncio.to_thread(spans_of, collector, result.unwrap(), 2)
    assert ("call_tool plus", outer.span, outer.trace) == (host.name, host.parent, host.trace)
    assert ("execute_tool plus", host.span, outer.trace) == (inner.name, inner.parent, inner.trace)


# ------------------------------------------------------------------------------------------------- metrics and logs


async def test_calls_are_counted_by_tool_and_code_and_a_name_that_nobody_declared_is_no_label(grid: LocalGrid) -> None:
    before = samples(grid)
    async with grid.session() as session:
        for _ in range(3):
            await session.call("plus", a=1)
        await session.call("plus", a="x")
    from tests.integration import raw

    for name in ("guessed_1", "guessed_2"):
        await asyncio.to_thread(raw.unary, grid, raw.tool_call(name, {}))

    after = samples(grid)

    def more(name: str, **labels: str) -> float:
        return value(after, name, **labels) - value(before, name, **labels)

    assert more("altar_calls_total", tenant="default", tool="plus", code="SUCCESS") == 3
    assert more("altar_calls_total", tenant="default", tool="plus", code="INVALID_TOOL_ARGS") == 1
    assert more("altar_calls_total", tenant="default", tool="other", code="UNSUPPORTED_TOOL") == 2
    assert more("altar_call_seconds_count", tenant="default", tool="plus") == 4
    assert more("altar_call_seconds_bucket", tenant="default", tool="plus", le="+Inf") == 4
    assert more("altar_ledger_entries_total") >= 6
    assert more("altar_ledger_store_seconds_count") >= 1
    assert "guessed" not in page(grid, "/metrics")
    assert value(after, "altar_ready") == 1
    assert value(after, "altar_runtime_credits", runtime="runtime-1") == 64
    assert value(after, "process_resident_memory_bytes") > 0


def test_every_line_of_host_and_runtime_is_json_and_says_who_wrote_it(grid: LocalGrid) -> None:
    written = lines(grid)

    assert {"host", "runtime"} >= {line["role"] for line in written}
    for line in written:
        assert {"time", "level", "log", "logger", "pid", "role", "name"} <= set(line)


def test_the_status_says_what_the_host_is_doing(grid: LocalGrid) -> None:
    status = json.loads(page(grid, "/status"))

    assert ("host-1", "serving", ["runtime-1"]) == (
        status["host"],
        status["state"],
        [runtime["runtime"] for runtime in status["runtimes"]],
    )
    assert page(grid, "/healthz") == "alive\n"
    assert page(grid, "/readyz") == "serving\n"
