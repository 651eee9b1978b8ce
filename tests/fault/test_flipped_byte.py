"""Any one changed byte of a log is found, and what it belongs to is named; or the byte means nothing."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from altar.verify import verify
from tests.fault.flipping import flip_and_verify, flip_every_byte, flip_these
from tests.unit.verify.building import (
    PAGE,
    Signer,
    free_some_pages,
    many,
    sample,
    write_database,
    write_export,
    write_logs,
)

pytestmark = pytest.mark.fault


@pytest.fixture
def rng() -> random.Random:
    return random.Random(20_261_122)


def test_a_random_byte_changed_anywhere_in_a_database_is_found_and_named(tmp_path: Path, rng: random.Random) -> None:
    log = sample(100, sign_every=20)
    path = write_database(log, tmp_path / "ledger.db")

    tally = flip_and_verify(path, log.signer.vkey, rng, 200)

    assert tally.missed == []
    assert tally.found + tally.unused == 200
    assert tally.found > 150
    assert verify(path, vkey=log.signer.vkey).ok


def test_a_random_byte_changed_anywhere_in_a_database_of_many_logs_is_found_and_named(
    tmp_path: Path, rng: random.Random
) -> None:
    path = write_logs(many(60), tmp_path / "ledger.db")

    tally = flip_and_verify(path, Signer().vkey, rng, 400)

    assert tally.missed == []
    assert tally.found + tally.unused == 400
    assert tally.found > 250


def test_a_random_byte_changed_anywhere_in_the_export_of_a_tenants_log_is_found_and_named(
    tmp_path: Path, rng: random.Random
) -> None:
    log = sample(60, version=2, tenant="acme")
    path = write_export(log, tmp_path / "log.jsonl")

    tally = flip_and_verify(path, log.signer.vkey, rng, 200)

    assert tally.missed == []
    assert tally.found == 200


def test_a_changed_byte_in_the_trees_of_a_larger_database_of_many_logs_is_found_and_named(
    tmp_path: Path, rng: random.Random
) -> None:
    path = write_logs(many(200), tmp_path / "ledger.db")
    flips = [(offset, 1 << rng.randrange(8)) for offset in rng.sample(_structure(path), 80)]

    tally = flip_these(path, Signer().vkey, flips)

    assert tally.missed == []
    assert tally.found > 60


def test_a_random_byte_changed_anywhere_in_an_export_is_found_and_named(tmp_path: Path, rng: random.Random) -> None:
    log = sample(100, sign_every=20)
    path = write_export(log, tmp_path / "log.jsonl")

    tally = flip_and_verify(path, log.signer.vkey, rng, 200)

    assert tally.missed == []
    assert tally.found == 200


def test_a_changed_byte_in_the_trees_of_a_larger_database_is_found_and_named(
    tmp_path: Path, rng: random.Random
) -> None:
    log = sample(450, sign_every=20)
    path = write_database(log, tmp_path / "ledger.db")
    flips = [(offset, 1 << rng.randrange(8)) for offset in rng.sample(_structure(path), 60)]

    tally = flip_these(path, log.signer.vkey, flips)

    assert tally.missed == []
    assert tally.found > 50


def test_a_changed_byte_in_the_list_of_free_pages_is_found_and_named(tmp_path: Path, rng: random.Random) -> None:
    log = sample(20)
    path = write_database(log, tmp_path / "ledger.db", meddle=free_some_pages)
    data = path.read_bytes()
    trunk = (int.from_bytes(data[32:36], "big") - 1) * PAGE
    used = [*range(32, 40), *range(trunk, trunk + 4 + 4 * int.from_bytes(data[36:40], "big"))]

    tally = flip_these(path, log.signer.vkey, [(offset, rng.randrange(1, 256)) for offset in used * 3])

    assert tally.missed == []
    assert 3 * len(used) == tally.found


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_byte_of_a_small_database_is_found_or_means_nothing(tmp_path: Path, rng: random.Random) -> None:
    log = sample(12, sign_every=40, pad=1400)  # few but long entries fill many pages
    path = write_database(log, tmp_path / "ledger.db")

    tally = flip_every_byte(path, log.signer.vkey, rng)

    assert tally.missed == []
    assert path.stat().st_size == tally.found + tally.unused
    assert path.stat().st_size >= 9 * PAGE


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_byte_of_a_small_database_of_many_logs_is_found_or_means_nothing(
    tmp_path: Path, rng: random.Random
) -> None:
    path = write_logs(many(2, pad=1400), tmp_path / "ledger.db")

    tally = flip_every_byte(path, Signer().vkey, rng)

    assert tally.missed == []
    assert path.stat().st_size == tally.found + tally.unused


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_every_byte_of_a_small_export_is_found(tmp_path: Path, rng: random.Random) -> None:
    log = sample(3)
    path = write_export(log, tmp_path / "log.jsonl")

    tally = flip_every_byte(path, log.signer.vkey, rng)

    assert tally.missed == []
    assert path.stat().st_size == tally.found


def _structure(path: Path) -> list[int]:
    """Return the offsets of the page headers, and of what interior pages hold."""
    data = path.read_bytes()
    found = list(range(100, 116))
    for start in range(PAGE, len(data), PAGE):
        found += range(start, start + 8)
        if data[start] == 0x05:
            cells, content = (int.from_bytes(data[start + at : start + at + 2], "big") for at in (3, 5))
            found += [*range(start + 8, start + 12 + 2 * cells), *range(start + content, start + PAGE)]
    return found
