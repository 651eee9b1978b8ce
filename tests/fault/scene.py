"""What the tests with faults share: a client process that keeps calling, calls that wait, the export, what is left."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from altar.adm.call import ToolResult
from altar.later.session import Session
from altar.testing import LocalGrid, until
from tests.fault.verdict import judge

TOOLS = str(Path(__file__).with_name("witness_tools.py"))
"""The tools that write down each run."""


EVERY_KIND = ("once", "again", "keyed", "values", "nest", "local")
"""The whole load: plain calls, repeated ones, idempotency keys, streams, nested calls, governed local calls."""

LOCAL_DISPATCH = {"host.local_dispatch": "client-1"}
"""The setting of a host with which calls of ``local`` may run in the client."""


class Caller:
    """A client process that keeps calling; see `client`."""

    def __init__(
        self,
        grid: LocalGrid,
        acked: Path,
        *,
        flight: int,
        kinds: Sequence[str] = ("once", "again"),
        address: str = "",
        journal: Path | None = None,
        timeout: float = 10,
    ) -> None:
        options = {name: str(path) for name, path in grid.options.items()}
        if "local" in kinds:
            place = journal or grid.directory / "journal"
            options |= {"execution_mode": "local_first", "journal": str(place)}
        self._given = {
            "source": f"grid://{address}" if address else grid.source,
            "options": options,
            "acked": str(acked),
            "flight": flight,
            "kinds": list(kinds),
            "timeout": timeout,
        }
        self._environ = os.environ | {
            "PYTHONPATH": os.pathsep.join(filter(None, map(os.path.abspath, sys.path))),
            "FAULT_RAN": str(grid.directory / "ran"),
        }
        self._starts = 0
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        self._starts += 1
        name = "k" if self._starts == 1 else f"k{self._starts}-"
        return subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("client.py")), json.dumps({**self._given, "name": name})],
            stdin=subprocess.PIPE,
            env=self._environ,
        )

    def start_again(self) -> None:
        """Kill it, as a machine that loses power would, and start it again, with the same journal and other keys."""
        self.kill()
        self.process = self._start()

    def leave(self) -> None:
        """Tell it to leave, and wait until it has."""
        self.process.communicate(timeout=60)

    def kill(self) -> None:
        """End it, if it is still there."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


@contextmanager
def calling(grid: LocalGrid, acked: Path, *, flight: int, **more: Any) -> Iterator[Caller]:
    """A client process that keeps calling; at the end it is told to leave and waited for."""
    caller = Caller(grid, acked, flight=flight, **more)
    try:
        yield caller
        caller.leave()
    finally:
        caller.kill()


@contextmanager
def judged(directory: Path, **more: Any) -> Iterator[tuple[LocalGrid, Path]]:
    """A grid for the whole load and the file for its answers; in the end nothing may be broken and nothing left.

    ``more`` is for `LocalGrid`. What the load was is printed.
    """
    ran, acked = directory / "ran", directory / "acked"
    ran.touch()
    acked.touch()
    settings = {**LOCAL_DISPATCH, "host.permit_close": 5, **more.pop("settings", {})}
    with LocalGrid([TOOLS], directory=directory, settings=settings, environ={"FAULT_RAN": str(ran)}, **more) as grid:
        yield grid, acked
        assert grid.host is not None
        assert grid.host.alive
        until(lambda: unanswered(grid) == [], what="an outcome for each intent")
        vkey = grid.vkey
    verdict = judge(ran=ran, acked=acked, export=exported(grid, directory / "log.jsonl"), vkey=vkey)
    print(dict(verdict.counts))
    assert () == verdict.problems, "\n".join(verdict.problems[:8])
    assert [] == left_behind(directory)


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
