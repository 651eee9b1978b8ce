"""A log whose signing key is changed: nothing is lost, and whoever trusts the first key can follow to the newest."""

from __future__ import annotations

import base64
import sqlite3
import threading
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from altar.adm.errors import AltarError, ConfigurationError
from altar.ledger import Event, FileSigner, Ledger
from altar.ledger.export import read_checkpoint, write_export
from altar.ledger.log import Checkpoint, Frontier, NoteSignature, checkpoint_text, signed_note
from altar.ledger.reader import LogReader
from altar.ledger.rotation import make_next, next_key, rotation_event, signer_in_use
from altar.verify import verify
from tests.unit.ledger.samples import ORIGIN, commit, crash, intent, open_ledger, outcome


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def key(folder: Path, name: str) -> FileSigner:
    return FileSigner.create(folder / f"{name}.key", name=ORIGIN)


def rotated(ledger: Ledger, signer: FileSigner) -> AltarError | None:
    """Rotate and wait for the answer."""
    done = threading.Event()
    answers: list[AltarError | None] = []

    def then(_first: int, error: AltarError | None) -> None:
        answers.append(error)
        done.set()

    ledger.rotate(signer, then)
    assert done.wait(30)
    return answers[0]


def a_rotated_log(path: Path, *signers: FileSigner) -> None:
    """A log of a host with a tenant from before each rotation, and one from after the last."""
    ledger = open_ledger(path, signers[0], per_tenant=True)
    for number, signer in enumerate(signers):
        if number:
            assert None is rotated(ledger, signer)
        commit(ledger, intent(number, tenant=f"t{number}"), intent(100 + number, tenant="t0"), outcome(number, -2))
    ledger.close()


def test_each_key_of_the_chain_alone_proves_the_whole_log_and_it_is_said(path: Path, tmp_path: Path) -> None:
    first, second, third = (key(tmp_path, name) for name in ("a", "b", "c"))
    a_rotated_log(path, first, second, third)

    for signer in (first, second, third):
        report = verify(path, vkey=signer.vkey)
        assert () == report.findings
        assert report.entries == report.verified_size
        assert "The signing key was changed 2 times, and each key named the next one: " in report.statement
        assert " → ".join(each.vkey.split("+")[1] for each in (first, second, third)) in report.statement
    assert third.vkey == open_and_close(path, third)


def test_a_host_that_is_told_twice_at_once_changes_its_key_once_and_the_log_still_proves_itself(
    path: Path, tmp_path: Path
) -> None:
    first, second, third = (key(tmp_path, name) for name in ("a", "b", "c"))
    ledger = open_ledger(path, first, per_tenant=True)
    answers: list[AltarError | None] = []
    ledger.rotate(second, lambda _first, error: answers.append(error))
    with pytest.raises(ConfigurationError, match="cannot follow"):
        ledger.rotate(second, lambda _first, error: answers.append(error))
    assert rotated(ledger, third) is None
    ledger.close()

    assert [None] == answers
    for signer in (first, third):
        assert () == verify(path, vkey=signer.vkey).findings


def open_and_close(path: Path, signer: FileSigner) -> str:
    ledger = open_ledger(path, signer, per_tenant=True)
    ledger.close()
    return ledger.vkey


@pytest.mark.parametrize("tenant", ["", "t0", "t2"])
def test_an_export_proves_itself_by_the_first_key_alone_also_of_a_log_begun_after(
    path: Path, tmp_path: Path, tenant: str
) -> None:
    first, second, third = (key(tmp_path, name) for name in ("a", "b", "c"))
    a_rotated_log(path, first, second, third)
    export = tmp_path / "export"
    with export.open("wb") as out:
        write_export(path, out, vkey=third.vkey, tenant=tenant)

    for signer in (first, second, third):
        assert () == verify(export, vkey=signer.vkey).findings
    assert verify(export, vkey=key(tmp_path, "stranger").vkey).foreign_key


