"""Service accounts: programs of a tenant, which prove themselves by API keys.

A service account is a principal called ``svc:<name>``; what it may do hangs on its roles, and on what its keys were
narrowed to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ValidationError
from altar.aesp.principal import PrincipalKind, principal_id

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.identity.api_keys import ApiKeys, NewApiKey
    from altar.aesp.identity.refresh import RefreshTokens
    from altar.aesp.store.database import Store

__all__ = ["SERVICE", "ServiceAccount", "ServiceAccounts"]

SERVICE = "svc:"
"""How the names of service accounts begin."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account as it is told of; ``id`` is the principal's, ``active`` whether it may do anything."""

    id: str
    tenant: str
    name: str
    description: str
    active: bool
    created_ms: int


class ServiceAccounts:
    """Makes, lists, revokes and removes. ``now`` is in seconds since 1970."""

    def __init__(self, store: Store, keys: ApiKeys, refreshing: RefreshTokens, *, now: Callable[[], float]) -> None:
        self._store = store
        self._keys = keys
        self._refreshing = refreshing
        self._now = now

    async def create(
        self,
        name: str,
        *,
        tenant: str,
        description: str = "",
        scopes: Iterable[str] | None = None,
        expires_ms: int | None = None,
    ) -> NewApiKey:
        """Make the service account ``svc:<name>`` and its first key, which is shown here and never again.

        Raises RESOURCE_CONFLICT for a name that is taken, MALFORMED_REQUEST for what is none, RESOURCE_EXHAUSTED at
        the quota of the tenant.
        """
        from altar.aesp.store import people

        full = _full(name)
        now_ms = int(self._now() * 1000)

        def work(connection: Connection) -> None:
            people.create_principal(
                connection,
                tenant=tenant,
                name=full,
                now_ms=now_ms,
                kind=PrincipalKind.SERVICE_ACCOUNT,
                display=description,
            )

        await self._store.run(work, tenant=tenant)
        try:
            return await self._keys.create(
                principal_id(tenant, full),
                tenant=tenant,
                description="first key",
                scopes=scopes,
                expires_ms=expires_ms,
            )
        except AltarError:  # an account that nobody can use is not left behind
            await self._store.run(lambda connection: _delete(connection, tenant, full), tenant=tenant)
            raise

    async def listed(self, *, tenant: str, after: str = "", limit: int = 100) -> list[ServiceAccount]:
        """The service accounts of a tenant by name, those after the one called ``after``."""
        from altar.aesp.store import people

        def work(connection: Connection) -> list[ServiceAccount]:
            rows = people.list_principals(
                connection,
                tenant=tenant,
                after=_full(after) if after else "",
                limit=limit,
                kind=PrincipalKind.SERVICE_ACCOUNT,
            )
            return [_told(row) for row in rows]

        return await self._store.run(work, tenant=tenant, reads=True)

    async def revoke(self, name: str, *, tenant: str) -> None:
        """Take all access from a service account, at once; UNKNOWN_RESOURCE when there is none."""
        from altar.aesp.administrators import administrator_kept
        from altar.aesp.store import people

        full = _full(name)
        now_ms = int(self._now() * 1000)

        def work(connection: Connection) -> None:
            _require_service(connection, tenant, full)
            with administrator_kept(connection, tenant=tenant):
                people.update_principal(connection, tenant=tenant, name=full, now_ms=now_ms, active=False)

        await self._store.run(work, tenant=tenant)
        await self._refreshing.end_all(principal_id(tenant, full), tenant=tenant)

    async def remove(self, name: str, *, tenant: str) -> None:
        """Remove a service account with its keys and roles; UNKNOWN_RESOURCE when there is none."""
        full = _full(name)

        def work(connection: Connection) -> None:
            _require_service(connection, tenant, full)
            _delete(connection, tenant, full)

        await self._store.run(work, tenant=tenant)


def _full(name: str) -> str:
    if not name:
        raise ValidationError("MALFORMED_REQUEST", "A service account needs a name", ran="no")
    return name if name.startswith(SERVICE) else f"{SERVICE}{name}"


def _require_service(connection: Connection, tenant: str, name: str) -> None:
    from altar.aesp.store import people

    if people.find_principal(connection, tenant=tenant, name=name).kind != PrincipalKind.SERVICE_ACCOUNT:
        raise people.unknown("service account", name)


def _delete(connection: Connection, tenant: str, name: str) -> None:
    from altar.aesp.store import people

    people.delete_principal(connection, tenant=tenant, name=name)


def _told(row: Any) -> ServiceAccount:
    return ServiceAccount(
        id=principal_id(row.tenant, row.name),
        tenant=row.tenant,
        name=row.name,
        description=row.display,
        active=row.active,
        created_ms=row.created_ms,
    )
