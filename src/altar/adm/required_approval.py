"""What a contract asks of people before each call of it: how many, in which roles, and for how long a request waits.

In: the member ``requires_approval`` of a `Governance`, an object, or ``true`` for one person who may decide.
Out: a `RequiredApproval`, or what is wrong with the member.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from altar.adm.defect import quoted
from altar.adm.reader import Members

__all__ = ["MOST_QUORUM", "RequiredApproval", "required_approval"]

MOST_QUORUM: Final = 16
LONGEST: Final = timedelta(days=30)

_ROLE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+:-]{0,62}")
_DURATION: Final = re.compile(r"([1-9][0-9]{0,6})(s|m|h|d)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_MOST: Final = 64


@dataclass(frozen=True, slots=True)
class RequiredApproval:
    """So many different people with one of these roles must approve a call before it runs.

    Without ``approvers`` it takes the permission ``approvals:decide``.
    ``expires`` is how long a request waits, as text such as ``24h``.
    """

    approvers: tuple[str, ...] = ()
    quorum: int = 1
    expires: str = "24h"

    @property
    def waits(self) -> timedelta:
        """How long a request waits."""
        found = _DURATION.fullmatch(self.expires)
        return timedelta() if found is None else timedelta(seconds=int(found[1]) * _SECONDS[found[2]])

    def to_adm(self) -> dict[str, Any]:
        """Return its members, each of them."""
        return {"approvers": list(self.approvers), "quorum": self.quorum, "expires": self.expires}


def required_approval(members: Members, name: str) -> RequiredApproval | None:
    """Read the member of this name; None when it is absent or ``false``. What is wrong is said to ``members``."""
    held = members.payload(name)
    if isinstance(held, bool):
        return RequiredApproval() if held else None
    if name not in members.members:
        return None
    inner = Members(held, what=f"`{name}`", mode=members.mode, path=f"{members.path}/{name}")
    made = RequiredApproval(_approvers(inner), _quorum(inner), _expires(inner))
    inner.extensions()
    members.found += inner.found
    return made


def _approvers(members: Members) -> tuple[str, ...]:
    held = members.get("approvers", list) or []
    fits = len(held) <= _MOST and all(isinstance(one, str) and _ROLE.fullmatch(one) for one in held)
    if not fits:
        members.say("PATTERN", f"`approvers` must be at most {_MOST} roles, not {quoted(held)}", "approvers")
        return ()
    if len(set(held)) != len(held):
        members.say("DUPLICATE", "`approvers` holds a role more than once", "approvers")
    return tuple(sorted(set(held)))


def _quorum(members: Members) -> int:
    held: int | None = members.get("quorum", int)
    if held is not None and not 1 <= held <= MOST_QUORUM:
        members.say("RANGE", f"`quorum` is {held}, and must be from 1 to {MOST_QUORUM}", "quorum")
    return 1 if held is None else held


def _expires(members: Members) -> str:
    held: str = members.matching("expires", _DURATION, "a time such as 90s, 15m, 24h or 7d") or "24h"
    if RequiredApproval(expires=held).waits > LONGEST:
        members.say("RANGE", f"`expires` is {quoted(held)}, and must be at most 30d", "expires")
    return held
