"""Generate ``src/altar/_proto`` from ``proto/``, lint the wire and refuse a change that would break a peer.

``python scripts/generate_proto.py`` writes the code; with ``--check`` it writes nothing and compares instead.
Both run ``buf lint`` and ``buf breaking`` against the main branch.
The generated code lives in a package of its own, so ``from altar.grid.v1 import x`` in it, and in its stubs,
is rewritten to ``from altar._proto.altar.grid.v1 import x``.
Exit status: 0 when all is well, 1 when the files differ, or the wire breaks a rule.
"""

from __future__ import annotations

import argparse
import io
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "proto"
TARGET = ROOT / "src" / "altar" / "_proto"
OWN_IMPORT = re.compile(r"^(from|import) altar\.(?!_proto)", re.MULTILINE)


def main() -> int:
    """Generate or compare, then lint, then look for breaking changes."""
    parser = argparse.ArgumentParser(description="Generate src/altar/_proto from proto/.")
    parser.add_argument("--check", action="store_true", help="compare instead of writing")
    check: bool = parser.parse_args().check
    wanted = generate()
    differing = stale(wanted)
    if check and differing:
        print("Generated code differs from proto/; run `make proto`:", *differing, sep="\n  ", file=sys.stderr)
        return 1
    if not check:
        write(wanted)
    return lint() or breaking()


def generate() -> dict[str, bytes]:
    """Return the content of every generated file by its path below the target folder."""
    from grpc_tools import protoc

    protos = sorted(str(path.relative_to(SOURCE)) for path in SOURCE.rglob("*.proto"))
    with tempfile.TemporaryDirectory() as scratch:
        status = protoc.main(["protoc", f"-I{SOURCE}", f"--python_out={scratch}", f"--pyi_out={scratch}", *protos])
        if status:
            raise SystemExit(status)
        files = {
            str(path.relative_to(scratch)): OWN_IMPORT.sub(r"\1 altar._proto.altar.", path.read_text()).encode()
            for path in Path(scratch).rglob("*.py*")
        }
    folders = {parent for name in files for parent in Path(name).parents}
    return files | {str(folder / "__init__.py"): b"" for folder in folders}


def stale(wanted: dict[str, bytes]) -> list[str]:
    """Name the files that are missing, different, or no longer generated."""
    present = {
        str(path.relative_to(TARGET)): path.read_bytes()
        for path in TARGET.rglob("*.py*")
        if "__pycache__" not in path.parts
    }
    return sorted(name for name in wanted | present if wanted.get(name) != present.get(name))


def write(wanted: dict[str, bytes]) -> None:
    """Make the target folder hold the wanted files and no other."""
    for name in stale(wanted):
        path = TARGET / name
        if name in wanted:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wanted[name])
        else:
            path.unlink()


def lint() -> int:
    """Run ``buf lint`` with the rules of buf.yaml."""
    return subprocess.run([_buf(), "lint"], cwd=ROOT, check=False).returncode


def breaking() -> int:
    """Compare ``proto/`` with the one on main; without a main that has one there is nothing to break."""
    for revision in ("origin/main", "main"):
        archive = subprocess.run(
            ["git", "archive", "--format=zip", revision, "proto"], cwd=ROOT, capture_output=True, check=False
        )
        if archive.returncode == 0:
            break
    else:
        print("buf breaking: no proto/ on main to compare with", file=sys.stderr)
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(io.BytesIO(archive.stdout)) as files:
            files.extractall(scratch)
        against = Path(scratch) / "proto"
        return subprocess.run(
            [_buf(), "breaking", "proto", "--against", str(against)], cwd=ROOT, check=False
        ).returncode


def _own_package(code: str) -> str:
    """Let generated code find its siblings below ``altar._proto``."""
    return OWN_IMPORT.sub(r"\1 altar._proto.altar.", code)


def _buf() -> str:
    """Return the buf of this environment."""
    return str(Path(sys.executable).parent / "buf")


if __name__ == "__main__":
    sys.exit(main())
