"""What governance costs a host per call: the same load on a plain host and on one of the tier FOUNDATION, in turns.

Both keep the durable log; the governed one has besides identities, roles, a log per tenant, pseudonyms and commitments,
so the difference is more than identity and roles alone.
The caller is the certificate of the client, which is an administrator there; a token is checked once a session and
costs a call nothing.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

from altar.testing import LocalGrid
from bench.grid import ROOT, Grid, Scene

__all__ = ["measure"]

SCENES = (Scene("64 in flight", 1, 64), Scene("256 in flight", 1, 256))
Measured = tuple[str, str, str, list[float]]


class GovernedGrid(Grid):
    """The grid of the bench with identities, tenants and roles."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="altar-bench-")
        self._at = Path(self._folder.name)
        self._grid = LocalGrid(
            ["bench.tools"],
            runtimes=1,
            directory=self._at,
            settings={
                "runtime.concurrency": 256,
                "aesp.tier": "foundation",
                "aesp.token_keys": self._at / "keys/tokens",
            },
            environ={"PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, sys.path)])},
        )

    def __enter__(self) -> Self:
        from altar.cli.enterprise import begin
        from altar.settings import Host, Settings

        settings = Settings(host=Host(data=self._at / "data"))
        asyncio.run(begin(settings, name="root", certificate="client-1"))
        return super().__enter__()


def measure(rounds: int, *, seconds: float = 4.0) -> Iterator[Measured]:
    """Yield name, unit, kind and the figures of each round: both hosts in turns, and what is left of the calls."""
    with Grid() as plain, GovernedGrid() as governed:
        for scene in SCENES:
            found: dict[str, list[dict[str, float]]] = {"plain": [], "governed": []}
            for turn in range(rounds):
                order = (("plain", plain), ("governed", governed))
                for name, grid in order if turn % 2 else reversed(order):
                    found[name].append(grid.measure(scene, seconds=seconds))
            for name, rows in found.items():
                yield f"{name}, {scene.name}: host CPU per call", "µs", "cpu", [row["host µs"] for row in rows]
                yield f"{name}, {scene.name}: calls", "1/s", "throughput", [row["calls/s"] for row in rows]
            pairs = zip(found["governed"], found["plain"], strict=True)
            kept = [100 * mine["calls/s"] / theirs["calls/s"] for mine, theirs in pairs]
            yield f"governed, {scene.name}: calls kept", "%", "throughput", kept


if __name__ == "__main__":
    for each_name, unit, _kind, figures in measure(3):
        sys.stdout.write(f"{each_name:<50} {sorted(figures)[len(figures) // 2]:10.1f} {unit}   {figures}\n")
