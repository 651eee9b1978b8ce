"""Local users: a name and a password, for hosts without an identity provider of their own.

Passwords are kept as argon2id hashes (RFC 9106).
A name that does not exist costs the same work as one that does, and is refused in the same words.
"""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from altar.adm.canonical import canonical, parse
from altar.adm.errors import AuthorizationError, ExecutionError, ValidationError
from altar.aesp.identity.lockout import Asker, Lockout, network_of
from altar.aesp.identity.login import LOCAL, Credential, Login, name_in, not_accepted

if TYPE_CHECKING:
    from argon2 import PasswordHasher
    from sqlalchemy import Connection

    from altar.aesp.directory import Directory
    from altar.aesp.store.database import Store

__all__ = ["LocalUsers", "one_time_password", "require_password"]

_KIND = "password"
_SHORTEST, _LONGEST = 12, 128
_AT_A_TIME, _WAITING = 2, 64
_FEWEST = 5


@dataclass(frozen=True, slots=True)
class _Kept:
    """What is kept of a password; ``once`` is whether it has to be replaced at its first use."""

    hash: str = field(repr=False)
    once: bool


class LocalUsers:
    """The local users of all tenants, as a provider of logins.

    ``clock`` is monotonic, ``now`` in seconds since 1970.
    ``hasher`` replaces the parameters of argon2id, which are RFC 9106's second recommendation: 64 MiB, 3 passes.
    """

    name = LOCAL

    def __init__(
        self,
        store: Store,
        directory: Directory,
        *,
        now: Callable[[], float],
        clock: Callable[[], float],
        hasher: PasswordHasher | None = None,
    ) -> None:
        from argon2 import PasswordHasher

        self._store = store
        self._directory = directory
        self._now = now
        self._lockout = Lockout(store, clock=clock, now=now)
        self._hasher = hasher or PasswordHasher(time_cost=3, memory_cost=64 * 1024, parallelism=4)
        self._nobody = self._hasher.hash(secrets.token_urlsafe(32))
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._waiting = 0
        self.verified = 0

    async def authenticate(self, credential: Credential) -> Login:
        """Check a name and a password; with ``new_secret``, the password is replaced by that.

        Raises INVALID_CREDENTIALS, in the same words for a wrong password, an unknown name and a deactivated user;
        for a password that has to be replaced first, it says so.
        Raises RATE_LIMIT_EXCEEDED while the name or the address has to wait, RESOURCE_EXHAUSTED when too many ask.
        """
        asker = Asker(credential.tenant, credential.name, network_of(credential.address))
        await self._lockout.require(asker)
        principal = f"{credential.tenant}/{credential.name}"
        kept = await self._kept(principal, tenant=credential.tenant)
        person = self._directory.principal(principal)
        right = await self._verify(kept.hash if kept is not None else self._nobody, credential.secret)
        await self._lockout.require(asker)  # who guesses many at once learns no more than who guesses one by one
        if not right or kept is None or person is None or not person.active:
            await self._lockout.failed(asker)
            raise not_accepted("unknown name, wrong password, or deactivated")
        await self._lockout.succeeded(asker)
        if kept.once and _normal(credential.new_secret) == _normal(credential.secret):
            raise _replace_first()
        if credential.new_secret:
            await self.set_password(principal, credential.new_secret, tenant=credential.tenant)
        elif kept.once:
            raise _replace_first()
        return Login(
            provider=LOCAL,
            subject=credential.name,
            tenant=credential.tenant,
            name=credential.name,
            display=person.display,
            email=person.email,
        )

    async def set_password(self, principal: str, password: str, *, tenant: str, once: bool = False) -> None:
        """Give a principal of this tenant a password; ``once`` when it has to be replaced at its first use.

        Raises MALFORMED_REQUEST for one that is too easy, UNKNOWN_RESOURCE for a principal there is not.
        """
        name = name_in(principal, tenant)
        require_password(password, name=name)
        hashed = await asyncio.to_thread(self._hasher.hash, _normal(password))
        row = {
            "tenant": tenant,
            "principal": name,
            "kind": _KIND,
            "secret": hashed,
            "data": canonical({"once": once}).decode(),
            "changed_ms": int(self._now() * 1000),
        }
        await self._store.run(lambda connection: _replace(connection, row), tenant=tenant)

    async def remove_password(self, principal: str, *, tenant: str) -> None:
        """Take a principal's password away; nothing when there is none."""
        name = name_in(principal, tenant)
        await self._store.run(lambda connection: _delete(connection, tenant, name), tenant=tenant)

    async def _kept(self, principal: str, *, tenant: str) -> _Kept | None:
        from sqlalchemy import select

        from altar.aesp.store.tables import credentials as table

        name = principal.partition("/")[2]
        asked = select(table.c.secret, table.c.data).where(
            table.c.tenant == tenant, table.c.principal == name, table.c.kind == _KIND
        )

        def work(connection: Connection) -> _Kept | None:
            row = connection.execute(asked).one_or_none()
            if row is None:
                return None
            said = parse(row.data)
            return _Kept(row.secret, isinstance(said, dict) and said.get("once") is not False)

        return await self._store.run(work, tenant=tenant, reads=True)

    async def _verify(self, hashed: str, password: str) -> bool:
        """Whether the password has this hash; two at a time, because each takes 64 MiB and its share of a core."""
        if self._waiting >= _WAITING:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                "Too many sign-ins are under way",
                ran="no",
                hint="try again",
                retry_after=timedelta(seconds=1),
            )
        self._waiting += 1
        try:
            async with self._slots:
                self.verified += 1
                return await asyncio.to_thread(self._is_right, hashed, password)
        finally:
            self._waiting -= 1

    def _is_right(self, hashed: str, password: str) -> bool:
        from argon2.exceptions import Argon2Error, InvalidHashError

        try:
            return self._hasher.verify(hashed, _normal(password[: _LONGEST + 1]))
        except (Argon2Error, InvalidHashError):
            return False


