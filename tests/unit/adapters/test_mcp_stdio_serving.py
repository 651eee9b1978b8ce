"""`altar mcp serve` on stdin and stdout, and a client that sends what is no message."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from altar.adapters.mcp.serving import MAX_BODY

TOOLS = """
import sys
from altar import tool

@tool
def stdio_read() -> str:
    \"\"\"Read what is on stdin.\"\"\"
    return sys.stdin.read()
"""
COMMAND = Path(sys.executable).with_name("altar")


def test_a_line_that_is_no_message_is_passed_over_and_one_without_an_end_ends_the_server(tmp_path: Path) -> None:
    """One process pays for all: a tool reads none of what its client sends, and the bound is that of a port."""
    (tmp_path / "tools.py").write_text(TOOLS)
    command = [str(COMMAND), "mcp", "serve", "--tools", str(tmp_path / "tools.py")]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, env=environ, **pipes) as served:
        assert served.stdin is not None
        assert served.stdout is not None
        assert served.stderr is not None
        try:
            _send(
                served,
                id=1,
                method="initialize",
                params={
                    "protocolVersion": "2025-11-25",
                    "capabilities": {},
                    "clientInfo": {"name": "test", "version": "1"},
                },
            )
            assert 1 == json.loads(served.stdout.readline())["id"]
            _send(served, method="notifications/initialized")
            served.stdin.write(b"x" * (MAX_BODY - 1) + b"\n\xff\n")
            _send(served, id=2, method="tools/call", params={"name": "stdio_read", "arguments": {}})
            assert "" == json.loads(served.stdout.readline())["result"]["structuredContent"]["result"]

            served.stdin.write(b"x" * (MAX_BODY + 1))
            served.stdin.flush()  # and is not closed: the server has to end by itself

            said = served.stderr.read().decode()
            assert f"The client of MCP sent a line of more than {MAX_BODY} bytes (MESSAGE_TOO_LARGE)" in said
            assert "Traceback" not in said
            assert 1 == served.wait(20)
        finally:
            served.kill()


def _send(served: subprocess.Popen[bytes], **message: Any) -> None:
    assert served.stdin is not None
    served.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
    served.stdin.flush()