def test_a_checkpoint_of_before_still_shows_a_rollback_after(path: Path, tmp_path: Path) -> None:
    first, second = key(tmp_path, "a"), key(tmp_path, "b")
    a_rotated_log(path, first)
    before = read_checkpoint(path)
    ledger = open_ledger(path, first, per_tenant=True)
    assert None is rotated(ledger, second)
    ledger.close()
    after = read_checkpoint(path)

    for trusted in (first, second):
        for since in (before, after):
            assert () == verify(path, vkey=trusted.vkey, since=since).findings
    with pytest.raises(ValueError, match="proves nothing"):
        verify(path, vkey=first.vkey, since=_signed_by(key(tmp_path, "stranger"), size=2))


def test_what_was_acknowledged_while_the_key_changed_is_there(path: Path, tmp_path: Path) -> None:
    ledger = open_ledger(path, key(tmp_path, "a"), per_tenant=True)
    answered: list[int] = []
    all_there = threading.Event()

    def then(seq: int, error: AltarError | None) -> None:
        assert None is error
        answered.append(seq)
        if len(answered) == 300:
            all_there.set()

    second = key(tmp_path, "b")
    for number in range(300):
        ledger.commit([Event(event="app.made", subject=f"s-{number}", tenant="acme")], then)
        if number == 150:
            ledger.rotate(second, lambda _seq, _error: None)
    assert all_there.wait(30)
    crash(ledger)

    again = open_ledger(path, second, per_tenant=True)
    again.close()
    with LogReader.open(path) as reader:
        subjects = [orjson.loads(row.body).get("subject") for row in reader.rows() if row.seq in set(answered)]
    assert [f"s-{number}" for number in range(300)] == subjects
    assert verify(path, vkey=second.vkey).ok


def test_after_a_rotation_the_old_key_opens_nothing_and_its_checkpoints_are_refused(path: Path, tmp_path: Path) -> None:
    first, second = key(tmp_path, "a"), key(tmp_path, "b")
    a_rotated_log(path, first, second)

    with pytest.raises(ConfigurationError, match=r"not 'altar\.local/host-1' signed by"):
        open_ledger(path, first, per_tenant=True)
    _forge_a_checkpoint(path, first)
    for trusted in (first, second):
        report = verify(path, vkey=trusted.vkey)
        assert ["is not signed by"] == [
            found.what[len("the signed note ") :][:16] for found in report.findings if "not signed by" in found.what
        ]
        assert not report.ok


def _forge_a_checkpoint(path: Path, signer: FileSigner) -> None:
    """Put in the place of the newest checkpoint of the host's log one by another key over the same tree."""
    with sqlite3.connect(path) as db:
        ((place, note),) = db.execute(
            "SELECT place, note FROM checkpoints WHERE place < (1 << 40) ORDER BY place DESC LIMIT 1"
        )
        text = note.rpartition(b"\n\n")[0] + b"\n"
        forged = signed_note(text, NoteSignature(signer.name, *signer.sign(text)))
        db.execute("UPDATE checkpoints SET note = ? WHERE place = ?", (forged, place))
    db.close()


def _signed_by(signer: FileSigner, *, size: int) -> str:
    text = checkpoint_text(Checkpoint(ORIGIN, size, bytes(32)))
    return signed_note(text, NoteSignature(signer.name, *signer.sign(text))).decode()


def _by_thief(change: Callable[[dict[str, str]], dict[str, str]]) -> Callable[[FileSigner, FileSigner], Event]:
    """An entry in which a thief names a key of its own; it has the public half of the old one alone."""

    def made(old: FileSigner, thief: FileSigner) -> Event:
        said = orjson.loads(rotation_event(thief, FileSigner(other_private(), name=ORIGIN)).data)
        said = change({**said, "from": old.vkey, "to": thief.vkey})
        return Event(
            event="log.key_rotated", subject="x", data=orjson.dumps(said, option=orjson.OPT_SORT_KEYS).decode()
        )

    return made


