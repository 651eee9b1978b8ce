"""ALTAR beside others: runs `bench.peers` in `.venv-peers` and reads what it prints.

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

__all__ = ["Beside", "measure"]

ROOT = Path(__file__).resolve().parent.parent
PYTHON = ROOT / ".venv-peers" / "bin" / "python"
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
    if not PYTHON.exists():
        raise SystemExit(f"there is no {PYTHON.parent.parent.name} to compare in: run `make bench`")
    yield from _rows("calls", rounds * SHORT, "call, {}, added", "µs CPU")
    yield from _rows("declare", rounds, "1000 declarations, {}", "s CPU")


def _rows(what: str, rounds: int, title: str, unit: str) -> Iterator[Beside]:
    command = [str(PYTHON), "-m", "bench.peers", what, "--rounds", str(rounds)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    printed = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE).stdout
    rows = json.loads(printed)
    ours = rows[0][-1]
    for index, (name, library, version, figures) in enumerate(rows):
        yield Beside(title.format(name), unit, library, version, figures, ours if index else None)
