"""Programs that speak MCP on their pipes, and what they may not do to who started them."""

from __future__ import annotations

import asyncio
import json
import sys
import textwrap
from pathlib import Path

import httpx2
import pytest

import altar
from altar.adapters.mcp import Adoption, StdioServer, from_mcp, offered, stdio
from altar.adapters.mcp.adoption import entry
from altar.adm.errors import AltarError
from tests.unit.adapters.mcp_scene import ECHO

PROGRAM = """
import json, os, signal, subprocess, sys, time

def answer(asked, result):
    print(json.dumps({{"jsonrpc": "2.0", "id": asked["id"], "result": result}}), flush=True)

def endless():
    while True:
        sys.stdout.write("x" * 65536)

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    elif asked["method"] == "initialize":
        told = {{"protocolVersion": "2025-11-25", "capabilities": {{"tools": {{}}}}}}
        answer(asked, told | {{"serverInfo": {{"name": "program", "version": "1"}}}})
    elif asked["method"] == "tools/list":
{listing}
        answer(asked, {{"tools": [json.loads(sys.argv[1])]}})
    elif asked["method"] == "tools/call":
{calling}
    else:
        refusal = {{"code": -32601, "message": "?"}}
        print(json.dumps({{"jsonrpc": "2.0", "id": asked["id"], "error": refusal}}), flush=True)
{ending}
"""


def program(folder: Path, *, listing: str = "pass", calling: str = "pass", ending: str = "") -> StdioServer:
    """A program whose answers are these lines."""
    file = folder / "program.py"
    depth = " " * 8
    file.write_text(
        PROGRAM.format(listing=textwrap.indent(listing, depth), calling=textwrap.indent(calling, depth), ending=ending)
    )
    return StdioServer((sys.executable, str(file), json.dumps(ECHO)))


def adopted(server: StdioServer) -> Adoption:
    return Adoption("program", server, (entry(ECHO),))


async def gone(file: Path) -> None:
    """Return when no process of the file is there any more."""
    pids = [int(pid) for pid in file.read_text().split()]
    assert pids
    async with asyncio.timeout(20):
        while any(alive(pid) for pid in pids):  # noqa: ASYNC110 - nothing tells it
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and that nobody waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stdio, "MAX_LINE", 200_000)


@pytest.mark.usefixtures("small")
async def test_a_line_without_an_end_is_let_go_of_while_the_tools_are_listed(tmp_path: Path) -> None:
    with pytest.raises(AltarError) as failed:
        await offered(program(tmp_path, listing="endless()"), name="endless")

    assert ("DEPENDENCY_UNAVAILABLE", "unknown") == (failed.value.code, failed.value.ran)
    assert "a line of more than 200000 bytes" in failed.value.message


@pytest.mark.usefixtures("small")
async def test_a_line_without_an_end_fails_every_call_under_way_and_ends_the_program(tmp_path: Path) -> None:
    calling = f"""
        calls = globals().get("calls", 0) + 1
        open({str(tmp_path / "pids")!r}, "w").write(str(os.getpid()))
        if calls == 2:
            endless()
    """
    server = program(tmp_path, calling=textwrap.dedent(calling))

    with from_mcp(adopted(server), prefix="endless_"):
        async with altar.session(["endless_echo"]) as session:
            results = await asyncio.gather(*(session.call("endless_echo", text=text) for text in "ab"))

    errors = [result.error for result in results if result.error is not None]
    assert {"DEPENDENCY_UNAVAILABLE", "CONNECTION_FAILED"} >= {error.type for error in errors}
    assert ["yes", "yes"] == [error.ran for error in errors]
    assert any("a line of more than 200000 bytes" in error.message for error in errors)
    await gone(tmp_path / "pids")


async def test_a_long_line_that_ends_is_an_answer_like_any_other(tmp_path: Path) -> None:
    said = 'answer(asked, {"content": [{"type": "text", "text": "é" * 1_000_000}]})'

    with from_mcp(adopted(program(tmp_path, calling=said)), prefix="long_"):
        async with altar.session(["long_echo"]) as session:
            result = await session.call("long_echo", text="x")

    assert "é" * 1_000_000 == result.unwrap()


async def test_what_is_no_message_is_passed_over(tmp_path: Path) -> None:
    said = """
        sys.stdout.write("Welcome!\\n\\n{}\\n")
        sys.stdout.flush()
        os.write(1, b"\\xff\\xfe\\n")
        answer(asked, {"content": [{"type": "text", "text": "hello"}]})
    """

    with from_mcp(adopted(program(tmp_path, calling=textwrap.dedent(said))), prefix="chatty_"):
        async with altar.session(["chatty_echo"]) as session:
            result = await session.call("chatty_echo", text="x")

    assert "hello" == result.unwrap()


async def test_a_program_that_does_not_want_to_end_is_killed_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "PATIENCE", 0.2)
    started = f"""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(tmp_path / "pids")!r}, "w").write(f"{{os.getpid()}} {{child.pid}}")
    """
    stays = "time.sleep(600)"

    found = await offered(program(tmp_path, listing=textwrap.dedent(started), ending=stays), name="stays")

    assert ["echo"] == [tool.name for tool in found.tools]
    await gone(tmp_path / "pids")


async def test_what_a_program_that_ended_by_itself_has_left_behind_is_ended_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stdio, "PATIENCE", 0.2)
    started = f"""
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        open({str(tmp_path / "pids")!r}, "w").write(str(child.pid))
    """

    await offered(program(tmp_path, listing=textwrap.dedent(started)), name="leaves")

    await gone(tmp_path / "pids")


async def test_a_program_that_no_longer_reads_fails_the_call_instead_of_holding_it(tmp_path: Path) -> None:
    deaf = """
        os.close(0)
        answer(asked, {"tools": [json.loads(sys.argv[1])]})
        time.sleep(600)
    """
    server = program(tmp_path, listing=textwrap.dedent(deaf))

    with from_mcp(adopted(server), prefix="deaf_", patience=20):
        async with altar.session(["deaf_echo"]) as session:
            result = await session.call("deaf_echo", text="x")

    assert result.error is not None
    assert "CONNECTION_FAILED" == result.error.type


async def test_a_program_that_is_not_there_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(AltarError) as failed:
        await offered(StdioServer((str(tmp_path / "nothing"),)), name="nothing")

    assert "DEPENDENCY_UNAVAILABLE" == failed.value.code
    assert "nothing" in failed.value.message


async def test_nobody_signs_in_to_a_program(tmp_path: Path) -> None:
    with pytest.raises(AltarError) as refused:
        await offered(program(tmp_path), name="program", auth=httpx2.Auth())

    assert ("INVALID_CONFIG", "no") == (refused.value.code, refused.value.ran)
