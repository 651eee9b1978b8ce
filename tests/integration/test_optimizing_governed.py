"""Compiling with the language models of a governed grid: what is recorded, a quota, runtimes that are killed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

from altar import ai
from altar.adm.errors import AltarError
from altar.ai import configuration
from altar.ledger.reader import LogReader
from altar.testing import PATIENCE, ScriptedLM, until
from tests.integration.foundation_scene import FoundationGrid
from tests.unit.ai.optimizer_scene import BUDGETS, TRAINSET, exact, exact_in_words, pupil

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore:.*multivariate.*experimental:UserWarning"),  # optuna, as MIPROv2 uses it
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FoundationGrid]:
    modules = ("tests/integration/optimizing_tools.py",)
    with FoundationGrid(tmp_path_factory.mktemp("optimizing") / "grid", modules=modules, runtimes=2) as made:
        made.tenant("acme")
        yield made


@pytest.fixture(scope="module")
def token(scene: FoundationGrid) -> str:
    return scene.person("acme", "alice", "developer")


@pytest.fixture(autouse=True)
def kept(tmp_path: Path) -> Iterator[Path]:
    """Requests go through the session; what is compiled is kept in a directory of the test."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={"distributed_optimization": True, "compiled_programs": tmp_path / "kept"})
    yield tmp_path / "kept"
    held.put(settled=settled, said=said)


def compilation(name: str = "BootstrapFewShot", **options: Any) -> Any:
    metric = exact_in_words if name == "GEPA" else exact
    given = {"trainset": TRAINSET, "metric": metric, "optimizer": name, **BUDGETS.get(name, {}), **options}
    return ai.compilation(dspy.Predict("question -> answer"), **given)


def outcomes(scene: FoundationGrid, tenant: str) -> list[str]:
    """The codes of the calls of a tenant that have ended, "" for those that succeeded."""
    with LogReader.open(scene.directory / "data/ledger.db") as reader:
        entries = [json.loads(body) for _, body in reader.entries(tenant)]
    return [entry.get("code", "") for entry in entries if entry["kind"] == "outcome"]


@pytest.mark.parametrize("name", BUDGETS)
def test_each_optimizer_makes_the_same_program_over_a_grid_and_every_request_is_recorded(
    name: str, scene: FoundationGrid, token: str
) -> None:
    here = compilation(name, lm=ScriptedLM(pupil).dspy(), cache=False)
    before = len(outcomes(scene, "acme"))

    with scene.session(token) as session:
        there = compilation(name, session=session)
        again = compilation(name, session=session)

    assert ai.state_digest(here.program) == ai.state_digest(there.program) == ai.state_digest(again.program)
    assert here.requests == there.requests == len(outcomes(scene, "acme")) - before
    assert (True, 0) == (again.is_cached, again.requests)


def test_a_quota_that_is_spent_ends_a_compilation_and_leaves_nothing(scene: FoundationGrid, kept: Path) -> None:
    scene.tenant("small", quotas={"calls_per_minute": 5})

    with scene.session(scene.person("small", "sue", "developer")) as session, pytest.raises(AltarError) as ended:
        compilation("COPRO", session=session)

    assert "RATE_LIMIT_EXCEEDED" == ended.value.code
    assert [""] * 5 == outcomes(scene, "small")
    assert not kept.exists()


def test_a_request_whose_runtime_dies_is_asked_at_another_and_the_program_is_the_same(
    scene: FoundationGrid, token: str, tmp_path: Path
) -> None:
    held = tmp_path / "held"
    trainset = [dspy.Example(question=f"{n}+1 {held}", answer=str(n + 1)).with_inputs("question") for n in (0, 1)]
    here = compilation(trainset=trainset, lm=ScriptedLM(pupil).dspy(), cache=False)
    before = len(outcomes(scene, "acme"))
    ended: list[Any] = []

    def compile_there() -> None:
        with scene.session(token) as session:
            ended.append(compilation(trainset=trainset, session=session))

    working = threading.Thread(target=compile_there)
    working.start()
    until(held.exists, what="a request that is not answered")
    victim = next(number for number, runtime in scene.grid.runtimes.items() if runtime.pid == int(held.read_text()))
    scene.grid.kill_runtime(victim)
    working.join(PATIENCE)

    (there,) = ended
    assert ai.state_digest(here.program) == ai.state_digest(there.program)
    assert here.requests == there.requests == len(outcomes(scene, "acme")) - before
    assert "" == there.not_kept


def test_when_the_last_runtime_dies_the_compilation_ends_with_that_error_and_keeps_nothing(
    scene: FoundationGrid, token: str, tmp_path: Path, kept: Path
) -> None:
    held = tmp_path / "held"
    trainset = [dspy.Example(question=f"{n}+1 {held}", answer=str(n + 1)).with_inputs("question") for n in (0, 1)]
    ended: list[AltarError] = []
    if not scene.grid.runtimes:
        scene.grid.mend()

    def compile_there() -> None:
        with scene.grid.session(timeout=3, options={**scene.grid.options, "credential": token}) as session:
            try:
                compilation(trainset=trainset, session=session)
            except AltarError as error:
                ended.append(error)

    working = threading.Thread(target=compile_there)
    working.start()
    until(held.exists, what="a request that is not answered")
    for number in list(scene.grid.runtimes):
        scene.grid.kill_runtime(number)
    working.join(PATIENCE)

    (error,) = ended
    assert "TIMEOUT" == error.code
    assert "No runtime was free" in error.message
    assert not kept.exists()
