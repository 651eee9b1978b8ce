"""What is read, searched, sent and anchored, attacked: forged places, hostile names, receivers and witnesses."""

from __future__ import annotations

import base64
import hashlib
import json
import multiprocessing
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.aesp.audit.anchors import Anchored, Anchors
from altar.aesp.audit.archive import check_archive, write_archive
from altar.aesp.audit.asked import Query, matches
from altar.aesp.audit.denials import Denials
from altar.aesp.audit.index import Index
from altar.aesp.audit.opening import open_records
from altar.aesp.audit.query import search
from altar.aesp.audit.sinks.pump import Pump
from altar.aesp.audit.witness import Witness, parse_witness_key
from altar.ledger import Event
from altar.ledger.reader import LogReader
from altar.ledger.signer import log_vkey
from altar.testing import FakeClock, until
from tests.providers.receivers import Asked, Reply, http_receiver
from tests.unit.aesp.audit.forwarding import forwarding, ids, options, status
from tests.unit.aesp.audit.scene import ORIGIN, a_log, all_records, sample
from tests.unit.ledger.samples import commit, intent, open_ledger, outcome, signer_in


def two_tenants(folder: Path) -> Path:
    """A closed log of two tenants, each with one call."""
    ledger = open_ledger(folder / "ledger.db", signer_in(folder), per_tenant=True)
    for number, tenant in enumerate(("acme", "globex")):
        commit(ledger, intent(number, tenant=tenant, principal=f"{tenant}/alice"), outcome(number, -1))
    ledger.close()
    return folder / "ledger.db"


@pytest.mark.parametrize("character", ["x", "\x01", "\u20ac", "\U0001f600", "\ud800", '"', "\u2028"])
def test_a_refusal_is_recorded_whatever_the_caller_wrote(character: str) -> None:
    noted: list[Event] = []
    denials = Denials(noted.append, clock=FakeClock())
    hostile = character * 4_000

    for _ in range(2):
        denials.denied(
            tenant="acme",
            principal='"' * 128,
            code="PERMISSION_DENIED",
            resource=hostile,
            action="execute",
            session=hostile,
            correlation=hostile,
        )
    denials.flush()

    assert [0, 1] == [event.count for event in noted]
    assert noted[0].resource


@pytest.mark.parametrize("position", [1 << 40, -2, (1 << 40) + 1])
def test_no_position_leads_into_the_log_of_another_tenant(tmp_path: Path, position: int) -> None:
    with LogReader.open(two_tenants(tmp_path)) as reader:
        assert [] == list(reader.entries("acme", position, position + 1))
        assert [] == [place for place, _ in reader.entries("acme", 0, 1 << 41) if place > 3]


def test_a_tile_ends_with_its_log(tmp_path: Path) -> None:
    with LogReader.open(two_tenants(tmp_path)) as reader, pytest.raises(AltarError) as refused:
        reader.tile("acme", 0, 1 << 32, 1)  # beside the entry 2 ** 40, which would be the first of the next tenant's

    assert "UNKNOWN_RESOURCE" == refused.value.code


@pytest.mark.parametrize(("log", "position"), [(7, 0), (-1, 0), (1, 1 << 40), (1, -5)])
def test_an_index_that_someone_wrote_into_shows_nothing_that_is_not_there(
    tmp_path: Path, log: int, position: int
) -> None:
    path = two_tenants(tmp_path)
    records = open_records(path)
    with Index(f"{path}.index") as index:
        index.catch_up(records)
        honest = [record.id for record in search(records, Query(), index=index).records]
        with closing(sqlite3.connect(f"{path}.index")) as poisoned:
            poisoned.execute("UPDATE places SET log = ?, position = ? WHERE log = 2 AND position = 1", (log, position))
            poisoned.commit()
        found = [record.id for record in search(records, Query(), index=index).records]
        of_acme = search(records, Query(tenant="acme"), index=index).records
    records.reader.close()

    assert set(found) <= set(honest)
    assert {"acme"} == {record.tenant for record in of_acme}


def test_an_index_of_a_longer_list_of_logs_is_no_accident(tmp_path: Path) -> None:
    path = two_tenants(tmp_path)
    records = open_records(path)
    with Index(f"{path}.index") as index:
        index.catch_up(records)
    records.reader.close()
    path.unlink()
    a_log(tmp_path, calls=1)  # the file was put back as it was before there were tenants

    records = open_records(path)
    with Index(f"{path}.index") as index:
        index.catch_up(records)
        found = search(records, Query(), index=index).records
    records.reader.close()

    assert sorted(record.id for record in found) == sorted(ids(path))


