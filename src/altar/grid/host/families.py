"""At the host: which calls were made inside of which, so that they end with those, and no later.

In: nested calls as they begin, and every call as it ends or is cancelled.
Out: the cancellation of what was made inside of it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ExecutionError
from altar.later.invocation import Invocation
from altar.later.options import DEFAULT_TIMEOUT

if TYPE_CHECKING:
    from altar.grid.manifests.manifest import HostContract

__all__ = ["MOST_EACH", "Families", "leave", "limit_to_parent"]

MOST_EACH = 1024
"""Nested calls that one call may have in flight."""


class Families:
    """Which calls were made inside of which, so that they end with them. For the whole host."""

    __slots__ = ("_cancel", "children")

    def __init__(self, cancel: Callable[[Invocation], None]) -> None:
        self._cancel = cancel
        self.children: dict[Invocation, set[Invocation]] = {}

    def add(self, invocation: Invocation) -> None:
        """A call begins inside of another.

        Raises ExecutionError RESOURCE_EXHAUSTED when that has MOST_EACH of them.
        """
        if invocation.parent is None:
            return
        siblings = self.children.setdefault(invocation.parent, set())
        if len(siblings) >= MOST_EACH:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                f"{invocation.parent.name!r} has {MOST_EACH} calls of other tools in flight, which is the limit",
                ran="no",
                hint="wait for some of them first: context.session.batch(…, concurrency=…)",
            )
        siblings.add(invocation)

    def ended(self, invocation: Invocation) -> None:
        """A call has its answer: nobody is there any more for those that were made inside of it."""
        if invocation.parent is not None:
            siblings = self.children.get(invocation.parent)
            if siblings is not None:
                siblings.discard(invocation)
                if not siblings:
                    del self.children[invocation.parent]
        self.cancelled(invocation)

    def cancelled(self, invocation: Invocation) -> None:
        """Nobody waits for a call any more, and so nobody for those inside of it."""
        for child in tuple(self.children.get(invocation, ())):
            leave(child, self._cancel)


def limit_to_parent(invocation: Invocation, contract: HostContract) -> None:
    """Give a nested call for which nobody asked for a limit that of its contract, within what its parent has left."""
    parent: Any = invocation.parent
    if parent is not None and math.isinf(invocation.deadline):
        own = contract.declaration.timeout or DEFAULT_TIMEOUT
        invocation.deadline = min(parent.deadline, time.monotonic() + own.total_seconds())


def leave(invocation: Invocation, cancel: Callable[[Invocation], None]) -> None:
    """Cancel a call, and let what waits of its stream go."""
    if invocation.chunks is not None:
        invocation.chunks.leave()
    cancel(invocation)
