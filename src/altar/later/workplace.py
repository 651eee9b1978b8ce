"""The places where a user's function may run: the caller's thread, the caller's task, threads and tasks of a loop.

Each keeps one promise: the invocation is settled exactly once, and ``freed`` is told when the function has really
ended.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue

from altar.adm.errors import AltarError, ExecutionError, Ran
from altar.later.invocation import Answer, Invocation, Outcome, Work
from altar.later.source import Freed, Job, late

__all__ = ["CallerThread", "LoopTasks", "LoopThreads"]

_log = logging.getLogger("altar.later")


class CallerThread:
    """Runs a plain function where it was called; has no place for coroutines."""

    __slots__ = ()

    def run_plain(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Call it, here and now."""
        settle(invocation, job())

    def run_async(self, invocation: Invocation, work: Work) -> None:
        """Refuse: there is no loop in this thread."""
        work.close()
        raise ExecutionError("INTERNAL", f"{invocation.name!r} is a coroutine function and needs an event loop")

    def cancel(self, invocation: Invocation) -> None:
        """Nothing to stop: the caller is the one who runs it."""


class LoopThreads:
    """Runs plain functions in threads and leaves coroutines to the task that called.

    The workplace of a session in an event loop: a coroutine is awaited by the caller's own task, so that timeouts,
    task groups and context variables of the caller mean what they always mean.
    """

    def __init__(self, *, threads: int = 32, freed: Freed | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = _Threads(threads)
        self._unanswered: set[_ThreadRun] = set()
        self._freed = freed

    def run_plain(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Run it in a thread; at its deadline the call is answered, and the thread is left to finish."""
        run = _ThreadRun(self, invocation, settle)
        context = contextvars.copy_context()
        run.future = self._threads.submit(lambda: self._tell(run, context.run(job)))
        self._unanswered.add(run)
        invocation.handle = run
        run.watch()

    def run_async(self, invocation: Invocation, work: Work) -> None:
        """Hand the coroutine to whoever awaits the call."""
        invocation.handle = work

    def cancel(self, invocation: Invocation) -> None:
        """Answer a plain function as cancelled; a coroutine is cancelled with the task that awaits it."""
        if isinstance(invocation.handle, _ThreadRun):
            invocation.handle.cancel()

    def _tell(self, run: _ThreadRun, outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(run.ended, outcome)

    def answered(self, run: _ThreadRun) -> None:
        """The call has its answer, whether or not its function has ended."""
        self._unanswered.discard(run)

    def freed(self, invocation: Invocation) -> None:
        """The function has ended."""
        if self._freed is not None:
            self._freed(invocation)

    def close(self) -> None:
        """Take no more work, and answer the calls that wait for a thread; functions that run are left to themselves."""
        for run in list(self._unanswered):
            run.drop()
        self._threads.close()


class LoopTasks(LoopThreads):
    """Runs plain functions in threads and each coroutine as a task. The workplace of a runtime."""

    def __init__(self, *, threads: int = 32, freed: Freed | None = None) -> None:
        super().__init__(threads=threads, freed=freed)
        self._tasks: set[asyncio.Task[None]] = set()

    def run_async(self, invocation: Invocation, work: Work) -> None:
        """Start it as a task that is held until it ends."""
        task = self._loop.create_task(work)
        invocation.handle = task
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(ended, invocation))

    def cancel(self, invocation: Invocation) -> None:
        """Cancel the task, or answer for the thread."""
        if isinstance(invocation.handle, asyncio.Task):
            self._loop.call_soon(invocation.handle.cancel)  # after its first step: before it, nothing would settle it
        else:
            super().cancel(invocation)

    def _ended(self, task: asyncio.Task[None], invocation: Invocation) -> None:
        self._tasks.discard(task)
        self.freed(invocation)


class _ThreadRun:
    """One plain function in a thread, and the timer that answers for it when it is late."""

    __slots__ = ("_invocation", "_place", "_settle", "_settled", "_timer", "future")

    def __init__(self, place: LoopThreads, invocation: Invocation, settle: Answer) -> None:
        self._place = place
        self._invocation = invocation
        self._settle = settle
        self._settled = False
        self.future: Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Answer for it at its deadline."""
        if not math.isinf(self._invocation.deadline):
            left = max(0.0, self._invocation.deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(left, self._late)

    def ended(self, outcome: Outcome) -> None:
        """The function returned or raised."""
        if self._settled:
            _log.warning("tool outlived its call", extra={"tool": self._invocation.name})
        else:
            self._answer(outcome)
        self._place.freed(self._invocation)

    def cancel(self) -> None:
        """Answer now, whatever the thread is doing."""
        self._give_up(_cancelled)

    def drop(self) -> None:
        """Answer if it still waits for a thread: it will not get one."""
        if self._kept_from_running():
            self._answer(Outcome(error=_cancelled("no")))
            self._place.freed(self._invocation)

    def _late(self) -> None:
        self._give_up(lambda ran: late(self._invocation, ran=ran))

    def _give_up(self, why: Callable[[Ran], AltarError]) -> None:
        """Answer; a function that still waits for a thread never runs."""
        if self._settled:
            return
        kept_from_running = self._kept_from_running()
        self._answer(Outcome(error=why("no" if kept_from_running else "yes")))
        if kept_from_running:
            self._place.freed(self._invocation)

    def _kept_from_running(self) -> bool:
        return self.future is not None and self.future.cancel()

    def _answer(self, outcome: Outcome) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._settled = True
        self._place.answered(self)
        self._settle(self._invocation, outcome)


def _cancelled(ran: Ran) -> AltarError:
    return ExecutionError("CANCELLED", "The call was cancelled", ran=ran)


class _Threads:
    """At most so many threads, started as they are needed, none of which keeps the process alive.

    The pool of the standard library waits at the end of the process for each function, also for one that hangs.
    All but the work itself is called in one thread, the loop's.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._started = 0
        self._idle = threading.Semaphore(0)
        self._jobs: SimpleQueue[tuple[Future[None], Callable[[], None]] | None] = SimpleQueue()
        self._closed = False

    def submit(self, job: Callable[[], None]) -> Future[None]:
        """Queue a job, which must not raise; it never runs when its future is cancelled before a thread is free."""
        if self._closed:
            raise _cancelled("no")
        if not self._idle.acquire(blocking=False) and self._started < self._most:
            threading.Thread(target=self._work, name=f"altar-tool_{self._started}", daemon=True).start()
            self._started += 1
        future: Future[None] = Future()
        self._jobs.put((future, job))
        return future

    def close(self) -> None:
        """Let each thread end after what it is doing."""
        self._closed = True
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self) -> None:
        while (queued := self._jobs.get()) is not None:
            future, job = queued
            if future.set_running_or_notify_cancel():
                job()
            del queued, future, job  # a thread that waits holds nobody's arguments
            self._idle.release()