@pytest.mark.parametrize(
    "asked",
    [
        {"cursor": base64.urlsafe_b64encode(b"9" * 40 + b":0:0").decode()},
        {"cursor": base64.urlsafe_b64encode(b"-1:0:0").decode()},
        {"cursor": "A" * 100_000},
        {"since_ms": 1 << 63},
        {"until_ms": -(1 << 70)},
        {"principal": "\ud800"},
        {"event": "*" * 1_000},
        {"tool": "x" * 1_000_000},
    ],
    ids=["cursor-huge", "cursor-negative", "cursor-long", "since", "until", "surrogate", "stars", "long"],
)
def test_what_no_entry_can_hold_is_refused_in_words(tmp_path: Path, asked: dict[str, object]) -> None:
    path = two_tenants(tmp_path)
    records = open_records(path)
    with Index(f"{path}.index") as index:
        index.catch_up(records)
        with pytest.raises(AltarError) as refused:
            search(records, Query(**asked), index=index)  # type: ignore[arg-type]  # members by name
    records.reader.close()

    assert "MALFORMED_REQUEST" == refused.value.code


def test_a_pattern_of_many_stars_is_answered() -> None:
    """Tried in a process of its own: an engine that tries all ways would never come back."""
    trying = multiprocessing.get_context("fork").Process(target=_match_many_stars)
    trying.start()
    trying.join(20)
    alive = trying.is_alive()
    trying.kill()

    assert not alive
    assert 0 == trying.exitcode


def _match_many_stars() -> None:
    event = "app." + "a" * 60
    assert not matches(sample(event=event), Query(event="*a" * 30 + "*b"))
    assert matches(sample(event=event), Query(event="*a" * 30 + "*"))


