"""The one event loop, in a thread of its own, that lets synchronous code wait for asynchronous work.

It starts when something really has to wait, and it is never the caller's loop, so it works in a notebook whose own
loop is running.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, TypeVar

from altar.adm.errors import ConfigurationError

__all__ = ["Errands", "Portal", "portal", "wait_in"]

T = TypeVar("T")


class Portal:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run_forever, name="altar-portal", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T], *, errands: Errands | None = None) -> T:
        """Run it there and wait here, as :func:`wait_in` does."""
        return wait_in(self._loop, coroutine, errands=errands)

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Run it there and wait for it nowhere; what is cancelled is cancelled there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def _run_forever(self) -> None:
        """Go on, also when a tool stops the loop or one of its tasks wants to end the program: others wait for it."""
        while not self._loop.is_closed():
            with suppress(KeyboardInterrupt, SystemExit):
                self._loop.run_forever()


Errands = SimpleQueue[Callable[[], None] | None]
"""What somebody else wants done in the thread that waits; None ends the waiting."""


def wait_in(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T], *, errands: Errands | None = None) -> T:
    """Run a coroutine in another thread's loop and wait here, doing ``errands`` meanwhile.

    An interrupt here, or an errand that raises, cancels it there.
    Raises ConfigurationError INCOMPATIBLE_MODE in the loop's own thread, which would wait for itself.
    """
    if _runs_in_this_thread(loop):
        coroutine.close()
        raise ConfigurationError(
            "INCOMPATIBLE_MODE",
            "A coroutine that was called through `with` cannot wait in the same way itself",
            ran="no",
            hint="use `async with altar.session(...)` and `await` inside of coroutine functions",
        )
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        if errands is not None:
            future.add_done_callback(lambda _: errands.put(None))
            while (errand := errands.get()) is not None:
                errand()
        return future.result()
    except BaseException:
        future.cancel()
        raise


def _runs_in_this_thread(loop: asyncio.AbstractEventLoop) -> bool:
    try:
        return asyncio.get_running_loop() is loop
    except RuntimeError:
        return False


_locks: dict[int, threading.Lock] = {}
_portals: dict[int, Portal] = {}


def portal() -> Portal:
    """The portal of this process, started at its first use.

    A forked child has its own: threads do not follow it, and a lock of its parent may never be opened there.
    """
    process = os.getpid()
    with _locks.setdefault(process, threading.Lock()):
        if process not in _portals:
            _portals[process] = Portal()
        return _portals[process]
