"""Fetch the official JSON Schema Test Suite into `.cache/`, where the tests read it; quick when it is there.

The suite has no package of its own; the source distribution of `jsonschema` carries it.
pip downloads that one archive by name, version and SHA-256; nothing of it is built, installed or run.
pip insists on metadata, which only the build backend of a package can give; so a stand-in for that backend hands
over what the archive itself says.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

VERSION: Final = "4.26.0"
SHA256: Final = "0c26707e2efad8aa1bfc5b7ce170f3fccc2e4918ff85989ba9ffa9facb2be326"
SUITE: Final = Path(__file__).parents[1] / ".cache" / f"json-schema-test-suite-{VERSION}"

_BACKEND: Final = """
import pathlib

def prepare_metadata_for_build_wheel(directory, config_settings=None):
    made = pathlib.Path(directory, "jsonschema-{version}.dist-info")
    made.mkdir()
    made.joinpath("METADATA").write_bytes(pathlib.Path("PKG-INFO").read_bytes())
    return made.name
"""


def fetch() -> Path:
    """Return the directory of the suite, having fetched it if need be; the directory is whole or not there."""
    if not SUITE.exists():
        SUITE.parent.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=SUITE.parent) as temporary:
            _unpack(_download(Path(temporary)), Path(temporary) / "suite")
            (Path(temporary) / "suite").rename(SUITE)
    return SUITE


def _download(into: Path) -> Path:
    backend = into / "backend" / "hatchling"
    backend.mkdir(parents=True)
    (backend / "__init__.py").touch()
    (backend / "build.py").write_text(_BACKEND.format(version=VERSION), encoding="utf-8")
    wanted = into / "wanted.txt"
    wanted.write_text(f"jsonschema=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
    command += ["--no-binary=:all:", "--require-hashes", f"--requirement={wanted}", f"--dest={into}"]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(backend.parent)})
    return into / f"jsonschema-{VERSION}.tar.gz"


def _unpack(archive: Path, into: Path) -> None:
    """Unpack the cases, the documents that they refer to, and the licence of the suite."""
    root = f"jsonschema-{VERSION}/json/"
    with tarfile.open(archive) as held:
        for member in held.getmembers():
            inside = member.name.removeprefix(root)
            if member.isfile() and inside.startswith(("tests/draft2020-12/", "remotes/", "LICENSE")):
                file = into / inside
                file.parent.mkdir(parents=True, exist_ok=True)
                data = held.extractfile(member)  # not `extract(filter=)`, which came with Python 3.11.4
                file.write_bytes(data.read() if data else b"")


if __name__ == "__main__":
    print(fetch())
