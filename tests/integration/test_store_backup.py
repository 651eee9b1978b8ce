"""Backups of the store: whole, consistent, of what was written, and never over what is there."""

from __future__ import annotations

import json
import sqlite3
import stat
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select

from altar.adm.errors import AltarError
from altar.aesp.directory import Directory
from altar.aesp.store import people, tables
from altar.aesp.store.backup import backup, restore
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants
from altar.verify import verify
from tests.unit.ledger.samples import commit, intent, open_ledger, signer_in


@pytest.fixture
def another_url(request: pytest.FixtureRequest, store_url: str, tmp_path: Path) -> Iterator[str]:
    """A second empty database of the same kind."""
    if store_url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/another.db"
        return
    server = request.getfixturevalue("postgres")
    url = server.create_database()
    yield url
    server.drop_database(url)


def fill(store: Store, tenant: str = "acme", *, count: int = 20) -> None:
    def work(connection: Connection) -> None:
        Tenants(store, clock=time.time).creation(tenant, quotas={"roles": 5})(connection)
        for number in range(count):
            people.create_principal(connection, tenant=tenant, name=f"p{number}", now_ms=1, display="Zoë\t\\N\n“x”")
        key = {"tenant": tenant, "id": f"{tenant}-k", "principal": "p0", "description": "", "created_ms": 1}
        connection.execute(insert(tables.api_keys).values(**key, salt=b"\0\xff\n", digest=b"\\x41\t"))

    store.run_now(work, tenant=None)


def everything(store: Store) -> dict[str, list[Any]]:
    def work(connection: Connection) -> dict[str, list[Any]]:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))]
            for table in tables.METADATA.sorted_tables
        }

    return store.run_now(work, tenant=None, reads=True)


def backed_up(url: str, target: Path, work: Callable[[Store], None] = fill) -> dict[str, list[Any]]:
    store = Store.open(url)
    try:
        work(store)
        backup(store, target)
        return everything(store)
    finally:
        store.close()


def test_what_was_backed_up_is_what_is_restored(store_url: str, another_url: str, tmp_path: Path) -> None:
    before = backed_up(store_url, tmp_path / "copy.tar")

    restore(another_url, tmp_path / "copy.tar")

    store = Store.open(another_url)
    after = everything(store)
    directory = Directory(store, clock=time.time)
    fill(store, "umbrella")  # triggers and keys work as before
    assert before == after
    assert len(before["principals"]) == 20
    assert directory.principal("umbrella/p1") is not None
    store.close()


def test_a_backup_is_for_its_owner_alone(store_url: str, tmp_path: Path) -> None:
    backed_up(store_url, tmp_path / "copy.tar")

    assert stat.S_IMODE((tmp_path / "copy.tar").stat().st_mode) == 0o600
    assert [] == [path.name for path in tmp_path.iterdir() if path.name.startswith(".altar")]


def test_a_backup_never_replaces_a_file(store_url: str, tmp_path: Path) -> None:
    target = tmp_path / "copy.tar"
    target.write_text("mine")

    with pytest.raises(AltarError) as caught:
        backed_up(store_url, target)

    assert ("RESOURCE_CONFLICT", "mine") == (caught.value.code, target.read_text())


def test_a_store_that_is_not_empty_is_not_restored_into(store_url: str, another_url: str, tmp_path: Path) -> None:
    backed_up(store_url, tmp_path / "copy.tar")
    other = Store.open(another_url)
    fill(other, "umbrella", count=1)
    before = everything(other)
    other.close()

    with pytest.raises(AltarError) as caught:
        restore(another_url, tmp_path / "copy.tar")

    other = Store.open(another_url)
    assert ("RESOURCE_CONFLICT", before) == (caught.value.code, everything(other))
    fill(other, "still", count=1)
    other.close()


