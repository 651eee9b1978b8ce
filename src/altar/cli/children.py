"""Processes that `altar up` starts: each is an `altar` command that says when it is ready and leaves with its parent.

A child is tied to this process by its standard input, so it ends even when this process is killed.
It has a process group of its own, so that Ctrl-C reaches only the parent, which ends all in order.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from altar.adm.errors import ConfigurationError, ExecutionError

__all__ = ["Child", "require_grid", "start_child"]

READY_SECONDS = 30.0
"""How long a process may take until it is ready."""

LEAVE_SECONDS = 35.0
"""How long a process may take to finish its calls; a little more than a host and a runtime give themselves."""


@dataclass(frozen=True, slots=True)
class Child:
    """One running process: its name, what it said when it was ready, and where its log goes."""

    name: str
    process: Process
    facts: Mapping[str, Any]
    log: Path

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self.process.pid

    async def ended(self) -> int:
        """Wait until the process has ended, and return its exit code, negative for a signal."""
        reading = asyncio.get_running_loop().create_task(self._read_on())
        try:
            return await self.process.wait()
        finally:
            reading.cancel()

    async def stop(self) -> None:
        """Let the process finish its calls and leave; after `LEAVE_SECONDS` it is killed."""
        if self.process.returncode is None:
            with suppress(ProcessLookupError):
                self.process.send_signal(signal.SIGTERM)
        await _bury(self.process, seconds=LEAVE_SECONDS)

    async def _read_on(self) -> None:
        # A runtime says each time that it is connected; nobody may let it wait for a reader.
        while self.process.stdout is not None and await self.process.stdout.read(4096):
            pass


def require_grid() -> None:
    """Raise ConfigurationError ENVIRONMENT_ERROR, with the line that installs it, unless the extra `grid` is here."""
    missing = [name for name in ("grpc", "cryptography", "uvloop") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"A grid needs {', '.join(missing)}, and {'they are' if len(missing) > 1 else 'it is'} not installed",
            hint="pip install 'altar-ai[grid]'",
        )


async def start_child(
    name: str, arguments: Sequence[str], *, log: Path, environ: Mapping[str, str] | None = None
) -> Child:
    """Start `altar ARGUMENT…` and wait until it is ready; its log is added to the file `log`.

    `environ` is added to the environment of this process.
    Raises ConfigurationError ENVIRONMENT_ERROR with the child's own words when it ends before it is ready,
    ExecutionError TIMEOUT when it is not ready within `READY_SECONDS`.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        begins = file.tell()
        process = await asyncio.create_subprocess_exec(
            # -P: a file of the working directory must not stand in for a module of the library.
            *(sys.executable, "-P", "-m", "altar", *arguments, "--tied"),
            stdin=PIPE,
            stdout=PIPE,
            stderr=file,
            env=os.environ | dict(environ or {}),
            start_new_session=True,
        )
    try:
        async with asyncio.timeout(READY_SECONDS):
            facts = await _ready(process)
    except TimeoutError:
        await _bury(process, seconds=0)
        raise ExecutionError(
            "TIMEOUT",
            f"{name!r} was not ready within {READY_SECONDS:.0f} s: {_last_words(log, begins)[0] or 'it said nothing'}",
            hint=f"its log is {str(log)!r}",
        ) from None
    except BaseException:
        await _bury(process, seconds=0)
        raise
    if facts is None:
        code = await process.wait()
        words, advice = _last_words(log, begins)
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"{name!r} did not start: {words or f'exit code {code}'}",
            hint="; ".join(filter(None, (advice, f"its log is {str(log)!r}"))),
        )
    return Child(name, process, facts, log)


async def _ready(process: Process) -> dict[str, Any] | None:
    """What the process says when it is ready, or None when it ends without a word."""
    if process.stdout is None:
        return None
    line = await process.stdout.readline()
    if not line:
        return None
    facts = json.loads(line)
    return facts if isinstance(facts, dict) else None


async def _bury(process: Process, *, seconds: float) -> None:
    if process.stdin is not None:
        process.stdin.close()
    try:
        async with asyncio.timeout(seconds):
            await process.wait()
    except TimeoutError:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def _last_words(log: Path, begins: int) -> tuple[str, str]:
    # The error that `altar` printed, without its mark and its code, and its hint; or else the last line of the log.
    text = log.read_bytes()[begins:].decode("utf-8", "replace")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line.removeprefix("error:").strip() for line in lines if line.startswith("error:")]
    hints = [line.removeprefix("hint:").strip() for line in lines if line.startswith("hint:")]
    if not errors:
        return (lines[-1] if lines else ""), ""
    return re.sub(r" \([A-Z_]+\)$", "", errors[-1]), (hints[-1] if hints else "")
