"""Who there is and what they may do, in memory: what every decision reads, without ever waiting.

The directory follows the store: before a change is acknowledged to whoever made it, the directory of the same process
has it, and those of other hosts on the same database have it within moments.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

from sqlalchemy import select

from altar.adm.errors import AuthorizationError
from altar.aesp.snapshot import Grants, Person, Snapshot, Tenant
from altar.aesp.snapshot_reading import read_tenant, renewed
from altar.aesp.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["Directory", "Grants", "Person", "Tenant"]

T = TypeVar("T")
_log = logging.getLogger(__name__)


class Source(Protocol):
    """What a directory needs of the store; `altar.aesp.store.database.Store` is one."""

    def run_now(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Run work in one transaction, blocking."""

    def changed(self, listener: Callable[[str], None]) -> None:
        """Tell the listener of every change from now on."""

    @property
    def confirmed(self) -> float:
        """Give the time of `time.monotonic` when the database last said what there is."""


class Directory:
    """People, groups, roles and tenants of one store, in memory.

    ``version`` grows with each change; who keeps a decision keeps the version beside it.
    Each function of ``on_change`` is called after a change, through ``deliver``: by default in whatever thread heard of
    it, for a loop give ``loop.call_soon_threadsafe``.
    When the database has not been heard of for ``longest_unconfirmed`` seconds the directory is ``stale``: rights may
    have been taken away meanwhile, so nobody may rely on it.
    """

    def __init__(
        self,
        store: Source,
        *,
        clock: Callable[[], float],
        deliver: Callable[[Callable[[], None]], object] | None = None,
        longest_unconfirmed: float = 30.0,
    ) -> None:
        """Read every tenant, blocking, and follow the store from then on; ``clock`` gives seconds since 1970."""
        self.version = 0
        self.on_change: list[Callable[[], None]] = []
        self.clock = clock
        self._store = store
        self._deliver = deliver or _run
        self._longest_unconfirmed = longest_unconfirmed
        self._tenants: dict[str, Snapshot] = {}
        self._renewing = threading.Lock()
        store.changed(self._renew)
        for name in store.run_now(_names, tenant=None, reads=True):
            self._renew(name)

    @property
    def stale(self) -> bool:
        """Tell whether the store has been out of reach for so long that what is here may be wrong."""
        return time.monotonic() - self._store.confirmed > self._longest_unconfirmed

    def principal(self, principal_id: str) -> Person | None:
        """Give a principal by its id, ``<tenant>/<name>``; None when there is none, also when it was removed."""
        tenant, _, name = principal_id.partition("/")
        snapshot = self._tenants.get(tenant)
        return None if snapshot is None else snapshot.person(name, now=self.clock())

    def tenant(self, name: str) -> Tenant | None:
        """Give a tenant by its name."""
        snapshot = self._tenants.get(name)
        return None if snapshot is None else snapshot.tenant

    def tenants(self) -> tuple[Tenant, ...]:
        """Give every tenant, by name."""
        return tuple(self._tenants[name].tenant for name in sorted(self._tenants))

    def granted(self, principal_id: str) -> Grants:
        """Give what a principal holds now: nothing when it is unknown or not active."""
        person = self.principal(principal_id)
        return Grants() if person is None else person.grants

    def require_active(self, tenant: str) -> Tenant:
        """Give the tenant when something may be done for it.

        Raises AuthorizationError TENANT_SUSPENDED, in the same words for one that is not there.
        """
        found = self.tenant(tenant)
        if found is None or not found.active:
            raise AuthorizationError(
                "TENANT_SUSPENDED",
                f"Nothing is done for the tenant {tenant[:80]!r} at present",
                hint="ask the operator of the host",
            )
        return found

    def snapshot(self, tenant: str) -> Snapshot | None:
        """Give all that is known of a tenant, as of now; it must not be changed."""
        return self._tenants.get(tenant)

    def _renew(self, tenant: str) -> None:
        """Read what changed in a tenant; from here on every decision sees it."""
        with self._renewing:
            old = self._tenants.get(tenant)

            def read(connection: Connection) -> Snapshot | None:
                return read_tenant(connection, tenant) if old is None else renewed(connection, old)

            new = self._store.run_now(read, tenant=tenant, reads=True)
            if new is None:
                self._tenants.pop(tenant, None)
            else:
                self._tenants[tenant] = new
            self.version += 1
        for listener in tuple(self.on_change):
            try:
                self._deliver(listener)
            except Exception:  # noqa: BLE001 - who listened is gone, such as a loop that ended; what changed is known
                _log.exception("a listener to changes could not be told")


def _names(connection: Connection) -> list[str]:
    return [row.tenant for row in connection.execute(select(tables.tenants.c.tenant))]


def _run(function: Callable[[], None]) -> None:
    function()
