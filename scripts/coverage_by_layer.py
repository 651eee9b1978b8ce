"""Fail when branch coverage is below 85 %, in total or in any layer.

Reads the combined ``.coverage`` through ``coverage json`` (or the file named with ``--json``).
A layer's figure is what coverage itself counts: lines and branches taken, of lines and branches there are.
Exit status: 0 when every figure reaches the floor, 1 otherwise; a layer without a measured file fails too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FLOOR = 85.0
LAYERS = ("adm", "later", "ledger", "verify", "grid", "testing", "settings", "demo", "cli")


@dataclass(frozen=True, slots=True)
class Figure:
    """What was covered in one layer, of what there is to cover."""

    name: str
    covered: int
    total: int

    @property
    def percent(self) -> float:
        """Return the share in percent; nothing measured is 0, since in doubt the answer is no."""
        return 100.0 * self.covered / self.total if self.total else 0.0


def main() -> int:
    """Print the table and answer whether every figure reaches the floor."""
    parser = argparse.ArgumentParser(description="Branch coverage by layer.")
    parser.add_argument("--json", type=Path, help="a report that `coverage json` wrote")
    path: Path | None = parser.parse_args().json
    rows = figures(json.loads(path.read_text()) if path else _report())
    for row in rows:
        mark = "" if row.percent >= FLOOR else f"  below {FLOOR:.0f} %"
        print(f"{row.name:<10} {row.percent:6.1f} %  {row.covered}/{row.total}{mark}")
    return 0 if all(row.percent >= FLOOR for row in rows) else 1


def figures(report: dict[str, Any]) -> list[Figure]:
    """Return the figure of each layer and, last, of everything."""
    sums = {name: [0, 0] for name in (*LAYERS, "total")}
    for file, entry in report["files"].items():
        summary = entry["summary"]
        covered = summary["covered_lines"] + summary.get("covered_branches", 0)
        total = summary["num_statements"] + summary.get("num_branches", 0)
        for name in ("total", layer_of(file)):
            if name in sums:
                sums[name][0] += covered
                sums[name][1] += total
    return [Figure(name, covered, total) for name, (covered, total) in sums.items()]


def layer_of(file: str) -> str:
    """Return the layer of a source file: the folder or module just below ``altar``."""
    parts = Path(file).with_suffix("").parts
    below = parts[len(parts) - 1 - parts[::-1].index("altar") + 1 :] if "altar" in parts else ()
    return below[0] if below else ""


def _report() -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "coverage.json"
        subprocess.run([sys.executable, "-m", "coverage", "json", "-q", "-o", str(path)], check=True)
        report: dict[str, Any] = json.loads(path.read_text())
        return report


if __name__ == "__main__":
    sys.exit(main())
