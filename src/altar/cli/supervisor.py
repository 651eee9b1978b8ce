"""The supervisor of `altar runtime`: starts workers, starts again what ends, and ends all in order.

It runs no tools and dials no host: a worker that dies takes nothing else down.
Workers are tied to it by their standard input, so that they finish their calls and leave even when it is killed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from altar.adm.errors import error_of
from altar.cli import output
from altar.cli.reloading import EVERY, Watch
from altar.cli.worker import GRACE
from altar.cli.worker_process import Failure, WorkerProcess
from altar.grid.workers import worker_id

__all__ = ["Supervisor"]

_log = logging.getLogger("altar.runtime")

PAUSE, LONGEST_PAUSE, STEADY = 0.5, 30.0, 60.0
"""Seconds before a worker is started again, at first and at most; and how long it must live to begin anew."""
READY_SECONDS = 30.0
"""Seconds that a new worker may take to load, and again until it is ready before the next one is replaced."""


@dataclass(slots=True, eq=False)
class _Slot:
    """The place of one worker: the process that has it, and the one that is loaded and will take it over."""

    number: int
    process: WorkerProcess | None = None
    successor: WorkerProcess | None = None
    replaced: bool = False
    starts: int = 0
    wake: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, process: WorkerProcess) -> None:
        """The place is for this process from here on."""
        self.process, self.successor = process, None
        self.starts += 1


class Supervisor:
    """Some workers of one runtime, from the first start to the orderly end.

    ``arguments`` are those of ``altar runtime`` for each worker, ``drain`` is how many seconds each gives its calls.
    ``told`` gets what is announced: when all workers are ready, and each time that changes.
    With ``reload`` they are replaced when a file changes that they have loaded.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        runtime_id: str,
        workers: int,
        drain: float,
        reload: bool,
        told: Callable[[Mapping[str, Any]], None],
    ) -> None:
        self._arguments = arguments
        self._runtime_id = runtime_id
        self._drain = drain
        self._reload = reload
        self._tell = told
        self._slots = [_Slot(number) for number in (range(1, workers + 1) if workers > 1 else (0,))]
        self._last: Mapping[str, Any] | None = None
        self._changed = asyncio.Event()
        self._watch = Watch()

    async def run(self, leave: asyncio.Event) -> int:
        """Serve until ``leave`` is set; the exit code, which is 0 when every worker has finished its calls.

        Raises the error of a worker that could not start in the first place.
        Ends by itself when other processes have taken the place of every worker.
        """
        loop = asyncio.get_running_loop()
        keeping = [loop.create_task(self._keep(slot)) for slot in self._slots]
        over = loop.create_task(_all_of(keeping))
        telling = loop.create_task(self._tell_changes())
        aside = [over, loop.create_task(leave.wait())]
        if self._reload:
            aside.append(loop.create_task(self._reload_when_changed()))
        try:
            await asyncio.wait({telling, *aside}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*keeping, *aside):
                task.cancel()
            ends = await asyncio.gather(*keeping, *aside, return_exceptions=True)
            orderly = await self._stop()
            telling.cancel()
            ends += await asyncio.gather(telling, return_exceptions=True)
            self._tell_what_holds()
        for end in ends:
            if isinstance(end, Exception):
                raise end
        if all(slot.replaced for slot in self._slots):
            return output.REPLACED
        return output.DONE if orderly else output.FAILED

    def kill(self) -> None:
        """End every worker at once; :meth:`run` then ends too."""
        for process in self._processes():
            process.kill()

    # ------------------------------------------------------------------------------------------------ one worker each

    async def _keep(self, slot: _Slot) -> None:
        """Start the worker, and start it again each time it ends, after a pause that doubles while it does not last."""
        pause = PAUSE
        while True:
            process = slot.successor or await self._start(slot)
            slot.take(process)
            began = time.monotonic()
            if await process.loads():
                process.begin()
            code = await process.ended()
            if time.monotonic() - began > STEADY:
                pause = PAUSE
            if code == output.REPLACED:
                slot.replaced = True
                _log.error("worker replaced by another process", extra=_about(slot, process, _REPLACED))
                return
            if slot.successor is not None:
                continue
            self._raise_at_first_start(slot, process)
            failure = process.failure or Failure("", _ending(code), None)
            _log.error("worker ended", extra={**_about(slot, process, failure), "again_in": pause})
            slot.wake.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(slot.wake.wait(), pause)
            pause = min(LONGEST_PAUSE, 2 * pause)

    async def _start(self, slot: _Slot) -> WorkerProcess:
        return await WorkerProcess.start(self._arguments, number=slot.number, changed=self._changed.set)

    def _raise_at_first_start(self, slot: _Slot, process: WorkerProcess) -> None:
        """A runtime that was never ready and says why has been started wrongly: nothing gets better by trying again."""
        if self._last is None and slot.starts == 1 and process.failure is not None:
            failed = process.failure
            raise error_of(failed.code, failed.message, hint=failed.hint)

    # ----------------------------------------------------------------------------------------------------- reloading

    async def _reload_when_changed(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            for process in self._processes():
                self._watch.know(process.new_files())
            changed = self._watch.changed()
            if changed:
                await self._replace_all(changed)

    async def _replace_all(self, changed: Sequence[str]) -> None:
        """Replace one worker after the other; each serves on until it is known that the new code loads."""
        _log.info("files changed", extra={"files": list(changed)})
        for slot in self._slots:
            if slot.replaced:
                continue
            old = slot.process
            successor = slot.successor = await self._start(slot)
            if not await _in_time(successor.loads()):
                slot.successor = None
                successor.kill()
                self._watch.know(successor.new_files())
                failure = successor.failure or Failure("", "It ended, or was too slow, while it loaded", None)
                _log.error("reload refused, the old code goes on", extra=_about(slot, successor, failure))
                return
            slot.wake.set()
            if old is not None and old.alive:
                await old.stop(patience=self._drain + GRACE)
            await _in_time(successor.gets_ready())
        _log.info("reloaded", extra={"files": list(changed)})

    # ------------------------------------------------------------------------------------------------- what holds now

    async def _tell_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._tell_what_holds()

    def _tell_what_holds(self) -> None:
        """Announce what holds, when it is not what was announced; nothing before all workers are ready."""
        serving = [slot.process for slot in self._slots if slot.process is not None and slot.process.ready]
        ready = len(serving) == len(self._slots)
        if self._last is None and not ready:
            return
        tools = set(serving[0].tools).intersection(*(one.tools for one in serving)) if serving else set()
        holds = {
            "ready": ready,
            "runtime": self._runtime_id,
            "tools": sorted(tools),
            "pid": os.getpid(),
            "workers": [
                {
                    "runtime": worker_id(self._runtime_id, number=slot.number),
                    "pid": slot.process.pid if slot.process is not None and slot.process.alive else None,
                    "ready": slot.process is not None and slot.process.ready,
                }
                for slot in self._slots
            ],
        }
        if holds != self._last:
            self._last = holds
            self._tell(holds)

    # --------------------------------------------------------------------------------------------------------- the end

    async def _stop(self) -> bool:
        """Let every worker finish its calls and leave; whether none had to be killed."""
        stopped = await asyncio.gather(
            *(process.stop(patience=self._drain + GRACE) for process in self._processes() if process.alive)
        )
        return all(stopped)

    def _processes(self) -> list[WorkerProcess]:
        return [one for slot in self._slots for one in (slot.process, slot.successor) if one is not None]


_REPLACED = Failure(
    "RUNTIME_CRASH",
    "Another process has attached under the id of this worker, which is not started again",
    "give each runtime an id and a certificate of its own",
)


async def _in_time(step: Awaitable[bool]) -> bool:
    try:
        async with asyncio.timeout(READY_SECONDS):
            return await step
    except TimeoutError:
        return False


async def _all_of(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Wait for all of them; raise at once what one of them raises."""
    await asyncio.gather(*tasks)


def _about(slot: _Slot, process: WorkerProcess, failure: Failure) -> dict[str, Any]:
    about = {
        "worker": slot.number,
        "pid": process.pid,
        "code": failure.code,
        "reason": failure.message,
        "hint": failure.hint,
    }
    return {name: value for name, value in about.items() if value not in {"", None}}


def _ending(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
