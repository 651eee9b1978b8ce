"""The pipelines of the specification in this process and on a grid: equal results, and equal records of their calls."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.canonical import digest
from altar.ai.pipelines import Pipeline, PipelineResult
from altar.cli.main import main
from altar.later.session import Options, Session
from altar.testing import LocalGrid, RecordingGate
from tests.integration import pipeline_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

CASES: dict[str, tuple[Pipeline, dict[str, Any]]] = {
    "research": (pipeline_tools.research, {"topic": "whales"}),
    "several sources at once": (pipeline_tools.multi_source, {"question": "How do whales find each other?"}),
    "support, technical": (pipeline_tools.customer_support, {"query": "My router has no light"}),
    "support, billing": (pipeline_tools.customer_support, {"query": "My invoice", "customer_id": "c-7"}),
    "support, general": (pipeline_tools.customer_support, {"query": "Hello"}),
    "a step that fails": (pipeline_tools.customer_support, {"query": "My invoice", "customer_id": "nobody"}),
    "inputs that do not fit": (pipeline_tools.research, {"topics": ["whales"]}),
}


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([pipeline_tools.__file__], runtimes=1) as running:
        yield running
        stop_and_audit(running)


@dataclass
class Seen:
    """What a run gave, without its ids and times, and what was recorded of its calls."""

    result: dict[str, Any] = field(default_factory=dict)
    recorded: Counter[tuple[Any, ...]] = field(default_factory=Counter)


def seen(result: PipelineResult, gate: RecordingGate) -> Seen:
    told = result.to_json()
    del told["run_id"]
    for step in told["steps"]:
        step.pop("seconds"), step.pop("call_id", None)
    return Seen(told, Counter(_recorded(gate)))


def _recorded(gate: RecordingGate) -> Iterator[tuple[Any, ...]]:
    for invocation, outcome in gate.outcomes:
        error = outcome.error
        yield (
            invocation.name,
            invocation.contract.declaration.version,
            digest(invocation.text),
            "" if error is None else error.code,
            "" if error is not None else digest(outcome.text),
        )


def run(session: Session, gate: RecordingGate, case: str) -> Seen:
    pipeline, inputs = CASES[case]

    async def awaited() -> PipelineResult:
        async with session as opened:
            return await pipeline.run(opened, inputs)

    return seen(asyncio.run(awaited()), gate)


@pytest.mark.parametrize("case", CASES)
def test_a_pipeline_gives_the_same_and_leaves_the_same_record_in_both_places(grid: LocalGrid, case: str) -> None:
    here_gate, there_gate = RecordingGate(), RecordingGate()

    here = run(Session(Options(tuple(_names()), gate=here_gate)), here_gate, case)
    before = len(grid.entries())
    there = run(grid.session(gate=there_gate), there_gate, case)

    assert here == there
    assert here.recorded == _of_host(grid, before)


def _names() -> list[str]:
    every = (pipeline_tools.research, pipeline_tools.multi_source, pipeline_tools.customer_support)
    return sorted({step.tool for pipeline in every for step in pipeline.tool_steps})


def _of_host(grid: LocalGrid, before: int) -> Counter[tuple[Any, ...]]:
    """What the log of the host has of the calls since: tool, version, digests, and how each ended."""
    entries = grid.entries()[before:]
    ends = {each["invocation"]: each for each in entries if each["kind"] == "outcome"}
    found: Counter[tuple[Any, ...]] = Counter()
    for each in entries:
        if each["kind"] == "intent":
            end = ends[each["invocation"]]
            found[each["tool"], each["version"], each["arguments"], end["code"], end["result"]] += 1
    return found


@pytest.mark.parametrize("case", ["research", "several sources at once", "support, billing", "a step that fails"])
def test_a_pipeline_as_a_tool_runs_on_the_grid_and_its_steps_are_calls_inside_of_it(grid: LocalGrid, case: str) -> None:
    pipeline, inputs = CASES[case]
    with altar.session([pipeline.name, *_names()], source="later:") as session:
        here = session.call(pipeline.name, inputs)
    before = len(grid.entries())
    with grid.session() as session:
        there = session.call(pipeline.name, inputs)

    assert here.content == there.content
    assert here.usage == there.usage
    assert (here.error and here.error.to_adm()) == (there.error and there.error.to_adm())
    intents = [each for each in grid.entries()[before:] if each["kind"] == "intent"]
    outer = next(each for each in intents if each["tool"] == pipeline.name)
    inner = [each for each in intents if each is not outer]
    assert inner
    assert {outer["invocation"]} == {each["parent"] for each in inner}


def test_the_synchronous_front_runs_the_same_pipeline_on_the_grid(grid: LocalGrid) -> None:
    told: list[str] = []
    with grid.session() as session:
        result = pipeline_tools.research.run(session, topic="whales", on_event=lambda event: told.append(event.kind))

    assert {"final_report": "Whales sing to find each other."} == result.unwrap()
    assert ["run_started", "step_started", "step_ended"] == told[:3]
    assert "run_ended" == told[-1]


def test_a_step_that_is_denied_in_the_middle_tells_what_ran_before(grid: LocalGrid) -> None:
    denied = altar.AuthorizationError("PERMISSION_DENIED", "No.", ran="no")
    here_gate, there_gate = (RecordingGate(refuse={"search_web": denied}) for _ in range(2))

    here = run(Session(Options(tuple(_names()), gate=here_gate)), here_gate, "research")
    there = run(grid.session(gate=there_gate), there_gate, "research")

    assert here == there
    assert "PERMISSION_DENIED" == here.result["error"]["type"]
    assert "Step 'search_web' of 'research': No." == here.result["error"]["message"]
    assert [("query_generator", "done"), ("search_web", "failed")] == [
        (step["path"], step["status"]) for step in here.result["steps"]
    ]


def test_a_pipeline_is_checked_with_the_tools_of_a_host(
    grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, path in grid.options.items():
        monkeypatch.setenv(f"ALTAR_TLS_{name.upper()}", str(path))
    monkeypatch.chdir(tmp_path)
    steps = "[{tool: search_web, arguments: {max_result: 3}, output: found}, {tool: serch_web, output: more}]"
    (tmp_path / "wrong.yaml").write_text(f"pipeline: wrong\nsteps: {steps}\n")
    (tmp_path / "right.yaml").write_text("pipeline: right\nsteps: [{tool: search_web, output: found}]\n")

    wrong = main(["pipeline", "check", "wrong.yaml", "--source", grid.source, "--json"])
    told = json.loads(capsys.readouterr().out)
    right = main(["pipeline", "check", "right.yaml", "--source", grid.source, "--json"])
    known = json.loads(capsys.readouterr().out)

    assert (1, 0) == (wrong, right)
    assert [("max_result", "max_results"), ("serch_web", "search_web")] == [
        (one["field"], one["nearest"]) for one in told["findings"]
    ]
    assert ([], ["queries"]) == (known["unknown_tools"], known["inputs"]["required"])
