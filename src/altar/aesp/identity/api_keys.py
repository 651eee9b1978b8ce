"""API keys: for programs that cannot sign in. A text goes in, a principal comes out, in memory.

A key reads ``altar_<id>_<secret>``.
The id is public and names the row; the secret is 256 random bits, of which SHA-256 with a salt of its own is kept.
A slow hash would protect nothing that nobody can guess, and would let anybody who sends wrong keys keep the host busy.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical, parse
from altar.adm.errors import AuthorizationError, ValidationError
from altar.aesp.identity.login import name_in, not_accepted
from altar.aesp.permissions import parse_permission
from altar.aesp.principal import Principal, principal_id

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from altar.aesp.directory import Directory
    from altar.aesp.store.database import Store

__all__ = ["PREFIX", "ApiKey", "ApiKeys", "NewApiKey"]

PREFIX = "altar_"
"""How every key begins, so that scanners of source code can find one that leaked."""

_FORM = re.compile(r"altar_(?P<id>[0-9a-f]{24})_(?P<secret>[A-Za-z0-9_-]{43})")
_NOBODY = hashlib.sha256(b"no key has this digest").digest()
_MOST_EACH = 100
_MOST_SCOPES = 64
_MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What may be told of a key: everything but its secret. Times in milliseconds since 1970, None for never.

    ``scopes`` are the permissions it was narrowed to; None when it may do all that its principal may.
    ``successor`` is the id of the key that replaces it, empty for none.
    """

    id: str
    tenant: str
    principal: str
    description: str
    scopes: frozenset[str] | None
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    used_ms: int | None = None
    successor: str = ""


@dataclass(frozen=True, slots=True)
class NewApiKey:
    """A key that was just made, with the only copy of its text there will ever be."""

    key: ApiKey
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Kept:
    """A key as it is checked: the digest of its secret, and the principal that it stands for."""

    tenant: str
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    principal: str
    scopes: frozenset[str] | None
    expires: float
    revoked: bool


