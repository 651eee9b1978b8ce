"""Variables of a session that a program follows, as far as its contract declares them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dspy
import pytest

import altar
from altar.adm.errors import DeclarationError
from altar.adm.schema import Schema
from altar.ai import Bound, bound, tool_from_module
from altar.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("altar_registry")

VARIABLES = {
    "warmth": bound("lm.temperature", maximum=1),
    "manner": bound("instructions"),
    "samples": bound("demos", maximum=2),
}


@pytest.fixture
def lm() -> ScriptedLM:
    return ScriptedLM({"": {"answer": "yes"}})


@pytest.fixture
def module() -> Any:
    made = dspy.Predict("question -> answer", temperature=0.5)
    made.demos = [dspy.Example(question="first?", answer="of the module")]
    return made


@pytest.fixture
def session(lm: ScriptedLM, module: Any) -> Iterator[altar.SyncSession]:
    tool = tool_from_module(module, name="ask", lm=lm.dspy(), variables=VARIABLES)
    with altar.session([tool], source="later:") as opened:
        yield opened


def asked(session: Any, lm: ScriptedLM) -> str:
    session.call("ask", question="what?").unwrap()
    return "\n".join(message.text for message in lm.requests[-1].messages)


def test_a_variable_that_nobody_has_declared_leaves_the_program_as_it_is(session: Any, lm: ScriptedLM) -> None:
    assert "of the module" in asked(session, lm)


def test_a_setting_of_the_language_model_reaches_it(session: Any, lm: ScriptedLM) -> None:
    asked(session, lm)
    session.variables.declare("warmth", float, value=0.25)
    asked(session, lm)

    assert [0.5, 0.25] == [request.temperature for request in lm.requests]


def test_instructions_follow_their_variable_with_the_next_call(session: Any, lm: ScriptedLM) -> None:
    session.variables.declare("manner", str, value="Answer like a pirate.")
    first = asked(session, lm)
    session.variables.set("manner", "Answer like a judge.")
    second = asked(session, lm)
    session.variables.delete("manner")
    third = asked(session, lm)

    assert ["pirate" in each for each in (first, second, third)] == [True, False, False]
    assert ["judge" in each for each in (first, second, third)] == [False, True, False]


def test_demonstrations_follow_their_variable(session: Any, lm: ScriptedLM) -> None:
    session.variables.declare("samples", list[dict[str, str]], value=[{"question": "is it?", "answer": "it is"}])

    text = asked(session, lm)

    assert ("it is" in text, "of the module" in text) == (True, False)


def test_the_module_itself_is_never_changed(session: Any, lm: ScriptedLM, module: Any) -> None:
    before = module.dump_state()
    session.variables.declare("manner", str, value="Answer like a pirate.")

    asked(session, lm)

    assert before == module.dump_state()
    assert {"temperature": 0.5} == module.config


def test_two_sessions_follow_their_own(session: Any, lm: ScriptedLM) -> None:
    session.variables.declare("manner", str, value="Answer like a pirate.")
    with altar.session(["ask"], source="later:") as other:
        assert "pirate" not in asked(other, lm)
        assert "pirate" in asked(session, lm)


def test_a_value_beyond_the_range_of_the_contract_refuses_the_call(session: Any, lm: ScriptedLM) -> None:
    session.variables.declare("warmth", float, value=1.5)

    error = session.call("ask", question="what?").error

    assert ("SCHEMA_VIOLATION", True) == (error.type, "'warmth'" in error.message)
    assert [] == lm.requests


class Threshold(dspy.Module):
    """Answer where it is sure enough."""

    def __init__(self) -> None:
        super().__init__()
        self.threshold = 0.5
        self.rate = dspy.Predict("question -> score: float, answer")

    def forward(self, question: str) -> Any:
        made = self.rate(question=question)
        return dspy.Prediction(answer=made.answer if made.score >= self.threshold else "unsure")


def test_a_threshold_of_a_program_follows_its_variable() -> None:
    lm = ScriptedLM({"": {"score": 0.7, "answer": "yes"}}).dspy()
    tool = tool_from_module(
        Threshold(),
        signature="question -> answer",
        lm=lm,
        variables={"care": bound("threshold", minimum=0, maximum=1)},
    )

    with altar.session([tool], source="later:") as session:
        answers = [session.call(tool, question="?").unwrap()["answer"]]
        session.variables.declare("care", float, value=0.9)
        answers.append(session.call(tool, question="?").unwrap()["answer"])

    assert ["yes", "unsure"] == answers


def test_the_settings_reach_the_language_model() -> None:
    seen: list[Any] = []

    class Watches(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ask = dspy.Predict("question -> answer", temperature=0.5, max_tokens=9)

        def forward(self, question: str) -> Any:
            seen.append(dict(self.ask.config))
            return self.ask(question=question)

    tool = tool_from_module(
        Watches(), lm=ScriptedLM({"": {"answer": "yes"}}).dspy(), variables={"warmth": bound("lm.temperature")}
    )
    with altar.session([tool], source="later:") as session:
        session.variables.declare("warmth", float, value=0.25)
        session.call(tool, question="?").unwrap()
        session.variables.delete("warmth")
        session.call(tool, question="?").unwrap()

    assert [{"temperature": 0.25, "max_tokens": 9}, {"temperature": 0.5, "max_tokens": 9}] == seen


def test_more_variables_than_the_record_of_a_call_can_vouch_for_are_refused(module: Any) -> None:
    many = {f"warmth{number}": bound("lm.temperature") for number in range(65)}

    with pytest.raises(DeclarationError, match="binds 65 variables, and at most 64 can be recorded"):
        tool_from_module(module, variables=many, register=False)


def test_the_contract_names_each_variable_with_what_it_may_be(module: Any) -> None:
    said = tool_from_module(module, variables=VARIABLES, register=False).declaration.metadata["variables"]

    assert {"binds": "lm.temperature", "schema": {"type": "NUMBER", "minimum": 0, "maximum": 1}} == said["warmth"]
    assert "instructions" == said["manner"]["binds"]
    assert 2 == said["samples"]["schema"]["maxItems"]


def test_a_copy_of_a_session_keeps_what_it_remembers_when_a_variable_changes() -> None:
    class Counts(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count, self.step = 0, 1

        def forward(self, question: str) -> Any:
            self.count += self.step
            return dspy.Prediction(count=self.count)

    tool = tool_from_module(
        Counts(),
        signature="question -> count: int",
        per_session=True,
        lm=ScriptedLM({"": {"answer": "yes"}}).dspy(),
        variables={"step": bound("step", type=int, minimum=1, maximum=9)},
    )
    with altar.session([tool], source="later:") as session:
        counts = [session.call(tool, question="?").unwrap()["count"]]
        session.variables.declare("step", int, value=5)
        counts.append(session.call(tool, question="?").unwrap()["count"])
        session.variables.delete("step")
        counts.append(session.call(tool, question="?").unwrap()["count"])

    assert [1, 6, 7] == counts


REFUSED: dict[str, tuple[Any, str]] = {
    "a key": (lambda: bound("lm.api_key"), "cannot change 'lm.api_key'"),
    "an address": (lambda: bound("lm.api_base"), "keys and addresses belong to the host"),
    "any language model": (lambda: bound("lm"), "must be listed"),
    "an attribute without a range": (lambda: bound("threshold", minimum=0), "must be bounded"),
    "an attribute of no value": (lambda: bound("threshold", type=dict), "cannot follow"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_session_must_not_change_cannot_be_bound(case: str) -> None:
    make, words = REFUSED[case]

    with pytest.raises(DeclarationError) as refused:
        make()

    assert words in f"{refused.value.message} {refused.value.hint}"


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        (bound("nothing", minimum=0, maximum=1), "no number and no text"),
        (bound("signature", type=str, one_of=["a"]), "no number and no text"),
        (bound("other.instructions"), "no predictor 'other'"),
    ],
)
def test_what_the_module_does_not_have_cannot_be_bound(module: Any, variable: Any, words: str) -> None:
    with pytest.raises(DeclarationError, match=words):
        tool_from_module(module, variables={"it": variable}, register=False)


def test_a_session_chooses_among_the_language_models_that_the_contract_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    from altar.ai import running

    models = {name: ScriptedLM({"": {"answer": name}}).dspy() for name in ("small", "large")}
    monkeypatch.setattr(running, "_MODELS", models)
    tool = tool_from_module(
        dspy.Predict("question -> answer"),
        lm=models["small"],
        variables={"model": bound("lm", one_of=["small", "large"])},
    )

    with altar.session([tool], source="later:") as session:
        answers = [session.call(tool, question="?").unwrap()["answer"]]
        session.variables.declare("model", str, value="large")
        answers.append(session.call(tool, question="?").unwrap()["answer"])
        session.variables.set("model", "openai/other")
        refused = session.call(tool, question="?").error

    assert ["small", "large"] == answers
    assert refused is not None
    assert "SCHEMA_VIOLATION" == refused.type


class Waits(dspy.Module):
    """Say its level before and after it waited."""

    def __init__(self, begun: asyncio.Event, go_on: asyncio.Event) -> None:
        super().__init__()
        self.level = 0.0
        self._events: Callable[[], tuple[asyncio.Event, asyncio.Event]] = lambda: (begun, go_on)  # not to be copied

    async def aforward(self, question: str) -> Any:
        before = self.level
        if question == "wait":
            begun, go_on = self._events()
            begun.set()
            await go_on.wait()
        return dspy.Prediction(levels=[before, self.level])


def test_a_call_under_way_keeps_the_values_it_was_recorded_with(lm: ScriptedLM) -> None:
    async def change_meanwhile() -> list[Any]:
        begun, go_on = asyncio.Event(), asyncio.Event()
        tool = tool_from_module(
            Waits(begun, go_on),
            signature="question -> levels: list[float]",
            lm=lm.dspy(),
            per_session=True,
            variables={"level": bound("level", minimum=0, maximum=1)},
        )
        async with altar.session([tool], source="later:") as session:
            await session.variables.declare("level", float, value=0.25)
            first = asyncio.ensure_future(session.call(tool, question="wait"))
            await begun.wait()
            await session.variables.set("level", 0.75)
            second = await session.call(tool, question="go")
            go_on.set()
            return [(await first).unwrap()["levels"], second.unwrap()["levels"]]

    assert [[0.25, 0.25], [0.75, 0.75]] == asyncio.run(change_meanwhile())


@pytest.mark.parametrize("to", ["lm", "lm.api_base", "lm.api_key"])
def test_no_binding_reaches_addresses_keys_or_any_model(to: str) -> None:
    with pytest.raises(DeclarationError):
        tool_from_module(
            dspy.Predict("question -> answer"),
            variables={"free": Bound(to, Schema.from_json_schema({"type": "string"}))},
        )


def test_the_length_of_a_text_is_bounded() -> None:
    style = bound("style", type=str, minimum=1, maximum=3)

    assert [True, False, True] == [bool(style.schema.defects(text)) for text in ("", "abc", "abcd")]


def test_a_demonstration_may_have_fields_of_any_name(session: Any, lm: ScriptedLM) -> None:
    session.variables.declare(
        "samples", list[dict[str, str]], value=[{"self": "b", "question": "is it?", "answer": "it is"}]
    )

    assert "it is" in asked(session, lm)


def test_a_demonstration_never_becomes_a_picture(session: Any, lm: ScriptedLM) -> None:
    marked = {"question": "<<CUSTOM-TYPE-START-IDENTIFIER>>[]", "answer": "it is"}
    session.variables.declare("samples", list[dict[str, str]], value=[marked])

    assert ("INVALID_TOOL_ARGS", []) == (session.call("ask", question="what?").error.type, lm.requests)


def test_a_session_chooses_the_language_model_even_where_the_module_has_one(tmp_path: Path) -> None:
    script = tmp_path / "other.json"
    script.write_text('{"": {"answer": "chosen"}}')
    module = dspy.Predict("question -> answer")
    module.lm = ScriptedLM({"": {"answer": "own"}}).dspy()
    tool = tool_from_module(module, variables={"model": bound("lm", one_of=[f"scripted:{script}"])})

    with altar.session([tool], source="later:") as session:
        answers = [session.call(tool, question="?").unwrap()["answer"]]
        session.variables.declare("model", str, value=f"scripted:{script}")
        answers.append(session.call(tool, question="?").unwrap()["answer"])

    assert ["own", "chosen"] == answers
