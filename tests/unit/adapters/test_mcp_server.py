"""The tools of a session as a server of MCP, asked by clients of both protocols."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import mcp_types as types
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from pydantic import Field

import altar
from altar.adapters.mcp import HttpServer, from_mcp, offered, to_mcp
from altar.adapters.mcp import server as serving
from altar.adm.errors import AltarError
from tests.unit.adapters.mcp_scene import PNG, SECRETS, TOOLS, on_a_port, running

Picture = Annotated[bytes, Field(json_schema_extra={"contentMediaType": "image/png"})]
BEGUN, LEFT = threading.Event(), threading.Event()


@altar.tool(read_only=True)
def served_sum(left: int, right: int = 1) -> int:
    """Add two numbers."""
    return left + right


@altar.tool
async def served_steps(steps: int, context: altar.ToolContext) -> dict[str, int]:
    """Take some steps."""
    for step in range(steps):
        context.progress(step, steps, "walking")
        await asyncio.sleep(0)
    return {"steps": steps}


@altar.tool
async def served_wait() -> None:
    """Wait for ever."""
    BEGUN.set()
    try:
        await asyncio.sleep(60)
    finally:
        LEFT.set()


@altar.tool
def served_picture() -> Picture:
    """Draw a picture."""
    return b"\x89PNG\r\n\x1a\n"


@altar.tool
def served_breaks() -> int:
    """Break."""
    raise KeyError("a secret of the tool")


@pytest.fixture
async def session() -> AsyncIterator[altar.Session]:
    async with altar.session() as opened:
        yield opened


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_every_tool_of_the_session_is_listed_and_called(session: altar.Session, mode: str) -> None:
    async with Client(to_mcp(session), mode=mode) as client:
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        summed = await client.call_tool("served_sum", {"left": 2, "right": 3})

    assert set(session.tools) == set(listed)
    assert {"left", "right"} == set(listed["served_sum"].input_schema["properties"])
    assert (True, False) == (
        listed["served_sum"].annotations.read_only_hint,
        listed["served_sum"].annotations.open_world_hint,
    )
    assert ({"result": 5}, False, "5") == (summed.structured_content, summed.is_error, summed.content[0].text)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_wrong_arguments_are_told_in_words_that_a_model_can_correct(session: altar.Session, mode: str) -> None:
    async with Client(to_mcp(session), mode=mode) as client:
        refused = await client.call_tool("served_sum", {"left": "two", "up": 1})

    text = "\n".join(block.text for block in refused.content)
    assert refused.is_error
    assert "`left` must be an integer" in text
    assert "served_sum(left: integer, right: integer = 1)" in text


async def test_a_failure_tells_nothing_of_the_inside_of_a_tool(session: altar.Session) -> None:
    async with Client(to_mcp(session)) as client:
        failed = await client.call_tool("served_breaks", {})

    assert failed.is_error
    assert "a secret of the tool" not in failed.model_dump_json()


@pytest.mark.parametrize("name", ["nothing", "served_sum@1.0.0", "x" * 5000])
async def test_a_tool_that_is_not_offered_is_an_error_of_the_protocol(session: altar.Session, name: str) -> None:
    async with Client(to_mcp(session)) as client:
        with pytest.raises(MCPError, match="There is no tool") as refused:
            await client.call_tool(name, {})

    assert types.INVALID_PARAMS == refused.value.code


async def test_only_the_tools_that_were_named_are_offered(session: altar.Session) -> None:
    async with Client(to_mcp(session, names=["served_sum"])) as client:
        listed = [tool.name for tool in (await client.list_tools()).tools]
        with pytest.raises(MCPError, match="There is no tool"):
            await client.call_tool("served_breaks", {})

    assert ["served_sum"] == listed


async def test_a_long_list_comes_in_pages(session: altar.Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(serving, "_PAGE", 2)
    found, cursor = [], None
    async with Client(to_mcp(session), cache=None) as client:
        while True:
            page = await client.list_tools(cursor=cursor)
            found += [tool.name for tool in page.tools]
            if (cursor := page.next_cursor) is None:
                break
        with pytest.raises(MCPError):
            await client.list_tools(cursor="-1")

    assert sorted(session.tools) == found


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_progress_reaches_the_client_before_the_result(session: altar.Session, mode: str) -> None:
    told: list[Any] = []

    async def hear(done: float, total: float | None, message: str | None) -> None:
        told.append((done, total, message))

    async with Client(to_mcp(session), mode=mode) as client:
        result = await client.call_tool("served_steps", {"steps": 3}, progress_callback=hear)

    assert {"steps": 3} == result.structured_content
    assert told
    assert (2, 3, "walking") == told[-1]


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_a_client_cancels_is_cancelled_in_the_session(session: altar.Session, mode: str) -> None:
    BEGUN.clear()
    LEFT.clear()
    async with Client(to_mcp(session), mode=mode) as client:
        call = asyncio.create_task(client.call_tool("served_wait", {}))
        await asyncio.to_thread(BEGUN.wait, 30)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(LEFT.wait, 30)

    assert LEFT.is_set()


async def test_an_image_of_the_contract_is_an_image_of_the_protocol(session: altar.Session) -> None:
    async with Client(to_mcp(session)) as client:
        drawn = await client.call_tool("served_picture", {})

    (image,) = [block for block in drawn.content if block.type == "image"]
    assert ("image/png", PNG) == (image.mime_type, image.data)


async def test_a_session_without_an_event_loop_is_served_too() -> None:
    with altar.session() as session:
        async with Client(to_mcp(session)) as client:
            summed = await client.call_tool("served_sum", {"left": 1})

    assert {"result": 2} == summed.structured_content


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with altar.session() as session, on_a_port(to_mcp(session)) as url:
        yield url


async def test_a_contract_is_the_same_after_it_went_out_and_came_back(address: str) -> None:
    back = await offered(HttpServer(address, ("Authorization",)), name="back", secrets=SECRETS)

    with altar.session() as session:
        for tool in back.tools:
            ours = session.declaration(tool.name)
            assert ours is not None
            assert (ours.parameters.json_schema, ours.returns and ours.returns.json_schema) == (
                tool.declaration.parameters.json_schema,
                tool.declaration.returns and tool.declaration.returns.json_schema,
            )
            assert (ours.description, ours.annotations, ours.version) == (
                tool.declaration.description,
                tool.declaration.annotations,
                tool.declaration.version,
            )
            assert () == tool.losses


async def test_an_altar_tool_is_called_through_mcp_as_one_of_another_server(address: str) -> None:
    kept = await offered(HttpServer(address, ("Authorization",)), name="back", secrets=SECRETS)
    with from_mcp(kept.only(["served_sum", "served_picture"]), prefix="far_", secrets=SECRETS):
        async with altar.session() as session:
            summed = await session.call("far_served_sum", left=20, right=22)
            drawn = await session.call("far_served_picture")

    assert 42 == summed.unwrap()
    assert b"\x89PNG" == drawn.bytes_at()[:4]


@pytest.mark.parametrize("shown", ["", "Bearer wrong", "Bearer " + "x" * 5000, "Basic YTpi"])
async def test_a_port_is_closed_to_who_does_not_show_its_token(address: str, shown: str) -> None:
    where = HttpServer(address, ("Authorization",) if shown else ())

    with pytest.raises(AltarError) as refused:
        await offered(where, name="back", secrets={"Authorization": shown} if shown else {})

    assert "DEPENDENCY_UNAVAILABLE" == refused.value.code


async def test_blocks_of_another_server_are_passed_on_as_they_are() -> None:
    with running() as scene:
        kept = await offered(scene.server, name="scene", secrets=SECRETS)
        with from_mcp(kept.only(["draw"]), secrets=SECRETS):
            async with altar.session() as session, Client(to_mcp(session)) as client:
                drawn = await client.call_tool("draw", {})

    assert "draw" in TOOLS
    assert [("text", "here"), ("image", PNG)] == [
        (block.type, block.text if block.type == "text" else block.data) for block in drawn.content
    ]
    assert drawn.structured_content is None
