"""`altar audit anchor`, `verify --witness`, `seal` and `forget`, as a person at a terminal."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from altar.ledger import Event, FileSigner, Ledger
from altar.ledger.signer import log_vkey
from tests.e2e.command import altar
from tests.providers.receivers import Asked, Reply, http_receiver
from tests.unit.aesp.audit.scene import add_calls
from tests.unit.ledger.samples import ORIGIN, TIME_MS, commit


class SmallWitness:
    """A witness in a few lines: it cosigns whatever goes on from what it has seen, and keeps only the size."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        raw = b"\x04" + self._key.public_key().public_bytes_raw()
        self._id = hashlib.sha256(b"w.test\n" + raw).digest()[:4]
        self.vkey = f"w.test+{self._id.hex()}+{base64.b64encode(raw).decode()}"
        self.size = 0
        self.says: Reply | None = None

    def reply(self, asked: Asked) -> Reply:
        """Answer `/add-checkpoint`; the proof is not looked at, a real witness does that elsewhere."""
        if self.says is not None:
            return self.says
        head, _, note = asked.body.partition(b"\n\n")
        old, size = int(head.split()[1]), int(note.split(b"\n")[1])
        if old != self.size:
            return 409, {"content-type": "text/x.tlog.size"}, b"%d\n" % self.size
        self.size = size
        text = note.rpartition(b"\n\n")[0] + b"\n"
        signed = self._key.sign(b"cosignature/v1\ntime 1790000000\n" + text)
        blob = base64.b64encode(self._id + (1790000000).to_bytes(8) + signed).decode()
        return 200, {}, f"— w.test {blob}\n".encode()


@contextmanager
def ledger_in(place: Path) -> Iterator[Ledger]:
    """The log of a host with pseudonyms and a log for each tenant, at its usual place."""
    keys, data = place / ".altar" / "keys", place / ".altar" / "host"
    keys.mkdir(parents=True, exist_ok=True)
    data.mkdir(exist_ok=True)
    pem = keys / "ledger.pem"
    signer = FileSigner.open(pem, name=ORIGIN) if pem.exists() else FileSigner.create(pem, name=ORIGIN)
    (keys / "ledger.vkey").write_text(signer.vkey + "\n")
    ledger = Ledger.open(
        data / "ledger.db",
        signer=signer,
        origin=ORIGIN,
        host="host-1",
        software="altar 0.1.0",
        wall_ms=lambda: TIME_MS,
        on_failure=print,
        per_tenant=True,
        pseudonyms=True,
    )
    try:
        yield ledger
    finally:
        ledger.close()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    with ledger_in(tmp_path) as ledger:
        commit(ledger, Event(event="session.opened", subject="s-1"))
        add_calls(ledger, 4)
    return tmp_path


@pytest.fixture
def witness(place: Path) -> Iterator[SmallWitness]:
    made = SmallWitness()
    with http_receiver(made.reply) as address:
        (place / "w.txt").write_text(f"{address}\n{made.vkey}\n")
        (place / "altar.toml").write_text('[audit]\nwitnesses = ["w.txt"]\n')
        yield made


def test_a_cosigned_checkpoint_proves_that_a_log_was_not_rolled_back(place: Path, witness: SmallWitness) -> None:
    anchored = altar("audit", "anchor", at=place)
    proved = altar("audit", "verify", ".altar/host", "--witness", "w.txt", "--json", at=place)

    assert (0, 0) == (anchored.code, proved.code)
    assert "goes on from the checkpoint" in proved.json["statement"]


def test_an_export_takes_its_cosigned_checkpoint_along(place: Path, witness: SmallWitness) -> None:
    altar("audit", "anchor", at=place)
    altar("audit", "export", "-o", "log.jsonl", at=place)
    altar("audit", "export", "-o", "acme.jsonl", "--tenant", "acme", at=place)

    vkey = (place / ".altar/keys/ledger.vkey").read_text().strip()
    own = altar("audit", "verify", "log.jsonl", "--witness", witness.vkey, at=place)
    acme = altar("audit", "verify", "acme.jsonl", "--witness", "w.txt", "--vkey", log_vkey(vkey, "acme"), at=place)

    assert (0, 0) == (own.code, acme.code), acme.out
    assert "was cosigned by the witness 'w.test' at 2026-09-21T" in own.out
    assert (place / "acme.jsonl.cosigned").exists()


def test_a_rolled_back_log_is_damaged_before_the_witness(place: Path, witness: SmallWitness) -> None:
    log = place / ".altar/host/ledger.db"
    before = log.read_bytes()
    with ledger_in(place) as ledger:
        commit(ledger, Event(event="session.opened", subject="s-2"))
    altar("audit", "anchor", at=place)
    log.write_bytes(before)

    proved = altar("audit", "verify", ".altar/host", "--witness", "w.txt", at=place)
    asked = altar("audit", "anchor", at=place)

    assert (1, 1) == (proved.code, asked.code)
    assert "rolled back" in asked.out


@pytest.mark.parametrize(
    ("says", "words"),
    [
        ((404, {}, b"unknown log"), "has not cosigned"),
        ((422, {}, b"bad proof"), "was forked"),
        ((200, {}, b"nothing of value\n"), "no cosignature by its key"),
        ((409, {}, b"9000\n"), "it was rolled back"),
    ],
    ids=["unknown", "bad proof", "no signature", "longer"],
)
def test_what_a_witness_refuses_is_said(place: Path, witness: SmallWitness, says: Reply, words: str) -> None:
    witness.says = says

    done = altar("audit", "anchor", at=place)

    assert 1 == done.code
    assert words in done.out


