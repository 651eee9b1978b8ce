"""Install the programs of others that judge the audit log and receive it; part of `make setup-providers`.

A witness and a verifier are built with Go through the module proxy, oracles of Python get an environment of their own,
because one of them (pymerkle) is under the GPL and must never be near what is shipped.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "providers"
WITNESS = "filippo.io/torchwood/cmd/litewitness@v0.9.0"
ORACLES = ("botocore==1.44.5", "pymerkle==7.0.0", "rotel==0.0.1a15")


def main() -> int:
    """Install what is missing; say what could not be."""
    missing = [*_go(), *_oracles()]
    for line in missing:
        print(f"missing: {line}", file=sys.stderr)
    return 1 if missing else 0


def _go() -> list[str]:
    tools = CACHE / "bin"
    source = ROOT / "tests/providers/tlog"
    check = tools / "tlogcheck"
    stale = not check.exists() or check.stat().st_mtime < (source / "main.go").stat().st_mtime
    if not stale and (tools / "litewitness").exists():
        return []
    if shutil.which("go") is None:
        return ["go 1.24 or newer (needed for the witness and for tlogcheck)"]
    tools.mkdir(parents=True, exist_ok=True)
    missing = []
    if not (tools / "litewitness").exists() and not _run(["go", "install", WITNESS], env={"GOBIN": str(tools)}):
        missing.append(f"litewitness (go install {WITNESS})")
    if stale and not _run(["go", "build", "-o", str(check), "."], cwd=source):
        missing.append("tlogcheck (go build in tests/providers/tlog)")
    return missing


def _oracles() -> list[str]:
    home = CACHE / "oracles"
    stamp = home / ".installed"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == " ".join(ORACLES):
        return []
    uv, python = ROOT / ".venv/bin/uv", ROOT / ".venv/bin/python"
    made = _run([str(uv), "venv", "--quiet", "--clear", "--python", str(python), str(home)])
    if not made or not _run([str(uv), "pip", "install", "--quiet", "--python", str(home / "bin/python"), *ORACLES]):
        return [f"{' '.join(ORACLES)} in {home.relative_to(ROOT)} (see above)"]
    stamp.write_text(" ".join(ORACLES), encoding="utf-8")
    return []


def _run(command: list[str], *, env: dict[str, str] | None = None, cwd: Path | None = None) -> bool:
    return subprocess.run(command, env=os.environ | (env or {}), cwd=cwd, check=False).returncode == 0


if __name__ == "__main__":
    raise SystemExit(main())
