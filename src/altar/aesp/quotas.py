"""The quota of a tenant as a check: so many calls a minute, on this host.

A bucket per tenant fills evenly and holds one minute's worth, so that a burst is taken and a flood is not.
Other tenants notice nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING

from altar.adm.errors import AuthorizationError

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.later.invocation import Invocation

__all__ = ["CALLS", "CallQuota"]

CALLS = "calls_per_minute"
"""The name of the quota."""
_MINUTE = 60.0


class CallQuota:
    """Lets each tenant make the calls of its quota. ``clock`` is monotonic, in seconds."""

    def __init__(self, directory: Directory, *, clock: Callable[[], float]) -> None:
        self._directory = directory
        self._clock = clock
        self._buckets: dict[str, tuple[float, float]] = {}

    def __call__(self, invocation: Invocation) -> None:
        """Take one call out of the tenant's bucket, or raise RATE_LIMIT_EXCEEDED saying when there will be one."""
        name = invocation.tenant
        tenant = self._directory.tenant(name)
        limit = tenant.quotas.get(CALLS) if tenant is not None else 0
        if limit is None:
            return
        now = self._clock()
        left, since = self._buckets.get(name, (float(limit), now))
        left = min(float(limit), left + (now - since) * limit / _MINUTE)
        if left < 1:
            self._buckets[name] = (left, now)
            wait = (1 - left) * _MINUTE / limit if limit else _MINUTE
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                f"The tenant {name!r} has made its {limit} calls of this minute",
                ran="no",
                hint="wait, or ask the operator for a larger quota",
                retry_after=timedelta(seconds=wait),
            )
        self._buckets[name] = (left - 1, now)
