"""The breakers of a host: which runtimes are kept from which tools, and what is made of each call that ends.

A breaker outlives the connection of its runtime: one that crashes at each call of a tool comes back at once.
As long as nothing fails there is no breaker, and a call that succeeds costs nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from typing import TYPE_CHECKING, Any

from altar.adm.codes import CODES
from altar.grid.host.breaker import FORGOTTEN, Breaker, BreakerState
from altar.grid.host.routing import key_of
from altar.later.options import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from altar.grid.host.routing import AttachedRuntime, Key
    from altar.later.invocation import Invocation, Outcome

__all__ = ["MOST", "BreakerDesk", "verdict_on"]

MOST = 4096
"""Most breakers that are kept; beyond that a further failure is not counted."""
ON_THE_WAY = 0.05
"""The part of a contract's limit that may have gone by when a call reaches its runtime: what the way took."""

Note = Callable[[Any, str, str], None]
"""Where it is told that something came, went or failed: an event, what it is about, and words."""


def verdict_on(invocation: Invocation, outcome: Outcome) -> bool | None:
    """Whether a call that ended speaks for its runtime (True), against it (False), or says nothing of it (None).

    The error of a tool speaks for its runtime, which carried the call out.
    A time that was up speaks against it only if the call had at least the time that its contract allows.
    """
    if outcome.error is None:
        return True
    code = outcome.error.code
    if code == "PROTOCOL_VIOLATION":
        return False
    if code == "TIMEOUT":
        limit = (invocation.contract.declaration.timeout or DEFAULT_TIMEOUT).total_seconds()
        return False if invocation.deadline - invocation.sent >= limit * (1 - ON_THE_WAY) else None
    return None if code == "CANCELLED" or code not in CODES else True


