"""What agents must not mix: language models and keys of others, calls with one id, and what nobody has counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dspy
import pytest
from pydantic_ai.messages import ModelResponse, TextPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

import altar
from altar import ai
from altar.adm.errors import ConfigurationError
from altar.ai.agents import Limits, agent
from altar.ai.agents.models import AgentModel
from altar.ai.lm import configure as models
from altar.ai.lm.configure import Choice, LMOptions
from altar.testing import ChatAnswer, ScriptedLM, ToolUse
from tests.unit.ai.agent_scene import Both, both, made, told


@altar.tool
def apart_named(instance: str, count: int = 1) -> str:
    """Take an argument by a name that DSPy uses itself."""
    return f"{instance} {count}"


@altar.tool
def apart_said(word: str) -> str:
    """Say a word."""
    return f"said {word}"


def scripts(folder: Path) -> list[Choice]:
    for name in ("one", "two"):
        (folder / f"{name}.json").write_text(json.dumps([name]), encoding="utf-8")
    return [Choice(f"scripted:{folder / name}.json") for name in ("one", "two")]


def test_an_agent_asks_the_language_model_of_the_session_that_it_runs_in(tmp_path: Path) -> None:
    asked = AgentModel(None)

    first, second = (asked.dspy(choice) for choice in scripts(tmp_path))

    assert ("altar/one", "altar/two") == (first.model, second.model)
    assert first is asked.dspy(scripts(tmp_path)[0])


@pytest.mark.parametrize(
    ("model", "is_same"), [("openai/other", True), ("anthropic/some", False), ("openai-like/some", False)]
)
def test_a_key_and_an_address_are_for_the_provider_that_they_were_set_for(model: str, *, is_same: bool) -> None:
    own = Choice("openai/some", LMOptions(key=lambda: "the-key", base_url="http://127.0.0.1:9/v1", timeout=7))

    lm = AgentModel(model).dspy(own)

    assert (("the-key", "http://127.0.0.1:9/v1") if is_same else (None, None)) == (
        lm.kwargs.get("api_key"),
        lm.kwargs.get("api_base"),
    )
    assert 7 == lm.kwargs["timeout"]


async def test_a_provider_is_asked_for_as_long_as_the_settings_say() -> None:
    own = Choice("openai/some", LMOptions(key=lambda: "the-key", timeout=7))

    async with AgentModel("openai/other").pydantic_ai(own) as (_, settings):
        assert {"timeout": 7} == settings


@pytest.mark.parametrize(
    ("model", "package", "code", "words", "hint"),
    [
        (
            "anthropic/some",
            "anthropic",
            "ENVIRONMENT_ERROR",
            "the package of that provider",
            "pydantic-ai-slim[anthropic]",
        ),
        (
            "gemini/some",
            "google.genai",
            "ENVIRONMENT_ERROR",
            "the package of that provider",
            "pydantic-ai-slim[google]",
        ),
        ("vertex_ai/some", "google.genai", "ENVIRONMENT_ERROR", "of that provider", "pydantic-ai-slim[google]"),
        ("openai/some", "", "INVALID_CONFIG", "names no language model", "the key belongs into the environment"),
        ("nobody/some", "", "INVALID_CONFIG", "names no language model", "write 'provider/model'"),
    ],
)
def test_a_provider_that_pydantic_ai_cannot_reach_is_refused_before_anything_is_asked(
    model: str, package: str, code: str, words: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    if package:
        monkeypatch.setitem(sys.modules, package, None)  # as where it is not installed
    asked = agent(model=model, framework="pydantic_ai")

    with altar.session([apart_said]) as session, pytest.raises(ConfigurationError) as refused:
        asked.run(session, "Hello?")

    assert (code, "no") == (refused.value.code, refused.value.ran)
    assert words in refused.value.message
    assert hint in (refused.value.hint or "")


def test_a_provider_with_a_form_of_its_own_is_asked_in_it_at_another_address_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "anthropic", None)  # which is what asks in that form
    monkeypatch.setattr(
        models._CHOSEN, "said", Choice("anthropic/some", LMOptions(base_url="http://127.0.0.1:9", key=lambda: "key"))
    )
    asked = agent(model="anthropic/some", framework="pydantic_ai")

    with altar.session([apart_said]) as session, pytest.raises(ConfigurationError, match="package of that provider"):
        asked.run(session, "Hello?")


@both
def test_calls_to_which_a_model_gives_one_id_are_told_apart(framework: Both) -> None:
    first, second, third, last = (ToolUse("apart_said", {"word": word}, "same") for word in "abcd")
    asked, lm = made([[first, second, third], last, "Done."], framework)

    with altar.session([apart_said]) as session:
        result = asked.run(session, "Say.")

    assert ["said a", "said b", "said c", "said d"] == told(result)
    assert 4 == len({call.call_id for call in result.tool_calls})
    assert list("abcd") == [call.arguments["word"] for call in result.tool_calls]
    assert told(result) == [each.text for each in lm.requests[-1].messages if each.role == "tool"]


@both
def test_an_argument_may_have_any_name(framework: Both) -> None:
    asked, _ = made([ToolUse("apart_named", {"instance": "x", "count": 2}), "Done."], framework)

    with altar.session([apart_named]) as session:
        result = asked.run(session, "Go.")

    assert (["x 2"], "Done.") == (told(result), result.unwrap())


@both
def test_a_server_that_counts_no_tokens_is_not_taken_to_cost_nothing(framework: Both) -> None:
    def silent(_: Any, __: Any) -> ModelResponse:
        return ModelResponse(parts=[TextPart("Twelve.")], model_name="gpt-4.1-mini", provider_name="openai")

    with ScriptedLM(lambda _: ChatAnswer("Twelve.")).serve() as server, altar.session() as session:
        lm = dspy.LM("openai/gpt-4.1-mini", api_base=server.base_url, api_key="none", cache=False)
        model = lm if framework == "dspy" else FunctionModel(silent, model_name="gpt-4.1-mini")
        if framework == "pydantic_ai":
            model.request = _uncounted(model.request)
        result = agent(model=model, framework=framework, limits=Limits(cost_usd=1), tools=[]).run(session, "How much?")

    assert result.error is not None
    assert "the price of its language model is not known" in result.error.message


def _uncounted(ask: Any) -> Any:
    """The same request, of which nobody says what it took."""

    async def asked(*given: Any) -> Any:
        answer = await ask(*given)
        answer.usage = RequestUsage()
        return answer

    return asked


def test_a_tool_that_is_a_language_model_asks_that_of_the_session_which_calls_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models._CHOSEN, "of_session", None)
    tool = ai.lm_tool(name="apart_lm")
    said = {"messages": [{"role": "user", "text": "?"}]}
    sessions = []
    for choice in scripts(tmp_path):
        monkeypatch.setenv("ALTAR_AI_LM", choice.spec)
        sessions.append(altar.session([tool]))

    with sessions[0] as first, sessions[1] as second:
        answers = [each.call("apart_lm", said).unwrap()["text"] for each in (first, second, first)]

    assert ["one", "two", "one"] == answers
