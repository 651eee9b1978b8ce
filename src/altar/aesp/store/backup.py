"""Copies of the whole store in one consistent state, and back into an empty one.

A backup is one tar file: ``backup.json`` says what it is and gives the SHA-256 of every other member.
From SQLite it holds the database as SQLite's own online backup gives it, from PostgreSQL each table as COPY gives it,
all of one snapshot; both while hosts go on working.
Logs in that PostgreSQL are included; one in a file is when its path is given.
Their own proofs still say whether they are whole.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import psycopg
from sqlalchemy import Connection, func, select, text
from sqlalchemy.exc import DBAPIError

from altar.adm.errors import ConfigurationError, ValidationError
from altar.aesp.store import tables
from altar.aesp.store.engines import OWNER, dialect_of, is_postgres, make_engine
from altar.aesp.store.faults import translated
from altar.aesp.store.log_backup import dump_logs, fill_logs, members_of
from altar.aesp.store.migrating import migrate, refuse_newer, revision_of

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from altar.aesp.store.database import Store

__all__ = ["backup", "restore"]

_CONTENTS = "backup.json"
_DATABASE = "store.sqlite"
_BEFORE_THE_LOG = (".sinks",)  # what says how far somebody has got: never further than the copy of the log
_AFTER_THE_LOG = (".subjects", ".sessions", ".results")  # what the log names: there, whatever it names
_WITNESSED = ".witness"
_MOST_CONTENTS = 1 << 20
_CHUNK = 1 << 20


def backup(store: Store, target: Path, *, log: Path | None = None) -> dict[str, Any]:
    """Write a backup into the file ``target``, which must not exist, and give its contents as ``backup.json`` has them.

    ``log`` is the file of the ledger, when that is one; what lies beside it is taken too.
    The file appears under its name when it is complete and on the disk; only its owner can read it.
    Raises ConfigurationError ENVIRONMENT_ERROR when it cannot be written, or the log cannot be read.
    """
    _require_new(target)
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".altar-backup-") as folder:
            members = Path(folder)
            logs: dict[str, Any] = {}
            if is_postgres(store.engine):
                names, logs = _dump_postgres(store, members)
            else:
                names = _dump_sqlite(store, members)
            if log is not None:
                names += _dump_log(log, members)
            with store.engine.connect() as connection:
                revision = revision_of(connection)
            contents = {
                "altar": "store backup",
                "format": 1,
                "dialect": store.dialect,
                "revision": revision,
                "logs": logs,
                "members": {name: _digest(members / name) for name in names},
            }
            (members / _CONTENTS).write_text(json.dumps(contents, indent=2, sort_keys=True) + "\n")
            _pack(members, [_CONTENTS, *names], target)
    except (OSError, sqlite3.Error) as error:
        raise _unwritten(target, error) from error
    return contents


def restore(url: str, source: Path, *, log: Path | None = None) -> dict[str, Any]:
    """Fill the empty store at ``url`` from a backup, bring it forward, and give the backup's contents.

    ``log`` is where the ledger shall be, when the backup has one; nothing may be there.
    Raises ConfigurationError: ENVIRONMENT_ERROR for a file that cannot be read, INVALID_CONFIG for one that is no
    backup or of another kind of database, LOG_DAMAGED when a member is not as it was written;
    ValidationError RESOURCE_CONFLICT when the store or the place of the log is not empty.
    Nothing is changed then.
    """
    kind = dialect_of(url)
    with tempfile.TemporaryDirectory(prefix="altar-restore-") as folder:
        members = Path(folder)
        contents = _unpack(source, members)
        refuse_newer(contents["revision"])
        if contents["dialect"] != kind:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The backup is of {contents['dialect']}, the store is of {kind}",
                hint="restore it into the same kind of database",
            )
        logs = [name for name in contents["members"] if name.startswith("log/")]
        places = _places_of_log(logs, log)
        engine = make_engine(url)  # only now: it makes the file of SQLite
        try:
            if is_postgres(engine):
                _fill_postgres(engine, contents, members)
            else:
                _fill_sqlite(engine, members)
            migrate(engine)
            for name, place in places.items():
                _copy(members / name, place)
        except DBAPIError as error:
            raise translated(error) from error
        finally:
            engine.dispose()
    return contents


# ── SQLite ───────────────────────────────────────────────────────────────────────────────────────────────


def _dump_sqlite(store: Store, members: Path) -> list[str]:
    _copy_sqlite(Path(store.engine.url.database or ""), members / _DATABASE)
    return [_DATABASE]


def _fill_sqlite(engine: Engine, members: Path) -> None:
    with engine.connect() as connection:  # makes the file, and refuses another program's
        if any(_counts(connection).values()):
            raise _not_empty()
    engine.dispose()
    _copy_sqlite(members / _DATABASE, Path(engine.url.database or ""))


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy a database page by page, in one consistent state, also while others write to it.

    SQLite counts a copy as a change of the schema; the copy gets the number of the original back, because the
    auditor's program compares it.
    """
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)) as reading,
        closing(sqlite3.connect(target, isolation_level=None)) as writing,
    ):
        reading.execute("BEGIN")  # what is asked and what is copied are of the same state
        ((schema,),) = reading.execute("PRAGMA schema_version")
        reading.backup(writing)
        writing.execute(f"PRAGMA schema_version = {schema}")
    target.chmod(0o600)


