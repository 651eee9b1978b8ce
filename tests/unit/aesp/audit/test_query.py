"""Asking a log, with an index and without one."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from altar.adm.errors import AltarError
from altar.aesp.audit.index import Index
from altar.aesp.audit.opening import open_records
from altar.aesp.audit.query import Page, Query, search
from altar.aesp.audit.record import Record
from tests.unit.aesp.audit.scene import TIME_MS, a_log, add_calls, all_records
from tests.unit.ledger.samples import open_ledger, signer_in

ASKED = [
    Query(),
    Query(newest_first=False),
    Query(principal="acme/bob"),
    Query(principal="acme/bob", tool="book_flight"),
    Query(tool="get_weather", outcome="FAILURE"),
    Query(code="TIMEOUT", newest_first=False),
    Query(session="s-1"),
    Query(correlation="c-7"),
    Query(invocation="inv-7"),
    Query(event="call.*"),
    Query(event="session.opened"),
    Query(event="*opened"),
    Query(event="?ession.opened"),
    Query(since_ms=TIME_MS, until_ms=TIME_MS + 1),
    Query(since_ms=TIME_MS + 1),
    Query(principal="acme/nobody"),
]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return a_log(tmp_path, calls=40)


def searched(log: Path, query: Query, *, index: bool = True) -> Page:
    records = open_records(log)
    if not index:
        return search(records, query)
    with Index(f"{log}.index") as made:
        made.catch_up(records)
        return search(records, query, index=made)


@pytest.mark.parametrize("query", ASKED, ids=str)
def test_an_index_finds_what_reading_everything_finds(log: Path, query: Query) -> None:
    plain = searched(log, query, index=False)

    assert plain == searched(log, query)


def test_an_outcome_is_found_by_who_asked_though_it_does_not_say_so_itself(log: Path) -> None:
    found = searched(log, Query(principal="acme/bob", event="call.ended", limit=1000)).records

    assert 13 == len(found)
    assert b"acme/bob" not in found[0].entry
    assert {"acme/bob"} == {record.principal for record in found}


def test_pages_follow_each_other_without_gap_or_double(log: Path) -> None:
    whole = searched(log, Query(event="call.ended", limit=1000)).records
    paged: list[Record] = []
    cursor = ""
    while True:
        page = searched(log, Query(event="call.ended", limit=7, cursor=cursor))
        paged += page.records
        cursor = page.cursor
        if not cursor:
            break

    assert whole == tuple(paged)
    assert 40 == len(paged)


def test_the_newest_come_first_unless_asked_otherwise(log: Path) -> None:
    newest, oldest = (
        searched(log, Query(limit=1)).records[0],
        searched(log, Query(limit=1, newest_first=False)).records[0],
    )

    assert ("log.stopped", "log.started") == (newest.event, oldest.event)


def test_an_index_takes_in_what_was_added(log: Path, tmp_path: Path) -> None:
    searched(log, Query())
    ledger = open_ledger(log, signer_in(tmp_path))
    add_calls(ledger, 2, first=100)
    ledger.close()

    assert 2 == len(searched(log, Query(correlation="c-101")).records)


def test_an_index_of_another_log_is_made_anew(log: Path, tmp_path: Path) -> None:
    searched(log, Query())
    elsewhere = tmp_path / "other"
    elsewhere.mkdir()
    other = elsewhere / "ledger.db"
    ledger = open_ledger(other, signer_in(elsewhere))
    add_calls(ledger, 60, first=501)
    ledger.close()
    Path(f"{log}.index").rename(f"{other}.index")

    assert [] != list(searched(other, Query(correlation="c-501")).records)
    assert searched(other, Query(limit=1000), index=False) == searched(other, Query(limit=1000))


def test_a_forged_index_cannot_show_what_is_not_in_the_log(log: Path) -> None:
    searched(log, Query())
    alice = searched(log, Query(principal="acme/alice", limit=1000)).records
    with sqlite3.connect(f"{log}.index") as db:
        db.execute("UPDATE places SET principal = (SELECT principal FROM places WHERE position = 2)")

    assert set(alice) >= set(searched(log, Query(principal="acme/alice", limit=1000)).records)


def test_a_ruined_index_is_made_anew(log: Path) -> None:
    searched(log, Query())
    Path(f"{log}.index").write_bytes(b"no database at all" * 500)

    assert 40 == len(searched(log, Query(event="call.ended", limit=1000)).records)


def test_the_index_holds_no_names(log: Path) -> None:
    searched(log, Query())

    data = b"".join(part.read_bytes() for part in log.parent.glob("ledger.db.index*"))

    assert b"alice" not in data
    assert b"get_weather" not in data


def test_another_programs_database_is_not_overwritten(log: Path) -> None:
    with sqlite3.connect(f"{log}.index") as db:
        db.execute("CREATE TABLE precious (one)")

    with pytest.raises(AltarError, match="another program's"):
        Index(f"{log}.index")


@pytest.mark.parametrize("cursor", ["x", "AAAA", "MTox", "MTo6Mg=="])
def test_a_cursor_that_is_none_is_refused(log: Path, cursor: str) -> None:
    with pytest.raises(AltarError) as refused:
        searched(log, Query(cursor=cursor))

    assert "MALFORMED_REQUEST" == refused.value.code


@pytest.mark.parametrize("limit", [0, -1, 10_001])
def test_a_page_has_a_bound(limit: int) -> None:
    with pytest.raises(AltarError, match="A page has 1 to"):
        Query(limit=limit)


def test_a_record_tells_one_entry_flat(log: Path) -> None:
    first, opened, asked, ended, *_ = all_records(log)

    assert ("log.started", "epoch 1") == (first.event, first.note)
    assert ("session.opened", "s-1") == (opened.event, opened.subject)
    assert ("call.started", "", "tools/get_weather", "execute") == (
        asked.event,
        asked.outcome,
        asked.resource,
        asked.action,
    )
    assert ("call.ended", "SUCCESS", asked.principal, asked.correlation) == (
        ended.event,
        ended.outcome,
        ended.principal,
        ended.correlation,
    )
