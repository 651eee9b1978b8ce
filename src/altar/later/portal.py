"""The one event loop, in a thread of its own, that lets synchronous code wait for asynchronous work.

It starts when something really has to wait, and it is never the caller's loop, so it works in a notebook whose own
loop is running.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from altar.adm.errors import ConfigurationError

__all__ = ["Portal", "portal"]

T = TypeVar("T")


class Portal:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="altar-portal", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run it there and wait here; an interrupt here cancels it there.

        Raises ConfigurationError INCOMPATIBLE_MODE in the portal's own thread, which would wait for itself.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise ConfigurationError(
                "INCOMPATIBLE_MODE",
                "A coroutine that was called through `with` cannot wait in the same way itself",
                ran="no",
                hint="use `async with altar.session(...)` and `await` inside of coroutine functions",
            )
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


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
