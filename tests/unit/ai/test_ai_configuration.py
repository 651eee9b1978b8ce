"""The settings ``[ai]``, each read from ``altar.toml`` by a real edge: what changes when it does."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import dspy
import pytest

import altar
from altar import ai
from altar.adm.errors import ConfigurationError, ValidationError
from altar.ai import configuration, tool_from_module
from altar.settings import Settings, use_language_model
from altar.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("altar_registry")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with nothing in it, no configuration, and the one that was there put back."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in [name for name in os.environ if name.startswith("ALTAR_")]:
        monkeypatch.delenv(name)
    yield tmp_path
    held.put(settled=settled, said=said)


def settings(text: str) -> None:
    """What stands in ``altar.toml`` under ``[ai]``, read by the edge."""
    Path("altar.toml").write_text(f"[ai]\n{text}\n")
    with altar.session(source="later:"):
        pass


# ------------------------------------------------------------------------------------------- who says what it is


def test_a_session_takes_what_the_file_says_and_another_file_takes_its_place() -> None:
    settings("pipeline_timeout = 7\ndefault_framework = 'dspy'")
    first = ai.configured()
    settings("result_validation = false")

    assert (7, "dspy", True) == (first.pipeline_timeout, first.default_framework, first.result_validation)
    assert (300, "auto", False) == (
        ai.configured().pipeline_timeout,
        ai.configured().default_framework,
        ai.configured().result_validation,
    )


def test_a_runtime_takes_what_the_file_says_before_it_loads_its_tools() -> None:
    Path("altar.toml").write_text("[ai]\npipeline_timeout = 7\n")

    use_language_model(Settings.load().ai)

    assert 7 == ai.configured().pipeline_timeout


def test_the_word_of_the_program_counts_more_than_the_file() -> None:
    ai.configure(pipeline_timeout=3)
    settings("pipeline_timeout = 7\ndefault_framework = 'dspy'")

    assert (3, "dspy") == (ai.configured().pipeline_timeout, ai.configured().default_framework)


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"pipeline_timout": 3}, "pipeline_timeout"),
        ({"default_framework": "langchain"}, "'pydantic_ai'"),
        ({"pipeline_timeout": 0}, "above zero"),
        ({"pipeline_timeout": True}, "number of seconds"),
        ({"result_validation": "no"}, "True or False"),
        ({"default_optimizer": ""}, "name of an optimizer"),
        ({"compiled_programs": "x"}, "Path"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_has_changed(changes: dict[str, Any], word: str) -> None:
    before = ai.configured()

    with pytest.raises(ConfigurationError) as refused:
        ai.configure(auto_register_modules=True, **changes)

    assert word in str(refused.value.hint)
    assert before is ai.configured()


# ------------------------------------------------------------------------------------ answers that do not fit

VERDICT = dspy.Signature("text -> verdict: Literal['good', 'bad'], points: int", custom_types={"Literal": Literal})
WRONG = {"verdict": "splendid", "points": 3}


def judged(answers: list[Any]) -> tuple[Any, ScriptedLM]:
    """The result of a tool, and the model that was asked."""
    lm = ScriptedLM(answers)
    tool = tool_from_module(dspy.Predict(VERDICT), name="judge", lm=lm.dspy())
    with altar.session([tool], source="later:") as session:
        return session.call("judge", text="fine"), lm


def test_retry_on_validation_error_decides_whether_a_model_is_asked_again() -> None:
    right = {"verdict": "good", "points": 3}
    settings("retry_on_validation_error = true")
    again, asked = judged([WRONG, WRONG, right])
    settings("retry_on_validation_error = false")
    once, asked_once = judged([WRONG, right, right])

    assert right == again.unwrap()
    assert "could not be read" in asked.requests[-1].system
    assert "LM_BAD_ANSWER" == once.error.type
    assert 1 == len(asked_once.requests)


def test_a_program_that_says_itself_how_often_it_asks_is_not_changed_by_that() -> None:
    settings("retry_on_validation_error = false")
    lm = ScriptedLM([WRONG, WRONG, {"verdict": "good", "points": 3}])

    with dspy.context(lm=lm.dspy(), adapter=ai.correcting(attempts=1)):
        assert "good" == dspy.Predict(VERDICT)(text="fine").verdict


class Forgiving(dspy.Module):
    """Judge a text, and make something of an answer that was not asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.judge = dspy.Predict(VERDICT)

    def forward(self, text: str) -> Any:
        found = self.judge(text=text)
        verdict = found.verdict if found.verdict in {"good", "bad"} else "good"
        return dspy.Prediction(verdict=verdict, points=found.points or 0)


