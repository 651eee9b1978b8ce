"""A tenant that has an administrator keeps one: no change by people leaves it with nobody who may mend it.

An administrator is an active principal that holds the role ``admin``, or one that inherits it, for all resources and
without an end, by itself or through groups.
That holds for the operator's tenant too, whose administrators are those of the host.
What a directory says at a synchronization or a sign-in counts all the same: whom it removed must not keep access.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import select

from altar.adm.errors import ValidationError
from altar.aesp.store import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table

__all__ = ["administrator_kept", "has_administrator"]

_ROLE = "admin"
_AT_ONCE = 500


@contextmanager
def administrator_kept(connection: Connection, *, tenant: str) -> Iterator[None]:
    """Let the change inside of the ``with`` be made, unless it takes the tenant's last administrator away.

    Two such changes at a time cannot both be made: transactions of the store are serializable.
    Raises ValidationError RESOURCE_CONFLICT, with which the transaction ends.
    """
    had = has_administrator(connection, tenant=tenant)
    yield
    if had and not has_administrator(connection, tenant=tenant):
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"This would take the last administrator of the tenant {tenant!r} away",
            ran="no",
            hint="give the role admin to somebody else first, for all resources and without an end",
        )


def has_administrator(connection: Connection, *, tenant: str) -> bool:
    """Tell whether the tenant has an administrator now."""
    table = tables.bindings
    asked = select(table.c.principal, table.c.group_name).where(
        table.c.tenant == tenant, table.c.scope == "*", table.c.expires_ms.is_(None)
    )
    names: set[str] = set()
    groups: set[str] = set()
    for role in _reached({_ROLE}, _pairs(connection, tables.role_inherits, tenant, "inherits", "role")):
        for row in connection.execute(asked.where(table.c.role == role)):
            names.add(row.principal) if row.principal is not None else groups.add(row.group_name)
    if _any_active(connection, tenant, names):
        return True
    if not groups:
        return False
    members: set[str] = set()
    table = tables.memberships
    for group in _reached(groups, _pairs(connection, tables.group_nestings, tenant, "parent", "child")):
        members.update(
            connection.execute(select(table.c.principal).filter_by(tenant=tenant, group_name=group)).scalars()
        )
    return _any_active(connection, tenant, members - names)


def _any_active(connection: Connection, tenant: str, names: Collection[str]) -> bool:
    table, listed = tables.principals, sorted(names)
    for start in range(0, len(listed), _AT_ONCE):
        asked = select(table.c.name).where(
            table.c.tenant == tenant, table.c.active, table.c.name.in_(listed[start : start + _AT_ONCE])
        )
        if connection.execute(asked.limit(1)).first() is not None:
            return True
    return False


def _pairs(connection: Connection, table: Table, tenant: str, start: str, end: str) -> dict[str, set[str]]:
    columns = table.c
    ways: dict[str, set[str]] = {}
    for row in connection.execute(select(columns[start], columns[end]).where(columns.tenant == tenant)):
        ways.setdefault(row[0], set()).add(row[1])
    return ways


def _reached(start: Iterable[str], ways: dict[str, set[str]]) -> list[str]:
    found = sorted(start)
    for each in found:
        found.extend(next_ for next_ in sorted(ways.get(each, ())) if next_ not in found)
    return found
