"""The rows of a file of checkpoints, each sealed: a row that is not as it was written is never gone on from.

The seals of the steps of a run have a sum, which is written with them, so that a step that is missing is noticed, too.
Seals and sums have no key: they find damage, and keep nobody from writing something else who may write the file.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any

from altar.adm.errors import ValidationError
from altar.ai.pipelines.checkpoint_file import damaged

__all__ = [
    "RunRow",
    "StepRow",
    "forget_run",
    "insert_run",
    "no_run",
    "put_steps",
    "run_of",
    "runs_of",
    "steps_of",
    "update_run",
]


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run: which pipeline, with which inputs, and how it ended.

    ``digest`` is the pipeline's, ``lock`` the number of its lease, ``salt`` is in its idempotency keys.
    ``owner`` is in whose name its calls are, empty where there is only this process.
    ``status`` is empty until the run is over; ``inputs`` and ``result`` are JSON; times are milliseconds since 1970.
    ``process`` is the last one that ran it.
    """

    run_id: str
    lock: int
    pipeline: str
    version: str
    digest: str
    owner: str
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

    ``place`` is the host that knows its idempotency key, and its session there; empty where nobody does.
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


def insert_run(db: sqlite3.Connection, run: RunRow, steps: Iterable[StepRow] = ()) -> None:
    """Write a new run, with the steps that begin with it.

    Raises ValidationError RESOURCE_CONFLICT when there is one of its id.
    """
    if list(db.execute("SELECT 1 FROM runs WHERE run_id = ?", (run.run_id,))):
        raise ValidationError(
            "RESOURCE_CONFLICT",
            f"There is a run {run.run_id!r} already",
            ran="no",
            hint="resume it, or give the new run another id",
        )
    values = _of_run(run)
    marks = ",".join("?" * (len(values) + 1))
    db.execute(f"INSERT INTO runs ({_RUN}, seal) VALUES ({marks})", (*values, _seal(values)))  # noqa: S608 - our words
    db.execute("INSERT INTO sums (run_id, steps) VALUES (?, ?)", (run.run_id, bytes(_SEAL_BYTES)))
    put_steps(db, run.run_id, steps)


def update_run(db: sqlite3.Connection, run: RunRow) -> None:
    """Write what became of a run that is there."""
    values = _of_run(run)
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


def no_run(run_id: str, path: str) -> ValidationError:
    """The error for a run that is not in a file."""
    return ValidationError(
        "UNKNOWN_RESOURCE",
        f"There is no run {str(run_id)[:80]!r} in {path!r}",
        ran="no",
        hint=f"`altar pipeline runs --checkpoint {path}` lists those there are",
    )


def put_steps(db: sqlite3.Connection, run_id: str, steps: Iterable[StepRow], *, gone: Iterable[str] = ()) -> None:
    """Write several steps of a run as they are now, and remove those of the paths that are ``gone``."""
    total = _sum(db, run_id)
    for step in steps:
        values = _of_step(step)
        sealed = _seal(values)
        total ^= _sealed(db, run_id, step.path) ^ int.from_bytes(sealed)
        db.execute(_PUT, (*values, sealed))
    for path in gone:
        total ^= _sealed(db, run_id, path)
        db.execute("DELETE FROM steps WHERE run_id = ? AND path = ?", (run_id, path))
    if total >= 0:
        db.execute("UPDATE sums SET steps = ? WHERE run_id = ?", (total.to_bytes(_SEAL_BYTES), run_id))


def steps_of(db: sqlite3.Connection, run_id: str, path: str) -> dict[str, StepRow]:
    """The steps of a run, by their paths; LOG_DAMAGED when they are not as they were written, or one is missing."""
    found, total = {}, 0
    for *values, sealed in db.execute(f"SELECT {_STEP}, seal FROM steps WHERE run_id = ? ORDER BY number", (run_id,)):  # noqa: S608 - our own words
        if _seal(values) != sealed:
            raise damaged(path, f"the step {values[1]!r} of run {run_id!r} is not as it was written")
        step = replace(StepRow(*values), ours=False)
        found[step.path] = step
        total ^= int.from_bytes(sealed)
    if total != _sum(db, run_id):
        raise damaged(path, f"run {run_id!r} has not all of the steps that were written")
    return found


def forget_run(db: sqlite3.Connection, run_id: str) -> bool:
    """Remove a run and its steps; whether it was there."""
    db.execute("DELETE FROM steps WHERE run_id = ?", (run_id,))
    db.execute("DELETE FROM sums WHERE run_id = ?", (run_id,))
    return db.execute("DELETE FROM runs WHERE run_id = ?", (run_id,)).rowcount > 0


def _run(row: Sequence[Any], path: str) -> RunRow:
    *values, sealed = row
    if _seal(values) != sealed:
        raise damaged(path, f"the run {values[0]!r} is not as it was written")
    return RunRow(*values)


def _sum(db: sqlite3.Connection, run_id: str) -> int:
    """The sum of the seals of a run's steps; -1, which is none, where it is missing."""
    held = db.execute("SELECT steps FROM sums WHERE run_id = ?", (run_id,)).fetchone()
    return int.from_bytes(held[0]) if held and isinstance(held[0], bytes) else -1


def _sealed(db: sqlite3.Connection, run_id: str, path: str) -> int:
    """The seal of a step as it is now; 0 for one that is not there."""
    held = db.execute("SELECT seal FROM steps WHERE run_id = ? AND path = ?", (run_id, path)).fetchone()
    return int.from_bytes(held[0]) if held else 0


def _seal(values: Sequence[Any]) -> bytes:
    """A digest of a row: each value with its length, so that no two rows have the same text."""
    parts = [one if isinstance(one, bytes) else str(one).encode() for one in values]
    return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).digest()[:_SEAL_BYTES]


_RUN = "run_id, lock, pipeline, version, digest, owner, salt, inputs, begun_ms, process, status, ended_ms, result"
_STEP = "run_id, path, begun_ms, place, state, round, ended_ms, fields, record"
_of_run: Callable[[RunRow], tuple[Any, ...]] = attrgetter(*_RUN.split(", "))
_of_step: Callable[[StepRow], tuple[Any, ...]] = attrgetter(*_STEP.split(", "))
_PUT = (
    f"INSERT INTO steps ({_STEP}, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "  # noqa: S608 - our own words
    "ON CONFLICT (run_id, path) DO UPDATE SET begun_ms = excluded.begun_ms, place = excluded.place, "
    "state = excluded.state, round = excluded.round, ended_ms = excluded.ended_ms, fields = excluded.fields, "
    "record = excluded.record, seal = excluded.seal"
)
_SEAL_BYTES = 16
