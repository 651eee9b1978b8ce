"""Dump a store as this version makes it, for the test that upgrades from every released one.

Run it once for each release that has a new revision: `python scripts/dump_store.py`.
Out: `<revision>.sqlite.sql` and `<revision>.postgresql.sql` in `tests/integration/store_releases`, each with the
tables and a few rows.
A dump of a released revision is never written again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

from altar.aesp.roles import Roles
from altar.aesp.store import people
from altar.aesp.store.database import Store
from altar.aesp.store.migrating import head
from altar.aesp.tenants import Tenants
from altar.testing.postgres import LocalPostgres, programs_of_postgres

FOLDER = Path(__file__).resolve().parent.parent / "tests/integration/store_releases"


def main() -> int:
    """Write both dumps; return the exit code."""
    FOLDER.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        _fill(f"sqlite:///{folder}/store.db")
        with closing(sqlite3.connect(f"{folder}/store.db")) as connection:
            lines = list(connection.iterdump())
            (application,) = connection.execute("PRAGMA application_id").fetchone()
    text = "\n".join([f"PRAGMA application_id = {application};", *lines]) + "\n"
    (FOLDER / f"{head()}.sqlite.sql").write_text(text, encoding="utf-8")
    with LocalPostgres() as server:
        url = server.create_database()
        _fill(url)
        (FOLDER / f"{head()}.postgresql.sql").write_text(_dumped(url), encoding="utf-8")
    return 0


def _fill(url: str) -> None:
    store = Store.open(url)
    try:
        asyncio.run(_filled(store))
    finally:
        store.close()


async def _filled(store: Store) -> None:
    """Make what the test looks for: alice may call tools by way of a group, a role and the role that it inherits."""
    tenants = Tenants(store, clock=lambda: 1.0)
    await tenants.create_organization("initech")
    await tenants.create("acme", organization="initech", quotas={"roles": 9})
    roles = Roles(store, clock=lambda: 1.0, new_id=lambda: "b-1")
    await roles.create("caller", tenant="acme", permissions=["tools:execute"], inherits=["viewer"])
    await store.run(lambda c: people.create_principal(c, tenant="acme", name="alice", now_ms=1), tenant="acme")
    await store.run(lambda c: people.create_group(c, tenant="acme", name="team", now_ms=1), tenant="acme")
    await store.run(
        lambda c: people.set_members(c, tenant="acme", group="team", principals=["alice"], source="local"),
        tenant="acme",
    )
    await roles.bind("caller", tenant="acme", group="team")


def _dumped(url: str) -> str:
    """Give the schema as pg_dump has it, without what changes from run to run."""
    programs = programs_of_postgres()
    if programs is None:
        raise RuntimeError("PostgreSQL is not installed")
    command = [str(programs / "pg_dump"), "--schema=altar", "--inserts", url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return "".join(
        line for line in text.splitlines(keepends=True) if line.strip() and line[:2] != "--" and line[0] != "\\"
    )


if __name__ == "__main__":
    sys.exit(main())
