"""Organizations, business units and tenants: making, suspending, exporting and ending them.

Only the operator of the host does this; every call goes across tenants.
A tenant ends in two steps: `delete` marks it, so that nothing is done for it any more and all can be undone by
`resume`; `purge`, with its name said again, removes every row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, func, insert, select, update

from altar.adm.errors import ValidationError
from altar.aesp.principal import require_name
from altar.aesp.snapshot import Tenant
from altar.aesp.snapshot_reading import read_tenant_row
from altar.aesp.store import tables
from altar.aesp.store.people import unknown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.store.database import Store

__all__ = ["QUOTAS", "TenantDescription", "Tenants"]

QUOTAS = frozenset(
    {
        "api_keys",
        "bindings",
        "calls_per_minute",
        "entries_per_day",
        "groups",
        "principals",
        "roles",
        "sessions",
    }
)
"""What a tenant may be limited in; without a limit it has none."""

_SECRET_COLUMNS = frozenset({"secret", "salt", "digest"})
_TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LARGEST = 2**53 - 1
_PAGE = 1000


@dataclass(frozen=True, slots=True)
class TenantDescription:
    """A tenant, and how much of each thing it has."""

    tenant: Tenant
    created_ms: int
    changed_ms: int
    counts: Mapping[str, int]


class Tenants:
    """All tenants of the host; whoever calls has been authorized as its operator."""

    def __init__(
        self,
        store: Store,
        *,
        clock: Callable[[], float],
        export_log: Callable[[str], Awaitable[Iterable[str]]] | None = None,
    ) -> None:
        """Take the store, and a clock in seconds since 1970.

        ``export_log`` gives the lines of a tenant's log, for an export that holds all of the tenant.
        """
        self._store = store
        self._clock = clock
        self._export_log = export_log

    async def create_organization(self, name: str, *, display: str = "") -> None:
        """Add an organization; RESOURCE_CONFLICT when there is one of that name."""
        require_name(name, what="organization")
        values = {"name": name, "display": display[:256], "created_ms": self._now_ms()}
        await self._store.run(lambda c: c.execute(insert(tables.organizations).values(**values)), tenant=None)

    async def create_business_unit(
        self, name: str, *, organization: str, display: str = "", cost_center: str = ""
    ) -> None:
        """Add a unit to an organization.

        Raises ValidationError: RESOURCE_CONFLICT when it has one of that name, UNKNOWN_RESOURCE when it is not there.
        """
        require_name(name, what="business unit")
        values: dict[str, Any] = {"organization": organization, "name": name, "created_ms": self._now_ms()}
        values |= {"display": display[:256], "cost_center": cost_center[:128]}
        await self._store.run(lambda c: c.execute(insert(tables.business_units).values(**values)), tenant=None)

    async def create(
        self,
        name: str,
        *,
        display: str = "",
        organization: str | None = None,
        business_unit: str | None = None,
        quotas: Mapping[str, int] | None = None,
    ) -> Tenant:
        """Add a tenant, active at once; it has the built-in roles and nobody in it.

        Its name is 1 to 63 of ``a-z 0-9 -``: it stands in addresses, certificates and names of files.
        Raises ValidationError: MALFORMED_REQUEST, RESOURCE_CONFLICT, UNKNOWN_RESOURCE for an organization not there.
        """
        return await self._store.run(
            self.creation(name, display=display, organization=organization, business_unit=business_unit, quotas=quotas),
            tenant=None,
        )

    def creation(
        self,
        name: str,
        *,
        display: str = "",
        organization: str | None = None,
        business_unit: str | None = None,
        quotas: Mapping[str, int] | None = None,
    ) -> Callable[[Connection], Tenant]:
        """Give the work of `create`, for a transaction that does more."""
        _require_tenant_name(name)
        if business_unit is not None and organization is None:
            raise ValidationError("MALFORMED_REQUEST", "A business unit is named without its organization")
        values = {
            "tenant": name,
            "display": display[:256],
            "organization": organization,
            "business_unit": business_unit,
            "status": "ACTIVE",
            "quotas": _quotas_text(quotas or {}),
            "created_ms": self._now_ms(),
            "changed_ms": self._now_ms(),
        }

        def work(connection: Connection) -> Tenant:
            if read_tenant_row(connection, name) is not None:
                raise ValidationError(
                    "RESOURCE_CONFLICT", f"There is a tenant {name!r} already", hint="choose another name, or change it"
                )
            connection.execute(insert(tables.tenants).values(**values))
            return _found(connection, name)

        return work

    async def list(self, *, after: str = "", limit: int = 100) -> tuple[Tenant, ...]:
        """Give tenants by name, those behind ``after``, at most ``limit`` and never more than 1000."""

        def work(connection: Connection) -> tuple[Tenant, ...]:
            table = tables.tenants
            query = select(table.c.tenant).where(table.c.tenant > after).order_by(table.c.tenant)
            names = connection.execute(query.limit(min(limit, _PAGE))).scalars().all()
            return tuple(_found(connection, name) for name in names)

        return await self._store.run(work, tenant=None, reads=True)

    async def describe(self, name: str) -> TenantDescription:
        """Give a tenant, and how many rows of each kind it has; UNKNOWN_RESOURCE when there is none."""

        def work(connection: Connection) -> TenantDescription:
            tenant = _found(connection, name)
            row = connection.execute(select(tables.tenants).filter_by(tenant=name)).one()
            counts = {
                table.name: connection.execute(
                    select(func.count()).select_from(table).where(table.c.tenant == name)
                ).scalar_one()
                for table in (tables.principals, tables.groups, tables.roles, tables.bindings, tables.api_keys)
            }
            return TenantDescription(tenant, row.created_ms, row.changed_ms, MappingProxyType(counts))

        return await self._store.run(work, tenant=None, reads=True)

    async def suspend(self, name: str) -> Tenant:
        """Do nothing for a tenant from now on; its rows stay. RESOURCE_CONFLICT when it is marked as deleted."""
        return await self._set_status(name, "SUSPENDED", only_from=("ACTIVE", "SUSPENDED"))

    async def resume(self, name: str) -> Tenant:
        """Serve a tenant again, after `suspend` or `delete`."""
        return await self._set_status(name, "ACTIVE", only_from=("ACTIVE", "SUSPENDED", "DELETED"))

    async def delete(self, name: str) -> Tenant:
        """Mark a tenant as deleted: nothing is done for it, and `purge` may follow."""
        return await self._set_status(name, "DELETED", only_from=("ACTIVE", "SUSPENDED", "DELETED"))

    async def purge(self, name: str, *, confirmation: str) -> None:
        """Remove every row of a tenant that is marked as deleted; it cannot be undone.

        ``confirmation`` is its name once more.
        What stays is its record in the ledger, and that there was a change in a tenant of this name.
        Raises ValidationError: RESOURCE_CONFLICT unless it is marked, MALFORMED_REQUEST for another confirmation.
        """
        if confirmation != name:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"The tenant {name[:80]!r} is not purged: the confirmation is not its name",
                hint="give the name of the tenant once more as the confirmation: --confirm NAME",
            )

        def work(connection: Connection) -> None:
            if _found(connection, name).status != "DELETED":
                raise ValidationError(
                    "RESOURCE_CONFLICT", f"The tenant {name!r} is not marked as deleted", hint="delete it first"
                )
            connection.execute(delete(tables.tenants).filter_by(tenant=name))

        await self._store.run(work, tenant=None)

    async def set_quotas(self, name: str, quotas: Mapping[str, int | None]) -> Tenant:
        """Change some quotas; None takes a limit away.

        What a tenant has beyond a new limit stays, only no more is added.
        """

        def work(connection: Connection) -> Tenant:
            before = dict(_found(connection, name).quotas)
            wanted = {key: value for key, value in (before | dict(quotas)).items() if value is not None}
            values = {"quotas": _quotas_text(wanted), "changed_ms": self._now_ms()}
            connection.execute(update(tables.tenants).filter_by(tenant=name).values(**values))
            return _found(connection, name)

        if unread := sorted(set(quotas) - QUOTAS):
            raise _no_quota(unread[0])
        return await self._store.run(work, tenant=None)

    async def export(self, name: str) -> tuple[str, ...]:
        """Give all that the store has of a tenant, as lines of JSON, in one consistent state.

        The first line says what it is; each other one is a row: its table, and its columns.
        Secrets, salts and digests are left out: an export proves nobody's identity.
        Where the host has a log, a line that says so follows, and then the log's own lines as they are.
        """

        def work(connection: Connection) -> tuple[str, ...]:
            _found(connection, name)
            return tuple(_exported(connection, name))

        lines = await self._store.run(work, tenant=None, reads=True)
        if self._export_log is None:
            return lines
        return (*lines, _line({"altar": "log", "tenant": name}), *await self._export_log(name))

    async def _set_status(self, name: str, status: str, *, only_from: tuple[str, ...]) -> Tenant:
        def work(connection: Connection) -> Tenant:
            before = _found(connection, name).status
            if before not in only_from:
                raise ValidationError(
                    "RESOURCE_CONFLICT", f"The tenant {name!r} is {before}", hint="resume it before anything else"
                )
            values = {"status": status, "changed_ms": self._now_ms()}
            connection.execute(update(tables.tenants).filter_by(tenant=name).values(**values))
            return _found(connection, name)

        return await self._store.run(work, tenant=None)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def _found(connection: Connection, name: str) -> Tenant:
    tenant = read_tenant_row(connection, name)
    if tenant is None:
        raise unknown("tenant", name)
    return tenant


def _exported(connection: Connection, name: str) -> Iterator[str]:
    yield _line({"altar": "tenant export", "format": 1, "tenant": name})
    for table in tables.METADATA.sorted_tables:
        if "tenant" not in table.c or table in {tables.changes, tables.tenant_versions}:
            continue
        columns = [column for column in table.c if column.name not in _SECRET_COLUMNS]
        rows = connection.execute(select(*columns).where(table.c.tenant == name).order_by(*table.primary_key))
        for row in rows:
            yield _line({"table": table.name, "row": dict(row._mapping)})  # noqa: SLF001 (SQLAlchemy's public name)


def _line(value: Mapping[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def _require_tenant_name(name: str) -> None:
    if _TENANT_NAME.fullmatch(name) is None:
        raise ValidationError(
            "MALFORMED_REQUEST", f"{name[:80]!r} is no name of a tenant", hint="use 1 to 63 of a-z, 0-9 and -"
        )


def _quotas_text(quotas: Mapping[str, int]) -> str:
    for key, value in quotas.items():
        if key not in QUOTAS:
            raise _no_quota(key)
        if type(value) is not int or not 0 <= value <= _LARGEST:
            raise ValidationError("MALFORMED_REQUEST", f"The quota {key} is no whole number from 0 on")
    return _line(quotas)


def _no_quota(name: str) -> ValidationError:
    return ValidationError(
        "MALFORMED_REQUEST", f"{name[:80]!r} is no quota", hint=f"one of {', '.join(sorted(QUOTAS))}"
    )
