"""What an agent may take, the kinds of models that it asks, the framework that drives it, and agents as tools."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dspy
import pytest
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage

import altar
from altar.adm.errors import ConfigurationError
from altar.ai.agents import Limits, agent
from altar.ai.configuration import configure
from altar.ai.lm import configure as models
from altar.ai.lm.chat import ChatUsage
from altar.ai.lm.configure import Choice, LMOptions
from altar.later.registry import REGISTRY
from altar.testing import ChatAnswer, RecordedLM, ScriptedLM, ToolUse
from tests.unit.ai.agent_scene import (
    FRAMEWORKS,
    TEA,
    Both,
    Stock,
    both,
    kept_settings,
    made,
    ran,
    shop_count,
)

# ------------------------------------------------------------------------------------------------------------ limits


@both
@pytest.mark.parametrize(
    ("limits", "script", "made_calls", "words"),
    [
        (Limits(requests=3, same_call=None), [TEA] * 9, 3, "came to no end in 3 requests"),
        (Limits(tool_calls=2), [[TEA, TEA], [ToolUse("shop_order", {"item": "x"})]], 2, "wants 3 calls of tools"),
        (Limits(total_tokens=500), [ToolUse("shop_asks"), "Done."], 1, "tokens, and may take 500"),
        (Limits(same_call=2), [TEA, TEA, TEA, TEA], 2, "goes in a circle"),
        (Limits(requests=2), [ToolUse("shop_asks"), "Done."], 1, "came to no end in 2 requests"),
    ],
    ids=["requests", "tool_calls", "total_tokens", "same_call", "requests of tools"],
)
def test_a_limit_ends_the_run_at_the_same_place_in_both(
    framework: Both, limits: Limits, script: Any, made_calls: int, words: str
) -> None:
    result, _ = ran(script, framework, limits=limits)

    assert result.error is not None
    assert ("BUDGET_EXCEEDED", "yes") == (result.error.type, result.error.ran)
    assert words in result.error.message
    assert made_calls == len(result.tool_calls)
    assert result.output is None


@both
def test_the_same_call_with_another_answer_is_no_circle(framework: Both) -> None:
    script = [ToolUse("shop_next", {"seen": list(range(n))}) for n in range(6)]

    result, _ = ran([*script, "Six."], framework, limits=Limits(same_call=1))

    assert ("Six.", 6) == (result.unwrap(), len(result.tool_calls))


@both
def test_a_run_that_may_cost_something_ends_where_nobody_knows_what_it_costs(framework: Both) -> None:
    result, _ = ran(["Twelve."], framework, limits=Limits(cost_usd=1))

    assert result.error is not None
    assert "INVALID_CONFIG" == result.error.type
    assert "the price of its language model is not known" in result.error.message


def test_a_run_ends_when_it_has_cost_too_much() -> None:
    def dear(_: Any, __: Any) -> ModelResponse:
        usage = RequestUsage(input_tokens=1_000_000, output_tokens=10)
        return ModelResponse(
            parts=[TextPart("Twelve.")], usage=usage, model_name="gpt-4.1-mini", provider_name="openai"
        )

    results = []
    with ScriptedLM(lambda _: ChatAnswer("Twelve.", usage=ChatUsage(1_000_000, 10))).serve() as server:
        lm = dspy.LM("openai/gpt-4.1-mini", api_base=server.base_url, api_key="none", cache=False)
        for model in (lm, FunctionModel(dear, model_name="gpt-4.1-mini")):
            with altar.session() as session:
                results.append(agent(model=model, limits=Limits(cost_usd=0.1), tools=[]).run(session, "How much?"))

    for result in results:
        assert result.error is not None
        assert "BUDGET_EXCEEDED" == result.error.type
        assert "has cost 0.4" in result.error.message
    assert ["dspy", "pydantic_ai"] == [result.framework for result in results]


@pytest.mark.parametrize(
    "wrong", [{"requests": 0}, {"tool_calls": -1}, {"cost_usd": float("nan")}, {"same_call": True}]
)
def test_a_limit_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        Limits(**wrong)


# ------------------------------------------------------------------------------------------------------------ models


def answering(messages: Any, _: Any) -> ModelResponse:
    if any(part.part_kind == "tool-return" for part in messages[-1].parts):
        return ModelResponse(parts=[TextPart("Twelve.")])
    return ModelResponse(parts=[ToolCallPart("shop_count", TEA.arguments)])


def kinds(tmp_path: Path) -> dict[str, Any]:
    script = tmp_path / "script.json"
    script.write_text(json.dumps([{"tool": "shop_count", "arguments": TEA.arguments}, "Twelve."]))
    return {
        "scripted": ScriptedLM([TEA, "Twelve."]),
        "file": f"scripted:{script}",
        "dspy": ScriptedLM([TEA, "Twelve."]).dspy(),
        "pydantic_ai": FunctionModel(answering, model_name="function"),
    }


@both
@pytest.mark.parametrize("kind", ["scripted", "file", "dspy", "pydantic_ai"])
def test_every_kind_of_model_works_in_both(framework: Both, kind: str, tmp_path: Path) -> None:
    asked = agent(model=kinds(tmp_path)[kind], framework=framework, tools=[shop_count])

    with altar.session() as session:
        result = asked.run(session, "How much tea?")

    assert "Twelve." == result.unwrap()
    assert [("shop_count", "success")] == [(call.name, call.status) for call in result.tool_calls]


def test_what_was_recorded_under_one_framework_is_answered_under_the_other(tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"
    with RecordedLM(file, model=ScriptedLM([TEA, "Twelve."]), mode="record") as recording:
        ran(recording, "dspy", tools=[shop_count])

    asked = agent(model=f"recorded:{file}", framework="pydantic_ai", tools=[shop_count])
    with altar.session() as session:
        assert "Twelve." == asked.run(session, "How much tea?").unwrap()


@both
def test_a_provider_is_asked_at_its_address_and_its_client_is_closed(
    framework: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = ScriptedLM([TEA, "Twelve."])
    with script.serve(api_key="key") as server, altar.session() as session:
        options = LMOptions(base_url=server.base_url, key=lambda: "key", retries=0)
        monkeypatch.setattr(models._CHOSEN, "said", Choice("openai/gpt-4.1-mini", options))
        asked = agent(model="openai/gpt-4.1-mini", framework=framework, tools=[shop_count])
        result = asked.run(session, "How much tea?")

    assert ("Twelve.", 2) == (result.unwrap(), result.usage["lm_calls"])


def test_at_an_address_both_ask_the_same_but_for_the_form_of_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    for framework in FRAMEWORKS:
        script = ScriptedLM([TEA, "Twelve."])
        with script.serve() as server, altar.session() as session:
            monkeypatch.setattr(models._CHOSEN, "said", Choice("local", LMOptions(base_url=server.base_url)))
            asking = agent(framework=framework, instructions="Help people.", tools=[shop_count])
            asking.run(session, "How much tea?").unwrap()
        asked.append(script.requests)

    bare = [[replace(request, tools=()) for request in requests] for requests in asked]
    assert bare[0] == bare[1]
    assert [tool.name for tool in asked[0][0].tools] == [tool.name for tool in asked[1][0].tools]
    assert 2 == len(asked[0])


@both
def test_an_agent_without_a_model_takes_that_of_the_process(
    framework: Both, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = agent(framework=framework)
    with altar.session() as session:
        monkeypatch.setattr(models._CHOSEN, "said", None)
        with pytest.raises(ConfigurationError, match="no language model"):
            asked.run(session, "Hello?")
        monkeypatch.setattr(models._CHOSEN, "said", Choice(kinds(tmp_path)["file"]))
        assert "Twelve." == asked.run(session, "How much tea?").unwrap()


def test_what_is_no_model_is_refused_when_the_agent_is_made() -> None:
    with pytest.raises(ConfigurationError, match="no language model"):
        agent(model=7)


# ------------------------------------------------------------------------------------------------- which framework


@pytest.fixture
def settings() -> Iterator[None]:
    with kept_settings():
        yield


@pytest.mark.usefixtures("settings")
def test_the_framework_is_what_was_said_then_the_settings_then_the_model_then_what_is_installed() -> None:
    function = FunctionModel(answering)
    assert "dspy" == agent(model=ScriptedLM([])).framework
    assert "pydantic_ai" == agent(model=function).framework
    assert "dspy" == agent(model=ScriptedLM([]).dspy()).framework
    assert "dspy" == agent(model=function, framework="dspy").framework

    configure(default_framework="pydantic_ai")

    assert "pydantic_ai" == agent(model=ScriptedLM([]).dspy()).framework
    assert "dspy" == agent(model=function, framework="dspy").framework


def test_where_no_framework_is_installed_the_extras_of_both_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    with altar.session() as session, pytest.raises(ConfigurationError) as refused:
        agent(model=ScriptedLM([])).run(session, "Hello?")

    assert "ENVIRONMENT_ERROR" == refused.value.code
    for extra in ("dspy", "pydantic-ai"):
        assert f'pip install "altar-ai[{extra}]"' in (refused.value.hint or "")


def test_another_framework_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="langgraph"):
        agent(framework="langgraph")  # type: ignore[arg-type]  # that is the point
    with pytest.raises(ConfigurationError, match="langgraph"):
        agent(model=ScriptedLM([])).using("langgraph")  # type: ignore[arg-type]  # that is the point


# ------------------------------------------------------------------------------------------------- an agent as a tool


@both
@pytest.mark.usefixtures("altar_registry")
def test_an_agent_is_a_tool_whose_calls_are_those_of_its_contract(framework: Both) -> None:
    asked, lm = made(
        [TEA, ToolUse("submit", {"item": "tea", "count": 12})], framework, tools=[shop_count], output=Stock
    )
    tool = asked.as_tool(description="Count what is there.")
    REGISTRY.register(shop_count)

    with altar.session([tool, shop_count]) as session:
        result = session.call("clerk", prompt="How much tea?")

    assert {"item": "tea", "count": 12} == result.unwrap()
    assert 2 == (result.usage or {})["lm_calls"]
    assert ["shop_count"] == tool.declaration.metadata["altar.calls"]
    assert "How much tea?" == lm.requests[0].text


@both
@pytest.mark.usefixtures("altar_registry")
def test_an_agent_that_is_a_tool_fails_as_its_run_does(framework: Both) -> None:
    asked, _ = made([TEA] * 9, framework, limits=Limits(requests=2))

    REGISTRY.register(shop_count)
    with altar.session([asked.as_tool(), shop_count]) as session:
        result = session.call("clerk", prompt="How much tea?")

    assert result.error is not None
    assert ("BUDGET_EXCEEDED", "yes") == (result.error.type, result.error.ran)


def test_an_agent_has_a_model_of_dspy_that_can_call_no_tools() -> None:
    answers = [
        {"answer": "", "tool_calls": {"tool_calls": [{"name": "shop_count", "args": {"item": "tea"}}]}},
        {"answer": "Twelve.", "tool_calls": {"tool_calls": []}},
    ]
    lm = ScriptedLM(answers).dspy()
    lm.engine.supports_function_calling = False

    asked = agent(model=lm, framework="dspy", tools=[shop_count])
    with altar.session() as session:
        result = asked.run(session, "How much tea?")

    assert not lm.supports_function_calling
    assert "Twelve." == result.unwrap()
    assert ["success"] == [call.status for call in result.tool_calls]
    assert isinstance(lm, dspy.BaseLM)
