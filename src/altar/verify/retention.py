"""What a log says about its own past: what was sealed into archives, held, and removed.

An entry that was removed leaves its hashes, so that the tree stays whole.
It may be gone only where a signed entry `log.removed` says so, over a part that `log.sealed` says is in an archive, and
while nothing held it.
What a log says of itself stays: each `log.sealed` says how many such entries are in its part, and all must be there.
"""

from __future__ import annotations

import json
from bisect import bisect_left

from .entries import Members

SEALED, REMOVED, HELD, RELEASED, BEGUN = "log.sealed", "log.removed", "log.held", "log.released", "log.begun"
FORGOTTEN = "admin.subject_forgotten"


class Retention:
    """The entries of one log about itself, in their order; and the entries that are gone."""

    def __init__(self) -> None:
        """Begin with a log of which nothing is gone."""
        self.removed = 0
        self.end = 0
        self.begun: dict[int, str] = {}
        self._sealed = 0
        self._held: set[str] = set()
        self._allowed: list[tuple[int, int]] = []
        self._kept: list[int] = []  # where the entries stand that are never removed

    def miss(self, seq: int) -> None:
        """Note an entry of which only the hashes are there."""
        self.removed += 1
        self.end = seq + 1

    def follow(self, entry: Members, seq: int) -> str | None:
        """Take an event into account; return what is wrong with it, or None."""
        name = entry["event"]
        if str(name).startswith("log.") or name == FORGOTTEN:
            self._kept.append(seq)
        if name == HELD:
            self._held.add(str(entry["subject"]))
        elif name == RELEASED:
            self._held.discard(str(entry["subject"]))
        elif name in {SEALED, REMOVED, BEGUN}:
            try:
                said = json.loads(str(entry["data"]))
                return self._follow(str(name), said, seq, str(entry["subject"]))
            except (ValueError, KeyError, TypeError, AttributeError):
                return f"is {name!r}, and does not say of what"
        return None

    def unexplained(self, signed: int) -> bool:
        """Whether entries are gone that no entry among the first `signed` allows to be."""
        return self.end > max((stop for seq, stop in self._allowed if seq < signed), default=0)

    def _follow(self, name: str, said: dict[str, object], seq: int, subject: str) -> str | None:
        if name == BEGUN:
            self.begun[_number(said["log"])] = subject
            return None
        stop = _number(said["stop"])
        if stop > seq:
            return f"speaks of entries up to {stop}, which come after it"
        if name == SEALED:
            start, kept = _number(said["start"]), _number(said["kept"])
            there = bisect_left(self._kept, stop) - bisect_left(self._kept, start)
            if there != kept:
                return f"says that {kept} entries from {start} to before {stop} are to stay, and {there} are there"
            if start <= self._sealed:
                self._sealed = max(self._sealed, stop)
            return None
        if self._held:
            return f"says that entries were removed while {len(self._held)} holds forbid it"
        if stop > self._sealed:
            return f"says that entries up to {stop} were removed, and only {self._sealed} were sealed into archives"
        self._allowed.append((seq, stop))
        return None


def _number(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError("not a number of an entry")
    return value
