"""Run the same benches on this tree and on another commit, in one run, and print the ratios.

``python scripts/bench_against.py <rev> [--rounds 3] [--only local|grid] [--quick] [--json OUT]``
The bench program is this tree's for both sides; only the package under ``src`` differs.
Rounds alternate between the two, so that a noisy machine is noisy for both; the medians are compared.
Exit status: 0, or 1 when a latency is more than 1.10 times that of ``<rev>``: that blocks a release.
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
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

ROOT = Path(__file__).resolve().parent.parent
CEILING = 1.10

Round: TypeAlias = dict[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """One bench on both sides: the medians in the bench's own unit."""

    name: str
    kind: str
    unit: str
    before: float
    after: float

    @property
    def ratio(self) -> float:
        """Return this tree's figure over the other commit's."""
        return self.after / self.before if self.before else float("inf")

    @property
    def blocks(self) -> bool:
        """Say whether this figure forbids a release: latency above the ceiling."""
        return self.kind == "latency" and self.ratio > CEILING


def main() -> int:
    """Measure both sides in turn, print the table, answer whether a release is blocked."""
    arguments = _arguments()
    passed_on = [
        *(["--only", arguments.only] if arguments.only else []),
        *(["--quick"] if arguments.quick else []),
    ]
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
            before=median(side[name]["median"] for side in before),
            after=median(side[name]["median"] for side in after),
        )
        for name in names
    ]


def table(rows: list[Ratio], revision: str) -> str:
    """Lay the rows out for people."""
    lines = [f"{'bench':<44} {'kind':<10} {revision[:12]:>12} {'this tree':>12} {'ratio':>6}"]
    for row in rows:
        mark = f"  blocks a release: over {CEILING:.2f}" if row.blocks else ""
        values = f"{row.before:>12.4g} {row.after:>12.4g} {row.ratio:>6.2f}"
        lines.append(f"{row.name:<44} {row.kind:<10} {values} {row.unit}{mark}")
    return "\n".join(lines)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Compare the benches of this tree with those of a commit.")
    parser.add_argument("revision", help="the commit to compare with")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["local", "grid"])
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    return parser.parse_args()


def _as_json(row: Ratio) -> dict[str, Any]:
    figures = {"before": row.before, "after": row.after, "ratio": row.ratio}
    return {"name": row.name, "kind": row.kind, "unit": row.unit, "blocks": row.blocks} | figures


if __name__ == "__main__":
    sys.exit(main())