def test_a_directory_gets_the_newest_checkpoint_and_all_of_them(place: Path) -> None:
    altar("audit", "anchor", "--to", "kept", at=place)
    with ledger_in(place) as ledger:
        commit(ledger, Event(event="session.opened", subject="s-2"))
    again = altar("audit", "anchor", "--to", "kept", "--json", at=place)
    nothing = altar("audit", "anchor", "--to", "kept", "--json", at=place)

    own = place / "kept" / "altar.local%2Fhost-1.checkpoint"
    assert [] == nothing.json
    assert 1 == len([row for row in again.json if row["origin"] == ORIGIN])
    assert 2 == own.with_suffix(".checkpoints").read_text().count("— altar.local/host-1 ")
    assert 0 == altar("audit", "verify", ".altar/host", "--since", str(own), at=place).code


def test_without_a_place_there_is_nowhere_to_keep_checkpoints(place: Path) -> None:
    assert "nowhere to keep" in altar("audit", "anchor", at=place).err


def test_verifying_with_a_witness_needs_what_it_cosigned(place: Path) -> None:
    key = SmallWitness().vkey

    assert "no cosigned checkpoint" in altar("audit", "verify", ".altar/host", "--witness", key, at=place).err
    assert "no verifier key of a witness" in altar("audit", "verify", ".altar/host", "--witness", "x", at=place).err


def test_an_old_part_of_a_log_is_sealed_and_verifies_alone(place: Path) -> None:
    tomorrow = datetime.fromtimestamp(TIME_MS / 1000 + 86400, UTC).date().isoformat()

    first = altar("audit", "seal", "-o", "one.archive", "--before", tomorrow, "--json", at=place)
    proved = altar("audit", "verify", "one.archive", "--json", at=place)
    with ledger_in(place) as ledger:
        commit(ledger, Event(event="session.opened", subject="s-2"))
    second = altar(
        "audit", "seal", "-o", "two.archive", "--before", tomorrow, "--after", "one.archive", "--json", at=place
    )

    assert (0, first.json["stop"]) == (first.json["start"], second.json["start"])
    assert (True, first.json["stop"]) == (proved.json["ok"], proved.json["stop"])
    (place / "one.archive").write_bytes((place / "one.archive").read_bytes().replace(b"s-1", b"s-9", 1))
    assert "proves nothing" in altar("audit", "verify", "one.archive", at=place).err


def test_verify_says_nothing_of_a_checkpoint_that_it_did_not_look_at(place: Path) -> None:
    key = SmallWitness().vkey
    tomorrow = datetime.fromtimestamp(TIME_MS / 1000 + 86400, UTC).date().isoformat()
    altar("audit", "seal", "-o", "one.archive", "--before", tomorrow, at=place)
    (place / "other").write_text("not a checkpoint at all\n")

    for more in (("--since", "other"), ("--witness", key), ("--cosigned", "other")):
        refused = altar("audit", "verify", "one.archive", *more, at=place)
        assert (True, "") == (refused.code != 0, refused.out), more
    alone = altar("audit", "verify", ".altar/host", "--cosigned", "other", at=place)
    assert (True, True) == (alone.code != 0, "--witness" in alone.err), alone.out


def test_a_person_is_forgotten_and_the_log_still_verifies(place: Path) -> None:
    with ledger_in(place) as ledger:
        assert ledger.subjects is not None
        name = ledger.subjects.of("acme", "acme/alice").pseudonym
        commit(ledger, Event(event="session.opened", subject="s-9", tenant="acme", principal=name))
    found = altar("audit", "query", "--principal", "acme/alice", "--names", "--event", "session.*", "--json", at=place)

    done = altar("audit", "forget", "acme/alice", "--yes", "--json", at=place)

    assert ["acme/alice"] == [record["principal"] for record in found.json["records"]]
    assert {"principal": "acme/alice", "forgotten": True} == done.json
    after = altar("audit", "query", "--principal", name, "--names", "--json", at=place).json["records"]
    assert [name] == [record["principal"] for record in after]
    recorded = altar("audit", "query", "--event", "admin.subject_forgotten", "--json", at=place).json["records"]
    assert [(name, "acme")] == [(record["subject"], record["tenant"]) for record in recorded]
    assert 0 == altar("audit", "verify", ".altar/host", at=place).code
    assert "Nobody called" in altar("audit", "forget", "acme/alice", "--yes", at=place).err
    assert not any(b"acme/alice" in part.read_bytes() for part in (place / ".altar/host").glob("*subjects*"))


def test_nobody_is_forgotten_behind_the_back_of_a_running_host(place: Path) -> None:
    with ledger_in(place) as ledger:
        assert ledger.subjects is not None
        ledger.subjects.of("acme", "acme/alice")
        done = altar("audit", "forget", "acme/alice", "--yes", at=place)
        known = ledger.subjects.find("acme", "acme/alice")

    assert (2, "") == (done.code, done.out)
    assert "client certificate" in done.err  # the host is asked, and nobody asks it without one
    assert known is not None


def test_a_log_of_a_tenant_is_listed_by_its_name(place: Path) -> None:
    rows = altar("audit", "list", "--tenant", "acme", "--kind", "call", "--json", at=place).json

    assert [("get_weather", "SUCCESS"), ("book_flight", "SUCCESS")] == [(row["tool"], row["status"]) for row in rows][
        :2
    ]
    assert 4 == len(rows)
    assert json.dumps(rows).count('"status": "ERROR"') == 1
