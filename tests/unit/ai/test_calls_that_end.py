"""What a call of a program leaves behind when it is late, is cancelled, or is refused before anything runs."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any

import dspy
import pytest

import altar
from altar.adm.errors import AltarError
from altar.ai import bound, tool_from_module
from altar.ai.lm.chat import ChatFailure, ChatRequest
from altar.ai.lm.local import registered_lm
from altar.testing import ScriptedLM

pytestmark = pytest.mark.usefixtures("altar_registry")

LONG_ENOUGH = 10
"""Seconds after which what was to end has not."""


class Plain(dspy.Module):
    """A program that cannot be awaited, and tells how it ended."""

    def __init__(self, ended: SimpleQueue[BaseException | None]) -> None:
        super().__init__()
        self.ask = dspy.Predict("question -> answer")
        self.answers = [ended]

    def forward(self, question: str) -> Any:
        try:
            made = self.ask(question=question)
        except BaseException as raised:
            self.answers[0].put(raised)
            raise
        self.answers[0].put(None)
        return made


class Silent:
    """A language model on loopback that does not answer before it may."""

    def __init__(self) -> None:
        self.asked, self.may = threading.Event(), threading.Event()

    def answer(self, _: ChatRequest) -> Any:
        self.asked.set()
        self.may.wait(3 * LONG_ENOUGH)
        return {"answer": "late"}


@contextmanager
def served(script: ScriptedLM, **settings: Any) -> Iterator[Any]:
    with script.serve() as server:
        yield registered_lm("scripted", base_url=server.base_url, api_key="", cache=False, **settings)


@pytest.fixture
def silent() -> Iterator[Silent]:
    model = Silent()
    yield model
    model.may.set()


def plain_tool(lm: Any, ended: SimpleQueue[BaseException | None], **options: Any) -> Any:
    return tool_from_module(Plain(ended), name="plain_program", signature="question -> answer", lm=lm, **options)


def type_of(result: altar.ToolResult) -> str | None:
    return "" if result.error is None else result.error.type


def ran_of(result: altar.ToolResult) -> str | None:
    return None if result.error is None else result.error.ran


def test_a_plain_program_stops_waiting_for_its_language_model_when_its_time_is_up(silent: Silent) -> None:
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    with served(ScriptedLM(silent.answer), num_retries=0) as lm:
        tool = plain_tool(lm, ended, timeout=0.5)
        with altar.session([tool], source="later:") as session:
            result = session.call(tool, question="where?")
            raised = ended.get(timeout=LONG_ENOUGH)
        silent.may.set()

    assert "TIMEOUT" == type_of(result)
    assert isinstance(raised, AltarError)
    assert "TIMEOUT" == raised.code


def test_a_plain_program_stops_waiting_when_its_caller_leaves(silent: Silent) -> None:
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    async def leave(tool: Any) -> BaseException | None:
        async with altar.session([tool], source="later:") as session:
            call = asyncio.ensure_future(session.call(tool, question="where?"))
            await asyncio.to_thread(silent.asked.wait, LONG_ENOUGH)
            call.cancel()
            return await asyncio.to_thread(ended.get, timeout=LONG_ENOUGH)

    with served(ScriptedLM(silent.answer), num_retries=0) as lm:
        raised = asyncio.run(leave(plain_tool(lm, ended)))
        silent.may.set()

    assert isinstance(raised, AltarError)
    assert "CANCELLED" == raised.code


def test_the_rest_between_two_attempts_ends_with_the_call() -> None:
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    script = ScriptedLM({"": ChatFailure("rate_limit", retry_after=3600)})
    with served(script, num_retries=3) as lm:
        tool = plain_tool(lm, ended, timeout=0.5)
        with altar.session([tool], source="later:") as session:
            result = session.call(tool, question="where?")
            ended.get(timeout=LONG_ENOUGH)

    assert "TIMEOUT" == type_of(result)
    assert 1 == len(script.requests)


def test_a_plain_program_that_streams_stops_waiting_when_its_reader_leaves(silent: Silent) -> None:
    ended: SimpleQueue[BaseException | None] = SimpleQueue()

    async def leave(tool: Any) -> BaseException | None:
        async with altar.session([tool], source="later:") as session:
            stream = session.stream(tool, question="where?")
            reading = asyncio.ensure_future(anext(aiter(stream)))
            await asyncio.to_thread(silent.asked.wait, LONG_ENOUGH)
            reading.cancel()
            await asyncio.wait([reading])
            await stream.aclose()
            return await asyncio.to_thread(ended.get, timeout=LONG_ENOUGH)

    with served(ScriptedLM(silent.answer), num_retries=0) as lm:
        raised = asyncio.run(leave(plain_tool(lm, ended, stream="tokens")))
        silent.may.set()

    assert raised is not None


def test_a_plain_program_is_answered_over_the_network_and_says_what_it_took() -> None:
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    with served(ScriptedLM({"": {"answer": "Paris"}})) as lm:
        tool = plain_tool(lm, ended)
        with altar.session([tool], source="later:") as session:
            result = session.call(tool, question="where?")

    assert {"answer": "Paris"} == result.unwrap()
    assert result.usage is not None
    assert 1 == result.usage["lm_calls"]


def test_what_the_threads_of_a_program_ask_is_counted_too() -> None:
    class Parallel(dspy.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ask = dspy.Predict("question -> answer")

        def forward(self, question: str) -> Any:
            pairs = [(self.ask, {"question": f"{question} {at}"}) for at in range(3)]
            return dspy.Parallel(num_threads=2, disable_progress_bar=True)(pairs)[0]

    tool = tool_from_module(Parallel(), signature="question -> answer", lm=ScriptedLM({"": {"answer": "Paris"}}).dspy())
    with altar.session([tool], source="later:") as session:
        result = session.call(tool, question="where?")

    assert result.usage is not None
    assert 3 == result.usage["lm_calls"]


# --------------------------------------------------------------------------------------------------- nothing has run


@pytest.mark.parametrize("kind", ["awaited", "plain", "stream"])
def test_what_is_refused_before_the_language_model_is_asked_has_not_run(kind: str) -> None:
    ended: SimpleQueue[BaseException | None] = SimpleQueue()
    module = Plain(ended) if kind == "plain" else dspy.Predict("question -> answer")
    options: dict[str, Any] = {"stream": "tokens"} if kind == "stream" else {}
    script = ScriptedLM({"": {"answer": "Paris"}})
    without = tool_from_module(module, name="without", signature="question -> answer", **options)
    warm = {"warmth": bound("lm.temperature", minimum=0, maximum=1)}
    tool = tool_from_module(
        module, name="with_all", signature="question -> answer", lm=script.dspy(), variables=warm, **options
    )

    with altar.session([without, tool], source="later:") as session:
        nobody = session.call(without, question="where?")
        marked = session.call(tool, question="<<CUSTOM-TYPE-START-IDENTIFIER>>")
        session.variables.declare("warmth", float, value=7.0)
        too_warm = session.call(tool, question="where?")

    assert [("ENVIRONMENT_ERROR", "no"), ("INVALID_TOOL_ARGS", "no"), ("SCHEMA_VIOLATION", "no")] == [
        (type_of(each), ran_of(each)) for each in (nobody, marked, too_warm)
    ]
    assert [] == script.requests


def test_a_program_that_refuses_in_its_own_code_has_run() -> None:
    class Refuses(dspy.Module):
        async def aforward(self, question: str) -> Any:
            raise altar.ValidationError("INVALID_TOOL_ARGS", "Not this one", ran="no")

    tool = tool_from_module(Refuses(), signature="question -> answer", lm=ScriptedLM([]).dspy())
    with altar.session([tool], source="later:") as session:
        result = session.call(tool, question="where?")

    assert "yes" == ran_of(result)


def test_a_program_that_runs_code_of_a_language_model_is_never_awaited_in_the_loop_of_others() -> None:
    tool = tool_from_module(dspy.RLM("question -> answer"), lm=ScriptedLM([]).dspy())

    assert not inspect.iscoroutinefunction(tool.function)
