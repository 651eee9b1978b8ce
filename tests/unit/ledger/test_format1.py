"""A log that ALTAR 0.1 wrote (format 1) is ended, kept, and gone on from.

`format1/ledger.v1` was written by that release: stopped once, then killed with two intents open, of which one claims an
idempotency key; the key is that of `signer`.
"""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from altar.adm.errors import ConfigurationError
from altar.ledger import FileSigner
from altar.ledger.format1 import seal_format1, sealed_before
from altar.ledger.reader import LogReader
from altar.verify import verify
from tests.unit.ledger.samples import ORIGIN, TIME_MS, commit, entries_in, intent, open_ledger, outcome, rows

RELEASED = Path(__file__).parent / "format1/ledger.v1"


@pytest.fixture
def signer() -> FileSigner:
    return FileSigner(Ed25519PrivateKey.from_private_bytes(b"1" * 32), name=ORIGIN)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Path(shutil.copy(RELEASED, tmp_path / "ledger.db"))


def test_the_old_file_is_ended_in_order_and_verifies_by_itself(path: Path, signer: FileSigner) -> None:
    open_ledger(path, signer).close()

    sealed = path.with_name("ledger.db.v1")
    report = verify(sealed, vkey=signer.vkey)
    assert (True, ()) == (report.ok, report.findings)
    assert (17, 17, 0) == (report.entries, report.verified_size, report.open_intents)
    last = entries_in(sealed)[-3:]
    assert ["OUTCOME_UNKNOWN", "OUTCOME_UNKNOWN", None] == [entry.get("code") for entry in last]
    assert {"epoch": 2, "kind": "stop", "time": TIME_MS, "v": 1} == last[-1]
    assert not sealed.with_name("ledger.db.v1-wal").exists()


def test_the_new_file_goes_on_counting_and_carries_the_root_that_was_signed(path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer)
    first, error = commit(ledger, intent(7), outcome(7, -1))
    ledger.close()

    assert (19, None, 3) == (first, error, ledger.epoch)
    start, event = entries_in(path)[:2]
    assert ("start", 3) == (start["kind"], start["epoch"])
    (note,) = rows(path.with_name("ledger.db.v1"), "SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")[0]
    signed_root = note.split(b"\n")[2].decode()
    assert ("log.continued", ORIGIN) == (event["event"], event["subject"])
    assert {"entries": 17, "file": "ledger.db.v1", "format": 1, "root": signed_root} == orjson.loads(event["data"])
    with LogReader.open(path) as reader:
        assert [17, 18, 19, 20, 21] == [row.seq for row in reader.rows()]
        assert [0, 1, 2, 3, 4] == [position for position, _ in reader.entries("")]
    report = verify(path, vkey=signer.vkey)
    assert (True, ()) == (report.ok, report.findings)


def test_it_can_be_opened_again_and_again(path: Path, signer: FileSigner) -> None:
    for epoch in (3, 4, 5):
        ledger = open_ledger(path, signer)
        assert epoch == ledger.epoch
        ledger.close()

    assert 1 == sum(entry.get("event") == "log.continued" for entry in entries_in(path))
    assert verify(path, vkey=signer.vkey).ok


def test_keys_that_were_claimed_in_the_old_file_are_still_claimed(path: Path, signer: FileSigner) -> None:
    ledger = open_ledger(path, signer)
    commit(ledger, intent(8, key="once"), outcome(8, -1))

    claims = list(ledger.claims(floor=0))
    late = list(ledger.claims(floor=17))
    ledger.close()

    said = [(claim.key[2], claim.code, claim.intent) for claim in claims]
    assert [("call-5", "", 10), ("call-6", "OUTCOME_UNKNOWN", 13), ("call-8", "", 19)] == said
    assert ["call-8"] == [claim.key[2] for claim in late]


def test_a_crash_before_the_old_file_has_its_new_name_costs_nothing(path: Path, signer: FileSigner) -> None:
    seal_format1(path, signer=signer, origin=ORIGIN, wall_ms=lambda: TIME_MS)
    path.with_name("ledger.db.v1").rename(path)

    ledger = open_ledger(path, signer)
    ledger.close()

    assert 3 == ledger.epoch
    assert 17 == verify(path.with_name("ledger.db.v1"), vkey=signer.vkey).entries


def test_a_crash_before_the_new_file_is_there_costs_nothing(path: Path, signer: FileSigner) -> None:
    seal_format1(path, signer=signer, origin=ORIGIN, wall_ms=lambda: TIME_MS)
    assert not path.exists()

    ledger = open_ledger(path, signer)
    ledger.close()

    before = sealed_before(path)
    assert before is not None
    assert (3, 17, 2) == (ledger.epoch, before.size, before.epoch)
    assert "log.continued" in {entry.get("event") for entry in entries_in(path)}


def test_an_old_log_of_another_origin_or_key_is_left_as_it_is(tmp_path: Path, path: Path, signer: FileSigner) -> None:
    before = path.read_bytes()
    other = FileSigner.create(tmp_path / "other.key", name=ORIGIN)

    with pytest.raises(ConfigurationError, match="is the log") as by_origin:
        open_ledger(path, signer, origin="altar.local/host-2")
    with pytest.raises(ConfigurationError, match="with this key"):
        open_ledger(path, other)

    assert "INVALID_CONFIG" == by_origin.value.code
    assert before == path.read_bytes()
    assert not path.with_name("ledger.db.v1").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE entries SET body = x'7b7d' WHERE seq = 8", "entry 8 is missing or not what its leaf hash says"),
        ("DELETE FROM entries WHERE seq = 9", "entry 9 is missing"),
        ("DELETE FROM entries WHERE seq > 5", "its checkpoint covers 7 entries"),
        ("DELETE FROM checkpoints", "it has entries but no checkpoint"),
        ("UPDATE checkpoints SET frontier = zeroblob(length(frontier))", "states another tree"),
        ("UPDATE checkpoints SET note = x'00'", "is malformed"),
    ],
)
def test_an_old_log_that_was_changed_is_not_gone_on_from(
    path: Path, signer: FileSigner, change: str, words: str
) -> None:
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match=words) as caught:
        open_ledger(path, signer)

    assert "LOG_DAMAGED" == caught.value.code
