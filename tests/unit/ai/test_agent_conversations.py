"""Conversations of agents by random scripts: both frameworks ask the same, and each request is one that is accepted."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

import altar
from altar.adm.errors import AltarError
from altar.ai.agents import AgentResult, Limits, Memory, ToolCalled
from altar.later.registry import REGISTRY
from altar.testing import ChatAnswer, ChatFailure, ChatRequest, ScriptedLM, ToolUse
from tests.unit.ai.agent_scene import FRAMEWORKS, TEA, Both, both, made, shop_count, stages, without_model

# ------------------------------------------------------------------------------------------------ by random scripts

SUBMITTED = ToolUse("submit", {"result": 1})
texts = st.sampled_from(["", "Twelve.", "Zwölf Stück für 東京 🍵.", " "])
items = st.sampled_from(["tea", "Öl", "東京", ""])
uses = st.one_of(
    st.builds(lambda item: ToolUse("shop_count", {"item": item}), items),
    st.builds(lambda item, count: ToolUse("shop_order", {"item": item, "count": count}), items, st.integers(0, 2)),
    st.builds(lambda item: ToolUse("shop_order", {"item": item, "größe": 1}), items),
    st.just(ToolUse("shop_count", {"item": 3})),
    st.just(ToolUse("shop_count", {})),
    st.just(ToolUse("shop_breaks")),
    st.just(ToolUse("größe", {"x": [1, {"y": None}]})),
    st.just(ToolUse("shop_lost")),
    st.builds(lambda seen: ToolUse("shop_next", {"seen": seen}), st.lists(st.integers(0, 3), max_size=2)),
    st.builds(lambda n: ToolUse("submit", {"result": n}), st.sampled_from([1, "one", None])),
)
asked = st.lists(uses, min_size=1, max_size=3)
same_id = asked.map(lambda many: [replace(use, id="same") for use in many])
said_and_asked = st.builds(lambda text, many: ChatAnswer(text, tuple(many)), texts, asked)
answers = st.one_of(texts, asked, asked, same_id, said_and_asked, st.just(ChatFailure("rate_limit")))
scripts = st.lists(answers, min_size=1, max_size=10)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@example(script=[[SUBMITTED, SUBMITTED]], output=int, streamed=False)
@example(script=[[ToolUse("submit", {"result": "one"}), SUBMITTED, TEA]], output=int, streamed=True)
@example(script=["", [TEA, TEA], ""], output=None, streamed=False)
@example(script=[[TEA, SUBMITTED], [TEA, TEA, TEA], [TEA, TEA], "Twelve."], output=None, streamed=False)
@given(script=scripts, output=st.sampled_from([None, int]), streamed=st.booleans())
def test_any_script_gives_the_same_conversation_in_both(script: list[Any], output: Any, *, streamed: bool) -> None:
    limits = Limits(tool_calls=4, requests=6)
    results, requests = [], []
    for framework in FRAMEWORKS:
        clerk, lm = made([*script, "Bye."], framework, output=output, instructions="Help.", limits=limits)
        with altar.session() as session:
            results.append([asked_once(clerk, session, prompt, streamed=streamed) for prompt in ("a?", "b?", "c?")])
        requests.append(without_model(lm.requests))

    assert requests[0] == requests[1]
    assert [seen(result) for result in results[0]] == [seen(result) for result in results[1]]
    for request in requests[0]:
        require_accepted(request)


@both
def test_empty_answers_that_do_not_follow_on_each_other_end_no_run(framework: Both) -> None:
    clerk, lm = made(["", TEA, "", ToolUse("shop_next", {"seen": []}), "Twelve.", "", ""], framework)

    with altar.session() as session:
        assert "Twelve." == clerk.run(session, "?").unwrap()
        ended = clerk.run(session, "?")

    assert "LM_BAD_ANSWER" == (ended.error and ended.error.type)
    assert all(message.text or message.tool_uses for message in ended.messages)
    assert all(message.text or message.tool_uses for request in lm.requests for message in request.messages)


def asked_once(clerk: Any, session: Any, prompt: str, *, streamed: bool) -> AgentResult:
    if not streamed:
        result: AgentResult = clerk.run(session, prompt)
        return result
    *_, last = clerk.stream(session, prompt)
    found: AgentResult = last.result
    return found


def seen(result: AgentResult) -> Any:
    """All of a run that both frameworks must agree on."""
    error = result.error
    return (
        result.output,
        result.messages,
        dict(result.usage),
        [replace(call, call_id=str(bool(call.call_id))) for call in result.tool_calls],
        None if error is None else (error.type, error.ran, error.message.replace(" 'altar/scripted'", ""), error.hint),
    )


def require_accepted(request: ChatRequest) -> None:
    """Fail for a request that a provider would refuse: each wish for a tool has its answer, right after it."""
    messages = [message for message in request.messages if message.role != "system"]
    assert "user" == messages[0].role
    assert messages[-1].role in {"user", "tool"}
    waiting: list[str] = []
    for message in messages:
        if message.role == "tool":
            assert message.answers in waiting
            waiting.remove(message.answers)
            continue
        assert [] == waiting
        waiting = [use.id for use in message.tool_uses]
        assert len(waiting) == len(set(waiting))
    assert [] == waiting


# --------------------------------------------------------------------------------- runs that end before their answer


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(script=scripts, after=st.integers(1, 6))
def test_a_stream_that_is_left_anywhere_leaves_a_conversation_that_goes_on(script: list[Any], after: int) -> None:
    """What was left is forgotten whole, and what the models are asked next is the same in both."""
    requests = []
    for framework in FRAMEWORKS:
        heard, heard_lm = made([*script, "Bye."], framework, instructions="Help.")
        with altar.session() as session:
            heard.run(session, "a?")
            until_now = len(heard_lm.requests)
            events = heard.stream(session, "b?")
            for _ in zip(range(after), events):  # noqa: B905 (it is left where the shorter one ends)
                pass
            events.close()  # type: ignore[attr-defined]  # it is a generator
            heard = heard.using(model=ScriptedLM(["C."]))
            last = heard.run(session, "c?")
        assert "C." == last.output
        requests.append(without_model(heard_lm.requests[: until_now + 1]))
        for request in heard_lm.requests:
            require_accepted(request)

    assert requests[0] == requests[1]


@both
async def test_a_run_that_is_cancelled_in_a_call_is_forgotten_and_its_conversation_goes_on(framework: Both) -> None:
    clerk, lm = made(["A.", [TEA, ToolUse("shop_waits")], "C."], framework)
    stages[:] = asyncio.Event(), asyncio.Event()

    async with altar.session() as session:
        await clerk.run(session, "a")
        run = asyncio.create_task(_awaited(clerk.run(session, "b")))
        await stages[0].wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert stages[1].is_set()
        await clerk.run(session, "c")

    assert ["a", "A.", "c"] == [message.text for message in lm.requests[-1].messages]


async def _awaited(run: Any) -> AgentResult:
    result: AgentResult = await run
    return result


# ----------------------------------------------------------------------------------------------- at the same time


@both
async def test_a_conversation_has_one_run_at_a_time_and_others_are_refused(framework: Both) -> None:
    clerk, lm = made([ToolUse("shop_waits"), "B.", "C."], framework)
    stages[:] = asyncio.Event(), asyncio.Event()

    async with altar.session() as session:
        stream = clerk.stream(session, "a")
        assert isinstance(await anext(stream), ToolCalled)
        await stages[0].wait()
        with pytest.raises(AltarError) as refused:
            await clerk.run(session, "b")
        with pytest.raises(AltarError):
            await anext(clerk.stream(session, "b"))
        other = await clerk.run(session, "b", conversation="other")
        await stream.aclose()
        last = await clerk.run(session, "c")

    assert ("RESOURCE_CONFLICT", "no") == (refused.value.code, refused.value.ran)
    assert ("B.", "C.") == (other.output, last.output)
    assert ["c"] == [message.text for message in lm.requests[-1].messages]


@both
async def test_a_stream_that_nobody_reads_any_more_is_waited_for_and_not_in_the_way(framework: Both) -> None:
    clerk, lm = made([ToolUse("shop_waits"), "B."], framework)
    stages[:] = asyncio.Event(), asyncio.Event()

    async with altar.session() as session:
        async for event in clerk.stream(session, "a"):
            assert isinstance(event, ToolCalled)
            await stages[0].wait()
            break
        result = await clerk.run(session, "b")

    assert stages[1].is_set()
    assert "B." == result.unwrap()
    assert ["b"] == [message.text for message in lm.requests[-1].messages]


@both
async def test_runs_that_remember_nothing_do_not_meet(framework: Both) -> None:
    def script(request: ChatRequest) -> Any:
        return request.text if request.messages[-1].role == "tool" else ToolUse("shop_order", {"item": request.prompt})

    clerk, lm = made(ScriptedLM(script), framework, memory=Memory(turns=0))

    async with altar.session() as session:
        results = await asyncio.gather(*(clerk.run(session, item) for item in "abc"))

    assert [f'{{"item":"{item}","ordered":1}}' for item in "abc"] == [result.output for result in results]
    assert 1 == max(sum(message.role == "user" for message in request.messages) for request in lm.requests)


# --------------------------------------------------------------------------------------------------- what is handed in


class Colour(Enum):
    """A colour, by a value that is not ASCII."""

    GREEN = "grün"
    BLACK = "schwarz"


class Tea(BaseModel):
    """A kind of tea; one of its names is not ASCII."""

    colour: Colour
    size: Literal["klein", "groß"] = Field("klein", alias="größe")
    sold: dict[str, list[float]] = Field(default_factory=dict)


class Menu(BaseModel):
    """What there is, with objects in objects."""

    teas: list[Tea] = Field(min_length=1)
    best: Tea | None = None


GREEN: Any = {"colour": "grün", "größe": "groß", "sold": {"東京": [1.5, 2]}}
MENU: Any = {"teas": [GREEN], "best": {"colour": "schwarz"}}
HANDED_IN = [
    ToolUse("submit", {"teas": []}),
    ToolUse("submit", {"teas": [{"colour": "blau"}]}),
    ToolUse("submit", {"teas": [{"colour": "grün", "größe": 3}]}),
    [ToolUse("submit", MENU), TEA],
]


@pytest.mark.parametrize("streamed", [False, True])
def test_objects_in_objects_and_enums_are_asked_for_and_corrected_in_the_same_words_in_both(*, streamed: bool) -> None:
    last = ToolUse("submit", {"teas": [{"colour": "grün"}], "best": None})
    seen_in, requests = [], []
    for framework in FRAMEWORKS:
        clerk, lm = made([*HANDED_IN, last], framework, output=Menu, retries=5)
        with altar.session() as session:
            results = [asked_once(clerk, session, "?", streamed=streamed) for _ in range(2)]
        assert Menu.model_validate(MENU) == results[0].unwrap()
        assert [("shop_count", "success")] == [(call.name, call.status) for call in results[0].tool_calls]
        assert Menu.model_validate({"teas": [{"colour": Colour.GREEN}]}) == results[1].unwrap()
        seen_in.append([seen(result) for result in results])
        requests.append(without_model(lm.requests))

    assert seen_in[0] == seen_in[1]
    assert requests[0] == requests[1]
    assert {"teas", "best"} == set(dict(requests[0][0].tools[-1].parameters)["properties"])  # type: ignore[arg-type]  # an object
    for request in requests[0]:
        require_accepted(request)


@both
@pytest.mark.usefixtures("altar_registry")
def test_an_agent_that_is_a_tool_gives_its_objects_by_the_names_of_its_contract(framework: Both) -> None:
    clerk, _ = made(HANDED_IN, framework, output=Menu, retries=5, tools=["shop_count"])
    tool = clerk.as_tool()
    REGISTRY.register(shop_count)

    with altar.session([tool, shop_count]) as session:
        given_back: Any = session.call("clerk", prompt="?").unwrap()

    assert GREEN == given_back["teas"][0]


@both
@pytest.mark.usefixtures("altar_registry")
def test_each_call_of_an_agent_that_is_a_tool_is_a_conversation_of_its_own(framework: Both) -> None:
    clerk, lm = made(["A.", "B."], framework, tools=[])

    with altar.session([clerk.as_tool()]) as session:
        answers = [session.call("clerk", prompt=prompt).unwrap() for prompt in "ab"]

    assert ["A.", "B."] == answers
    assert [["a"], ["b"]] == [[message.text for message in request.messages] for request in lm.requests]


class Chain(BaseModel):
    """What refers to itself."""

    name: str
    rest: Chain | None = None


@both
def test_an_answer_may_refer_to_itself(framework: Both) -> None:
    handed_in: Any = {"result": {"name": "a", "rest": {"name": "b", "rest": {"name": 3}}}}
    right: Any = {"result": {"name": "a", "rest": {"name": "b"}}}

    clerk, lm = made([ToolUse("submit", handed_in), ToolUse("submit", right)], framework, output=Chain)
    with altar.session() as session:
        result = clerk.run(session, "?")

    assert Chain(name="a", rest=Chain(name="b")) == result.unwrap()
    assert "rest" in lm.requests[1].text


@pytest.mark.usefixtures("altar_registry")
def test_a_name_that_is_no_identifier_is_refused_under_dspy_and_works_under_pydantic_ai() -> None:
    @altar.tool(name="shop-size")
    def size(of: str) -> str:
        """Say how large it is."""
        return of

    script = [ToolUse("shop-size", {"of": "tea"}), "Large."]
    clerk, lm = made(script, "dspy", tools=[size])

    with altar.session([size]) as session:
        with pytest.raises(AltarError, match="code cannot write that name"):
            clerk.run(session, "How large?")
        assert [] == lm.requests
        assert "Large." == clerk.using("pydantic_ai").run(session, "How large?").unwrap()
