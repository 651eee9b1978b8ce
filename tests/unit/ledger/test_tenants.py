"""A log for each tenant in one database: what stands where, what is recovered, and what is proved."""

from __future__ import annotations

import io
import random
import sqlite3
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from altar.adm.errors import ConfigurationError, ValidationError
from altar.ledger import EntriesRefusedError, Event, FileSigner, Ledger, read_checkpoint, write_export
from altar.ledger.log import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    parse_note,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from altar.ledger.places import Place
from altar.ledger.reader import LogReader
from altar.ledger.signer import log_vkey
from altar.verify import verify
from tests.unit.ledger.samples import ORIGIN, commit, crash, intent, open_ledger, outcome, signer_in


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return signer_in(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def opened(place: Place, signer: FileSigner) -> Ledger:
    return open_ledger(place, signer, per_tenant=True)


def kinds(place: Place, tenant: str) -> list[str]:
    with LogReader.open(place) as reader:
        return [orjson.loads(body)["kind"] for _, body in reader.entries(tenant)]


def test_each_tenant_has_a_log_that_begins_and_ends_with_the_host(place: Place, signer: FileSigner) -> None:
    ledger = opened(place, signer)
    commit(ledger, intent(1, tenant="acme"), outcome(1, -1), Event(event="session.opened", subject="s"))
    commit(ledger, intent(2, tenant="globex"), outcome(2, -1))
    ledger.close()

    assert ["start", "event", "event", "event", "stop"] == kinds(place, "")
    assert ["start", "intent", "outcome", "stop"] == kinds(place, "acme") == kinds(place, "globex")
    with LogReader.open(place) as reader:
        assert [("", ORIGIN, 5), ("acme", f"{ORIGIN}/acme", 4), ("globex", f"{ORIGIN}/globex", 4)] == [
            (log.tenant, log.origin, log.size) for log in reader.logs()
        ]
        starts = [orjson.loads(body) for log in reader.logs() for _, body in reader.entries(log.tenant, 0, 1)]
    assert [ORIGIN, f"{ORIGIN}/acme", f"{ORIGIN}/globex"] == [start["log"] for start in starts]


def test_entries_stand_one_after_the_other_though_a_log_begins_with_one_of_them(
    place: Place, signer: FileSigner
) -> None:
    ledger = opened(place, signer)

    first, error = commit(ledger, intent(1, tenant="a"), intent(2, tenant="b"), intent(3, tenant="c"))
    again, also = commit(ledger, outcome(1, first), outcome(2, first + 1), outcome(3, first + 2))
    ledger.close()

    assert (None, None) == (error, also)
    assert again == first + 3
    with LogReader.open(place) as reader:
        bodies = {row.seq: orjson.loads(row.body) for row in reader.rows()}
    assert ["inv-1", "inv-2", "inv-3"] * 2 == [bodies[seq]["invocation"] for seq in range(first, first + 6)]


def test_an_outcome_names_the_position_of_its_intent_in_its_own_log(place: Place, signer: FileSigner) -> None:
    ledger = opened(place, signer)
    first, _ = commit(ledger, *(intent(number, tenant=f"t{number % 3}") for number in range(30)))
    commit(ledger, *(outcome(number, first + number) for number in reversed(range(30))))
    ledger.close()

    with LogReader.open(place) as reader:
        for tenant in ("t0", "t1", "t2"):
            entries = [orjson.loads(body) for _, body in reader.entries(tenant)]
            answers = [entry for entry in entries if entry["kind"] == "outcome"]
            assert 10 == len(answers)
            assert all(entries[entry["intent"]]["invocation"] == entry["invocation"] for entry in answers)


def test_a_host_without_tenants_keeps_one_log(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer)
    commit(ledger, intent(1, tenant="acme"), outcome(1, -1), Event(event="session.opened", subject="s", tenant="acme"))
    ledger.close()

    assert ["start", "intent", "outcome", "event", "stop"] == kinds(place, "")
    with LogReader.open(place) as reader:
        assert [""] == [log.tenant for log in reader.logs()]
    assert signer.vkey == ledger.vkey_of("acme")


def test_a_host_that_gets_tenants_goes_on_and_answers_what_was_open(path: Path, signer: FileSigner) -> None:
    before = open_ledger(path, signer)
    commit(before, intent(1, tenant="acme"))
    crash(before)

    ledger = opened(path, signer)
    commit(ledger, intent(2, tenant="acme"), outcome(2, -1))
    ledger.close()

    assert ["start", "intent", "outcome", "start", "event", "stop"] == kinds(path, "")
    assert ["start", "intent", "outcome", "stop"] == kinds(path, "acme")
    assert verify(path, vkey=signer.vkey).ok


def test_what_a_crash_left_open_is_closed_in_the_log_of_its_tenant(path: Path, signer: FileSigner) -> None:
    ledger = opened(path, signer)
    first, _ = commit(ledger, intent(1, tenant="a"), intent(2, tenant="b"), intent(3, tenant="a"))
    commit(ledger, outcome(1, first))
    crash(ledger)

    again = opened(path, signer)
    seq, refused = commit(again, outcome(2, first + 1))
    commit(again, intent(4, tenant="b"))
    again.close()

    assert -1 == seq
    assert isinstance(refused, EntriesRefusedError)
    assert ["start", "intent", "intent", "outcome", "outcome"] == kinds(path, "a")
    assert ["start", "intent", "outcome", "start", "intent", "outcome", "stop"] == kinds(path, "b")
    with LogReader.open(path) as reader:
        last = [orjson.loads(body) for _, body in reader.entries("a")][-1]
    assert ("OUTCOME_UNKNOWN", "inv-3", 2) == (last["code"], last["invocation"], last["intent"])
    report = verify(path, vkey=signer.vkey)
    assert (True, ()) == (report.ok, report.findings)


def test_only_logs_that_grew_are_signed(place: Place, signer: FileSigner) -> None:
    ledger = open_ledger(place, signer, per_tenant=True, checkpoint_every=timedelta(0))
    commit(ledger, intent(1, tenant="a"), outcome(1, -1))
    commit(ledger, intent(2, tenant="b"), outcome(2, -1))
    commit(ledger, intent(3, tenant="a"), outcome(3, -1))
    with LogReader.open(place) as reader:
        sizes = {tenant: [size for size, _ in reader.checkpoints(tenant)] for tenant in ("", "a", "b")}
    ledger.close()

    assert {"": [1, 2, 3], "a": [3, 5], "b": [3]} == sizes  # the host's own grows as others begin


def test_a_tenants_checkpoint_is_signed_under_the_name_of_its_log(place: Place, signer: FileSigner) -> None:
    ledger = opened(place, signer)
    commit(ledger, intent(1, tenant="zoë+co"), outcome(1, -1))
    ledger.close()

    _, checkpoint, (signature,) = parse_note(read_checkpoint(place, tenant="zoë+co").encode())
    vkey = ledger.vkey_of("zoë+co")

    assert f"{ORIGIN}/zo%C3%AB%2Bco" == checkpoint.origin == signature.name == vkey.split("+")[0]
    assert signature.key_id.hex() == vkey.split("+")[1]
    assert vkey == log_vkey(signer.vkey, "zoë+co") != signer.vkey


def test_an_export_is_of_one_tenant_and_verifies_with_either_key(
    tmp_path: Path, place: Place, signer: FileSigner
) -> None:
    ledger = opened(place, signer)
    for number in range(40):
        commit(ledger, intent(number, tenant=f"t{number % 2}"), outcome(number, -1))
    ledger.close()
    out = tmp_path / "t1.jsonl"

    with out.open("wb") as file:
        assert 42 == write_export(place, file, vkey=signer.vkey, tenant="t1")

    assert b'"tenant":"t1"' in out.read_bytes().split(b"\n")[0]
    assert b'"tenant":"t0"' not in out.read_bytes()
    assert verify(out, vkey=ledger.vkey_of("t1")).ok
    assert verify(out, vkey=signer.vkey).ok
    with pytest.raises(ValidationError, match="There is no log of the tenant 'globex'"):
        write_export(place, io.BytesIO(), vkey=signer.vkey, tenant="globex")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, 255, 256, 257, 700])