def test_a_backup_taken_while_others_write_is_one_state(store_url: str, another_url: str, tmp_path: Path) -> None:
    store = Store.open(store_url)
    fill(store, count=0 + 1)
    stop = threading.Event()

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            pair = (f"a{number}", f"b{number}")

            def work(connection: Connection, pair: tuple[str, str] = pair) -> None:
                for name in pair:
                    people.create_group(connection, tenant="acme", name=name, now_ms=1)

            store.run_now(work, tenant="acme")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while len(everything(store)["groups"]) < 4:
            pass
        backup(store, tmp_path / "copy.tar")
    finally:
        stop.set()
        writer.join()
        store.close()
    restore(another_url, tmp_path / "copy.tar")

    other = Store.open(another_url)
    rows = everything(other)
    names = {row[1] for row in rows["groups"]}
    other.close()
    assert names
    assert {name[1:] for name in names if name[0] == "a"} == {name[1:] for name in names if name[0] == "b"}
    versions = {row[0]: row[1] for row in rows["tenant_versions"]}
    assert versions["acme"] == max(row[1] for row in rows["changes"])


def test_a_backup_with_a_flipped_byte_is_refused(store_url: str, another_url: str, tmp_path: Path) -> None:
    backed_up(store_url, tmp_path / "copy.tar")
    content = bytearray((tmp_path / "copy.tar").read_bytes())
    with tarfile.open(tmp_path / "copy.tar") as tar:
        member = max((each for each in tar if each.name != "backup.json"), key=lambda each: each.size)
    content[member.offset_data + member.size // 2] ^= 1
    (tmp_path / "copy.tar").write_bytes(content)

    with pytest.raises(AltarError) as caught:
        restore(another_url, tmp_path / "copy.tar")

    assert caught.value.code == "LOG_DAMAGED"


def changed(archive: Path, contents: dict[str, Any], members: dict[str, bytes]) -> None:
    (archive.parent / "parts").mkdir()
    with tarfile.open(archive, "w") as tar:
        for number, (name, content) in enumerate({"backup.json": json.dumps(contents).encode(), **members}.items()):
            path = archive.parent / "parts" / str(number)
            path.write_bytes(content)
            tar.add(path, arcname=name)


HEADER = {"altar": "store backup", "format": 1, "dialect": "sqlite", "revision": "0001"}


@pytest.mark.parametrize(
    ("contents", "members"),
    [
        ({}, {}),
        ({**HEADER, "format": 2, "members": {}}, {}),
        ({**HEADER, "members": []}, {}),
        ({**HEADER, "members": {"../out-of-the-backup": "x"}}, {"../out-of-the-backup": b"x"}),
        ({**HEADER, "members": {"absent": "x"}}, {}),
        ({**HEADER, "revision": "7777", "members": {}}, {}),
    ],
)
def test_what_is_no_backup_is_refused(tmp_path: Path, contents: dict[str, Any], members: dict[str, bytes]) -> None:
    changed(tmp_path / "copy.tar", contents, members)

    with pytest.raises(AltarError) as caught:
        restore(f"sqlite:///{tmp_path}/new.db", tmp_path / "copy.tar")

    assert caught.value.code == "INVALID_CONFIG"
    assert not (tmp_path / "new.db").exists()
    assert not (Path(tempfile.gettempdir()) / "out-of-the-backup").exists()


def test_the_ledger_and_what_lies_beside_it_come_along(tmp_path: Path) -> None:
    log = tmp_path / "host" / "ledger.db"
    log.parent.mkdir()
    (log.parent / "ledger.db.witness").mkdir()
    (log.parent / "ledger.db.witness" / "altar.note").write_bytes(b"cosigned")
    for suffix in ("", ".subjects", ".sinks"):
        with sqlite3.connect(f"{log}{suffix}") as writing:
            writing.execute("PRAGMA journal_mode = WAL")
            writing.execute("CREATE TABLE entries (seq INTEGER PRIMARY KEY)")
            writing.execute("INSERT INTO entries VALUES (7)")
            writing.commit()
            if not suffix:
                kept = writing
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    fill(store)
    backup(store, tmp_path / "copy.tar", log=log)
    store.close()
    kept.close()

    restore(f"sqlite:///{tmp_path}/new.db", tmp_path / "copy.tar", log=tmp_path / "new" / "log.db")

    assert {"log.db", "log.db.subjects", "log.db.sinks", "log.db.witness"} == {
        path.name for path in (tmp_path / "new").iterdir()
    }
    assert (tmp_path / "new" / "log.db.witness" / "altar.note").read_bytes() == b"cosigned"
    with sqlite3.connect(tmp_path / "new" / "log.db") as reading:
        assert reading.execute("SELECT seq FROM entries").fetchall() == [(7,)]
    reading.close()
    with pytest.raises(AltarError) as caught:
        restore(f"sqlite:///{tmp_path}/third.db", tmp_path / "copy.tar", log=tmp_path / "new" / "log.db")
    assert caught.value.code == "RESOURCE_CONFLICT"


def test_a_copy_of_a_ledger_that_is_written_meanwhile_is_proved_and_written_on(tmp_path: Path) -> None:
    log, signer = tmp_path / "ledger.db", signer_in(tmp_path)
    ledger = open_ledger(log, signer, per_tenant=True)
    commit(ledger, intent(0))
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    stop, written = threading.Event(), [0]

    def write() -> None:
        while not stop.is_set():
            written[0] += 1
            commit(ledger, intent(written[0]))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        while written[0] < 50:
            pass
        backup(store, tmp_path / "copy.tar", log=log)
    finally:
        stop.set()
        writer.join()
        store.close()
        ledger.close()
    restore(f"sqlite:///{tmp_path}/new.db", tmp_path / "copy.tar", log=tmp_path / "new" / "ledger.db")

    copied = verify(tmp_path / "new" / "ledger.db", vkey=signer.vkey)
    assert (True, ()) == (copied.ok, tuple(copied.findings))
    assert copied.entries > 40
    following = open_ledger(tmp_path / "new" / "ledger.db", signer, per_tenant=True)
    commit(following, intent(1_000_000))
    following.close()
    report = verify(tmp_path / "new" / "ledger.db", vkey=signer.vkey)
    assert (True, ()) == (report.ok, tuple(report.findings))
    assert report.entries > copied.entries


def test_a_backup_that_is_not_there_is_said_to_be_missing_and_makes_no_store(tmp_path: Path) -> None:
    with pytest.raises(AltarError) as caught:
        restore(f"sqlite:///{tmp_path}/new.db", tmp_path / "nosuch.tar")

    assert "ENVIRONMENT_ERROR" == caught.value.code
    assert "nosuch.tar' cannot be read: No such file or directory" in caught.value.message
    assert [] == list(tmp_path.iterdir())


def test_the_command_says_that_it_left_the_log_of_the_backup_out(tmp_path: Path) -> None:
    log, store = tmp_path / "ledger.db", Store.open(f"sqlite:///{tmp_path}/store.db")
    ledger = open_ledger(log, signer_in(tmp_path))
    commit(ledger, intent(0))
    ledger.close()
    backup(store, tmp_path / "copy.tar", log=log)
    store.close()

    told = [
        subprocess.run(
            [sys.executable, "-m", "altar", "store", "restore", "copy.tar", "--database", f"sqlite:///{at}.db", *more],
            capture_output=True,
            text=True,
            check=True,
            cwd=tmp_path,
        )
        for at, more in (("one", []), ("two", ["--json"]), ("three", ["--log", "back.db"]))
    ]

    assert "the log in it was left out (files: 1); to have it too" in told[0].stderr
    assert ["log/ledger.db"] == json.loads(told[1].stdout)["left_out"]
    assert "left out" not in told[2].stderr
    assert (tmp_path / "back.db").exists()


def test_the_commands_do_the_same(store_url: str, another_url: str, tmp_path: Path) -> None:
    before = backed_up(store_url, tmp_path / "unused.tar")

    def altar(*arguments: str, url: str) -> dict[str, Any]:
        done = subprocess.run(
            [sys.executable, "-m", "altar", "store", *arguments, "--json"],
            capture_output=True,
            text=True,
            check=False,
            env={"ALTAR_DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
            cwd=tmp_path,
        )
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))

    altar("backup", "copy.tar", url=store_url)
    altar("restore", "copy.tar", url=another_url)
    migrated = altar("migrate", url=another_url)

    store = Store.open(another_url)
    assert ("0003", before) == (migrated["revision"], everything(store))
    store.close()
