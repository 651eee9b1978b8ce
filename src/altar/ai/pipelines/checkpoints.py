"""Checkpoints of a run: what has ended is on the disk, so that a run whose process was killed goes on where it was.

A step that must not happen twice (its contract is neither ``read_only`` nor ``idempotent``) is written down as begun
before it is called; what it gave, and the beginning of the next one, are written in one transaction.
What a step gave that may happen twice is on its way to the disk while the run goes on.
After a kill there are three kinds of steps: those that ended are restored, those that are safe to repeat or were never
begun run, and of those that were begun and did not end nobody knows, except a host: it keeps for some minutes what was
called under an idempotency key, and is asked with the same key.
Where nobody knows, a person decides: OUTCOME_UNKNOWN names the step.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from altar.adm.errors import AltarError, ValidationError
from altar.ai.pipelines.at_once import to_the_end
from altar.ai.pipelines.called_at import called_at
from altar.ai.pipelines.checkpoint_file import CheckpointWriter, Lease
from altar.ai.pipelines.checkpoint_rows import RunRow, StepRow, insert_run, no_run, run_of, steps_of, update_run
from altar.ai.pipelines.kept import AGAIN, Again, Kept, Unknown, now_ms, written
from altar.ai.pipelines.key_keeper import is_kept_for, keeper_of
from altar.ai.pipelines.run_owner import owner_of, require_owner

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.ai.pipelines.places import Begins
    from altar.ai.pipelines.shape import Shape
    from altar.later.session import Session

__all__ = ["AGAIN", "Again", "Checkpoints", "Unknown", "new_run", "new_run_id", "resumed_run"]


class Checkpoints:
    """A file of checkpoints, for any number of runs one after the other and at the same time.

    It is open from the first run on until `close`, or the end of ``with``; for one run a path does as well.
    """

    def __init__(self, path: str | Path) -> None:
        """Take the path; its folder must exist, and the file is made by the first run, readable by its owner only."""
        self._writer = CheckpointWriter(path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def path(self) -> str:
        """Where the file is."""
        return self._writer.path

    @property
    def writer(self) -> CheckpointWriter:
        """What writes the file."""
        return self._writer

    def close(self) -> None:
        """Let go of the file, soon; what has been answered is on the disk already."""
        self._writer.let_go()


@contextlib.asynccontextmanager
async def new_run(
    checkpoint: str | Path | Checkpoints,
    pipeline: Shape,
    session: Session,
    inputs: Mapping[str, Any],
    run_id: str | None = None,
    *,
    begins: Begins = (),
) -> AsyncIterator[Kept]:
    """Begin a run and hold it for the time of the block; ``inputs`` are those it begins with, checked already.

    ``begins`` are the steps that are called first, with their contracts, which is written down together with the run.
    Raises RESOURCE_CONFLICT for a ``run_id`` that is in the file, MALFORMED_REQUEST for one that is none, and what
    keeps the file from being used.
    """
    name = new_run_id() if run_id is None else _require_run_id(run_id)
    run = RunRow(
        name,
        pipeline=pipeline.name,
        version=pipeline.version,
        digest=pipeline.digest,
        owner=owner_of(session),
        inputs=written("inputs", inputs),
        lock=secrets.randbits(60) + 1,
        salt=secrets.token_hex(16),
        begun_ms=now_ms(),
    )
    async with _open(checkpoint) as writer, _leased(writer, run):
        kept = Kept(writer, run, {}, place=keeper_of(session), last=pipeline.steps[-1].name)
        first = kept.begun(begins)
        await writer.do(lambda db: insert_run(db, run, first))
        try:
            yield kept
        finally:
            await to_the_end(kept.all_written())


@contextlib.asynccontextmanager
async def resumed_run(
    checkpoint: str | Path | Checkpoints,
    pipeline: Shape,
    session: Session,
    run_id: str,
    unknown: Unknown = None,
    *,
    contracts: Mapping[str, FunctionDeclaration | None] | None = None,
) -> AsyncIterator[Kept]:
    """Go on with a run, held for the time of the block; one that is over has a :attr:`Kept.result`.

    ``unknown`` is what a person says of steps whose outcome nobody knows; a result is checked by the ``contracts`` of
    the tools, by what a step calls them, those of the session unless given.
    Raises UNKNOWN_RESOURCE, VERSION_MISMATCH when the pipeline has changed, PERMISSION_DENIED for the run of somebody
    else, RESOURCE_CONFLICT while another process runs it, OUTCOME_UNKNOWN, and what keeps the file from being used.
    """
    path = checkpoint.path if isinstance(checkpoint, Checkpoints) else os.path.realpath(checkpoint)  # noqa: ASYNC240 - one look
    if not Path(path).exists():  # noqa: ASYNC240 - one look
        raise no_run(run_id, path)
    async with _open(checkpoint) as writer:
        run = await writer.do(lambda db: run_of(db, run_id, path))
        if run is None:
            raise no_run(run_id, path)
        _require_same(pipeline, run)
        require_owner(run, owner_of(session))
        async with _leased(writer, run):
            now, steps = await writer.do(lambda db: _taken(db, run, path))
            kept = Kept(writer, now, steps, place=keeper_of(session), last=pipeline.steps[-1].name)

            def contract_of(step: str) -> FunctionDeclaration | None:
                called = called_at(pipeline, step) or ""
                return session.declaration(called) if contracts is None else contracts.get(called)

            if not now.status:
                await kept.settle(unknown, contract_of, partial(is_kept_for, session))
            try:
                yield kept
            finally:
                await to_the_end(kept.all_written())


def new_run_id() -> str:
    """An id for a run: sorted as they are made, and of no other run."""
    return f"{time.time_ns() // 1_000_000:012x}-{secrets.token_hex(6)}"


@contextlib.asynccontextmanager
async def _open(checkpoint: str | Path | Checkpoints) -> AsyncIterator[CheckpointWriter]:
    """What writes the file; one that was opened for this run alone is closed with it."""
    if isinstance(checkpoint, Checkpoints):
        yield checkpoint.writer
        return
    writer = CheckpointWriter(checkpoint)
    try:
        yield writer
    finally:
        await writer.close()


@contextlib.asynccontextmanager
async def _leased(writer: CheckpointWriter, run: RunRow) -> AsyncIterator[None]:
    """Hold the lease of a run for the time of the block; raises RESOURCE_CONFLICT while another process has it."""
    lease = Lease(writer.path, number=run.lock, run_id=run.run_id, process=run.process)
    try:
        yield
    except BaseException:
        with contextlib.suppress(AltarError):  # what a cancelled step left to be written is for the next to hold it
            await asyncio.shield(writer.do(lambda _: None))
        raise
    finally:
        lease.release()


def _taken(db: sqlite3.Connection, wanted: RunRow, path: str) -> tuple[RunRow, dict[str, StepRow]]:
    """A run whose lease was just taken, as it is now, and its steps; another one of its id has another lock."""
    run = run_of(db, wanted.run_id, path)
    if run is None or run.lock != wanted.lock:
        raise no_run(wanted.run_id, path)
    run = replace(run, process=os.getpid())
    update_run(db, run)
    return run, steps_of(db, run.run_id, path)


def _require_run_id(run_id: str) -> str:
    if not _RUN_ID.fullmatch(str(run_id)):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{str(run_id)[:80]!r} is no id of a run",
            ran="no",
            hint="take 1 to 64 letters, digits, and . _ - between them, such as 'invoices-2031-05'",
        )
    return run_id


def _require_same(pipeline: Shape, run: RunRow) -> None:
    """Raise VERSION_MISMATCH for a pipeline that is not the one of the run."""
    if pipeline.digest == run.digest:
        return
    begun, given = f"{run.pipeline} {run.version}", f"{pipeline.name} {pipeline.version}"
    if begun == given:
        begun, given = f"{begun} ({run.digest[:19]})", f"{given} ({pipeline.digest[:19]})"
    raise ValidationError(
        "VERSION_MISMATCH",
        f"The run {run.run_id!r} was begun by the pipeline {begun}, and cannot be resumed by {given}",
        ran="no",
        hint="resume it with the pipeline as it was, or begin a new run",
    )


_RUN_ID: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
