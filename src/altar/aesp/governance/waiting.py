"""Waiting for a decision: callers who ask again and again would cost more than those who are told.

A wait holds nothing of the call; it ends with a decision, after its time, or when its connection does.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta

from altar.adm.errors import ExecutionError

__all__ = ["Waiting"]


class Waiting:
    """Who waits for which request. For one event loop.

    ``per_principal`` and ``in_all`` bound how many waits there are at a time.
    """

    def __init__(self, *, per_principal: int = 64, in_all: int = 4_096) -> None:
        self._per_principal = per_principal
        self._in_all = in_all
        self._waits: dict[str, list[asyncio.Future[None]]] = {}
        self._of: Counter[str] = Counter()

    async def until_told(self, request_id: str, *, principal: str, seconds: float) -> None:
        """Return when something has happened to the request, or after so many seconds.

        Raises RESOURCE_EXHAUSTED when too many wait already.
        """
        if self._of[principal] >= self._per_principal or self._of.total() >= self._in_all:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                "Too many wait for approvals already",
                ran="no",
                hint="wait for fewer at a time, or ask again later",
                retry_after=timedelta(seconds=1),
            )
        told = asyncio.get_running_loop().create_future()
        self._waits.setdefault(request_id, []).append(told)
        self._of[principal] += 1
        try:
            await asyncio.wait((told,), timeout=max(0.0, seconds))
        finally:
            self._of[principal] -= 1
            if not self._of[principal]:
                del self._of[principal]
            waits = self._waits.get(request_id, [])
            if told in waits:
                waits.remove(told)
            if not waits:
                self._waits.pop(request_id, None)

    def tell(self, request_id: str) -> None:
        """Something has happened to a request."""
        for told in self._waits.pop(request_id, ()):
            if not told.done():
                told.set_result(None)
