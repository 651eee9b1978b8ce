"""Programs of others that judge ours, in an environment of their own, which nothing of ours depends on.

It holds pymerkle (trees), botocore (signatures of requests) and rotel (a collector).
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from tests.providers.presence import need

__all__ = ["PYTHON", "ROTEL", "TLOGCHECK", "judged"]

_HOME = Path(__file__).parents[2] / ".cache/providers"
PYTHON = _HOME / "oracles/bin/python"
ROTEL = _HOME / "oracles/lib/python3.11/site-packages/rotel/rotel-agent"
TLOGCHECK = _HOME / "bin/tlogcheck"


def judged(program: str, *arguments: str, stdin: str = "") -> Any:
    """Run a program of Python there, and give the JSON value that it prints; RuntimeError with its words otherwise."""
    need("the environment of oracles", PYTHON)
    done = subprocess.run([PYTHON, "-c", program, *arguments], input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return json.loads(done.stdout)
