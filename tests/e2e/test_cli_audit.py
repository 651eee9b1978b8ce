"""`altar audit`: the table, the export, the proof, and what is said of a damaged log."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from altar.ledger import Event
from tests.e2e.command import COMMAND, Done, altar
from tests.unit.ledger.samples import commit, intent, open_ledger, outcome, signer_in


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A directory with a ledger of two calls, one of them without an outcome, and the key that verifies it."""
    data = tmp_path / ".altar" / "host"
    data.mkdir(parents=True)
    signer = signer_in(tmp_path)
    ledger = open_ledger(data / "ledger.db", signer)
    commit(ledger, Event(event="runtime.attached", subject="py-1", note="connection 1"))
    seq, _ = commit(ledger, intent(1), intent(2, tool="book_flight"))
    commit(ledger, outcome(2, seq + 1))
    ledger.close()
    keys = tmp_path / ".altar" / "keys"
    keys.mkdir()
    (keys / "ledger.vkey").write_text(signer.vkey + "\n")
    return data


def rows(done: Done) -> list[tuple[str, ...]]:
    return [tuple(row.get(name, "") for name in ("kind", "tool", "status")) for row in done.json]


def test_a_call_is_one_row_with_its_outcome(log: Path, tmp_path: Path) -> None:
    done = altar("audit", "list", "--json", at=tmp_path)

    assert done.code == 0
    assert ("call", "book_flight", "SUCCESS") in rows(done)
    assert {"start", "event", "call", "stop"} == {kind for kind, *_ in rows(done)}
    flight = next(row for row in done.json if row.get("tool") == "book_flight")
    assert (1, "runtime-1", flight["seq"] + 1) == (flight["attempts"], flight["runtime"], flight["outcome_seq"])


@pytest.mark.parametrize("change", [(b"altar_audit_export", b"altar-audit-export"), (b'"origin"', b'"orig\xffn"')])
def test_an_export_with_a_damaged_first_line_is_still_judged(
    log: Path, tmp_path: Path, change: tuple[bytes, bytes]
) -> None:
    assert 0 == altar("audit", "export", "-o", "log.jsonl", at=tmp_path).code
    file = tmp_path / "log.jsonl"
    file.write_bytes(file.read_bytes().replace(*change, 1))

    done = altar("audit", "verify", "log.jsonl", at=tmp_path)

    assert (1, True) == (done.code, "DAMAGED" in done.out)


def test_the_table_is_for_readers(log: Path, tmp_path: Path) -> None:
    done = altar("audit", "list", "--data", str(log), at=tmp_path)

    lines = done.out.splitlines()
    assert "start  host-1" in lines[0]
    assert "runtime.attached  py-1" in lines[1]
    assert "book_flight" in lines[3]
    assert "SUCCESS" in lines[3]


