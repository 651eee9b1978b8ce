"""Large bytes beside JSON: alike in this process, under permits of a host, and on a grid of real processes."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.adm.blobs import Blob
from altar.adm.canonical import canonical, digest
from altar.testing import LocalGrid, Row
from tests.integration import blob_tools
from tests.integration.auditing import stop_and_audit

pytestmark = [pytest.mark.timeout(180), pytest.mark.altar(tools="tests.integration.blob_tools")]

KIB = 1024
LARGE = os.urandom(300 * KIB)
TEXT = base64.b64encode(LARGE).decode()


@pytest.fixture(scope="module")
def row(altar_row: Row) -> Iterator[Row]:
    yield altar_row
    if altar_row.grid is not None:
        stop_and_audit(altar_row.grid)


@pytest.fixture
def session(row: Row) -> Iterator[altar.SyncSession]:
    with row.session(timeout=60) as opened:
        yield opened


def recorded(row: Row, call_id: str) -> tuple[str, str] | None:
    """The digests of arguments and result in the log; None where there is none."""
    if row.grid is None:
        return None
    entries = row.grid.entries()
    (intent,) = [entry for entry in entries if entry["kind"] == "intent" and entry["call"] == call_id]
    (outcome,) = [
        entry for entry in entries if entry["kind"] == "outcome" and entry["invocation"] == intent["invocation"]
    ]
    return intent["arguments"], outcome["result"]


# -------------------------------------------------------------------------------------------------------- what succeeds


def test_bytes_arrive_and_come_back_and_the_record_commits_to_them(row: Row, session: altar.SyncSession) -> None:
    result = session.call("blob_same", data=LARGE)

    assert result.unwrap() == TEXT
    assert result.blobs == {"": LARGE}
    assert result.bytes_at() == LARGE
    reference = Blob("", LARGE).reference
    expected = digest(canonical({"data": reference})), digest(canonical(reference))
    assert recorded(row, result.call_id) in (None, expected)


def test_the_same_bytes_as_text_give_the_same_result(session: altar.SyncSession) -> None:
    given = session.call("blob_same", altar.FunctionCall("call-as-text", "blob_same", {"data": TEXT}).args)

    assert given.unwrap() == TEXT
    assert given.bytes_at() == LARGE


def test_bytes_inside_of_other_things_arrive_and_come_back(session: altar.SyncSession) -> None:
    parcels = [{"label": "large", "data": LARGE}, {"label": "small", "data": b"s"}, {"label": "text", "data": TEXT}]

    result = session.call("blob_parcels", parcels=parcels, last=LARGE[::-1])

    assert result.error is None
    assert result.unwrap()["large"] == {"label": "large", "data": TEXT}
    assert [result.bytes_at(f"/{label}/data") for label in ("large", "small", "text", "")] == [
        LARGE,
        b"s",
        LARGE,
        LARGE[::-1],
    ]


def test_bytes_where_the_contract_says_anything_are_text_in_function_and_record(
    row: Row, session: altar.SyncSession
) -> None:
    looks = Blob("", LARGE).reference
    result = session.call("blob_anything", value=[LARGE, looks])

    assert result.unwrap() == [TEXT, looks]
    as_text = digest(canonical({"value": [TEXT, looks]})), digest(canonical([TEXT, looks]))
    assert recorded(row, result.call_id) in (None, as_text)


def test_an_isolated_tool_has_the_same_record(row: Row, session: altar.SyncSession) -> None:
    result = session.call("blob_isolated", data=LARGE)

    assert result.bytes_at() == LARGE
    assert result.blobs == {"": LARGE}
    reference = Blob("", LARGE).reference
    expected = digest(canonical({"data": reference})), digest(canonical(reference))
    assert recorded(row, result.call_id) in (None, expected)


def test_each_call_of_a_batch_has_its_own_bytes(session: altar.SyncSession) -> None:
    many = [os.urandom(5000 + n) for n in range(20)]

    results = session.batch([("blob_same", {"data": data}) for data in many])

    assert [result.bytes_at() for result in results] == many


def test_a_tool_passes_bytes_on_to_another(session: altar.SyncSession) -> None:
    result = session.call("blob_around", data=LARGE)

    assert result.error is None
    assert result.bytes_at() == LARGE


def test_values_read_one_by_one_are_text(session: altar.SyncSession) -> None:
    with session.stream("blob_halves", data=LARGE) as stream:
        halves = [base64.b64decode(half) for half in stream]

    assert b"".join(halves) == LARGE
    whole = session.call("blob_halves", data=LARGE)
    assert whole.blobs == {}
    assert whole.unwrap() == [base64.b64encode(half).decode() for half in halves]


def test_one_value_read_as_a_stream_is_text(session: altar.SyncSession) -> None:
    with session.stream("blob_same", data=LARGE) as stream:
        assert list(stream) == [TEXT]


def test_bytes_that_would_be_too_large_as_text_are_not_too_large(session: altar.SyncSession) -> None:
    data = os.urandom(3_900_000)

    assert session.call("blob_same", data=data).bytes_at() == data


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "ran"),
    [
        ("blob_same", {"data": bytes(4 * KIB * KIB)}, "MESSAGE_TOO_LARGE", "no"),
        ("blob_made", {"size": 4 * KIB * KIB}, "MESSAGE_TOO_LARGE", "yes"),
        ("blob_same", {"data": Blob("", LARGE).reference}, "INVALID_TOOL_ARGS", "no"),
        ("blob_same", {"data": LARGE, "more": LARGE}, "INVALID_TOOL_ARGS", "no"),
        ("blob_same", {"data": [LARGE]}, "INVALID_TOOL_ARGS", "no"),
        ("blob_made", {"size": LARGE}, "INVALID_TOOL_ARGS", "no"),
    ],
)
def test_the_same_refusal_everywhere(
    session: altar.SyncSession, tool: str, arguments: dict[str, Any], code: str, ran: str
) -> None:
    error = session.call(tool, arguments).error

    assert error is not None
    assert (error.type, error.ran) == (code, ran)
    if code == "MESSAGE_TOO_LARGE":
        assert "4194" in error.message
        assert "limit is 4194304" in error.message


# -------------------------------------------------------------------------------------------------------------- replays


@pytest.mark.parametrize("size", [5 * KIB, 48 * KIB])
def test_a_kept_result_is_told_again_with_its_bytes_and_nothing_runs(row: Row, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    with row.session(["blob_counted"], timeout=60) as session:
        keyed = session.options(idempotency_key=f"bytes-{tmp_path.name}-{size}")
        results = [keyed.call("blob_counted", data=data, directory=str(tmp_path)) for _ in range(2)]

    assert [result.bytes_at() for result in results] == [data, data]
    assert results[1].metadata == {"replayed": True}
    assert len(list(tmp_path.iterdir())) == 1


def test_a_result_too_large_to_be_kept_says_so_and_runs_no_second_time(tmp_path: Path) -> None:
    data = os.urandom(65 * KIB)
    with LocalGrid([blob_tools.__file__], runtimes=1) as grid:
        with grid.session(timeout=60) as session:
            keyed = session.options(idempotency_key="too-large")
            first = keyed.call("blob_counted", data=data, directory=str(tmp_path))
            again = keyed.call("blob_counted", data=data, directory=str(tmp_path))
        kept = grid.entries()
        stop_and_audit(grid)

    assert first.bytes_at() == data
    assert again.error is not None
    assert (again.error.type, again.error.ran) == ("MESSAGE_TOO_LARGE", "yes")
    assert str(len(data) + len(canonical(Blob("", data).reference))) in again.error.message
    assert len(list(tmp_path.iterdir())) == 1
    assert [entry["kind"] for entry in kept].count("intent") == 1
