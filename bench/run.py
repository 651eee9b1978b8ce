"""Run the benches and write a JSON and a readable table.

``python -m bench.run [--json OUT] [--only PART] [--rounds N] [--seconds S] [--quick]``
``peers`` and ``beside`` need the environment `.venv-peers`, which ``make bench`` makes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import (
    adapted,
    agents,
    authorize,
    beside,
    declare,
    dspy_calls,
    governed,
    grid,
    ledger,
    local,
    pipelines,
    replay,
)

__all__ = ["main"]

KINDS = {"calls/s": "throughput", "p50 ms": "latency", "p99 ms": "latency", "fsyncs per call": "cpu"}
PARTS = ("local", "declare", "peers", "grid", "beside", "aesp", "governed", "dspy", "adapted", "pipelines", "agents")

Bench = dict[str, object]


def main() -> int:
    """Measure, print, write."""
    orders = _orders()
    rounds, seconds = (1, 2.0) if orders.quick else (orders.rounds, orders.seconds)
    parts = orders.only or PARTS
    talk = Console(stderr=True)
    benches: list[Bench] = []
    compared: list[beside.Beside] = []
    with Progress(console=talk, disable=not talk.is_terminal) as progress:
        for part in (part for part in PARTS if part in parts):
            task = progress.add_task(part, total=None)
            if part == "peers":
                compared.extend(beside.measure(rounds))
                benches.extend(_bench(each.name, each.unit, "cpu", each.figures) for each in compared)
            elif part == "grid":
                benches.extend(_grid(rounds, seconds))
            elif part == "beside":
                benches.extend(_beside(rounds, seconds))
            else:
                measure = {
                    "local": local.measure,
                    "declare": declare.measure,
                    "aesp": _aesp,
                    "governed": governed.measure,
                    "dspy": dspy_calls.measure,
                    "adapted": adapted.measure,
                    "pipelines": pipelines.measure,
                    "agents": agents.measure,
                }[part]
                benches.extend(_bench(name, unit, kind, figures) for name, unit, kind, figures in measure(rounds))
            progress.remove_task(task)
    _show(benches)
    if compared:
        _compare(compared)
    if orders.json:
        report = {
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()},
            "rounds": rounds,
            "seconds": seconds,
            "versions": {each.library: each.version for each in compared},
            "benches": benches,
        }
        orders.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _orders() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given more than once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each grid scene in each round")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    return parser.parse_args()


def _grid(rounds: int, seconds: float) -> Iterator[Bench]:
    """The scenes, interleaved, so that a noisy minute is noisy for all."""
    figures: dict[str, dict[str, list[float]]] = {scene.name: {} for scene in grid.SCENES}
    with grid.Grid() as up:
        for _ in range(rounds):
            for scene in grid.SCENES:
                for what, figure in up.measure(scene, seconds=seconds).items():
                    figures[scene.name].setdefault(what, []).append(figure)
    yield from _benches("grid", figures)


def _beside(rounds: int, seconds: float) -> Iterator[Bench]:
    """A grid of ours and what others offer over a wire, in turn, 64 calls in flight each."""
    figures: dict[str, dict[str, list[float]]] = {"ALTAR": {}, **{peer: {} for peer in beside.OVER_A_WIRE}}
    for _ in range(rounds):
        with grid.Grid() as up:
            measured = {"ALTAR": up.measure(grid.BESIDE, seconds=seconds)}
        measured |= {peer: beside.over_a_wire(peer, seconds=seconds) for peer in beside.OVER_A_WIRE}
        for name, figure in measured.items():
            for what, value in figure.items():
                figures[name].setdefault(what, []).append(value)
    yield from _benches("64 in flight", figures)


def _aesp(rounds: int) -> Iterator[tuple[str, str, str, list[float]]]:
    """What a host of AESP adds to a call: decisions, and the record."""
    yield from authorize.measure(rounds)
    yield from ledger.measure(rounds)
    yield from replay.measure(1)


def _benches(title: str, figures: dict[str, dict[str, list[float]]]) -> Iterator[Bench]:
    for name, measured in figures.items():
        for what, values in measured.items():
            yield _bench(f"{title}, {name}: {what}", what.split()[-1], KINDS.get(what, "cpu"), values)


def _bench(name: str, unit: str, kind: str, figures: list[float]) -> Bench:
    return {
        "name": name,
        "unit": unit,
        "kind": kind,
        "median": statistics.median(figures),
        "low": min(figures),
        "high": max(figures),
    }


def _show(benches: Iterable[Bench]) -> None:
    table = Table("bench", "median", "range", "unit")
    for bench in benches:
        table.add_row(
            str(bench["name"]),
            f"{bench['median']:.4g}",
            f"{bench['low']:.4g} – {bench['high']:.4g}",
            str(bench["unit"]),
        )
    Console(width=110).print(table)


def _compare(compared: Iterable[beside.Beside]) -> None:
    """How many times ALTAR's own figure the others are, by the medians and by the best rounds."""
    table = Table("beside ALTAR", "library", "times the median", "times the best")
    for each in compared:
        ours = each.ours
        if ours is not None:
            table.add_row(
                each.name,
                f"{each.library} {each.version}",
                f"{statistics.median(each.figures) / statistics.median(ours):.3g}",
                f"{min(each.figures) / min(ours):.3g}",
            )
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
