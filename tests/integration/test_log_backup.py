"""A backup of the store on PostgreSQL has the logs of its database with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from altar.adm.errors import ConfigurationError, ValidationError
from altar.aesp.store.backup import backup, restore
from altar.aesp.store.database import Store
from altar.ledger import FileSigner, write_export
from altar.ledger.places import DatabaseLog
from altar.ledger.reader import LogReader
from altar.testing.postgres import LocalPostgres
from altar.verify import verify
from tests.unit.ledger.samples import ORIGIN, commit, intent, open_ledger, outcome, signer_in


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return signer_in(tmp_path)


@pytest.fixture
def place(tmp_path: Path, postgres_url: str, signer: FileSigner) -> DatabaseLog:
    """A log in the database of a store, of a host that was stopped."""
    Store.open(postgres_url).close()
    made = DatabaseLog(postgres_url, ORIGIN, tmp_path / "ledger.db", b"k" * 32)
    ledger = open_ledger(made, signer, per_tenant=True, pseudonyms=True)
    assert ledger.subjects is not None
    ledger.subjects.of("acme", "acme/zelda")
    commit(ledger, *(intent(number) for number in range(30)), *(outcome(number, number - 30) for number in range(30)))
    ledger.close()
    return made


def saved(place: DatabaseLog, file: Path) -> None:
    store = Store.open(place.url)
    try:
        backup(store, file)
    finally:
        store.close()


def test_a_host_goes_on_with_a_restored_log_and_knows_whom_it_is_about(
    place: DatabaseLog, signer: FileSigner, tmp_path: Path, postgres: LocalPostgres
) -> None:
    saved(place, tmp_path / "monday.tar")
    assert b"zelda" not in (tmp_path / "monday.tar").read_bytes()
    url = postgres.create_database()

    restore(url, tmp_path / "monday.tar")
    (tmp_path / "new").mkdir()
    there = replace(place, url=url, beside=tmp_path / "new" / "ledger.db")
    ledger = open_ledger(there, signer, per_tenant=True, pseudonyms=True)
    commit(ledger, intent(100), outcome(100, -1))
    assert ledger.subjects is not None
    known = ledger.subjects.find("acme", "acme/zelda")
    ledger.close()

    assert known is not None
    assert 2 == ledger.epoch
    with LogReader.open(place) as before, (tmp_path / "acme.jsonl").open("wb") as out:
        kept = before.checkpoint("acme").decode()
        write_export(there, out, vkey=signer.vkey, tenant="acme")
    assert verify(tmp_path / "acme.jsonl", vkey=signer.vkey, since=kept).ok
    postgres.drop_database(url)


def test_a_log_that_is_there_is_not_replaced(place: DatabaseLog, tmp_path: Path, postgres: LocalPostgres) -> None:
    saved(place, tmp_path / "monday.tar")
    url = postgres.create_database()
    other = replace(place, url=url, beside=tmp_path / "other.db")
    open_ledger(other, signer_in(tmp_path), per_tenant=True).close()
    with LogReader.open(other) as reader:
        before = list(reader.rows())

    with pytest.raises(ValidationError, match="is not empty, so nothing was restored"):
        restore(url, tmp_path / "monday.tar")

    with LogReader.open(other) as reader:
        assert before == list(reader.rows())
    postgres.drop_database(url)


def test_a_backup_is_of_one_moment_while_the_host_writes(
    place: DatabaseLog, signer: FileSigner, tmp_path: Path, postgres: LocalPostgres
) -> None:
    ledger = open_ledger(place, signer, per_tenant=True)
    for number in range(400):
        ledger.commit([intent(200 + number), outcome(200 + number, -1)], lambda _seq, _error: None)
    saved(place, tmp_path / "now.tar")
    ledger.close()
    url = postgres.create_database()
    restore(url, tmp_path / "now.tar")

    there = replace(place, url=url, beside=tmp_path / "there.db")
    open_ledger(there, signer, per_tenant=True).close()
    with (tmp_path / "acme.jsonl").open("wb") as out:
        write_export(there, out, vkey=signer.vkey, tenant="acme")

    assert verify(tmp_path / "acme.jsonl", vkey=signer.vkey).ok
    postgres.drop_database(url)


def test_a_log_of_a_newer_layout_is_not_restored(place: DatabaseLog, tmp_path: Path, postgres: LocalPostgres) -> None:
    with psycopg.connect(place.url, autocommit=True) as connection:
        (schema,) = connection.execute(
            "SELECT nspname FROM pg_namespace WHERE nspname ~ '^altar_log_.*[^d]$'"
        ).fetchall()[0]
        connection.execute(f"INSERT INTO {schema}.layout VALUES (9, %s)".encode(), (ORIGIN,))
    saved(place, tmp_path / "monday.tar")
    url = postgres.create_database()

    with pytest.raises(ConfigurationError, match="a log of layout 9, this ALTAR knows 1"):
        restore(url, tmp_path / "monday.tar")
    postgres.drop_database(url)
