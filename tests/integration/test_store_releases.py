"""A store of every released version is brought forward, with all that is in it."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.exc import DBAPIError

from altar.aesp.directory import Directory
from altar.aesp.principal import Principal, PrincipalKind
from altar.aesp.rbac import Rbac
from altar.aesp.store import people, tables
from altar.aesp.store.database import Store
from altar.aesp.store.engines import make_engine
from altar.aesp.store.migrating import head, revision_of, roles_sql

RELEASES = sorted({path.name.partition(".")[0] for path in (Path(__file__).parent / "store_releases").glob("*.sql")})


def load(url: str, dump: Path) -> None:
    """Make the database as it was."""
    text = dump.read_text(encoding="utf-8")
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            connection.executescript(text)
        connection.close()
        return
    with psycopg.connect(url, autocommit=True) as prepared:
        for line in roles_sql("postgres").splitlines():
            try:
                if not line.startswith("CREATE SCHEMA"):
                    prepared.execute(line.encode())
            except psycopg.errors.DuplicateObject:
                pass  # roles belong to the server, which other tests use too
        prepared.execute(text.encode())


def rows_in(url: str) -> dict[str, list[str]]:
    """Every row of every table of administration, as text, whatever revision it is of."""
    engine = make_engine(url)
    found: dict[str, list[str]] = {}
    with engine.connect() as connection:
        for table in tables.METADATA.sorted_tables:
            try:
                with connection.begin_nested() if connection.in_transaction() else connection.begin():
                    rows = [str(sorted(dict(row._mapping).items())) for row in connection.execute(table.select())]
            except DBAPIError:
                continue  # a table that this revision does not have yet
            found[table.name] = sorted(rows)
    engine.dispose()
    return found


def test_everything_that_the_first_release_kept_is_there_after_the_way_forward(empty_url: str) -> None:
    dialect = empty_url.partition(":")[0]
    load(empty_url, Path(__file__).parent / "store_releases" / f"0001.{dialect}.sql")
    before = rows_in(empty_url)

    Store.open(empty_url).close()

    after = rows_in(empty_url)
    assert before == {name: after[name] for name in before}
    assert sum(map(len, before.values())) > 5
    assert {"artefacts", "sign_in_tries"} <= after.keys() - before.keys()


def test_the_newest_revision_has_a_dump() -> None:
    assert head() in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_a_store_of_each_release_is_brought_forward(empty_url: str, release: str) -> None:
    dialect = empty_url.partition(":")[0]
    load(empty_url, Path(__file__).parent / "store_releases" / f"{release}.{dialect}.sql")

    store = Store.open(empty_url)

    try:
        with store.engine.connect() as connection:
            differences = compare_metadata(
                MigrationContext.configure(connection, opts={"compare_type": True}), tables.METADATA
            )
            assert (head(), []) == (revision_of(connection), differences)
        directory = Directory(store, clock=time.time)
        alice = Principal("acme/alice", "acme", PrincipalKind.USER, "password")
        decisions: list[Any] = [
            Rbac(directory).decide(alice, resource="tools/x", action=action).allowed
            for action in ("execute", "read", "delete")
        ]
        assert [True, True, False] == decisions
        store.run_now(
            lambda c: people.update_principal(c, tenant="acme", name="alice", now_ms=2, active=False), tenant="acme"
        )
        assert not Rbac(directory).decide(alice, resource="tools/x", action="execute").allowed
    finally:
        store.close()