@pytest.mark.parametrize("answer", [WRONG, {"verdict": "splendid"}])
def test_result_validation_decides_whether_a_program_sees_an_answer_that_does_not_fit(answer: Any) -> None:
    def asked() -> Any:
        tool = tool_from_module(Forgiving(), name="judge", signature=VERDICT, lm=ScriptedLM({"": answer}).dspy())
        with altar.session([tool], source="later:") as session:
            return session.call("judge", text="fine")

    settings("result_validation = true")
    refused = asked()
    settings("result_validation = false")
    seen = asked()

    assert "LM_BAD_ANSWER" == refused.error.type
    assert {"verdict": "good", "points": answer.get("points", 0)} == seen.unwrap()


def test_what_a_contract_promises_is_checked_also_without_result_validation() -> None:
    settings("result_validation = false")

    result, lm = judged([WRONG])

    assert "SCHEMA_VIOLATION" == result.error.type
    assert 1 == len(lm.requests)


@pytest.mark.parametrize("adapter", ["ChatAdapter", "JSONAdapter", "XMLAdapter"])
def test_what_fits_of_an_answer_has_its_type_and_the_rest_is_what_was_said(adapter: str) -> None:
    settings("result_validation = false")

    with dspy.context(lm=ScriptedLM({"": WRONG}).dspy(), adapter=ai.correcting(getattr(dspy, adapter)())):
        found = dspy.Predict(VERDICT)(text="fine")

    assert ("splendid", 3) == (found.verdict, found.points)


# --------------------------------------------------------------------------------------------------- compiling

TRAINSET = [dspy.Example(question=f"{n}+1", answer=str(n + 1)).with_inputs("question") for n in range(3)]


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


def counting() -> ScriptedLM:
    """Knows the sums of the examples."""

    def sums(request: Any) -> dict[str, str]:
        question = request.prompt.rpartition("[[ ## question ## ]]")[2].split()[0]
        return {"answer": str(sum(map(int, question.split("+"))))}

    return ScriptedLM(sums)


def compiled(lm: ScriptedLM, **options: Any) -> Any:
    given = {"trainset": TRAINSET, "metric": exact, "lm": lm.dspy(), **options}
    return ai.compilation(dspy.Predict("question -> answer"), **given)


def test_default_optimizer_is_the_one_that_compiles() -> None:
    settings("default_optimizer = 'LabeledFewShot'")
    asks_nobody = compiled(lm := counting())
    settings("default_optimizer = 'BootstrapFewShot'")
    asks = compiled(other := counting())

    assert ("LabeledFewShot", 0) == (asks_nobody.optimizer, len(lm.requests))
    assert ("BootstrapFewShot", 3) == (asks.optimizer, len(other.requests))


def test_a_default_optimizer_that_does_not_exist_is_told_with_the_nearest() -> None:
    settings("default_optimizer = 'BootstrapFewShots'")

    with pytest.raises(ValidationError, match=r"ai\.default_optimizer") as refused:
        compiled(counting())

    assert "did you mean 'BootstrapFewShot'?" == refused.value.hint


def test_cache_compiled_programs_decides_whether_the_second_compilation_asks_anybody() -> None:
    lm = counting()
    settings("cache_compiled_programs = true")
    first = compiled(lm)
    second = compiled(lm)
    after_two = len(lm.requests)
    settings("cache_compiled_programs = false")
    third = compiled(lm)

    assert (False, True, False) == (first.is_cached, second.is_cached, third.is_cached)
    assert (3, 6) == (after_two, len(lm.requests))
    assert ai.state_digest(first.program) == ai.state_digest(second.program) == ai.state_digest(third.program)


def test_compiled_programs_names_the_directory_and_only_its_owner_reads_what_is_in_it(here: Path) -> None:
    settings("compiled_programs = 'kept'")

    made = compiled(counting())

    (file,) = (here / "kept").iterdir()
    assert f"{made.key}.json" == file.name
    assert (0o600, 0o700) == (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777)


