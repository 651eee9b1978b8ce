"""A thief has everything of a host but the signer: its directory, its database, its subjects, its certificates.

Each test is an attack on what a real ledger wrote, and says what is found, by whom, and what is not found.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from altar.adm.errors import ConfigurationError
from altar.ledger import FileSigner, read_checkpoint
from altar.ledger.log import Checkpoint, Frontier, NoteSignature, checkpoint_text, leaf_hash, signed_note
from altar.ledger.signer import log_vkey
from altar.verify import Report, verify
from tests.unit.ledger.samples import ORIGIN, commit, crash, intent, open_ledger, outcome, signer_in

pytestmark = pytest.mark.fault

TENANT = "acme"


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return signer_in(tmp_path)


@pytest.fixture
def stolen(tmp_path: Path, signer: FileSigner) -> Path:
    """The database of a host that was stopped, with 20 calls of a tenant."""
    path = tmp_path / "ledger.db"
    ledger = open_ledger(path, signer, per_tenant=True)
    for number in range(20):
        commit(ledger, intent(number, tenant=TENANT), outcome(number, -1))
    ledger.close()
    return path


def said(report: Report) -> str:
    return " ".join(f"{finding.where} {finding.what}" for finding in report.findings) + report.statement


def test_an_entry_that_is_rewritten_with_every_hash_above_it_is_found(stolen: Path, signer: FileSigner) -> None:
    forge(stolen, lambda bodies: bodies[7].replace(b"get_weather", b"get_nothing"), at=7)

    report = verify(stolen, vkey=signer.vkey)

    assert "states another root: something in entries" in said(report)
    assert report.logs[1].verified_size == 3  # the first commit, which was signed as the log began
    with pytest.raises(ConfigurationError, match="states another tree"):
        open_ledger(stolen, signer, per_tenant=True)


def test_a_forgery_under_a_key_of_the_thiefs_own_is_not_the_log_of_that_key(
    tmp_path: Path, stolen: Path, signer: FileSigner
) -> None:
    thief = FileSigner.create(tmp_path / "thief.key", name=ORIGIN)
    forge(stolen, lambda bodies: bodies[7].replace(b"get_weather", b"get_nothing"), at=7, sign=thief)

    report = verify(stolen, vkey=signer.vkey)

    assert not report.ok
    assert "is not the key that signs the log of 'acme'" in said(report)
    assert 0 == report.logs[1].verified_size
    with pytest.raises(ConfigurationError, match="with this key"):
        open_ledger(stolen, signer, per_tenant=True)


def test_entries_that_are_added_after_the_stop_are_found_by_the_auditor_and_by_the_host(
    stolen: Path, signer: FileSigner
) -> None:
    add(stolen, intent(99, tenant=TENANT).encode(0))

    report = verify(stolen, vkey=signer.vkey)

    assert "nothing but a start may come first or follow a stop" in said(report)
    assert 1 == report.unsigned_tail
    with pytest.raises(ConfigurationError, match="the log of 'acme' goes on after the host was stopped in order"):
        open_ledger(stolen, signer, per_tenant=True)


def test_entries_that_are_added_behind_a_start_of_the_thiefs_own_are_not_proved_and_not_gone_on_from(
    stolen: Path, signer: FileSigner
) -> None:
    start = (
        b'{"epoch":2,"host":"host-1","kind":"start","log":"altar.local/host-1/acme","software":"altar 0.1.0",'
        b'"sqlite":3040001,"time":0,"v":2}'
    )
    add(stolen, start)
    add(stolen, intent(99, tenant=TENANT).encode(0))

    report = verify(stolen, vkey=signer.vkey)

    assert 2 == report.unsigned_tail
    assert "The 2 entries after them are not proved by any signature" in report.statement
    with pytest.raises(ConfigurationError, match="goes on after the host was stopped in order"):
        open_ledger(stolen, signer, per_tenant=True)


def test_a_log_taken_back_to_an_older_copy_is_found_only_with_a_checkpoint_kept_elsewhere(
    stolen: Path, signer: FileSigner
) -> None:
    older = stolen.read_bytes()
    ledger = open_ledger(stolen, signer, per_tenant=True)
    commit(ledger, intent(77, tenant=TENANT), outcome(77, -1))
    ledger.close()
    kept = read_checkpoint(stolen, tenant=TENANT)
    stolen.write_bytes(older)

    without = verify(stolen, vkey=signer.vkey)
    report = verify(stolen, vkey=signer.vkey, since=kept)

    assert without.ok
    assert "rolled back or forked is proved only against a checkpoint obtained elsewhere" in without.statement
    assert not report.ok
    assert "rollback: a checkpoint over" in said(report)


def test_a_log_that_was_taken_back_and_gone_on_from_is_a_fork_for_who_kept_a_checkpoint(
    stolen: Path, signer: FileSigner
) -> None:
    older = stolen.read_bytes()
    for number in (77, 78):
        stolen.write_bytes(older)
        ledger = open_ledger(stolen, signer, per_tenant=True)
        commit(ledger, intent(number, tenant=TENANT), outcome(number, -1))
        ledger.close()
        if number == 77:
            kept = read_checkpoint(stolen, tenant=TENANT)

    assert verify(stolen, vkey=signer.vkey).ok
    assert "fork: a checkpoint seen elsewhere has another root" in said(verify(stolen, vkey=signer.vkey, since=kept))


def test_the_unsigned_end_of_a_killed_host_is_all_that_a_thief_can_rewrite(tmp_path: Path, signer: FileSigner) -> None:
    path = tmp_path / "killed.db"
    ledger = open_ledger(path, signer, per_tenant=True)
    commit(ledger, intent(1, tenant=TENANT), outcome(1, -1))
    crash(ledger)
    forge(path, lambda bodies: bodies[1].replace(b"get_weather", b"get_nothing"), at=1)

    report = verify(path, vkey=signer.vkey)

    assert report.unsigned_tail >= 3
    assert "are not proved by any signature" in report.statement
    assert 0 == report.logs[1].verified_size


def forge(path: Path, change: object, *, at: int, sign: FileSigner | None = None) -> None:
    """Rewrite one entry of the tenant's log, all hashes that depend on it, and the checkpoints where there is a key."""
    connection = sqlite3.connect(path)
    bodies = [body for (body,) in connection.execute("SELECT body FROM entries WHERE place >= 1 << 40 ORDER BY place")]
    changed = change(bodies)  # type: ignore[operator]  # it is a function
    assert changed != bodies[at]
    bodies[at] = changed
    frontier, roots = Frontier(), {}
    for position, body in enumerate(bodies):
        row = (body, frontier.push(leaf_hash(body)), 1 << 40 | position)
        connection.execute("UPDATE entries SET body = ?, hashes = ? WHERE place = ?", row)
        roots[position + 1] = frontier.root()
    places = [place for (place,) in connection.execute("SELECT place FROM checkpoints WHERE place >= 1 << 40")]
    for place in places if sign is not None else ():
        size = place - (1 << 40)
        text = checkpoint_text(Checkpoint(f"{ORIGIN}/{TENANT}", size, roots[size]))
        name, key_id, _ = log_vkey(sign.vkey, TENANT).split("+", 2) if sign is not None else ("", "", "")
        assert sign is not None
        note = signed_note(text, NoteSignature(name, bytes.fromhex(key_id), sign.sign(text)[1]))
        connection.execute("UPDATE checkpoints SET note = ? WHERE place = ?", (note, place))
    connection.commit()
    connection.close()


def add(path: Path, body: bytes) -> None:
    """Add an entry to the tenant's log as its writer would, but for the signature."""
    connection = sqlite3.connect(path)
    frontier = Frontier()
    found = connection.execute("SELECT body FROM entries WHERE place >= 1 << 40 ORDER BY place").fetchall()
    frontier.extend(leaf_hash(each) for (each,) in found)
    ((seq,),) = connection.execute("SELECT max(seq) + 1 FROM entries").fetchall()
    place = 1 << 40 | len(found)
    row = (seq, place, body, frontier.push(leaf_hash(body)))
    connection.execute("INSERT INTO entries VALUES (?, ?, ?, ?)", row)
    connection.execute("INSERT INTO places VALUES (?, ?)", (place, seq))
    connection.commit()
    connection.close()
