"""The first part of a run that goes on: what has ended is gone over by all walks before anything new is done.

Steps that ran at the same time do not end in the order in which they are gone over.
Without this, a failure that is found again would cancel the walks beside it before they have found what they did, which
nobody would undo then; and what is new would begin beside a failure that ends the run.
"""

from __future__ import annotations

import asyncio

__all__ = ["Replay"]


class Replay:
    """Where the walks of one run wait for each other; for one event loop.

    At first there is one walk. Whoever waits for other walks is counted as one of them.
    """

    __slots__ = ("_failed", "_going", "_new", "is_over")

    def __init__(self) -> None:
        self._going = 1
        self._failed: list[asyncio.Future[None]] = []
        self._new: list[asyncio.Future[None]] = []
        self.is_over = False

    def parted(self, walks: int) -> None:
        """One walk goes on as so many."""
        self._going += walks - 1

    def left(self) -> None:
        """One walk has ended, and is not the last of those that it goes with."""
        self._going -= 1
        self._let_go()

    def joined(self, walks: int) -> None:
        """So many walks that have not :meth:`left` go on as one."""
        self._going -= walks - 1

    async def failed(self) -> None:
        """Wait until all others have gone over what they did: then a step beside them has failed."""
        await self._parked(self._failed)

    async def new(self) -> None:
        """Wait until all have gone over what they did, and none has failed: then something new may begin."""
        await self._parked(self._new)

    async def _parked(self, waiting: list[asyncio.Future[None]]) -> None:
        if self.is_over:
            return
        parked = asyncio.get_running_loop().create_future()
        waiting.append(parked)
        self._going -= 1
        self._let_go()
        try:
            await parked
        finally:
            if parked.cancelled():
                self._going += 1

    def _let_go(self) -> None:
        """When nobody goes on any more: let those go on that have failed, or else what is new, and that for good."""
        while not self._going and not self.is_over:
            waiting, self._failed = [one for one in self._failed if not one.done()], []
            if not waiting:
                self.is_over = True
                waiting, self._new = [one for one in self._new if not one.done()], []
            self._going += len(waiting)
            for one in waiting:
                one.set_result(None)
