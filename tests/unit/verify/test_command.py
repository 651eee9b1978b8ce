"""The auditor's command: its words and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from altar.verify.__main__ import main
from tests.unit.verify.building import ORIGIN, Log, Signer, sample, write_database, write_export


@pytest.fixture
def log() -> Log:
    return sample(20)


def test_a_whole_log_is_told_in_three_lines_and_ends_in_0(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_database(log, tmp_path / "ledger.db")

    code = main([str(path), "--vkey", log.signer.vkey])

    first, second, third = capsys.readouterr().out.splitlines()
    assert 0 == code
    assert f"ok: database of {ORIGIN}" == first
    assert f"{len(log.bodies)} entries, 20 intents, 20 outcomes, 0 open" == second
    assert third.startswith(f"The first {len(log.bodies)} entries are complete and unaltered")


def test_a_damaged_log_names_the_entry_and_ends_in_1(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_export(log, tmp_path / "log.jsonl")
    data = path.read_bytes()
    at = data.index(b"acme")
    path.write_bytes(data[:at] + b"#" + data[at + 1 :])

    code = main([str(path), "--vkey", log.signer.vkey])

    out = capsys.readouterr().out
    assert 1 == code
    assert out.startswith(f"DAMAGED: export of {ORIGIN}\n")
    assert "- line 3 (entry 1): its bytes do not give the leaf hash stored beside them (byte " in out


def test_the_answer_can_be_json(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_export(log, tmp_path / "log.jsonl")
    key = tmp_path / "key"
    key.write_text(log.signer.vkey + "\n")

    code = main([str(path), "--vkey-file", str(key), "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert 0 == code
    assert answer["ok"] is True
    assert ("export", [], len(log.bodies)) == (answer["kind"], answer["findings"], answer["verified_size"])


def test_a_checkpoint_obtained_elsewhere_is_read_from_a_file(
    log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_export(log, tmp_path / "log.jsonl")
    since = tmp_path / "since"
    since.write_bytes(log.signed[1])

    code = main([str(path), "--vkey", log.signer.vkey, "--since", str(since)])

    assert 0 == code
    assert "goes on from the checkpoint over 1 entries" in capsys.readouterr().out


def test_a_byte_can_be_located(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_database(log, tmp_path / "ledger.db")

    assert 0 == main([str(path), "--locate", "24"])
    assert "page 1: file header, change counter\n" == capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "error: give the verifier key by --vkey or by --vkey-file\n"),
        (["--vkey", "nonsense"], "error: not a verifier key: 'nonsense' is not of the form name+id+key\n"),
        (["--vkey", Signer().vkey, "--since", "/"], "error: "),
        (["--locate", "99999999"], "error: there is no byte 99999999 in 'ledger.db'"),
    ],
)
def test_wrong_use_is_answered_in_one_line_and_ends_in_2(
    arguments: list[str], words: str, log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_database(log, tmp_path / "ledger.db")

    code = main([str(path), *arguments])

    err = capsys.readouterr().err
    assert 2 == code
    assert err.startswith(words)
    assert 1 == err.count("\n")


def test_a_file_that_is_not_there_is_wrong_use(log: Log, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main([str(tmp_path / "none"), "--vkey", log.signer.vkey])
    assert capsys.readouterr().err.startswith("error: ")


def test_the_module_runs_as_a_program_and_loads_no_other_part_of_altar(log: Log, tmp_path: Path) -> None:
    path = write_export(log, tmp_path / "log.jsonl")
    script = (
        "import sys; from altar.verify.__main__ import main; code = main(sys.argv[1:]);"
        "ours = {n for n in sys.modules if n.startswith('altar.') and not n.startswith('altar.verify')};"
        "print(sorted(ours), 'sqlite3' in sys.modules); raise SystemExit(code)"
    )

    done = subprocess.run(
        [sys.executable, "-c", script, str(path), "--vkey", log.signer.vkey],
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
    )

    assert (0, "[] False") == (done.returncode, done.stdout.splitlines()[-1])
