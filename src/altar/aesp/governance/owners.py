"""Which people can act under an account that is not theirs, so that nobody approves what they may have asked for.

The owner of a service account, and of the account of a certificate, is whoever made it.
Whoever makes or rotates a key of an account, also of a person's, has seen that key, and counts as well.
Both are attributes of the account in the store; here they are in memory, because votes are counted without waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import select

from altar.aesp.governance.humans import OWNER
from altar.aesp.governance.quorum import MARK, mailbox_of, mark_of
from altar.aesp.principal import PrincipalKind
from altar.aesp.store import people, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.principal import Principal

__all__ = ["HOLDERS", "KeyHolders", "note_holder"]

HOLDERS = "key_holders"
"""The attribute of an account that names who has seen a key of it, with blanks between.

Each is an id, and beside it the `mark_of` the person, who may lose that account and be given another one.
"""
MOST_HOLDERS = 64
CERTIFICATE = "cert:"  # how the names of accounts of certificates begin, as `identity.certificates` says

T = TypeVar("T")


class Source(Protocol):
    """What is needed of the store; `altar.aesp.store.database.Store` is one."""

    def run_now(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Run work in one transaction, blocking."""
        ...

    def changed(self, listener: Callable[[str], None]) -> None:
        """Tell the listener of every change from now on."""
        ...


class KeyHolders:
    """The people behind the service accounts of all tenants, in memory; it follows the store."""

    def __init__(self, store: Source) -> None:
        """Read every tenant, blocking."""
        self._store = store
        self._of: dict[str, dict[str, frozenset[str]]] = {}
        store.changed(self._read)
        for tenant in store.run_now(_tenants, tenant=None, reads=True):
            self._read(tenant)

    def of(self, principal_id: str) -> frozenset[str]:
        """The ids and marks of the people who can act under an account, beside whose it is; empty where nobody can."""
        return self._of.get(principal_id.partition("/")[0], {}).get(principal_id, frozenset())

    def _read(self, tenant: str) -> None:
        self._of[tenant] = self._store.run_now(
            lambda connection: _holders(connection, tenant), tenant=tenant, reads=True
        )


def note_holder(connection: Connection, who: Principal, name: str, *, tenant: str, now_ms: int) -> None:
    """Note that somebody has made an account for a program or for a certificate, or a key of any account.

    ``name`` is its name in the tenant. A key that somebody makes for themselves is not noted.
    """
    row = people.find_principal(connection, tenant=tenant, name=name)
    is_somebodys = row.kind == PrincipalKind.USER and not name.startswith(CERTIFICATE)
    if who.id == f"{tenant}/{name}":
        return
    attributes = _attributes(row.attributes)
    behind = {who.id, *_person(connection, who.id)} if who.kind is PrincipalKind.USER else set[str]()
    if who.tenant == tenant:  # a program that makes programs: the people behind it are behind them too
        behind |= _holders(connection, tenant).get(who.id, frozenset())
    known = [one for one in str(attributes.get(HOLDERS, "")).split() if one not in behind]
    attributes[HOLDERS] = " ".join([*known, *sorted(behind)][-MOST_HOLDERS:])
    if not is_somebodys:
        attributes.setdefault(OWNER, who.id)
    people.update_principal(connection, tenant=tenant, name=name, now_ms=now_ms, attributes=attributes)


def _person(connection: Connection, principal_id: str) -> Iterator[str]:
    """Give the mark of the person behind an account, where an address says who it is."""
    tenant, _, name = principal_id.partition("/")
    table = tables.principals
    email = connection.execute(select(table.c.email).filter_by(tenant=tenant, name=name)).scalar_one_or_none()
    human = mailbox_of(email or "", tenant=tenant)
    if human:
        yield mark_of(human)


def _tenants(connection: Connection) -> list[str]:
    return [row.tenant for row in connection.execute(select(tables.tenants.c.tenant))]


def _holders(connection: Connection, tenant: str) -> dict[str, frozenset[str]]:
    table = tables.principals
    asked = select(table.c.name, table.c.kind, table.c.attributes).where(
        table.c.tenant == tenant, table.c.attributes != "{}"
    )
    found: dict[str, frozenset[str]] = {}
    for row in connection.execute(asked):
        said = _attributes(row.attributes)
        is_somebodys = row.kind == PrincipalKind.USER and not row.name.startswith(CERTIFICATE)
        owner = "" if is_somebodys else str(said.get(OWNER, ""))
        ids = {*str(said.get(HOLDERS, "")).split(), *([owner] if owner else [])}
        if ids:
            found[f"{tenant}/{row.name}"] = frozenset(
                one if "/" in one or one.startswith(MARK) else f"{tenant}/{one}" for one in ids
            )
    return found


def _attributes(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text or "{}")
    except ValueError:
        return {}
    return dict(said) if isinstance(said, Mapping) else {}