def test_a_row_says_what_is_out_of_the_ordinary(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.db", signer_in(tmp_path))
    made = intent(1, tool="count_up", parent="inv-0", route="weights:5/100", key="once")
    told = replace(outcome(1, -1), status="PARTIAL", code="TIMEOUT", chunks=3, bytes=7)
    commit(ledger, made, told)
    commit(ledger, intent(2, tool="look_up", where="caller"), replace(outcome(2, -1), reported="laptop-1:7"))
    ledger.close()

    shown = altar("audit", "list", "--data", str(tmp_path), "--kind", "call", at=tmp_path)
    stream, local = altar("audit", "list", "--data", str(tmp_path), "--kind", "call", "--json", at=tmp_path).json

    assert "TIMEOUT" in shown.out.splitlines()[0]
    assert "chunks 3, key once, route weights:5/100, parent inv-0" in shown.out.splitlines()[0]
    assert "where caller, reported laptop-1:7" in shown.out.splitlines()[1]
    assert ("PARTIAL", 3, 7, "inv-0") == tuple(stream[name] for name in ("status", "chunks", "bytes", "parent"))
    assert ("caller", "laptop-1:7") == (local["where"], local["reported"])


def test_rows_can_be_chosen(log: Path, tmp_path: Path) -> None:
    events = altar("audit", "list", "--kind", "event", "--json", at=tmp_path)
    calls = altar("audit", "list", "--tool", "book_flight", "--json", at=tmp_path)
    last = altar("audit", "list", "--kind", "call", "--last", "1", "--json", at=tmp_path)

    assert [("event", "", "")] == rows(events)
    assert [("call", "book_flight", "SUCCESS")] == rows(calls)
    assert [("call", "book_flight", "SUCCESS")] == rows(last)


def test_an_export_holds_the_same_and_verifies(log: Path, tmp_path: Path) -> None:
    written = altar("audit", "export", "-o", "log.jsonl", at=tmp_path)
    listed = altar("audit", "list", "--file", "log.jsonl", "--json", at=tmp_path)
    proved = altar("audit", "verify", "log.jsonl", at=tmp_path)

    assert (0, "wrote log.jsonl (entries: 7)\n") == (written.code, written.err)
    assert altar("audit", "list", "--json", at=tmp_path).json == listed.json
    assert proved.code == 0
    assert proved.out.startswith("ok: export of altar.local/host-1\n7 entries, 2 intents, 2 outcomes, 0 open\n")


def test_an_export_that_fails_leaves_the_old_file(log: Path, tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("old")
    (log / "ledger.db").write_bytes(b"not a database")

    done = altar("audit", "export", "-o", "log.jsonl", "--json", at=tmp_path)

    assert done.json["error"]["type"] == "LOG_DAMAGED"
    assert (tmp_path / "log.jsonl").read_text() == "old"
    assert [] == list(tmp_path.glob(".log.jsonl*"))


def test_a_summary_of_the_export_can_be_had_as_json(log: Path, tmp_path: Path) -> None:
    done = altar("audit", "export", "-o", "log.jsonl", "--json", at=tmp_path)

    assert {"file": "log.jsonl", "entries": 7} == done.json


def test_a_flipped_bit_is_named(log: Path, tmp_path: Path) -> None:
    altar("audit", "export", "-o", "log.jsonl", at=tmp_path)
    content = bytearray((tmp_path / "log.jsonl").read_bytes())
    at = content.index(b"book_flight")
    content[at] ^= 1
    (tmp_path / "log.jsonl").write_bytes(content)

    done = altar("audit", "verify", "log.jsonl", at=tmp_path)
    place = altar("audit", "locate", "log.jsonl", str(at), at=tmp_path)

    assert done.code == 1
    assert done.out.startswith("DAMAGED")
    assert "entry 3" in done.out
    assert "entry 3" in place.out


def test_a_ledger_is_verified_in_its_directory_with_any_given_key(log: Path, tmp_path: Path) -> None:
    vkey = signer_in(tmp_path).vkey

    given = altar("audit", "verify", str(log), "--vkey", vkey, "--json", at=tmp_path)
    both = altar("audit", "verify", str(log), "--vkey", vkey, "--vkey-file", "k", at=tmp_path)
    wrong = altar("audit", "verify", str(log), "--vkey", "nonsense", at=tmp_path)

    assert (0, True, 7) == (given.code, given.json["ok"], given.json["verified_size"])
    assert (2, True) == (both.code, "not both" in both.err)
    assert (2, True) == (wrong.code, "cannot be judged" in wrong.err)


def test_a_log_that_was_rolled_back_is_found_by_an_earlier_checkpoint(log: Path, tmp_path: Path) -> None:
    (tmp_path / "older.db").write_bytes((log / "ledger.db").read_bytes())
    open_ledger(log / "ledger.db", signer_in(tmp_path)).close()
    (tmp_path / "checkpoint").write_text(altar("audit", "checkpoint", at=tmp_path).out)

    newer = altar("audit", "verify", str(log), "--since", "checkpoint", at=tmp_path)
    older = altar("audit", "verify", "older.db", "--since", "checkpoint", at=tmp_path)

    assert (0, 1) == (newer.code, older.code), newer.out + older.out
    assert "goes on from the checkpoint over 9 entries obtained elsewhere" in newer.out
    assert older.out.startswith("DAMAGED")


def test_without_a_key_nothing_is_verified(log: Path, tmp_path: Path) -> None:
    (tmp_path / ".altar" / "keys" / "ledger.vkey").unlink()

    done = altar("audit", "verify", str(log), at=tmp_path)

    assert done.code == 2
    assert "The verifier key" in done.err
    assert "--vkey" in done.err


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("list", "--file", "none"), ("export", "-o", "x", "--vkey", "k"), ("locate", "none", "0")],
)
def test_a_log_that_is_not_there_is_wrong_use(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = altar("audit", *arguments, "--json", at=tmp_path)

    assert (2, "ENVIRONMENT_ERROR") == (done.code, done.json["error"]["type"])
    assert [] == list(tmp_path.iterdir())


def test_a_file_that_is_no_log_is_said_to_be_damaged(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("[]\n")

    done = altar("audit", "list", "--file", "log.jsonl", "--json", at=tmp_path)

    assert done.json["error"]["type"] == "LOG_DAMAGED"
    assert "altar audit verify log.jsonl" in done.json["error"]["hint"]


@pytest.mark.parametrize(
    "entry", ["[]", '{"kind":"event","time":1}', '{"epoch":1,"kind":"start","time":1000000000000000000}']
)
def test_an_entry_that_is_none_is_said_to_be_damage(entry: str, tmp_path: Path) -> None:
    lines = [{"altar_audit_export": 1}, {"entry": entry, "seq": 0}]
    (tmp_path / "odd.export").write_text("".join(json.dumps(line) + "\n" for line in lines))

    done = altar("audit", "list", "--file", "odd.export", at=tmp_path)

    assert (2, True) == (done.code, "LOG_DAMAGED" in done.err), done.err


def test_an_export_to_nowhere_is_wrong_use(log: Path, tmp_path: Path) -> None:
    done = altar("audit", "export", "-o", "no/such/log.jsonl", at=tmp_path)

    assert done.code == 2
    assert "Cannot write 'no/such/log.jsonl'" in done.err


def test_a_person_at_a_terminal_sees_a_bar(log: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ALTAR_")}

    run = subprocess.run(
        [COMMAND, "audit", "export", "-o", "log.jsonl"],
        cwd=tmp_path,
        env=environ | {"TERM": "xterm"},
        stderr=theirs,
        check=False,
        timeout=50,
    )
    os.close(theirs)
    shown = os.read(ours, 65536)
    os.close(ours)

    assert run.returncode == 0
    assert b"exporting entries" in shown
