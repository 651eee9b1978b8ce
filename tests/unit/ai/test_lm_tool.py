"""A language model as a tool, and a tool of a session as a language model: what crosses, what fails, what is kept."""

from __future__ import annotations

import asyncio
import functools
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

import altar
from altar import ai
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError, ValidationError
from altar.ai import compiled_programs, configuration
from altar.ai.fingerprints import Untold, told
from altar.testing import ChatFailure, ScriptedLM, ToolUse

pytestmark = [pytest.mark.usefixtures("altar_registry"), pytest.mark.filterwarnings("ignore:.*ToolCalls.*")]


@pytest.fixture(autouse=True)
def configured(tmp_path: Path) -> Iterator[None]:
    """A directory of compiled programs for each test."""
    held = configuration._HELD
    settled, said = held.settled, held.said
    held.put(settled={}, said={"compiled_programs": tmp_path / "kept", "distributed_optimization": True})
    yield
    held.put(settled=settled, said=said)


# ------------------------------------------------------------------------------------------------ what crosses


def test_an_answer_and_what_it_took_are_the_same_as_without_the_session() -> None:
    answers = {"": {"answer": "Paris"}}
    ask = dspy.Predict("question -> answer")
    with dspy.context(lm=ScriptedLM(answers).dspy(), track_usage=True):
        here = ask(question="capital of France?")
    lm = ScriptedLM(answers)

    with altar.session([ai.lm_tool(lm)], source="later:") as session:
        through = ai.session_lm(session, temperature=0.5, max_tokens=99)
        with dspy.context(lm=through, track_usage=True):
            there = ask(question="capital of France?")

    assert here.answer == there.answer == "Paris"
    assert list(here.get_lm_usage().values()) == list(there.get_lm_usage().values())
    assert (0.5, 99) == (lm.requests[0].temperature, lm.requests[0].max_tokens)


def test_the_result_says_what_the_model_took_so_that_a_budget_counts_it() -> None:
    tool = ai.lm_tool(ScriptedLM(["Good morning to you"]))

    with altar.session([tool], source="later:") as session:
        result = session.call("language_model", messages=[{"role": "user", "text": "Say good morning"}])

    assert "Good morning to you" == result.unwrap()["text"]
    assert result.usage is not None
    assert (3, 4, 1) == tuple(result.usage[name] for name in ("input_tokens", "output_tokens", "lm_calls"))


def test_tools_that_a_model_is_offered_and_asks_for_go_both_ways() -> None:
    lm = ScriptedLM([ToolUse("search", {"query": "tea"})])
    tools = [{"name": "search", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}}]

    with altar.session([ai.lm_tool(lm)], source="later:") as session:
        asked = {"messages": [{"role": "user", "text": "find tea"}], "tools": tools, "tool_choice": "required"}
        answer = session.call("language_model", asked).unwrap()

    assert [("search", {"query": "tea"})] == [(use["name"], use["arguments"]) for use in answer["tool_uses"]]
    assert ("search", "required") == (lm.requests[0].tools[0].name, lm.requests[0].tool_choice)


async def test_it_is_asked_from_a_coroutine_and_from_a_thread_of_an_asynchronous_session() -> None:
    ask = dspy.Predict("question -> answer")

    async with altar.session([ai.lm_tool(ScriptedLM({"": {"answer": "Paris"}}))], source="later:") as session:
        with dspy.context(lm=ai.session_lm(session)):
            awaited = await ask.acall(question="capital?")
            waited = await asyncio.to_thread(lambda: ask(question="capital?"))

    assert "Paris" == awaited.answer == waited.answer


# ------------------------------------------------------------------------------------------------- what fails


