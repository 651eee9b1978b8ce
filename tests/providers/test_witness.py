"""Checkpoints before a witness that others wrote: what it cosigns, and what a thief cannot have it cosign."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.aesp.audit.anchors import Anchors, cosigned_note
from altar.aesp.audit.opening import open_records
from altar.aesp.audit.witness import Witness, cosigned_by, parse_witness_key
from tests.providers.litewitness import Litewitness, litewitness
from tests.unit.aesp.audit.scene import ORIGIN, a_log, add_calls
from tests.unit.ledger.samples import open_ledger, signer_in


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return a_log(tmp_path)


@pytest.fixture
def service(tmp_path: Path, log: Path) -> Iterator[Litewitness]:
    with litewitness(tmp_path / "witness", logs={ORIGIN: signer_in(tmp_path).vkey}) as running:
        yield running


def a_round(log: Path, service: Litewitness, *, key: str | None = None) -> list[tuple[int, str]]:
    """Anchor once, and tell sizes and codes."""
    anchors = Anchors(log, directory=None, witnesses=[Witness(service.address, parse_witness_key(key or service.vkey))])
    reader = open_records(log).reader
    try:
        return [(each.size, "" if each.error is None else each.error.code) for each in anchors.round(reader)]
    finally:
        anchors.close()
        reader.close()


def grow(folder: Path, log: Path, calls: int, *, first: int = 100) -> None:
    ledger = open_ledger(log, signer_in(folder))
    add_calls(ledger, calls, first=first)
    ledger.close()


def test_a_witness_cosigns_a_log_as_it_grows(tmp_path: Path, log: Path, service: Litewitness) -> None:
    first = a_round(log, service)
    again = a_round(log, service)
    grow(tmp_path, log, 200)
    second = a_round(log, service)

    note = cosigned_note(log, ORIGIN)
    assert ([(9, "")], [], [(411, "")]) == (first, again, second)
    assert note is not None
    cosigned = cosigned_by(note, parse_witness_key(service.vkey))
    assert cosigned is not None
    assert 411 == cosigned.checkpoint.size


def test_a_witness_is_told_where_it_was_when_this_side_has_forgotten(
    tmp_path: Path, log: Path, service: Litewitness
) -> None:
    a_round(log, service)
    shutil.rmtree(f"{log}.witness")
    grow(tmp_path, log, 5)

    assert [(21, "")] == a_round(log, service)


def test_a_log_that_was_rolled_back_is_found_out(tmp_path: Path, log: Path, service: Litewitness) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path, kept, ignore=shutil.ignore_patterns("kept", "witness"))
    grow(tmp_path, log, 20)
    a_round(log, service)

    assert [(9, "LOG_DAMAGED")] == a_round(kept / "ledger.db", service)


def test_a_log_that_was_forked_is_found_out_though_its_own_key_signed_it(
    tmp_path: Path, log: Path, service: Litewitness
) -> None:
    kept = tmp_path / "kept"
    shutil.copytree(tmp_path, kept, ignore=shutil.ignore_patterns("kept", "witness"))
    grow(tmp_path, log, 3)
    a_round(log, service)
    grow(kept, kept / "ledger.db", 30, first=500)

    (size, code), *_ = a_round(kept / "ledger.db", service)

    assert (71, "LOG_DAMAGED") == (size, code)


def test_a_log_that_the_witness_does_not_know_is_not_cosigned(tmp_path: Path, log: Path, service: Litewitness) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    other = a_log(elsewhere)  # the same origin, under a key of its own

    assert [(9, "CONNECTION_FAILED")] == a_round(other, service)


def test_another_witness_cannot_answer_for_this_one(tmp_path: Path, log: Path, service: Litewitness) -> None:
    stranger = "witness.test/one+48a9e8b4+BJ0Jwpu5hJ2E0uiyBRl9eqrEUHTVvEVrdHkXf4Z6oYUC"
    with pytest.raises(AltarError, match="no verifier key of a witness"):
        parse_witness_key(stranger)
    with litewitness(tmp_path / "second", logs={}) as other:
        assert [(9, "CONNECTION_FAILED")] == a_round(log, service, key=other.vkey)
