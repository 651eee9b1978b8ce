"""Work that is done again and again beside a host, in a thread of its own."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from altar.adm.errors import AltarError

__all__ = ["Rounds"]

_log = logging.getLogger("altar.audit")
_PATIENCE_SECONDS = 30.0


class Rounds:
    """While the context lasts: does ``work`` at once, and then every so many seconds.

    A round that fails by an AltarError, ValueError or OSError is logged as ``failed``, and the next one comes in time.
    At the end the round that is under way is waited for, half a minute at most.
    """

    def __init__(self, work: Callable[[], None], *, name: str, every: float, failed: str) -> None:
        """Take the work, the thread's name, the seconds between two rounds, and what the log says of a failed one."""
        self._work = work
        self._every = every
        self._failed = failed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def __enter__(self) -> Self:
        """Begin; the first round is at once."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the thread after the round that it is in."""
        self._stop.set()
        self._thread.join(_PATIENCE_SECONDS)

    def _run(self) -> None:
        while True:
            try:
                self._work()
            except (AltarError, ValueError, OSError) as error:
                _log.error(self._failed, extra={"reason": str(error)})
            if self._stop.wait(self._every):
                return
