"""Bundles looked at by a host that serves calls meanwhile: one at a time, each for some seconds at most.

To look at a bundle is to compile each of its policies for each tool that it governs, and to run its tests: seconds of
a processor for a large one, which calls need as well.
Questions (is this text right?) are answered one after the other, one of a tenant at once, and some may wait.
Changes (hand this in, let it decide) have a place of their own, so that nobody is kept from one by questions.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.policy.examining import Examination, examine

if TYPE_CHECKING:
    from altar.aesp.policy.policy import Bundle
    from altar.grid.manifests.manifest import HostContract

__all__ = ["MAX_SECONDS", "MAX_WAITING", "Examiner"]

MAX_SECONDS: Final = 30.0
"""Seconds of one processor that a host gives to looking at one bundle."""
MAX_WAITING: Final = 16
"""How many questions, and how many changes, may be under way or wait."""


class Examiner:
    """Looks at bundles in threads, within bounds. For the host's loop.

    ``contracts`` are those of the host now; ``holders`` counts who holds a role in a tenant.
    ``seconds`` of processor time are given to one bundle.
    """

    def __init__(
        self,
        *,
        contracts: Callable[[], Iterable[HostContract]],
        holders: Callable[[str, str], int],
        seconds: float = MAX_SECONDS,
    ) -> None:
        self._contracts = contracts
        self._holders = holders
        self._seconds = seconds
        self._questions = _Lane()
        self._changes = _Lane()
        self._asking: set[str] = set()

    async def ask(self, tenant: str, bundle: Bundle, *, against: Bundle | None) -> Examination:
        """Look at a bundle because somebody asks, who can ask again.

        Raises AuthorizationError RATE_LIMIT_EXCEEDED while the tenant has such a question under way, or too many wait;
        else what `change` raises.
        """
        if tenant in self._asking:
            raise _busy(f"The tenant {tenant!r} has a bundle looked at already")
        self._asking.add(tenant)
        try:
            ended = await self._begun(self._questions, tenant, bundle, against)
        except BaseException:
            self._asking.discard(tenant)
            raise
        ended.task.add_done_callback(lambda _: self._asking.discard(tenant))
        return await _result(ended)

    async def change(self, tenant: str, bundle: Bundle, *, against: Bundle | None) -> Examination:
        """Look at a bundle that is to be handed in or to decide.

        Raises ValidationError INVALID_POLICY when that takes too long, and what `examine` raises;
        AuthorizationError RATE_LIMIT_EXCEEDED when too many wait.
        """
        return await _result(await self._begun(self._changes, tenant, bundle, against))

    async def _begun(self, lane: _Lane, tenant: str, bundle: Bundle, against: Bundle | None) -> _Running:
        """Begin when it is its turn; the lane is held until the thread has ended, also when nobody waits any more."""
        await lane.enter()
        try:
            contracts = tuple(self._contracts())
            running = _Running(
                lambda step: examine(
                    bundle, contracts, against=against, holders=lambda role: self._holders(tenant, role), step=step
                ),
                seconds=self._seconds,
            )
        except BaseException:
            lane.leave()
            raise
        running.task.add_done_callback(lambda _: lane.leave())
        return running


class _Lane:
    """Lets one in at a time; a bounded number waits."""

    def __init__(self) -> None:
        self._free = asyncio.Lock()
        self._there = 0

    async def enter(self) -> None:
        if self._there >= MAX_WAITING:
            raise _busy("The host looks at other bundles, and too many wait")
        self._there += 1
        try:
            await self._free.acquire()
        except BaseException:
            self._there -= 1
            raise

    def leave(self) -> None:
        self._there -= 1
        self._free.release()


class _Running:
    """A look at a bundle, in a thread; it ends soon after it is told to stop, or has used up its time."""

    def __init__(self, work: Callable[[Callable[[], None]], Examination], *, seconds: float) -> None:
        self._work = work
        self._seconds = seconds
        self._stopped = threading.Event()
        self.task = asyncio.get_running_loop().run_in_executor(None, self._run)

    def stop(self) -> None:
        """Let it end at its next step."""
        self._stopped.set()

    def _run(self) -> Examination:
        ends = time.thread_time() + self._seconds

        def step() -> None:
            if self._stopped.is_set() or time.thread_time() > ends:
                raise ValidationError(
                    "INVALID_POLICY",
                    f"The host looks at a bundle for {self._seconds:g} s at most, and this one takes longer",
                    ran="no",
                    hint="look at it where its file is: `altar policy validate FILE`; name tools narrowly, split long "
                    "conditions, and keep fewer tests",
                )
            time.sleep(0)  # calls come first: whoever waits for the interpreter gets it here

        return self._work(step)


async def _result(running: _Running) -> Examination:
    """Wait for the end; whoever leaves earlier lets it stop."""
    try:
        return await asyncio.shield(running.task)
    except asyncio.CancelledError:
        running.stop()
        running.task.add_done_callback(lambda task: task.cancelled() or task.exception())
        raise


def _busy(message: str) -> AuthorizationError:
    return AuthorizationError(
        "RATE_LIMIT_EXCEEDED",
        message,
        ran="no",
        hint="wait for its end, or look at the bundle where its file is: `altar policy validate FILE`",
        retry_after=timedelta(seconds=1),
    )
