"""Who is in which group of a provisioner: members by their SCIM ids on one side, memberships and nestings on the other.

Members of a group are users or groups of the same tenant; an id that is not one of them is refused in the same words,
whether it belongs to another tenant or to nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from scim2_models import InvalidValueException
from sqlalchemy import select

from altar.aesp.store import people
from altar.aesp.store.tables import group_nestings, groups, memberships, scim_resources

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.identity.provisioning import MapGroups

__all__ = ["Members", "groups_of", "members_of", "read_members", "remap", "write_members"]

_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Members:
    """Who a group is to have: principals and groups by their names in the tenant."""

    principals: frozenset[str]
    groups: frozenset[str]

    @classmethod
    def of(cls, connection: Connection, *, tenant: str, ids: Sequence[str]) -> Self:
        """Look members up by their ids; InvalidValueException for one that is not there."""
        wanted = sorted(set(ids))
        found: dict[str, tuple[str, str]] = {}
        table = scim_resources
        for start in range(0, len(wanted), _AT_ONCE):
            part = wanted[start : start + _AT_ONCE]
            asked = select(table.c.id, table.c.kind, table.c.name).where(table.c.tenant == tenant, table.c.id.in_(part))
            found |= {row.id: (row.kind, row.name) for row in connection.execute(asked)}
        if len(found) != len(wanted):
            raise InvalidValueException(detail="A member is not there")
        names = found.values()
        return cls(
            frozenset(name for kind, name in names if kind == "User"),
            frozenset(name for kind, name in names if kind == "Group"),
        )


def read_members(connection: Connection, *, tenant: str, group: str, source: str) -> list[tuple[str, str, str]]:
    """Give the members of a group: kind, id and the name that SCIM shows, sorted by id."""
    table = scim_resources
    users = (
        select(table.c.kind, table.c.id, table.c.called)
        .join(memberships, (memberships.c.tenant == table.c.tenant) & (memberships.c.principal == table.c.name))
        .where(memberships.c.tenant == tenant, memberships.c.group_name == group, memberships.c.source == source)
        .where(table.c.kind == "User")
    )
    nested = (
        select(table.c.kind, table.c.id, table.c.called)
        .join(group_nestings, (group_nestings.c.tenant == table.c.tenant) & (group_nestings.c.child == table.c.name))
        .where(group_nestings.c.tenant == tenant, group_nestings.c.parent == group, group_nestings.c.source == source)
        .where(table.c.kind == "Group")
    )
    rows = [(row.kind, row.id, row.called) for each in (users, nested) for row in connection.execute(each)]
    return sorted(rows, key=lambda row: row[1])


def groups_of(connection: Connection, *, tenant: str, principal: str, source: str) -> list[tuple[str, str]]:
    """Give the groups that a principal is in directly: id and name, sorted by id."""
    table = scim_resources
    asked = (
        select(table.c.id, table.c.called)
        .join(memberships, (memberships.c.tenant == table.c.tenant) & (memberships.c.group_name == table.c.name))
        .where(memberships.c.tenant == tenant, memberships.c.principal == principal, memberships.c.source == source)
        .where(table.c.kind == "Group")
    )
    return sorted((row.id, row.called) for row in connection.execute(asked))


def write_members(connection: Connection, *, tenant: str, group: str, wanted: Members, source: str) -> set[str]:
    """Let a group have exactly these members; give every principal that this may matter to.

    Raises ValidationError RESOURCE_CONFLICT for a group that would lie in itself.
    """
    touched = members_of(connection, tenant=tenant, group=group, source=source)
    people.set_members(connection, tenant=tenant, group=group, principals=wanted.principals, source=source)
    table = group_nestings
    asked = select(table.c.child).where(table.c.tenant == tenant, table.c.parent == group, table.c.source == source)
    before = set(connection.execute(asked).scalars())
    for child in sorted(before - wanted.groups):
        people.unnest_group(connection, tenant=tenant, parent=group, child=child, source=source)
    for child in sorted(wanted.groups - before):
        people.nest_group(connection, tenant=tenant, parent=group, child=child, source=source)
    return touched | members_of(connection, tenant=tenant, group=group, source=source)


def members_of(connection: Connection, *, tenant: str, group: str, source: str) -> set[str]:
    """Give the principals in a group and in all groups within it."""
    below: dict[str, set[str]] = {}
    for parent, child in _nestings(connection, tenant, source):
        below.setdefault(parent, set()).add(child)
    names = _reached([group], below)
    found: set[str] = set()
    for name in names:
        found.update(people.members_of(connection, tenant=tenant, group=name, source=source))
    return found


def remap(
    connection: Connection,
    *,
    tenant: str,
    principals: Iterable[str],
    provider: str,
    source: str,
    map_groups: MapGroups,
) -> None:
    """Give principals the roles that their groups hold now, those in which their groups lie among them."""
    above: dict[str, set[str]] = {}
    for parent, child in _nestings(connection, tenant, source):
        above.setdefault(child, set()).add(parent)
    named = select(groups.c.name, groups.c.display).where(groups.c.tenant == tenant, groups.c.source == source)
    displays = {row.name: row.display for row in connection.execute(named)}
    for principal in sorted(set(principals)):
        asked = select(memberships.c.group_name).where(
            memberships.c.tenant == tenant, memberships.c.principal == principal, memberships.c.source == source
        )
        reached = _reached(list(connection.execute(asked).scalars()), above)
        names = {displays[name] for name in reached if name in displays}
        map_groups(connection, tenant=tenant, provider=provider, principal=principal, groups=names)


def _nestings(connection: Connection, tenant: str, source: str) -> list[tuple[str, str]]:
    table = group_nestings
    asked = select(table.c.parent, table.c.child).where(table.c.tenant == tenant, table.c.source == source)
    return [(row.parent, row.child) for row in connection.execute(asked)]


def _reached(start: list[str], ways: dict[str, set[str]]) -> set[str]:
    found = set(start)
    todo = list(start)
    while todo:
        new = ways.get(todo.pop(), set()) - found
        found |= new
        todo.extend(new)
    return found
