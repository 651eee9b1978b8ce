from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.ledger.samples import entries_in, open_ledger, rows, signer_in

ROOT = Path(__file__).parents[3]
CHILD = """
import sys
from pathlib import Path
from tests.unit.ledger.samples import commit, intent, open_ledger, outcome, signer_in

ledger = open_ledger(Path(sys.argv[1]), signer_in(Path(sys.argv[1]).parent))
number = 0
while True:
    first, error = commit(ledger, intent(number), intent(number + 1))
    assert error is None
    print(first, f"inv-{number}", flush=True)
    commit(ledger, outcome(number, first))
    print(first + 2, f"inv-{number}", flush=True)
    number += 2
"""


@pytest.mark.parametrize("acknowledgements", [1, 40, 333])
def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path, acknowledgements: int) -> None:
    path = tmp_path / "ledger.db"
    signer = signer_in(tmp_path)
    command = [sys.executable, "-c", CHILD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        acknowledged = [child.stdout.readline() for _ in range(acknowledgements)]
        child.kill()
        acknowledged += [line for line in child.stdout if line.endswith("\n")]

    ledger = open_ledger(path, signer)
    ledger.close()

    assert 2 == ledger.epoch
    entries = entries_in(path)
    for seq, invocation in (line.split() for line in acknowledged):
        assert invocation == entries[int(seq)]["invocation"]
    intents = [seq for seq, entry in enumerate(entries) if entry["kind"] == "intent"]
    assert intents == sorted(entry["intent"] for entry in entries if entry["kind"] == "outcome")
    assert [(seq,) for seq in intents] == rows(path, "SELECT intent FROM outcomes ORDER BY intent")
    assert "OUTCOME_UNKNOWN" in {entry.get("code") for entry in entries}
