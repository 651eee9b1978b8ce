from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from altar.adm.errors import ConfigurationError
from altar.ledger.log import leaf_hash
from altar.ledger.log_store import EntryRow, StoredCheckpoint, StoredLog
from altar.ledger.sqlite import DDL, SqliteStore
from tests.unit.ledger.samples import rows


def row(seq: int) -> EntryRow:
    body = f'{{"n":{seq}}}'.encode()
    return EntryRow(seq, seq, body, leaf_hash(body))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_the_file_is_the_one_that_the_format_describes(path: Path) -> None:
    store = SqliteStore(path)
    store.append([row(0)], checkpoints=[StoredCheckpoint(0, 1, b"note")], logs=[StoredLog(0, "")])
    store.close()

    header = path.read_bytes()[:100]
    assert b"SQLite format 3\x00" == header[:16]
    assert (4096).to_bytes(2, "big") == header[16:18]
    assert b"\x02\x02" == header[18:20]
    assert (0).to_bytes(4, "big") == header[52:56]
    assert (2).to_bytes(4, "big") == header[60:64]
    assert b"ALTR" == header[68:72]
    assert [("table", sql.split()[2], sql) for sql in DDL] == rows(path, "SELECT type, name, sql FROM sqlite_schema")
    assert 0o600 == path.stat().st_mode & 0o777
    assert not path.with_name("ledger.db-wal").exists()


def test_rows_come_back_in_order_from_either_end(path: Path) -> None:
    store = SqliteStore(path)
    for first in (0, 700):
        store.append([row(seq) for seq in range(first, first + 700)], outcomes=[(first, first + 1)])

    assert [row(seq) for seq in range(1390, 1400)] == list(store.entries_of(0, 1390))
    assert [row(seq) for seq in reversed(range(1400))] == list(store.entries_backwards())
    assert (1400, True, False) == (store.next_seq(), store.has_outcome(700), store.has_outcome(701))
    store.close()


def test_a_transaction_is_whole_or_not_at_all(path: Path) -> None:
    store = SqliteStore(path)
    store.append([row(0)], outcomes=[(0, 0)])

    with pytest.raises(sqlite3.IntegrityError):
        store.append([row(1)], outcomes=[(1, 1), (0, 1)])
    with pytest.raises(sqlite3.IntegrityError):
        store.append([row(1), row(0)])
    store.append([row(1)])
    store.close()

    assert [(0,), (1,)] == rows(path, "SELECT seq FROM entries")
    assert [(0, 0)] == rows(path, "SELECT intent, seq FROM outcomes")


def test_a_new_file_stays_empty_until_the_first_entry(path: Path) -> None:
    store = SqliteStore(path)

    assert (0, None, [], []) == (
        store.next_seq(),
        store.newest_checkpoint(0),
        list(store.entries_of(0, 0)),
        store.logs(),
    )
    store.close()
    again = SqliteStore(path)
    again.append([row(0)])
    again.close()

    assert 1 == len(rows(path, "SELECT seq FROM entries"))


def test_a_file_that_is_no_database_is_called_damaged(path: Path) -> None:
    path.write_bytes(b"this is a text of more than one hundred bytes, " * 100)

    with pytest.raises(ConfigurationError, match="is damaged: the database cannot be read") as caught:
        SqliteStore(path)

    assert "LOG_DAMAGED" == caught.value.code
    assert f"run `altar audit verify {path}` to see which entries are affected" == caught.value.hint


def test_a_page_that_cannot_be_read_is_called_damaged(path: Path) -> None:
    store = SqliteStore(path)
    store.append([row(seq) for seq in range(2000)])
    store.close()
    content = bytearray(path.read_bytes())
    content[3 * 4096 :] = b"\xff" * len(content[3 * 4096 :])
    path.write_bytes(content)

    damaged = SqliteStore(path)
    with pytest.raises(ConfigurationError, match="is damaged"):
        list(damaged.entries_of(0, 0))
    damaged.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("CREATE TABLE other (x)", "its tables are not those of a log"),
        ("CREATE INDEX i ON outcomes (seq)", "its tables are not those of a log"),
        ("PRAGMA application_id = 7", "it is another program's database"),
        ("PRAGMA user_version = 0", "its format number is 0"),
        ("PRAGMA user_version = 3", "has format 3, this ALTAR knows 2"),
    ],
)
def test_another_layout_is_refused(path: Path, statement: str, words: str) -> None:
    store = SqliteStore(path)
    store.append([row(0)])
    store.close()
    rows(path, statement)

    with pytest.raises(ConfigurationError, match=words):
        SqliteStore(path)


def test_another_page_size_is_refused(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA page_size = 8192")
    for statement in (*DDL, "PRAGMA application_id = 1095521362", "PRAGMA user_version = 2"):
        connection.execute(statement)
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match="its pages are not those of a log"):
        SqliteStore(path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be opened: No such file or directory") as caught:
        SqliteStore(tmp_path / "absent" / "ledger.db")

    assert "ENVIRONMENT_ERROR" == caught.value.code


def test_a_refused_file_is_not_kept_locked(path: Path) -> None:
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ConfigurationError):
        SqliteStore(path)

    path.unlink()
    SqliteStore(path).close()


def test_a_place_that_is_no_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").mkdir()

    with pytest.raises(ConfigurationError, match="Is a directory"):
        SqliteStore(tmp_path / "ledger.db")
