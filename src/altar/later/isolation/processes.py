"""Tools that run in processes of their own: `@altar.tool(isolate="process")`.

A call comes in with its canonical JSON, goes to a warm child process and comes back as an outcome.
What a thread cannot give, a process can: a call that is late or cancelled is ended at once, and a crash takes
nothing else with it.
"""

from __future__ import annotations

import atexit
import math
import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, Ran
from altar.later.invocation import Invocation, Outcome, defect, late
from altar.later.isolation.child import Child, Gone
from altar.later.isolation.place import Place, place_of

if TYPE_CHECKING:
    from altar.later.context import ToolContext
    from altar.later.running import Steps
    from altar.later.tool import ToolFunction

__all__ = ["Processes", "enter_child", "in_child", "processes"]

IDLE_SECONDS = 60.0
"""How long a child waits for another call before it ends."""

_LEAVE_SECONDS = 2.0
"""How long a child that is let go may take to end, before it is killed."""


class Processes:
    """Warm child processes, at most `limit` at a time, started when a call needs one. Safe to use from any thread.

    A child serves every isolated tool, one call at a time, and ends after `idle` seconds without one.
    """

    def __init__(self, limit: int | None = None, *, idle: float = IDLE_SECONDS) -> None:
        """Start nothing yet; `limit` is the number of CPUs that this process may use, and 2 at least, unless given."""
        self._limit = limit or max(2, len(os.sched_getaffinity(0)))
        self._idle_seconds = idle
        self._changed = threading.Condition()
        self._idle: list[tuple[float, Child]] = []
        self._children: set[Child] = set()
        self._leaving: set[Child] = set()
        self._starting = 0
        self._runs: dict[Invocation, _Run] = {}
        self._sweeping = False
        self._closed = False
        self._ended = threading.Event()

    @property
    def started(self) -> int:
        """How many child processes there are."""
        with self._changed:
            return len(self._children)

    @property
    def idle(self) -> int:
        """How many child processes wait for a call."""
        with self._changed:
            return len(self._idle)

    def run(
        self, tool: ToolFunction[..., Any], invocation: Invocation, *, context: ToolContext | None = None
    ) -> Outcome:
        """Run one call in a child process and wait for its outcome, as :meth:`steps` does; parts are dropped."""
        steps = self.steps(tool, invocation, context=context)
        try:
            while True:
                next(steps)
        except StopIteration as ended:
            outcome: Outcome = ended.value
            return outcome

    def steps(
        self, tool: ToolFunction[..., Any], invocation: Invocation, *, context: ToolContext | None = None
    ) -> Steps:
        """Run one call in a child process: the values of a tool that streams, one by one, and then the outcome.

        Every next step waits, at most until the deadline of the call; between two steps the child waits.
        `context` hears what the function tells its own context there.
        Closing it gives the function a moment to close what it has open, and kills it then.
        A failure is the outcome: TIMEOUT and CANCELLED after the function was killed, RUNTIME_CRASH when its process
        ended; each says in `ran` whether the function had begun.
        """
        run = _Run(invocation, context)
        with self._changed:
            self._runs[invocation] = run
        try:
            place = _place(tool)
            outcome = yield from self._tried(place, run)
            if outcome is None:  # the child had ended while it was idle
                outcome = yield from self._tried(place, run, fresh=True)
            return outcome or _crashed(invocation, ran="no")
        except AltarError as refused:
            return Outcome(error=refused)
        except Exception as failed:  # noqa: BLE001 - nobody else would answer who waits for this
            return Outcome(error=defect(failed, ran="unknown"))
        finally:
            with self._changed:
                del self._runs[invocation]

    def kill(self, invocation: Invocation) -> None:
        """End a call at once, wherever it is; its outcome is CANCELLED. Does nothing for a call that has ended."""
        with self._changed:
            invocation.cancelled = True  # also when it has not come here yet
            run = self._runs.get(invocation)
            if run is not None and run.child is not None:
                run.child.kill()
            self._changed.notify_all()

    def recycle(self) -> None:
        """Replace every child: an idle one ends now, one that runs a call after that."""
        with self._changed:
            self._leaving |= self._children
            idle = self._take_idle(math.inf)
        _let_go(idle)

    def close(self) -> None:
        """End all children; calls that run are cancelled, and no more are taken."""
        with self._changed:
            self._closed = True
            for run in self._runs.values():
                run.invocation.cancelled = True
                if run.child is not None:
                    run.child.kill()
            idle = self._take_idle(math.inf)
            self._changed.notify_all()
        self._ended.set()
        _let_go(idle)

    def disown(self) -> None:
        """Forget everything in a forked copy of this process: the children are its parent's."""
        for child in self._children:
            with suppress(OSError):
                child.disown()

    # ------------------------------------------------------------------------------------------------------ one call

    def _tried(self, place: Place, run: _Run, *, fresh: bool = False) -> Generator[bytes, None, Outcome | None]:
        """One attempt and its outcome; None when a child that was used before had ended without having begun."""
        child = self._take(place, run, fresh=fresh)
        used = child.calls > 0
        kept = False
        try:
            self._refuse(run)  # it may have been cancelled while the child was starting
            child.load(place, deadline=run.invocation.deadline)
            outcome = yield from child.steps(place, run.invocation, context=run.context)
            kept = True
            return outcome
        except TimeoutError:
            return Outcome(error=late(run.invocation, ran=_ran(child)))
        except Gone:
            began = _ran(child)
            if run.invocation.cancelled:
                return Outcome(error=_cancelled(began))
            if used and began == "no":
                return None
            return _crashed(run.invocation, ran=began, code=child.bury(within=_LEAVE_SECONDS))
        except GeneratorExit:
            kept = child.closed
            raise
        finally:
            if not kept:
                child.kill()
            self._give_back(child, run, kept=kept)

    def _take(self, place: Place, run: _Run, *, fresh: bool) -> Child:
        """A child for this call: one that has the tool, or any that is idle, or a new one; else wait for one."""
        with self._changed:
            while True:
                self._refuse(run)
                found = None if fresh else self._pick(place)
                if found is not None:
                    run.child = found
                    return found
                if len(self._children) + self._starting < self._limit:
                    self._starting += 1
                    break
                if fresh and self._idle:
                    gone = self._idle.pop(0)[1]
                    self._children.discard(gone)
                    gone.kill()
                    gone.bury(within=_LEAVE_SECONDS)
                    continue
                left = run.invocation.deadline - time.monotonic()
                self._changed.wait(min(max(left, 0.0), threading.TIMEOUT_MAX))
        return self._started(run)

    def _refuse(self, run: _Run) -> None:
        if run.invocation.cancelled or self._closed:
            raise _cancelled("no")
        if time.monotonic() >= run.invocation.deadline:
            raise late(run.invocation, ran="no")

    def _pick(self, place: Place) -> Child | None:
        if not self._idle:
            return None
        last = len(self._idle) - 1  # the latest is the warmest
        at = next((at for at in range(last, -1, -1) if self._idle[at][1].has_loaded(place)), last)
        return self._idle.pop(at)[1]

    def _started(self, run: _Run) -> Child:
        child = None
        try:
            child = Child()
        finally:
            with self._changed:
                self._starting -= 1
                if child is not None:
                    self._children.add(child)
                    run.child = child
                self._changed.notify_all()
        return child

    def _give_back(self, child: Child, run: _Run, *, kept: bool) -> None:
        with self._changed:
            run.child = None
            kept = kept and not (self._closed or child in self._leaving or run.invocation.cancelled)
            if kept:
                self._idle.append((time.monotonic(), child))
                self._sweep_later()
            else:
                self._children.discard(child)
                self._leaving.discard(child)
            self._changed.notify_all()  # one alone might be late just now, and hand it on to nobody
        if not kept:
            threading.Thread(target=_let_go, args=([child],), name="altar-leaving-process", daemon=True).start()

    # ---------------------------------------------------------------------------------------------------- idle ones

    def _take_idle(self, due: float) -> list[Child]:
        """Take out the children that have been idle since `due` or before; the lock is held."""
        taken = [child for since, child in self._idle if since <= due]
        self._idle = [(since, child) for since, child in self._idle if since > due]
        self._children.difference_update(taken)
        self._leaving.difference_update(taken)
        return taken

    def _sweep_later(self) -> None:
        if not self._sweeping:
            self._sweeping = True
            threading.Thread(target=self._sweep, name="altar-idle-processes", daemon=True).start()

    def _sweep(self) -> None:
        """End idle children when their time has come; ends itself when there are none."""
        while True:
            with self._changed:
                due = time.monotonic() - self._idle_seconds
                taken = self._take_idle(due)
                if not taken and not self._idle:
                    self._sweeping = False
                    return
                if self._idle:
                    pause = self._idle[0][0] - due
            if taken:
                _let_go(taken)
            else:
                self._ended.wait(pause)


