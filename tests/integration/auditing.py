"""What must hold for every log that a grid leaves behind, whatever was done to it."""

from __future__ import annotations

import json
from collections import Counter

from altar import verify
from altar.testing import LocalGrid


def stop_and_audit(grid: LocalGrid) -> None:
    """Stop the grid; its log must verify, and hold exactly one outcome for each intent."""
    grid.stop()
    export = grid.export()
    report = verify.verify(export, vkey=grid.vkey)
    assert report.ok, report.findings
    assert report.open_intents == 0
    lines = map(json.loads, export.read_text().splitlines())
    entries = [json.loads(line["entry"]) for line in lines if "entry" in line]
    intents = Counter(entry["invocation"] for entry in entries if entry["kind"] == "intent")
    outcomes = Counter(entry["invocation"] for entry in entries if entry["kind"] == "outcome")
    assert intents == outcomes
    assert set(intents.values()) <= {1}
