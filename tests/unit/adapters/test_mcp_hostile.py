"""What a server of MCP, a client or a cancelled call may not leave behind or learn."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import nullcontext, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client.client import Client

import altar
from altar.adapters.mcp import Adoption, HttpServer, StdioServer, from_mcp, link, offered, to_mcp
from altar.adapters.mcp.adoption import entry
from altar.adm.errors import AltarError, ConfigurationError
from tests.unit.adapters.mcp_scene import ECHO, TOKEN, Scene, on_a_port, running

SLOW = """
import json, os, sys

with open(sys.argv[1], "a") as started:
    print(os.getpid(), file=started)
open(sys.argv[2]).read()  # a pipe: nothing is answered before somebody writes into it
for line in sys.stdin:
    asked = json.loads(line)
    told = {
        "initialize": {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "slow", "version": "1"},
        },
        "tools/list": {"tools": [json.loads(sys.argv[3])]},
    }.get(asked["method"])
    answer = {"result": told} if told else {"error": {"code": -32601, "message": "?"}}
    if "id" in asked:
        print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], **answer}), flush=True)
"""


@pytest.fixture
def scene() -> Iterator[Scene]:
    with running() as made:
        yield made


async def started(file: Path) -> int:
    """The process that a server wrote into the file."""
    while not (file.exists() and file.read_text().endswith("\n")):  # noqa: ASYNC110 - another process writes it
        await asyncio.sleep(0.01)
    return int(file.read_text())


async def gone(process: int) -> None:
    """Return when there is no such process any more."""
    while Path(f"/proc/{process}").exists():  # noqa: ASYNC110 - nothing tells it
        await asyncio.sleep(0.01)


async def test_a_call_that_is_cancelled_while_the_server_starts_leaves_no_program_behind(tmp_path: Path) -> None:
    program, pids, gate = tmp_path / "slow.py", tmp_path / "pids", tmp_path / "gate"
    program.write_text(SLOW)
    os.mkfifo(gate)
    where = StdioServer((sys.executable, str(program), str(pids), str(gate), json.dumps(ECHO)))
    tools = from_mcp(Adoption("slow", where, (entry(ECHO),)), prefix="slow_")

    async with altar.session(["slow_echo"]) as session:
        calling = asyncio.create_task(session.call("slow_echo", text="x"))
        process = await started(pids)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        await asyncio.to_thread(gate.write_text, "go on")
        async with asyncio.timeout(20):
            await gone(process)

    tools.close()


@pytest.mark.parametrize("secret", ["Bearer s3cret\n", " Bearer s3cret", "Bearer s3\x01cret", "Bearer s3crét"])
async def test_a_secret_is_in_no_error_also_when_no_header_can_hold_it(scene: Scene, secret: str) -> None:
    with pytest.raises(AltarError) as refused:
        await offered(scene.server, name="scene", secrets={"Authorization": secret})

    assert "s3" not in f"{refused.value!r}{refused.value.detail}"


async def test_the_line_break_at_the_end_of_a_file_is_no_part_of_a_secret(scene: Scene) -> None:
    found = await offered(scene.server, name="scene", secrets={"Authorization": f"Bearer {TOKEN}\n"})

    assert "echo" in {tool.name for tool in found.tools}


@pytest.mark.parametrize("url", ["https://a.example/mcp?api_key=s3cret", "https://a.example/mcp?x=1&token=s3cret"])
def test_an_address_with_a_secret_in_it_is_refused_without_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="secret") as refused:
        HttpServer(url)

    assert "s3cret" not in f"{refused.value!r}"


class SignIn(httpx2.Auth):
    """Does what a server may ask of somebody who signs in: fetch what stands at an address."""

    def __init__(self, at: str) -> None:
        self.at = at

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """Fetch it before anything else."""
        yield httpx2.Request("GET", self.at)
        yield request


async def test_a_server_sends_nobody_who_signs_in_to_addresses_in_the_clear(scene: Scene) -> None:
    given = {"Authorization": f"Bearer {TOKEN}"}

    with pytest.raises(AltarError) as refused:
        await offered(scene.server, name="scene", secrets=given, auth=SignIn("http://169.254.169.254/latest"))

    assert "DEPENDENCY_UNAVAILABLE" == refused.value.code
    assert "leads to '169.254.169.254', which it may not" in refused.value.message


@pytest.mark.parametrize(
    ("server", "at", "may"),
    [
        ("https://mcp.example/mcp", "https://login.example/token", True),
        ("https://mcp.example/mcp", "http://login.example/token", False),
        ("https://mcp.example/mcp", "http://127.0.0.1:2375/", False),
        ("https://mcp.example/mcp", "https://localhost/", False),
        ("https://mcp.example/mcp", "https://[::1]/", False),
        ("http://127.0.0.1:80/mcp", "http://localhost:81/token", True),
    ],
)
async def test_only_a_server_of_this_machine_leads_to_this_machine(server: str, at: str, may: bool) -> None:
    refuse = link.near(HttpServer(server))

    with nullcontext() if may else pytest.raises(httpx2.UnsupportedProtocol):
        await refuse(httpx2.Request("POST", at))


async def test_no_proxy_of_the_environment_gets_what_is_in_the_clear(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.getsockname()[1]}")
        found = await offered(scene.server, name="scene", secrets={"Authorization": f"Bearer {TOKEN}"}, patience=5)
        with pytest.raises(BlockingIOError):
            proxy.accept()

    assert "echo" in {tool.name for tool in found.tools}


@pytest.mark.parametrize(
    ("packed", "status", "kind"),
    [
        (False, 200, "application/json"),
        (True, 200, "application/json"),
        (False, 307, "text/event-stream"),
    ],
)
async def test_an_answer_without_an_end_is_let_go_of(
    packed: bool, status: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link, "MAX_ANSWER", 100_000)

    class Endless(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            if status == 307:
                self.send_header("location", "/mcp")
            if packed:
                self.send_header("content-encoding", "gzip")
            self.end_headers()
            with suppress(OSError):
                while True:
                    self.wfile.write(b" " * 50_000)

        do_GET = do_DELETE = do_POST

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Endless) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        with pytest.raises(AltarError) as failed:
            await offered(HttpServer(f"http://127.0.0.1:{server.server_port}/mcp"), name="endless")
        server.shutdown()
        thread.join()

    assert "DEPENDENCY_UNAVAILABLE" == failed.value.code
    assert ("compressed" if packed else "more than 100000 bytes") in failed.value.message


# --------------------------------------------------------------------------------------------------- as a server


@altar.tool(name="mh_add")
def add(left: int) -> int:
    """Add nothing."""
    return left


@pytest.fixture
async def session() -> AsyncIterator[altar.Session]:
    async with altar.session(["mh_add"]) as opened:
        yield opened


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_handle_that_is_none_is_a_failure_that_a_model_reads(session: altar.Session, mode: str) -> None:
    async with Client(to_mcp(session), mode=mode) as client:
        told = await client.call_tool("mh_add", {"left": 1}, meta={"altar/approval": "x" * 5000})

    assert told.is_error
    assert "1 to 128" in told.content[0].text


async def test_a_session_that_ended_is_a_failure_without_its_inside() -> None:
    async with altar.session(["mh_add"], source="later:") as session:
        served = to_mcp(session)
    async with Client(served) as client:
        told = await client.call_tool("mh_add", {"left": 1})

    assert told.is_error
    assert "TaskGroup" not in told.content[0].text


@pytest.mark.parametrize(
    ("header", "status"), [({"host": "evil.example"}, 421), ({"origin": "https://evil.example"}, 403), ({}, 200)]
)
async def test_a_page_that_renames_its_host_is_not_answered_even_with_the_token(
    session: altar.Session, header: dict[str, str], status: int
) -> None:
    asks: dict[str, Any] = {"jsonrpc": "2.0", "id": 1, "method": "initialize"}
    asks["params"] = {"protocolVersion": "2025-11-25", "capabilities": {}}
    asks["params"]["clientInfo"] = {"name": "page", "version": "1"}
    accept = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {TOKEN}"}
    with on_a_port(to_mcp(session)) as url:
        async with httpx.AsyncClient() as client:
            answer = await client.post(url, json=asks, headers=accept | header)

    assert status == answer.status_code
