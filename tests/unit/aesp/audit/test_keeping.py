"""A log that is kept for a while: what is old is sealed and removed, and everything still proves itself."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import orjson
import pytest

from altar.adm.errors import ConfigurationError, ValidationError
from altar.aesp.audit.archive import check_archive, check_joined
from altar.aesp.audit.keeping import Keeping, Retained
from altar.ledger import Event, FileSigner, Ledger
from altar.ledger.export import read_checkpoint, write_export
from altar.ledger.log import leaf_hash, parse_note, verify_consistency, verify_inclusion
from altar.ledger.reader import LogReader
from altar.ledger.signer import log_vkey
from altar.ledger.subjects import read_names
from altar.verify import verify
from tests.unit.ledger.samples import ORIGIN, commit, crash, intent, outcome, signer_in

DAY_MS = 86_400_000
SECRET = b"what-they-said"


class World:
    """A host's ledger with a clock that is set by hand, and what keeps its logs for ten days."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "ledger.db"
        self.now = 1_790_000_000_000
        self.signer: FileSigner = signer_in(folder)
        self.ledger = self.opened()
        self.anchored: Callable[[str], int] | None = None

    def opened(self) -> Ledger:
        return Ledger.open(
            self.path,
            signer=self.signer,
            origin=ORIGIN,
            host="host-1",
            software="altar test",
            wall_ms=lambda: self.now,
            on_failure=lambda _error: None,
            checkpoint_every=timedelta(0),
            per_tenant=True,
            pseudonyms=True,
        )

    def again(self) -> None:
        self.ledger.close()
        self.ledger = self.opened()

    @property
    def keeping(self) -> Keeping:
        return Keeping(
            self.ledger,
            open_reader=lambda: LogReader.open(self.path),
            archives=self.folder / "archives",
            period_of=lambda tenant: None if tenant == "eternal" else timedelta(days=10),
            wall_ms=lambda: self.now,
            anchored=self.anchored,
        )

    def calls(self, tenant: str, count: int, *, first: int = 0) -> None:
        for number in range(first, first + count):
            said = f"{SECRET.decode()}-{number}."
            commit(self.ledger, intent(number, tenant=tenant, correlation=said), outcome(number, -1))

    def later(self, days: int) -> None:
        self.now += days * DAY_MS

    def bytes_beside(self) -> bytes:
        return b"".join(each.read_bytes() for each in self.folder.glob("ledger.db*") if each.is_file())

    def archives(self, tenant: str) -> list[Path]:
        return sorted((self.folder / "archives").glob(f"*-{tenant}-*.archive"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.ledger.close()


@contextmanager
def tampered(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, behind the back of its host."""
    db = sqlite3.connect(path)
    with db:
        yield db
    db.close()


def an_old_log(world: World, calls: int = 40) -> None:
    """Calls of two tenants, twelve days, and some more of one of them."""
    world.calls("acme", calls)
    world.calls("eternal", 3, first=1000)
    world.later(12)
    world.calls("acme", 5, first=500)


def test_what_is_past_its_period_is_sealed_and_removed_and_the_log_proves_itself(world: World) -> None:
    an_old_log(world)
    before = read_checkpoint(world.path, tenant="acme")

    done = {each.tenant: each for each in world.keeping.retain()}

    assert 81 == done["acme"].removed == done["acme"].sealed
    assert "eternal" not in done
    with LogReader.open(world.path) as reader:
        kept = [orjson.loads(body) for _, body in reader.entries("acme")]
        assert 81 == next(reader.entries("acme"))[0]
    assert ["intent", "outcome"] * 5 == [entry["kind"] for entry in kept][:10]
    assert {"log.sealed", "log.removed"} == {entry["event"] for entry in kept[10:]}
    world.ledger.close()
    report = verify(world.path, vkey=world.signer.vkey, since=before)
    assert () == report.findings
    assert 81 == report.removed
    assert "What 81 of the entries said was removed by policy" in report.statement
    left = {int(said) for said in re.findall(rb"what-they-said-([0-9]+)\.", world.bytes_beside())}
    assert {1000, 1001, 1002, 500, 501, 502, 503, 504} == left


def test_proofs_of_what_is_kept_and_of_what_is_gone_still_hold(world: World) -> None:
    an_old_log(world)
    with LogReader.open(world.path) as reader:
        leaf = leaf_hash(next(body for at, body in reader.entries("acme") if at == 17))
        old = parse_note(reader.checkpoint("acme"))[1]
    world.keeping.retain()
    world.ledger.close()

    with LogReader.open(world.path) as reader:
        now = parse_note(reader.checkpoint("acme"))[1]
        kept = leaf_hash(next(body for at, body in reader.entries("acme") if at == 85))
        for position, each in ((17, leaf), (85, kept)):
            proof = reader.inclusion("acme", position, now.size)
            assert verify_inclusion(each, index=position, size=now.size, proof=proof, root=now.root)
        proof = reader.consistency("acme", old.size, now.size)
        assert verify_consistency(old_size=old.size, old_root=old.root, size=now.size, root=now.root, proof=proof)


def test_archives_follow_each_other_and_the_log_goes_on_from_them(world: World) -> None:
    an_old_log(world)
    world.keeping.retain()
    world.later(11)
    world.calls("acme", 2, first=900)
    world.keeping.retain()

    vkey = log_vkey(world.signer.vkey, "acme")
    segments = [check_archive(path, vkey=vkey) for path in world.archives("acme")]
    assert [0, 81] == [each.start for each in segments]
    with LogReader.open(world.path) as reader:
        check_joined(segments, reader)
    world.ledger.close()
    assert () == verify(world.path, vkey=world.signer.vkey).findings
    assert SECRET in world.archives("acme")[0].read_bytes()


def test_a_host_that_starts_again_goes_on_with_what_is_left(world: World) -> None:
    an_old_log(world)
    world.keeping.retain()
    crash(world.ledger)
    world.ledger = world.opened()
    world.calls("acme", 2, first=700)

    assert [] == world.keeping.retain()
    world.ledger.close()
    assert () == verify(world.path, vkey=world.signer.vkey).findings


def test_a_quiet_log_gets_no_new_seal_each_day(world: World) -> None:
    an_old_log(world)
    world.keeping.retain()
    sizes = []
    for _ in range(4):
        world.later(15)
        world.keeping.retain()
        sizes.append(world.ledger.size_of("acme"))

    assert sizes[1:] == sizes[:-1]


def test_a_hold_stops_removal_until_it_is_released(world: World) -> None:
    an_old_log(world)
    world.keeping.hold("acme", "case-7", reason="court order", by="p-0123456789abcdef")
    world.again()

    held = next(each for each in world.keeping.retain() if each.tenant == "acme")
    assert ("hold", 0, 81) == (held.waits, held.removed, held.sealed)
    assert [("case-7", "court order")] == [(each.name, each.reason) for each in world.keeping.holds("acme")]
    with pytest.raises(ValidationError, match="already"):
        world.keeping.hold("acme", "case-7", reason="again", by="")
    world.keeping.release("acme", "case-7", by="")
    with pytest.raises(ValidationError, match="no hold"):
        world.keeping.release("acme", "case-7", by="")
    assert 81 == next(each for each in world.keeping.retain() if each.tenant == "acme").removed
    world.ledger.close()
    assert () == verify(world.path, vkey=world.signer.vkey).findings


def test_nothing_is_removed_before_it_is_anchored_where_that_is_asked_for(world: World) -> None:
    an_old_log(world)
    world.anchored = lambda _origin: 80
    waiting: Retained = next(each for each in world.keeping.retain() if each.tenant == "acme")
    world.anchored = lambda _origin: 81

    assert ("anchor", 0) == (waiting.waits, waiting.removed)
    assert 81 == next(each for each in world.keeping.retain() if each.tenant == "acme").removed


def test_an_open_call_and_the_newest_start_of_the_host_stay(world: World) -> None:
    world.calls("acme", 2)
    commit(world.ledger, intent(77, tenant="acme"))
    world.calls("acme", 2, first=10)
    world.later(12)
    world.keeping.retain()
    crash(world.ledger)

    world.ledger = world.opened()
    world.ledger.close()
    assert () == verify(world.path, vkey=world.signer.vkey).findings
    with LogReader.open(world.path) as reader:
        answered = [entry for _, body in reader.entries("acme") if (entry := orjson.loads(body))["kind"] == "outcome"]
        assert "start" == orjson.loads(next(reader.entries(""))[1])["kind"]
    assert "OUTCOME_UNKNOWN" == answered[-1]["code"]


def test_who_empties_entries_without_a_word_of_the_log_is_found(world: World) -> None:
    an_old_log(world)
    world.ledger.close()
    with tampered(world.path) as db:
        db.execute("UPDATE entries SET body = x'' WHERE place BETWEEN (1 << 40) + 4 AND (1 << 40) + 9")

    report = verify(world.path, vkey=world.signer.vkey)

    assert ["6 entries before 10 are gone but for their hashes"] == [
        found.what.split(",")[0] for found in report.findings if "gone" in found.what
    ]


@pytest.mark.parametrize("mark", ['"event":"log.begun"', '"event":"admin.subject_forgotten"', '"event":"log.released"'])
def test_who_empties_what_the_log_says_of_itself_behind_a_removal_is_found(world: World, mark: str) -> None:
    """Without it a whole log could go, or somebody who was forgotten come back, and nothing would tell."""
    assert world.ledger.subjects is not None
    world.ledger.subjects.of("acme", "acme/annegret")
    commit(world.ledger, Event(event="session.opened", subject="s"))
    an_old_log(world)
    world.keeping.forget("acme", "acme/annegret", by="")
    for tenant in ("acme", ""):
        world.keeping.hold(tenant, "case-7", reason="court order", by="")
        world.keeping.release(tenant, "case-7", by="")
    world.again()
    world.later(12)
    world.calls("acme", 1, first=900)
    world.keeping.retain()
    world.ledger.close()
    assert () == verify(world.path, vkey=world.signer.vkey).findings
    with tampered(world.path) as db:
        assert db.execute("UPDATE entries SET body = x'' WHERE instr(body, ?)", (mark.encode(),)).rowcount

    found = [each.what for each in verify(world.path, vkey=world.signer.vkey).findings]

    assert any("are to stay" in each for each in found), found


def test_who_empties_more_than_the_log_says_is_found(world: World) -> None:
    an_old_log(world)
    world.keeping.retain()
    world.ledger.close()
    with tampered(world.path) as db:
        db.execute("UPDATE entries SET body = x'' WHERE place = (1 << 40) + 83")

    assert any(
        "are gone but for their hashes" in each.what for each in verify(world.path, vkey=world.signer.vkey).findings
    )


@pytest.mark.parametrize(
    ("event", "data", "said"),
    [
        ("log.removed", {"stop": 20}, "only 0 were sealed into archives"),
        ("log.removed", {"stop": 9000}, "which come after it"),
        ("log.removed", {}, "does not say of what"),
        ("log.sealed", {"start": 0, "stop": "x"}, "does not say of what"),
    ],
)
def test_a_host_that_removes_without_a_seal_is_refused(
    world: World, event: str, data: dict[str, object], said: str
) -> None:
    """A host that is not honest, with the key of the log."""
    an_old_log(world)
    commit(world.ledger, Event(event=event, subject="x", tenant="acme", data=orjson.dumps(data).decode()))
    world.ledger.close()
    with tampered(world.path) as db:
        db.execute("UPDATE entries SET body = x'' WHERE place BETWEEN (1 << 40) AND (1 << 40) + 19")

    found = [each.what for each in verify(world.path, vkey=world.signer.vkey).findings]

    assert any(said in each for each in found), found
    assert any("are gone but for their hashes" in each for each in found)


def test_a_host_that_removes_what_is_held_is_refused(world: World) -> None:
    an_old_log(world)
    world.keeping.hold("acme", "case-7", reason="court order", by="")
    for event, data in (("log.sealed", {"start": 0, "stop": 20}), ("log.removed", {"stop": 20})):
        commit(world.ledger, Event(event=event, subject="x", tenant="acme", data=orjson.dumps(data).decode()))
    world.ledger.close()

    assert any("holds forbid it" in each.what for each in verify(world.path, vkey=world.signer.vkey).findings)


def test_a_forged_hash_of_a_removed_entry_is_found(world: World) -> None:
    an_old_log(world)
    world.keeping.retain()
    world.ledger.close()
    with tampered(world.path) as db:
        ((hashes,),) = db.execute("SELECT hashes FROM entries WHERE place = (1 << 40) + 7")
        db.execute("UPDATE entries SET hashes = ? WHERE place = (1 << 40) + 7", (bytes(32) + hashes[32:],))

    assert not verify(world.path, vkey=world.signer.vkey).ok


def test_a_rolled_back_log_of_before_the_removal_is_found(world: World) -> None:
    an_old_log(world)
    world.ledger.close()
    old = world.path.read_bytes()
    world.ledger = world.opened()
    world.keeping.retain()
    world.ledger.close()
    seen = read_checkpoint(world.path, tenant="acme")
    world.path.write_bytes(old)

    assert any(
        each.what.startswith("rollback") for each in verify(world.path, vkey=world.signer.vkey, since=seen).findings
    )


def test_an_export_tells_what_was_removed_and_proves_itself(world: World, tmp_path: Path) -> None:
    an_old_log(world)
    world.keeping.retain()
    world.ledger.close()
    export = tmp_path / "export"
    with export.open("wb") as out:
        assert world.ledger.size_of("acme") == write_export(world.path, out, vkey=world.signer.vkey, tenant="acme")

    report = verify(export, vkey=world.signer.vkey)
    assert ((), 81) == (report.findings, report.removed)
    lines = export.read_bytes().splitlines(keepends=True)
    assert not lines[1].startswith(b'{"entry"')
    lines[90] = b'{"leaf"' + lines[90].split(b',"leaf"')[1]
    export.write_bytes(b"".join(lines))
    assert any("are gone but for their hashes" in each.what for each in verify(export, vkey=world.signer.vkey).findings)


def test_the_log_of_a_tenant_that_was_taken_away_whole_is_missed(world: World) -> None:
    """Numbers are closed up as well, so that only the host's own log remembers it."""
    commit(world.ledger, Event(event="session.opened", subject="s"))
    world.calls("globex", 3)
    world.ledger.close()
    with tampered(world.path) as db:
        db.execute("DELETE FROM entries WHERE place >= (1 << 40)")
        db.execute("DELETE FROM places WHERE place >= (1 << 40)")
        db.execute("DELETE FROM checkpoints WHERE place >= (1 << 40)")
        db.execute("DELETE FROM outcomes")
        db.execute("DELETE FROM logs WHERE log = 1")
        for number, (seq,) in enumerate(db.execute("SELECT seq FROM entries ORDER BY seq").fetchall()):
            db.execute("UPDATE entries SET seq = ? WHERE seq = ?", (number, seq))
            db.execute("UPDATE places SET seq = ? WHERE seq = ?", (number, seq))

    found = [each.what for each in verify(world.path, vkey=world.signer.vkey).findings]

    assert [f"is gone: the host's log says that it was begun as '{ORIGIN}/globex'"] == found


def test_nobody_is_forgotten_while_a_hold_lasts_and_then_at_once(world: World) -> None:
    assert world.ledger.subjects is not None
    known = world.ledger.subjects.of("acme", "acme/annegret")
    world.calls("acme", 1)
    world.keeping.hold("acme", "case-7", reason="court order", by="")

    with pytest.raises(ValidationError, match="held by case-7"):
        world.keeping.forget("acme", "acme/annegret", by="")
    world.keeping.release("acme", "case-7", by="")
    world.keeping.forget("acme", "acme/annegret", by="p-9")

    assert None is world.ledger.subjects.find("acme", "acme/annegret")
    assert known != world.ledger.subjects.of("acme", "acme/annegret")
    with pytest.raises(ValidationError, match="Nobody of that name"):
        world.keeping.forget("acme", "acme/nobody", by="")


def test_a_backup_of_the_pseudonyms_brings_nobody_back_who_was_forgotten(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    assert world.ledger.subjects is not None
    known = world.ledger.subjects.of("acme", "acme/annegret").pseudonym
    world.ledger.subjects.of("acme", "acme/berta")
    world.calls("acme", 1)
    world.again()
    world.ledger.close()
    backup = Path(f"{world.path}.subjects").read_bytes()
    world.ledger = world.opened()
    world.keeping.forget("acme", "acme/annegret", by="")
    world.again()
    world.ledger.close()

    Path(f"{world.path}.subjects").write_bytes(backup)
    assert known in read_names(world.path)
    world.ledger = world.opened()

    assert ["acme/berta"] == [name for _, name in read_names(world.path).values()]
    assert "who was forgotten was there again" in caplog.text
    world.ledger.close()
    assert b"annegret" not in world.bytes_beside()
    with LogReader.open(world.path) as reader:
        notes = [orjson.loads(row.body)["note"] for row in reader.marked([b"admin.subject_forgotten"])]
    assert ["", "was there again, and was destroyed again"] == notes


def test_an_archive_that_cannot_be_written_removes_nothing(world: World) -> None:
    an_old_log(world)
    (world.folder / "archives").write_text("in the way")

    with pytest.raises(ConfigurationError, match="cannot be written"):
        world.keeping.retain()
    world.ledger.close()
    assert 0 == verify(world.path, vkey=world.signer.vkey).removed
