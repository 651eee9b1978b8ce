"""One worker, as its supervisor sees it: a process that loads, begins, is ready, and ends."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from altar.cli.worker import BEGIN

__all__ = ["Failure", "Signature", "WorkerProcess"]

Signature = tuple[int, int] | None
"""Time of change in ns and size in bytes of a file; None when it is not known or there is no such file."""

_LONGEST_LINE = 4 * 1024 * 1024
_KILLED_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a worker ended, in its own words."""

    code: str
    message: str
    hint: str | None


class WorkerProcess:
    """One process of a supervisor.

    It loads its tools at once and begins when it is told so.
    ``ready`` holds while its handshake with the host does; ``tools`` are those that the host takes from it.
    ``failure`` is why it ended, if it could say.
    """

    def __init__(self, process: Process, *, number: int, changed: Callable[[], None]) -> None:
        self.number = number
        self.ready = False
        self.tools: tuple[str, ...] = ()
        self._files: dict[str, Signature] = {}
        self.failure: Failure | None = None
        self._process = process
        self._changed = changed
        self._has_loaded = False
        self._settled = asyncio.Event()
        self._first_ready = asyncio.Event()
        self._end = asyncio.get_running_loop().create_task(self._follow())

    @classmethod
    async def start(cls, arguments: Sequence[str], *, number: int, changed: Callable[[], None]) -> Self:
        """Start ``altar runtime ARGUMENT… --worker NUMBER``; ``changed`` is told when it is ready, and when no more.

        It is tied to this process by its standard input, and has a process group of its own, so that Ctrl-C
        reaches only the supervisor.
        """
        process = await asyncio.create_subprocess_exec(
            # -P: a file of the working directory must not stand in for a module of the library.
            *(sys.executable, "-P", "-m", "altar", "runtime", *arguments, "--worker", str(number)),
            stdin=PIPE,
            stdout=PIPE,
            start_new_session=True,
            limit=_LONGEST_LINE,
        )
        return cls(process, number=number, changed=changed)

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return not self._end.done()

    async def loads(self) -> bool:
        """Wait until its tools are loaded, or it ends; whether they are."""
        await self._settled.wait()
        return self._has_loaded and self.alive

    async def gets_ready(self) -> bool:
        """Wait until it is ready for the first time, or ends; whether it is ready."""
        await self._first_ready.wait()
        return self.ready

    def begin(self) -> None:
        """Let it dial the host."""
        if self._process.stdin is not None:
            with suppress(OSError, RuntimeError):  # it has ended, and that is told elsewhere
                self._process.stdin.write(BEGIN)

    def new_files(self) -> dict[str, Signature]:
        """The files it has named since this was asked last: those that it has loaded, or failed to load."""
        files, self._files = self._files, {}
        return files

    async def ended(self) -> int:
        """Wait for its end; its exit code, negative for a signal."""
        return await asyncio.shield(self._end)

    async def stop(self, *, patience: float) -> bool:
        """Let it finish its calls and leave; whether it did within ``patience`` seconds, or was killed."""
        self._send(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                await self.ended()
        except TimeoutError:
            self.kill()
            with suppress(TimeoutError):  # only for what the system cannot end either
                async with asyncio.timeout(_KILLED_SECONDS):
                    await self.ended()
            return False
        return self._process.returncode != -signal.SIGKILL

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def _follow(self) -> int:
        """Take what it says until it ends."""
        try:
            while self._process.stdout is not None and (line := await self._process.stdout.readline()):
                self._take(json.loads(line))
        except ValueError:  # too long a line, or not JSON: it is not one of ours any more
            self.kill()
        code = await self._process.wait()
        self.ready = False
        self._settled.set()
        self._first_ready.set()
        self._changed()
        return code

    def _take(self, said: dict[str, Any]) -> None:
        if "files" in said:
            self._files = {name: None if at is None else (at[0], at[1]) for name, at in said["files"].items()}
        if "failed" in said:
            failed = said["failed"]
            self.failure = Failure(failed["code"], failed["message"], failed["hint"])
        elif "loaded" in said:
            self._has_loaded = True
            self._settled.set()
        elif "ready" in said:
            self.ready = bool(said["ready"])
            self.tools = tuple(said.get("tools", self.tools))
            if self.ready:
                self._first_ready.set()
            self._changed()