class BreakerDesk:
    """All breakers, by the id of the runtime and then by name and version of the tool.

    ``blocked`` are the attached runtimes whose breaker is not closed, by tool.
    ``changed`` is told when a runtime is blocked, or no longer; ``note`` records it.
    """

    def __init__(self, note: Note, *, changed: Callable[[AttachedRuntime], None]) -> None:
        self._note = note
        self._changed = changed
        self._count = 0
        self.all: dict[str, dict[Key, Breaker]] = {}
        self.blocked: dict[Key, dict[AttachedRuntime, None]] = {}

    # -------------------------------------------------------------------------------------------------- who may run

    def trial(self, invocation: Invocation, now: float) -> AttachedRuntime | None:
        """A runtime with a half-open breaker that is to try this call; None when there is none with room."""
        key = key_of(invocation)
        for runtime in self.blocked.get(key, ()):
            if (
                key in runtime.fulfils
                and not runtime.draining
                and runtime.tenant in {"", invocation.tenant}
                and set(invocation.contract.requires).issubset(runtime.labels)
                and runtime.capabilities.issuperset(invocation.needs)
                and (not invocation.contract.stateful or invocation.pinned == runtime.runtime_id)
                and self.takes(runtime, invocation, now)
            ):
                return runtime
        return None

    def takes(self, runtime: AttachedRuntime, invocation: Invocation, now: float) -> bool:
        """Whether a blocked runtime tries this call now; if so, it is the one on trial."""
        breaker = self.all[runtime.runtime_id][key_of(invocation)]
        if not runtime.has_room(invocation.depth) or not breaker.ready(now):
            return False
        breaker.trial = invocation
        return True

    def wait(self, key: Key, now: float) -> float:
        """Seconds until one of the runtimes that are kept from a tool may try again."""
        return min((self.all[one.runtime_id][key].wait(now) for one in self.blocked.get(key, ())), default=1.0)

    # -------------------------------------------------------------------------------------------- how calls ended

    def judge(self, runtime: AttachedRuntime, invocation: Invocation, *, verdict: bool | None, now: float) -> None:
        """A call of a runtime has ended, with this verdict on the runtime."""
        key = key_of(invocation)
        if verdict is False:
            breaker = self._make(runtime.runtime_id, key)
            if breaker is not None and breaker.failed(now, call=invocation):
                self._opened(runtime, key, breaker)
            return
        breaker = self.all.get(runtime.runtime_id, {}).get(key)
        if breaker is None:
            return
        if verdict is None:
            breaker.undecided(invocation)
        elif breaker.succeeded(now, call=invocation):
            self._closed(runtime, key)

    def lost(
        self, runtime: AttachedRuntime, calls: Iterable[Invocation], unsent: Container[Invocation], now: float
    ) -> None:
        """A runtime is gone with these calls: one failure for each tool, however many of its calls there were.

        Those that were ``unsent`` say nothing.
        """
        of_tool: dict[Key, Invocation] = {}
        for invocation in calls:
            breaker = self.all.get(runtime.runtime_id, {}).get(key_of(invocation))
            if invocation in unsent:
                if breaker is not None:
                    breaker.undecided(invocation)
            elif breaker is not None and breaker.trial is invocation:
                of_tool[key_of(invocation)] = invocation
            else:
                of_tool.setdefault(key_of(invocation), invocation)
        for invocation in of_tool.values():
            self.judge(runtime, invocation, verdict=False, now=now)

    # ------------------------------------------------------------------------------------------- coming and going

    def attached(self, runtime: AttachedRuntime) -> None:
        """A runtime has come, or has come back."""
        for key, breaker in self.all.get(runtime.runtime_id, {}).items():
            if breaker.state is not BreakerState.CLOSED:
                self._block(runtime, key)

    def left(self, runtime: AttachedRuntime) -> None:
        """A runtime gets no more calls."""
        for key in runtime.blocked:
            theirs = self.blocked.get(key, {})
            theirs.pop(runtime, None)
            if not theirs:
                self.blocked.pop(key, None)

    def sweep(self, now: float, attached: Container[str]) -> None:
        """Forget what no longer counts, and what stands for a runtime that has long been gone."""
        for runtime_id, theirs in list(self.all.items()):
            for key, breaker in list(theirs.items()):
                gone = runtime_id not in attached and now > breaker.until + FORGOTTEN
                if breaker.is_over(now) or (gone and breaker.state is not BreakerState.CLOSED):
                    del theirs[key]
                    self._count -= 1
            if not theirs:
                del self.all[runtime_id]

    def states(self, runtime_id: str) -> dict[str, str]:
        """The state of each breaker of a runtime that is not closed, by ``name@version`` of the tool."""
        return {
            "@".join(key): str(breaker.state)
            for key, breaker in self.all.get(runtime_id, {}).items()
            if breaker.state is not BreakerState.CLOSED
        }

    def _make(self, runtime_id: str, key: Key) -> Breaker | None:
        breaker = self.all.get(runtime_id, {}).get(key)
        if breaker is None and self._count < MOST:
            breaker = self.all.setdefault(runtime_id, {})[key] = Breaker()
            self._count += 1
        return breaker

    def _opened(self, runtime: AttachedRuntime, key: Key, breaker: Breaker) -> None:
        self._block(runtime, key)
        self._note("breaker.opened", runtime.runtime_id, f"{key[0]}@{key[1]} for {breaker.opened_for:g} s")
        self._changed(runtime)

    def _closed(self, runtime: AttachedRuntime, key: Key) -> None:
        runtime.blocked.discard(key)
        theirs = self.blocked.get(key, {})
        theirs.pop(runtime, None)
        if not theirs:
            self.blocked.pop(key, None)
        self._note("breaker.closed", runtime.runtime_id, f"{key[0]}@{key[1]}")
        self._changed(runtime)

    def _block(self, runtime: AttachedRuntime, key: Key) -> None:
        runtime.blocked.add(key)
        self.blocked.setdefault(key, {})[runtime] = None
