"""A tool that calls a tool: how deep, in which circles, and which ones; the same answer in every mode.

In: an invocation that has a parent, once its contract is known.
Out: nothing, or the refusal.
The executor asks here, in a local session and on a host alike; a host knows the whole chain of calls, and its word is
the one that counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from altar.adm.errors import AuthorizationError, DeclarationError
from altar.later.invocation import Invocation

__all__ = ["CALLS", "MAX_DEPTH", "calls_of", "require_nestable"]

MAX_DEPTH = 16
"""How many calls deep tools may call tools: a tool that calls itself comes to an end."""
CALLS = "altar.calls"
"""The member of a contract's metadata that lists the names of the tools which its function may call."""

_MOST_CALLS = 256
_SHOWN = 4
"""Calls that are named when the way to one is shown."""
_LONGEST_NAME = 64


def require_nestable(invocation: Invocation) -> None:
    """Raise AuthorizationError unless a tool may make this call of another one; both contracts are known.

    PERMISSION_DENIED for a tool that the contract of the caller does not name in its ``calls``.
    POLICY_VIOLATION for a call that is already running further up with the same arguments, and for one that is too
    deep.
    What a runtime does not know, a contract or who called the caller, is left to its host.
    """
    parent = invocation.parent
    if parent is None:
        return
    if parent.contract is not None and not _may_call(parent.contract, invocation.name):
        raise AuthorizationError(
            "PERMISSION_DENIED",
            f"{parent.name!r} may not call {invocation.name!r}: its contract names the tools that it calls",
            ran="no",
            hint=f"declare {parent.name!r} with calls=[…, {invocation.name!r}], as a new version",
        )
    if _is_running_above(invocation):
        raise AuthorizationError(
            "POLICY_VIOLATION",
            f"{invocation.name!r} is running already with these arguments, and waits for itself: {_way(invocation)}",
            ran="no",
            hint="a tool that calls itself, straight or through others, needs other arguments each time",
        )
    if invocation.depth >= MAX_DEPTH and _is_whole(invocation):
        raise AuthorizationError(
            "POLICY_VIOLATION",
            f"Tools call tools {MAX_DEPTH} calls deep, and no deeper: {_way(invocation)}",
            ran="no",
            hint="a tool that calls itself, straight or through others, must come to an end",
        )


def calls_of(calls: Iterable[str] | None, name: str) -> dict[str, Any]:
    """The member of a contract's metadata for the tools that its function may call; nothing for None, which is all.

    Raises DeclarationError INVALID_DECLARATION for what is no list of names.
    """
    if calls is None:
        return {}
    names = [] if isinstance(calls, str) else list(calls)
    if isinstance(calls, str) or len(names) > _MOST_CALLS or not all(_is_name(each) for each in names):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"The calls of {name!r} are not a list of at most {_MOST_CALLS} names of tools",
            hint="write calls=['search', 'fetch'], or calls=[] for a tool that calls no other",
        )
    return {CALLS: sorted(set(names))}


def _is_name(name: object) -> bool:
    return isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME


def _may_call(contract: Any, name: str) -> bool:
    """Whether a contract lets its function call that tool; one that cannot be read lets it call none."""
    declaration = getattr(contract, "declaration", None)
    if declaration is None or CALLS not in declaration.metadata:
        return True
    calls = declaration.metadata[CALLS]
    return isinstance(calls, (list, tuple)) and name in calls


def _is_running_above(invocation: Invocation) -> bool:
    """Whether a call further up is of the same contract, with the same arguments."""
    above = invocation.parent
    while above is not None:
        if (
            above.name == invocation.name
            and above.arguments == invocation.arguments
            and above.contract is not None
            and above.contract.digest == invocation.contract.digest != ""
        ):
            return True
        above = above.parent
    return False


def _is_whole(invocation: Invocation) -> bool:
    """Whether every call above this one is known here, up to that of a client."""
    above = invocation
    while above.parent is not None:
        above = above.parent
    return above.depth == 0


def _way(invocation: Invocation) -> str:
    """The last calls on the way to this one, by name."""
    names: list[str] = []
    call: Invocation | None = invocation
    while call is not None and len(names) < _SHOWN:
        if call.name:
            names.append(call.name)
        call = call.parent
    return ("… → " if call is not None else "") + " → ".join(reversed(names))
