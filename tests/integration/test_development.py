"""DEVELOPMENT: contracts that runtimes bring, for all sessions or for one, and how they go again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from altar._proto.altar.grid.v1 import runtime_pb2
from altar.testing import GridProcess, LocalGrid, until
from tests.integration import raw, registering_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

BASE = '''import altar


@altar.tool
def base(n: int) -> int:
    """A tool of the manifest."""
    return n
'''
CLASHING = '''import altar


@altar.tool
def base(text: str) -> str:
    """Not the tool of the manifest, but called like it."""
    return text


@altar.tool
def fresh() -> int:
    """A tool that nobody has yet."""
    return 1
'''
CRASHING = '''import altar, os, signal


@altar.tool(read_only=True, idempotent=True)
def crash() -> None:
    """Take the whole runtime along."""
    os.kill(os.getpid(), signal.SIGKILL)
'''
DEVELOPMENT = {"host.mode": "development", "environment": "development"}


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    at = tmp_path_factory.mktemp("development")
    (at / "base.py").write_text(BASE)
    (at / "clashing.py").write_text(CLASHING)
    settings = DEVELOPMENT | {"runtime.register_tools": "true"}
    with LocalGrid([str(at / "base.py")], runtimes=1, directory=at, settings=settings) as running:
        yield running
        stop_and_audit(running)


def events(grid: LocalGrid, name: str) -> list[str]:
    return [f"{one['subject']}: {one['note']}" for one in grid.entries() if one.get("event") == name]


async def leave(process: GridProcess) -> None:
    await asyncio.to_thread(process.end)


async def test_a_registered_tool_is_called_like_any_other_and_goes_with_its_runtime(grid: LocalGrid) -> None:
    async with grid.session() as waiting:
        runtime = await asyncio.to_thread(grid.start_runtime, 2, modules=[registering_tools.__file__])
        async with grid.session() as session:
            greeting = await session.call("greet", name="Ada")
        await asyncio.to_thread(until, lambda: "greet" in waiting.tools, what="the news in an older session")
        heard = await waiting.call("greet", name="Bob")
        await leave(runtime)
        async with grid.session() as session:
            gone = await session.call("greet", name="Ada")

    assert ("hello Ada", "hello Bob") == (greeting.unwrap(), heard.unwrap())
    assert gone.error is not None
    assert "UNSUPPORTED_TOOL" == gone.error.type
    assert "runtime-2: greet@1.2.0 for all sessions" in events(grid, "tools.registered")


async def test_a_tool_that_several_runtimes_brought_goes_with_the_last_of_them(grid: LocalGrid) -> None:
    two, three = [
        await asyncio.to_thread(grid.start_runtime, number, modules=[registering_tools.__file__]) for number in (2, 3)
    ]

    await leave(two)
    async with grid.session() as session:
        still = await session.call("double", n=2)
    await leave(three)
    async with grid.session() as session:
        names = session.tools

    assert 4 == still.unwrap()
    assert "double" not in names


async def test_what_clashes_with_the_manifest_is_refused_and_the_rest_registered(grid: LocalGrid) -> None:
    runtime = await asyncio.to_thread(grid.start_runtime, 2, modules=[str(grid.directory / "clashing.py")])

    async with grid.session() as session:
        base, fresh = await session.call("base", n=5), await session.call("fresh")
    await leave(runtime)

    assert (5, 1) == (base.unwrap(), fresh.unwrap())
    assert ["fresh"] == runtime.announced[0]["tools"]


async def test_a_tool_for_one_session_is_in_that_session_only(grid: LocalGrid) -> None:
    async with grid.session() as mine, grid.session() as other:
        own = {"runtime.session": mine.session_id}
        modules = [registering_tools.__file__]
        runtime = await asyncio.to_thread(grid.start_runtime, 2, modules=modules, settings=own)
        await asyncio.to_thread(until, lambda: "greet" in mine.tools, what="the news")
        inside, outside = await mine.call("greet", name="Ada"), await other.call("greet", name="Ada")
        noted = f"runtime-2: greet@1.2.0 for session {mine.session_id}"
        await leave(runtime)
        await asyncio.to_thread(until, lambda: "greet" not in mine.tools, what="the end of the news")

    assert "hello Ada" == inside.unwrap()
    assert outside.error is not None
    assert "UNSUPPORTED_TOOL" == outside.error.type
    assert noted in events(grid, "tools.registered")


async def test_a_manifest_tool_can_be_served_for_one_session_by_a_runtime_of_its_own(grid: LocalGrid) -> None:
    async with grid.session() as mine, grid.session() as other:
        own = {"runtime.session": mine.session_id, "runtime.register_tools": "false"}
        runtime = await asyncio.to_thread(grid.start_runtime, 2, settings=own)
        calls = [(await session.call("base", n=n)).unwrap() for session in (mine, other) for n in range(3)]
        await leave(runtime)
        after = await mine.call("base", n=7)

    assert [0, 1, 2, 0, 1, 2] == calls
    assert 7 == after.unwrap()
    outcomes = [one["runtime"] for one in grid.entries() if one["kind"] == "outcome"][-7:]
    assert ["runtime-2"] * 3 + ["runtime-1"] * 4 == outcomes


# ------------------------------------------------------------------------------------------- frame by frame


def registered(
    grid: LocalGrid, declarations: Sequence[bytes], *, session_id: str = ""
) -> runtime_pb2.RegisterToolsResponse:
    """What a host answers to a runtime that registers these."""
    with raw.runtime(grid, "by-hand") as peer:
        raw.announce(peer, "by-hand", [])
        register = runtime_pb2.RegisterTools(declarations=declarations, session_id=session_id)
        peer.send(runtime_pb2.AttachRequest(register=register))
        return peer.receive(runtime_pb2.AttachResponse, lambda frame: frame.HasField("registered")).registered


def function(name: str, **more: Any) -> bytes:
    members = {"name": name, "description": "Does it.", "parameters": {"type": "OBJECT", "properties": {}}}
    return json.dumps(members | more).encode()


def test_of_several_the_valid_ones_are_registered_and_each_other_has_an_error_of_its_own(grid: LocalGrid) -> None:
    answer = registered(
        grid, [function("good"), function("bad name"), b"{", b"[]", function("worse", description=""), b"1" * 300_000]
    )

    assert runtime_pb2.FULFILLMENT_STATUS_PARTIAL_SUCCESS == answer.status
    assert ["good"] == [one.name for one in answer.accepted]
    assert 5 == len(answer.rejected)
    assert all(one.error.message and one.error.ran for one in answer.rejected)
    assert {"INVALID_DECLARATION", "MALFORMED_REQUEST"} == {one.error.type for one in answer.rejected}
    until(lambda: "by-hand: good@1.0.0 for all sessions" in events(grid, "tools.registered"), what="the record")
    refusals = [one for one in events(grid, "tools.refused") if one.startswith("by-hand: bad name@")]
    assert ["by-hand: bad name@ for all sessions: INVALID_DECLARATION"] == refusals


async def test_no_more_than_fifty_tools_are_registered_for_one_session(grid: LocalGrid) -> None:
    async with grid.session() as session:
        many = [function(f"tool_{number}") for number in range(52)]
        answer = await asyncio.to_thread(registered, grid, many, session_id=session.session_id)
        absent = await asyncio.to_thread(registered, grid, many[:1], session_id="session-of-nobody")

    assert (50, 2) == (len(answer.accepted), len(answer.rejected))
    assert {"RESOURCE_EXHAUSTED"} == {one.error.type for one in answer.rejected}
    assert runtime_pb2.FULFILLMENT_STATUS_FAILURE == absent.status
    assert ["INVALID_SESSION"] == [one.error.type for one in absent.rejected]


async def test_what_a_registered_tool_says_of_itself_binds_nobody(grid: LocalGrid) -> None:
    """A read_only tool of the manifest may be tried again after a crash; one that was registered may not."""
    crashing = grid.directory / "crashing.py"
    crashing.write_text(CRASHING)
    both = [await asyncio.to_thread(grid.start_runtime, number, modules=[str(crashing)]) for number in (2, 3)]

    async with grid.session() as session:
        result = await session.call("crash")
    ended = [await asyncio.to_thread(process.end) for process in both]

    assert result.error is not None
    assert ("RUNTIME_CRASH", "unknown") == (result.error.type, result.error.ran)
    assert 1 == ended.count(-9)


async def test_a_registered_tool_that_joins_the_manifest_stays_when_its_runtime_leaves(grid: LocalGrid) -> None:
    before = grid.manifest.read_bytes()
    runtime = await asyncio.to_thread(grid.start_runtime, 2, modules=[registering_tools.__file__])
    base = str(grid.directory / "base.py")
    await asyncio.to_thread(grid.altar, "manifest", "build", base, registering_tools.__file__, "-o", str(grid.manifest))
    async with grid.session() as session:
        activated = len(events(grid, "manifest.activated"))
        grid.sign_manifest()
        await asyncio.to_thread(until, lambda: len(events(grid, "manifest.activated")) > activated, what="activation")
        doubled = await session.call("double", n=4)
        await leave(runtime)
        grid.start_runtime(2, modules=[registering_tools.__file__], settings={"runtime.register_tools": "false"})
        again = await session.call("double", n=5)

    assert (8, 10) == (doubled.unwrap(), again.unwrap())
    grid.manifest.write_bytes(before)
    grid.sign_manifest()