@pytest.mark.parametrize(
    ("pattern", "event", "fits"),
    [
        ("*", "", True),
        ("admin.*", "admin.role_created", True),
        ("*.role_*", "admin.role_created", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("*aab", "aaab", True),
        ("*a*b*c", "xaxbxcxc", True),
        ("*a*b*c", "xaxcxb", False),
        ("a.b", "axb", False),
    ],
)
def test_stars_stand_for_any_run_of_characters(pattern: str, event: str, fits: bool) -> None:
    assert fits == matches(sample(event=event), Query(event=pattern))


@pytest.mark.parametrize(
    "changed", [{"tenant": "globex"}, {"tenant": 5}, {"tenant": None}, {"start": 0.5}, {"start": []}]
)
def test_an_archive_is_of_the_tenant_whose_log_it_is(tmp_path: Path, changed: dict[str, object]) -> None:
    path, key = two_tenants(tmp_path), log_vkey(signer_in(tmp_path).vkey, "acme")
    archive = tmp_path / "acme.archive"
    with LogReader.open(path) as reader, archive.open("wb") as out:
        write_archive(reader, reader.logs()[1], out, start=0, stop=3, vkey=key)
    assert "acme" == check_archive(archive, vkey=key).tenant

    head, *rest = archive.read_bytes().splitlines(keepends=True)
    forged = json.dumps(json.loads(head) | changed, sort_keys=True, separators=(",", ":")).encode() + b"\n"
    _seal(archive, [forged, *rest[:-1]])

    with pytest.raises(AltarError, match="proves nothing"):
        check_archive(archive, vkey=key)


@pytest.mark.parametrize(
    "line", [{"entry": 5, "seq": 0}, {"checkpoint": 5, "proof": [], "size": 3}, {"checkpoint": "x", "proof": 5}]
)
def test_a_line_of_an_archive_that_is_of_another_type_is_named_as_damage(
    tmp_path: Path, line: dict[str, object]
) -> None:
    path, key = a_log(tmp_path), signer_in(tmp_path).vkey
    archive = tmp_path / "own.archive"
    with LogReader.open(path) as reader, archive.open("wb") as out:
        write_archive(reader, reader.logs()[0], out, start=0, stop=3, vkey=key)
    lines = archive.read_bytes().splitlines(keepends=True)
    _seal(archive, [*lines[:2], json.dumps(line, separators=(",", ":")).encode() + b"\n"])

    with pytest.raises(AltarError, match="proves nothing"):
        check_archive(archive, vkey=key)


def test_a_directory_of_anchors_sees_a_log_that_was_rolled_back_or_forked(tmp_path: Path) -> None:
    path, kept = a_log(tmp_path, calls=1), tmp_path / "kept"
    shutil.copy(path, tmp_path / "earlier")
    anchors = Anchors(path, directory=kept, witnesses=[])
    ledger = open_ledger(path, signer_in(tmp_path))
    ledger.close()
    assert [None] == [each.error for each in anchored(anchors, path)]
    assert [] == anchored(anchors, path)

    shutil.copy(tmp_path / "earlier", path)
    assert ["LOG_DAMAGED"] == codes(anchored(anchors, path))  # rolled back

    ledger = open_ledger(path, signer_in(tmp_path))
    commit(ledger, *(Event(event="session.opened", subject=f"another-{number}") for number in range(5)))
    ledger.close()
    assert ["LOG_DAMAGED"] == codes(anchored(anchors, path))  # forked: it is longer than what was kept


def test_a_witness_that_answers_nonsense_holds_up_no_other(tmp_path: Path) -> None:
    path = two_tenants(tmp_path)
    raw = b"\x04" + b"k" * 32
    key_id = hashlib.sha256(b"w.test\n" + raw).digest()[:4]
    key = parse_witness_key(f"w.test+{key_id.hex()}+{base64.b64encode(raw).decode()}")
    bodies = iter([b"9" * 60_000, b"\xff\xfe", b"-1"])

    def reply(_asked: Asked) -> Reply:
        return 409, {"content-type": "text/x.tlog.size"}, next(bodies)

    with http_receiver(reply) as address:
        anchors = Anchors(path, directory=None, witnesses=[Witness(address, key)])
        done = anchored(anchors, path)
        anchors.close()

    assert [ORIGIN, f"{ORIGIN}/acme", f"{ORIGIN}/globex"] == [each.origin for each in done]
    assert None not in codes(done)


def test_a_sink_survives_what_it_cannot_tell_and_says_so(tmp_path: Path) -> None:
    log, out = a_log(tmp_path), tmp_path / "out"
    with closing(sqlite3.connect(f"{log}.sinks")) as forged:
        forged.execute(
            "CREATE TABLE sinks (name TEXT PRIMARY KEY, next INTEGER NOT NULL, sent INTEGER NOT NULL,"
            " sent_ms INTEGER NOT NULL, failures INTEGER NOT NULL, error TEXT NOT NULL, error_ms INTEGER NOT NULL)"
        )
        forged.execute("INSERT INTO sinks VALUES ('one', 'nowhere', 0, 0, 0, '', 0)")
        forged.commit()

    with forwarding(log, options("file", str(out))):
        until(lambda: status(log).failures > 1, what="the second attempt")
        with closing(sqlite3.connect(f"{log}.sinks")) as mended:
            mended.execute("UPDATE sinks SET next = 0")
            mended.commit()
        until(lambda: status(log).next == len(ids(log)), what="the last entry")


@pytest.mark.parametrize(
    "change", [{"time": 1 << 62}, {"time": -1}, {"time": "soon"}, {"time": 1.5}, {"resource": 5}, {"kind": "other"}]
)
def test_an_entry_that_someone_rewrote_is_named_and_not_stumbled_over(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = a_log(tmp_path)
    with closing(sqlite3.connect(path)) as forged:
        ((body,),) = forged.execute("SELECT body FROM entries WHERE seq = 1").fetchall()
        forged.execute("UPDATE entries SET body = ? WHERE seq = 1", (json.dumps(json.loads(body) | change).encode(),))
        forged.commit()

    with pytest.raises(AltarError, match="Entry 1 of the log") as refused:
        all_records(path)

    assert "LOG_DAMAGED" == refused.value.code


def test_a_log_that_was_replaced_by_a_longer_one_is_not_taken_for_the_one_that_was_sent(tmp_path: Path) -> None:
    log, out = a_log(tmp_path, calls=3), tmp_path / "out"
    with forwarding(log, options("file", str(out))):
        until(lambda: status(log).next == len(ids(log)), what="the last entry")
    sent = out.read_bytes()
    for part in tmp_path.glob("ledger.db*"):
        if "sinks" not in part.name:
            part.unlink()
    a_log(tmp_path, calls=9)

    with forwarding(log, options("file", str(out))):
        until(lambda: "replaced" in status(log).error, what="the alarm")
    assert sent == out.read_bytes()


def test_a_clock_that_was_put_back_holds_up_no_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, out = a_log(tmp_path), tmp_path / "out"
    monkeypatch.setattr(Pump, "_wall", lambda _self: 0.0)  # the entries were written by a clock that was far ahead

    with forwarding(log, options("file", str(out), linger=5.0)):
        until(lambda: status(log).next == len(ids(log)), what="the last entry")


def anchored(anchors: Anchors, path: Path) -> list[Anchored]:
    with LogReader.open(path) as reader:
        return anchors.round(reader)


def codes(done: list[Anchored]) -> list[str | None]:
    return [each.error.code if each.error is not None else None for each in done]


def _seal(archive: Path, lines: list[bytes]) -> None:
    """Write lines with the digest that an archive ends with, as a forger would."""
    body = b"".join(lines)
    archive.write_bytes(body + b'{"end":"sha256:' + hashlib.sha256(body).hexdigest().encode() + b'"}\n')
