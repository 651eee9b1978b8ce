"""Refresh tokens in the store, and what was revoked in memory: rows of one tenant at a time.

A refresh token reads ``refresh~<tenant>~<secret>``; the store holds its SHA-256 and never the token.
A slow hash would protect nothing: the secret is 256 random bits, which nobody guesses.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical, parse
from altar.aesp.identity.login import name_in, not_accepted
from altar.aesp.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from altar.aesp.store.database import Store

__all__ = ["RefreshTokens"]

_PREFIX = "refresh~"
_MOST_FAMILIES = 64
_LONGEST = 512
_NONE: Mapping[str, int] = {}


@dataclass(frozen=True, slots=True)
class _Renewal:
    """What became of a refresh token in the store: renewed, or why not."""

    refused: str = ""
    principal: Principal | None = None
    family: str = ""
    made_ms: int = 0


class RefreshTokens:
    """The families of refresh tokens, and the ids that access tokens are refused by.

    ``idle`` is how long a refresh token can wait for its use, ``longest`` how long a family can live, in seconds.
    ``access`` is the lifetime of an access token, after which a revocation need not be remembered.
    """

    def __init__(
        self,
        store: Store,
        *,
        now: Callable[[], float],
        idle: float = 12 * 3600.0,
        longest: float = 30 * 86_400.0,
        access: float = 900.0,
    ) -> None:
        self._store = store
        self._now = now
        self._idle, self._longest, self._access = idle, longest, access
        self._revoked: dict[str, Mapping[str, int]] = {}

    def load(self) -> None:
        """Read what was revoked, of all tenants, and follow the changes from here on; blocks."""
        self._store.changed(self._reread)
        self._reread("")

    def revoked(self, tenant: str) -> Mapping[str, int]:
        """The ids of tokens and families of a tenant that are refused."""
        return self._revoked.get(tenant, _NONE)

    def tenant_of(self, token: str) -> str:
        """The tenant that a refresh token names; empty for what is none."""
        parts = token.split("~")
        return parts[1] if token.startswith(_PREFIX) and len(parts) == 3 and len(token) <= _LONGEST else ""

    async def begin(self, principal: Principal, *, family: str) -> str:
        """The first refresh token of a new family; the oldest family makes room beyond 64 of one principal."""
        token = _fresh(principal.tenant)
        now_ms = self._now_ms()
        end_ms = now_ms + int(self._longest * 1000)
        data = _data(principal, end_ms=end_ms)

        def work(connection: Connection) -> None:
            _purge(connection, principal.tenant, now_ms=now_ms)
            self._make_room(connection, principal, now_ms=now_ms)
            self._insert(connection, principal, token=token, family=family, data=data, end_ms=end_ms)

        await self._store.run(work, tenant=principal.tenant)
        return token

    async def renew(self, token: str) -> tuple[Principal, str, str, int]:
        """Spend a refresh token: its principal, its family, the token that follows it, and when it was made (ms).

        Raises INVALID_CREDENTIALS; for one that was spent before, after its family has been ended.
        """
        tenant = self.tenant_of(token)
        if not tenant:
            raise not_accepted("that is no refresh token")
        renewed = _fresh(tenant)

        def work(connection: Connection) -> _Renewal:
            return self._spend(connection, tenant, token, renewed)

        done = await self._store.run(work, tenant=tenant)
        if done.principal is None:
            raise not_accepted(done.refused)
        return done.principal, done.family, renewed, done.made_ms

    async def end(self, tenant: str, family: str, *, jti: str = "") -> bool:
        """End a family: its refresh tokens at once, its access tokens too; ``jti`` names one of those beside it.

        Gives whether it had not been ended before.
        """

        def work(connection: Connection) -> bool:
            return self._end(connection, tenant, family, jti=jti)

        return await self._store.run(work, tenant=tenant)

    async def end_by(self, token: str) -> bool:
        """End the family that a refresh token is of, and give whether there was one to end."""
        from sqlalchemy import select

        from altar.aesp.store.tables import refresh_tokens as table

        tenant = self.tenant_of(token)

        def work(connection: Connection) -> bool:
            found = connection.execute(
                select(table.c.family).where(table.c.tenant == tenant, table.c.digest == _digest(token))
            ).scalar_one_or_none()
            return found is not None and self._end(connection, tenant, found)

        return await self._store.run(work, tenant=tenant)

    async def end_all(self, principal: str, *, tenant: str) -> None:
        """Refuse every token that was issued to a principal until now."""
        from sqlalchemy import update

        from altar.aesp.store.tables import principals
        from altar.aesp.store.tables import refresh_tokens as table

        now_ms, name = self._now_ms(), name_in(principal, tenant)

        def work(connection: Connection) -> None:
            connection.execute(
                update(principals)
                .where(principals.c.tenant == tenant, principals.c.name == name)
                .values(not_before_ms=now_ms + 1)
            )
            connection.execute(
                update(table)
                .where(table.c.tenant == tenant, table.c.principal == name, table.c.revoked_ms.is_(None))
                .values(revoked_ms=now_ms)
            )

        await self._store.run(work, tenant=tenant)

    async def use_once(self, tenant: str, what: str, *, expires: float) -> None:
        """Remember that something was shown, until it ends by itself.

        Raises INVALID_CREDENTIALS when it was shown before, to whichever host.
        """
        from sqlalchemy import insert, select

        from altar.aesp.store.tables import revoked_tokens as table

        mark = "once:" + hashlib.sha256(what.encode()).hexdigest()
        now_ms = self._now_ms()
        until_ms = int(min(expires + 120.0, now_ms / 1000 + self._longest) * 1000)

        def work(connection: Connection) -> bool:
            seen = select(table.c.jti).where(table.c.tenant == tenant, table.c.jti == mark)
            if connection.execute(seen).first() is not None:
                return False
            connection.execute(insert(table).values(tenant=tenant, jti=mark, expires_ms=until_ms))
            return True

        if not await self._store.run(work, tenant=tenant):
            raise not_accepted("that was shown before, and may be shown once")

    def _spend(self, connection: Connection, tenant: str, token: str, renewed: str) -> _Renewal:
        from sqlalchemy import select, update

        from altar.aesp.store.tables import refresh_tokens as table

        now_ms, digest = self._now_ms(), _digest(token)
        mine = (table.c.tenant == tenant) & (table.c.digest == digest)
        row = connection.execute(select(table).where(mine)).one_or_none()
        if row is None or row.revoked_ms is not None or row.expires_ms <= now_ms:
            return _Renewal("the refresh token is unknown, revoked or over")
        spent = connection.execute(update(table).where(mine, table.c.used_ms.is_(None)).values(used_ms=now_ms))
        if spent.rowcount != 1:
            self._end(connection, tenant, row.family)
            return _Renewal("the refresh token was used before: its family is ended")
        principal, end_ms = _principal(row)
        self._insert(connection, principal, token=renewed, family=row.family, data=row.data, end_ms=end_ms)
        return _Renewal("", principal, row.family, row.created_ms)

    def _insert(
        self, connection: Connection, principal: Principal, *, token: str, family: str, data: str, end_ms: int
    ) -> None:
        from sqlalchemy import insert

        from altar.aesp.store.tables import refresh_tokens

        now_ms = self._now_ms()
        connection.execute(
            insert(refresh_tokens).values(
                tenant=principal.tenant,
                digest=_digest(token),
                family=family,
                principal=name_in(principal.id, principal.tenant),
                data=data,
                created_ms=now_ms,
                expires_ms=min(now_ms + int(self._idle * 1000), end_ms),
            )
        )

    def _make_room(self, connection: Connection, principal: Principal, *, now_ms: int) -> None:
        from sqlalchemy import select

        from altar.aesp.store.tables import refresh_tokens as table

        name = name_in(principal.id, principal.tenant)
        live = (
            select(table.c.family)
            .where(table.c.tenant == principal.tenant, table.c.principal == name)
            .where(table.c.revoked_ms.is_(None), table.c.used_ms.is_(None), table.c.expires_ms > now_ms)
            .order_by(table.c.created_ms)
        )
        families = list(connection.execute(live).scalars())
        for family in families[: max(0, len(families) + 1 - _MOST_FAMILIES)]:
            self._end(connection, principal.tenant, family)

    def _end(self, connection: Connection, tenant: str, family: str, *, jti: str = "") -> bool:
        from sqlalchemy import insert, select, update

        from altar.aesp.store.tables import refresh_tokens, revoked_tokens

        now_ms = self._now_ms()
        live = connection.execute(
            update(refresh_tokens)
            .where(refresh_tokens.c.tenant == tenant, refresh_tokens.c.family == family)
            .where(refresh_tokens.c.revoked_ms.is_(None))
            .values(revoked_ms=now_ms)
        )
        until_ms = now_ms + int((self._access + 120.0) * 1000)
        table = revoked_tokens
        for each in filter(None, (family, jti)):
            known = select(table.c.jti).where(table.c.tenant == tenant, table.c.jti == each)
            if connection.execute(known).first() is None:
                connection.execute(insert(table).values(tenant=tenant, jti=each, expires_ms=until_ms))
        return live.rowcount > 0

    def _reread(self, tenant: str) -> None:
        """Take what the store says now; "" is every tenant."""
        from sqlalchemy import select

        from altar.aesp.store.tables import revoked_tokens as table

        now_ms = self._now_ms()

        def work(connection: Connection) -> dict[str, dict[str, int]]:
            live = select(table).where(table.c.expires_ms > now_ms, table.c.jti.not_like("once:%"))
            if tenant:
                live = live.where(table.c.tenant == tenant)
            found: dict[str, dict[str, int]] = {tenant: {}} if tenant else {}
            for row in connection.execute(live):
                found.setdefault(row.tenant, {})[row.jti] = row.expires_ms
            return found

        found = self._store.run_now(work, tenant=tenant or None, reads=True)
        self._revoked = {**self._revoked, **found} if tenant else dict(found)

    def _now_ms(self) -> int:
        return int(self._now() * 1000)


def _fresh(tenant: str) -> str:
    return f"{_PREFIX}{tenant}~{secrets.token_urlsafe(32)}"


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _data(principal: Principal, *, end_ms: int) -> str:
    scopes = None if principal.scopes is None else sorted(principal.scopes)
    return canonical(
        {
            "id": principal.id,
            "kind": str(principal.kind),
            "by": principal.authenticated_by,
            "mfa": principal.mfa,
            "scopes": scopes,
            "end_ms": end_ms,
        }
    ).decode()


def _principal(row: Row[Any]) -> tuple[Principal, int]:
    said: Any = parse(row.data)
    scopes = said["scopes"]
    principal = Principal(
        id=said["id"],
        tenant=row.tenant,
        kind=PrincipalKind(said["kind"]),
        authenticated_by=said["by"],
        scopes=None if scopes is None else frozenset(scopes),
        mfa=said["mfa"],
    )
    return principal, said["end_ms"]


def _purge(connection: Connection, tenant: str, *, now_ms: int) -> None:
    """Forget what is over: its time has come by itself."""
    from sqlalchemy import delete

    from altar.aesp.store.tables import refresh_tokens, revoked_tokens

    for table in (refresh_tokens, revoked_tokens):
        connection.execute(delete(table).where(table.c.tenant == tenant, table.c.expires_ms <= now_ms))
