"""Calls that people must approve, made by agents of LangGraph and of the OpenAI Agents SDK on a real host."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from agents import Agent, RunConfig, Runner, RunState
from agents.models.openai_chatcompletions import OpenAIChatCompletionsModel
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode
from langgraph.types import Command, interrupt
from openai import AsyncOpenAI

from altar.adapters.langchain import to_langchain, toolkit
from altar.adapters.openai_agents import to_openai_agents
from altar.testing import ScriptedLM, ToolUse
from tests.integration.approval_scene import ApprovalGrid


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApprovalGrid]:
    with ApprovalGrid(tmp_path_factory.mktemp("frameworks") / "grid") as made:
        made.people()
        made.deploy()
        yield made


def pay(amount: int) -> dict[str, Any]:
    return {"name": "pay", "args": {"amount": amount, "to": "bob"}, "id": f"call_{amount}", "type": "tool_call"}


def graph(tools: list[Any]) -> Any:
    built = StateGraph(MessagesState)
    built.add_node("tools", ToolNode(tools))
    built.add_edge(START, "tools")
    built.add_edge("tools", END)
    return built.compile(checkpointer=InMemorySaver())


def test_a_graph_stops_at_a_call_that_waits_for_approval_and_runs_it_once_when_resumed(scene: ApprovalGrid) -> None:
    config = {"configurable": {"thread_id": "1"}}
    with scene.session(scene.tokens["alice"]) as session:
        app = graph(to_langchain(session, ["pay"], interrupt=interrupt))

        stopped = app.invoke({"messages": [AIMessage("", tool_calls=[pay(601)])]}, config)
        (held,) = stopped["__interrupt__"]
        scene.approve("tom", held.value["handle"])
        ended = app.invoke(Command(resume="go on"), config)

    assert ("altar.approval", "pay", 601) == (held.value["type"], held.value["tool"], held.value["arguments"]["amount"])
    message = ended["messages"][-1]
    assert ("601", "success", 601) == (message.content, message.status, message.artifact["content"])
    assert 1 == len(scene.started(held.value["handle"]))


def test_a_graph_that_is_resumed_too_early_is_told_so(scene: ApprovalGrid) -> None:
    config = {"configurable": {"thread_id": "2"}}
    with scene.session(scene.tokens["alice"]) as session:
        app = graph(to_langchain(session, ["pay"], interrupt=interrupt))

        app.invoke({"messages": [AIMessage("", tool_calls=[pay(602)])]}, config)
        ended = app.invoke(Command(resume="go on"), config)

    message = ended["messages"][-1]
    assert ("error", "APPROVAL_PENDING") == (message.status, message.artifact["error"]["type"])


def test_without_a_graph_the_message_of_a_pending_call_is_resumed(scene: ApprovalGrid) -> None:
    with scene.session(scene.tokens["alice"]) as session:
        kit = toolkit(session, ["pay"], approval="return")
        (tool,) = kit.get_tools()

        pending = tool.invoke(pay(603))
        scene.approve("tom", pending.artifact["error"]["details"]["handle"])
        done = kit.resume(pending)

    assert "error" == pending.status
    assert ("603", "success", "call_603") == (done.content, done.status, done.tool_call_id)


def request_of(scene: ApprovalGrid, amount: int) -> str:
    """The handle of the one open request to pay so much, as somebody who may approve it sees it."""
    open_ = [
        str(one["approval_id"])
        for one in scene.as_("tom", "ListPendingApprovals")["approvals"]
        if one["state"] == "APPROVAL_STATE_PENDING"
    ]
    (handle,) = [one for one in open_ if f'"amount": {amount}' in scene.shown("tom", one)["arguments"]]
    return handle


async def go_on(agent: Any, kept: str) -> Any:
    """Let a run go on from the text of its state, as another process has it."""
    state = await RunState.from_json(agent, json.loads(kept))
    for interruption in state.get_interruptions():
        state.approve(interruption)
    return await Runner.run(agent, state, run_config=RunConfig(tracing_disabled=True))


def outcome(ended: Any) -> Any:
    """The whole result of the one call of a run."""
    (item,) = [one for one in ended.new_items if one.type == "tool_call_output_item"]
    return item.custom_data["altar"]


def test_a_run_of_the_agents_sdk_is_interrupted_and_goes_on_from_the_text_of_its_state(scene: ApprovalGrid) -> None:
    async def run() -> tuple[Any, Any, str, Any]:
        asks = ToolUse("pay", {"amount": 604, "to": "bob"})
        with scene.session(scene.tokens["alice"]) as session, ScriptedLM([asks, "Later.", "Paid."]).serve() as server:
            client = AsyncOpenAI(base_url=server.base_url, api_key="none")

            def agent() -> Any:
                model = OpenAIChatCompletionsModel(model="scripted", openai_client=client)
                return Agent(name="payer", model=model, tools=to_openai_agents(session, ["pay"]))

            stopped = await Runner.run(agent(), "Pay bob.", run_config=RunConfig(tracing_disabled=True))
            kept = json.dumps(stopped.to_state().to_json())
            early = await go_on(agent(), kept)
            handle = await asyncio.to_thread(request_of, scene, 604)
            await asyncio.to_thread(scene.approve, "tom", handle)
            ended = await go_on(agent(), kept)
            await client.close()
            return stopped, early, handle, ended

    stopped, early, handle, ended = asyncio.run(run())

    assert ["pay"] == [one.name for one in stopped.interruptions]
    assert ["APPROVAL_PENDING", 604] == [outcome(early)["error"]["type"], outcome(ended)["content"]]
    assert ([], "Paid.") == (ended.interruptions, ended.final_output)
    assert 1 == len(scene.started(handle))


def test_a_call_that_needs_no_approval_is_made_once(scene: ApprovalGrid) -> None:
    async def run() -> Any:
        asks = ToolUse("pay", {"amount": 5, "to": "bob"})
        with scene.session(scene.tokens["alice"]) as session, ScriptedLM([asks, "Paid."]).serve() as server:
            client = AsyncOpenAI(base_url=server.base_url, api_key="none")
            model = OpenAIChatCompletionsModel(model="scripted", openai_client=client)
            agent = Agent(name="payer", model=model, tools=to_openai_agents(session, ["pay"]))
            ended = await Runner.run(agent, "Pay bob.", run_config=RunConfig(tracing_disabled=True))
            await client.close()
            return ended

    ended = asyncio.run(run())

    (item,) = [one for one in ended.new_items if one.type == "tool_call_output_item"]
    assert ("5", 5) == (str(item.output), item.custom_data["altar"]["content"])
    assert 1 == len(scene.started(item.custom_data["altar"]["call_id"]))
