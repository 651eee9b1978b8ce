"""Reading a tenant from the store: all of it, or only what changed since a snapshot was made."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Table, select

from altar.adm.errors import AltarError
from altar.aesp.built_in_roles import Role
from altar.aesp.permissions import Permission, parse_permission, parse_scope
from altar.aesp.principal import PrincipalKind
from altar.aesp.snapshot import Binding, PersonRow, Snapshot, Tenant, indexed
from altar.aesp.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["read_tenant", "read_tenant_row", "renewed"]

_WORTH_IT = 512
"""From so many changes on, reading the whole tenant again is quicker."""


def read_tenant(connection: Connection, name: str) -> Snapshot | None:
    """Read all of a tenant; None when there is no such tenant."""
    tenant = read_tenant_row(connection, name)
    if tenant is None:
        return None
    made = Snapshot(tenant, _version(connection, name))
    made.people = {row.name: _person(row) for row in _rows(connection, tables.principals, name)}
    made.groups = frozenset(row.name for row in _rows(connection, tables.groups, name))
    made.groups_of = indexed(
        sorted({(row.principal, row.group_name) for row in _rows(connection, tables.memberships, name)})
    )
    made.parents = indexed(sorted({(row.child, row.parent) for row in _rows(connection, tables.group_nestings, name)}))
    permissions = indexed((row.role, row.permission) for row in _rows(connection, tables.role_permissions, name))
    inherits = indexed((row.role, row.inherits) for row in _rows(connection, tables.role_inherits, name))
    made.roles = {
        row.name: _role(row, permissions.get(row.name, ()), inherits.get(row.name, ()))
        for row in _rows(connection, tables.roles, name)
    }
    made.bindings = {row.id: _binding(row) for row in _rows(connection, tables.bindings, name)}
    made.of_principal = indexed((each.principal, each.id) for each in made.bindings.values() if each.principal)
    made.of_group = indexed((each.group, each.id) for each in made.bindings.values() if each.group)
    made.contracts = _contracts(connection, name)
    return made


def renewed(connection: Connection, old: Snapshot) -> Snapshot | None:
    """Give the tenant as it is now, reading only what changed; None when it is gone."""
    name = old.tenant.name
    version = _version(connection, name)
    if version == old.version:
        return old
    noted = tables.changes
    found = connection.execute(
        select(noted.c.what, noted.c.key).where(noted.c.tenant == name, noted.c.version > old.version)
    ).all()
    if len(found) != version - old.version or len(found) > _WORTH_IT:
        return read_tenant(connection, name)
    made = dataclasses.replace(old, version=version, known={})
    for what, key in dict.fromkeys((row.what, row.key) for row in found):
        apply = _APPLY.get(what)
        if what == "tenant":
            tenant = read_tenant_row(connection, name)
            if tenant is None:
                return None
            made.tenant = tenant
        elif apply is not None:
            apply(connection, old, made, key)
    return made


def read_tenant_row(connection: Connection, name: str) -> Tenant | None:
    """Read what is said of the tenant itself."""
    table = tables.tenants
    row = connection.execute(select(table).where(table.c.tenant == name)).one_or_none()
    if row is None:
        return None
    return Tenant(
        name=row.tenant,
        status=row.status,
        display=row.display,
        organization=row.organization or "",
        business_unit=row.business_unit or "",
        quotas=MappingProxyType({str(key): int(value) for key, value in json.loads(row.quotas).items()}),
    )


def _version(connection: Connection, tenant: str) -> int:
    table = tables.tenant_versions
    return connection.execute(select(table.c.version).where(table.c.tenant == tenant)).scalar_one_or_none() or 0


def _rows(connection: Connection, table: Table, tenant: str, **equal: str) -> Iterable[Any]:
    query = select(table).where(table.c.tenant == tenant)
    for column, value in equal.items():
        query = query.where(table.c[column] == value)
    return connection.execute(query)


def _apply_principal(connection: Connection, old: Snapshot, made: Snapshot, key: str) -> None:
    if made.people is old.people:
        made.people = dict(old.people)
    made.people.pop(key, None)
    made.people |= {row.name: _person(row) for row in _rows(connection, tables.principals, made.tenant.name, name=key)}


def _apply_group(connection: Connection, _old: Snapshot, made: Snapshot, key: str) -> None:
    there = any(True for _ in _rows(connection, tables.groups, made.tenant.name, name=key))
    made.groups = made.groups | {key} if there else made.groups - {key}


def _apply_member(connection: Connection, old: Snapshot, made: Snapshot, key: str) -> None:
    if made.groups_of is old.groups_of:
        made.groups_of = dict(old.groups_of)
    rows = _rows(connection, tables.memberships, made.tenant.name, principal=key)
    _put(made.groups_of, key, sorted({row.group_name for row in rows}))


def _apply_nesting(connection: Connection, old: Snapshot, made: Snapshot, key: str) -> None:
    if made.parents is old.parents:
        made.parents = dict(old.parents)
    rows = _rows(connection, tables.group_nestings, made.tenant.name, child=key)
    _put(made.parents, key, sorted({row.parent for row in rows}))


def _apply_role(connection: Connection, old: Snapshot, made: Snapshot, key: str) -> None:
    tenant = made.tenant.name
    if made.roles is old.roles:
        made.roles = dict(old.roles)
    made.roles.pop(key, None)
    for row in _rows(connection, tables.roles, tenant, name=key):
        permissions = [each.permission for each in _rows(connection, tables.role_permissions, tenant, role=key)]
        inherits = [each.inherits for each in _rows(connection, tables.role_inherits, tenant, role=key)]
        made.roles[key] = _role(row, permissions, inherits)


def _apply_binding(connection: Connection, old: Snapshot, made: Snapshot, key: str) -> None:
    if made.bindings is old.bindings:
        made.bindings = dict(old.bindings)
        made.of_principal, made.of_group = dict(old.of_principal), dict(old.of_group)
    before = made.bindings.pop(key, None)
    if before is not None:
        index, subject = _index(made, before)
        _put(index, subject, [each for each in index.get(subject, ()) if each != key])
    for row in _rows(connection, tables.bindings, made.tenant.name, id=key):
        now = made.bindings[key] = _binding(row)
        index, subject = _index(made, now)
        index[subject] = (*index.get(subject, ()), key)


def _apply_artefact(connection: Connection, _old: Snapshot, made: Snapshot, key: str) -> None:
    if key == "contract":
        made.contracts = _contracts(connection, made.tenant.name)


def _contracts(connection: Connection, tenant: str) -> dict[str, tuple[str, str]]:
    """What was said of contracts; an approval counts before the end of an older one, a proposal does not count."""
    table = tables.artefacts
    query = select(table.c.name, table.c.status, table.c.body).where(
        table.c.tenant == tenant, table.c.kind == "contract", table.c.activated_ms.is_not(None)
    )
    found: dict[str, tuple[str, str]] = {}
    for row in connection.execute(query.order_by(table.c.name, table.c.version)):
        if row.status == "ACTIVE" or found.get(row.name, ("",))[0] != "ACTIVE":
            found[row.name] = ("ACTIVE" if row.status == "ACTIVE" else "RETIRED", row.body)
    return found


_APPLY: dict[str, Callable[[Any, Snapshot, Snapshot, str], None]] = {
    "principal": _apply_principal,
    "group": _apply_group,
    "member": _apply_member,
    "nesting": _apply_nesting,
    "role": _apply_role,
    "binding": _apply_binding,
    "artefact": _apply_artefact,
}


def _index(made: Snapshot, binding: Binding) -> tuple[dict[str, tuple[str, ...]], str]:
    if binding.principal is not None:
        return made.of_principal, binding.principal
    return made.of_group, binding.group or ""


def _put(index: dict[str, tuple[str, ...]], key: str, values: list[str]) -> None:
    if values:
        index[key] = tuple(values)
    else:
        index.pop(key, None)


def _person(row: Any) -> PersonRow:
    return PersonRow(
        name=row.name,
        kind=PrincipalKind(row.kind),
        display=row.display,
        email=row.email,
        active=bool(row.active),
        clearance=row.clearance,
        not_before_ms=row.not_before_ms,
        created_ms=row.created_ms,
    )


def _role(row: Any, permissions: Iterable[str], inherits: Iterable[str]) -> Role:
    readable = (_permission(each) for each in sorted(permissions))
    return Role(row.name, tuple(each for each in readable if each), tuple(sorted(inherits)), row.description)


def _permission(text: str) -> Permission | None:
    try:
        return parse_permission(text)
    except AltarError:  # written past this program: what cannot be read grants nothing
        return None


def _binding(row: Any) -> Binding:
    expires = math.inf if row.expires_ms is None else row.expires_ms / 1000
    try:
        scope = parse_scope(row.scope)
    except AltarError:  # written past this program: it has ended
        scope, expires = parse_scope("*"), -math.inf
    return Binding(row.id, row.role, row.principal, row.group_name, scope, expires, row.source)
