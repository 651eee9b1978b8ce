"""Figures of a host: what is counted, under which names, and what Prometheus reads of it."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from altar.adm.errors import ConfigurationError, ExecutionError
from altar.grid.host.metrics import BOUNDS, MOST_TENANTS, MOST_TOOLS, OTHER, Meter, exposition, quantile
from altar.grid.telemetry import Trace
from altar.later.invocation import Invocation, Outcome

ROOT = Path(__file__).parents[3]
FAILED = Outcome(error=ExecutionError("TIMEOUT", "late"))


class Clock:
    """A clock that is set by hand."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def meter(clock: Clock) -> Meter:
    return Meter(clock=clock)


def call(meter: Meter, clock: Clock, name: str = "add", *, seconds: float = 0.0, **more: Any) -> Invocation:
    """A call that was found, and took so long."""
    made = Invocation(name, b"{}", "c-1", **more)
    made.contract = object()
    meter.begin([made])
    clock.now += seconds
    return made


def status(meter: Meter, **more: Any) -> dict[str, Any]:
    """What a host says of itself, with these figures in it."""
    told = {"host": "host-1", "version": "1.0", "epoch": 3, "state": "serving", "in_flight": 2, "sessions": 1}
    told |= {"commits": 7, "entries": 9, "runtimes": [], "queue": {"calls": 4, "limit": 8, "bytes": 16, "nested": 0}}
    return told | {"calls": meter.snapshot()} | more


def test_calls_are_counted_by_tool_and_code(meter: Meter, clock: Clock) -> None:
    meter.count(call(meter, clock), Outcome(b"1"))
    meter.count(call(meter, clock), Outcome(b"1"))
    meter.count(call(meter, clock), FAILED)

    assert {"SUCCESS": 2, "TIMEOUT": 1} == meter.snapshot()["tools"]["add"]["codes"]


@pytest.mark.parametrize(("seconds", "bucket"), [(0.0, 0), (0.0004, 0), (0.0006, 1), (59.0, 15), (61.0, 16)])
def test_a_call_counts_in_the_bucket_of_its_time(meter: Meter, clock: Clock, seconds: float, bucket: int) -> None:
    meter.count(call(meter, clock, seconds=seconds), Outcome(b"1"))

    figures = meter.snapshot()["tools"]["add"]
    assert [bucket] == [at for at, count in enumerate(figures["buckets"]) if count]
    assert figures["seconds"] == pytest.approx(seconds)


def test_a_name_without_a_contract_is_never_a_label(meter: Meter, clock: Clock) -> None:
    guessed = call(meter, clock, "guessed")
    guessed.contract = None
    meter.count(guessed, FAILED)

    assert [OTHER] == list(meter.snapshot()["tools"])


def test_there_are_no_more_labels_than_the_limit_however_many_tools_come(meter: Meter, clock: Clock) -> None:
    for number in range(MOST_TOOLS + 10):
        meter.count(call(meter, clock, f"tool_{number}"), Outcome(b"1"))

    tools = meter.snapshot()["tools"]
    assert MOST_TOOLS + 1 == len(tools)
    assert {"SUCCESS": 10} == tools[OTHER]["codes"]


def test_calls_are_told_by_tenant_up_to_a_limit_and_those_of_all_others_together(meter: Meter, clock: Clock) -> None:
    for number in range(MOST_TENANTS + 3):
        meter.count(call(meter, clock, tenant=f"t{number:03}"), Outcome(b"1"))
        meter.count(call(meter, clock, tenant=f"t{number:03}"), FAILED)

    calls = meter.snapshot()
    assert MOST_TENANTS + 1 == len(calls["tenants"])
    assert {"SUCCESS": 1, "TIMEOUT": 1} == calls["tenants"]["t000"]["add"]["codes"]
    assert {"SUCCESS": 3, "TIMEOUT": 3} == calls["tenants"][OTHER]["add"]["codes"]
    assert {"SUCCESS": MOST_TENANTS + 3, "TIMEOUT": MOST_TENANTS + 3} == calls["tools"]["add"]["codes"]
    assert 2 * (MOST_TENANTS + 3) == sum(calls["tools"]["add"]["buckets"])


def test_the_tenants_with_most_sessions_are_told_by_name_and_no_session_is_left_out(meter: Meter) -> None:
    sessions = {f"t{number:03}": 1 for number in range(MOST_TENANTS + 1)} | {"zz": 7}

    text = exposition(status(meter, sessions_of=sessions), process=False).text.decode()
    told = re.findall(r'^altar_sessions_of_tenant{tenant="(.*)"} (.*)$', text, re.MULTILINE)

    assert MOST_TENANTS + 1 == len(told)
    assert ("zz", "7.0") in told
    assert (OTHER, "2.0") in told


def test_approvals_and_break_glasses_are_told_by_tenant_and_beyond_so_many_together(meter: Meter) -> None:
    many = {f"t{number:03}": 1 for number in range(MOST_TENANTS + 2)}
    figures = {"approvals_pending": many, "break_glass_open": {"acme": 1}, "break_glass_calls": {"acme": 3}}

    text = exposition(status(meter, governance=figures), process=False).text.decode()
    without = exposition(status(meter), process=False).text.decode()

    pending = re.findall(r'^altar_approvals_pending{tenant="(.*)"} (.*)$', text, re.MULTILINE)
    assert MOST_TENANTS + 1 == len(pending)
    assert (OTHER, "2.0") in pending
    assert 'altar_break_glass_open{tenant="acme"} 1.0' in text
    assert 'altar_break_glass_calls_total{tenant="acme"} 3.0' in text
    assert "altar_approvals_pending" not in without


