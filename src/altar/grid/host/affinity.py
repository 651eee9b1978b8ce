"""Where the stateful calls of a session go: always to the same runtime, as long as it is there.

The first choice is a rendezvous hash (highest random weight) of the session over the runtimes: it needs no table, and
when a runtime leaves only its own sessions move.
What was chosen is remembered, because a runtime that comes must not draw away the sessions whose state is elsewhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from hashlib import blake2b

__all__ = ["Homes", "highest"]

REMEMBERED = 65_536
"""Sessions whose runtimes are remembered; those used longest ago are forgotten, and their hash holds again."""
EACH = 8
"""Runtimes that are remembered for one session, whose tools may be spread over several."""


class Homes:
    """The runtimes that hold the state of sessions, by session; a call without one counts as its principal's."""

    __slots__ = ("_limit", "_of")

    def __init__(self, *, limit: int = REMEMBERED) -> None:
        self._of: OrderedDict[str, tuple[str, ...]] = OrderedDict()
        self._limit = limit

    def known(self, who: str) -> tuple[str, ...]:
        """The ids of the runtimes that a session has used, the first one first."""
        ids = self._of.get(who)
        if ids is None:
            return ()
        self._of.move_to_end(who)
        return ids

    def choose(self, who: str, runtimes: Iterable[str], *, lives: Callable[[str], bool]) -> str:
        """A runtime for a session that has none of these yet, remembered from now on; there is at least one.

        ``lives`` tells whether a runtime that the session has used is still there.
        """
        chosen = highest(who, runtimes)
        kept = [one for one in self._of.get(who, ()) if one != chosen and lives(one)]
        self._of[who] = (*kept, chosen)[-EACH:]
        self._of.move_to_end(who)
        if len(self._of) > self._limit:
            self._of.popitem(last=False)
        return chosen

    def __len__(self) -> int:
        """How many sessions are remembered."""
        return len(self._of)


def highest(who: str, runtimes: Iterable[str]) -> str:
    """The runtime whose hash with ``who`` is highest; the order in which they are given makes no difference."""
    start = blake2b(who.encode() + b"\0", digest_size=8)

    def weight(runtime: str) -> tuple[bytes, str]:
        both = start.copy()
        both.update(runtime.encode())
        return both.digest(), runtime

    return max(runtimes, key=weight)
