"""Install the sandbox in which DSPy runs code that a language model wrote; part of `make setup-providers`.

Deno comes from its package for Python, Pyodide from npm by Deno itself, both below `.cache/providers`.
DSPy's program for Deno imports one function from an address that not every network reaches; Deno's cache is given
one of ours under that address.
Exit status: 0 when everything is there afterwards; 1 with what is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "providers"
VENV = ROOT / ".venv" / "bin"
DENO = "deno==2.9.8"
HOME = CACHE / "deno"
MODULES = CACHE / "deno-modules"
READ_LINES = ROOT / "tests/providers/deno/read_lines.ts"
ADDRESS = ("https", "deno.land", "/std@0.186.0/io/mod.ts")
FIND = "import importlib.util as u; print(*u.find_spec('dspy').submodule_search_locations)"


def main() -> int:
    """Install what is missing; say what could not be."""
    found = subprocess.run([VENV / "python", "-c", FIND], capture_output=True, text=True, check=False)
    runner = Path(found.stdout.strip()) / "primitives/runner.js"
    if found.returncode or not runner.is_file():
        print("missing: dspy in .venv, whose sandbox this is", file=sys.stderr)
        return 1
    stamp = HOME / ".installed"
    wanted = f"{DENO} {hashlib.sha256(runner.read_bytes() + READ_LINES.read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == wanted:
        return 0
    print("Installing Deno, and Pyodide in it …")
    uv, python = str(VENV / "uv"), str(VENV / "python")
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--python", python, "--target", str(HOME), DENO]
    if subprocess.run(install, check=False).returncode:
        print(f"missing: {DENO} (see above)", file=sys.stderr)
        return 1
    _put_read_lines()
    command = [str(HOME / "bin/deno"), "cache", "--quiet", "--no-config", "--no-lock", str(runner)]
    if subprocess.run(command, env={**os.environ, "DENO_DIR": str(MODULES)}, check=False).returncode:
        print("missing: Pyodide, from npm (see above)", file=sys.stderr)
        return 1
    stamp.write_text(wanted, encoding="utf-8")
    return 0


def _put_read_lines() -> None:
    """Write the function to where Deno keeps what it has read from that address, with what it notes of it."""
    scheme, host, path = ADDRESS
    file = MODULES / "remote" / scheme / host / hashlib.sha256(path.encode()).hexdigest()
    file.parent.mkdir(parents=True, exist_ok=True)
    about = {"headers": {"content-type": "application/typescript; charset=utf-8"}, "url": f"{scheme}://{host}{path}"}
    text = READ_LINES.read_text(encoding="utf-8")
    file.write_text(f"{text}\n// denoCacheMetadata={json.dumps({**about, 'time': 0})}", encoding="utf-8")


if __name__ == "__main__":
    raise SystemExit(main())
