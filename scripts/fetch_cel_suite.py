"""Fetch the conformance cases of the CEL specification into `.cache/`, where the tests read them; quick when there.

The specification keeps its cases as protobuf text; the npm package `@bufbuild/cel-spec` carries them as data.
npm packs that one archive by name and version, and it is refused unless its SHA-256 is the one below.
Node turns the module that holds the cases, which is one literal, into JSON; nothing else of the package is kept.
Without npm nothing is fetched, and the cases are skipped with that reason: Debian has it as `apt-get install npm`.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Final

PACKAGE: Final = "@bufbuild/cel-spec"
VERSION: Final = "0.6.1"
SHA256: Final = "37e4b203f5ca5192db73a6095d129fb5e58a262a89309ba32e1840e7a80270e1"
CASES: Final = Path(__file__).parents[1] / ".cache" / f"cel-spec-{VERSION}.json"

_MEMBER: Final = "package/dist/esm/testdata/conformance.js"
_TO_JSON: Final = """
const { tests } = await import(process.argv[1]);
process.stdout.write(JSON.stringify(tests));
"""


def fetch() -> Path | None:
    """Return the file of the cases, having fetched it if need be, or None without npm; the file is whole or absent.

    Raises ValueError when the archive is not the one that is pinned.
    """
    if CASES.exists():
        return CASES
    if shutil.which("npm") is None or shutil.which("node") is None:
        return None
    CASES.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CASES.parent) as temporary:
        folder = Path(temporary)
        module = _unpack(_download(folder), folder)
        made = folder / "cases.json"
        made.write_bytes(_as_json(module))
        made.rename(CASES)
    return CASES


def _download(into: Path) -> Path:
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
    subprocess.run(command, check=True, cwd=into, stdout=subprocess.DEVNULL)
    (archive,) = into.glob("*.tgz")
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise ValueError(f"{PACKAGE} {VERSION} has SHA-256 {found}, not {SHA256}")
    return archive


def _unpack(archive: Path, into: Path) -> Path:
    with tarfile.open(archive) as held:
        source = held.extractfile(_MEMBER)
        if source is None:
            raise ValueError(f"{PACKAGE} {VERSION} has no file {_MEMBER}")
        module = into / "cases.mjs"
        module.write_bytes(source.read())
    return module


def _as_json(module: Path) -> bytes:
    command = ["node", "--input-type=module", "--eval", _TO_JSON, str(module)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    print(fetch() or "npm is missing: the conformance cases of CEL were not fetched and will be skipped.")