def require_password(password: str, *, name: str) -> None:
    """Refuse a password that is easily guessed: MALFORMED_REQUEST, which never repeats it.

    It has 12 to 128 characters, at least five different ones, and does not hold the name (NIST SP 800-63B §5.1.1).
    """
    normal = _normal(password)
    if not _SHORTEST <= len(normal) <= _LONGEST:
        why = f"has {_SHORTEST} to {_LONGEST} characters"
    elif len(set(normal)) < _FEWEST:
        why = f"has at least {_FEWEST} different characters"
    elif len(name) > 3 and name.lower() in normal.lower():
        why = "does not hold the name of its user"
    else:
        return
    raise ValidationError("MALFORMED_REQUEST", f"A password {why}", ran="no", hint="choose a longer phrase")


def one_time_password() -> str:
    """A password to hand over once: 120 random bits, in groups that can be read out."""
    text = secrets.token_hex(15)
    return "-".join(text[at : at + 5] for at in range(0, 30, 5))


def _normal(password: str) -> str:
    """The password as it is hashed, so that two keyboards give the same characters (NIST SP 800-63B: NFKC)."""
    return unicodedata.normalize("NFKC", password)


def _replace(connection: Connection, row: dict[str, object]) -> None:
    from sqlalchemy import insert

    from altar.aesp.store.tables import credentials

    _delete(connection, str(row["tenant"]), str(row["principal"]))
    connection.execute(insert(credentials).values(row))


def _delete(connection: Connection, tenant: str, name: str) -> None:
    from sqlalchemy import delete

    from altar.aesp.store.tables import credentials as table

    connection.execute(delete(table).where(table.c.tenant == tenant, table.c.principal == name, table.c.kind == _KIND))


def _replace_first() -> AuthorizationError:
    return AuthorizationError(
        "INVALID_CREDENTIALS",
        "This password was for handing over: choose one of your own",
        ran="no",
        hint="sign in again with a new password beside it",
    )