def test_proofs_are_those_of_the_rfc_and_convince_others(place: Place, signer: FileSigner, size: int) -> None:
    ledger = opened(place, signer)
    number = 0
    while number < size - 2:
        mixed = [intent(number, tenant="acme"), *(intent(number, tenant=f"t{other}") for other in range(number % 3))]
        commit(ledger, *mixed)
        number += 1
    commit(ledger, Event(event="app.last", subject="x", tenant="acme"))
    rng = random.Random(size)

    with LogReader.open(place) as reader:
        leaves = [leaf_hash(body) for _, body in reader.entries("acme")]
        assert len(leaves) == max(2, size)
        for _ in range(20):
            new = rng.randint(1, len(leaves))
            position, old = rng.randrange(new), rng.randint(1, new)
            inclusion = reader.inclusion("acme", position, new)
            consistency = reader.consistency("acme", old, new)
            root = tree_root(leaves[:new])
            assert inclusion_proof(leaves[:new], position) == inclusion
            assert verify_inclusion(leaves[position], index=position, size=new, proof=inclusion, root=root)
            assert consistency_proof(leaves[:new], old) == consistency
            assert verify_consistency(
                old_size=old, old_root=tree_root(leaves[:old]), size=new, root=root, proof=consistency
            )
        whole = min(len(leaves), 256)
        assert b"".join(leaves[:whole]) == reader.tile("acme", 0, 0, whole)
        if len(leaves) >= 512:
            roots = [tree_root(leaves[:256]), tree_root(leaves[256:512])]
            assert b"".join(roots) == reader.tile("acme", 1, 0, 2)
        with pytest.raises(ValidationError, match="The log has not so many entries"):
            reader.inclusion("acme", len(leaves), len(leaves) + 1)
        with pytest.raises(ValidationError, match="The log has not so many entries"):
            reader.consistency("acme", 1, 2 * len(leaves))
    ledger.close()


