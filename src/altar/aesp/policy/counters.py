"""How often somebody called today: counted in memory, kept in the store, and added up over hosts.

A day is one of UTC.
Each host counts for itself, writes its sums once a second, and reads then what the others have written.
On one host the numbers are exact; on several, each knows of the others' calls a second or two later.
What was counted after the last writing is found again in the log, so that a host that was killed has lost nothing.
Calls that were under way at that writing may count twice then.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import delete, func, select

from altar.aesp.store import tables

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from sqlalchemy import Connection

__all__ = ["MAX_NAMES", "Counters"]

T = TypeVar("T")
_log = logging.getLogger(__name__)

MAX_NAMES = 200_000
"""How many principals are counted apart; beyond it, calls of others in their tenant are counted together."""
_DAY = 86_400
_OVERLAP_MS = 5_000
_BATCH = 1_000

Key = tuple[str, str]
"""A tenant and a principal of it; "" for the tenant as a whole."""


class Source(Protocol):
    """What is needed of the store; `altar.aesp.store.database.Store` is one."""

    def run_now(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Run work in one transaction, blocking."""

    def run(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> Awaitable[T]:
        """Run work in one transaction, in a thread."""


class Counters:
    """The counters of a host. For one thread, the host's loop; `flush` does its waiting elsewhere.

    ``host`` is the host's name, different from those of others that share the store; ``now`` gives seconds since 1970.
    ``size`` gives how many entries the host's log has.
    """

    def __init__(self, store: Source, *, host: str, now: Callable[[], float], size: Callable[[], int] = int) -> None:
        self._store = store
        self._host = host
        self._now = now
        self._size = size
        self._day = self._ends = self._seen_ms = 0
        self._mine: dict[Key, int] = {}
        self._others: dict[Key, int] = {}
        self._dirty: set[Key] = set()
        self._turn()

    def of(self, tenant: str, principal: str) -> tuple[int, int]:
        """Give how many calls of a principal, and of its tenant, have passed today."""
        if self._now() >= self._ends:
            self._turn()
        one, all_of_it = (tenant, principal), (tenant, "")
        mine, others = self._mine, self._others
        if len(mine) >= MAX_NAMES and one not in mine:  # whose own calls nobody counts has those of the tenant
            one = all_of_it
        return (
            mine.get(one, 0) + others.get(one, 0),
            mine.get(all_of_it, 0) + others.get(all_of_it, 0),
        )

    def passed(self, tenant: str, principal: str) -> None:
        """Count a call that passed."""
        if self._now() >= self._ends:
            self._turn()
        self._count((tenant, principal))

    def load(self, recorded: Callable[[int], Iterable[tuple[str, str, int]]], *, tenant: str) -> None:
        """Take up today's counts, blocking: those that are kept, and what the log has since they were.

        ``recorded`` gives tenant, principal and time (milliseconds since 1970) of each call from a place in the log on.
        ``tenant`` is one that is always there; with it the host notes where it began to count.
        """
        table, size, now_ms = tables.counters, self._size(), int(self._now() * 1000)

        def read(connection: Connection) -> int | None:
            mine = table.c.host == self._host
            rows = connection.execute(
                select(table.c.tenant, table.c.principal, table.c.calls).where(mine, table.c.day == self._day)
            )
            self._mine = {(row.tenant, row.principal): row.calls for row in rows}
            covers = connection.execute(select(func.max(table.c.covers)).where(mine)).scalar()
            if covers is None:
                connection.execute(table.insert(), [self._row((tenant, ""), 0, size, now_ms)])
            self._others = self._read(connection, self._day, 0)
            return covers

        covers = self._store.run_now(read, tenant=None)
        if covers is not None:
            for name, principal, time_ms in recorded(covers):
                if time_ms // (_DAY * 1000) == self._day:
                    self._count((name, principal))

    async def flush(self) -> None:
        """Write what was counted since the last time, and read what others have."""
        dirty, self._dirty = self._dirty, set()
        day, covers, now_ms, since = self._day, self._size(), int(self._now() * 1000), self._seen_ms
        keys = dirty | {(tenant, "") for tenant, _ in dirty}
        rows = [self._row(key, self._mine.get(key, 0), covers, now_ms) for key in sorted(keys)]

        def work(connection: Connection) -> dict[Key, int]:
            self._write(connection, day, rows)
            return self._read(connection, day, since)

        try:
            others = await self._store.run(work, tenant=None, reads=not rows)
        except Exception:  # noqa: BLE001 - counting goes on in memory, and is written the next time
            _log.exception("counters could not be written")
            if day == self._day:
                self._dirty |= dirty
            return
        if day == self._day:
            self._seen_ms = now_ms - _OVERLAP_MS
            self._others.update(others)

    def _count(self, one: Key) -> None:
        mine, all_of_it = self._mine, (one[0], "")
        if one in mine:
            mine[one] += 1
        elif len(mine) < MAX_NAMES:
            mine[one] = 1
        mine[all_of_it] = mine.get(all_of_it, 0) + 1
        self._dirty.add(one)

    def _turn(self) -> None:
        """Begin the day that it is now."""
        self._day = int(self._now()) // _DAY
        self._ends = (self._day + 1) * _DAY
        self._seen_ms = 0
        self._mine.clear()
        self._others.clear()
        self._dirty.clear()

    def _row(self, key: Key, calls: int, covers: int, now_ms: int) -> dict[str, Any]:
        return {
            "tenant": key[0],
            "day": self._day,
            "host": self._host,
            "principal": key[1],
            "calls": calls,
            "covers": covers,
            "changed_ms": now_ms,
        }

    def _write(self, connection: Connection, day: int, rows: list[dict[str, Any]]) -> None:
        """Replace the rows of this host, and drop its old ones."""
        table = tables.counters
        mine = (table.c.host == self._host, table.c.day == day)
        by_tenant: dict[str, list[dict[str, Any]]] = {}
        for row in rows:
            by_tenant.setdefault(row["tenant"], []).append(row)
        for tenant, of_it in by_tenant.items():
            for first in range(0, len(of_it), _BATCH):
                part = of_it[first : first + _BATCH]
                names = [row["principal"] for row in part]
                connection.execute(delete(table).where(*mine, table.c.tenant == tenant, table.c.principal.in_(names)))
                connection.execute(table.insert(), part)
        if rows:
            connection.execute(delete(table).where(table.c.host == self._host, table.c.day < day - 1))

    def _read(self, connection: Connection, day: int, since_ms: int) -> dict[Key, int]:
        """Give the sums of others, for those whose counts have changed."""
        table = tables.counters
        of_others = (table.c.day == day, table.c.host != self._host)
        changed = connection.execute(
            select(table.c.tenant, table.c.principal).where(*of_others, table.c.changed_ms >= since_ms).distinct()
        )
        names: dict[str, list[str]] = {}
        for row in changed:
            names.setdefault(row.tenant, []).append(row.principal)
        found: dict[Key, int] = {}
        for tenant, principals in names.items():
            for first in range(0, len(principals), _BATCH):
                rows = connection.execute(
                    select(table.c.principal, func.sum(table.c.calls))
                    .where(
                        *of_others, table.c.tenant == tenant, table.c.principal.in_(principals[first : first + _BATCH])
                    )
                    .group_by(table.c.principal)
                )
                found |= {(tenant, principal): int(count) for principal, count in rows}
        return found
