from __future__ import annotations

import base64
import hashlib
import io
import sqlite3
from pathlib import Path
from typing import Any, cast

import pytest

from altar.adm.canonical import canonical, parse
from altar.adm.errors import AltarError, ConfigurationError
from altar.ledger import Ledger, read_checkpoint, write_export
from tests.unit.ledger.samples import ORIGIN, commit, intent, open_ledger, outcome, rows, signer_in


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def filled(path: Path, *, calls: int) -> Ledger:
    ledger = open_ledger(path, signer_in(path.parent))
    for number in range(calls):
        ledger.commit(
            [intent(number, principal="zo\u00eb \u2028 \"'"), outcome(number, -1)],
            lambda _first, _error: None,
        )
    commit(ledger)
    return ledger


def lines_of(path: Path, vkey: str) -> list[dict[str, Any]]:
    out = io.BytesIO()
    write_export(path, out, vkey=vkey)
    return [cast("dict[str, Any]", parse(line)) for line in out.getvalue().splitlines()]


def test_an_export_holds_the_head_every_entry_every_checkpoint_and_a_digest(path: Path) -> None:
    ledger = filled(path, calls=3)
    ledger.close()

    head, *middle, end = lines_of(path, ledger.vkey)

    assert {"altar_audit_export": 2, "origin": ORIGIN, "size": 8, "tenant": "", "vkey": ledger.vkey} == head
    bodies = rows(path, "SELECT seq, body, substr(hashes, 1, 32) FROM entries ORDER BY seq")
    assert [
        {"entry": body.decode(), "leaf": base64.b64encode(leaf).decode(), "seq": seq} for seq, body, leaf in bodies
    ] == middle[:8]
    notes = rows(path, "SELECT place, note FROM checkpoints ORDER BY place")
    assert [{"checkpoint": note.decode(), "size": size} for size, note in notes] == middle[8:]
    assert ["end"] == list(end)


def test_every_line_is_canonical_and_the_last_is_the_digest_of_all_before(path: Path) -> None:
    ledger = filled(path, calls=20)
    ledger.close()
    out = io.BytesIO()

    assert 42 == write_export(path, out, vkey=ledger.vkey)

    content = out.getvalue()
    *before, last = content.splitlines(keepends=True)
    for line in (*before, last):
        assert canonical(parse(line)) + b"\n" == line
    assert {"end": f"sha256:{hashlib.sha256(b''.join(before)).hexdigest()}"} == parse(last)


def test_a_ledger_in_use_can_be_exported(path: Path) -> None:
    ledger = filled(path, calls=5)

    lines = lines_of(path, ledger.vkey)

    assert 11 == lines[0]["size"]
    assert (11, None) == commit(ledger, intent(99))
    ledger.close()


def test_the_newest_checkpoint_can_be_kept_elsewhere(path: Path) -> None:
    ledger = filled(path, calls=5)
    before = read_checkpoint(path)
    ledger.close()

    after = read_checkpoint(path)

    assert [ORIGIN, "1"] == before.split("\n")[:2]
    assert [ORIGIN, "12"] == after.split("\n")[:2]
    assert after == lines_of(path, ledger.vkey)[-2]["checkpoint"]


def test_a_ledger_that_another_program_keeps_locked_is_not_called_damaged(path: Path) -> None:
    ledger = filled(path, calls=1)
    ledger.close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(AltarError, match="cannot be read now") as caught:
        read_checkpoint(path)
    other.close()

    assert "LOG_UNAVAILABLE" == caught.value.code


def test_progress_is_told(path: Path) -> None:
    ledger = filled(path, calls=600)
    ledger.close()
    told: list[tuple[int, int]] = []

    write_export(path, io.BytesIO(), vkey=ledger.vkey, progress=lambda done, total: told.append((done, total)))

    assert [(1000, 1202), (1202, 1202)] == told


def test_what_is_no_ledger_is_not_exported(tmp_path: Path, path: Path) -> None:
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()
    path.write_bytes(b"no database" * 100)

    with pytest.raises(ConfigurationError, match="There is no ledger at"):
        write_export(tmp_path / "absent.db", io.BytesIO(), vkey="k")
    with pytest.raises(ConfigurationError, match="it is no ledger"):
        write_export(tmp_path / "other.db", io.BytesIO(), vkey="k")
    with pytest.raises(ConfigurationError, match="the database cannot be read"):
        write_export(path, io.BytesIO(), vkey="k")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("DELETE FROM entries WHERE seq = 2", "entry 2 is missing"),
        ("UPDATE entries SET body = x'ff' WHERE seq = 2", "an entry is not UTF-8 text"),
        ("DELETE FROM checkpoints", "it has no checkpoint"),
        ("UPDATE checkpoints SET note = x'00'", "its newest checkpoint is malformed"),
    ],
)
def test_a_damaged_ledger_is_named_as_such(path: Path, change: str, words: str) -> None:
    filled(path, calls=3).close()
    connection = sqlite3.connect(path)
    connection.execute(change)
    connection.commit()
    connection.close()

    with pytest.raises(ConfigurationError, match=words) as caught:
        write_export(path, io.BytesIO(), vkey="k")

    assert "LOG_DAMAGED" == caught.value.code
