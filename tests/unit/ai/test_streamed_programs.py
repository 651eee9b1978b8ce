"""Programs that answer piece by piece: the text as it comes, or each field as it is complete."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any, Literal

import dspy
import pytest

import altar
from altar.ai import tool_from_module
from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatRequest
from altar.ai.lm.engine import dspy_lm
from altar.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("altar_registry")

ANSWER = {"reasoning": "It is known to all of us.", "answer": "Paris, of course.", "score": 7}
SIGNATURE = "question -> answer, score: int"


def streamed(tool: Any) -> list[Any]:
    async def read() -> list[Any]:
        async with altar.session([tool], source="later:") as session:
            return [value async for value in session.stream(tool, question="where?")]

    return asyncio.run(read())


def test_the_text_of_each_field_comes_in_pieces_and_then_the_whole() -> None:
    lm = ScriptedLM({"": ANSWER}).dspy()
    tool = tool_from_module(dspy.ChainOfThought(SIGNATURE), lm=lm, stream="tokens")

    *pieces, last = streamed(tool)

    assert {"result": ANSWER} == last
    texts = {name: "".join(each["text"] for each in pieces if each["field"] == name) for name in ANSWER}
    assert {"reasoning": ANSWER["reasoning"], "answer": ANSWER["answer"], "score": ""} == texts


def test_each_field_comes_once_in_the_order_of_the_answer() -> None:
    tool = tool_from_module(dspy.ChainOfThought(SIGNATURE), lm=ScriptedLM({"": ANSWER}).dspy(), stream="fields")

    *fields, last = streamed(tool)

    assert [{"field": name, "value": value} for name, value in ANSWER.items()] == fields
    assert {"result": ANSWER} == last


def test_a_call_of_it_gives_all_pieces_as_a_list_and_says_what_it_took() -> None:
    tool = tool_from_module(dspy.Predict(SIGNATURE), lm=ScriptedLM({"": ANSWER}).dspy(), stream="fields")

    with altar.session([tool], source="later:") as session:
        result = session.call(tool, question="where?")

    assert {"result": {"answer": ANSWER["answer"], "score": 7}} == result.unwrap()[-1]
    assert result.usage is not None
    assert 1 == result.usage["lm_calls"]


def test_a_program_of_two_steps_streams_the_fields_that_it_promises() -> None:
    class Steps(dspy.Module):
        """Answer in two steps."""

        def __init__(self) -> None:
            super().__init__()
            self.draft = dspy.Predict("question -> draft")
            self.answer = dspy.Predict("draft -> answer")

        def forward(self, question: str) -> Any:
            return self.answer(draft=self.draft(question=question).draft)

    lm = ScriptedLM({"": {"draft": "a first thought", "answer": "the last word"}}).dspy()
    tool = tool_from_module(Steps(), signature="question -> answer", lm=lm, stream="tokens")

    *pieces, last = streamed(tool)

    assert {"answer"} == {each["field"] for each in pieces}
    assert {"result": {"answer": "the last word"}} == last


def test_the_contract_promises_pieces_and_at_the_end_the_result() -> None:
    declaration = tool_from_module(dspy.Predict(SIGNATURE), stream="fields", register=False).declaration

    assert declaration.metadata["streaming"] is True
    assert declaration.returns is not None
    declaration.check_result([{"field": "score", "value": 1}, {"result": {"answer": "a", "score": 1}}])
    with pytest.raises(altar.ValidationError):
        declaration.check_result([{"field": "other", "value": 1}])
    with pytest.raises(altar.ValidationError):
        declaration.check_result([{"result": {"answer": "a"}}])


def test_a_failure_in_the_midst_ends_the_stream_with_its_error() -> None:
    class Breaks(dspy.Module):
        def forward(self, question: str) -> Any:
            raise altar.ExecutionError("RESOURCE_EXHAUSTED", "No more paper")

    tool = tool_from_module(
        Breaks(), name="breaks", signature="question -> answer", lm=ScriptedLM({"": ANSWER}).dspy(), stream="tokens"
    )

    with pytest.raises(altar.AltarError, match="No more paper"):
        streamed(tool)


def test_a_reader_who_leaves_ends_the_program_and_nothing_is_left_behind() -> None:
    broken: list[Any] = []

    async def leave() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, about: broken.append(about))
        tool = tool_from_module(dspy.Predict("question -> answer"), lm=LONG.dspy(), stream="tokens")
        async with altar.session([tool], source="later:") as session:
            stream = session.stream(tool, question="where?")
            async for _ in stream:
                assert dspy.settings.lm is None  # what the call was given stays in it
                break
            await stream.aclose()
            left = asyncio.ensure_future(session.call(tool, question="where?"))
            for _ in range(5):
                await asyncio.sleep(0)
            left.cancel()
            await asyncio.wait([left])
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(leave())

    assert [] == broken


class Talking:
    """A language model that says the same piece again and again, and counts how often."""

    name = "talking"

    def __init__(self, piece: str, *, most: int) -> None:
        self.piece = piece
        self.most = most
        self.said = 0

    def complete(self, request: ChatRequest) -> ChatAnswer:
        raise ChatFailure("server")

    def stream(self, request: ChatRequest) -> Iterator[str | ChatAnswer]:
        yield "[[ ## answer ## ]]\n"
        for _ in range(self.most):
            self.said += 1
            yield self.piece
        yield ChatAnswer("[[ ## answer ## ]]\n" + self.piece * self.most + "\n\n[[ ## completed ## ]]")


def test_a_reader_who_is_slow_lets_the_language_model_wait() -> None:
    talking = Talking("word ", most=20_000)
    tool = tool_from_module(dspy.Predict("question -> answer"), lm=dspy_lm(talking), stream="tokens")

    async def read_one() -> int:
        async with altar.session([tool], source="later:") as session:
            stream = session.stream(tool, question="where?")
            async for _ in stream:
                for _ in range(5_000):
                    await asyncio.sleep(0)
                break
            said = talking.said
            await stream.aclose()
            return said

    assert asyncio.run(read_one()) < 500


@pytest.mark.parametrize("stream", ["tokens", "fields"])
def test_an_answer_without_end_is_cut_at_the_limit_of_a_message(stream: Literal["tokens", "fields"]) -> None:
    talking = Talking("x" * 65_536, most=200)
    tool = tool_from_module(dspy.Predict("question -> answer"), lm=dspy_lm(talking), stream=stream)

    with pytest.raises(altar.AltarError, match="answer of the language model") as cut:
        streamed(tool)

    assert "MESSAGE_TOO_LARGE" == cut.value.code
    assert talking.said < 100


LONG = ScriptedLM({"": {"answer": "word " * 300}})
