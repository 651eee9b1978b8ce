"""A store with two tenants and people in them, and all that checks who they are, with clocks that a test turns."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from argon2 import PasswordHasher

from altar.aesp.directory import Directory
from altar.aesp.identity.api_keys import ApiKeys
from altar.aesp.identity.credentials import Credentials
from altar.aesp.identity.login import Login
from altar.aesp.identity.passwords import LocalUsers
from altar.aesp.identity.provisioning import MapGroups, Provisioning
from altar.aesp.identity.refresh import RefreshTokens
from altar.aesp.identity.service_accounts import ServiceAccounts
from altar.aesp.identity.sign_in import SignIn
from altar.aesp.identity.token_keys import TokenKeys
from altar.aesp.identity.tokens import Tokens
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.store.database import Store
from altar.aesp.store.people import create_principal, update_principal
from altar.aesp.tenants import Tenants

START = 1_800_000_000.0
PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Both clocks of a host; ``at`` is in seconds since 1970."""

    at: float = START

    def __call__(self) -> float:
        return self.at


@dataclass
class World:
    """One host's worth of identity over one store."""

    url: str
    keys_at: Path
    clock: Clock = field(default_factory=Clock)
    issuer: str = "altar.local/host-1"
    map_groups: MapGroups | None = None
    no_new: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.store = Store.open(self.url)
        self.directory = Directory(self.store, clock=self.clock)
        self.token_keys = TokenKeys.open(self.keys_at, overlap=1200, now=self.clock)
        self.refreshing = RefreshTokens(self.store, now=self.clock)
        self.refreshing.load()
        self.tokens = Tokens(
            self.token_keys,
            self.refreshing,
            self.directory,
            issuer=self.issuer,
            audience=self.issuer,
            now=self.clock,
        )
        self.keys = ApiKeys(self.store, self.directory, now=self.clock)
        self.keys.load()
        cheap = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
        self.users = LocalUsers(self.store, self.directory, now=self.clock, clock=self.clock, hasher=cheap)
        self.provisioning = Provisioning(
            self.store, self.directory, now=self.clock, map_groups=self.map_groups, no_new=self.no_new
        )
        self.noted: list[tuple[str, Mapping[str, str]]] = []
        self.sign_in = SignIn(
            [self.users],
            self.provisioning,
            self.tokens,
            self.refreshing,
            note=lambda event, facts: self.noted.append((event, facts)),
        )
        self.accounts = ServiceAccounts(self.store, self.keys, self.refreshing, now=self.clock)
        self.credentials = Credentials(self.tokens, self.keys, self.directory, operator_tenant="acme")

    async def populate(self) -> None:
        """Tenants ``acme`` and ``other``, each with ``alice`` and ``bob``."""
        tenants = Tenants(self.store, clock=self.clock)
        for tenant in ("acme", "other"):
            await tenants.create(tenant)
            for name in ("alice", "bob"):
                await self.person(name, tenant=tenant)

    async def person(self, name: str, *, tenant: str = "acme") -> None:
        await self.store.run(
            lambda connection: create_principal(connection, tenant=tenant, name=name, now_ms=int(self.clock.at * 1000)),
            tenant=tenant,
        )

    async def deactivate(self, name: str, *, tenant: str = "acme") -> None:
        now_ms = int(self.clock.at * 1000)
        await self.store.run(
            lambda connection: update_principal(connection, tenant=tenant, name=name, now_ms=now_ms, active=False),
            tenant=tenant,
        )


@contextmanager
def world_at(url: str, keys_at: Path, **options: object) -> Iterator[World]:
    """A populated world, whose store is closed at the end."""
    world = World(url, keys_at, **options)  # type: ignore[arg-type]  # a test names fields of World
    try:
        asyncio.run(world.populate())
        yield world
    finally:
        world.store.close()


def alice(tenant: str = "acme", *, expires: float = math.inf) -> Principal:
    """Alice, as a login gives her."""
    return Principal(
        id=f"{tenant}/alice", tenant=tenant, kind=PrincipalKind.USER, authenticated_by="local", expires=expires
    )


def login(subject: str = "sub-1", *, name: str = "carol", provider: str = "corp", **more: object) -> Login:
    """What a provider says of somebody."""
    return Login(provider=provider, subject=subject, tenant="acme", name=name, **more)  # type: ignore[arg-type]