def test_a_failure_of_the_model_is_what_dspy_raises_for_it() -> None:
    lm = ScriptedLM([ChatFailure("rate_limit", retry_after=2)])

    with (
        altar.session([ai.lm_tool(lm)], source="later:") as session,
        dspy.context(lm=ai.session_lm(session)),
        pytest.raises(Exception, match="asked too often") as raised,
    ):
        dspy.Predict("question -> answer")(question="capital?")

    assert ("LMRateLimitError", 2) == (type(raised.value).__name__, getattr(raised.value, "retry_after", None))


def test_a_tool_that_is_no_language_model_is_refused() -> None:
    @altar.tool
    def echo(text: str) -> str:
        """Say it again."""
        return text

    with (
        altar.session([echo], source="later:") as session,
        pytest.raises(ConfigurationError, match="no language model"),
    ):
        ai.session_lm(session, "echo")


def test_a_role_that_does_not_exist_is_refused_before_anybody_is_asked() -> None:
    lm = ScriptedLM(["hello"])

    with altar.session([ai.lm_tool(lm)], source="later:") as session:
        result = session.call("language_model", messages=[{"role": "boss", "text": "hello"}])

    assert result.error is not None
    assert ("INVALID_TOOL_ARGS", []) == (result.error.type, lm.requests)


def test_a_program_whose_request_is_refused_fails_with_that_refusal() -> None:
    """The refusal is that of the call, and not that a model refused."""
    inner = ai.lm_tool(name="unreachable")  # there is no language model in this process

    with altar.session([inner], source="later:") as session:
        outer = ai.tool_from_module(
            dspy.Predict("question -> answer"), name="outer", lm=ai.session_lm(session, "unreachable")
        )
        with altar.session([outer], source="later:") as other:
            result = other.call("outer", question="capital?")

    assert result.error is not None
    assert "ENVIRONMENT_ERROR" == result.error.type
    assert "no language model where the tool runs" in result.error.message


# -------------------------------------------------------------------------------------------------- compiling

TRAINSET = [dspy.Example(question=f"{n}+1", answer=str(n + 1)).with_inputs("question") for n in range(3)]


