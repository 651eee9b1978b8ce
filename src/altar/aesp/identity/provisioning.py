"""Letting in who a provider vouches for: a login goes in, a principal of this host comes out.

A person is known by provider and subject, which never change; by name or e-mail nobody is ever linked to anybody.
Whoever comes for the first time gets a row, unless the provider may not make any.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.identity.login import LOCAL, Login, not_accepted, require_login
from altar.aesp.principal import Principal, PrincipalKind, principal_id, require_name

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.directory import Directory
    from altar.aesp.store.database import Store

__all__ = ["MapGroups", "Provisioning", "group_name", "name_of", "replace_groups"]

_HASHED = "h-"


class MapGroups(Protocol):
    """Turns the groups of a provider into roles, in the transaction of the login."""

    def __call__(
        self, connection: Connection, *, tenant: str, provider: str, principal: str, groups: Collection[str]
    ) -> None:
        """Bind ``principal``, a name in the tenant, to the roles that these groups of the provider give."""
        ...


@dataclass(frozen=True, slots=True)
class _Found:
    """What the transaction made of a login: a name in the tenant, or why there is none."""

    name: str = ""
    kind: str = ""
    refusal: str = ""


class Provisioning:
    """Admits logins. ``now`` is in seconds since 1970.

    ``no_new`` names the providers that may not bring anybody who has no row yet, such as where SCIM makes the rows.
    """

    def __init__(
        self,
        store: Store,
        directory: Directory,
        *,
        now: Callable[[], float],
        map_groups: MapGroups | None = None,
        no_new: Collection[str] = (),
    ) -> None:
        self._store = store
        self._directory = directory
        self._now = now
        self._map_groups = map_groups
        self._no_new = frozenset(no_new)

    async def admit(self, login: Login) -> Principal:
        """The principal of a login; its name, e-mail and groups are brought up to date.

        Raises INVALID_CREDENTIALS for one that was deactivated, or is not known and may not be made;
        PERMISSION_DENIED when its name belongs to another identity of the tenant;
        TENANT_SUSPENDED when nothing is done for the tenant; MALFORMED_REQUEST for a login beyond the bounds.
        """
        require_login(login)
        self._directory.require_active(login.tenant)
        found = await self._store.run(lambda connection: self._admit(connection, login), tenant=login.tenant)
        if found.refusal == "taken":
            raise _taken(login)
        if found.refusal:
            raise not_accepted(found.refusal)
        return Principal(
            id=principal_id(login.tenant, found.name),
            tenant=login.tenant,
            kind=PrincipalKind(found.kind),
            authenticated_by=login.provider,
            mfa=login.mfa,
        )

    def _admit(self, connection: Connection, login: Login) -> _Found:
        from altar.aesp.store import people

        now_ms = int(self._now() * 1000)
        tenant, provider = login.tenant, login.provider
        name: str | None = login.subject
        if provider != LOCAL:
            name = people.principal_of_external(connection, tenant=tenant, provider=provider, subject=login.subject)
        if name is None:
            name = name_of(login)
            if _is_there(connection, tenant=tenant, name=name):
                return _Found(refusal="taken")
            if provider in self._no_new:
                return _Found(refusal="the provider brings nobody new, and this one is not known")
            _make(connection, login, name=name, now_ms=now_ms)
        row = people.find_principal(connection, tenant=tenant, name=name)
        if not row.active:
            return _Found(refusal="the principal was deactivated")
        said = {"display": login.display[:256] or row.display, "email": login.email[:320] or row.email}
        if said != {"display": row.display, "email": row.email}:
            people.update_principal(connection, tenant=tenant, name=name, now_ms=now_ms, **said)
        if provider != LOCAL:
            replace_groups(
                connection, tenant=tenant, provider=provider, principal=name, groups=login.groups, now_ms=now_ms
            )
            if self._map_groups is not None:
                self._map_groups(connection, tenant=tenant, provider=provider, principal=name, groups=login.groups)
        return _Found(name, row.kind)


def name_of(login: Login) -> str:
    """The name that a new principal gets: the provider's, in lower case; its subject where that is no name.

    Raises MALFORMED_REQUEST when neither is one.
    """
    for text in (login.name, login.subject):
        name = text.strip().lower()
        if not text.isascii():  # a letter of another alphabet can become one of these: the Kelvin sign a k
            continue
        if ":" in name:  # svc: and cert: are not for providers to give
            continue
        try:
            return require_name(name, what="principal")
        except ValidationError:
            continue
    raise ValidationError(
        "MALFORMED_REQUEST",
        "The provider gives no name that can be used here",
        ran="no",
        hint="let the provider send a claim of letters, digits and . _ @ + -, at most 63",
    )


def replace_groups(
    connection: Connection, *, tenant: str, provider: str, principal: str, groups: Iterable[str], now_ms: int
) -> None:
    """Let a principal be in exactly these groups of a provider, which are made when they are not there.

    Memberships that others gave stay.
    A local group that is called like one of the provider is left alone: a provider says nothing about it.
    """
    from sqlalchemy import select

    from altar.aesp.store import people, tables

    source = f"provider:{provider}"
    wanted = {group_name(provider, group): group for group in groups}
    asked = select(tables.groups.c.name, tables.groups.c.source).where(
        tables.groups.c.tenant == tenant, tables.groups.c.name.in_(sorted(wanted))
    )
    there = {row.name: row.source for row in connection.execute(asked)} if wanted else {}
    for name in sorted(wanted.keys() - there.keys()):
        people.create_group(
            connection, tenant=tenant, name=name, now_ms=now_ms, display=wanted[name][:256], source=source
        )
    ours = [name for name in wanted if there.get(name, source) == source]
    people.set_groups_of(connection, tenant=tenant, principal=principal, groups=ours, source=source)


def group_name(provider: str, group: str) -> str:
    """The name here of a provider's group: the provider's name goes before it, so that it is never a local one's.

    A group whose name cannot stand here, such as a distinguished name, gets a digest of it instead.
    """
    name = f"{provider}:{group}"
    if not group.startswith(_HASHED):  # nobody can name a group so that it takes the place of another one's digest
        with suppress(ValidationError):
            return require_name(name, what="group")
    return f"{provider}:{_HASHED}{hashlib.sha256(group.encode()).hexdigest()[:32]}"


def _is_there(connection: Connection, *, tenant: str, name: str) -> bool:
    from sqlalchemy import select

    from altar.aesp.store.tables import principals as table

    asked = select(table.c.name).where(table.c.tenant == tenant, table.c.name == name)
    return connection.execute(asked).first() is not None


def _make(connection: Connection, login: Login, *, name: str, now_ms: int) -> None:
    from altar.aesp.store import people

    source = f"provider:{login.provider}"
    people.create_principal(
        connection,
        tenant=login.tenant,
        name=name,
        now_ms=now_ms,
        display=login.display[:256],
        email=login.email[:320],
        attributes=dict(login.attributes),
        source=source,
    )
    people.link_external(
        connection,
        tenant=login.tenant,
        provider=login.provider,
        subject=login.subject,
        principal=name,
        now_ms=now_ms,
    )


def _taken(login: Login) -> AuthorizationError:
    return AuthorizationError(
        "PERMISSION_DENIED",
        f"The name {name_of(login)!r} belongs to another identity of the tenant {login.tenant!r}",
        ran="no",
        hint="an administrator can link the two, or let the provider send another name",
        detail=f"provider {login.provider!r}, subject {login.subject!r}",
    )
