"""Slowing down whoever guesses: after some failures each further try has to wait, longer and longer.

Failures are counted for a name in its tenant and for a network address, whether or not the name exists.
The counts are in memory and bounded: a host that starts anew begins at zero, and N hosts allow N times as much.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from datetime import timedelta

from altar.adm.errors import AuthorizationError

__all__ = ["Lockout"]

_FREE = 5
_LONGEST = 300.0
_FORGOTTEN = 3600.0
_MOST = 50_000


class Lockout:
    """Counts failures by a key of the caller's choice. ``clock`` is monotonic, in seconds.

    Five are free; then the wait is 1, 2, 4 … seconds, 300 at most.
    An hour without a failure forgets them.
    """

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._failed: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()

    def require(self, *keys: tuple[str, ...]) -> None:
        """Raise RATE_LIMIT_EXCEEDED, with the time to wait, while any of these keys has to."""
        wait = max((self._wait(key) for key in keys), default=0.0)
        if wait > 0:
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                "There were too many failed sign-ins",
                ran="no",
                hint="wait, then try again",
                retry_after=timedelta(seconds=wait),
            )

    def failed(self, *keys: tuple[str, ...]) -> None:
        """Count a failure for each of these keys."""
        for key in keys:
            count, _ = self._failed.pop(key, (0, 0.0))
            self._failed[key] = count + 1, self._clock()
        while len(self._failed) > _MOST:
            self._failed.popitem(last=False)

    def succeeded(self, *keys: tuple[str, ...]) -> None:
        """Forget the failures of these keys."""
        for key in keys:
            self._failed.pop(key, None)

    def _wait(self, key: tuple[str, ...]) -> float:
        count, at = self._failed.get(key, (0, 0.0))
        since = self._clock() - at
        if since >= _FORGOTTEN:
            self._failed.pop(key, None)
            return 0.0
        return max(0.0, min(2.0 ** min(count - _FREE, 30), _LONGEST) - since) if count >= _FREE else 0.0
