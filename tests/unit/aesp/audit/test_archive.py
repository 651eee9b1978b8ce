"""Sealed segments of a log: they verify alone, and joined with each other and with the log that goes on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.aesp.audit.archive import Segment, check_archive, check_joined, position_before, write_archive
from altar.aesp.audit.opening import open_records
from tests.unit.aesp.audit.scene import TIME_MS, a_log, add_calls
from tests.unit.ledger.samples import open_ledger, signer_in


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return a_log(tmp_path, calls=20)


def sealed(log: Path, start: int, stop: int) -> tuple[Path, Segment]:
    reader = open_records(log).reader
    path = log.with_name(f"{start}-{stop}.archive")
    with path.open("wb") as out:
        made = write_archive(reader, reader.logs()[0], out, start=start, stop=stop, vkey=vkey(log))
    reader.close()
    return path, made


def vkey(log: Path) -> str:
    return signer_in(log.parent).vkey


@pytest.mark.parametrize(("start", "stop"), [(0, 1), (0, 43), (1, 2), (7, 16), (16, 17), (5, 43), (42, 43)])
def test_a_segment_verifies_alone(log: Path, start: int, stop: int) -> None:
    path, made = sealed(log, start, stop)

    assert made == check_archive(path, vkey=vkey(log))


def test_segments_verify_joined_and_the_log_goes_on_from_them(tmp_path: Path, log: Path) -> None:
    paths = [sealed(log, start, stop)[0] for start, stop in ((0, 10), (10, 11), (11, 40))]
    ledger = open_ledger(log, signer_in(tmp_path))
    add_calls(ledger, 5, first=100)
    ledger.close()

    segments = [check_archive(path, vkey=vkey(log)) for path in paths]
    reader = open_records(log).reader
    check_joined(segments, reader)
    reader.close()


def test_a_gap_between_segments_is_found(log: Path) -> None:
    first, _ = sealed(log, 0, 10)
    later, _ = sealed(log, 11, 20)

    with pytest.raises(AltarError, match="does not go on from what ends before 10"):
        check_joined([check_archive(path, vkey=vkey(log)) for path in (first, later)])


def test_a_log_that_does_not_go_on_from_its_archive_is_found(tmp_path: Path, log: Path) -> None:
    path, _ = sealed(log, 0, 10)
    segment = check_archive(path, vkey=vkey(log))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = open_records(a_log(elsewhere, calls=21)).reader

    try:
        check_joined([segment], other)  # the first ten entries are the same, so this holds
    finally:
        other.close()
    forged = a_log_with_another_past(tmp_path / "forged")
    with pytest.raises(AltarError, match="does not go on from the archive"):
        check_joined([segment], open_records(forged).reader)


def a_log_with_another_past(folder: Path) -> Path:
    folder.mkdir()
    path = folder / "ledger.db"
    ledger = open_ledger(path, signer_in(folder))
    add_calls(ledger, 20, first=500)
    ledger.close()
    return path


def test_every_changed_character_of_an_archive_is_found(log: Path) -> None:
    path, _ = sealed(log, 5, 9)
    whole = path.read_bytes()
    key = vkey(log)

    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(AltarError) as refused:
            check_archive(path, vkey=key)
        assert "LOG_DAMAGED" == refused.value.code


def test_a_thief_who_reseals_the_file_is_found_by_the_signature(log: Path) -> None:
    path, _ = sealed(log, 5, 9)
    lines = path.read_bytes().splitlines(keepends=True)
    (at,) = [number for number, line in enumerate(lines) if b"carol" in line]
    lines[at] = lines[at].replace(b"carol", b"mallo")
    body = b"".join(lines[:-1])
    path.write_bytes(body + json.dumps({"end": f"sha256:{hashlib.sha256(body).hexdigest()}"}).encode() + b"\n")

    with pytest.raises(AltarError, match="not those that were signed"):
        check_archive(path, vkey=vkey(log))


def test_an_archive_of_another_key_proves_nothing(tmp_path: Path, log: Path) -> None:
    path, _ = sealed(log, 0, 5)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()

    with pytest.raises(AltarError, match="not signed by this key"):
        check_archive(path, vkey=signer_in(elsewhere).vkey)


@pytest.mark.parametrize(("start", "stop"), [(0, 0), (5, 4), (-1, 3), (0, 44)])
def test_only_signed_entries_are_sealed(log: Path, start: int, stop: int) -> None:
    with pytest.raises(AltarError, match="no signed entries"):
        sealed(log, start, stop)


def test_a_time_becomes_a_position(log: Path) -> None:
    reader = open_records(log).reader
    (only,) = reader.logs()

    assert (0, 43) == (position_before(reader, only, TIME_MS), position_before(reader, only, TIME_MS + 1))
    reader.close()
