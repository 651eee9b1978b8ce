"""The auditor's program runs where nothing else of ALTAR is: its folder is copied, and only `cryptography` is there."""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

import altar.verify
from tests.unit.verify.building import Signer, many, write_export, write_logs


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python of its own that has the standard library, `cryptography` with what that needs, and the copied folder."""
    place = tmp_path_factory.mktemp("auditor")
    venv.create(place / "venv", with_pip=False, symlinks=True)
    (site,) = place.glob("venv/lib/python*/site-packages")
    for distribution in ("cryptography", "cffi"):
        for file in importlib.metadata.files(distribution) or ():
            target = site / str(file)
            if ".." not in file.parts and not target.exists():
                target.parent.mkdir(parents=True, exist_ok=True)
                target.symlink_to(Path(str(file.locate())).resolve())
    shutil.copytree(Path(altar.verify.__file__).parent, site / "auditor", ignore=shutil.ignore_patterns("__pycache__"))
    return place / "venv/bin/python"


@pytest.mark.parametrize("kind", ["database", "export"])
def test_it_verifies_a_log_without_altar(python: Path, tmp_path: Path, kind: str) -> None:
    logs = many(12)
    path = write_logs(logs, tmp_path / "log") if kind == "database" else write_export(logs[1], tmp_path / "log")

    without = subprocess.run([python, "-c", "import altar"], capture_output=True, text=True, check=False)
    done = subprocess.run(
        [python, "-m", "auditor", str(path), "--vkey", Signer().vkey],
        capture_output=True,
        text=True,
        check=False,
        env={},
        cwd=tmp_path,
    )

    assert "No module named 'altar'" in without.stderr
    assert (0, "") == (done.returncode, done.stderr)
    assert f"ok: {kind} of altar.local/host-1" in done.stdout
    assert "complete and unaltered" in done.stdout


def test_it_finds_damage_and_another_key_without_altar(python: Path, tmp_path: Path) -> None:
    path = write_export(many(12)[1], tmp_path / "log")
    whole = path.read_bytes()
    other = Signer(seed=b"x" * 32, name="altar.local/host-2").vkey

    wrong = subprocess.run(
        [python, "-m", "auditor", str(path), "--vkey", other], capture_output=True, text=True, check=False, env={}
    )
    path.write_bytes(whole.replace(b'\\"tool\\":\\"get_weather', b'\\"tool\\":\\"get_nothing', 1))
    damaged = subprocess.run(
        [python, "-m", "auditor", str(path), "--vkey", Signer().vkey],
        capture_output=True,
        text=True,
        check=False,
        env={},
    )

    assert (1, 1) == (wrong.returncode, damaged.returncode)
    assert wrong.stdout.startswith("NOT THE KEY OF THIS LOG: export of")
    assert damaged.stdout.startswith("DAMAGED: export of")
