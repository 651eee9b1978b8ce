"""Which people hold the keys of a service account, so that nobody approves what a program of theirs asks for.

The owner of a service account is whoever made it; whoever makes or rotates a key of it has seen that key, and counts
as well.
Both are attributes of the account in the store; here they are in memory, because votes are counted without waiting.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import select

from altar.aesp.governance.humans import OWNER
from altar.aesp.principal import PrincipalKind
from altar.aesp.store import people, tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.principal import Principal

__all__ = ["HOLDERS", "KeyHolders", "note_holder"]

HOLDERS = "key_holders"
"""The attribute of a service account that names the ids of people who have seen a key of it, with blanks between."""
MOST_HOLDERS = 32

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
        """The ids of the people behind a service account; empty for anybody else."""
        return self._of.get(principal_id.partition("/")[0], {}).get(principal_id, frozenset())

    def _read(self, tenant: str) -> None:
        self._of[tenant] = self._store.run_now(
            lambda connection: _holders(connection, tenant), tenant=tenant, reads=True
        )


def note_holder(connection: Connection, who: Principal, name: str, *, tenant: str, now_ms: int) -> None:
    """Note that somebody has made a service account or a key of it; nothing for a principal that is none.

    ``name`` is its name in the tenant.
    """
    row = people.find_principal(connection, tenant=tenant, name=name)
    if row.kind != PrincipalKind.SERVICE_ACCOUNT:
        return
    attributes = _attributes(row.attributes)
    if who.kind is PrincipalKind.USER:
        behind = {who.id}
    else:  # a program that makes programs: the people behind it are behind them too
        behind = set(_holders(connection, who.tenant).get(who.id, ())) if who.tenant == tenant else set()
    known = [one for one in str(attributes.get(HOLDERS, "")).split() if one not in behind]
    attributes[HOLDERS] = " ".join([*known, *sorted(behind)][-MOST_HOLDERS:])
    attributes.setdefault(OWNER, who.id)
    people.update_principal(connection, tenant=tenant, name=name, now_ms=now_ms, attributes=attributes)


def _tenants(connection: Connection) -> list[str]:
    return [row.tenant for row in connection.execute(select(tables.tenants.c.tenant))]


def _holders(connection: Connection, tenant: str) -> dict[str, frozenset[str]]:
    asked = select(tables.principals.c.name, tables.principals.c.attributes).where(
        tables.principals.c.tenant == tenant,
        tables.principals.c.kind == PrincipalKind.SERVICE_ACCOUNT.value,
        tables.principals.c.attributes != "{}",
    )
    found: dict[str, frozenset[str]] = {}
    for row in connection.execute(asked):
        said = _attributes(row.attributes)
        owner = str(said.get(OWNER, ""))
        ids = {*str(said.get(HOLDERS, "")).split(), *([owner] if owner else [])}
        found[f"{tenant}/{row.name}"] = frozenset(one if "/" in one else f"{tenant}/{one}" for one in ids)
    return found


def _attributes(text: str) -> dict[str, Any]:
    try:
        said = json.loads(text or "{}")
    except ValueError:
        return {}
    return dict(said) if isinstance(said, Mapping) else {}