class ApiKeys:
    """The keys of all tenants. ``now`` is in seconds since 1970."""

    def __init__(self, store: Store, directory: Directory, *, now: Callable[[], float]) -> None:
        self._store = store
        self._directory = directory
        self._now = now
        self._kept: dict[str, _Kept] = {}
        self._of: dict[str, frozenset[str]] = {}
        self._used: dict[str, int] = {}
        self._written: dict[str, int] = {}

    def load(self) -> None:
        """Read all keys, and follow the changes from here on; blocks."""
        self._store.changed(self._reread)
        self._reread("")

    def verify(self, key: str) -> Principal:
        """Whose key this is, now. In memory: it never waits.

        Raises INVALID_CREDENTIALS for one that is unknown, revoked or over, or whose principal is gone, in the same
        words and after the same work.
        """
        match = _FORM.fullmatch(key)
        if match is None:
            raise not_accepted("that is no API key")
        kept = self._kept.get(match["id"])
        wanted = kept.digest if kept is not None else _NOBODY
        given = _digest(kept.salt if kept is not None else b"", match["secret"])
        if not hmac.compare_digest(given, wanted) or kept is None:
            raise not_accepted("the API key is unknown")
        now = self._now()
        if kept.revoked or now >= kept.expires:
            raise not_accepted("the API key was revoked or is over")
        person = self._directory.principal(kept.principal)
        if person is None or not person.active:
            raise not_accepted("the principal of the API key is gone")
        self._used[match["id"]] = int(now * 1000)
        return Principal(
            id=kept.principal,
            tenant=kept.tenant,
            kind=person.kind,
            authenticated_by="api_key",
            expires=kept.expires,
            scopes=kept.scopes,
            proof=("key", match["id"]),
        )

    def is_good(self, key_id: str) -> bool:
        """Whether a key is there, neither revoked nor over."""
        kept = self._kept.get(key_id)
        return kept is not None and not kept.revoked and self._now() < kept.expires

    async def create(
        self,
        principal: str,
        *,
        tenant: str,
        description: str = "",
        scopes: Iterable[str] | None = None,
        expires_ms: int | None = None,
    ) -> NewApiKey:
        """Make a key for a principal of this tenant, at most 100 live ones each.

        Raises UNKNOWN_RESOURCE for a principal there is not, MALFORMED_REQUEST for a description or scopes beyond
        their bounds, RATE_LIMIT_EXCEEDED at the limit.
        """
        narrowed = _scopes(scopes)
        if len(description) > 256 or not description.isprintable():
            raise ValidationError("MALFORMED_REQUEST", "The description has more than 256 characters", ran="no")
        new = self._fresh(principal, tenant=tenant, description=description, scopes=narrowed, expires_ms=expires_ms)
        await self._insert(new)
        return _shown(new)

    async def rotate(self, key_id: str, *, tenant: str, overlap_seconds: float) -> NewApiKey:
        """Make a key that replaces another one, which goes on for ``overlap_seconds`` and no longer.

        The new one has the principal, the scopes and the end of the old one, or as long a life from now.
        Raises UNKNOWN_RESOURCE for a key that this tenant does not have, or that is revoked or replaced already.
        """
        from sqlalchemy import update

        from altar.aesp.store.tables import api_keys as table

        now_ms = self._now_ms()
        old = await self.show(key_id, tenant=tenant)
        if old.revoked_ms is not None or old.successor or (old.expires_ms or math.inf) <= now_ms:
            raise _unknown(key_id)
        life = None if old.expires_ms is None else now_ms + (old.expires_ms - old.created_ms)
        new = self._fresh(old.principal, tenant=tenant, description=old.description, scopes=old.scopes, expires_ms=life)
        ends = now_ms + int(max(0.0, overlap_seconds) * 1000)
        ends = min(ends, old.expires_ms) if old.expires_ms is not None else ends

        def work(connection: Connection) -> bool:
            mine = (table.c.tenant == tenant) & (table.c.id == key_id)
            free = table.c.successor.is_(None) & table.c.revoked_ms.is_(None)
            changed = connection.execute(update(table).where(mine, free).values(successor=new.key.id, expires_ms=ends))
            if changed.rowcount == 1:
                _insert_row(connection, new)
            return changed.rowcount == 1

        if not await self._store.run(work, tenant=tenant):
            raise _unknown(key_id)
        return _shown(new)

    async def revoke(self, key_id: str, *, tenant: str) -> None:
        """End a key at once; UNKNOWN_RESOURCE for one that this tenant does not have."""
        from sqlalchemy import update

        from altar.aesp.store.tables import api_keys as table

        now_ms = self._now_ms()

        def work(connection: Connection) -> int:
            mine = (table.c.tenant == tenant) & (table.c.id == key_id)
            changed = connection.execute(
                update(table).where(mine).values(revoked_ms=_either(table.c.revoked_ms, now_ms))
            )
            return int(changed.rowcount)

        if not await self._store.run(work, tenant=tenant):
            raise _unknown(key_id)

    async def show(self, key_id: str, *, tenant: str) -> ApiKey:
        """One key; UNKNOWN_RESOURCE for one that this tenant does not have."""
        found = await self._select(tenant=tenant, key_id=key_id, limit=1)
        if not found:
            raise _unknown(key_id)
        return found[0]

    async def listed(self, *, tenant: str, principal: str = "", after: str = "", limit: int = 100) -> list[ApiKey]:
        """The keys of a tenant, or of one principal of it, by their ids; those after ``after``, ``limit`` at most."""
        return await self._select(tenant=tenant, principal=principal, after=after, limit=limit)

    async def write_used(self) -> int:
        """Write down when keys were last used, once a minute for each at most; gives how many were written.

        A crash loses what was not written; nothing is decided by it.
        """
        from sqlalchemy import delete, insert

        from altar.aesp.store.tables import api_key_uses as table

        due: dict[str, dict[str, int]] = {}
        for key_id, used_ms in list(self._used.items()):
            kept = self._kept.get(key_id)
            if kept is not None and used_ms - self._written.get(key_id, 0) >= _MINUTE_MS:
                due.setdefault(kept.tenant, {})[key_id] = used_ms
        self._used.clear()
        for tenant, used in due.items():

            def work(connection: Connection, tenant: str = tenant, used: dict[str, int] = used) -> None:
                connection.execute(delete(table).where(table.c.tenant == tenant, table.c.id.in_(list(used))))
                rows = [{"tenant": tenant, "id": key_id, "used_ms": at} for key_id, at in used.items()]
                connection.execute(insert(table), rows)

            await self._store.run(work, tenant=tenant)
            self._written |= used
        return sum(map(len, due.values()))

    def _fresh(
        self,
        principal: str,
        *,
        tenant: str,
        description: str,
        scopes: frozenset[str] | None,
        expires_ms: int | None,
    ) -> _New:
        name_in(principal, tenant)
        key_id, secret, salt = secrets.token_hex(12), secrets.token_urlsafe(32), secrets.token_bytes(16)
        key = ApiKey(key_id, tenant, principal, description, scopes, self._now_ms(), expires_ms, None)
        return _New(key, salt, _digest(salt, secret), f"{PREFIX}{key_id}_{secret}")

    async def _insert(self, new: _New) -> None:
        from sqlalchemy import func, select

        from altar.aesp.store import people
        from altar.aesp.store.tables import api_keys as table

        tenant, now_ms = new.key.tenant, self._now_ms()
        name = name_in(new.key.principal, tenant)

        def work(connection: Connection) -> bool:
            people.find_principal(connection, tenant=tenant, name=name)
            live = (
                select(func.count())
                .select_from(table)
                .where(table.c.tenant == tenant, table.c.principal == name, table.c.revoked_ms.is_(None))
                .where(table.c.expires_ms.is_(None) | (table.c.expires_ms > now_ms))
            )
            if connection.execute(live).scalar_one() >= _MOST_EACH:
                return False
            _insert_row(connection, new)
            return True

        if not await self._store.run(work, tenant=tenant):
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                f"{new.key.principal!r} has {_MOST_EACH} live keys, which is the limit",
                ran="no",
                hint="revoke some",
            )

    async def _select(
        self, *, tenant: str, key_id: str = "", principal: str = "", after: str = "", limit: int
    ) -> list[ApiKey]:
        from sqlalchemy import select

        from altar.aesp.store.tables import api_key_uses
        from altar.aesp.store.tables import api_keys as table

        joined = table.outerjoin(
            api_key_uses, (api_key_uses.c.tenant == table.c.tenant) & (api_key_uses.c.id == table.c.id)
        )
        asked = select(table, api_key_uses.c.used_ms).select_from(joined).where(table.c.tenant == tenant)
        if key_id:
            asked = asked.where(table.c.id == key_id)
        if principal:
            asked = asked.where(table.c.principal == name_in(principal, tenant))
        asked = asked.where(table.c.id > after).order_by(table.c.id).limit(max(1, min(limit, 1000)))

        def work(connection: Connection) -> list[ApiKey]:
            return [_told(row) for row in connection.execute(asked)]

        return await self._store.run(work, tenant=tenant, reads=True)

    def _reread(self, tenant: str) -> None:
        """Take what the store says now; "" is every tenant."""
        from sqlalchemy import select

        from altar.aesp.store.tables import api_keys as table

        asked = select(table).where(table.c.revoked_ms.is_(None))
        if tenant:
            asked = asked.where(table.c.tenant == tenant)

        def work(connection: Connection) -> dict[str, _Kept]:
            return {row.id: _kept(row) for row in connection.execute(asked)}

        found = self._store.run_now(work, tenant=tenant or None, reads=True)
        kept = {} if not tenant else {one: row for one, row in self._kept.items() if row.tenant != tenant}
        self._kept = kept | found

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


