"""ALTAR beside others: runs `bench.peers` in `.venv-peers` and reads what it prints, in one process or over a wire.

In: how many rounds.
Out: a row for each way to call or to declare, with the figures of ALTAR in the same rounds to compare it with.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["OVER_A_WIRE", "Beside", "measure", "over_a_wire"]

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
OVER_A_WIRE = ("fastmcp", "ray")
"""Those that `over_a_wire` knows."""
SHORT = 5
"""Rounds of calls for each round that was asked for; they are short."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One way: its figures by round, and ALTAR's; ``ours`` is None for ALTAR itself."""

    name: str
    unit: str
    library: str
    version: str
    figures: list[float]
    ours: list[float] | None


def measure(rounds: int) -> Iterator[Beside]:
    """Yield the ways to call, then the ways to declare, ALTAR's own first.

    Raises SystemExit, with what to do, when there is no environment with the others.
    """
    _require_peers()
    yield from _rows("calls", rounds * SHORT, "call, {}, added", "µs CPU")
    yield from _rows("declare", rounds, "1000 declarations, {}", "s CPU")


def over_a_wire(peer: str, *, seconds: float, in_flight: int = 64) -> dict[str, float]:
    """Calls per second, latencies in ms and CPU µs of a peer with so many calls in flight, measured once."""
    _require_peers()
    orders = [peer, "--in-flight", str(in_flight), "--seconds", str(seconds)]
    figures: dict[str, float] = json.loads(_run("bench.peers.wire", *orders).splitlines()[-1])
    del figures["version"]
    return figures


def _require_peers() -> None:
    if not PYTHON.exists():
        raise SystemExit(f"there is no {PYTHON.parent.parent.name} to compare in: run `make bench`")


def _run(module: str, *orders: str) -> bytes:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    command = [str(PYTHON), "-m", module, *orders]
    return subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout


def _rows(what: str, rounds: int, title: str, unit: str) -> Iterator[Beside]:
    rows = json.loads(_run("bench.peers", what, "--rounds", str(rounds)))
    ours = rows[0][-1]
    for index, (name, library, version, figures) in enumerate(rows):
        yield Beside(title.format(name), unit, library, version, figures, ours if index else None)
