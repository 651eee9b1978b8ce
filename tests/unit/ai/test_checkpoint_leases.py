"""Who holds a run, when a process forks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("who", ["parent", "child"])
def test_a_lease_is_let_go_of_by_its_own_process_and_not_by_a_forked_child(tmp_path: Path, who: str) -> None:
    script = _FORKED.format(path=str(tmp_path / "runs.db"), in_child=who == "child")
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)

    assert f"{who == 'child'}" == told.stdout.strip()


_FORKED = """
import os
from altar.ai.pipelines.checkpoint_file import Lease, is_held
lease = Lease({path!r}, number=5, run_id="r1", process=os.getpid())
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    if {in_child}:
        lease.release()
    os.write(ready[1], b"1")
    os.close(go[1])
    os.read(go[0], 1)
    os._exit(0)
os.read(ready[0], 1)
if not {in_child}:
    lease.release()
print(is_held({path!r}, 5))
os.close(go[1])
os.waitpid(child, 0)
"""
