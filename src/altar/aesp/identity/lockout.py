"""Slowing down whoever guesses: after some failures each further try has to wait, longer and longer.

Failures are counted in three ways, whether or not the name exists:

- for a name from one network: five are free;
- for a network, whatever the name: twenty are free, so that an office behind one address goes on when one of it errs;
- for a name, whatever the network: fifty are free, and a network from which this name signed in within thirty days does
  not have to wait, so that nobody can lock out others.

The counts stand in the store, so that all hosts count together and a restart forgets nothing.
Beside them each host counts in memory, for tries at the same moment, and for tenants that do not exist.
A network is an IPv4 address, or the first 64 bits of one of IPv6 (RFC 4291 §2.5.1).
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from altar.adm.errors import AuthorizationError, ValidationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.store.database import Store

__all__ = ["Asker", "Lockout", "network_of"]

_LONGEST = 300.0
_FORGOTTEN = 3600.0
_KNOWN = 30 * 24 * 3600.0
_MOST = 50_000
_MOST_ROWS = 10_000
"""How many counts of one tenant the store keeps; beyond that the oldest failures are forgotten."""
_EVICTED = 1_000
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Asker:
    """Who tries to sign in, in which tenant, from which network; ``network`` is empty where none is known."""

    tenant: str
    name: str
    network: str = ""


class Lockout:
    """Counts failures for all hosts of a store. ``clock`` is monotonic, ``now`` since 1970, both in seconds.

    Beyond what is free the wait is 1, 2, 4 … seconds, 300 at most.
    An hour without a failure forgets them.
    """

    def __init__(self, store: Store, *, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._now = now
        self._failed: OrderedDict[_Count, tuple[int, float]] = OrderedDict()

    async def require(self, asker: Asker) -> None:
        """Raise RATE_LIMIT_EXCEEDED, with the time to wait, while somebody has to.

        What this host knows is looked at last, so that nothing happens between that and what the caller does next.
        """
        wait = await self._store.run(
            lambda connection: self._wait_in(connection, asker), tenant=asker.tenant, reads=True
        )
        now = self._clock()
        for count in _counts(asker):
            failures, at = self._failed.get(count, (0, 0.0))
            wait = max(wait, _wait(failures, now - at, free=count.free)) if not count.is_of_name else wait
        if wait > 0:
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                "There were too many failed sign-ins",
                ran="no",
                hint="wait, then try again",
                retry_after=timedelta(seconds=wait),
            )

    async def failed(self, asker: Asker) -> None:
        """Count a failure; on this host it counts before anything else happens."""
        now = self._clock()
        for count in _counts(asker):
            failures, at = self._failed.pop(count, (0, 0.0))
            self._failed[count] = (failures + 1 if now - at < _FORGOTTEN else 1), now
        while len(self._failed) > _MOST:
            self._failed.popitem(last=False)
        await self._write(lambda connection: self._count(connection, asker), asker)

    async def succeeded(self, asker: Asker) -> None:
        """Forget the failures of this name from this network, and know the network; all else stays counted."""
        first = next(_counts(asker))
        self._failed.pop(first, None)
        await self._write(lambda connection: self._know(connection, asker), asker)

    async def _write(self, work: Callable[[Connection], None], asker: Asker) -> None:
        """Change the counts; a row that another try has just made is there at the next attempt."""
        for attempts_left in reversed(range(_ATTEMPTS)):
            try:
                await self._store.run(work, tenant=asker.tenant)
            except ValidationError as error:
                if error.code != "RESOURCE_CONFLICT" or not attempts_left:
                    raise
            else:
                return

    def _wait_in(self, connection: Connection, asker: Asker) -> float:
        from sqlalchemy import select

        from altar.aesp.store.tables import sign_in_tries as table

        counts = {count.key: count for count in _counts(asker)}
        now_ms = self._now_ms()
        asked = select(table).where(table.c.tenant == asker.tenant, table.c.key.in_(list(counts)))
        wait, of_name, is_known = 0.0, 0.0, False
        for row in connection.execute(asked):
            count = counts[row.key]
            its = _wait(row.failures, (now_ms - row.failed_ms) / 1000, free=count.free)
            if count.is_of_name:
                of_name = its
            else:
                wait = max(wait, its)
                is_known = is_known or now_ms - row.succeeded_ms < _KNOWN * 1000
        return wait if is_known else max(wait, of_name)

    def _count(self, connection: Connection, asker: Asker) -> None:
        from sqlalchemy import delete, insert, literal, select, update

        from altar.aesp.store.tables import sign_in_tries as table
        from altar.aesp.store.tables import tenants

        now_ms = self._now_ms()
        connection.execute(delete(table).where(table.c.tenant == asker.tenant, table.c.expires_ms <= now_ms))
        self._make_room(connection, asker.tenant)
        for count in _counts(asker):
            mine = (table.c.tenant == asker.tenant) & (table.c.key == count.key)
            row = connection.execute(select(table).where(mine)).one_or_none()
            ends = now_ms + int(_FORGOTTEN * 1000)
            if row is not None:
                failures = row.failures + 1 if now_ms - row.failed_ms < _FORGOTTEN * 1000 else 1
                values = {"failures": failures, "failed_ms": now_ms, "expires_ms": max(row.expires_ms, ends)}
                connection.execute(update(table).where(mine).values(**values))
            else:  # a tenant that is not there gets no row, by the same statements
                values = {"tenant": asker.tenant, "key": count.key, "failures": 1}
                values |= {"failed_ms": now_ms, "succeeded_ms": 0, "expires_ms": ends}
                new = select(*(literal(value, table.c[name].type) for name, value in values.items()))
                is_there = select(tenants).filter_by(tenant=asker.tenant).exists()
                connection.execute(insert(table).from_select(list(values), new.where(is_there)))

    def _know(self, connection: Connection, asker: Asker) -> None:
        from sqlalchemy import insert, select, update

        from altar.aesp.store.tables import sign_in_tries as table

        first, now_ms = next(_counts(asker)), self._now_ms()
        mine = (table.c.tenant == asker.tenant) & (table.c.key == first.key)
        row = connection.execute(select(table).where(mine)).one_or_none()
        if row is not None and not row.failures and now_ms - row.succeeded_ms < _KNOWN * 1000 / 30:
            return
        values = {"failures": 0, "failed_ms": 0, "succeeded_ms": now_ms, "expires_ms": now_ms + int(_KNOWN * 1000)}
        if row is None:
            connection.execute(insert(table).values(tenant=asker.tenant, key=first.key, **values))
        else:
            connection.execute(update(table).where(mine).values(**values))

    def _make_room(self, connection: Connection, tenant: str) -> None:
        from sqlalchemy import delete, func, select

        from altar.aesp.store.tables import sign_in_tries as table

        count = select(func.count()).select_from(table).where(table.c.tenant == tenant)
        if connection.execute(count).scalar_one() < _MOST_ROWS:
            return
        oldest = select(table.c.key).where(table.c.tenant == tenant).order_by(table.c.succeeded_ms, table.c.failed_ms)
        connection.execute(
            delete(table).where(table.c.tenant == tenant, table.c.key.in_(oldest.limit(_EVICTED).scalar_subquery()))
        )

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def network_of(address: str) -> str:
    """Give the network that an address counts for: itself, or its first 64 bits in IPv6; what is none as it is."""
    try:
        parsed = ipaddress.ip_address(address.strip("[]").partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False))


@dataclass(frozen=True, slots=True)
class _Count:
    """What failures are counted for: a digest, because what people type for a name may be a password."""

    tenant: str
    key: str
    free: int
    is_of_name: bool = False


def _counts(asker: Asker) -> Iterator[_Count]:
    """Give the counts of a try; that of the name from this network comes first."""
    yield _Count(asker.tenant, _digest("pair", asker.name, asker.network), 5)
    if asker.network:
        yield _Count(asker.tenant, _digest("network", asker.network), 20)
        yield _Count(asker.tenant, _digest("name", asker.name), 50, is_of_name=True)


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def _wait(failures: int, since: float, *, free: int) -> float:
    if failures < free or since >= _FORGOTTEN:
        return 0.0
    return max(0.0, min(2.0 ** min(failures - free, 30), _LONGEST) - since)
