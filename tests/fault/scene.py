"""What the tests with faults share: a client process that keeps calling, calls that wait, the export, what is left."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from altar.adm.call import ToolResult
from altar.later.session import Session
from altar.testing import LocalGrid, until

TOOLS = str(Path(__file__).with_name("witness_tools.py"))
"""The tools that write down each run."""


@contextmanager
def calling(grid: LocalGrid, acked: Path, *, flight: int) -> Iterator[subprocess.Popen[bytes]]:
    """A client process that keeps calling; at the end it is told to leave and waited for."""
    given = {
        "source": grid.source,
        "options": {name: str(path) for name, path in grid.options.items()},
        "acked": str(acked),
        "flight": flight,
        "timeout": 10,
    }
    client = subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("client.py")), json.dumps(given)],
        stdin=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        yield client
        client.communicate(timeout=60)
    finally:
        if client.poll() is None:
            client.kill()
        client.communicate()


def successes(acked: Path) -> int:
    """How many successes the client has written down."""
    return acked.read_bytes().count(b'"SUCCESS"')


def exported(grid: LocalGrid, out: Path) -> Path:
    """The audit export, made by the command that an operator would use."""
    grid.altar("audit", "export", "-o", str(out), "--data", str(grid.directory / "data"), "--vkey", grid.vkey)
    return out


def left_behind(directory: Path) -> list[str]:
    """Processes that still work in a directory, whoever their parent is now."""
    found = [
        f"{process.info['pid']} {process.info['cmdline']}"
        for process in psutil.process_iter(["pid", "cwd", "cmdline"])
        if process.info["cwd"] == str(directory)
    ]
    return found + [str(child) for child in psutil.Process().children(recursive=True)]


def unanswered(grid: LocalGrid) -> list[str]:
    """Call ids of intents that have not exactly one outcome, in the log as it is now."""
    entries = list(enumerate(grid.entries()))
    ended = [entry["intent"] for _, entry in entries if entry["kind"] == "outcome"]
    return [entry["call"] for seq, entry in entries if entry["kind"] == "intent" and ended.count(seq) != 1]


def begun(directory: Path, name: str) -> bool:
    """Whether a call of a tool that waits has begun to run."""
    return bool(list(directory.glob(f"{name}.[0-9]*")))


async def when(condition: Callable[[], object], *, what: str) -> None:
    """Wait for a condition without holding up the session's own loop."""
    await asyncio.to_thread(until, condition, what=what)


async def start(
    session: Session, tool: str, directory: Path, name: str, *, seconds: float = 20
) -> asyncio.Task[ToolResult]:
    """Start a call of a tool that waits, and see it begin."""
    call = asyncio.create_task(session.options(timeout=seconds).call(tool, directory=str(directory), name=name))
    await when(lambda: begun(directory, name) or call.done(), what=f"the start of {name}")
    assert not call.done(), call.result()
    return call


def told(result: ToolResult) -> tuple[str | None, str | None]:
    """What a client was told: code and ran, both None of a success."""
    return (None, None) if result.error is None else (result.error.type, result.error.ran)


def told_key(result: ToolResult) -> object:
    """The key in the content of a success."""
    return result.unwrap()["key"]
