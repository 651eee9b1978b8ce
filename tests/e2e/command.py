"""Runs the installed command `altar` in a process of its own, as a person at a terminal would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("altar")


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit code, and what it wrote to stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout holds, which must be one JSON value."""
        return json.loads(self.out)


def altar(*arguments: str, at: Path, stdin: str = "", environ: Mapping[str, str] | None = None) -> Done:
    """Run `altar` in the directory `at`, with no ALTAR_* variable but those of `environ`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}
    done = subprocess.run(
        [COMMAND, *arguments],
        cwd=at,
        env=inherited | {"NO_COLOR": "1"} | dict(environ or {}),
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    return Done(done.returncode, done.stdout, done.stderr)