def exact(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(example.answer == prediction.answer)


def sums(request: Any) -> dict[str, str]:
    question = request.prompt.rpartition("[[ ## question ## ]]")[2].split()[0]
    return {"answer": str(sum(map(int, question.split("+"))))}


def compiled(lm: Any, program: Any = None, **options: Any) -> Any:
    given = {"trainset": TRAINSET, "metric": exact, "lm": lm, **options}
    return ai.compilation(program or dspy.Predict("question -> answer"), **given)


def test_a_refused_request_ends_a_compilation_with_its_error_and_asks_nobody_again() -> None:
    """An optimizer takes a failed example for a bad one, and would make a program of nothing."""

    def denies(request: Any) -> Any:
        raise AuthorizationError("PERMISSION_DENIED", "You may not ask today")

    lm = ScriptedLM(denies)

    with (
        altar.session([ai.lm_tool(lm)], source="later:") as session,
        pytest.raises(AltarError, match="You may not ask today") as refused,
    ):
        compiled(None, session=session)

    assert ("PERMISSION_DENIED", 1) == (refused.value.code, len(lm.requests))
    assert [] == list(compiled_files())


async def test_compiling_in_the_loop_of_its_session_is_refused_and_in_a_thread_it_works() -> None:
    async with altar.session([ai.lm_tool(ScriptedLM(sums))], source="later:") as session:
        with pytest.raises(ConfigurationError) as refused:
            compiled(None, session=session)
        made = await asyncio.to_thread(compiled, None, session=session)

    assert "INCOMPATIBLE_MODE" == refused.value.code
    assert 3 == made.requests


def test_a_request_that_is_late_ends_a_compilation_too() -> None:
    with (
        altar.session([ai.lm_tool(ScriptedLM(sums))], source="later:") as session,
        pytest.raises(AltarError) as refused,
    ):
        compiled(None, session=session.options(timeout=1e-9))

    assert "TIMEOUT" == refused.value.code


def compiled_files() -> Iterator[Path]:
    return configuration.configured().compiled_programs.glob("*")  # type: ignore[union-attr]  # the fixture sets it


def test_a_compilation_in_which_a_request_failed_is_not_kept() -> None:
    def answers(request: Any) -> Any:
        return ChatFailure("server") if "1+1" in request.prompt else sums(request)

    made = compiled(ScriptedLM(answers).dspy())

    assert "1 requests to the language model failed" == made.not_kept
    assert [] == list(compiled_files())


@pytest.mark.parametrize("damage", [b"", b"{}", b'{"format": "altar-dspy-state/1"}', b"\xff" * 100])
def test_a_damaged_file_is_compiled_anew(damage: bytes) -> None:
    lm = ScriptedLM(sums)
    first = compiled(lm.dspy())
    (file,) = compiled_files()
    file.write_bytes(damage)

    again, after = compiled(lm.dspy()), compiled(lm.dspy())

    assert (False, True) == (again.is_cached, after.is_cached)
    assert ai.state_digest(first.program) == ai.state_digest(after.program)
    assert 6 == len(lm.requests)


def other_metric(example: Any, prediction: Any, trace: Any = None) -> bool:
    return bool(prediction.answer)


def closed_over(limit: int) -> Any:
    def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
        return len(prediction.answer) < limit

    return metric


def scoring(limit: int, module: str = "scoring") -> Any:
    """A metric whose source is the same for all limits: it refers to a name of its module."""
    held: dict[str, Any] = {"LIMIT": limit, "__name__": module}
    exec("def metric(example, prediction, trace=None):\n    return len(prediction.answer) < LIMIT", held)
    return held["metric"]


class Twice(dspy.Module):
    def __init__(self, times: int = 2) -> None:
        super().__init__()
        self.ask, self.times = dspy.Predict("question -> answer"), times

    def forward(self, question: str) -> Any:
        return self.ask(question=question)


@pytest.mark.parametrize(
    "other",
    [
        {"trainset": TRAINSET[:2]},
        {"metric": other_metric},
        {"metric": None},
        {"metric": closed_over(9)},
        {"max_bootstrapped_demos": 1},
        {"optimizer": "LabeledFewShot"},
        {"program": dspy.Predict("question -> answer: int")},
        {"program": dspy.Predict(dspy.Signature("question -> answer", "Count well."))},
        {"program": Twice()},
        {"lm": ScriptedLM(sums, name="another").dspy()},
        {"lm": ScriptedLM(sums).dspy(temperature=0.5)},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_compilation_with_anything_else_is_another_one(other: dict[str, Any]) -> None:
    given = {"lm": ScriptedLM(sums).dspy()}
    compiled(**given)

    assert not compiled(**{**given, **other}).is_cached


@pytest.mark.parametrize(
    ("one", "another"),
    [
        (closed_over(3), closed_over(4)),
        (scoring(3), scoring(4)),
        (scoring(3, "functools"), scoring(4, "functools")),
        (scoring(3), scoring(3, "other")),
        (functools.partial(exact, trace=1), functools.partial(exact, trace=2)),
        (Twice(1), Twice(2)),
        (1, True),
        (1, "1"),
        ([1], (1,)),
    ],
    ids=["closure", "constant", "constant and module", "module", "partial", "object", "bool", "text", "tuple"],
)
def test_what_may_do_something_else_is_told_as_something_else(one: Any, another: Any) -> None:
    assert told(one) == told(one)
    assert told(one) != told(another)


def test_a_metric_that_holds_what_cannot_be_told_is_compiled_with_and_nothing_is_kept() -> None:
    lock = threading.Lock()

    def metric(example: Any, prediction: Any, trace: Any = None) -> bool:
        with lock:
            return exact(example, prediction)

    made = compiled(ScriptedLM(sums).dspy(), metric=metric)

    assert "cannot be told" in made.not_kept
    with pytest.raises(Untold):
        told(lock)


def test_the_least_used_give_way_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled_programs, "MOST_PROGRAMS", 2)
    lm = ScriptedLM(sums).dspy()

    keys = [compiled(lm, max_bootstrapped_demos=many).key for many in (1, 2, 3)]

    left = {file.stem for file in compiled_files()}
    assert 2 == len(left)
    assert keys[-1] in left


@pytest.mark.parametrize(
    ("options", "code", "hint"),
    [
        ({"optimizer": "MIPROv3"}, "UNKNOWN_RESOURCE", "did you mean 'MIPROv2'?"),
        ({"optimizer": "Ensemble"}, "INVALID_TOOL_ARGS", "use it by itself, with what it takes"),
        ({"max_bootstraped_demos": 1}, "INVALID_TOOL_ARGS", "did you mean 'max_bootstrapped_demos'?"),
        ({"optimizer": "SIMBA", "metric": None}, "INVALID_TOOL_ARGS", "give it: compiled(program, …, metric=…)"),
    ],
    ids=str,
)
def test_a_wrong_optimizer_or_option_is_told_with_what_is_near(options: dict[str, Any], code: str, hint: str) -> None:
    with pytest.raises(ValidationError) as refused:
        compiled(ScriptedLM(sums).dspy(), **options)

    assert (code, hint) == (refused.value.code, refused.value.hint)


def test_a_compiled_program_is_the_one_that_dspy_makes_with_the_same_seed() -> None:
    with dspy.context(lm=ScriptedLM(sums).dspy()):
        theirs = dspy.BootstrapFewShot(metric=exact).compile(dspy.Predict("question -> answer"), trainset=TRAINSET)
        searched = dspy.BootstrapFewShotWithRandomSearch(exact, num_candidate_programs=1, num_threads=2).compile(
            dspy.Predict("question -> answer"), trainset=TRAINSET
        )
    tool = ai.lm_tool(ScriptedLM(sums))

    with altar.session([tool], source="later:") as session:
        ours = compiled(None, session=session)
        ours_searched = compiled(
            None, session=session, optimizer="BootstrapFewShotWithRandomSearch", num_candidate_programs=1, num_threads=2
        )
        score = ai.evaluated(ours.program, devset=TRAINSET, metric=exact, session=session, num_threads=2).score

    assert ai.state_digest(theirs) == ai.state_digest(ours.program)
    assert ai.state_digest(searched) == ai.state_digest(ours_searched.program)
    assert 100.0 == score


def through_session(lm: ScriptedLM, **contract: Any) -> Any:
    with altar.session([ai.lm_tool(lm, **contract)], source="later:") as session:
        return compiled(None, session=session)


def test_what_is_compiled_through_a_session_is_not_taken_for_what_another_model_made() -> None:
    """The contracts are the same: which model answers stands in none of them."""
    first, second = (through_session(ScriptedLM(sums, name=name)) for name in ("one", "another"))

    assert (3, 3) == (first.requests, second.requests)
    assert "session/language_model' asks" in second.not_kept


def test_a_contract_that_names_its_model_is_that_model() -> None:
    made = [through_session(ScriptedLM(sums), metadata={"model": name}).is_cached for name in ("one", "one", "another")]

    assert [False, True, False] == made
    assert "openai/small" == ai.lm_tool("openai/small", register=False).declaration.metadata["model"]
    assert "model" not in ai.lm_tool("scripted:/srv/answers.json", register=False).declaration.metadata


def test_progress_is_told_with_each_request_and_the_models_of_a_program_stay() -> None:
    seen: list[tuple[int, int | None]] = []
    lm = ScriptedLM(sums).dspy()
    program = dspy.Predict("question -> answer")
    program.set_lm(lm)

    first = compiled(lm, program, on_progress=lambda done, total: seen.append((done, total)))
    second = compiled(lm, program)

    assert [(1, None), (2, None), (3, None)] == seen
    assert lm is first.program.lm is second.program.lm
    assert second.is_cached
    assert "api_key" not in json.dumps(told(lm))