def test_entries_can_be_read_from_anywhere_while_the_host_writes(place: Place, signer: FileSigner) -> None:
    ledger = opened(place, signer)
    for first in range(0, 1400, 700):
        commit(ledger, *(intent(first + number, tenant=f"t{number % 2}") for number in range(700)))

    with LogReader.open(place) as reader:
        assert list(range(300, 650)) == [position for position, _ in reader.entries("t1", 300, 650)]
        assert 701 == len(list(reader.entries("t1")))
        assert list(range(5, 1200)) == [row.seq for row in reader.rows(5, 1200)]
        before = reader.size()
        commit(ledger, intent(9000, tenant="t9"))
        assert [("t9", 0), ("", 3), ("t9", 1)] == [(row.tenant, row.position) for row in reader.rows(before)]
    ledger.close()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("UPDATE entries SET body = x'7b7d' WHERE place = (1 << 40) + 3", "is not what its leaf hash says"),
        ("DELETE FROM entries WHERE place = (1 << 40) + 4", "entry 4 of the log of 'acme' is missing"),
        ("DELETE FROM places WHERE place >= 1 << 40", "its checkpoint covers 2 entries, 0 are there"),
        ("DELETE FROM places WHERE place > (1 << 40) + 1", "its logs have 4 entries"),
        ("UPDATE logs SET tenant = CAST('evil' AS BLOB) WHERE log = 1", "is the log 'altar.local/host-1/acme'"),
    ],
)
def test_a_host_does_not_go_on_from_a_tenants_log_that_was_changed(
    path: Path, signer: FileSigner, change: str, said: str
) -> None:
    ledger = open_ledger(path, signer, per_tenant=True, checkpoint_every=timedelta(hours=1))
    commit(ledger, intent(0, tenant="acme"))  # signed, as it is the first of its log
    commit(ledger, *(intent(number, tenant="acme") for number in range(1, 6)))
    crash(ledger)
    if "logs" in change.split(" ")[1]:
        opened(path, signer).close()  # which signs it
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match=said.replace("(", r"\(")):
        opened(path, signer)


def test_a_file_of_another_format_is_not_read(path: Path, signer: FileSigner) -> None:
    opened(path, signer).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 3")
    connection.close()

    with pytest.raises(ConfigurationError, match="has format 3, and format 2 is read here"):
        LogReader.open(path)
