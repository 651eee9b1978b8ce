"""The power fails after any operation on the disk: nothing that was acknowledged may be missing."""

from __future__ import annotations

import random
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType

import pytest

from altar.adm.errors import AltarError
from altar.ledger import Event, FileSigner, Intent, Ledger, Outcome
from altar.ledger.log import leaf_hash, parse_note, tree_root
from altar.verify import verify
from tests.fault.recording_vfs import Operation, RecordingDisk, surviving_files
from tests.unit.ledger.samples import commit, entries_in, intent, open_ledger, outcome, rows, signer_in

pytestmark = [pytest.mark.fault, pytest.mark.timeout(120)]

Acknowledged = tuple[int, bytes]


@pytest.fixture
def disk(request: pytest.FixtureRequest) -> Iterator[RecordingDisk]:
    disk = RecordingDisk(f"recording-{request.node.name}")
    yield disk
    disk.unregister()


def test_whatever_was_acknowledged_survives_a_power_cut_at_any_moment(tmp_path: Path, disk: RecordingDisk) -> None:
    signer = signer_in(tmp_path)
    work_on(tmp_path, disk, signer)

    moments = survivors_at_every_moment(disk.operations, chance=None)

    assert len(moments) > 40
    for files, acknowledged in moments:
        assert missing_after_recovery(tmp_path, files, acknowledged, signer) == []


def test_it_survives_also_when_some_unsynced_sectors_reached_the_disk(tmp_path: Path, disk: RecordingDisk) -> None:
    signer = signer_in(tmp_path)
    work_on(tmp_path, disk, signer)

    moments = survivors_at_every_moment(disk.operations, chance=random.Random(20_260_101))

    assert len(moments) > 100
    for files, acknowledged in moments:
        assert missing_after_recovery(tmp_path, files, acknowledged, signer) == []


def test_the_power_may_fail_again_during_the_recovery(tmp_path: Path, disk: RecordingDisk) -> None:
    signer = signer_in(tmp_path)
    work_on(tmp_path, disk, signer)
    chance = random.Random(7)
    first_cuts = survivors_at_every_moment(disk.operations, chance=chance)[::20]

    for before, acknowledged in first_cuts:
        disk.operations.clear()
        path = restored(tmp_path / "again", before) / "ledger.db"
        open_ledger(path, signer, connect=disk.connect).close()
        for files, _ in survivors_at_every_moment(disk.operations, before=before, chance=chance)[::3]:
            assert missing_after_recovery(tmp_path, files, acknowledged, signer) == []


def test_logs_of_tenants_that_begin_meanwhile_are_there_and_signed_or_not_there(
    tmp_path: Path, disk: RecordingDisk
) -> None:
    signer = signer_in(tmp_path)
    ledger = open_ledger(tmp_path / "ledger.db", signer, connect=disk.connect, per_tenant=True)
    for number in range(4):
        tenants = (f"first-{number}", f"second-{number}", "same")
        asked = [intent(10 * number + at, tenant=tenant) for at, tenant in enumerate(tenants)]
        commit_together(ledger, disk, [[each] for each in asked])
    ledger.close()

    moments = survivors_at_every_moment(disk.operations, chance=None)

    assert len(moments) > 15
    for files, acknowledged in moments:
        path = restored(tmp_path / "survived", files) / "ledger.db"
        if acknowledged:  # as an auditor finds it, before the host is there again
            assert () == verify(path, vkey=signer.vkey).findings
        open_ledger(path, signer, per_tenant=True).close()
        report = verify(path, vkey=signer.vkey)
        assert ((), 0) == (report.findings, report.open_intents)
        found = {entry.get("invocation", "") for entry in entries_in(path)}
        assert {invocation.decode() for _, invocation in acknowledged} <= found


def test_a_disk_that_only_pretends_to_sync_would_be_found_out(tmp_path: Path, disk: RecordingDisk) -> None:
    signer = signer_in(tmp_path)
    work_on(tmp_path, disk, signer)
    lying = [operation for operation in disk.operations if operation.kind != "sync"]

    files, acknowledged = survivors_at_every_moment(lying, chance=None)[-1]

    assert acknowledged
    assert missing_after_recovery(tmp_path, files, acknowledged, signer) == [seq for seq, _ in acknowledged]


def test_after_a_failed_sync_everything_is_refused_and_nothing_acknowledged_is_lost(
    tmp_path: Path, disk: RecordingDisk
) -> None:
    signer = signer_in(tmp_path)
    failures: list[AltarError] = []
    ledger = open_ledger(tmp_path / "ledger.db", signer, connect=disk.connect, failures=failures)
    first, accepted = commit(ledger, intent(1))
    disk.syncs_left = 0

    refused = [commit(ledger, intent(number)) for number in (2, 3)]
    disk.syncs_left = None
    late = commit(ledger, intent(4))
    ledger.close()

    assert accepted is None
    assert [(-1, "LOG_UNAVAILABLE")] * 3 == [(seq, error and error.code) for seq, error in [*refused, late]]
    assert ["LOG_UNAVAILABLE"] == [failure.code for failure in failures]
    reopened = open_ledger(tmp_path / "ledger.db", signer)
    reopened.close()
    assert "inv-1" == entries_in(tmp_path / "ledger.db")[first]["invocation"]
    assert_every_intent_has_one_outcome(tmp_path / "ledger.db")


