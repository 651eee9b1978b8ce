"""The way of the rows of one run to its file: at once, soon, or with what is written next.

One transaction is under way at a time, and what comes meanwhile is in the next one.
After one that failed nothing of the run is written any more: what is on the disk is the beginning of what happened,
and has no gaps.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from altar.ai.pipelines.checkpoint_rows import RunRow, StepRow, put_steps, update_run

if TYPE_CHECKING:
    from altar.ai.pipelines.checkpoint_file import CheckpointWriter

__all__ = ["WrittenRows"]

_MOST_BYTES: Final = 1 << 20
"""Of what is not waited for, so much may wait to be written."""


class WrittenRows:
    """What is written of one run; for one event loop."""

    def __init__(self, writer: CheckpointWriter, run_id: str) -> None:
        self._writer = writer
        self._run_id = run_id
        self._next = _Batch()
        self._under_way: _Batch | None = None
        self._failed: BaseException | None = None

    async def write(
        self, steps: Iterable[StepRow] = (), *, gone: Iterable[str] = (), run: RunRow | None = None
    ) -> None:
        """Write steps, without those that are ``gone``, and the run as it is now, after all that came before.

        It is on the disk when this returns. Raises what keeps it from being there, now or before.
        """
        self._add(steps, gone, run)
        batch = self._next if self._next or self._under_way is None else self._under_way
        if not batch:
            return
        waits = asyncio.get_running_loop().create_future()
        batch.waiting.append(waits)
        self._send()
        await waits

    async def write_soon(self, steps: Iterable[StepRow]) -> None:
        """Write steps, and wait for that only where much waits to be written. Raises as :meth:`write`."""
        self._add(steps)
        if self._next.bytes > _MOST_BYTES:
            await self.write()
        else:
            self._send()

    def hold(self, step: StepRow) -> None:
        """Write a step together with what is written next."""
        self._add([step])

    def _add(self, steps: Iterable[StepRow], gone: Iterable[str] = (), run: RunRow | None = None) -> None:
        if self._failed is not None:
            raise self._failed
        batch = self._next
        for step in steps:
            batch.steps.append(step)
            batch.bytes += len(step.fields) + len(step.record)
        batch.gone.extend(gone)
        batch.run = run or batch.run

    def _send(self) -> None:
        """Write what waits, unless something is under way: its end sends the rest."""
        if self._under_way is None and self._next:
            batch, self._next = self._next, _Batch()
            self._under_way = batch
            sent = self._writer.begin(partial(batch.put, run_id=self._run_id))
            sent.add_done_callback(self._arrived)

    def _arrived(self, sent: asyncio.Future[None]) -> None:
        """Tell who waits, and write what has come meanwhile, if there is anything to be written after this."""
        batch, self._under_way = self._under_way, None
        self._failed = asyncio.CancelledError() if sent.cancelled() else sent.exception()
        waiting = batch.waiting if batch is not None else []
        if self._failed is not None:
            waiting, self._next = [*waiting, *self._next.waiting], _Batch()
        for one in waiting:
            if one.done():
                continue
            if self._failed is None:
                one.set_result(None)
            else:
                one.set_exception(self._failed)
        self._send()


@dataclass(slots=True, eq=False)
class _Batch:
    """What is written in one transaction, and who waits for it."""

    steps: list[StepRow] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    run: RunRow | None = None
    bytes: int = 0
    waiting: list[asyncio.Future[None]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.steps or self.gone or self.run)

    def put(self, db: sqlite3.Connection, *, run_id: str) -> None:
        """Write it, in the thread of the file."""
        if self.steps or self.gone:
            put_steps(db, run_id, self.steps, gone=self.gone)
        if self.run is not None:
            update_run(db, self.run)