def other_private() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.mark.parametrize(
    "change",
    [
        lambda said: said,
        lambda said: {**said, "signature": base64.b64encode(bytes(64)).decode()},
        lambda said: {name: value for name, value in said.items() if name != "signature"},
        lambda said: {**said, "to": said["to"].replace("host-1", "host-2")},
    ],
    ids=["signed by the thief", "not signed", "no signature", "another name"],
)
def test_a_rotation_that_the_old_key_did_not_sign_is_refused(
    path: Path, tmp_path: Path, change: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    """The thief has the whole database, and rewrites the end of the log and its checkpoints with a key of its own."""
    old, thief = key(tmp_path, "a"), key(tmp_path, "thief")
    ledger = open_ledger(path, old)
    commit(ledger, intent(1), outcome(1, -1))
    ledger.close()
    _append_by_hand(path, _by_thief(change)(old, thief).encode(1_790_000_000_001), thief)

    report = verify(path, vkey=old.vkey)

    assert not report.ok
    assert any("names a new key" in found.what or "names a key" in found.what for found in report.findings)
    assert any("is not signed by" in found.what for found in report.findings)


def _append_by_hand(path: Path, body: bytes, signer: FileSigner) -> None:
    """Add an entry in the place of the stop, and sign the tree with another key, as a thief can."""
    from altar.ledger.log import leaf_hash

    with sqlite3.connect(path) as db:
        bodies = [row[0] for row in db.execute("SELECT body FROM entries ORDER BY seq")]
        last = len(bodies) - 1
        frontier = Frontier()
        for each in [*bodies[:-1], body]:
            hashes = frontier.push(leaf_hash(each))
        db.execute("UPDATE entries SET body = ?, hashes = ? WHERE seq = ?", (body, hashes, last))
        text = checkpoint_text(Checkpoint(ORIGIN, last + 1, frontier.root()))
        note = signed_note(text, NoteSignature(signer.name, *signer.sign(text)))
        db.execute("DELETE FROM checkpoints WHERE place > ?", (last,))
        db.execute("INSERT INTO checkpoints VALUES (?, ?)", (last + 1, note))
    db.close()


def test_a_key_of_another_name_cannot_follow(path: Path, tmp_path: Path) -> None:
    ledger = open_ledger(path, key(tmp_path, "a"))
    other = FileSigner.create(tmp_path / "other.key", name="altar.local/host-2")

    with pytest.raises(ConfigurationError, match="cannot follow"):
        ledger.rotate(other, lambda _seq, _error: None)
    ledger.close()


@pytest.mark.parametrize("named", [False, True], ids=["before the log has it", "after the log has it"])
def test_a_crash_at_any_point_of_a_rotation_leaves_a_host_that_starts(path: Path, tmp_path: Path, named: bool) -> None:
    place = tmp_path / "ledger.pem"
    FileSigner.create(place, name=ORIGIN)
    ledger = open_ledger(path, signer_in_use(place, name=ORIGIN, log=path))
    commit(ledger, intent(1), outcome(1, -1))
    following = make_next(place, name=ORIGIN)
    if named:
        assert None is rotated(ledger, following)
    crash(ledger)

    signer = signer_in_use(place, name=ORIGIN, log=path)
    open_ledger(path, signer).close()

    assert named == (signer.vkey == following.vkey)
    assert named != next_key(place).exists()
    assert verify(path, vkey=signer.vkey).ok


def test_an_archive_of_after_the_rotation_verifies_by_the_first_key(path: Path, tmp_path: Path) -> None:
    from altar.aesp.audit.archive import check_archive, write_archive

    first, second = key(tmp_path, "a"), key(tmp_path, "b")
    a_rotated_log(path, first, second)
    out = BytesIO()
    with LogReader.open(path) as reader:
        log = reader.logs()[0]
        said = [str(orjson.loads(body)["data"]) for _, body in reader.entries("") if b"log.key_rotated" in body]
        write_archive(reader, log, out, start=0, stop=log.size, vkey=second.vkey, rotations=said)
    file = tmp_path / "archive"
    file.write_bytes(out.getvalue())

    assert {0} == {check_archive(file, vkey=signer.vkey).start for signer in (first, second)}
    with pytest.raises(ConfigurationError, match="not signed by this key"):
        check_archive(file, vkey=key(tmp_path, "stranger").vkey)