class _Run:
    """A call that is here, and the child that runs it, once it has one."""

    __slots__ = ("child", "context", "invocation")

    def __init__(self, invocation: Invocation, context: ToolContext | None) -> None:
        self.invocation = invocation
        self.context = context
        self.child: Child | None = None


_of_process: dict[int, Processes] = {}
_lock = threading.Lock()
_in_child = False


def processes() -> Processes:
    """The child processes of this process, for all its sessions; ended at its exit."""
    with _lock:
        mine = _of_process.get(os.getpid())
        if mine is None:
            mine = _of_process[os.getpid()] = Processes()
            if len(_of_process) == 1:
                atexit.register(_close)
                os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forked)
        return mine


def enter_child() -> None:
    """Say that this process is such a child: it starts no further ones."""
    global _in_child  # noqa: PLW0603 - a fact about the process, set once at its start
    _in_child = True


def in_child() -> bool:
    """Whether this process is such a child."""
    return _in_child


def _close() -> None:
    mine = _of_process.get(os.getpid())
    if mine is not None:
        mine.close()


def _forked() -> None:
    for inherited in _of_process.values():
        inherited.disown()
    _lock.release()


def _place(tool: ToolFunction[..., Any]) -> Place:
    if _in_child:
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            f"{tool.name!r} runs in a process of its own, and was called from a tool that does so too",
            ran="no",
            hint=f"call the plain function {tool.function.__qualname__!r} there",
        )
    return place_of(tool)


def _let_go(children: list[Child]) -> None:
    for child in children:
        child.hang_up()
    by = time.monotonic() + _LEAVE_SECONDS
    for child in children:
        child.bury(within=max(0.0, by - time.monotonic()))


def _ran(child: Child) -> Ran:
    return "yes" if child.began else "no"


def _cancelled(ran: Ran) -> AltarError:
    return ExecutionError("CANCELLED", "The call was cancelled", ran=ran)


def _crashed(invocation: Invocation, *, ran: Ran, code: int | None = None) -> Outcome:
    how = "ended before it answered"
    if code is not None and code < 0:
        how = f"was killed by {_signal(-code)}"
    elif code is not None:
        how = f"ended with exit code {code}"
    return Outcome(
        error=ExecutionError(
            "RUNTIME_CRASH",
            f"The process that ran {invocation.name!r} {how}",
            ran=ran,
            hint="the standard error of the process where the tool ran may say why",
        )
    )


def _signal(number: int) -> str:
    with suppress(ValueError):
        return signal.Signals(number).name
    return f"signal {number}"
