"""Compiling and evaluating with a language model on a grid: the same program, and each request in the record."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dspy
import pytest

from altar import ai
from altar.adm.errors import AltarError
from altar.ai import configuration
from altar.testing import LocalGrid, ScriptedLM
from tests.integration import lm_tool_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

TRAINSET = [dspy.Example(question=f"{n}+1", answer=str(n + 1)).with_inputs("question") for n in range(4)]


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([lm_tool_tools.__file__]) as running:
        yield running
        stop_and_audit(running)


@pytest.fixture(autouse=True)
def distributed() -> Iterator[None]:
    """Requests go through the session that is given."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={"distributed_optimization": True, "cache_compiled_programs": False})
    yield
    held.put(settled=settled, said=said)


def calls(grid: LocalGrid) -> int:
    """How many calls of the language model have an outcome in the log of the host."""
    entries = grid.entries()
    asked = {
        entry["invocation"] for entry in entries if entry["kind"] == "intent" and entry["tool"] == "language_model"
    }
    return sum(entry["kind"] == "outcome" and entry["invocation"] in asked for entry in entries)


@pytest.mark.parametrize(
    "options",
    [{}, {"optimizer": "BootstrapFewShotWithRandomSearch", "num_candidate_programs": 1, "num_threads": 4}],
    ids=["BootstrapFewShot", "random search"],
)
def test_a_program_compiled_over_a_grid_is_the_local_one_and_each_request_is_in_the_log(
    grid: LocalGrid, options: dict[str, Any]
) -> None:
    given = {"trainset": TRAINSET, "metric": exact, **options}
    local = ai.compilation(dspy.Predict("question -> answer"), lm=ScriptedLM(lm_tool_tools.sums).dspy(), **given)
    before = calls(grid)

    with grid.session() as session:
        spread = ai.compilation(dspy.Predict("question -> answer"), session=session, **given)

    assert ai.state_digest(local.program) == ai.state_digest(spread.program)
    assert local.requests == spread.requests == calls(grid) - before > 3


def test_an_evaluation_over_a_grid_has_the_score_of_the_local_one(grid: LocalGrid) -> None:
    program = dspy.Predict("question -> answer")
    wrong = [*TRAINSET, dspy.Example(question="2+2", answer="5").with_inputs("question")]
    before = calls(grid)

    with grid.session() as session:
        found = ai.evaluated(program, devset=wrong, metric=exact, session=session, num_threads=4)

    assert 80.0 == found.score
    assert [True, True, True, True, False] == [score for _, _, score in found.results]
    assert 5 == calls(grid) - before


def test_a_request_that_is_late_ends_the_compilation_and_gives_no_program(grid: LocalGrid) -> None:
    with grid.session() as session:
        short = session.options(timeout=1e-9)
        with pytest.raises(AltarError) as ended:
            ai.compiled(dspy.Predict("question -> answer"), trainset=TRAINSET, metric=exact, session=short)

    assert "TIMEOUT" == ended.value.code
