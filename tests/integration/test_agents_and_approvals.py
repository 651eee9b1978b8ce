"""Calls of agents that a person must approve: the run stops, the host decides, and the call is made once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from mcp.client.client import Client
from mcp_types import ElicitResult
from pydantic_ai import Agent, DeferredToolRequests
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.tools import ToolApproved

from altar.adapters.mcp import to_mcp
from altar.adapters.pydantic_ai import decided, to_pydantic_ai
from tests.integration.approval_scene import ApprovalGrid

pytestmark = pytest.mark.timeout(180)  # its first test waits for a host, and for what it runs


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApprovalGrid]:
    with ApprovalGrid(tmp_path_factory.mktemp("agents") / "grid") as made:
        made.people()
        made.deploy()
        yield made


class Payer:
    """An agent whose model asks once for a payment and then says what it was answered."""

    def __init__(self, session: Any, amount: int) -> None:
        self._amount = amount
        self.answers: list[tuple[str, Any]] = []
        self.agent = Agent(
            FunctionModel(self._answer),
            toolsets=[to_pydantic_ai(session, ["pay"])],
            output_type=[str, DeferredToolRequests],
        )

    def _answer(self, messages: list[Any], info: Any) -> Any:
        told = [part for part in messages[-1].parts if part.part_kind == "tool-return"]
        self.answers += [(part.outcome, part.content) for part in told]
        if told:
            return ModelResponse(parts=[TextPart("done")])
        return ModelResponse(parts=[ToolCallPart("pay", {"amount": self._amount, "to": "bob"}, tool_call_id="c1")])


def handle_of(requests: Any) -> str:
    return str(requests.metadata["c1"]["altar_handle"])


async def test_a_run_stops_for_a_person_and_goes_on_with_what_the_host_knows(scene: ApprovalGrid) -> None:
    async with scene.session(scene.tokens["alice"]) as session:
        payer = Payer(session, 901)
        stopped = await payer.agent.run("pay")
        handle = handle_of(stopped.output)
        await asyncio.to_thread(scene.approve, "tom", handle)
        results = await decided(session, stopped.output)
        first = await payer.agent.run(message_history=stopped.all_messages(), deferred_tool_results=results)
        again = await payer.agent.run(message_history=stopped.all_messages(), deferred_tool_results=results)

    assert ("done", "done") == (first.output, again.output)
    assert [("success", 901), ("success", 901)] == payer.answers
    assert 1 == len(scene.started(handle))


async def test_who_says_that_a_call_is_approved_decides_nothing(scene: ApprovalGrid) -> None:
    async with scene.session(scene.tokens["alice"]) as session:
        payer = Payer(session, 902)
        stopped = await payer.agent.run("pay")
        claimed = stopped.output.build_results(approve_all=True, metadata=stopped.output.metadata)
        asked = await payer.agent.run(message_history=stopped.all_messages(), deferred_tool_results=claimed)
        bare = stopped.output.build_results(approve_all=True)
        again = await payer.agent.run(message_history=stopped.all_messages(), deferred_tool_results=bare)

    assert isinstance(asked.output, DeferredToolRequests)
    assert isinstance(again.output, DeferredToolRequests)
    assert handle_of(stopped.output) == handle_of(asked.output) == handle_of(again.output)
    assert [] == scene.started(handle_of(stopped.output))


async def test_an_approval_is_good_for_the_arguments_that_were_approved_alone(scene: ApprovalGrid) -> None:
    async with scene.session(scene.tokens["alice"]) as session:
        payer = Payer(session, 903)
        stopped = await payer.agent.run("pay")
        handle = handle_of(stopped.output)
        await asyncio.to_thread(scene.approve, "tom", handle)
        swapped = await decided(session, stopped.output)
        swapped.approvals["c1"] = ToolApproved(override_args={"amount": 903, "to": "mallory"})
        await payer.agent.run(message_history=stopped.all_messages(), deferred_tool_results=swapped)

    ((outcome, told),) = payer.answers
    assert "failed" == outcome
    assert "APPROVAL_VOID" in told
    assert [] == scene.started(handle)


async def test_a_refusal_and_a_silence_are_told_to_the_model_and_nothing_runs(scene: ApprovalGrid) -> None:
    async with scene.session(scene.tokens["alice"]) as session:
        refused, silent = Payer(session, 904), Payer(session, 905)
        first, second = await refused.agent.run("pay"), await silent.agent.run("pay")
        await asyncio.to_thread(scene.refuse, "tom", handle_of(first.output))
        for payer, stopped in ((refused, first), (silent, second)):
            results = await decided(session, stopped.output)
            await payer.agent.run(message_history=stopped.all_messages(), deferred_tool_results=results)

    assert [("denied", "A person refused this call; it did not run.")] == refused.answers
    assert [("denied", "Nobody has decided on this call yet; it did not run.")] == silent.answers
    assert [] == scene.started(handle_of(first.output)) + scene.started(handle_of(second.output))


# ------------------------------------------------------------------------------------------------------------------ MCP


async def test_the_user_of_a_client_is_asked_and_the_call_is_made_once_it_is_approved(scene: ApprovalGrid) -> None:
    asked: list[str] = []

    async def ask(context: Any, params: Any) -> Any:
        asked.append(params.message)
        handle = next(word for word in params.message.replace(".", " ").split() if word.startswith("approval-"))
        if len(asked) == 2:
            await asyncio.to_thread(scene.approve, "tom", handle)
        return ElicitResult(action="accept", content={})

    async with (
        scene.session(scene.tokens["alice"]) as session,
        Client(to_mcp(session), elicitation_callback=ask) as client,
    ):
        paid = await client.call_tool("pay", {"amount": 911, "to": "bob"})

    assert {"result": 911} == paid.structured_content
    assert 2 == len(asked)  # the first answer came before anybody had approved


async def test_a_user_who_declines_gives_the_call_up(scene: ApprovalGrid) -> None:
    async def decline(context: Any, params: Any) -> Any:
        return ElicitResult(action="decline")

    async with (
        scene.session(scene.tokens["alice"]) as session,
        Client(to_mcp(session), elicitation_callback=decline) as client,
    ):
        given_up = await client.call_tool("pay", {"amount": 912, "to": "bob"})

    assert given_up.is_error
    assert "did not run" in given_up.content[0].text


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_cannot_ask_is_told_the_handle_and_gives_it_back(scene: ApprovalGrid, mode: str) -> None:
    amount = {"auto": 913, "legacy": 914}[mode]
    async with scene.session(scene.tokens["alice"]) as session, Client(to_mcp(session), mode=mode) as client:
        waits = await client.call_tool("pay", {"amount": amount, "to": "bob"})
        handle = waits.meta["altar/error"]["details"]["handle"]
        await asyncio.to_thread(scene.approve, "tom", handle)
        meta = {"altar/approval": handle}
        swapped = await client.call_tool("pay", {"amount": amount, "to": "mallory"}, meta=meta)
        paid = await client.call_tool("pay", {"amount": amount, "to": "bob"}, meta=meta)
        again = await client.call_tool("pay", {"amount": amount, "to": "bob"}, meta=meta)

    assert (True, True) == (waits.is_error, swapped.is_error)
    assert "APPROVAL_VOID" == swapped.meta["altar/error"]["type"]
    assert {"result": amount} == paid.structured_content == again.structured_content
    assert 1 == len(scene.started(handle))


async def test_a_state_that_a_client_made_up_is_refused(scene: ApprovalGrid) -> None:
    async with scene.session(scene.tokens["alice"]) as session, Client(to_mcp(session)) as client:
        with pytest.raises(Exception, match="Invalid or expired requestState"):
            await client.call_tool(
                "pay", {"amount": 915, "to": "bob"}, request_state="approval-000000000000000000000000"
            )
