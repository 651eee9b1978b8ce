"""What the auditor's program says about files of format 2: a host's own log, and one for each tenant."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from altar.verify import Finding, Report, locate, verify
from tests.unit.verify.building import (
    ORIGIN,
    Log,
    Signer,
    many,
    sample,
    stored,
    write_export,
    write_logs,
)

VKEY = Signer().vkey
Meddle = Callable[[sqlite3.Connection], object]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def words(report: Report) -> str:
    return "\n".join(f"{finding.where}: {finding.what}" for finding in report.findings)


def found(report: Report, where: str) -> Finding:
    matching = [finding for finding in report.findings if finding.where == where]
    assert len(matching) == 1, report.findings
    return matching[0]


def test_whole_logs_verify_each_up_to_its_end(path: Path) -> None:
    logs = many(60)
    write_logs(logs, path)

    report = verify(path, vkey=VKEY)

    assert report.findings == ()
    assert report.ok
    assert [log.origin for log in logs] == [each.origin for each in report.logs]
    assert [len(log.bodies) for log in logs] == [each.verified_size for each in report.logs]
    assert sum(len(log.bodies) for log in logs) == report.entries == report.verified_size
    assert f"The first {len(logs[1].bodies)} entries of {ORIGIN + '/acme'!r} are complete" in report.statement


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 7, 30, 300])
def test_trees_of_every_shape_are_read(calls: int, path: Path) -> None:
    log = sample(calls, seed=calls, sign_every=7, version=2)

    assert verify(write_logs([log], path), vkey=VKEY).findings == ()


def test_a_log_that_goes_on_from_an_older_file_counts_on(path: Path) -> None:
    log = sample(20, version=2)
    log.bodies[0] = log.bodies[0].replace(b'"epoch":1', b'"epoch":1')
    write_logs([log], path, first=4711)

    report = verify(path, vkey=VKEY)

    assert report.findings == ()
    assert len(log.bodies) == report.verified_size


def test_a_changed_entry_is_named_with_its_log(path: Path) -> None:
    logs = many(40)
    seq = seq_of(write_logs(logs, path), log=1, position=20)
    meddled(path, "UPDATE entries SET body = CAST(replace(body, 'acme', 'evil') AS BLOB) WHERE seq = ?", seq)

    report = verify(path, vkey=VKEY)

    finding = found(report, f"entry {seq} (20 of the log of 'acme')")
    assert (seq, "its bytes do not give the leaf hash stored beside them") == (finding.seq, finding.what)
    assert len(logs[0].bodies) == report.logs[0].verified_size
    assert report.logs[1].verified_size <= 20


def test_a_forger_who_changes_every_hash_but_has_no_key_is_found(path: Path) -> None:
    logs = many(40)
    write_logs(logs, path)
    forged = rewritten(logs[1], position=20)
    replace_log(path, 1, forged)

    report = verify(path, vkey=VKEY)

    assert "states another root: something in entries" in words(report)
    assert report.logs[1].verified_size <= 20


def test_a_thief_who_signs_the_forgery_with_a_key_of_his_own_is_found(path: Path) -> None:
    logs = many(40)
    write_logs(logs, path)
    forged = rewritten(logs[1], position=20)
    forged.signer = Signer(seed=b"t" * 32, name=f"{ORIGIN}/acme")
    for size in list(logs[1].signed):
        forged.signed[size] = forged.signer.note(forged.origin, size, root_of(forged, size))
    replace_log(path, 1, forged)

    report = verify(path, vkey=VKEY)

    assert not report.ok
    assert "is not the key that signs the log of 'acme'" in words(report)
    assert 0 == report.logs[1].verified_size
    assert len(logs[0].bodies) == report.logs[0].verified_size


def test_a_checkpoint_of_another_tenants_log_does_not_cover_this_one(path: Path) -> None:
    logs = many(40)
    write_logs(logs, path)
    size, note = max(logs[2].signed.items())
    meddled(path, "INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", 1 << 40 | size, note)

    report = verify(path, vkey=VKEY)

    assert "was signed for log" in words(report)


def test_the_entries_of_a_tenant_cannot_be_given_to_another(path: Path) -> None:
    logs = many(40)
    write_logs(logs, path)
    meddled(path, "UPDATE logs SET tenant = CAST('evil' AS BLOB) WHERE log = 1")

    report = verify(path, vkey=VKEY)

    assert f"is named b'evil', and its entries are those of {ORIGIN + '/acme'!r}" == found(report, "log 1").what


def test_logs_that_change_their_names_are_found(path: Path) -> None:
    logs = many(40)
    write_logs(logs, path)
    meddled(path, "UPDATE logs SET tenant = CAST('acme' AS BLOB) WHERE log = 2")

    assert "log 2: is named" in words(verify(path, vkey=VKEY))


@pytest.mark.parametrize("tail", [1, 30])
def test_a_log_cut_before_its_last_checkpoint_is_found(path: Path, tail: int) -> None:
    logs = many(40)
    write_logs(logs, path)
    size = len(logs[1].bodies) - tail
    meddled(path, "DELETE FROM entries WHERE place >= ? AND place < ?", 1 << 40 | size, 2 << 40)
    meddled(path, "DELETE FROM places WHERE place >= ? AND place < ?", 1 << 40 | size, 2 << 40)

    report = verify(path, vkey=VKEY)

    assert "the end of the log is missing" in words(report)


@pytest.mark.parametrize("log", [0, 1, 2])
def test_a_log_rolled_back_as_a_whole_is_found_only_by_its_checkpoint_obtained_elsewhere(path: Path, log: int) -> None:
    later = many(40)
    write_logs(many(40, stop=False), path)
    since = later[log].signed[max(later[log].signed)].decode()

    assert verify(path, vkey=VKEY).ok
    report = verify(path, vkey=VKEY, since=since)

    assert found(report, "since").what.startswith("rollback")
    assert not any(each.since_proved for each in report.logs)


def test_a_log_that_goes_on_from_a_checkpoint_of_its_own_says_which(path: Path) -> None:
    logs = many(40)
    write_logs(logs, path)
    size = sorted(logs[1].signed)[2]

    report = verify(path, vkey=VKEY, since=logs[1].signed[size].decode())

    assert report.ok
    assert [False, True, False] == [each.since_proved for each in report.logs]
    assert f"The log {ORIGIN + '/acme'!r} goes on from" in report.statement
    assert "other logs here were not rolled back or forked is not proved" in report.statement


def test_a_fork_of_one_tenants_log_is_found(path: Path) -> None:
    write_logs(many(40), path)
    other = sample(40, seed=7, pad=3, version=2, tenant="acme")
    size = sorted(other.signed)[3]

    report = verify(path, vkey=VKEY, since=other.signed[size].decode())

    assert found(report, "since").what.startswith("fork")


def test_a_checkpoint_of_a_log_that_is_not_here_is_found(path: Path) -> None:
    write_logs(many(8), path)
    other = sample(8, version=2, tenant="globex")

    report = verify(path, vkey=VKEY, since=other.signed[max(other.signed)].decode())

    assert f"is for log {ORIGIN + '/globex'!r}, which is not here" in found(report, "since").what


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE places SET seq = seq + 1 WHERE place = 5", "which the entries do not bear out"),
        ("DELETE FROM places WHERE place = 5", "places of log 0: 1 rows are missing"),
        ("UPDATE places SET place = (1 << 40) + 100000 WHERE place = 5", "which the entries do not bear out"),
        ("INSERT INTO places VALUES (7 << 40, 1)", "which the entries do not bear out"),
        ("UPDATE entries SET place = 9 << 40 WHERE seq = 9", "the row belongs to log 9, which is not there"),
        ("UPDATE entries SET place = place - 1 WHERE seq = 9", "does not follow"),
        ("UPDATE entries SET seq = 100000 WHERE seq = 9", "entry 9: missing before entry 10"),
        ("DELETE FROM entries WHERE seq = 9", "entry 9: missing before entry 10"),
        ("DELETE FROM outcomes WHERE intent = (SELECT min(intent) FROM outcomes)", "1 rows are missing"),
        ("UPDATE checkpoints SET place = place + 1 WHERE place = 1", "is filed under size 2, but was signed for 1"),
        ("UPDATE checkpoints SET place = 9 << 40 WHERE place = 1", "belongs to log 9, which is not there"),
        ("DELETE FROM logs WHERE log = 2", "the row belongs to log 2, which is not there"),
        ("UPDATE logs SET log = 7 WHERE log = 2", "its number does not follow: 2 was expected"),
        ("CREATE INDEX i ON entries (hashes)", "defines 6 things, not 5"),
        ("PRAGMA user_version = 1", "file header, user version"),
    ],
)
def test_a_table_that_only_helps_to_find_things_is_compared_as_well(path: Path, change: str, said: str) -> None:
    write_logs(many(40), path)
    meddled(path, change)

    report = verify(path, vkey=VKEY)

    assert not report.ok
    assert said in words(report)


@pytest.mark.parametrize("more", [b"", b"\x00" * 32])
def test_a_changed_node_of_a_tree_is_named_by_the_entry_it_stands_beside(path: Path, more: bytes) -> None:
    logs = many(40)
    seq = seq_of(write_logs(logs, path), log=1, position=7)
    hashes = stored(logs[1].leaves()[:8])
    changed = hashes + more if more else hashes[:64] + bytes([hashes[64] ^ 1]) + hashes[65:]
    meddled(path, "UPDATE entries SET hashes = ? WHERE seq = ?", changed, seq)

    report = verify(path, vkey=VKEY)

    finding = found(report, f"entry {seq} (7 of the log of 'acme')")
    assert "the nodes of the tree stored beside it do not belong to the entries" == finding.what
    assert 1 == len(report.findings)


def test_a_key_of_another_log_is_called_so_and_not_damage(path: Path, tmp_path: Path) -> None:
    logs = many(8)
    write_logs(logs, path)
    export = write_export(logs[1], tmp_path / "acme.jsonl")

    for file in (path, export):
        report = verify(file, vkey=Signer(seed=b"x" * 32, name="altar.local/host-2").vkey)

        assert ("NOT THE KEY OF THIS LOG", False, 0) == (report.verdict, report.ok, report.verified_size)
        assert "Damaged" not in report.statement
        assert "Nothing was judged" in report.statement


def test_the_key_of_a_tenants_log_verifies_that_log_and_no_other(path: Path, tmp_path: Path) -> None:
    logs = many(8)
    own = write_export(logs[1], tmp_path / "acme.jsonl")
    other = write_export(logs[2], tmp_path / "other.jsonl")

    assert verify(own, vkey=logs[1].signer.vkey).ok
    assert verify(own, vkey=VKEY).ok
    assert "NOT THE KEY OF THIS LOG" == verify(other, vkey=logs[1].signer.vkey).verdict


def test_an_export_cannot_claim_another_tenant(tmp_path: Path) -> None:
    log = sample(8, version=2, tenant="acme")
    path = write_export(log, tmp_path / "acme.jsonl")
    path.write_bytes(path.read_bytes().replace(b'"tenant":"acme","vkey"', b'"tenant":"evil","vkey"', 1))

    assert "states tenant 'evil'" in words(verify(path, vkey=VKEY))


def test_a_log_begins_an_epoch_when_it_has_entries_in_it(path: Path) -> None:
    log = Log(version=2)
    for epoch in (3, 4, 9):
        log.epoch = epoch - 1
        log.start()
        log.outcome(log.intent())
    log.sign()
    back = Log(version=2)
    back.start()
    back.epoch = 0
    back.start()
    back.sign()

    assert verify(write_logs([log], path), vkey=VKEY).findings == ()
    report = verify(write_logs([back], path.with_name("back.db")), vkey=VKEY)
    assert "the start opens epoch 1, and 1 was before it" == found(report, "entry 1").what


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ({"event": "app.order_shipped"}, ""),
        ({"event": "call.denied", "count": 4000, "code": "PERMISSION_DENIED", "outcome": "DENIED"}, ""),
        ({"event": "admin.role_created", "principal": "p-0", "action": "create", "resource": "roles/x"}, ""),
        ({"event": "app.a", "data": '{"n":1,"x":[1.5]}', "session": "s", "correlation": "c"}, ""),
        ({"event": "app"}, "impossible 'event'"),
        ({"event": "App.x"}, "impossible 'event'"),
        ({"event": "a." + "x" * 63}, "impossible 'event'"),
        ({"event": "app.a", "count": 0}, "impossible 'count'"),
        ({"event": "app.a", "outcome": "MAYBE"}, "impossible 'outcome'"),
        ({"event": "app.a", "principal": ""}, "impossible 'principal'"),
        ({"event": "app.a", "data": "[1]"}, "data that are no JSON object"),
        ({"event": "app.a", "data": '{"a": 1}'}, "not in canonical form"),
        ({"event": "app.a", "data": '{"a":"' + "x" * 1100 + '"}'}, "impossible 'data'"),
        ({"event": "app.a", "colour": "red"}, "lacks, or has too much: colour"),
    ],
)
def test_events_have_open_names_and_say_more(path: Path, members: dict[str, str | int], said: str) -> None:
    log = Log(version=2)
    log.start()
    log.put("event", subject="s", note="", **members)
    log.sign()

    report = verify(write_logs([log], path), vkey=VKEY)

    assert (said == "") == report.ok
    assert said in words(report)


def test_commitments_stand_where_digests_stand(path: Path) -> None:
    log = sample(8, version=2)
    hidden = Log(version=2)
    hidden.start()
    intent = hidden.intent()
    hidden.bodies[intent] = hidden.bodies[intent].replace(b'"arguments":"sha256:', b'"arguments":"hmac-sha256:')
    hidden.outcome(intent)
    hidden.bodies[-1] = hidden.bodies[-1].replace(b'"result":"sha256:', b'"result":"hmac-sha256:')
    hidden.sign()
    wrong = Log(version=2)
    wrong.start()
    intent = wrong.intent()
    wrong.bodies[intent] = wrong.bodies[intent].replace(b'"contract":"sha256:', b'"contract":"hmac-sha256:')
    wrong.sign()

    for each in (log, hidden):
        assert verify(write_logs([each], path.with_name(f"{id(each)}.db")), vkey=VKEY).findings == ()
    assert "impossible 'contract'" in words(verify(write_logs([wrong], path), vkey=VKEY))


@pytest.mark.parametrize(
    "change",
    [
        (b'"status":"SUCCESS"', b'"status":"ERROR"'),
        (b'"status":"SUCCESS"', b'"status":"PARTIAL"'),
        (b'"code":""', b'"code":"TIMEOUT"'),
        (b'"attempts":1', b'"attempts":01'),
        (b'"ran":"yes"', b'"ran":"perhaps"'),
        (b'"v":2', b'"v":1'),
        (b'"result":"sha256:', b'"result":"sha512:'),
        (b'"runtime":"', b'"runtime":"\\u0041'),
    ],
)
def test_an_outcome_is_read_strictly_however_plain_it_looks(path: Path, change: tuple[bytes, bytes]) -> None:
    log = Log(version=2)
    log.start()
    log.outcome(log.intent())
    assert change[0] in log.bodies[-1]
    log.bodies[-1] = log.bodies[-1].replace(*change)
    log.sign()

    assert not verify(write_logs([log], path), vkey=VKEY).ok


def test_a_byte_of_each_table_is_named(path: Path) -> None:
    logs = many(40)
    write_logs(logs, path)
    data = path.read_bytes()
    texts = {locate(path, at).text for at in range(0, len(data), 61)}

    for part in ("(body)", "(hashes)", "the outcome of intent", "checkpoint", "place "):
        assert any(part in text for text in texts), part
    body = data.index(logs[1].bodies[20])
    assert seq_of(path, log=1, position=20) == locate(path, body + 3).seq
    tenant = locate(path, data.index("zo\u00eb+co".encode()))
    assert "cell of log 2 (tenant)" in tenant.text


def test_an_empty_or_foreign_file_is_reported(tmp_path: Path) -> None:
    log = sample(8, version=2)
    path = write_logs([log], tmp_path / "ledger.db")
    cut = tmp_path / "cut.db"

    for size in (0, 100, 4096, 8192, path.stat().st_size - 4096):
        cut.write_bytes(path.read_bytes()[:size])
        assert not verify(cut, vkey=VKEY).ok


def seq_of(path: Path, *, log: int, position: int) -> int:
    connection = sqlite3.connect(path)
    ((seq,),) = connection.execute("SELECT seq FROM places WHERE place = ?", (log << 40 | position,))
    connection.close()
    return int(seq)


def meddled(path: Path, statement: str, *parameters: object) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement, parameters)
    connection.commit()
    connection.close()


def rewritten(log: Log, *, position: int) -> Log:
    """The same log with another entry in one place."""
    forged = Log(version=2, tenant=log.tenant, bodies=list(log.bodies), signed=dict(log.signed))
    forged.bodies[position] = log.bodies[position].replace(b'"time":', b'"time":1')
    assert forged.bodies[position] != log.bodies[position]
    return forged


def root_of(log: Log, size: int) -> bytes:
    from tests.unit.verify.building import root

    return root(log.leaves()[:size])


def replace_log(path: Path, number: int, log: Log) -> None:
    """Write another log over one, with all hashes as they should be."""
    connection = sqlite3.connect(path)
    leaves = log.leaves()
    for position, body in enumerate(log.bodies):
        row = (body, stored(leaves[: position + 1]), number << 40 | position)
        connection.execute("UPDATE entries SET body = ?, hashes = ? WHERE place = ?", row)
    for size, note in log.signed.items():
        connection.execute("UPDATE checkpoints SET note = ? WHERE place = ?", (note, number << 40 | size))
    connection.commit()
    connection.close()
