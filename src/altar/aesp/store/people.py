"""Changing people and groups: functions over a connection, for the work of a `Store.run`.

Whoever changes people, by hand, by a login, by SCIM or by a synchronization, does it here, so that names, cycles and
quotas are judged in one place.
``source`` says who made a row: ``local``, ``scim`` or ``provider:<name>``; what one source says about membership never
touches what another one says.
Times are milliseconds since 1970.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, delete, func, insert, select, update

from altar.adm.errors import ExecutionError, ValidationError
from altar.aesp.principal import PrincipalKind, require_name
from altar.aesp.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = [
    "MOST_GROUPS_OF_ONE",
    "create_group",
    "create_principal",
    "delete_group",
    "delete_principal",
    "find_group",
    "find_principal",
    "link_external",
    "list_groups",
    "list_principals",
    "members_of",
    "nest_group",
    "principal_of_external",
    "set_groups_of",
    "set_members",
    "unnest_group",
    "update_group",
    "update_principal",
]

MOST_GROUPS_OF_ONE = 1000
"""How many groups one principal may be in directly, and how many groups one group may lie in."""

_PAGE = 1000
_CHANGEABLE = frozenset({"display", "email", "active", "clearance", "attributes", "not_before_ms", "source"})


def create_principal(
    connection: Connection,
    *,
    tenant: str,
    name: str,
    now_ms: int,
    kind: PrincipalKind = PrincipalKind.USER,
    display: str = "",
    email: str = "",
    active: bool = True,
    clearance: str = "",
    attributes: Mapping[str, str] | None = None,
    source: str = "local",
) -> None:
    """Add a principal.

    Raises ValidationError MALFORMED_REQUEST for a name that is none or a text that is too long, RESOURCE_CONFLICT when
    there is one of that name; ExecutionError RESOURCE_EXHAUSTED when the tenant's quota ``principals`` is used up.
    """
    require_name(name, what="principal")
    _require_absent(connection, select(tables.principals).where(_named(tables.principals, tenant, name)), name)
    require_quota(connection, tenant=tenant, quota="principals", table=tables.principals)
    values = {"display": display, "email": email, "clearance": clearance}
    _require_short(values)
    connection.execute(
        insert(tables.principals).values(
            tenant=tenant,
            name=name,
            kind=PrincipalKind(kind).value,
            active=active,
            attributes=_attributes(attributes or {}),
            source=source,
            created_ms=now_ms,
            changed_ms=now_ms,
            not_before_ms=now_ms,
            **values,
        )
    )


def update_principal(connection: Connection, *, tenant: str, name: str, now_ms: int, **changed: Any) -> None:
    """Change some of display, email, active, clearance, attributes, not_before_ms and source.

    ``active=False`` takes all access away at once; ``not_before_ms`` makes tokens that were issued before it invalid.
    Raises ValidationError UNKNOWN_RESOURCE when there is no such principal; TypeError for another column.
    """
    if not _CHANGEABLE.issuperset(changed):
        raise TypeError(f"these cannot be changed: {sorted(set(changed) - _CHANGEABLE)}")
    _require_short({key: value for key, value in changed.items() if isinstance(value, str)})
    if "attributes" in changed:
        changed["attributes"] = _attributes(changed["attributes"])
    table = tables.principals
    done = connection.execute(update(table).where(_named(table, tenant, name)).values(changed_ms=now_ms, **changed))
    if done.rowcount == 0:
        raise unknown("principal", name)


def delete_principal(connection: Connection, *, tenant: str, name: str) -> None:
    """Remove a principal with its memberships, bindings, keys and credentials; UNKNOWN_RESOURCE when there is none."""
    if connection.execute(delete(tables.principals).where(_named(tables.principals, tenant, name))).rowcount == 0:
        raise unknown("principal", name)


def find_principal(connection: Connection, *, tenant: str, name: str) -> Any:
    """Give the row of a principal; UNKNOWN_RESOURCE when there is none."""
    row = connection.execute(select(tables.principals).where(_named(tables.principals, tenant, name))).one_or_none()
    if row is None:
        raise unknown("principal", name)
    return row


def list_principals(
    connection: Connection,
    *,
    tenant: str,
    after: str = "",
    limit: int = 100,
    kind: PrincipalKind | None = None,
    inactive: bool = True,
) -> list[Any]:
    """Give rows of principals by name, those behind ``after``, at most ``limit`` and never more than 1000."""
    table = tables.principals
    query = select(table).where(table.c.tenant == tenant, table.c.name > after)
    if kind is not None:
        query = query.where(table.c.kind == kind.value)
    if not inactive:
        query = query.where(table.c.active)
    return list(connection.execute(query.order_by(table.c.name).limit(min(limit, _PAGE))))


def link_external(
    connection: Connection, *, tenant: str, provider: str, subject: str, principal: str, now_ms: int
) -> None:
    """Say that this subject of a provider is this principal; RESOURCE_CONFLICT when the subject is somebody already."""
    if len(subject) > 512:
        raise ValidationError("MALFORMED_REQUEST", "The subject of the provider has more than 512 characters")
    table = tables.external_ids
    query = select(table).where(table.c.tenant == tenant, table.c.provider == provider, table.c.subject == subject)
    _require_absent(connection, query, subject)
    connection.execute(
        insert(table).values(tenant=tenant, provider=provider, subject=subject, principal=principal, created_ms=now_ms)
    )


def principal_of_external(connection: Connection, *, tenant: str, provider: str, subject: str) -> str | None:
    """Give the name of the principal that a subject of a provider is."""
    table = tables.external_ids
    return connection.execute(
        select(table.c.principal).where(
            table.c.tenant == tenant, table.c.provider == provider, table.c.subject == subject
        )
    ).scalar_one_or_none()


# ── groups ───────────────────────────────────────────────────────────────────────────────────────────────


def create_group(
    connection: Connection, *, tenant: str, name: str, now_ms: int, display: str = "", source: str = "local"
) -> None:
    """Add a group; errors as of `create_principal`, the quota is ``groups``."""
    require_name(name, what="group")
    _require_absent(connection, select(tables.groups).where(_named(tables.groups, tenant, name)), name)
    require_quota(connection, tenant=tenant, quota="groups", table=tables.groups)
    _require_short({"display": display})
    connection.execute(
        insert(tables.groups).values(
            tenant=tenant, name=name, display=display, source=source, created_ms=now_ms, changed_ms=now_ms
        )
    )


def update_group(connection: Connection, *, tenant: str, name: str, now_ms: int, display: str) -> None:
    """Change the display name of a group; UNKNOWN_RESOURCE when there is none."""
    _require_short({"display": display})
    table = tables.groups
    done = connection.execute(
        update(table).where(_named(table, tenant, name)).values(display=display, changed_ms=now_ms)
    )
    if done.rowcount == 0:
        raise unknown("group", name)


def delete_group(connection: Connection, *, tenant: str, name: str) -> None:
    """Remove a group with its memberships and bindings; UNKNOWN_RESOURCE when there is none."""
    if connection.execute(delete(tables.groups).where(_named(tables.groups, tenant, name))).rowcount == 0:
        raise unknown("group", name)


def find_group(connection: Connection, *, tenant: str, name: str) -> Any:
    """Give the row of a group; UNKNOWN_RESOURCE when there is none."""
    row = connection.execute(select(tables.groups).where(_named(tables.groups, tenant, name))).one_or_none()
    if row is None:
        raise unknown("group", name)
    return row


def list_groups(connection: Connection, *, tenant: str, after: str = "", limit: int = 100) -> list[Any]:
    """Give rows of groups by name, those behind ``after``, at most ``limit`` and never more than 1000."""
    table = tables.groups
    query = select(table).where(table.c.tenant == tenant, table.c.name > after)
    return list(connection.execute(query.order_by(table.c.name).limit(min(limit, _PAGE))))


def members_of(connection: Connection, *, tenant: str, group: str, source: str | None = None) -> list[str]:
    """Give the names of the principals directly in a group, sorted; with ``source`` only those that it says."""
    table = tables.memberships
    query = select(table.c.principal).where(table.c.tenant == tenant, table.c.group_name == group).distinct()
    if source is not None:
        query = query.where(table.c.source == source)
    return sorted(connection.execute(query).scalars())


def set_members(connection: Connection, *, tenant: str, group: str, principals: Collection[str], source: str) -> None:
    """Let exactly these be in a group, as far as this source says; UNKNOWN_RESOURCE for one that is not there."""
    find_group(connection, tenant=tenant, name=group)
    table = tables.memberships
    before = set(members_of(connection, tenant=tenant, group=group, source=source))
    wanted = set(principals)
    ours = (table.c.tenant == tenant) & (table.c.group_name == group) & (table.c.source == source)
    for name in sorted(before - wanted):
        connection.execute(delete(table).where(ours, table.c.principal == name))
    for name in sorted(wanted - before):
        _add_member(connection, tenant=tenant, group=group, principal=name, source=source)


def set_groups_of(connection: Connection, *, tenant: str, principal: str, groups: Collection[str], source: str) -> None:
    """Let a principal be in exactly these groups, as far as this source says; UNKNOWN_RESOURCE for one not there."""
    table = tables.memberships
    ours = (table.c.tenant == tenant) & (table.c.principal == principal) & (table.c.source == source)
    before = set(connection.execute(select(table.c.group_name).where(ours)).scalars())
    wanted = set(groups)
    for name in sorted(before - wanted):
        connection.execute(delete(table).where(ours, table.c.group_name == name))
    for name in sorted(wanted - before):
        _add_member(connection, tenant=tenant, group=name, principal=principal, source=source)


def nest_group(connection: Connection, *, tenant: str, parent: str, child: str, source: str = "local") -> None:
    """Let everybody in ``child`` be in ``parent`` too.

    Raises ValidationError RESOURCE_CONFLICT when ``parent`` lies in ``child`` already, UNKNOWN_RESOURCE when one of
    them is not there.
    """
    table = tables.group_nestings
    rows = connection.execute(select(table.c.parent, table.c.child).where(table.c.tenant == tenant)).all()
    parents: dict[str, set[str]] = {}
    for row in rows:
        parents.setdefault(row.child, set()).add(row.parent)
    if child in _above(parent, parents):
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"The group {parent!r} lies in {child!r} already, so {child!r} cannot lie in it",
            hint="take one of the two out of the other first",
        )
    if len(parents.get(child, ())) >= MOST_GROUPS_OF_ONE:
        raise _too_many(child)
    find_group(connection, tenant=tenant, name=parent)
    find_group(connection, tenant=tenant, name=child)
    key = {"tenant": tenant, "parent": parent, "child": child, "source": source}
    there = select(table).filter_by(**key)
    if connection.execute(there).first() is None:
        connection.execute(insert(table).values(**key))


def unnest_group(connection: Connection, *, tenant: str, parent: str, child: str, source: str = "local") -> None:
    """Undo `nest_group`; UNKNOWN_RESOURCE when this source did not say so."""
    table = tables.group_nestings
    done = connection.execute(delete(table).filter_by(tenant=tenant, parent=parent, child=child, source=source))
    if done.rowcount == 0:
        raise unknown("nesting", f"{child} in {parent}")


# ── what others judge with as well ───────────────────────────────────────────────────────────────────────


def unknown(what: str, name: str) -> ValidationError:
    """Make the error for a name that is not there, or not in this tenant: nobody can tell the two apart."""
    return ValidationError(
        "UNKNOWN_RESOURCE", f"There is no {what} {name[:80]!r}", hint=f"list each {what} there is, and correct the name"
    )


def require_quota(connection: Connection, *, tenant: str, quota: str, table: Any) -> None:
    """Return when the tenant may have one more row of a table; ExecutionError RESOURCE_EXHAUSTED otherwise.

    A tenant that is not there is UNKNOWN_RESOURCE.
    """
    found = connection.execute(select(tables.tenants.c.quotas).where(tables.tenants.c.tenant == tenant)).one_or_none()
    if found is None:
        raise unknown("tenant", tenant)
    most = json.loads(found.quotas).get(quota)
    if most is None:
        return
    count = connection.execute(select(func.count()).select_from(table).where(table.c.tenant == tenant)).scalar_one()
    if count >= most:
        raise ExecutionError(
            "RESOURCE_EXHAUSTED",
            f"The tenant has {count} {quota}, and may have {most}",
            hint="remove some, or ask the operator of the host for a larger quota",
            ran="no",
        )


def _add_member(connection: Connection, *, tenant: str, group: str, principal: str, source: str) -> None:
    find_group(connection, tenant=tenant, name=group)
    find_principal(connection, tenant=tenant, name=principal)
    table = tables.memberships
    count = select(func.count()).select_from(table).filter_by(tenant=tenant, principal=principal)
    if connection.execute(count).scalar_one() >= MOST_GROUPS_OF_ONE:
        raise _too_many(principal)
    connection.execute(insert(table).values(tenant=tenant, group_name=group, principal=principal, source=source))


def _above(group: str, parents: Mapping[str, Collection[str]]) -> list[str]:
    """Give a group and all that it lies in."""
    found = [group]
    for each in found:
        found.extend(parent for parent in parents.get(each, ()) if parent not in found)
    return found


def _named(table: Any, tenant: str, name: str) -> Any:
    return (table.c.tenant == tenant) & (table.c.name == name)


def _require_absent(connection: Connection, query: Select[Any], name: str) -> None:
    if connection.execute(query).first() is not None:
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"There is one named {name[:80]!r} already",
            hint="choose another name, or change that one",
        )


def _require_short(values: Mapping[str, str]) -> None:
    limits = {"display": 256, "email": 320, "clearance": 64, "source": 128}
    for key, value in values.items():
        if len(value) > limits.get(key, 256) or "\0" in value:
            raise ValidationError(
                "MALFORMED_REQUEST", f"The {key} has more than {limits.get(key, 256)} characters or one that is none"
            )


def _attributes(attributes: Mapping[str, str]) -> str:
    text = json.dumps(dict(attributes), sort_keys=True, ensure_ascii=False)
    if len(text) > 8192:
        raise ValidationError("MALFORMED_REQUEST", "The attributes of the principal have more than 8192 characters")
    return text


def _too_many(name: str) -> ExecutionError:
    return ExecutionError(
        "RESOURCE_EXHAUSTED",
        f"{name[:80]!r} would be in more than {MOST_GROUPS_OF_ONE} groups",
        hint="put groups into groups",
        ran="no",
    )
