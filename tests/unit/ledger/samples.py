"""Entries, keys and ledgers for tests, and a way to commit and wait for the answer."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import orjson

from altar.adm.errors import AltarError
from altar.ledger import Event, FileSigner, Intent, Ledger, Outcome
from altar.ledger.places import DatabaseLog, Place
from altar.ledger.postgres import PostgresReading, PostgresStore
from altar.ledger.sqlite import Connection, SqliteStore, connect_sqlite

ORIGIN = "altar.local/host-1"
DIGEST = "sha256:" + "5a" * 32
TIME_MS = 1_790_000_000_000


def intent(number: int, **changes: Any) -> Intent:
    members: dict[str, Any] = {
        "invocation": f"inv-{number}",
        "call": f"call-{number}",
        "tool": "get_weather",
        "version": "1.0.0",
        "contract": DIGEST,
        "arguments": DIGEST,
        "principal": "alice",
        "tenant": "acme",
        "session": "s-1",
        "correlation": "c-1",
    }
    return Intent(**(members | changes))


def outcome(number: int, seq: int) -> Outcome:
    return Outcome(
        intent=seq,
        invocation=f"inv-{number}",
        status="SUCCESS",
        code="",
        ran="yes",
        result=DIGEST,
        runtime="runtime-1",
        attempts=1,
    )


def signer_in(folder: Path) -> FileSigner:
    path = folder / "audit.key"
    return FileSigner.open(path, name=ORIGIN) if path.exists() else FileSigner.create(path, name=ORIGIN)


def open_ledger(
    path: Place,
    signer: FileSigner,
    *,
    failures: list[AltarError] | None = None,
    deliver: Callable[[Callable[[], None]], None] | None = None,
    connect: Callable[[str], Connection] = connect_sqlite,
    origin: str = ORIGIN,
    checkpoint_every: timedelta = timedelta(hours=1),
    per_tenant: bool = False,
    pseudonyms: bool = False,
) -> Ledger:
    return Ledger.open(
        path,
        signer=signer,
        origin=origin,
        host="host-1",
        software="altar 0.1.0",
        wall_ms=lambda: TIME_MS,
        on_failure=(failures if failures is not None else []).append,
        deliver=deliver,
        connect=connect,
        checkpoint_every=checkpoint_every,
        per_tenant=per_tenant,
        pseudonyms=pseudonyms,
    )


def commit(ledger: Ledger, *entries: Intent | Outcome | Event) -> tuple[int, AltarError | None]:
    """Commit and wait for the answer."""
    answered = threading.Event()
    answers: list[tuple[int, AltarError | None]] = []

    def then(first: int, error: AltarError | None) -> None:
        answers.append((first, error))
        answered.set()

    ledger.commit(entries, then)
    assert answered.wait(30)
    return answers[0]


def crash(ledger: Ledger) -> None:
    """Let go of the files as a killed process does: nothing more is recorded."""
    store = cast("SqliteStore | PostgresStore", ledger._store)
    store._connection.close()
    store._lock.release()


def entries_in(path: Place) -> list[dict[str, Any]]:
    return [orjson.loads(body) for (body,) in rows(path, "SELECT body FROM entries ORDER BY seq")]


def rows(path: Place, sql: str) -> list[Sequence[Any]]:
    connection: Any = PostgresReading(path) if isinstance(path, DatabaseLog) else sqlite3.connect(path)
    try:
        found: list[Sequence[Any]] = connection.execute(sql).fetchall()
        return found
    finally:
        connection.close()
