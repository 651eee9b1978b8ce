"""What it costs to authorize: a token that was seen before, and roles, in a tenant of 1,000 roles and 10,000 bindings.

Every decision is timed by itself, for principals and tools in pseudo-random order; what is drawn for the first time is
worked out, what is drawn again was kept, as on a host.
The change is one binding, from the call until it is acknowledged, and of that the part in which the host reads it.
"""

from __future__ import annotations

import asyncio
import gc
import itertools
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sqlalchemy import Connection, insert

from altar.aesp.directory import Directory
from altar.aesp.identity.refresh import RefreshTokens
from altar.aesp.identity.token_keys import TokenKeys
from altar.aesp.identity.tokens import Tokens
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.rbac import Rbac
from altar.aesp.roles import Roles
from altar.aesp.store import people, tables
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants
from bench.policies import decisions

__all__ = ["measure"]

ROLES, BINDINGS, PEOPLE, CALLERS, TOOLS = 1_000, 10_000, 2_000, 500, 20
DECISIONS = 100_000
Measured = tuple[str, str, str, list[float]]


def measure(rounds: int) -> Iterator[Measured]:
    """Yield name, unit, kind and the figures of each round."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store.open(f"sqlite:///{folder}/store.db")
        try:
            _fill(store)
            directory = Directory(store, clock=time.time)
            yield from _decisions(store, directory, Path(folder), rounds)
            yield from _changes(store, directory, rounds)
        finally:
            store.close()


def _decisions(store: Store, directory: Directory, folder: Path, rounds: int) -> Iterator[Measured]:
    keys = TokenKeys.open(folder / "keys", overlap=3600, now=time.time)
    refreshing = RefreshTokens(store, now=time.time)
    tokens = Tokens(keys, refreshing, directory, issuer="bench", audience="bench", now=time.time)
    issued = asyncio.run(_issued(tokens))
    figures: dict[str, list[float]] = {}
    for turn in range(rounds):
        rbac, rng = Rbac(directory), random.Random(turn)
        asked = [(rng.choice(issued), f"tools/t{rng.randrange(TOOLS)}") for _ in range(DECISIONS)]
        for token in issued:
            tokens.verify(token)

        def decide(token: str, resource: str, rbac: Rbac = rbac) -> object:
            return rbac.decide(tokens.verify(token), resource=resource, action="execute")

        _note(figures, "authorize, mixed", _timed(decide, asked))
        _note(figures, "authorize, kept", _timed(decide, asked[: DECISIONS // 2] * 2))
        afresh = [(token, f"tools/u{turn}.{number}") for number, (token, _) in enumerate(asked[:20_000])]
        known = {token: tokens.verify(token) for token in issued}

        def alone(token: str, resource: str, rbac: Rbac = rbac, known: dict[str, Principal] = known) -> object:
            return rbac.decide(known[token], resource=resource, action="execute")

        _note(figures, "decision alone, kept", _timed(alone, asked))
        _note(figures, "authorize, worked out", _timed(decide, afresh))
        for name, taken in decisions(directory, tokens, issued):
            _note(figures, name, taken)
    for name, values in figures.items():
        yield name, name.rpartition(" ")[2], "latency", values


def _changes(store: Store, directory: Directory, rounds: int) -> Iterator[Measured]:
    roles = Roles(store, clock=time.time, new_id=(f"n{number}" for number in itertools.count()).__next__)
    spent: list[float] = []
    renew = directory._renew  # noqa: SLF001 (what is timed is inside)

    def timed(tenant: str) -> None:
        began = time.perf_counter()
        renew(tenant)
        spent.append((time.perf_counter() - began) * 1000)

    store._listeners[:] = [timed]  # noqa: SLF001
    acknowledged = []
    for number in range(rounds * 10):
        began = time.perf_counter()
        asyncio.run(roles.bind("viewer", tenant="acme", principal=f"p{number}"))
        acknowledged.append((time.perf_counter() - began) * 1000)
    yield "one binding changed: the snapshot anew", "ms", "latency", spent
    yield "one binding changed: acknowledged, synced", "ms", "latency", acknowledged
    whole = []
    for _ in range(rounds):
        began = time.perf_counter()
        Directory(store, clock=time.time)
        whole.append((time.perf_counter() - began) * 1000)
    yield f"the whole snapshot of {BINDINGS} bindings", "ms", "latency", whole


async def _issued(tokens: Tokens) -> list[str]:
    principals = (Principal(f"acme/p{number}", "acme", PrincipalKind.USER, "password") for number in range(CALLERS))
    return [(await tokens.issue(principal)).access_token for principal in principals]


def _timed(decide: Callable[[str, str], object], asked: list[tuple[str, str]]) -> list[float]:
    """Microseconds of each decision."""
    now = time.perf_counter_ns
    taken: list[float] = []
    gc.collect()
    for token, resource in asked:
        began = now()
        decide(token, resource)
        taken.append((now() - began) / 1000)
    return taken


def _note(figures: dict[str, list[float]], name: str, taken: list[float]) -> None:
    parts = statistics.quantiles(taken, n=100)
    figures.setdefault(f"{name}: p50 µs", []).append(parts[49])
    figures.setdefault(f"{name}: p99 µs", []).append(parts[98])


def _fill(store: Store) -> None:
    """Make the tenant: roles in chains of five, each person in groups, each with five bindings of their own."""
    tenants = Tenants(store, clock=time.time)
    rng = random.Random(1)

    def work(connection: Connection) -> None:
        tenants.creation("acme")(connection)
        of = {"tenant": "acme"}
        stamps = {"created_ms": 1, "changed_ms": 1}
        names = [f"r{number}" for number in range(ROLES)]
        connection.execute(insert(tables.roles), [of | stamps | {"name": name, "description": ""} for name in names])
        permissions = [
            of | {"role": name, "permission": f"tools/t{number % TOOLS}:execute"} for number, name in enumerate(names)
        ]
        connection.execute(insert(tables.role_permissions), permissions)
        chains = [
            of | {"role": names[number], "inherits": names[number + 1]} for number in range(ROLES - 1) if number % 5
        ]
        connection.execute(insert(tables.role_inherits), chains)
        for number in range(PEOPLE):
            people.create_principal(connection, tenant="acme", name=f"p{number}", now_ms=1)
        for number in range(100):
            people.create_group(connection, tenant="acme", name=f"g{number}", now_ms=1)
        members = [
            of | {"group_name": f"g{number % 100}", "principal": f"p{number}", "source": "local"}
            for number in range(PEOPLE)
        ]
        connection.execute(insert(tables.memberships), members)
        bound = of | {"scope": "*", "expires_ms": None, "source": "local", "created_by": "", "created_ms": 1}
        rows = [
            bound
            | {"id": f"b{number}", "role": rng.choice(names), "principal": f"p{number % PEOPLE}", "group_name": None}
            for number in range(BINDINGS - 100)
        ]
        rows += [
            bound | {"id": f"h{number}", "role": rng.choice(names), "principal": None, "group_name": f"g{number}"}
            for number in range(100)
        ]
        connection.execute(insert(tables.bindings), rows)

    store.run_now(work, tenant=None)
