"""Functions of a kernel, served on a grid by a runtime here, and called from an environment that has no such kernel."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from altar.testing import LocalGrid

pytestmark = pytest.mark.timeout(120)

TOOLS = str(Path(__file__).with_name("hotel_tools.py"))
OTHER = Path(__file__).parents[2] / ".venv" / "bin" / "python"
CALL = """
import importlib.util, json
import altar
with altar.session() as session:
    result = session.call("hotel-price", night="2026-11-28")
print(json.dumps([importlib.util.find_spec("semantic_kernel") is None, result.content]))
"""


def test_another_environment_calls_what_only_this_one_can_run() -> None:
    with LocalGrid([TOOLS], runtimes=1) as grid:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
        environ |= {f"ALTAR_TLS_{name.upper()}": str(value) for name, value in grid.options.items()}

        told = subprocess.run(
            [str(OTHER), "-c", CALL],
            env=environ | {"ALTAR_SOURCE": grid.source},
            capture_output=True,
            text=True,
            check=False,
        )

    assert told.returncode == 0, told.stderr
    assert [True, 100] == json.loads(told.stdout)
