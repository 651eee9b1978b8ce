"""Build a release from a clean clone of HEAD, and prove that the wheel works on its own.

Writes wheel, sdist and the list of parts (CycloneDX SBOM) to ``dist/``.
The wheel, with its ``grid`` extra, is installed into an empty environment, and the demo runs there,
away from the repository; the list of parts is read from that environment.
Exit status: 0 when everything worked, that of the first failing step otherwise.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
UV = Path(sys.executable).parent / "uv"


def main() -> int:
    """Clone, build, install, try, list the parts; then put the files into ``dist/``."""
    with tempfile.TemporaryDirectory() as scratch_name:
        scratch = Path(scratch_name)
        clone = clean_clone(scratch)
        built = build(clone, scratch / "built")
        environment = install(next(built.glob("*.whl")), scratch / "empty")
        try_demo(environment, scratch / "elsewhere")
        list_parts(environment, clone, scratch, built / "altar-ai.cdx.json")
        shutil.rmtree(DIST, ignore_errors=True)
        shutil.copytree(built, DIST, ignore=shutil.ignore_patterns(".gitignore"))
    print(*sorted(str(path.relative_to(ROOT)) for path in DIST.iterdir()), sep="\n")
    return 0


def clean_clone(scratch: Path) -> Path:
    """Clone HEAD, so that nothing uncommitted and nothing ignored can slip in."""
    clone = scratch / "clone"
    _run("git", "clone", "--quiet", "--local", ROOT, clone)
    return clone


def build(clone: Path, built: Path) -> Path:
    """Build the sdist, and the wheel from that sdist, with the pinned back end."""
    constraints = clone / "requirements" / "release.lock"
    _run(
        UV,
        "build",
        "--quiet",
        "--build-constraints",
        constraints,
        "--require-hashes",
        "--out-dir",
        built,
        clone,
    )
    return built


def install(wheel: Path, environment: Path) -> Path:
    """Install the wheel with its grid extra into an empty environment and return its ``bin`` folder."""
    _run(UV, "venv", "--quiet", "--python", sys.executable, environment)
    _run(UV, "pip", "install", "--quiet", "--python", environment / "bin" / "python", f"{wheel}[grid]")
    return environment / "bin"


def try_demo(environment: Path, elsewhere: Path) -> None:
    """Run the demo with the installed wheel, in a folder that knows nothing of the repository."""
    elsewhere.mkdir()
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    _run(environment / "altar", "--version", cwd=elsewhere, env=clean)
    _run(environment / "altar", "demo", cwd=elsewhere, env=clean)


def list_parts(environment: Path, clone: Path, scratch: Path, out: Path) -> None:
    """Write what is installed beside the wheel as a CycloneDX document."""
    tool = scratch / "tool"
    _run(UV, "venv", "--quiet", "--python", sys.executable, tool)
    lock = clone / "requirements" / "release.lock"
    _run(UV, "pip", "sync", "--quiet", "--python", tool / "bin" / "python", "--require-hashes", lock)
    described: list[str | Path] = [
        "--pyproject",
        clone / "pyproject.toml",
        "--output-reproducible",
        "--of",
        "JSON",
        "-o",
        out,
    ]
    _run(tool / "bin" / "cyclonedx-py", "environment", environment / "python", *described)


def _run(*command: str | Path, cwd: Path | None = None, env: dict[str, str] | None = None) -> None:
    """Show a command and run it; a failing one ends the release with its status."""
    print("·", *command, file=sys.stderr)
    status = subprocess.run([str(part) for part in command], cwd=cwd, env=env, check=False).returncode
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    sys.exit(main())
