"""`altar mcp serve`: a program that starts it, and clients of a port, call the tools of a session."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import altar as library
from altar.adapters.mcp import HttpServer, StdioServer, from_mcp, offered
from altar.adm.call import ToolResult
from altar.adm.errors import AltarError
from altar.testing import LocalGrid
from tests.e2e.command import COMMAND, altar

TOOLS = '''
import altar

@altar.tool(read_only=True)
def serve_double(value: int) -> int:
    """Double it."""
    return 2 * value

@altar.tool
def serve_fail() -> int:
    """Fail."""
    raise KeyError("inside")

@altar.tool
def serve_print() -> int:
    """Print something on what the client reads."""
    print("{}")
    return 1
'''
VARIABLES = ("ALTAR_SOURCE", "ALTAR_TLS_CERTIFICATE", "ALTAR_TLS_KEY", "ALTAR_TLS_AUTHORITY")


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    module = tmp_path_factory.mktemp("tools") / "served.py"
    module.write_text(TOOLS)
    return module


@pytest.fixture(scope="module")
def grid(tools: Path) -> Iterator[LocalGrid]:
    with LocalGrid([str(tools)], runtimes=1) as running:
        yield running
        running.stop(signal.SIGKILL)


@contextmanager
def served_on_a_port(tools: Path, *arguments: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """The address at which the command serves; it is ended with the block."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    command = [str(COMMAND), "mcp", "serve", "--tools", str(tools), "--http", "0", *arguments]
    with subprocess.Popen(
        command, env=environ, cwd=tools.parent, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


async def called(adopted: object, *, secrets: dict[str, str]) -> list[ToolResult]:
    with from_mcp(adopted, prefix="far_", secrets=secrets):  # type: ignore[arg-type]  # an Adoption
        async with library.session(["far_serve_double", "far_serve_fail"]) as session:
            return [await session.call("far_serve_double", value=21), await session.call("far_serve_fail")]


async def test_a_program_that_starts_it_calls_the_tools_of_a_module(tools: Path, tmp_path: Path) -> None:
    server = StdioServer((str(COMMAND), "mcp", "serve", "--tools", str(tools), "--name", "shop"))

    found = await offered(server, name="shop")
    doubled, failed = await called(found, secrets={})
    with from_mcp(found, prefix="near_", stderr=str(tmp_path / "stderr")):
        async with library.session(["near_serve_print"]) as session:
            printed = await session.call("near_serve_print")

    assert ["serve_double", "serve_fail", "serve_print"] == [tool.name for tool in found.tools]
    assert (1, "{}\n") == (printed.unwrap(), (tmp_path / "stderr").read_text())
    assert found.title.startswith("shop ")
    assert 42 == doubled.unwrap()
    assert failed.error is not None
    assert "inside" not in failed.error.message


async def test_tools_that_run_on_a_grid_are_called_and_the_host_records_it(grid: LocalGrid, tools: Path) -> None:
    files = (grid.client.certificate, grid.client.key, grid.client.authority)
    given = dict(zip(VARIABLES, map(str, (grid.source, *files)), strict=True))
    server = StdioServer((str(COMMAND), "mcp", "serve", "--only", "serve_double", "--only", "serve_fail"), VARIABLES)

    found = await offered(server, name="shop", secrets=given)
    doubled, failed = await called(found, secrets=given)

    assert 42 == doubled.unwrap()
    assert failed.error is not None
    intents = [entry["tool"].partition("@")[0] for entry in grid.entries() if entry["kind"] == "intent"]
    assert ["serve_double", "serve_fail"] == intents


async def test_a_port_serves_who_shows_the_token_of_the_file_and_nobody_else(tools: Path, tmp_path: Path) -> None:
    token = tmp_path / "mcp.token"
    with served_on_a_port(tools, "--token-file", str(token), "--only", "serve_double") as (url, process):
        secrets = {"Authorization": f"Bearer {token.read_text()}"}
        found = await offered(HttpServer(url, ("Authorization",)), name="shop", secrets=secrets)
        with pytest.raises(AltarError) as refused:
            await offered(HttpServer(url), name="shop")
        process.send_signal(signal.SIGTERM)
        code = process.wait(20)

    assert 0o600 == token.stat().st_mode & 0o777
    assert ["serve_double"] == [tool.name for tool in found.tools]
    assert "DEPENDENCY_UNAVAILABLE" == refused.value.code
    assert code in {0, 128 + signal.SIGTERM, -signal.SIGTERM}


def test_a_port_without_a_token_or_with_one_that_others_read_is_refused(tools: Path, tmp_path: Path) -> None:
    open_to_all = tmp_path / "open.token"
    open_to_all.write_text("x" * 40)
    open_to_all.chmod(0o644)

    without = altar("mcp", "serve", "--tools", str(tools), "--http", "0", at=tmp_path)
    read = altar("mcp", "serve", "--tools", str(tools), "--http", "0", "--token-file", str(open_to_all), at=tmp_path)

    assert (2, True) == (without.code, "--http needs a token" in without.err)
    assert (2, True) == (read.code, "can be read by others" in read.err)
