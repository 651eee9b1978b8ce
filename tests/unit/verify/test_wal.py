"""A database whose writer was killed: the write-ahead log beside it counts as far as it was committed."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from altar.verify import locate, verify
from altar.verify.report import Findings
from altar.verify.wal import read_wal
from tests.unit.verify.building import PAGE, Log, sample, write_database

HEADER = 32
FRAME = 24 + PAGE


@pytest.fixture
def log() -> Log:
    return sample(40)


@pytest.fixture
def path(log: Log, tmp_path: Path) -> Path:
    return write_database(log, tmp_path / "ledger.db", keep_wal=True)


@pytest.fixture
def wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def test_committed_frames_count(log: Log, path: Path, wal: Path) -> None:
    report = verify(path, vkey=log.signer.vkey)

    assert wal.stat().st_size > 20 * FRAME
    assert report.findings == ()
    assert len(log.bodies) == report.verified_size


def test_a_reused_write_ahead_log_counts_up_to_its_newest_generation(tmp_path: Path) -> None:
    log = sample(1000, sign_every=100)
    path = write_database(log, tmp_path / "ledger.db", keep_wal=True)

    report = verify(path, vkey=log.signer.vkey)

    assert path.stat().st_size > 50 * PAGE
    assert report.findings == ()
    assert len(log.bodies) == report.verified_size


def test_a_broken_frame_before_others_is_damage_and_is_named(log: Log, path: Path, wal: Path) -> None:
    original = wal.read_bytes()
    last = (len(original) - HEADER) // FRAME - 1
    rng = random.Random(4)
    for _ in range(20):
        frame = rng.randrange(last)
        at = HEADER + frame * FRAME + rng.randrange(FRAME)
        page = locate(wal, at).page
        changed = bytearray(original)
        changed[at] ^= 1 << rng.randrange(8)
        wal.write_bytes(changed)

        report = verify(path, vkey=log.signer.vkey)

        assert not report.ok
        assert report.findings[0].where.startswith(f"write-ahead log: frame {frame} (page ")
        assert HEADER + frame * FRAME == report.findings[0].offset
        assert page is not None
        wal.write_bytes(original)


def test_a_broken_header_is_damage_because_all_frames_are_lost_with_it(log: Log, path: Path, wal: Path) -> None:
    original = wal.read_bytes()
    for at in range(HEADER):
        changed = bytearray(original)
        changed[at] ^= 0x10
        wal.write_bytes(changed)

        report = verify(path, vkey=log.signer.vkey)

        assert not report.ok
        assert "write-ahead log: " in report.findings[0].where


def test_a_transaction_that_was_not_written_to_its_end_is_no_part_of_the_log(log: Log, path: Path, wal: Path) -> None:
    data = wal.read_bytes()
    wal.write_bytes(data[:-100])

    report = verify(path, vkey=log.signer.vkey)

    assert report.findings == ()
    assert sorted(log.signed)[-2] == report.verified_size
    assert report.entries < len(log.bodies)


def test_an_empty_write_ahead_log_changes_nothing(log: Log, tmp_path: Path) -> None:
    path = write_database(log, tmp_path / "closed.db")
    path.with_name("closed.db-wal").write_bytes(b"")

    assert verify(path, vkey=log.signer.vkey).ok


def test_a_byte_of_the_main_file_under_a_newer_frame_is_unused(log: Log, path: Path) -> None:
    location = locate(path, 100)

    assert "page 1, superseded by the write-ahead log (unused)" == location.text
    assert not location.used


def test_a_byte_of_the_write_ahead_log_is_named_by_its_frame(wal: Path) -> None:
    data = wal.read_bytes()
    page = int.from_bytes(data[HEADER + FRAME : HEADER + FRAME + 4], "big")

    assert "write-ahead log: header" == locate(wal, 3).text
    assert f"write-ahead log: frame 1 (page {page}), header" == locate(wal, HEADER + FRAME + 5).text
    assert f"write-ahead log: frame 1 (page {page}), byte 6 of the page" == locate(wal, HEADER + FRAME + 30).text
    wal.write_bytes(data + bytes(50))
    assert not locate(wal, len(data) + 3).used


def test_what_a_killed_writer_left_without_a_commit_is_no_damage(log: Log, path: Path, tmp_path: Path) -> None:
    killed, restarted = tmp_path / "killed.db", tmp_path / "restarted.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA cache_size=5")
        writer.execute("BEGIN IMMEDIATE")
        for seq in range(1000, 1200):
            writer.execute("INSERT INTO entries VALUES (?, ?, ?)", (seq, bytes(1000), bytes(32)))
        _copy(path, killed)
    with contextlib.closing(sqlite3.connect(killed, isolation_level=None)) as writer:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("PRAGMA user_version=1")
        _copy(killed, restarted)

    report = verify(restarted, vkey=log.signer.vkey)

    assert read_wal(restarted.with_name("restarted.db-wal"), Findings()).tail > 20 * FRAME
    assert report.findings == ()
    assert len(log.bodies) == report.verified_size


def test_a_file_that_changes_under_the_reader_is_read_again(tmp_path: Path) -> None:
    log = sample(2100, sign_every=2000)
    path = write_database(log, tmp_path / "ledger.db")
    whole = path.read_bytes()
    path.write_bytes(whole[: -2 * PAGE])
    told: list[int] = []

    def mend(entries: int) -> None:
        told.append(entries)
        path.write_bytes(whole)
        os.utime(path, (len(told), len(told)))

    mended = verify(path, vkey=log.signer.vkey, progress=mend)

    assert [4096, 4096] == told[:2]
    assert mended.ok


def _copy(path: Path, target: Path) -> None:
    """Take the files as a kill would leave them."""
    shutil.copy(path, target)
    shutil.copy(f"{path}-wal", f"{target}-wal")
