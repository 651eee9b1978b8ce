"""Logs for tests of what is done with a log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from altar.aesp.audit.opening import open_records
from altar.aesp.audit.record import Log, Record, Records
from altar.ledger import Event, Ledger
from tests.unit.ledger.samples import ORIGIN, TIME_MS, commit, intent, open_ledger, outcome, signer_in

__all__ = ["ORIGIN", "TIME_MS", "a_log", "add_calls", "all_records", "sample"]


def a_log(folder: Path, *, calls: int = 3) -> Path:
    """A closed log with this many calls; every third of them failed, and one event stands before them."""
    path = folder / "ledger.db"
    ledger = open_ledger(path, signer_in(folder))
    commit(ledger, Event(event="session.opened", subject="s-1", note="by a test"))
    add_calls(ledger, calls)
    ledger.close()
    return path


def add_calls(ledger: Ledger, calls: int, *, first: int = 0) -> None:
    """Add calls, each intent with its outcome in one commit."""
    for number in range(first, first + calls):
        asked = intent(
            number,
            tool=("get_weather", "book_flight")[number % 2],
            principal=("acme/alice", "acme/bob", "acme/carol")[number % 3],
            session=f"s-{number // 10}",
            correlation=f"c-{number}",
        )
        ended = outcome(number, -1)
        if number % 3 == 2:
            ended = replace(ended, status="ERROR", code="TIMEOUT", result="")
        commit(ledger, asked, ended)


def all_records(path: Path) -> list[Record]:
    """Every record of the log, oldest first."""
    records = open_records(path)
    return [record for log in records.reader.logs() for record in _of(records, log)]


def _of(records: Records, log: Log) -> list[Record]:
    return list(records.read(log, 0, log.size))


def sample(**changes: object) -> Record:
    """One record of a call that ended."""
    made = Record(
        id=f"{ORIGIN}#7",
        origin=ORIGIN,
        tenant="acme",
        position=7,
        time_ms=TIME_MS,
        event="call.ended",
        entry=b"{}",
        principal="acme/alice",
        session="s-1",
        correlation="c-1",
        invocation="inv-1",
        tool="get_weather",
        version="1.0.0",
        resource="tools/get_weather",
        action="execute",
        outcome="SUCCESS",
        runtime="py-1",
    )
    return replace(made, **changes)  # type: ignore[arg-type]  # the members of a record by name