@dataclass(frozen=True, slots=True)
class _New:
    """A key on its way into the store."""

    key: ApiKey
    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    text: str = field(repr=False)


def _shown(new: _New) -> NewApiKey:
    return NewApiKey(new.key, new.text)


def _insert_row(connection: Connection, new: _New) -> None:
    from sqlalchemy import insert

    from altar.aesp.store.tables import api_keys

    key = new.key
    connection.execute(
        insert(api_keys).values(
            tenant=key.tenant,
            id=key.id,
            principal=name_in(key.principal, key.tenant),
            description=key.description,
            salt=new.salt,
            digest=new.digest,
            scopes=None if key.scopes is None else canonical(sorted(key.scopes)).decode(),
            created_ms=key.created_ms,
            expires_ms=key.expires_ms,
        )
    )


def _told(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant=row.tenant,
        principal=principal_id(row.tenant, row.principal),
        description=row.description,
        scopes=_scopes_in(row.scopes),
        created_ms=row.created_ms,
        expires_ms=row.expires_ms,
        revoked_ms=row.revoked_ms,
        used_ms=row.used_ms,
        successor=row.successor or "",
    )


def _kept(row: Row[Any]) -> _Kept:
    return _Kept(
        tenant=row.tenant,
        salt=bytes(row.salt),
        digest=bytes(row.digest),
        principal=principal_id(row.tenant, row.principal),
        scopes=_scopes_in(row.scopes),
        expires=math.inf if row.expires_ms is None else row.expires_ms / 1000,
        revoked=row.revoked_ms is not None,
    )


def _scopes_in(text: str | None) -> frozenset[str] | None:
    said: Any = None if text is None else parse(text)
    return None if said is None else frozenset(said)


def _scopes(scopes: Iterable[str] | None) -> frozenset[str] | None:
    if scopes is None:
        return None
    wanted = frozenset(scopes)
    if len(wanted) > _MOST_SCOPES:
        raise ValidationError("MALFORMED_REQUEST", f"A key has at most {_MOST_SCOPES} scopes", ran="no")
    for one in wanted:
        parse_permission(one)
    return wanted


def _either(column: Any, now_ms: int) -> Any:
    """The time that is there already, or this one: a key is revoked once."""
    from sqlalchemy import func

    return func.coalesce(column, now_ms)


def _digest(salt: bytes, secret: str) -> bytes:
    return hashlib.sha256(salt + secret.encode()).digest()


def _unknown(key_id: str) -> ValidationError:
    return ValidationError("UNKNOWN_RESOURCE", f"There is no API key {key_id[:64]!r}", ran="no", hint="list the keys")
