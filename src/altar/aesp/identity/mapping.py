"""Rules that turn a provider's groups into roles: the groups of a login go in, bindings of that tenant come out.

A rule belongs to one tenant and one provider, so a group of another provider, whatever it is called, gives nothing.
A rule names a group exactly, letter by letter; only one written with ``*`` covers more, where ``*`` is any run of
characters but ``/``.
Without a rule a group gives no role, and no name of a group means anything by itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from altar.adm.errors import ValidationError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.store.database import Store

__all__ = ["GroupMapping", "MappingRule", "roles_of"]

_LONGEST = 200
_MOST = 500


@dataclass(frozen=True, slots=True)
class MappingRule:
    """Who is in a group of this provider that ``pattern`` names holds ``role``, for the resources of ``scope``."""

    provider: str
    pattern: str
    role: str
    scope: str = "*"


class GroupMapping:
    """The rules of all tenants; an instance is the `MapGroups` of `Provisioning`.

    ``now`` is in seconds since 1970, ``new_id`` gives an id for each binding.
    """

    def __init__(self, store: Store, *, now: Callable[[], float], new_id: Callable[[], str]) -> None:
        self._store = store
        self._now = now
        self._new_id = new_id

    def __call__(
        self, connection: Connection, *, tenant: str, provider: str, principal: str, groups: Collection[str]
    ) -> None:
        """Let a principal hold exactly the roles that these groups of the provider give, in this transaction.

        A role that is not there any more gives nothing.
        """
        from altar.aesp.roles import replace_bindings

        wanted = roles_of(groups, _rules(connection, tenant=tenant, provider=provider))
        replace_bindings(
            connection,
            tenant=tenant,
            principal=principal,
            roles={(role, scope) for role, scope in wanted if _is_role(connection, tenant, role)},
            source=source_of(provider),
            new_id=self._new_id,
            now_ms=int(self._now() * 1000),
        )

    async def list(self, *, tenant: str, provider: str = "") -> tuple[MappingRule, ...]:
        """Give the rules of a tenant, or of one provider of it, sorted."""

        def work(connection: Connection) -> tuple[MappingRule, ...]:
            return tuple(_rules(connection, tenant=tenant, provider=provider))

        return await self._store.run(work, tenant=tenant, reads=True)

    async def add(self, rule: MappingRule, *, tenant: str) -> None:
        """Add a rule; everybody who is in such a group holds the role when this returns.

        Raises ValidationError MALFORMED_REQUEST for a pattern that is empty, longer than 200 characters or covers every
        group, UNKNOWN_RESOURCE for a role that the tenant does not have, RESOURCE_CONFLICT for a rule that is there or
        one beyond 500.
        """
        from sqlalchemy import insert, select

        from altar.aesp.permissions import parse_scope
        from altar.aesp.roles import find_role
        from altar.aesp.store.tables import group_mappings

        _require_pattern(rule.pattern)
        parse_scope(rule.scope)
        values = {"provider": rule.provider, "pattern": rule.pattern, "role": rule.role, "scope": rule.scope}

        def work(connection: Connection) -> None:
            find_role(connection, tenant=tenant, name=rule.role)
            there = connection.execute(select(group_mappings.c.pattern).filter_by(tenant=tenant, **values)).first()
            if there is not None or len(_rules(connection, tenant=tenant, provider=rule.provider)) >= _MOST:
                raise ValidationError(
                    "RESOURCE_CONFLICT",
                    f"There is such a rule for {rule.pattern!r} already, or {_MOST} rules",
                    ran="no",
                )
            now_ms = int(self._now() * 1000)
            connection.execute(insert(group_mappings).values(tenant=tenant, created_ms=now_ms, **values))
            self._reapply(connection, tenant=tenant, provider=rule.provider)

        await self._store.run(work, tenant=tenant)

    async def remove(self, rule: MappingRule, *, tenant: str) -> None:
        """Take a rule away; nobody holds a role by it when this returns. UNKNOWN_RESOURCE when there is none."""
        from sqlalchemy import delete

        from altar.aesp.store.people import unknown
        from altar.aesp.store.tables import group_mappings

        values = {"provider": rule.provider, "pattern": rule.pattern, "role": rule.role, "scope": rule.scope}

        def work(connection: Connection) -> None:
            if connection.execute(delete(group_mappings).filter_by(tenant=tenant, **values)).rowcount == 0:
                raise unknown("rule", f"{rule.pattern} → {rule.role}")
            self._reapply(connection, tenant=tenant, provider=rule.provider)

        await self._store.run(work, tenant=tenant)

    def _reapply(self, connection: Connection, *, tenant: str, provider: str) -> None:
        """Judge everybody anew whom this provider put into a group, or gave a role."""
        from sqlalchemy import select

        from altar.aesp.store.tables import bindings, groups, memberships

        of: dict[str, set[str]] = {}
        joined = memberships.join(
            groups, (groups.c.tenant == memberships.c.tenant) & (groups.c.name == memberships.c.group_name)
        )
        asked = select(memberships.c.principal, groups.c.display).select_from(joined)
        ours = (memberships.c.tenant == tenant) & (memberships.c.source == f"provider:{provider}")
        for row in connection.execute(asked.where(ours)):
            of.setdefault(row.principal, set()).add(row.display)
        held = select(bindings.c.principal).filter_by(tenant=tenant, source=source_of(provider)).distinct()
        for name in connection.execute(held).scalars().all():
            of.setdefault(name, set())
        for principal, names in sorted(of.items()):
            self(connection, tenant=tenant, provider=provider, principal=principal, groups=names)


def roles_of(groups: Collection[str], rules: Iterable[MappingRule]) -> frozenset[tuple[str, str]]:
    """Give the (role, scope) that these groups of one provider hold by its rules."""
    names = frozenset(groups)
    found: set[tuple[str, str]] = set()
    for rule in rules:
        if rule.pattern in names or (
            "*" in rule.pattern and any(_glob(rule.pattern).fullmatch(name) for name in names)
        ):
            found.add((rule.role, rule.scope))
    return frozenset(found)


def source_of(provider: str) -> str:
    """Give the source that bindings by the rules of a provider carry."""
    return f"mapping:{provider}"


def _rules(connection: Connection, *, tenant: str, provider: str) -> list[MappingRule]:
    from sqlalchemy import select

    from altar.aesp.store.tables import group_mappings as table

    asked = select(table).where(table.c.tenant == tenant).order_by(table.c.provider, table.c.pattern, table.c.role)
    if provider:
        asked = asked.where(table.c.provider == provider)
    return [MappingRule(row.provider, row.pattern, row.role, row.scope) for row in connection.execute(asked)]


def _is_role(connection: Connection, tenant: str, role: str) -> bool:
    from altar.aesp.roles import find_role

    try:
        find_role(connection, tenant=tenant, name=role)
    except ValidationError:
        return False
    return True


def _require_pattern(pattern: str) -> None:
    if not pattern.strip("*/ ") or len(pattern) > _LONGEST or not pattern.isprintable():
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{pattern[:80]!r} cannot stand for groups of a provider",
            ran="no",
            hint=f"give the name of a group, at most {_LONGEST} characters, with more than * in it",
        )


@lru_cache(maxsize=4096)
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile("[^/]*".join(map(re.escape, re.split(r"\*+", pattern))))
