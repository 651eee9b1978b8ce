"""Calls that end in time: one timer of an event loop for all the coroutines that run in it.

In: what runs in a task, and its deadline in seconds of the monotonic clock.
Out: the cancellation of the task of a call that is late, and of nothing else.
A timer for each call, such as `asyncio.timeout` sets, would cost as much as checking its arguments and its result;
most calls end long before their deadline, and cost here no more than an entry in a set.
"""

from __future__ import annotations

import asyncio
import math
import time

__all__ = ["Deadlines", "Limited"]

_SWEEP_SECONDS = 2e-5
"""Rest between two sweeps for each call that runs, so that sweeps cost at most about a hundredth of the time."""


class Limited:
    """What runs in a task until its deadline; :meth:`Deadlines.watch` fills it in.

    ``expired`` says that the task was cancelled here; ``asked`` how many cancellations it had before.
    """

    __slots__ = ("asked", "deadline", "expired", "task")

    asked: int
    deadline: float
    expired: bool
    task: asyncio.Task[object]

    def expire(self) -> None:
        """Cancel the task: its time is up."""
        self.expired = True
        self.task.cancel()

    @property
    def is_cancelled(self) -> bool:
        """Whether anybody has asked for the task to be cancelled since it was watched."""
        return self.task.cancelling() > self.asked

    def take_back(self) -> bool:
        """Undo that cancellation, once the call has ended; false when somebody else has asked for one, too."""
        self.expired = False
        return self.task.uncancel() <= self.asked


class Deadlines:
    """What runs in an event loop with a deadline; in one loop at a time, and used in its thread only."""

    __slots__ = ("_loop", "_running", "_timer", "_when")

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: set[Limited] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._when = math.inf

    def watch(self, limited: Limited, deadline: float) -> None:
        """Cancel the current task at ``deadline``, in seconds of the monotonic clock, unless it is forgotten before.

        Raises RuntimeError outside of a task.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # the first call, or the first in another loop after that of the others has ended
            self._loop, self._running, self._timer, self._when = loop, set(), None, math.inf
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("what has a deadline runs in a task")
        limited.task = task
        limited.asked = task.cancelling()
        limited.deadline = deadline
        limited.expired = False
        self._running.add(limited)
        if deadline < self._when:
            self._wait(loop, deadline)

    def forget(self, limited: Limited) -> None:
        """It has ended."""
        self._running.discard(limited)

    def _wait(self, loop: asyncio.AbstractEventLoop, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._when = until
        self._timer = loop.call_later(max(0.0, until - time.monotonic()), self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End what is late, and wait for what is next."""
        self._timer, self._when = None, math.inf
        now, following = time.monotonic(), math.inf
        for limited in self._running:
            if limited.expired:
                continue
            if limited.deadline <= now:
                limited.expire()
            else:
                following = min(following, limited.deadline)
        if following < math.inf:
            self._wait(loop, max(following, now + _SWEEP_SECONDS * len(self._running)))
