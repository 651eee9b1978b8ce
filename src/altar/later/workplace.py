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
from altar.later.chunks import Chunks
from altar.later.invocation import Answer, Invocation, Outcome, Work, call_facts, late
from altar.later.running import Steps
from altar.later.source import Freed, Job

__all__ = ["CallerThread", "LoopTasks", "LoopThreads", "StepsHere"]

HEED_SECONDS = 5.0
"""How long a stream that was cancelled, or is late, may take to end before it is answered for."""

_log = logging.getLogger("altar.later")


class CallerThread:
    """Runs a plain function where it was called; has no place for coroutines."""

    __slots__ = ()

    def run_plain(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Call it, here and now."""
        try:
            outcome = job()
        except BaseException:  # a person at the keyboard
            settle(invocation, Outcome(error=_cancelled("yes")))
            raise
        settle(invocation, outcome)

    def run_bounded(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Call it, here and now."""
        self.run_plain(invocation, job, settle)

    def run_async(self, invocation: Invocation, work: Work) -> None:
        """Refuse: there is no loop in this thread."""
        work.close()
        raise ExecutionError("INTERNAL", f"{invocation.name!r} is a coroutine function and needs an event loop")

    def run_steps(self, invocation: Invocation, values: Steps, settle: Answer) -> None:
        """Leave the steps to the caller, who takes them one by one."""
        invocation.handle = StepsHere(invocation, values, settle)

    def run_stream(self, invocation: Invocation, made: Callable[[Answer], Work], settle: Answer) -> None:
        """Refuse: there is no loop in this thread."""
        raise ExecutionError("INTERNAL", f"{invocation.name!r} is an asynchronous generator and needs an event loop")

    def cancel(self, invocation: Invocation) -> None:
        """Nothing to stop: the caller is the one who runs it."""


class StepsHere:
    """A plain generator that its reader steps through in the reader's own thread."""

    __slots__ = ("_invocation", "_settle", "_values")

    def __init__(self, invocation: Invocation, values: Steps, settle: Answer) -> None:
        self._invocation = invocation
        self._values = values
        self._settle = settle

    def step(self) -> bytes | None:
        """The next value, checked; None when the call has ended and is settled."""
        try:
            chunk = next(self._values)
            self._invocation.chunks.note(chunk)
        except StopIteration as ended:
            self._settle(self._invocation, ended.value)
        except AltarError as cut:
            self._end(cut)
        except BaseException:
            self._end(_cancelled("yes"))  # a person at the keyboard
            raise
        else:
            return chunk
        return None

    def leave(self) -> None:
        """Close the generator, here and now, and settle the call as cancelled."""
        self._end(_cancelled("yes"))

    def _end(self, why: AltarError) -> None:
        self._values.close()
        self._settle(self._invocation, Outcome(error=why))


class LoopThreads:
    """Runs plain functions in threads and leaves coroutines to the task that called.

    The workplace of a session in an event loop: a coroutine is awaited by the caller's own task, so that timeouts,
    task groups and context variables of the caller mean what they always mean.
    """

    def __init__(self, *, threads: int = 32, freed: Freed | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._threads = _Threads(threads)
        self._waiting_threads = _Threads(threads)  # of their own: who waits for a process holds up no function here
        self._unanswered: set[_ThreadRun | _TaskRun] = set()
        self._freed = freed

    def run_plain(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Run it in a thread; at its deadline the call is answered, and the thread is left to finish."""
        self._run_in_thread(_ThreadRun(self, invocation, settle), invocation, job, self._threads)

    def run_bounded(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        """Run it in a thread, and let it answer for itself once it has one."""
        run = _ThreadRun(self, invocation, settle, bounded=True)
        self._run_in_thread(run, invocation, job, self._waiting_threads)

    def _run_in_thread(self, run: _ThreadRun, invocation: Invocation, job: Job, threads: _Threads) -> None:
        context = contextvars.copy_context()
        nested = invocation.parent is not None  # its parent may hold a thread, and waits for it
        run.future = threads.submit(lambda: self._tell(run, context.run(job)), urgent=nested)
        self._unanswered.add(run)
        invocation.handle = run
        run.watch()

    def run_async(self, invocation: Invocation, work: Work) -> None:
        """Hand the coroutine to whoever awaits the call."""
        invocation.handle = work

    def run_steps(self, invocation: Invocation, values: Steps, settle: Answer) -> None:
        """Step through it in a thread, which waits there when its reader is slow."""
        run = _ThreadRun(self, invocation, settle, heeds=True)
        isolated = getattr(invocation.contract, "isolate", None) is not None
        threads = self._waiting_threads if isolated else self._threads
        self._run_in_thread(run, invocation, lambda: _passed_on(values, invocation.chunks), threads)

    def run_stream(self, invocation: Invocation, made: Callable[[Answer], Work], settle: Answer) -> None:
        """Run it in a task of its own: it must be able to wait, and to end, while its reader does something else."""
        run = _TaskRun(self, invocation, settle)
        self._unanswered.add(run)
        invocation.handle = run
        run.start(self._loop.create_task(made(run.answer)))  # which an eager loop may carry to its end at once

    def cancel(self, invocation: Invocation) -> None:
        """Answer a plain function as cancelled; a coroutine is cancelled with the task that awaits it."""
        if isinstance(invocation.handle, (_ThreadRun, _TaskRun)):
            invocation.handle.cancel()

    def _tell(self, run: _ThreadRun, outcome: Outcome) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(run.ended, outcome)

    def answered(self, run: _ThreadRun | _TaskRun) -> None:
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
        self._waiting_threads.close()


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


def _passed_on(values: Steps, chunks: Chunks) -> Outcome:
    """Pass on what a plain generator yields, until it ends or a value cannot be passed on."""
    try:
        while True:
            chunks.give(next(values))
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome
    except AltarError as cut:
        values.close()
        return Outcome(error=cut)


class _TaskRun:
    """One asynchronous generator in a task of its own, answered in time even when it does not heed its end."""

    __slots__ = ("_invocation", "_place", "_settle", "_settled", "_task", "_timer")

    def __init__(self, place: LoopThreads, invocation: Invocation, settle: Answer) -> None:
        self._place = place
        self._invocation = invocation
        self._settle = settle
        self._settled = False
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self, task: asyncio.Task[None]) -> None:
        """Hold the task until it ends, and answer for it a while after its deadline at the latest."""
        self._task = task
        task.add_done_callback(lambda _: self._place.freed(self._invocation))
        if not self._settled and not math.isinf(self._invocation.deadline):
            left = max(0.0, self._invocation.deadline - time.monotonic()) + HEED_SECONDS
            self._timer = asyncio.get_running_loop().call_later(left, self._late)

    def answer(self, invocation: Invocation, outcome: Outcome) -> None:
        """The generator has ended; nobody hears of it when its call was answered before."""
        if self._settled:
            _log.warning("tool outlived its call", extra=call_facts(invocation))
            return
        self._settled = True
        if self._timer is not None:
            self._timer.cancel()
        self._place.answered(self)
        self._settle(invocation, outcome)

    def cancel(self) -> None:
        """Cancel the task, and answer a while after it when it does not heed that."""
        if self._task is not None and not self._settled:
            loop = asyncio.get_running_loop()
            self._invocation.chunks.leave()
            loop.call_soon(self._interrupt, self._task)  # after its first step: before it, nothing would settle it
            if self._timer is not None:
                self._timer.cancel()
            self._timer = loop.call_later(HEED_SECONDS, self._ignored)

    def drop(self) -> None:
        """The place closes: answer now, and let the generator end as it can."""
        if self._task is not None:
            self._task.cancel()
        self._ignored()

    def _interrupt(self, task: asyncio.Task[None]) -> None:
        """End what it waits for, unless it has heard that nobody reads on: then it closes its generator itself."""
        if not self._invocation.chunks.was_heard:
            task.cancel()

    def _late(self) -> None:
        self._answer_for(late(self._invocation, ran="yes"))

    def _ignored(self) -> None:
        self._answer_for(_cancelled("yes"))

    def _answer_for(self, why: AltarError) -> None:
        if not self._settled:
            self.answer(self._invocation, Outcome(error=why))


class _ThreadRun:
    """One plain function in a thread, and the timer that answers for it when it is late.

    A ``bounded`` one ends by itself when it is late or cancelled, and knows better whether anything ran.
    One that ``heeds`` hears that it was cancelled with its next value, and is given a while for it.
    """

    __slots__ = ("_bounded", "_heeds", "_invocation", "_place", "_settle", "_settled", "_timer", "future")

    def __init__(
        self,
        place: LoopThreads,
        invocation: Invocation,
        settle: Answer,
        *,
        bounded: bool = False,
        heeds: bool = False,
    ) -> None:
        self._place = place
        self._invocation = invocation
        self._settle = settle
        self._settled = False
        self._bounded = bounded
        self._heeds = heeds
        self.future: Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def watch(self) -> None:
        """Answer for it at its deadline."""
        if not math.isinf(self._invocation.deadline):
            left = max(0.0, self._invocation.deadline - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(left, self._late)

    def ended(self, outcome: Outcome) -> None:
        """The function returned or raised."""
        if not self._settled:
            self._answer(outcome)
        elif not self._heeds:  # a generator hears of its end with its next value, and not before
            _log.warning("tool outlived its call", extra=call_facts(self._invocation))
        self._place.freed(self._invocation)

    def cancel(self) -> None:
        """Answer now, whatever the thread is doing; but let a generator close first, for a while."""
        if self._heeds and not self._settled and self.future is not None and self.future.running():
            self._invocation.chunks.leave()
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(HEED_SECONDS, self._give_up, _cancelled)
        else:
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
        if self._bounded and not kept_from_running:
            return
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
    Jobs are given by one thread, the loop's.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._started = 0
        self._free = 0  # threads without a job, less the jobs without a thread
        self._jobs: SimpleQueue[_Queued | None] = SimpleQueue()
        self._closed = False

    def submit(self, job: Callable[[], None], *, urgent: bool = False) -> Future[None]:
        """Queue a job, which must not raise; it never runs when its future is cancelled before a thread is free.

        An ``urgent`` one, for which a job that runs may be waiting, gets a thread beyond their number if need be.
        """
        if self._closed:
            raise _cancelled("no")
        queued: _Queued = (Future(), job)
        with self._lock:
            starts = self._free <= 0 and (urgent or self._started < self._most)
            name = f"altar-tool_{self._started}"
            if starts:
                self._started += 1
            else:
                self._free -= 1
        if starts:
            try:
                threading.Thread(target=self._work, args=([queued],), name=name, daemon=True).start()
            except RuntimeError:  # the system has no thread to give now, and may have one later
                with self._lock:
                    self._started -= 1
                raise
        else:
            self._jobs.put(queued)
        return queued[0]

    def close(self) -> None:
        """Let each thread end after what it is doing."""
        self._closed = True
        for _ in range(self._started):
            self._jobs.put(None)

    def _work(self, first: list[_Queued]) -> None:
        queued: _Queued | None = first.pop()
        while queued is not None:
            future, job = queued
            if future.set_running_or_notify_cancel():
                job()
            del queued, future, job  # a thread that waits holds nobody's arguments
            if self._is_one_too_many():
                return
            queued = self._jobs.get()

    def _is_one_too_many(self) -> bool:
        """Whether the thread, which has no job now, was started beyond their number and is not needed any more."""
        with self._lock:
            if self._started > self._most and self._free >= 0:
                self._started -= 1
                return True
            self._free += 1
            return False


_Queued = tuple[Future[None], Callable[[], None]]
