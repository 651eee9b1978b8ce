"""`altar policy` without a host: what is printed, and the number it ends with."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from altar.adm.canonical import canonical
from altar.adm.declaration import ToolContract, ToolManifest
from altar.cli.main import main
from tests.unit.grid.contracts import declaration

BUNDLE = """
name = "sums"

[[policies]]
name = "large"
tools = ["add"]
condition = "args.n > 100"
effect = "DENY"

[[tests]]
name = "more is not"
tool = "add"
args = { n = 101 }
expect = "DENY"
"""
MANIFEST = ToolManifest("1.1.0", (ToolContract("sums", "Sums.", (declaration("add"),)),), {})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a bundle and a manifest, in which commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sums.toml").write_text(BUNDLE)
    (tmp_path / "manifest.json").write_bytes(canonical(MANIFEST.to_adm()))
    return tmp_path


def run(*arguments: str) -> int:
    return main(["policy", *arguments, "--manifest", "manifest.json"])


def test_the_tests_of_a_bundle_are_run(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    number = run("test", "sums.toml")

    told = capsys.readouterr()
    assert (0, "ok  more is not  DENY by 'large'") == (number, told.out.splitlines()[-1])
    assert "sums.toml: 1 policy, 1 test, none failed, 1 warning\n" == told.err


def test_a_test_that_fails_ends_with_1_and_says_how(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "sums.toml").write_text(BUNDLE.replace('"DENY"\n\n', '"AUDIT"\n\n'))

    number = run("test", "sums.toml", "--json")

    told = json.loads(capsys.readouterr().out)
    assert (1, False, ["AUDIT"]) == (number, told["accepted"], [case["decided"] for case in told["cases"]])


def test_lint_ends_with_1_when_something_is_odd_and_with_0_when_nothing_is(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    odd = run("lint", "sums.toml")
    (files / "sums.toml").write_text(BUNDLE.replace('name = "sums"', 'name = "sums"\nrecord = ["args.n"]', 1))
    clean = run("lint", "sums.toml")

    told = capsys.readouterr()
    assert (1, 0) == (odd, clean)
    assert told.out.startswith("warning unrecorded: line 4: policy 'large': It reads args.n")
    assert told.err.endswith("sums.toml: 1 policy, nothing found\n")


def test_what_a_host_would_not_take_is_not_valid(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "sums.toml").write_text(BUNDLE.replace("args.n", "args.m"))

    assert 1 == run("validate", "sums.toml")
    assert "There is no argument 'm'" in capsys.readouterr().out


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe", b'name = "a"\nnosuch = 1\n'])
def test_what_cannot_be_read_is_wrong_use(files: Path, capsys: pytest.CaptureFixture[str], content: bytes) -> None:
    (files / "sums.toml").write_bytes(content)

    assert 2 == run("validate", "sums.toml")
    assert "(INVALID_POLICY)" in capsys.readouterr().err


def test_without_contracts_there_is_nothing_to_hold_it_against(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["policy", "test", "sums.toml"])
    assert "(MISSING_MANIFEST)" in capsys.readouterr().err
