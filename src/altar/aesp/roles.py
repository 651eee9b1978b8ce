"""Roles and bindings: making, changing and listing them.

A role of a tenant grants permissions and may take up other roles; the built-in ones cannot be changed.
A binding gives a role to a principal or a group, for some resources and for some time.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from altar.adm.errors import ValidationError
from altar.aesp.administrators import administrator_kept
from altar.aesp.built_in_roles import BUILT_IN_ROLES, Role, make_role
from altar.aesp.permissions import parse_permission, parse_scope
from altar.aesp.principal import require_name
from altar.aesp.store import tables
from altar.aesp.store.people import find_group, find_principal, require_quota, unknown

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.store.database import Store

__all__ = ["BindingRow", "Roles", "checked_role", "find_role", "put_role", "replace_bindings"]

MOST_PERMISSIONS = 500
"""Permissions that one role may have by itself."""

MOST_INHERITED = 50
"""Roles that one role may take up directly."""

_PAGE = 1000


@dataclass(frozen=True, slots=True)
class BindingRow:
    """A binding as the store has it; exactly one of ``principal`` and ``group`` is set, ``expires_ms`` is optional."""

    id: str
    role: str
    principal: str | None
    group: str | None
    scope: str
    expires_ms: int | None
    source: str
    created_by: str
    created_ms: int


class Roles:
    """Roles and bindings of all tenants, each call for one of them; whoever calls has been authorized already."""

    def __init__(self, store: Store, *, clock: Callable[[], float], new_id: Callable[[], str]) -> None:
        """Take the store, a clock in seconds since 1970, and a source of ids that are never used twice."""
        self._store = store
        self._clock = clock
        self._new_id = new_id

    async def create(
        self,
        name: str,
        *,
        tenant: str,
        permissions: Collection[str] = (),
        inherits: Collection[str] = (),
        description: str = "",
    ) -> Role:
        """Make a role.

        Raises ValidationError: MALFORMED_REQUEST for a name or permission that is none, RESOURCE_CONFLICT when there is
        one of that name or a built-in one, or the roles would inherit each other; UNKNOWN_RESOURCE for a role to
        inherit that is not there.
        """
        require_name(name, what="role")
        made = _checked(name, permissions, inherits, description)

        def work(connection: Connection) -> None:
            _require_no_version(connection, tenant, name)
            if _row(connection, tenant, name) is not None:
                raise ValidationError("RESOURCE_CONFLICT", f"There is a role {name!r} already", hint="change that one")
            require_quota(connection, tenant=tenant, quota="roles", table=tables.roles)
            values = {"created_ms": self._now_ms(), "changed_ms": self._now_ms(), "description": description}
            connection.execute(insert(tables.roles).values(tenant=tenant, name=name, **values))
            _write_parts(connection, tenant, made)

        await self._store.run(work, tenant=tenant)
        return made

    async def change(
        self,
        name: str,
        *,
        tenant: str,
        permissions: Collection[str] | None = None,
        inherits: Collection[str] | None = None,
        description: str | None = None,
    ) -> Role:
        """Change a role; what is None stays. Errors as of `create`, UNKNOWN_RESOURCE when there is no such role."""

        def changed(before: Role) -> Role:
            return _checked(
                name,
                [each.text for each in before.permissions] if permissions is None else permissions,
                before.inherits if inherits is None else inherits,
                before.description if description is None else description,
            )

        return await self._change(name, changed, tenant=tenant)

    async def adjust(
        self,
        name: str,
        *,
        tenant: str,
        add: tuple[Collection[str], Collection[str]] = ((), ()),
        remove: tuple[Collection[str], Collection[str]] = ((), ()),
    ) -> Role:
        """Add and remove permissions and inherited roles, each as a pair of the two; errors as of `change`.

        What somebody else changes meanwhile stays changed.
        """

        def changed(before: Role) -> Role:
            permissions = {each.text for each in before.permissions} | set(add[0])
            inherits = set(before.inherits) | set(add[1])
            return _checked(name, permissions - set(remove[0]), inherits - set(remove[1]), before.description)

        return await self._change(name, changed, tenant=tenant)

    async def _change(self, name: str, changed: Callable[[Role], Role], *, tenant: str) -> Role:
        _require_own(name)

        def work(connection: Connection) -> Role:
            made = changed(find_role(connection, tenant=tenant, name=name))
            _require_no_version(connection, tenant, name)
            put_role(connection, made, tenant=tenant, now_ms=self._now_ms())
            return made

        return await self._store.run(work, tenant=tenant)

    async def delete(self, name: str, *, tenant: str) -> None:
        """Remove a role; RESOURCE_CONFLICT while it is bound or inherited, UNKNOWN_RESOURCE when there is none."""
        _require_own(name)

        def work(connection: Connection) -> None:
            find_role(connection, tenant=tenant, name=name)
            _require_no_version(connection, tenant, name)
            for table, column in ((tables.bindings, "role"), (tables.role_inherits, "inherits")):
                used = connection.execute(select(table).filter_by(tenant=tenant, **{column: name}).limit(1)).first()
                if used is not None:
                    what = f"bound by {used.id!r}" if column == "role" else f"inherited by {used.role!r}"
                    raise ValidationError(
                        "RESOURCE_CONFLICT", f"The role {name!r} is {what}", hint="take it away there first"
                    )
            connection.execute(delete(tables.roles).filter_by(tenant=tenant, name=name))

        await self._store.run(work, tenant=tenant)

    async def show(self, name: str, *, tenant: str) -> Role:
        """Give a role, also a built-in one; UNKNOWN_RESOURCE when there is none."""
        return await self._store.run(lambda c: find_role(c, tenant=tenant, name=name), tenant=tenant, reads=True)

    async def list(self, *, tenant: str, after: str = "", limit: int = 100) -> tuple[Role, ...]:
        """Give roles by name, the built-in ones among them, those behind ``after``, at most ``limit``."""

        def work(connection: Connection) -> tuple[Role, ...]:
            table = tables.roles
            query = select(table.c.name).where(table.c.tenant == tenant, table.c.name > after)
            names = connection.execute(query.order_by(table.c.name).limit(min(limit, _PAGE))).scalars().all()
            wanted = sorted({*names, *(name for name in BUILT_IN_ROLES if name > after)})[: min(limit, _PAGE)]
            return tuple(find_role(connection, tenant=tenant, name=name) for name in wanted)

        return await self._store.run(work, tenant=tenant, reads=True)

    async def bind(
        self,
        role: str,
        *,
        tenant: str,
        principal: str | None = None,
        group: str | None = None,
        scope: str = "*",
        expires_ms: int | None = None,
        created_by: str = "",
    ) -> BindingRow:
        """Give a role to a principal or to a group, by name; for the resources of ``scope``, until ``expires_ms``.

        Raises ValidationError: MALFORMED_REQUEST unless exactly one of the two is named, for a scope that is none or an
        end that is past; UNKNOWN_RESOURCE for a role, principal or group that is not there.
        """
        if (principal is None) == (group is None):
            raise ValidationError(
                "MALFORMED_REQUEST", "A role is bound to a principal or to a group", hint="name one of the two"
            )
        if expires_ms is not None and expires_ms <= self._now_ms():
            raise ValidationError("MALFORMED_REQUEST", "The binding would have ended already")
        parse_scope(scope)
        row = BindingRow(
            id=self._new_id(),
            role=role,
            principal=principal,
            group=group,
            scope=scope,
            expires_ms=expires_ms,
            source="local",
            created_by=created_by,
            created_ms=self._now_ms(),
        )
        await self._store.run(lambda connection: _insert_binding(connection, tenant, row), tenant=tenant)
        return row

    async def unbind(self, binding: str, *, tenant: str) -> BindingRow:
        """Take a binding away and give what it was.

        Raises ValidationError: UNKNOWN_RESOURCE when there is none, RESOURCE_CONFLICT for the last administrator's.
        """

        def work(connection: Connection) -> BindingRow:
            found = connection.execute(select(tables.bindings).filter_by(tenant=tenant, id=binding)).one_or_none()
            if found is None:
                raise unknown("binding", binding)
            with administrator_kept(connection, tenant=tenant):
                connection.execute(delete(tables.bindings).filter_by(tenant=tenant, id=binding))
            return _binding_row(found)

        return await self._store.run(work, tenant=tenant)

    async def bindings(
        self,
        *,
        tenant: str,
        role: str | None = None,
        principal: str | None = None,
        group: str | None = None,
        after: str = "",
        limit: int = 100,
    ) -> tuple[BindingRow, ...]:
        """Give bindings by id, those behind ``after`` that are of what is named, at most ``limit``."""

        def work(connection: Connection) -> tuple[BindingRow, ...]:
            table = tables.bindings
            query = select(table).where(table.c.tenant == tenant, table.c.id > after)
            for column, value in ((table.c.role, role), (table.c.principal, principal), (table.c.group_name, group)):
                if value is not None:
                    query = query.where(column == value)
            found = connection.execute(query.order_by(table.c.id).limit(min(limit, _PAGE)))
            return tuple(_binding_row(row) for row in found)

        return await self._store.run(work, tenant=tenant, reads=True)

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


def find_role(connection: Connection, *, tenant: str, name: str) -> Role:
    """Give a role, also a built-in one; ValidationError UNKNOWN_RESOURCE when there is none."""
    if name in BUILT_IN_ROLES:
        return BUILT_IN_ROLES[name]
    row = _row(connection, tenant, name)
    if row is None:
        raise unknown("role", name)
    permissions = connection.execute(select(tables.role_permissions).filter_by(tenant=tenant, role=name))
    inherits = connection.execute(select(tables.role_inherits).filter_by(tenant=tenant, role=name))
    return make_role(
        name,
        tuple(sorted(each.permission for each in permissions)),
        inherits=tuple(sorted(each.inherits for each in inherits)),
        description=row.description,
    )


def checked_role(name: str, permissions: Collection[str], inherits: Collection[str], description: str) -> Role:
    """Give a role of a tenant's own, sorted; whether the roles it takes up are there is not asked.

    Raises ValidationError: MALFORMED_REQUEST for a name or permission that is none and for too much,
    RESOURCE_CONFLICT for the name of a built-in role.
    """
    require_name(name, what="role")
    return _checked(name, permissions, inherits, description)


def put_role(connection: Connection, role: Role, *, tenant: str, now_ms: int) -> None:
    """Let a role of a tenant be exactly this, whether or not there was one of its name.

    Raises UNKNOWN_RESOURCE for a role to inherit that is not there; RESOURCE_CONFLICT when the roles would inherit each
    other, or the tenant would be left without an administrator; RESOURCE_EXHAUSTED for one role too many.
    """
    values = {"changed_ms": now_ms, "description": role.description}
    if _row(connection, tenant, role.name) is None:
        require_quota(connection, tenant=tenant, quota="roles", table=tables.roles)
        made = insert(tables.roles).values(tenant=tenant, name=role.name, created_ms=now_ms, **values)
        connection.execute(made)
    with administrator_kept(connection, tenant=tenant):
        connection.execute(update(tables.roles).filter_by(tenant=tenant, name=role.name).values(**values))
        _write_parts(connection, tenant, role)


def replace_bindings(
    connection: Connection,
    *,
    tenant: str,
    principal: str,
    roles: Collection[tuple[str, str]],
    source: str,
    new_id: Callable[[], str],
    now_ms: int,
) -> None:
    """Let a principal have exactly these (role, scope) from one source; what others gave it stays.

    For rules that turn a provider's groups into roles. Raises as `Roles.bind` does.
    """
    table = tables.bindings
    found = connection.execute(select(table).filter_by(tenant=tenant, principal=principal, source=source)).all()
    wanted = set(roles)
    for row in found:
        if (row.role, row.scope) not in wanted:
            connection.execute(delete(table).filter_by(tenant=tenant, id=row.id))
    for role, scope in sorted(wanted - {(row.role, row.scope) for row in found}):
        parse_scope(scope)
        made = BindingRow(new_id(), role, principal, None, scope, None, source, source, now_ms)
        _insert_binding(connection, tenant, made)


def _insert_binding(connection: Connection, tenant: str, row: BindingRow) -> None:
    find_role(connection, tenant=tenant, name=row.role)
    if row.principal is not None:
        find_principal(connection, tenant=tenant, name=row.principal)
    if row.group is not None:
        find_group(connection, tenant=tenant, name=row.group)
    require_quota(connection, tenant=tenant, quota="bindings", table=tables.bindings)
    connection.execute(
        insert(tables.bindings).values(
            tenant=tenant,
            id=row.id,
            role=row.role,
            principal=row.principal,
            group_name=row.group,
            scope=row.scope,
            expires_ms=row.expires_ms,
            source=row.source,
            created_by=row.created_by,
            created_ms=row.created_ms,
        )
    )


def _binding_row(row: Any) -> BindingRow:
    return BindingRow(
        row.id,
        row.role,
        row.principal,
        row.group_name,
        row.scope,
        row.expires_ms,
        row.source,
        row.created_by,
        row.created_ms,
    )


def _row(connection: Connection, tenant: str, name: str) -> Any:
    return connection.execute(select(tables.roles).filter_by(tenant=tenant, name=name)).one_or_none()


def _require_no_version(connection: Connection, tenant: str, name: str) -> None:
    """Refuse a change past the versions of a role: what two agreed on, nobody changes alone."""
    where = {"tenant": tenant, "kind": "role", "name": name, "status": "ACTIVE"}
    if connection.execute(select(tables.artefacts.c.version).filter_by(**where)).first() is not None:
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"The role {name!r} is kept as versions, and is changed by a new one",
            ran="no",
            hint=f"`altar artefacts show role/{name}` writes it out, `altar artefacts deploy role/{name} FILE` hands"
            " a new version in",
        )


def _require_own(name: str) -> None:
    if name in BUILT_IN_ROLES:
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"The role {name!r} is built in and cannot be changed",
            hint="make a role of your own that inherits it",
        )


def _checked(name: str, permissions: Collection[str], inherits: Collection[str], description: str) -> Role:
    _require_own(name)
    wanted, taken = tuple(sorted(set(permissions))), tuple(sorted(set(inherits)))
    if len(wanted) > MOST_PERMISSIONS or len(taken) > MOST_INHERITED or len(description) > 1024:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The role {name!r} is too large",
            hint=f"at most {MOST_PERMISSIONS} permissions, {MOST_INHERITED} inherited roles, 1024 characters of text",
        )
    for each in wanted:
        parse_permission(each)
    return make_role(name, wanted, inherits=taken, description=description)


def _write_parts(connection: Connection, tenant: str, role: Role) -> None:
    """Write permissions and inheritance of a role, once nothing is inherited in a circle."""
    rows = connection.execute(select(tables.role_inherits).filter_by(tenant=tenant)).all()
    inherited: dict[str, set[str]] = {}
    for row in rows:
        if row.role != role.name:
            inherited.setdefault(row.role, set()).add(row.inherits)
    for taken in role.inherits:
        find_role(connection, tenant=tenant, name=taken)
        _require_no_way(taken, role.name, inherited)
    for table, column, values in (
        (tables.role_permissions, "permission", [each.text for each in role.permissions]),
        (tables.role_inherits, "inherits", list(role.inherits)),
    ):
        connection.execute(delete(table).filter_by(tenant=tenant, role=role.name))
        if values:
            rows_of = [{"tenant": tenant, "role": role.name, column: each} for each in values]
            connection.execute(insert(table), rows_of)


def _require_no_way(start: str, end: str, inherited: dict[str, set[str]]) -> None:
    found = [start]
    for name in found:
        if name == end:
            raise ValidationError(
                "RESOURCE_CONFLICT",
                f"The role {end!r} would inherit itself, by way of {start!r}",
                hint=f"let {start!r} not inherit it",
            )
        found.extend(each for each in inherited.get(name, ()) if each not in found)
