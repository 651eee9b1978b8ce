"""The runs of a file of checkpoints, to look at and to forget; for people, while nothing has to be open."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from altar.ai.pipelines.checkpoint_file import Lease, is_held, reading
from altar.ai.pipelines.checkpoint_rows import RunRow, forget_run, no_run, run_of, runs_of

__all__ = ["RunStatus", "RunSummary", "forget_runs", "list_runs"]

RunStatus = Literal["running", "stopped", "done", "failed"]
"""``running`` is held by a process, ``stopped`` can be resumed, the others are over."""

MOST_RUNS = 1_000
"""So many runs are listed."""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """How one run stands. ``steps`` have ended; ``begun`` had begun by then and are not safe to call again."""

    run_id: str
    pipeline: str
    version: str
    status: RunStatus
    began: datetime
    ended: datetime | None
    steps: int
    begun: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The same as a JSON object."""
        return {
            "run_id": self.run_id,
            "pipeline": self.pipeline,
            "version": self.version,
            "status": self.status,
            "began": self.began.isoformat(timespec="milliseconds"),
            "ended": self.ended.isoformat(timespec="milliseconds") if self.ended else None,
            "steps": self.steps,
            "begun": list(self.begun),
        }


def list_runs(path: str | Path) -> list[RunSummary]:
    """The runs of a file, the newest first, at most 1000.

    Raises UNKNOWN_RESOURCE when there is no such file, and what keeps it from being used.
    """
    real = os.path.realpath(path)
    with reading(real) as connection:
        return [_summary(real, *found) for found in runs_of(connection, real, most=MOST_RUNS)]


def forget_runs(path: str | Path, run_ids: Iterable[str], *, all_there: bool = False) -> list[str]:
    """Remove runs with all that is kept of them; gives the ids of those that were there.

    With ``all_there``, one that is not there is UNKNOWN_RESOURCE, and none is removed.
    Raises RESOURCE_CONFLICT for one that is being run; those before it are gone then.
    """
    real, named, gone = os.path.realpath(path), list(run_ids), []
    with reading(real) as connection:
        for run_id in named:
            if all_there and run_of(connection, run_id, real) is None:
                raise no_run(run_id, real)
        for run_id in named:
            run = run_of(connection, run_id, real)
            if run is None:
                continue
            lease = Lease(real, number=run.lock, run_id=run_id, process=run.process)
            try:
                connection.execute("BEGIN IMMEDIATE")
                forget_run(connection, run_id)
                connection.execute("COMMIT")
            finally:
                lease.release()
            gone.append(run_id)
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # or it would still be in there
    return gone


def _summary(path: str, run: RunRow, steps: int, begun: tuple[str, ...]) -> RunSummary:
    status: RunStatus = "done" if run.status == "SUCCESS" else "failed"
    if not run.status:
        status = "running" if is_held(path, run.lock) else "stopped"
    return RunSummary(
        run.run_id,
        run.pipeline,
        run.version,
        status,
        _time(run.begun_ms),
        _time(run.ended_ms) if run.ended_ms else None,
        steps,
        () if run.status else begun,
    )


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
