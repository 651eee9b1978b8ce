"""Run the benches and write a JSON and a readable table.

``python -m bench.run [--json OUT] [--only local|grid] [--rounds N] [--seconds S] [--quick]``
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from bench import grid, local

__all__ = ["main"]

KINDS = {"calls/s": "throughput", "p50 ms": "latency", "p99 ms": "latency", "fsyncs per call": "cpu"}


def main() -> int:
    """Measure, print, write."""
    orders = _orders()
    rounds, seconds = (1, 2.0) if orders.quick else (orders.rounds, orders.seconds)
    talk = Console(stderr=True)
    benches: list[dict[str, object]] = []
    with Progress(console=talk, disable=not talk.is_terminal) as progress:
        if orders.only != "grid":
            task = progress.add_task("local", total=None)
            for name, unit, kind, figures in local.measure(rounds):
                benches.append(_bench(name, unit, kind, figures))
            progress.remove_task(task)
        if orders.only != "local":
            task = progress.add_task("grid", total=rounds * len(grid.SCENES))
            benches.extend(_grid(rounds, seconds, advance=lambda: progress.advance(task)))
    _show(benches)
    if orders.json:
        report = {
            "machine": {"cpus": os.cpu_count(), "python": platform.python_version(), "load": os.getloadavg()},
            "rounds": rounds,
            "seconds": seconds,
            "benches": benches,
        }
        orders.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0


def _orders() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--only", choices=["local", "grid"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each grid scene in each round")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    return parser.parse_args()


def _grid(rounds: int, seconds: float, *, advance: object) -> Iterator[dict[str, object]]:
    """The scenes, interleaved, so that a noisy minute is noisy for all."""
    figures: dict[str, dict[str, list[float]]] = {scene.name: {} for scene in grid.SCENES}
    with grid.Grid() as up:
        for _ in range(rounds):
            for scene in grid.SCENES:
                for what, figure in up.measure(scene, seconds=seconds).items():
                    figures[scene.name].setdefault(what, []).append(figure)
                if callable(advance):
                    advance()
    for name, measured in figures.items():
        for what, values in measured.items():
            yield _bench(f"grid, {name}: {what}", what.split()[-1], KINDS.get(what, "cpu"), values)


def _bench(name: str, unit: str, kind: str, figures: list[float]) -> dict[str, object]:
    return {
        "name": name,
        "unit": unit,
        "kind": kind,
        "median": statistics.median(figures),
        "low": min(figures),
        "high": max(figures),
    }


def _show(benches: list[dict[str, object]]) -> None:
    table = Table("bench", "median", "range", "unit")
    for bench in benches:
        table.add_row(
            str(bench["name"]),
            f"{bench['median']:.4g}",
            f"{bench['low']:.4g} – {bench['high']:.4g}",
            str(bench["unit"]),
        )
    Console(width=110).print(table)


if __name__ == "__main__":
    sys.exit(main())
