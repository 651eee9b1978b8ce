"""The conformance kit of MCP itself judges `altar mcp serve`, and ALTAR as a client.

The kit is `@modelcontextprotocol/conformance` 0.1.13, the newest that Node 20 runs.
What it expects and does not get is listed here by name with the reason, and nothing else may fail.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from tests.e2e.command import COMMAND
from tests.providers import mcp_kit_tools
from tests.providers.mcp_kit_client import answering
from tests.providers.presence import need

pytestmark = [
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore:Omitting `issuer` is deprecated"),  # it is not known before the kit runs
]

KIT = (
    Path(__file__).resolve().parents[2]
    / ".cache/providers/node_modules/@modelcontextprotocol/conformance/dist/index.js"
)

ONLY_TOOLS = "a session has tools; it offers no prompts, resources or completions"
NO_QUESTIONS = "a tool of a session asks its caller nothing; only an approval is asked for"
SERVER_LACKS = {
    "completion-complete": ONLY_TOOLS,
    "prompts-get-embedded-resource": ONLY_TOOLS,
    "prompts-get-simple": ONLY_TOOLS,
    "prompts-get-with-args": ONLY_TOOLS,
    "prompts-get-with-image": ONLY_TOOLS,
    "prompts-list": ONLY_TOOLS,
    "resources-list": ONLY_TOOLS,
    "resources-read-binary": ONLY_TOOLS,
    "resources-read-text": ONLY_TOOLS,
    "resources-subscribe": ONLY_TOOLS,
    "resources-templates-read": ONLY_TOOLS,
    "resources-unsubscribe": ONLY_TOOLS,
    "elicitation-sep1034-defaults": NO_QUESTIONS,
    "elicitation-sep1330-enums": NO_QUESTIONS,
    "tools-call-elicitation": NO_QUESTIONS,
    "tools-call-sampling": NO_QUESTIONS,
    "logging-set-level": "log lines go to the operator, not to a client",
    "tools-call-with-logging": "log lines go to the operator, not to a client",
}
OTHER_ISSUER = "the kit's metadata names another issuer than it was asked for: refused, as RFC 8414 §3.3 says"
CLIENT_LACKS = {
    "elicitation-sep1034-client-defaults": "a server asks a governed call nothing",
    "auth/metadata-var2": OTHER_ISSUER,
    "auth/metadata-var3": OTHER_ISSUER,
}


A_TIME = "client-sse-retry-timing"
"""The one check that measures a time, which a busy machine does not hold."""


@pytest.fixture(autouse=True, scope="module")
def kit() -> None:
    need("the conformance kit of MCP", KIT, *([] if shutil.which("node") else ["node"]))


def test_the_kit_finds_in_a_served_session_what_tools_are_to_do(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with serving(token) as url, showing(token, url) as address:
        judged(["server", "--url", address, "-o", str(tmp_path / "out")])

    failed, passed = verdicts(tmp_path / "out", prefix="server-")
    assert set(SERVER_LACKS) == failed
    assert {"tools-list", "tools-call-simple-text", "tools-call-with-progress", "dns-rebinding-protection"} <= passed
    assert 12 == len(passed)


async def test_the_kit_finds_a_client_that_signs_in_and_calls_tools(tmp_path: Path) -> None:
    async with answering(tmp_path) as command:
        await asyncio.to_thread(judged, ["client", "--command", command, "--suite", "all", "-o", str(tmp_path / "out")])

    failed, passed = verdicts(tmp_path / "out")
    assert set(CLIENT_LACKS) == failed
    assert {"initialize", "tools_call", "sse-retry", "auth/resource-mismatch", "auth/scope-step-up"} <= passed
    assert 20 == len(passed)


def judged(arguments: list[str]) -> None:
    """Let the kit run; its verdicts are in the folder that it was told."""
    subprocess.run(["node", str(KIT), *arguments], capture_output=True, timeout=150, check=False)


def verdicts(folder: Path, *, prefix: str = "") -> tuple[set[str], set[str]]:
    """The names of the scenarios in which something failed, and of those in which nothing did."""
    failed, passed = set[str](), set[str]()
    for file in folder.rglob("checks.json"):
        kinds = {check["status"] for check in json.loads(file.read_text()) if check["id"] != A_TIME}
        name = re.sub(r"-\d{4}-\d\d-\d\dT.*$", "", str(file.parent.relative_to(folder))).removeprefix(prefix)
        (failed if "FAILURE" in kinds else passed).add(name)
    return failed, passed


@contextmanager
def serving(token: Path) -> Iterator[str]:
    """The address of `altar mcp serve` with the tools that the kit asks for."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    command = [
        str(COMMAND),
        "mcp",
        "serve",
        "--tools",
        str(mcp_kit_tools.__file__),
        "--http",
        "0",
        "--token-file",
        str(token),
    ]
    with subprocess.Popen(
        command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


@contextmanager
def showing(token: Path, url: str) -> Iterator[str]:
    """An address that passes every request on to ``url`` with the token, which the kit cannot be told."""
    shown = [(b"authorization", b"Bearer " + token.read_bytes().strip())]
    dropped = {b"authorization", b"connection", b"content-length", b"transfer-encoding"}
    onward = httpx.AsyncClient(trust_env=False, timeout=60)

    async def forward(request: Request) -> StreamingResponse:
        headers = [pair for pair in request.headers.raw if pair[0] not in dropped] + shown
        asked = onward.build_request(request.method, url, headers=headers, content=await request.body())
        answer = await onward.send(asked, stream=True)
        return StreamingResponse(answer.aiter_raw(), answer.status_code, dict(answer.headers))

    app = Starlette(routes=[Route("/mcp", forward, methods=["GET", "POST", "DELETE"])])
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))

    async def serve() -> None:
        async with onward:
            await server.serve(sockets=[listening])

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
    finally:
        server.should_exit = server.force_exit = True
        thread.join(30)
        listening.close()