# ── PostgreSQL ───────────────────────────────────────────────────────────────────────────────────────────


def _dump_postgres(store: Store, members: Path) -> tuple[list[str], dict[str, Any]]:
    """Write the tables of the store and those of the logs in its database."""

    def work(connection: Connection) -> tuple[list[str], dict[str, Any]]:
        names = []
        for table in tables.METADATA.sorted_tables:
            columns = ", ".join(f'"{column.name}"' for column in table.c)
            name = f"{table.name}.copy"
            with (members / name).open("wb") as output:
                statement = f'COPY (SELECT {columns} FROM "{table.name}") TO STDOUT'  # noqa: S608 (names of ours)
                with _cursor(connection) as cursor, cursor.copy(statement.encode()) as copy:
                    for block in copy:
                        output.write(block)
            names.append(name)
        with _cursor(connection) as cursor:
            logs = dump_logs(cursor, members)
        return [*names, *members_of(logs)], logs

    return store.run_now(work, tenant=None, reads=True)


def _fill_postgres(engine: Engine, contents: dict[str, Any], members: Path) -> None:
    """Make the tables as they were then and fill them, in one transaction; the triggers see nothing of it."""
    migrate(engine, to=contents["revision"])
    with engine.begin() as connection:
        connection.execute(text("SELECT set_config('role', :role, true)"), {"role": OWNER})
        present = [table for table in tables.METADATA.sorted_tables if f"{table.name}.copy" in contents["members"]]
        forced = set(connection.execute(_FORCED).scalars())
        for table in present:
            connection.exec_driver_sql(f'LOCK TABLE "{table.name}" IN ACCESS EXCLUSIVE MODE')
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" NO FORCE ROW LEVEL SECURITY, DISABLE TRIGGER USER')
        if any(_counts(connection).values()):
            raise _not_empty()
        for table in present:
            columns = ", ".join(f'"{column.name}"' for column in table.c)
            statement = f'COPY "{table.name}" ({columns}) FROM STDIN'.encode()
            with _cursor(connection) as cursor, cursor.copy(statement) as copy:
                for block in _blocks(members / f"{table.name}.copy"):
                    copy.write(block)
        for table in present:
            force = "FORCE" if table.name in forced else "NO FORCE"
            connection.exec_driver_sql(f'ALTER TABLE "{table.name}" {force} ROW LEVEL SECURITY, ENABLE TRIGGER USER')
        with _cursor(connection) as cursor:
            if not fill_logs(cursor, contents.get("logs", {}), members):
                raise _not_empty()


_FORCED = text("SELECT relname FROM pg_class WHERE relforcerowsecurity")


def _cursor(connection: Connection) -> psycopg.Cursor[Any]:
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 (the engine is that of psycopg)
    return driver.cursor()


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────


def _dump_log(log: Path, members: Path) -> list[str]:
    """Copy the ledger and what lies beside it, in an order in which each fits the others."""
    if not log.is_file():
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", f"There is no log {str(log)!r}", hint="give the file of the host's ledger"
        )
    names: list[str] = []
    for note in sorted(log.with_name(log.name + _WITNESSED).glob("*")):
        name = f"log/{note.parent.name}/{note.name}"
        _copy(note, members / name)
        names.append(name)
    for suffix in (*_BEFORE_THE_LOG, "", *_AFTER_THE_LOG):
        path = log.with_name(log.name + suffix)
        if path.is_file():
            name = f"log/{path.name}"
            (members / name).parent.mkdir(parents=True, exist_ok=True)
            _copy_sqlite(path, members / name)
            names.append(name)
    return names