def test_distributed_optimization_makes_calls_of_the_requests_and_the_program_is_the_same() -> None:
    lm = counting()
    tool = ai.lm_tool(lm)
    calls: list[int] = []

    def both() -> tuple[Any, Any]:
        with altar.session([tool], source="later:") as session:
            own = counting()
            made = compiled(own, session=session, cache=False)
            return made, len(own.requests)

    settings("distributed_optimization = false")
    local, asked = both()
    calls.append(len(lm.requests))
    settings("distributed_optimization = true")
    spread, asked_then = both()
    calls.append(len(lm.requests))

    assert (3, 0) == (asked, asked_then)
    assert [0, 3] == calls
    assert ai.state_digest(local.program) == ai.state_digest(spread.program)


# -------------------------------------------------------------------------------------------- agents, pipelines


def test_default_framework_is_that_of_an_agent_that_names_none() -> None:
    writer = ai.agent(model=ScriptedLM({"": "Paris"}), tools=[])
    found = []
    for name in ("dspy", "pydantic_ai"):
        Path("altar.toml").write_text(f"[ai]\ndefault_framework = '{name}'\n")
        with altar.session(source="later:") as session:
            assert "Paris" == writer.run(session, "Which capital?").output
        found.append(writer.framework)

    assert ["dspy", "pydantic_ai"] == found
    assert "dspy" == ai.agent(model="scripted:x.json", tools=[], framework="dspy").framework


def test_pipeline_timeout_ends_a_pipeline_that_says_nothing_itself() -> None:
    from altar.ai.pipelines import pipeline
    from altar.ai.pipelines import tool as step

    @altar.tool
    async def wait_for_ever() -> dict[str, str]:
        """Wait."""
        await asyncio.Event().wait()
        return {}

    def run(**options: Any) -> Any:
        made = pipeline("waiting", [step(wait_for_ever)], **options)
        with altar.session([wait_for_ever], source="later:", timeout=20) as session:
            return made.run(session)

    settings("pipeline_timeout = 0.05")
    ended = run()
    settings("pipeline_timeout = 300")
    own = run(timeout=0.04)

    assert ["TIMEOUT", "TIMEOUT"] == [ended.error.type, own.error.type]
    assert ["wait_for_ever" in result.error.message for result in (ended, own)] == [True, True]


WAITING = """
import asyncio

import altar
from altar.ai.pipelines import pipeline, tool


@altar.tool
async def wait_until_the_end() -> str:
    'Wait.'
    await asyncio.Event().wait()
    return ""


waiting = pipeline("waiting", [tool(wait_until_the_end)])
"""


def test_pipeline_timeout_is_that_of_the_command_line_too(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from altar.cli.main import main

    (here / "waiting_app.py").write_text(WAITING)
    Path("altar.toml").write_text("[ai]\npipeline_timeout = 0.05\n")

    number = main(["pipeline", "run", "waiting_app.py:waiting", "--json"])
    sys.modules.pop("waiting_app")

    out = capsys.readouterr().out
    assert 0 != number
    assert "TIMEOUT" in out
    assert "wait_until_the_end" in out


# ----------------------------------------------------------------------------------------- programs of a module

MODULE = """
import dspy

from altar.ai import tool_from_module

classify = dspy.Predict("text -> label")
_hidden = dspy.Predict("text -> label")
made = dspy.Predict("question -> answer")
tool_from_module(made, name="asked_by_hand")


class Odd(dspy.Module):
    def forward(self, text):
        return text


odd = Odd()
"""


@pytest.mark.parametrize(("value", "names"), [("false", ["asked_by_hand"]), ("true", ["asked_by_hand", "classify"])])
def test_auto_register_modules_makes_tools_of_the_programs_of_a_module(
    value: str, names: list[str], here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from altar.cli.main import main

    name = f"programs_{value}"
    (here / f"{name}.py").write_text(MODULE)
    Path("altar.toml").write_text(f"[ai]\nauto_register_modules = {value}\n")

    assert 0 == main(["tools", f"{name}.py", "--json"])
    sys.modules.pop(name)

    said = capsys.readouterr()
    assert names == sorted(tool["name"] for tool in json.loads(said.out))
    assert ("'odd'" in said.err) is (value == "true")


def test_a_program_becomes_a_tool_once_and_belongs_to_its_module(here: Path) -> None:
    from altar.later.loading import load_module

    (here / "programs_here.py").write_text(MODULE)
    try:
        module = sys.modules[load_module("programs_here.py")]
        first, second = ai.register_modules(module), ai.register_modules(module)
    finally:
        sys.modules.pop("programs_here", None)

    assert ["classify"] == [tool.name for tool in first.tools]
    assert first.tools == second.tools
    assert "programs_here" == first.tools[0].function.__module__
    assert ["odd"] == [name for name, _ in first.refused]
