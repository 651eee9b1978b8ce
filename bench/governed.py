"""What governance costs a host per call: the same load on a plain host and on one of each tier, in turns.

All keep the durable log; the governed ones have besides identities, roles, a log per tenant, pseudonyms and
commitments, so the difference is more than identity and roles alone.
The one of the tier ADVANCED has 50 policies, of which 10 apply to the tool that is called, and counts the calls.
The caller is the certificate of the client, which is an administrator there; a token is checked once a session and
costs a call nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from altar.aesp.governance.active_bundles import POLICIES as IN_FORCE
from altar.aesp.governance.artefacts import ArtefactKind, Artefacts
from altar.aesp.policy.policy import read_bundle
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.store.database import Store
from altar.cli.enterprise import database_of
from altar.testing import LocalGrid
from bench.grid import ROOT, Grid, Scene

__all__ = ["measure"]

POLICIES, APPLYING = 50, 10
CONDITIONS = (
    "args.limit > 1000000 && !request.has_approval",
    'resource.metadata.contains_pii && request.environment == "development"',
    "request.principal.daily_invocations > 1000000000",
    'args.query.startsWith("/etc") || args.query.contains("..")',
    "time.getHours() > 24",
    'principal.kind == "service_account" && resource.metadata.destructive',
    'args.threshold > 0.9 && !("root" in principal.roles)',
    'args.query.contains("drop table")',
    "resource.metadata.estimated_cost > 1000000",
    "tenant.daily_invocations > 1000000000",
)
SCENES = (Scene("64 in flight", 1, 64), Scene("256 in flight", 1, 256))
Measured = tuple[str, str, str, list[float]]


class GovernedGrid(Grid):
    """The grid of the bench with identities, tenants and roles, and in the tier ADVANCED with policies."""

    def __init__(self, tier: str = "foundation") -> None:
        self._tier = tier
        self._folder = TemporaryDirectory(prefix="altar-bench-")
        self._at = Path(self._folder.name)
        self._grid = LocalGrid(
            ["bench.tools"],
            runtimes=1,
            directory=self._at,
            settings={
                "runtime.concurrency": 256,
                "aesp.tier": tier,
                "aesp.token_keys": self._at / "keys/tokens",
            },
            environ={"PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, sys.path)])},
        )

    def __enter__(self) -> Self:
        from altar.cli.enterprise import begin
        from altar.settings import Host, Settings

        settings = Settings(host=Host(data=self._at / "data"))
        asyncio.run(begin(settings, name="root", certificate="client-1"))
        if self._tier == "advanced":
            asyncio.run(_put_in_force(database_of(settings), tenant=settings.aesp.operator_tenant))
        return super().__enter__()


async def _put_in_force(database: str, *, tenant: str) -> None:
    """Let the policies of the bench count from the host's start on."""
    store = await asyncio.to_thread(Store.open, database)
    try:
        artefacts = Artefacts(store, clock=time.time, review=())
        who = Principal(f"{tenant}/root", tenant, PrincipalKind.USER, "root")
        body = read_bundle(_bundle()).body.decode()
        made = await artefacts.draft(ArtefactKind.POLICY, IN_FORCE, body, tenant=tenant, by=who.id)
        await artefacts.activate(ArtefactKind.POLICY, IN_FORCE, made.version, tenant=tenant, who=who)
    finally:
        await asyncio.to_thread(store.close)


def _bundle() -> str:
    text = 'name = "bench"\nrecord = ["args.limit"]\n'
    for number in range(POLICIES):
        tool = "probe" if number < APPLYING else "other"
        condition = CONDITIONS[number % len(CONDITIONS)]
        text += (
            f"[[policies]]\nname = 'p{number}'\ntools = ['{tool}']\neffect = 'DENY'\ncondition = '''{condition}'''\n"
        )
    return text


def measure(rounds: int, *, seconds: float = 4.0) -> Iterator[Measured]:
    """Yield name, unit, kind and the figures of each round: the hosts in turns, and what is left of the calls."""
    with Grid() as plain, GovernedGrid() as governed, GovernedGrid("advanced") as policies:
        for scene in SCENES:
            hosts = {"plain": plain, "governed": governed, "advanced": policies}
            found: dict[str, list[dict[str, float]]] = {name: [] for name in hosts}
            for turn in range(rounds):
                order = list(hosts.items())
                for name, grid in order if turn % 2 else reversed(order):
                    found[name].append(grid.measure(scene, seconds=seconds))
            for name, rows in found.items():
                yield f"{name}, {scene.name}: host CPU per call", "µs", "cpu", [row["host µs"] for row in rows]
                yield f"{name}, {scene.name}: calls", "1/s", "throughput", [row["calls/s"] for row in rows]
            for name in ("governed", "advanced"):
                pairs = zip(found[name], found["plain"], strict=True)
                kept = [100 * mine["calls/s"] / theirs["calls/s"] for mine, theirs in pairs]
                yield f"{name}, {scene.name}: calls kept", "%", "throughput", kept


if __name__ == "__main__":
    for each_name, unit, _kind, figures in measure(3):
        sys.stdout.write(f"{each_name:<50} {sorted(figures)[len(figures) // 2]:10.1f} {unit}   {figures}\n")
