"""Run the same benches on this tree and on another commit, in one run, and print the ratios.

``python scripts/bench_against.py <rev> [--rounds 5] [--only local|declare|grid] [--quick] [--json OUT]``
The bench program is this tree's for both sides; only the package under ``src`` differs.
Rounds alternate between the two, so that a noisy machine is noisy for both.
Two ratios are printed: of the medians, and of the best rounds.
Exit status: 0, or 1 when a latency is more than 1.10 times that of ``<rev>``: that blocks a release.
Both ratios must say so, since noise slows some rounds and a slower program slows all.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
CEILING = 1.10
PARTS = ("local", "declare", "grid")
"""Other libraries have nothing to do with a change of ours."""

Round: TypeAlias = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One bench on both sides: the figures of all rounds in the bench's own unit."""

    name: str
    kind: str
    unit: str
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def ratio(self) -> float:
        """Return this tree's median over the other commit's."""
        return _over(median(self.after), median(self.before))

    @property
    def best(self) -> float:
        """Return the same for the best round of each side: the largest throughput, the least of all else."""
        better = max if self.kind == "throughput" else min
        return _over(better(self.after), better(self.before))

    @property
    def blocks(self) -> bool:
        """Say whether this figure forbids a release: latency above the ceiling, however one looks at it."""
        return self.kind == "latency" and min(self.ratio, self.best) > CEILING


def main() -> int:
    """Measure both sides in turn, print the table, answer whether a release is blocked."""
    arguments = _arguments()
    passed_on = ["--quick"] if arguments.quick else ["--rounds", "1"]
    for part in arguments.only or PARTS:
        passed_on += ["--only", part]
    before: list[Round] = []
    after: list[Round] = []
    with tempfile.TemporaryDirectory() as scratch, worktree(arguments.revision, Path(scratch)) as other:
        for number in range(arguments.rounds):
            print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr)
            before.append(measure(other / "src", Path(scratch) / "before.json", passed_on))
            after.append(measure(ROOT / "src", Path(scratch) / "after.json", passed_on))
    rows = compare(before, after)
    print(table(rows, arguments.revision))
    if arguments.json:
        arguments.json.write_text(json.dumps([_as_json(row) for row in rows], indent=2) + "\n")
    return 1 if not rows or any(row.blocks for row in rows) else 0


@contextmanager
def worktree(revision: str, scratch: Path) -> Iterator[Path]:
    """Check ``revision`` out beside this tree for as long as the context lasts."""
    path = scratch / "other"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(path), revision], check=True)
    try:
        yield path
    finally:
        subprocess.run([*git, "remove", "--force", str(path)], check=True)


def measure(source: Path, out: Path, passed_on: list[str]) -> Round:
    """Run the bench program once with the package in ``source``; return its benches by name."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(source), str(ROOT)])}
    command = [sys.executable, "-m", "bench.run", "--json", str(out), *passed_on]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=sys.stderr)
    return {bench["name"]: bench for bench in json.loads(out.read_text())["benches"]}


def compare(before: list[Round], after: list[Round]) -> list[Ratio]:
    """Return a row for each bench that both sides have in every round."""
    names = [name for name in after[0] if all(name in side for side in (*before, *after))]
    return [
        Ratio(
            name=name,
            kind=after[0][name]["kind"],
            unit=after[0][name]["unit"],
            before=tuple(side[name]["median"] for side in before),
            after=tuple(side[name]["median"] for side in after),
        )
        for name in names
    ]


def table(rows: list[Ratio], revision: str) -> str:
    """Lay the rows out for people."""
    width = max([5, *(len(row.name) for row in rows)])
    lines = [f"{'bench':<{width}} {'kind':<10} {revision[:12]:>12} {'this tree':>12} {'ratio':>6} {'best':>6} unit"]
    for row in rows:
        mark = f"  blocks a release: over {CEILING:.2f}" if row.blocks else ""
        figures = f"{median(row.before):>12.4g} {median(row.after):>12.4g} {row.ratio:>6.2f} {row.best:>6.2f}"
        lines.append(f"{row.name:<{width}} {row.kind:<10} {figures} {row.unit}{mark}")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the benches of this tree with those of a commit.")
    parser.add_argument("revision", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=5, help="how often each side is measured")
    parser.add_argument("--only", choices=PARTS, action="append", help="may be given more than once")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    return parser.parse_args()


def _as_json(row: Ratio) -> dict[str, Any]:
    return asdict(row) | {"ratio": row.ratio, "best": row.best, "blocks": row.blocks}


def _over(after: float, before: float) -> float:
    return after / before if before else float("inf")


if __name__ == "__main__":
    sys.exit(main())
