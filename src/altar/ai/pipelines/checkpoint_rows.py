"""The rows of a file of checkpoints, each sealed: a row that is not as it was written is never gone on from."""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field, replace
from typing import Any

from altar.adm.errors import ValidationError
from altar.ai.pipelines.checkpoint_file import damaged

__all__ = [
    "RunRow",
    "StepRow",
    "forget_run",
    "insert_run",
    "put_step",
    "put_steps",
    "remove_step",
    "run_of",
    "runs_of",
    "steps_of",
    "update_run",
]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: which pipeline, with which inputs, and how it ended.

    ``digest`` is the pipeline's, ``lock`` the number of its lease, ``salt`` is in its idempotency keys.
    ``status`` is empty until the run is over; ``inputs`` and ``result`` are JSON; times are milliseconds since 1970.
    ``process`` is the last one that ran it.
    """

    run_id: str
    lock: int
    pipeline: str
    version: str
    digest: str
    salt: str = field(repr=False)
    inputs: bytes = field(repr=False)
    begun_ms: int
    process: int = field(default_factory=os.getpid)
    status: str = ""
    ended_ms: int = 0
    result: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a run that has begun (``begun``) or ended (``ended``, done or failed as its record says).

    ``place`` is the address of the host that knows its idempotency key, empty where nobody does.
    ``round`` counts how often a person let it be called again, ``ours`` says that this process began it.
    ``fields`` and ``record`` are JSON.
    """

    run_id: str
    path: str
    begun_ms: int
    place: str = ""
    state: str = "begun"
    round: int = 0
    ended_ms: int = 0
    fields: bytes = field(default=b"", repr=False)
    record: bytes = field(default=b"", repr=False)
    ours: bool = field(default=True, compare=False)


def insert_run(db: sqlite3.Connection, run: RunRow) -> None:
    """Write a new run; raises ValidationError RESOURCE_CONFLICT when there is one of its id."""
    if list(db.execute("SELECT 1 FROM runs WHERE run_id = ?", (run.run_id,))):
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"There is a run {run.run_id!r} already",
            ran="no",
            hint="resume it, or give the new run another id",
        )
    values = astuple(run)
    marks = ",".join("?" * (len(values) + 1))
    db.execute(f"INSERT INTO runs ({_RUN}, seal) VALUES ({marks})", (*values, _seal(values)))  # noqa: S608 - our words


def update_run(db: sqlite3.Connection, run: RunRow) -> None:
    """Write what became of a run that is there."""
    values = astuple(run)
    db.execute(
        "UPDATE runs SET process = ?, status = ?, ended_ms = ?, result = ?, seal = ? WHERE run_id = ?",
        (run.process, run.status, run.ended_ms, run.result, _seal(values), run.run_id),
    )


def run_of(db: sqlite3.Connection, run_id: str, path: str) -> RunRow | None:
    """The run of that id; None when there is none, LOG_DAMAGED when it is not as it was written."""
    rows = list(db.execute(f"SELECT {_RUN}, seal FROM runs WHERE run_id = ?", (run_id,)))  # noqa: S608 - our own words
    return _run(rows[0], path) if rows else None


def runs_of(db: sqlite3.Connection, path: str, *, most: int) -> list[tuple[RunRow, int, tuple[str, ...]]]:
    """The latest runs, the newest first, each with how many steps ended, and the paths of those that only began."""
    listed = db.execute(f"SELECT {_RUN}, seal FROM runs ORDER BY begun_ms DESC, rowid DESC LIMIT ?", (most,))  # noqa: S608 - our own words
    found = []
    for run in [_run(row, path) for row in listed]:
        states = list(db.execute("SELECT state, path FROM steps WHERE run_id = ? ORDER BY number", (run.run_id,)))
        begun = tuple(place for state, place in states if state == "begun")
        found.append((run, len(states) - len(begun), begun))
    return found


def put_step(db: sqlite3.Connection, step: StepRow) -> None:
    """Write a step as it is now."""
    values = astuple(step)[:-1]
    marks = ",".join("?" * (len(values) + 1))
    db.execute(
        f"INSERT INTO steps ({_STEP}, seal) VALUES ({marks}) "  # noqa: S608 - our own words
        "ON CONFLICT (run_id, path) DO UPDATE SET begun_ms = excluded.begun_ms, place = excluded.place, "
        "state = excluded.state, round = excluded.round, ended_ms = excluded.ended_ms, fields = excluded.fields, "
        "record = excluded.record, seal = excluded.seal",
        (*values, _seal(values)),
    )


def put_steps(db: sqlite3.Connection, steps: Iterable[StepRow]) -> None:
    """Write several steps as they are now."""
    for step in steps:
        put_step(db, step)


def remove_step(db: sqlite3.Connection, step: StepRow) -> None:
    """Remove a step, as if it had never begun."""
    db.execute("DELETE FROM steps WHERE run_id = ? AND path = ?", (step.run_id, step.path))


def steps_of(db: sqlite3.Connection, run_id: str, path: str) -> dict[str, StepRow]:
    """The steps of a run, by their paths; LOG_DAMAGED when one of them is not as it was written."""
    found = {}
    for *values, sealed in db.execute(f"SELECT {_STEP}, seal FROM steps WHERE run_id = ? ORDER BY number", (run_id,)):  # noqa: S608 - our own words
        if _seal(values) != sealed:
            raise damaged(path, f"the step {values[1]!r} of run {run_id!r} is not as it was written")
        step = replace(StepRow(*values), ours=False)
        found[step.path] = step
    return found


def forget_run(db: sqlite3.Connection, run_id: str) -> bool:
    """Remove a run and its steps; whether it was there."""
    db.execute("DELETE FROM steps WHERE run_id = ?", (run_id,))
    return db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,)).rowcount > 0


def _run(row: Sequence[Any], path: str) -> RunRow:
    *values, sealed = row
    if _seal(values) != sealed:
        raise damaged(path, f"the run {values[0]!r} is not as it was written")
    return RunRow(*values)


def _seal(values: Sequence[Any]) -> bytes:
    """A digest of a row: each value with its length, so that no two rows have the same text."""
    parts = [one if isinstance(one, bytes) else str(one).encode() for one in values]
    return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).digest()[:16]


_RUN = "run_id, lock, pipeline, version, digest, salt, inputs, begun_ms, process, status, ended_ms, result"
_STEP = "run_id, path, begun_ms, place, state, round, ended_ms, fields, record"