def _places_of_log(names: list[str], log: Path | None) -> dict[str, Path]:
    """Say where each file of the log goes: beside ``log``, under its name."""
    if log is None or not names:
        return {}
    first = min(names, key=len)
    places = {name: Path(f"{log}{name.removeprefix(first)}") for name in names}
    if taken := [place for place in places.values() if place.exists()]:
        raise ValidationError(
            "RESOURCE_CONFLICT", f"There is a file {str(taken[0])!r} already", hint="restore to where nothing is"
        )
    return places


def _pack(members: Path, names: list[str], target: Path) -> None:
    """Write the tar file under another name first, so that what has its name is complete."""
    unfinished = members / "backup.tar"
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        with tarfile.open(fileobj=output, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for name in names:
                described = tarfile.TarInfo(name)
                described.size, described.mode = (members / name).stat().st_size, 0o600
                with (members / name).open("rb") as content:
                    tar.addfile(described, content)
        output.flush()
        os.fsync(output.fileno())
    os.link(unfinished, target)  # unlike a rename it never replaces what is there
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _unpack(source: Path, members: Path) -> dict[str, Any]:
    """Read the members that ``backup.json`` names, and only those; each must be what it says."""
    try:
        with tarfile.open(source, mode="r:") as tar:
            contents = _contents(tar)
            for name, digest in contents["members"].items():
                place = members / name
                content = tar.extractfile(name)
                if content is None or not place.resolve().is_relative_to(members.resolve()):
                    raise _no_backup(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                with content, place.open("wb") as output:
                    while block := content.read(_CHUNK):
                        output.write(block)
                if _digest(place) != digest:
                    raise ConfigurationError(
                        "LOG_DAMAGED", f"{name!r} in the backup is not as it was written", hint="use another backup"
                    )
    except OSError as error:
        raise _unread(source, error) from error
    except (KeyError, TypeError, ValueError, tarfile.TarError) as error:
        raise _no_backup(source) from error
    return contents


def _contents(tar: tarfile.TarFile) -> dict[str, Any]:
    described = tar.getmember(_CONTENTS)
    content = tar.extractfile(described)
    if content is None or described.size > _MOST_CONTENTS:
        raise ValueError("no contents")
    with content:
        read = json.load(io.TextIOWrapper(content, "utf-8"))
    if (read["altar"], read["format"]) != ("store backup", 1):
        raise ValueError("other contents")
    for member, kind in (("members", dict), ("revision", str), ("dialect", str)):
        if not isinstance(read[member], kind):
            raise KeyError(member)
    return dict(read)


def _counts(connection: Connection) -> dict[str, int]:
    """Say how many rows each table has that is there."""
    there = set(connection.dialect.get_table_names(connection))
    return {
        table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
        for table in tables.METADATA.sorted_tables
        if table.name in there
    }


def _digest(path: Path) -> str:
    made = hashlib.sha256()
    for block in _blocks(path):
        made.update(block)
    return made.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as content:
        yield from iter(lambda: content.read(_CHUNK), b"")


def _copy(source: Path, target: Path) -> None:
    output: IO[bytes]
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as output:
        for block in _blocks(source):
            output.write(block)
        output.flush()
        os.fsync(output.fileno())


def _require_new(target: Path) -> None:
    if target.exists():
        raise ValidationError(
            "RESOURCE_CONFLICT", f"There is a file {str(target)!r} already", hint="give the backup a name of its own"
        )


def _not_empty() -> ValidationError:
    return ValidationError(
        "RESOURCE_CONFLICT",
        "The store is not empty, so nothing was restored",
        hint="restore into a new database; what is there is not replaced",
    )


def _no_backup(source: Path) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG", f"{str(source)!r} is no backup of a store", hint="give a file that `altar store backup` wrote"
    )


def _unread(source: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The backup {str(source)!r} cannot be read: {error.strerror or type(error).__name__}",
        hint="name a file that `altar store backup` wrote",
    )


def _unwritten(target: Path, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The backup {str(target)!r} cannot be written",
        hint="its folder must exist, with room for a copy of the store",
        detail=str(error),
    )
