"""DSPy programs on a grid and in this process: the same bytes, the same numbers, and what the record has of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

import altar
from altar.adm.canonical import canonical, digest
from altar.testing import LocalGrid
from tests.integration import dspy_tools, usage_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([dspy_tools.__file__, usage_tools.__file__]) as running:
        yield running
        stop_and_audit(running)


CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "a chain of thought": ("dspy_answer", {"question": "What is the capital of France?"}),
    "types": ("dspy_letter", {"who": {"name": "Ada", "born": "1815-12-10"}, "mood": "sad"}),
    "a default": ("dspy_letter", {"who": {"name": "Ada", "born": "1815-12-10"}}),
    "an argument that is wrong": ("dspy_letter", {"who": {"name": "Ada", "born": "yesterday"}}),
    "an argument that is missing": ("dspy_answer", {}),
    "pieces": ("dspy_pieces", {"question": "What is the capital of France?"}),
    "costs": ("usage_costs", {"cents": 25}),
    "a failure that cost": ("usage_costs", {"cents": 75}),
    "costs of another process": ("usage_costs_apart", {"cents": 4}),
    "costs of a stream": ("usage_costs_on_the_way", {"count": 3}),
}


@pytest.mark.parametrize("case", CALLS)
def test_a_program_gives_the_same_bytes_and_numbers_in_both_places(grid: LocalGrid, case: str) -> None:
    name, arguments = CALLS[case]

    with altar.session([name], source="later:") as here, grid.session([name]) as there:
        local, remote = here.call(name, arguments), there.call(name, arguments)

    assert canonical(local.content) == canonical(remote.content)
    assert local.usage == remote.usage
    assert (local.error and local.error.type) == (remote.error and remote.error.type)


def test_what_a_call_took_reaches_the_caller_over_the_grid(grid: LocalGrid) -> None:
    with grid.session() as session:
        assert {"cost_usd": 0.75, "lm_calls": 1} == session.call("usage_costs", cents=25).usage
        assert {"cost_usd": 1.25, "lm_calls": 1} == session.call("usage_costs", cents=75).usage
        assert {"compute_ms": 4} == session.call("usage_costs_apart", cents=4).usage
        assert {"lm_calls": 3} == session.call("usage_costs_on_the_way", count=3).usage
        usage = session.call("dspy_answer", question="?").usage
    assert usage is not None
    assert 1 == usage["lm_calls"]


def test_a_stream_on_the_grid_ends_with_what_it_took(grid: LocalGrid) -> None:
    async def read() -> tuple[list[Any], Any]:
        async with grid.session() as session:
            stream = session.stream("dspy_pieces", question="?")
            values = [value async for value in stream]
            return values, stream.result

    values, result = asyncio.run(read())

    assert {"result": {"answer": "Paris"}} == values[-1]
    assert 1 == result.usage["lm_calls"]


def test_each_session_on_the_grid_has_a_program_of_its_own(grid: LocalGrid) -> None:
    with grid.session() as first, grid.session() as second:
        counts = [each.call("dspy_count", question="?").unwrap()["count"] for each in (first, first, second, first)]

    assert [1, 2, 1, 3] == counts


def test_the_intent_has_the_digest_of_the_variables_that_the_contract_binds(grid: LocalGrid) -> None:
    with grid.session() as session:
        session.variables.declare("another", str, value="not bound")
        calls = [session.call("dspy_answer", question="1")]
        session.variables.declare("dspy_warmth", float, value=0.25)
        calls += [session.call("dspy_answer", question="2"), session.call("usage_costs", cents=1)]
        session.variables.set("dspy_warmth", 7.0)
        calls.append(session.call("dspy_answer", question="3"))

    intents = {entry["call"]: entry for entry in grid.entries() if entry["kind"] == "intent"}
    recorded = [intents[call.call_id].get("variables") for call in calls]
    of = [digest(canonical(values)) for values in ({}, {"dspy_warmth": 0.25}, {"dspy_warmth": 7.0})]
    assert [of[0], of[1], None, of[2]] == recorded
    assert ["SUCCESS", "SUCCESS", "SUCCESS", "ERROR"] == [str(call.status) for call in calls]
    assert calls[-1].error is not None
    assert "SCHEMA_VIOLATION" == calls[-1].error.type