def test_a_sync_that_fails_at_the_stop_is_told_and_costs_nothing_acknowledged(
    tmp_path: Path, disk: RecordingDisk
) -> None:
    signer = signer_in(tmp_path)
    failures: list[AltarError] = []
    ledger = open_ledger(tmp_path / "ledger.db", signer, connect=disk.connect, failures=failures)
    first, _ = commit(ledger, intent(1))
    disk.syncs_left = 0

    ledger.close()

    assert ["LOG_UNAVAILABLE"] == [failure.code for failure in failures]
    open_ledger(tmp_path / "ledger.db", signer).close()
    assert "inv-1" == entries_in(tmp_path / "ledger.db")[first]["invocation"]
    assert_every_intent_has_one_outcome(tmp_path / "ledger.db")


def work_on(folder: Path, disk: RecordingDisk, signer: FileSigner) -> None:
    """Run a ledger through calls, crowds of commits, stops and starts; acknowledgements are noted."""
    number = 0
    for crowd in (1, 5, 2):
        ledger = open_ledger(folder / "ledger.db", signer, connect=disk.connect)
        for _round in range(7):
            numbers = range(number, number + crowd)
            number += crowd
            seqs = commit_together(ledger, disk, [[intent(n)] for n in numbers])
            commit_together(ledger, disk, [[outcome(n, seq)] for n, seq in zip(numbers, seqs, strict=True) if n % 4])
        commit_together(ledger, disk, [[intent(number + 900), outcome(number + 900, -1)]])
        ledger.close()


def commit_together(
    ledger: Ledger, disk: RecordingDisk, batches: Sequence[Sequence[Intent | Outcome | Event]]
) -> list[int]:
    """Commit without waiting in between, note each acknowledgement as it comes, wait for all."""
    seqs: list[int] = [-1] * len(batches)
    left = threading.Semaphore(0)

    def acknowledge(place: int, first: int, error: AltarError | None) -> None:
        assert error is None
        seqs[place] = first
        for at, entry in enumerate(batches[place]):
            disk.note((first + at, entry.invocation.encode() if not isinstance(entry, Event) else b""))
        left.release()

    for place, batch in enumerate(batches):
        ledger.commit(batch, partial(acknowledge, place))
    for _ in batches:
        assert left.acquire(timeout=30)
    return seqs


def survivors_at_every_moment(
    operations: Sequence[Operation],
    *,
    before: Mapping[str, bytes] = MappingProxyType({}),
    chance: random.Random | None,
) -> list[tuple[dict[str, bytes], list[Acknowledged]]]:
    """Give each different state of the disk, with all that was acknowledged when it could last be found."""
    moments: dict[tuple[tuple[str, bytes], ...], list[Acknowledged]] = {}
    for end in range(len(operations) + 1):
        files = surviving_files(operations[:end], before=before, chance=chance)
        acknowledged = [operation.note for operation in operations[:end] if operation.kind == "note"]
        moments[tuple(sorted(files.items()))] = acknowledged  # type: ignore[assignment]  # notes are what work_on noted
    return [(dict(files), acknowledged) for files, acknowledged in moments.items()]


def missing_after_recovery(
    folder: Path, files: dict[str, bytes], acknowledged: Sequence[Acknowledged], signer: FileSigner
) -> list[int]:
    """Put the files on a real disk, let a ledger recover and stop, check the log, tell what is missing."""
    path = restored(folder / "survived", files) / "ledger.db"
    open_ledger(path, signer).close()
    assert_every_intent_has_one_outcome(path)
    assert_the_tree_is_signed(path)
    report = verify(path, vkey=signer.vkey)
    assert (True, ()) == (report.ok, report.findings)
    found = entries_in(path)
    return [
        seq
        for seq, invocation in acknowledged
        if seq >= len(found) or found[seq].get("invocation", "").encode() != invocation
    ]


def restored(place: Path, files: Mapping[str, bytes]) -> Path:
    """Make a folder that holds these files and nothing else."""
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    for name, content in files.items():
        (place / name).write_bytes(content)
    return place


def assert_every_intent_has_one_outcome(path: Path) -> None:
    entries = entries_in(path)
    intents = [seq for seq, entry in enumerate(entries) if entry["kind"] == "intent"]
    answered = sorted(entry["intent"] for entry in entries if entry["kind"] == "outcome")
    assert intents == answered
    table = rows(path, "SELECT intent, seq FROM outcomes ORDER BY seq")
    assert [(e["intent"], seq) for seq, e in enumerate(entries) if e["kind"] == "outcome"] == [*map(tuple, table)]


def assert_the_tree_is_signed(path: Path) -> None:
    stored = rows(path, "SELECT seq, body, substr(hashes, 1, 32) FROM entries ORDER BY seq")
    (note,) = rows(path, "SELECT note FROM checkpoints ORDER BY place DESC LIMIT 1")[0]
    checkpoint = parse_note(note)[1]
    assert list(range(len(stored))) == [seq for seq, _, _ in stored]
    assert all(leaf_hash(body) == leaf for _, body, leaf in stored)
    assert (len(stored), tree_root([leaf for _, _, leaf in stored])) == (checkpoint.size, checkpoint.root)
