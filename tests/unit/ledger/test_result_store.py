"""The store of results under idempotency keys, and the claims of keys as the log says them."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from altar.adm.errors import AltarError, ConfigurationError
from altar.ledger.beside import Then
from altar.ledger.claims import recorded_claims
from altar.ledger.result_store import ResultStore, results_path
from tests.unit.ledger.samples import TIME_MS, commit, intent, open_ledger, outcome, rows, signer_in


def opened(path: Path) -> ResultStore:
    return ResultStore(path, on_failure=lambda _: None, deliver=lambda run: run())


class Told:
    """Waits for one answer of a store."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.body: bytes | None = None
        self.error: AltarError | None = None

    @property
    def then(self) -> Then:
        return lambda error: self.found(None, error)

    def found(self, body: bytes | None, error: AltarError | None) -> None:
        self.body, self.error = body, error
        self.event.set()

    def wait(self) -> bytes | None:
        assert self.event.wait(30)
        return self.body


def kept(store: ResultStore, seq: int, body: bytes) -> None:
    told = Told()
    store.save(seq, body, then=told.then)
    told.wait()
    assert told.error is None


def fetched(store: ResultStore, seq: int) -> bytes | None:
    told = Told()
    store.fetch(seq, told.found)
    return told.wait()


def test_what_is_kept_is_there_when_the_store_is_opened_again(tmp_path: Path) -> None:
    store = opened(tmp_path / "results")
    store.begin(7)
    kept(store, 9, b"+1")
    kept(store, 12, b"+22")
    store.drop([12])
    store.close()

    store = opened(tmp_path / "results")
    store.begin(99)

    assert (7, {9: 2}) == store.load()
    assert (b"+1", None) == (fetched(store, 9), fetched(store, 12))
    store.close()


def test_a_damaged_row_is_as_if_it_were_gone(tmp_path: Path) -> None:
    store = opened(tmp_path / "results")
    kept(store, 9, b"+1")
    store.close()
    with sqlite3.connect(tmp_path / "results") as db:
        db.execute("UPDATE results SET body = x'2B32'")
    db.close()

    store = opened(tmp_path / "results")

    assert fetched(store, 9) is None
    store.close()


def test_every_flipped_byte_is_noticed_or_changes_nothing(tmp_path: Path) -> None:
    store = opened(tmp_path / "whole")
    store.begin(0)
    kept(store, 9, b'+{"paid":5}')
    store.close()
    whole = (tmp_path / "whole").read_bytes()
    for at in range(0, len(whole), 61):
        damaged = tmp_path / "damaged"
        damaged.write_bytes(whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        with suppress(ConfigurationError):  # LOG_DAMAGED or INVALID_CONFIG; nothing else may be raised
            store = opened(damaged)
            assert fetched(store, 9) in {None, b'+{"paid":5}'}
            store.close()
        for left in tmp_path.glob("damaged*"):
            left.unlink()


def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    store = opened(tmp_path / "results")
    store.close()
    told = Told()
    store.fetch(9, told.found)
    told.wait()

    assert told.error is not None
    assert "LOG_UNAVAILABLE" == told.error.code


def test_another_program_s_file_is_not_touched(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "results") as db:
        db.execute("CREATE TABLE other (a)")
    db.close()

    with pytest.raises(ConfigurationError, match="cannot be read") as refused:
        opened(tmp_path / "results")

    assert "LOG_DAMAGED" == refused.value.code
    assert [("other",)] == rows(tmp_path / "results", "SELECT name FROM sqlite_schema")


def test_the_claims_are_what_the_log_says(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = open_ledger(path, signer_in(tmp_path))
    first, _ = commit(ledger, intent(1, key="once"), outcome(1, -1), intent(2), outcome(2, -1))
    cut, _ = commit(ledger, intent(3, key="once", call='a "key":"once" of mine'), intent(4, call='"key":"once"'))
    ledger.close()

    claims = list(recorded_claims(str(path)))
    later = list(recorded_claims(str(path), floor=first + 1))

    assert [first, cut] == [claim.intent for claim in claims]
    assert claims[1:] == later
    assert ("acme", "alice", "call-1") == claims[0].key
    assert ("", "yes", TIME_MS) == (claims[0].code, claims[0].ran, claims[0].ended_ms)
    assert ("OUTCOME_UNKNOWN", "unknown") == (claims[1].code, claims[1].ran)


def test_a_damaged_claim_is_damage_of_the_log(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = open_ledger(path, signer_in(tmp_path))
    seq, _ = commit(ledger, intent(1, key="once"), outcome(1, -1))
    ledger.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE entries SET body = CAST(replace(body, 'alice', 'mallo') AS BLOB) WHERE seq = ?", (seq,))
    db.close()

    with pytest.raises(ConfigurationError, match=f"entry {seq} is not what its leaf hash says"):
        list(recorded_claims(str(path)))


def test_a_ledger_has_no_results_until_they_are_asked_for(tmp_path: Path) -> None:
    ledger = open_ledger(tmp_path / "ledger.db", signer_in(tmp_path))

    before = ledger.has_results
    assert ledger.results is ledger.results
    assert (False, True) == (before, ledger.has_results)
    ledger.close()
    assert results_path(tmp_path / "ledger.db").exists()
    assert 0o600 == results_path(tmp_path / "ledger.db").stat().st_mode & 0o777
