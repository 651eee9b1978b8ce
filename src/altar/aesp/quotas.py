"""What a tenant may use of one host: calls in a minute, and entries of its log in a day.

Calls are taken from a bucket per tenant that fills evenly and holds one minute's worth, so that a burst is taken and a
flood is not.
Entries are counted by the log itself, so that a restart of the host begins no new day.
Other tenants notice nothing of it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from altar.adm.errors import AuthorizationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from altar.aesp.directory import Directory
    from altar.aesp.snapshot import Tenant
    from altar.later.invocation import Invocation

__all__ = ["CALLS", "ENTRIES", "CallQuota", "EntryQuota", "first_since"]

CALLS = "calls_per_minute"
"""The name of the quota of calls."""
ENTRIES = "entries_per_day"
"""The name of the quota of entries in the tenant's log, from midnight to midnight UTC."""
_MINUTE = 60.0
_DAY_MS = 86_400_000


class CallQuota:
    """Lets each tenant make the calls of its quota. ``clock`` is monotonic, in seconds.

    With ``entries`` a call is refused too when the log of its tenant has no room for it any more.
    """

    def __init__(self, directory: Directory, *, clock: Callable[[], float], entries: EntryQuota | None = None) -> None:
        self._directory = directory
        self._clock = clock
        self._entries = entries
        self._buckets: dict[str, tuple[float, float]] = {}

    def __call__(self, invocation: Invocation) -> None:
        """Take one call out of the tenant's bucket, or raise RATE_LIMIT_EXCEEDED saying when there will be one."""
        name = invocation.tenant
        tenant = self._directory.tenant(name)
        if tenant is not None and not tenant.quotas:
            return
        limit = tenant.quotas.get(CALLS) if tenant is not None else 0
        if self._entries is not None and tenant is not None:
            self._entries.require(tenant)
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

    def left(self, name: str) -> float | None:
        """Give how many calls a tenant could make at this moment, without taking one; None where it has no quota."""
        tenant = self._directory.tenant(name)
        limit = tenant.quotas.get(CALLS) if tenant is not None else 0
        if self._entries is not None and self._entries.is_used_up(name):
            return 0.0
        if limit is None:
            return None
        now = self._clock()
        left, since = self._buckets.get(name, (float(limit), now))
        return min(float(limit), left + (now - since) * limit / _MINUTE)


class EntryQuota:
    """Lets each tenant fill its log no further than its quota of a day, to within the calls that are under way.

    ``size_of`` gives the entries that a tenant's log has now, in memory.
    ``begun`` finds out in another thread how many it had at a time (milliseconds since 1970), and tells ``then`` in
    this one; until that is known only what is added from now on counts.
    ``now`` is in seconds since 1970.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        size_of: Callable[[str], int],
        begun: Callable[[str, int, Callable[[int], None]], None],
        now: Callable[[], float],
    ) -> None:
        self._directory = directory
        self._size_of = size_of
        self._begun = begun
        self._now = now
        self._at_midnight: dict[str, tuple[int, int]] = {}

    def require(self, tenant: Tenant) -> None:
        """Raise RATE_LIMIT_EXCEEDED, with the time until midnight UTC, when a tenant has used up its day."""
        limit = tenant.quotas.get(ENTRIES)
        if limit is None or self._used(tenant.name) < limit:
            return
        now = self._now()
        raise AuthorizationError(
            "RATE_LIMIT_EXCEEDED",
            f"The audit log of the tenant {tenant.name!r} has its {limit} entries of this day",
            ran="no",
            hint="wait until midnight UTC, or ask the operator of the host for a larger quota entries_per_day",
            retry_after=timedelta(seconds=_DAY_MS / 1000 - now % (_DAY_MS / 1000)),
        )

    def is_used_up(self, name: str) -> bool:
        """Tell whether a tenant, by its name, has used up its day; nobody's log and one without a quota have not."""
        tenant = self._directory.tenant(name)
        limit = None if tenant is None else tenant.quotas.get(ENTRIES)
        return limit is not None and self._used(name) >= limit

    def _used(self, name: str) -> int:
        size, day = self._size_of(name), int(self._now() * 1000) // _DAY_MS
        known = self._at_midnight.get(name)
        if known is None or known[0] != day:
            known = self._at_midnight[name] = (day, size)
            self._begun(name, day * _DAY_MS, lambda found: self._note(name, day, found))
        return size - known[1]

    def _note(self, name: str, day: int, found: int) -> None:
        known = self._at_midnight.get(name)
        if known is not None and known[0] == day:
            self._at_midnight[name] = (day, min(known[1], found))


class Entries(Protocol):
    """What is asked of a log: its entries by position, each with its bytes."""

    def entries(self, tenant: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Give positions and bytes from `start` to before `stop`, leaving out what was removed."""


def first_since(reader: Entries, tenant: str, size: int, *, time_ms: int, time_of: Callable[[bytes], Any]) -> int:
    """Find the first of a log's ``size`` entries that was committed at ``time_ms`` or later; ``size`` without one.

    ``time_of`` reads when an entry was committed.
    It takes as many looks as ``size`` has bits, because entries stand in the order in which they were committed; what
    was removed was older.
    """
    low, high = 0, size
    while low < high:
        middle = (low + high) // 2
        found = next(iter(reader.entries(tenant, middle, middle + 1)), None)
        if found is None or time_of(found[1]) < time_ms:
            low = middle + 1
        else:
            high = middle
    return low
