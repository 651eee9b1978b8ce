"""Breakers: a runtime that keeps failing at a tool gets no calls of it for a while, then one at a time.

One breaker stands for one tool on one runtime.
It counts what says that the runtime cannot carry calls of this tool: a connection lost while one ran, an answer that
breaks the protocol, no answer in the time that the contract itself allows.
It never counts the errors of the tool, or one caller's bad input would take a healthy runtime from all others.
Time is the monotonic clock of whoever asks, in seconds.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

__all__ = ["FORGOTTEN", "Breaker", "BreakerState"]

CONSECUTIVE = 5
"""Failures in a row that open a breaker."""
FORGOTTEN = 300.0
"""Seconds without a failure after which a row of them is forgotten."""
WINDOW = 60
"""Seconds that the share of failures is taken over, in steps of one."""
FEWEST = 10
"""Calls that must have ended in the window before their share counts."""
SHARE = 0.5
"""The share of failures that opens a breaker."""
OPEN = 30.0
"""Seconds that a breaker is open the first time; each time in a row it is twice as long."""
LONGEST = 300.0
"""Most seconds that a breaker is open."""
SUCCESSES = 3
"""Calls in a row that must succeed, one at a time, before it is closed."""


class BreakerState(StrEnum):
    """Closed lets calls pass, open lets none pass, half-open lets one pass at a time."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """The breaker of one tool on one runtime.

    ``trial`` is the call that is let pass while it is half-open; None when there is none under way.
    The window begins with its first failure: a breaker of what never fails costs nothing, because there is none.
    """

    __slots__ = ("_failures", "_for", "_last", "_row", "_successes", "_window", "state", "trial", "until")

    def __init__(self) -> None:
        self.state = BreakerState.CLOSED
        self.trial: object = None
        self.until = 0.0
        self._for = OPEN
        self._row = 0
        self._last = 0.0
        self._successes = 0
        self._failures = 0
        self._window: deque[list[int]] = deque()  # second, calls, failures

    def failed(self, now: float, *, call: object = None) -> bool:
        """A call has failed. Returns whether the breaker has opened by it.

        While it is open nothing counts, and while it is half-open only the call on trial does: the others were sent
        before.
        """
        if self.state is BreakerState.CLOSED:
            self._row = 1 if now - self._last > FORGOTTEN else self._row + 1
            self._last = now
            self._count(now, failed=1)
            if self._row < CONSECUTIVE and not self._too_many():
                return False
            self._open(now, OPEN)
            return True
        if self.state is BreakerState.HALF_OPEN and call is not None and call is self.trial:
            self._open(now, min(LONGEST, self._for * 2))
            return True
        return False

    def succeeded(self, now: float, *, call: object = None) -> bool:
        """A call has ended as calls should, also with an error of its tool. Returns whether this closed the breaker."""
        if self.state is BreakerState.CLOSED:
            self._row = 0
            self._count(now, failed=0)
        elif self.state is BreakerState.HALF_OPEN and call is not None and call is self.trial:
            self.trial = None
            self._successes += 1
            if self._successes >= SUCCESSES:
                self.state = BreakerState.CLOSED
                self._for, self._row, self._successes = OPEN, 0, 0
                return True
        return False

    def undecided(self, call: object) -> None:
        """A call has ended in a way that says nothing of the runtime, such as cancelled; another may be tried."""
        if call is self.trial:
            self.trial = None

    def ready(self, now: float) -> bool:
        """Whether one call may be tried now; an open breaker whose time is over is half-open from here on."""
        if self.state is BreakerState.OPEN and now >= self.until:
            self.state = BreakerState.HALF_OPEN
            self._successes = 0
        return self.state is BreakerState.HALF_OPEN and self.trial is None

    def wait(self, now: float) -> float:
        """Seconds until it may be worth asking again; at least 0.05, and one while a call is on trial."""
        return max(0.05, self.until - now) if self.state is BreakerState.OPEN else 1.0

    def is_over(self, now: float) -> bool:
        """Whether it can be forgotten: closed, and nothing that it counted counts any more."""
        if self.state is not BreakerState.CLOSED:
            return False
        self._age(now)
        return not self._failures and (not self._row or now - self._last > FORGOTTEN)

    @property
    def opened_for(self) -> float:
        """Seconds that it is, or was last, open."""
        return self._for

    def _open(self, now: float, seconds: float) -> None:
        self.state = BreakerState.OPEN
        self._for = seconds
        self.until = now + seconds
        self.trial = None
        self._row = self._successes = self._failures = 0
        self._window.clear()

    def _count(self, now: float, *, failed: int) -> None:
        self._age(now)
        if not (self._window or failed):
            return  # the window begins with a failure
        second = int(now)
        if not self._window or self._window[-1][0] != second:
            self._window.append([second, 0, 0])
        newest = self._window[-1]
        newest[1] += 1
        newest[2] += failed
        self._failures += failed

    def _age(self, now: float) -> None:
        window, since = self._window, int(now) - WINDOW
        while window and (window[0][0] <= since or not window[0][2]):
            self._failures -= window.popleft()[2]

    def _too_many(self) -> bool:
        calls = sum(each[1] for each in self._window)
        return calls >= FEWEST and self._failures >= SHARE * calls
