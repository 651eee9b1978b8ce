"""Agents: one script, one agent, the same run under DSPy and under Pydantic-AI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

import altar
from altar.adm.errors import AltarError
from altar.ai.agents import Finished, Memory, TextPiece, ToolAnswered, ToolCalled, agent
from altar.ai.configuration import configure
from altar.testing import ChatFailure, ChatRequest, ScriptedLM, ToolUse
from tests.unit.ai.agent_scene import (
    FRAMEWORKS,
    SCRIPT,
    TEA,
    Both,
    Stock,
    both,
    kept_settings,
    made,
    ran,
    shop_count,
    stages,
    told,
    without_model,
)

# ------------------------------------------------------------------------------------------------- one agent, moved


def test_one_agent_moved_between_the_frameworks_gives_the_same_run() -> None:
    results, asked = [], []
    for framework in FRAMEWORKS:
        result, lm = ran(SCRIPT, framework, instructions="Help people.")
        results.append(result)
        asked.append(without_model(lm.requests))

    first, second = results
    assert "There are twelve." == first.output == second.output
    assert asked[0] == asked[1]
    assert first.messages == second.messages
    assert first.usage == second.usage
    assert [replace(call, call_id="") for call in first.tool_calls] == [
        replace(call, call_id="") for call in second.tool_calls
    ]
    assert [
        ("shop_count", "refused", "INVALID_TOOL_ARGS"),
        ("shop_count", "success", ""),
        ("shop_order", "success", ""),
        ("shop_counts", "refused", "UNSUPPORTED_TOOL"),
        ("shop_breaks", "failed", "TOOL_EXECUTION_FAILED"),
    ] == [(call.name, call.status, call.code) for call in first.tool_calls]
    for result in results:  # what was wrong before the call has not come to the session
        assert [False, True, True, False, True] == [bool(call.call_id) for call in result.tool_calls]
    assert ["dspy", "pydantic_ai"] == [result.framework for result in results]


def test_a_conversation_goes_on_when_its_agent_is_moved_and_moved_back() -> None:
    script = [TEA, "Twelve.", ToolUse("shop_order", {"item": "tea"}), "Ordered.", "You are welcome."]
    asked, lm = made(script, "dspy", instructions="Help people.")

    with altar.session() as session:
        asked.run(session, "How much tea?")
        moved = asked.using("pydantic_ai").run(session, "Order one.")
        back = asked.run(session, "Thanks.")

    assert ["pydantic_ai", "dspy"] == [moved.framework, back.framework]
    assert [
        ("system", "Help people."),
        ("user", "How much tea?"),
        ("assistant", ""),
        ("tool", "12"),
        ("assistant", "Twelve."),
        ("user", "Order one."),
        ("assistant", ""),
        ("tool", '{"item":"tea","ordered":1}'),
        ("assistant", "Ordered."),
        ("user", "Thanks."),
    ] == [(message.role, message.text) for message in lm.requests[-1].messages]


@both
async def test_a_session_with_an_event_loop_is_awaited(framework: Both) -> None:
    asked, _ = made([TEA, "Twelve."], framework)

    async with altar.session([shop_count]) as session:
        result = await asked.run(session, "How much tea?")

    assert "Twelve." == result.unwrap()
    assert "Twelve." == result.text


@both
def test_only_the_tools_of_an_agent_are_offered_and_called(framework: Both) -> None:
    result, lm = ran([ToolUse("shop_order", {"item": "tea"}), "No."], framework, tools=[shop_count])

    assert ["shop_count"] == [tool.name for tool in lm.requests[0].tools]
    assert ["Unknown tool name: 'shop_order'. Available tools: 'shop_count'"] == told(result)


@both
def test_an_agent_without_tools_only_answers(framework: Both) -> None:
    result, lm = ran(["Hello."], framework, tools=[])

    assert ("Hello.", ()) == (result.output, lm.requests[0].tools)


@both
def test_a_tool_that_the_session_does_not_have_is_refused_before_anything_is_asked(framework: Both) -> None:
    asked, lm = made(["Hello."], framework, tools=["shop_cont"])

    with altar.session() as session, pytest.raises(AltarError) as refused:
        asked.run(session, "Hello?")

    assert "UNSUPPORTED_TOOL" == refused.value.code
    assert [] == lm.requests


# ------------------------------------------------------------------------------------------------------ the answer


@both
@pytest.mark.parametrize(
    ("output", "handed_in", "expected"),
    [
        (Stock, {"item": "tea", "count": 12}, Stock(item="tea", count=12)),
        (list[str], {"result": ["tea"]}, ["tea"]),
        (
            {"type": "object", "properties": {"count": {"type": "integer"}}, "required": ["count"]},
            {"count": 12},
            {"count": 12},
        ),
        (list[Stock], {"result": [{"item": "tea", "count": 1}]}, [Stock(item="tea", count=1)]),
    ],
)
def test_an_answer_has_the_type_that_was_asked_for(
    framework: Both, output: Any, handed_in: dict[str, Any], expected: Any
) -> None:
    result, lm = ran([TEA, ToolUse("submit", handed_in)], framework, output=output)

    assert expected == result.unwrap()
    assert "required" == lm.requests[0].tool_choice
    assert ["shop_count"] == [call.name for call in result.tool_calls]


def test_an_answer_that_does_not_fit_is_corrected_in_the_same_words_in_both() -> None:
    script = ["It is twelve.", ToolUse("submit", {"item": "tea"}), ToolUse("submit", {"item": "tea", "count": 12})]
    results = [ran(script, framework, output=Stock, retries=2) for framework in FRAMEWORKS]

    (first, asked), (second, asked_too) = results
    assert Stock(item="tea", count=12) == first.output == second.output
    assert first.messages == second.messages
    assert without_model(asked.requests) == without_model(asked_too.requests)
    assert "Hand in your answer: call the tool 'submit'." == asked.requests[1].text
    assert asked.requests[2].text.startswith("Argument `count` is missing")


@both
def test_an_answer_that_never_fits_ends_the_run(framework: Both) -> None:
    result, lm = ran([ToolUse("submit", {"item": "tea"})] * 9, framework, output=Stock)

    assert result.error is not None
    assert ("LM_BAD_ANSWER", "no") == (result.error.type, result.error.ran)
    assert 2 == len(lm.requests)


@both
def test_arguments_that_never_fit_end_the_run(framework: Both) -> None:
    result, lm = ran([ToolUse("shop_count", {"item": n}) for n in range(9)], framework, retries=1)

    assert result.error is not None
    assert "got the arguments of 'shop_count' wrong 2 times in a row" in result.error.message
    assert 2 == len(lm.requests)


@both
def test_an_output_without_a_schema_is_refused_when_the_agent_is_made(framework: Both) -> None:
    with pytest.raises(AltarError) as refused:
        agent(model=ScriptedLM([]), framework=framework, output=lambda: 1)

    assert "INVALID_DECLARATION" == refused.value.code


@pytest.fixture
def settings() -> Iterator[None]:
    with kept_settings():
        yield


@both
@pytest.mark.usefixtures("settings")
def test_the_settings_say_whether_an_answer_is_checked_and_corrected(framework: Both) -> None:
    wrong = [ToolUse("submit", {"item": "tea"})] * 9

    configure(retry_on_validation_error=False)
    result, lm = ran(wrong, framework, output=Stock)
    configure(result_validation=False)
    unchecked, _ = ran(wrong, framework, output=Stock)

    assert (1, "LM_BAD_ANSWER") == (len(lm.requests), result.error and result.error.type)
    assert {"item": "tea"} == unchecked.unwrap()


# ------------------------------------------------------------------------------------------------- what goes wrong


@both
def test_a_call_of_which_nobody_knows_whether_it_ran_ends_the_run(framework: Both) -> None:
    result, lm = ran([[TEA, ToolUse("shop_lost")], "Done."], framework)

    assert result.error is not None
    assert "OUTCOME_UNKNOWN" == result.error.type
    assert ["success", "failed"] == [call.status for call in result.tool_calls]
    assert 1 == len(lm.requests)


@both
@pytest.mark.parametrize(
    ("kind", "code"), [("rate_limit", "LM_RATE_LIMITED"), ("auth", "LM_REFUSED"), ("server", "LM_UNAVAILABLE")]
)
def test_a_language_model_that_fails_is_told_by_the_same_code(framework: Both, kind: Any, code: str) -> None:
    result, _ = ran([TEA, ChatFailure(kind)], framework)

    assert result.error is not None
    assert code == result.error.type
    assert ["shop_count"] == [call.name for call in result.tool_calls]


@both
def test_a_language_model_that_fails_at_once_is_a_run_that_failed(framework: Both) -> None:
    result, _ = ran([ChatFailure("rate_limit", retry_after=7)], framework)

    assert result.error is not None
    assert ("LM_RATE_LIMITED", 7000) == (result.error.type, result.error.retry_after_ms)
    assert ["user"] == [message.role for message in result.messages]


@both
def test_a_failed_run_is_not_remembered(framework: Both) -> None:
    asked, lm = made([ChatFailure("rate_limit"), "Hello."], framework)

    with altar.session() as session:
        with pytest.raises(AltarError):
            asked.run(session, "Once?").unwrap()
        asked.run(session, "Again?")

    assert ["Again?"] == [message.text for message in lm.requests[-1].messages]


@both
def test_a_prompt_that_is_no_text_is_refused(framework: Both) -> None:
    asked, _ = made([], framework)

    with altar.session() as session, pytest.raises(AltarError) as refused:
        asked.run(session, "  ")

    assert "MALFORMED_REQUEST" == refused.value.code


# ------------------------------------------------------------------------------------------------------------ memory


@both
def test_each_session_has_its_conversation_and_more_by_name(framework: Both) -> None:
    asked, lm = made(["A.", "B.", "C.", "D."], framework)

    with altar.session() as session:
        asked.run(session, "a")
        asked.run(session, "b", conversation="other")
        asked.forget(session, "other")
        asked.run(session, "c", conversation="other")
    with altar.session() as another:
        asked.run(another, "d")

    assert [["a"], ["b"], ["c"], ["d"]] == [[each.text for each in request.messages] for request in lm.requests]


def test_a_conversation_of_answers_with_a_type_goes_on_in_the_same_words_in_both() -> None:
    asked = []
    for framework in FRAMEWORKS:
        clerk, lm = made([ToolUse("submit", {"result": n}) for n in range(2)], framework, output=int, tools=[])
        with altar.session() as session:
            assert [0, 1] == [clerk.run(session, prompt).output for prompt in ("first", "second")]
        asked.append(without_model(lm.requests))

    assert asked[0] == asked[1]
    assert ["user", "assistant", "tool", "user"] == [message.role for message in asked[0][-1].messages]


@both
async def test_many_runs_at_once_do_not_mix(framework: Both) -> None:
    def script(request: ChatRequest) -> Any:
        if request.messages[-1].role == "tool":
            return f"{request.prompt}: {request.text}"
        return ToolUse("shop_order", {"item": request.prompt, "count": len(request.prompt)}, f"use_{request.prompt}")

    clerk, _ = made(ScriptedLM(script), framework)
    prompts = ["x" * n for n in range(1, 13)]

    async with altar.session() as session:
        results = await asyncio.gather(*(clerk.run(session, each, conversation=each) for each in prompts))

    for prompt, result in zip(prompts, results, strict=True):
        assert f'{prompt}: {{"item":"{prompt}","ordered":{len(prompt)}}}' == result.output
        assert [prompt] == [call.arguments["item"] for call in result.tool_calls]
    assert 12 == len({result.tool_calls[0].call_id for result in results})


@both
@pytest.mark.usefixtures("altar_registry")
def test_a_tool_by_the_name_of_the_answer_is_refused(framework: Both) -> None:
    def submit() -> int:
        """Submit."""
        return 1

    altar.tool(submit)
    asked, lm = made([], framework, output=int)

    with altar.session() as session, pytest.raises(AltarError, match="hands in its answer"):
        asked.run(session, "Hello?")

    assert [] == lm.requests


@both
def test_the_oldest_turns_are_forgotten_whole(framework: Both) -> None:
    asked, lm = made([TEA, "A.", TEA, "B.", "C."], framework, memory=Memory(turns=1))

    with altar.session() as session:
        for prompt in "abc":
            asked.run(session, prompt)

    assert ["b", "", "12", "B.", "c"] == [each.text for each in lm.requests[-1].messages]


def test_a_turn_larger_than_the_memory_is_not_kept() -> None:
    asked, lm = made(["x" * 2000, "B."], "dspy", memory=Memory(size=1000))

    with altar.session() as session:
        asked.run(session, "a")
        asked.run(session, "b")

    assert ["b"] == [each.text for each in lm.requests[-1].messages]


# ------------------------------------------------------------------------------------------------------------ stream


def events_of(framework: Both) -> list[Any]:
    asked, _ = made([TEA, "There are twelve."], framework)
    with altar.session() as session:
        return list(asked.stream(session, "How much tea?"))


def test_a_stream_tells_the_same_in_both() -> None:
    for framework in FRAMEWORKS:
        *told_, last = events_of(framework)

        assert [
            ToolCalled("shop_count", {"item": "tea"}, "call_1"),
            ToolAnswered("shop_count", "call_1", "success", "12"),
            TextPiece("There"),
            TextPiece(" are"),
            TextPiece(" twelve."),
        ] == told_
        assert isinstance(last, Finished)
        assert "There are twelve." == last.result.output
        assert {"input_tokens": 7, "output_tokens": 5} == {
            name: last.result.usage[name] for name in ("input_tokens", "output_tokens")
        }


@both
async def test_who_stops_reading_cancels_the_run(framework: Both) -> None:
    asked, _ = made([ToolUse("shop_waits"), "Done."], framework)
    stages[:] = asyncio.Event(), asyncio.Event()

    async with altar.session() as session:
        stream = asked.stream(session, "Wait.")
        assert isinstance(await anext(stream), ToolCalled)
        await stages[0].wait()
        await stream.aclose()

    assert stages[1].is_set()


@both
async def test_a_run_that_cannot_begin_raises_where_it_is_read(framework: Both) -> None:
    asked, _ = made([], framework, tools=["nothing"])

    async with altar.session() as session:
        with pytest.raises(AltarError):
            async for _ in asked.stream(session, "Hello?"):
                pass