def test_a_call_that_was_never_begun_counts_with_no_time_at_all(meter: Meter) -> None:
    meter.count(Invocation("add", b"{}"), Outcome(b"1"))

    assert 0.0 == meter.snapshot()["tools"][OTHER]["seconds"]


def test_prometheus_reads_what_was_counted(meter: Meter, clock: Clock) -> None:
    meter.count(call(meter, clock, seconds=0.003), Outcome(b"1"))
    meter.count(call(meter, clock, seconds=2.0), FAILED)
    meter.stored(0.004)
    runtime = {"runtime": "py-1", "in_flight": 1, "credits": 5, "draining": True, "breakers": {"add@1.0.0": "open"}}

    reading = exposition(status(meter, runtimes=[runtime]), process=False)

    read = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reading.text.decode())
        for sample in family.samples
    }
    assert {
        ("altar_calls_total", ("code", "SUCCESS"), ("tenant", "default"), ("tool", "add")): 1,
        ("altar_calls_total", ("code", "TIMEOUT"), ("tenant", "default"), ("tool", "add")): 1,
        ("altar_call_seconds_bucket", ("le", "0.0025"), ("tenant", "default"), ("tool", "add")): 0,
        ("altar_call_seconds_bucket", ("le", "0.005"), ("tenant", "default"), ("tool", "add")): 1,
        ("altar_call_seconds_bucket", ("le", "+Inf"), ("tenant", "default"), ("tool", "add")): 2,
        ("altar_call_seconds_count", ("tenant", "default"), ("tool", "add")): 2,
        ("altar_ledger_store_seconds_count",): 1,
        ("altar_calls_in_flight",): 2,
        ("altar_ready",): 1,
        ("altar_calls_waiting",): 4,
        ("altar_calls_waiting_limit",): 8,
        ("altar_breaker_open", ("runtime", "py-1"), ("tool", "add@1.0.0")): 1,
        ("altar_runtimes",): 1,
        ("altar_runtime_credits", ("runtime", "py-1")): 5,
        ("altar_runtime_draining", ("runtime", "py-1")): 1,
    }.items() <= read.items()


def test_a_traced_call_is_an_example_of_its_bucket_in_openmetrics(meter: Meter, clock: Clock) -> None:
    traced = call(meter, clock, seconds=0.003, trace=Trace("ab" * 16, "cd" * 8, sampled=True))
    meter.count(traced, Outcome(b"1"))
    meter.count(call(meter, clock, seconds=0.003, trace=Trace("ef" * 16, "cd" * 8, sampled=False)), Outcome(b"1"))

    reading = exposition(status(meter), accept="application/openmetrics-text; version=1.0.0", process=False)

    assert reading.media_type.startswith("application/openmetrics-text")
    (example,) = (
        sample.exemplar
        for family in openmetrics(reading.text.decode())
        for sample in family.samples
        if sample.exemplar is not None
    )
    assert {"trace_id": "ab" * 16} == example.labels


def test_without_the_package_metrics_are_refused_in_words_that_install_it(
    meter: Meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(ConfigurationError) as refused:
        exposition(status(meter))

    assert "FEATURE_UNAVAILABLE" == refused.value.code
    assert "pip install 'altar-ai[observe]'" == refused.value.hint


@pytest.mark.parametrize(
    ("share", "buckets", "seconds"),
    [
        (0.5, {}, None),
        (0.5, {1: 2}, 0.00075),
        (0.99, {1: 98, 4: 2}, 0.0075),
        (1.0, {16: 1}, 60.0),
        (0.0, {2: 4}, 0.001),
    ],
)
def test_a_quantile_lies_inside_of_its_bucket(share: float, buckets: dict[int, int], seconds: float | None) -> None:
    counts = [buckets.get(at, 0) for at in range(len(BOUNDS) + 1)]

    assert seconds == pytest.approx(quantile(share, BOUNDS, counts))


def test_the_alert_rules_ask_for_metrics_that_there_are(meter: Meter, clock: Clock) -> None:
    meter.count(call(meter, clock), FAILED)
    meter.stored(0.1)
    runtime = {"runtime": "py-1", "in_flight": 1, "credits": 5, "draining": True, "breakers": {"add@1.0.0": "open"}}
    governance = {"approvals_pending": {"acme": 1}, "break_glass_open": {"acme": 1}, "break_glass_calls": {"acme": 3}}
    full = status(meter, runtimes=[runtime], clients=1, streams=0, governance=governance)
    told = {
        sample.name
        for family in text_string_to_metric_families(exposition(full).text.decode())
        for sample in family.samples
    }

    rules = (ROOT / "deploy" / "prometheus" / "altar.rules.yml").read_text()

    asked = set(re.findall(r"\baltar_\w+", rules))
    assert len(asked) > 4
    assert set() == asked - told
