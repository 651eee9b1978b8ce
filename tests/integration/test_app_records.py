"""Events of applications and tools in the record of a real host."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.errors import AltarError
from altar.aesp.audit.opening import open_records
from altar.aesp.audit.query import Query, search
from altar.aesp.audit.record import Record
from altar.later.session import Session
from altar.testing import LocalGrid
from tests.integration import record_tools


@pytest.fixture
def grid(tmp_path: Path) -> Iterator[LocalGrid]:
    with LocalGrid([record_tools.__name__], directory=tmp_path) as running:
        yield running


def recorded(grid: LocalGrid, event: str = "app.*") -> list[Record]:
    (log,) = grid.directory.rglob("ledger.db")
    return list(search(open_records(log), Query(event=event, newest_first=False)).records)


def data_of(record: Record) -> Any:
    return json.loads(record.data)


async def test_what_was_recorded_is_in_the_log_when_the_call_returns(grid: LocalGrid) -> None:
    async with grid.session() as session:
        await session.record("order.placed", {"order": "o-1", "items": 3, "gift": True, "note": None, "api_key": "k"})
        (found,) = recorded(grid)
        session_id = session.session_id

    assert ("app.order.placed", session_id, "SUCCESS", "record") == (
        found.event,
        found.session,
        found.outcome,
        found.action,
    )
    assert {"order": "o-1", "items": 3, "gift": True, "note": None, "api_key": "[redacted]"} == data_of(found)
    assert found.principal
    assert found.subject


def test_it_is_the_same_without_an_event_loop(grid: LocalGrid) -> None:
    with grid.session() as session:
        session.record("order.placed")

    (found,) = recorded(grid)
    assert ("app.order.placed", "") == (found.event, found.data)


@pytest.mark.parametrize(
    ("tool", "event"), [("record_awaited", "app.order.paid"), ("record_plainly", "app.order.sent")]
)
async def test_a_tool_records_in_the_session_it_is_called_in(grid: LocalGrid, tool: str, event: str) -> None:
    async with grid.session() as session:
        result = await session.call(tool, order="o-2")
        session_id = session.session_id

    assert "recorded" == result.unwrap()
    (found,) = recorded(grid)
    call = next(record for record in recorded(grid, "call.ended") if record.tool == tool)
    assert (event, session_id, call.correlation) == (found.event, found.session, found.correlation)
    assert "o-2" == data_of(found)["order"]
    assert "4111" not in found.data


async def test_a_tool_hears_that_a_name_is_none(grid: LocalGrid) -> None:
    async with grid.session() as session:
        result = await session.call("record_wrongly")

    assert result.error is not None
    assert [] == recorded(grid)


async def test_a_host_checks_what_a_client_did_not(grid: LocalGrid) -> None:
    from altar.later.app_records import RecordEvent
    from altar.later.session_variables import variables_of

    hostile = [
        (RecordEvent("Bad Name", b"{}", "1"), "MALFORMED_REQUEST"),
        (RecordEvent("x.y", b'{"a":{"b":1}}', "1"), "MALFORMED_REQUEST"),
        (RecordEvent("x.y", b"[1]", "1"), "MALFORMED_REQUEST"),
        (RecordEvent("x.y", b"\xff", "1"), "MALFORMED_REQUEST"),
        (RecordEvent("x.y", b"{}", "1\n2"), "MALFORMED_REQUEST"),
        (RecordEvent("x.y", b'{"a":"' + b"x" * 1100 + b'"}', "1"), "MESSAGE_TOO_LARGE"),
        (RecordEvent("x.y", b'{"a":"' + b"x" * 100_000 + b'"}', "1"), "MESSAGE_TOO_LARGE"),
    ]
    async with grid.session() as session:
        variables = variables_of(session.asker, guard=lambda: None)
        for event, code in hostile:
            with pytest.raises(AltarError) as refused:
                await variables.record(event)
            assert code == refused.value.code
        await variables.record(RecordEvent("x.y", b'{"password":"hunter2"}', "1"))

    (found,) = recorded(grid)
    assert {"password": "[redacted]"} == data_of(found)


async def test_where_there_is_no_host_nothing_is_silently_lost() -> None:
    async with altar.session(tools=[record_tools.record_awaited], source="later:") as session:
        with pytest.raises(AltarError) as refused:
            await session.record("order.placed")
        result = await session.call("record_awaited", order="o-1")

    assert "FEATURE_UNAVAILABLE" == refused.value.code
    assert result.error is not None
    assert "FEATURE_UNAVAILABLE" in str(result.error)


def test_without_a_loop_it_is_refused_the_same_way() -> None:
    with (
        altar.session(tools=[record_tools.record_plainly], source="later:") as session,
        pytest.raises(AltarError) as refused,
    ):
        session.record("order.placed")

    assert "FEATURE_UNAVAILABLE" == refused.value.code


async def test_a_closed_session_records_nothing(grid: LocalGrid) -> None:
    session: Session = grid.session()
    async with session:
        pass

    with pytest.raises(AltarError, match="not open"):
        await session.record("order.placed")
