"""How a run is begun: in the event loop of its session, from a thread beside it, anew or where it was interrupted."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import Coroutine, Mapping
from concurrent.futures import wait
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from altar.adm.call import ErrorObject
from altar.adm.errors import AltarError, ConfigurationError
from altar.ai.configuration import configured
from altar.ai.pipelines.account import Account
from altar.ai.pipelines.inputs import checked_inputs
from altar.ai.pipelines.plan import Plan, plan_for
from altar.ai.pipelines.result import PipelineResult
from altar.ai.pipelines.run import Run
from altar.ai.pipelines.steps import ToolStep
from altar.later.front import SyncSession

if TYPE_CHECKING:
    from os import PathLike

    from altar.ai.pipelines.checkpoints import Checkpoints
    from altar.ai.pipelines.events import OnEvent, PipelineEvent
    from altar.ai.pipelines.kept import Kept
    from altar.ai.pipelines.shape import Shape
    from altar.later.session import Session

__all__ = ["RunElsewhere", "Wanted", "run_in", "running"]

_log = logging.getLogger("altar.ai")
_PATIENCE = 60.0
"""Seconds that who leaves a run waits for its end, and for what it undoes."""
_MOST_FOR_UNDOING = 30.0
"""Seconds that are kept for compensations, at most a tenth of the whole time."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One run as somebody asked for it; see :meth:`Pipeline.run` and :meth:`Pipeline.resume`."""

    pipeline: Shape
    inputs: Mapping[str, Any] = field(default_factory=dict)
    timeout: float | None = None
    checkpoint: Checkpoints | str | PathLike[str] | None = None
    run_id: str | None = None
    resumes: bool = False
    unknown: Any = None
    on_event: OnEvent | None = None


def running(session: Session | SyncSession, wanted: Wanted) -> Coroutine[Any, Any, PipelineResult] | PipelineResult:
    """The result for a SyncSession, after waiting for it here; a coroutine for a session of an event loop."""
    if not isinstance(session, SyncSession):
        return run_in(session, wanted, tell=wanted.on_event)
    tell = wanted.on_event
    events: SimpleQueue[PipelineEvent | None] = SimpleQueue()
    begun = RunElsewhere(session, wanted, tell=None if tell is None else events.put)
    try:
        if tell is not None:
            begun.future.add_done_callback(lambda _: events.put(None))
            while (event := events.get()) is not None:
                _tell(tell, event)
        return begun.future.result()
    except BaseException:
        begun.end()
        raise


class RunElsewhere:
    """A run in the event loop of a SyncSession, for who waits for it in another thread."""

    def __init__(self, session: SyncSession, wanted: Wanted, *, tell: OnEvent | None) -> None:
        """Begin it; raises INCOMPATIBLE_MODE in that very event loop."""
        _require_elsewhere(session)
        self._task: asyncio.Task[Any] | None = None
        self._is_left = False

        async def run(inside: Session) -> PipelineResult:
            self._task = asyncio.current_task()
            if self._is_left:
                raise asyncio.CancelledError
            return await run_in(inside, wanted, tell=tell)

        self.future = session.begin(run)

    def leave(self) -> None:
        """Cancel it without waiting; the future is done when what was done is undone."""
        self._is_left = True
        task = self._task
        if task is None:
            self.future.cancel()
        elif not task.done():
            with suppress(RuntimeError):  # the loop is closed, and the run with it
                task.get_loop().call_soon_threadsafe(task.cancel)

    def end(self) -> None:
        """Cancel it if it has not ended, and wait until it has, for a minute at most."""
        if not self.future.done():
            self.leave()
            wait([self.future], timeout=_PATIENCE)


async def run_in(session: Session, wanted: Wanted, *, tell: OnEvent | None) -> PipelineResult:
    """Run it in a session of this event loop."""
    pipeline = wanted.pipeline
    plan = plan_for(pipeline, session)
    fields: dict[str, Any] = {}
    if not wanted.resumes:
        try:
            fields = checked_inputs(plan.declaration, wanted.inputs)
        except AltarError as unfit:
            account = Account(pipeline, wanted.run_id or uuid.uuid4().hex, tell=tell, kept=None)
            return await account.over({}, {}, ErrorObject.of(unfit))
    if wanted.checkpoint is None:
        account = Account(pipeline, wanted.run_id or uuid.uuid4().hex, tell=tell, kept=None)
        return await _run(session, wanted, plan, account, fields)
    _require_known(plan)
    async with _kept(session, wanted, plan, fields) as kept:
        if kept.result is not None:
            return PipelineResult.from_json(kept.result)
        return await _run(session, wanted, plan, Account(pipeline, kept.run_id, tell=tell, kept=kept), kept.inputs)


# ---------------------------------------------------------------------------------------------------------- inside


def _require_elsewhere(session: SyncSession) -> None:
    """Raise INCOMPATIBLE_MODE in the event loop of a session, which would wait for itself."""
    loop = session.underneath.asker.live.loop
    try:
        here = asyncio.get_running_loop()
    except RuntimeError:
        return
    if here is loop:
        raise ConfigurationError(
            "INCOMPATIBLE_MODE",
            "A pipeline cannot be waited for in the event loop that it runs in",
            ran="no",
            hint="await pipeline.run(context.session, …) inside of a coroutine function",
        )


async def _run(
    session: Session, wanted: Wanted, plan: Plan, account: Account, fields: dict[str, Any]
) -> PipelineResult:
    pipeline = wanted.pipeline
    seconds = wanted.timeout or pipeline.timeout or configured().pipeline_timeout
    now = time.monotonic()
    deadline = now + seconds
    parent = session.asker.parent
    if parent is not None and parent.invocation.deadline < deadline:
        deadline = parent.invocation.deadline
        seconds = max(0.0, deadline - now)
    reserved = min(_MOST_FOR_UNDOING, seconds / 10) if pipeline.undoes else 0.0
    run = Run(pipeline, plan, session, account, deadline=deadline, seconds=seconds, reserved=reserved)
    return await run.go(fields)


def _kept(session: Session, wanted: Wanted, plan: Plan, inputs: dict[str, Any]) -> AbstractAsyncContextManager[Kept]:
    """The checkpoints of a run that begins, or of one that goes on."""
    from altar.ai.pipelines.checkpoints import Checkpoints, new_run, resumed_run

    given: Any = wanted.checkpoint
    checkpoint = given if isinstance(given, (str, Checkpoints)) else str(given)
    if wanted.resumes:
        return resumed_run(
            checkpoint, wanted.pipeline, session, wanted.run_id or "", wanted.unknown, contracts=plan.contracts
        )
    first = wanted.pipeline.steps[0]
    contract = plan.contracts[first.tool] if isinstance(first, ToolStep) else None
    begins = () if contract is None else ((first.name, contract),)
    return new_run(checkpoint, wanted.pipeline, session, inputs, wanted.run_id, begins=begins)


def _require_known(plan: Plan) -> None:
    """Raise FEATURE_UNAVAILABLE where nobody knows which steps must not happen twice."""
    if None in plan.contracts.values():
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            "A run is kept only where the contracts of all its tools are known",
            ran="no",
            hint="leave checkpoint= out inside of a tool on a grid, or import the modules of its tools there",
        )


def _tell(tell: OnEvent, event: PipelineEvent) -> None:
    """Tell one event in the thread that waits; a listener that raises is itself told in the log."""
    try:
        tell(event)
    except Exception:  # noqa: BLE001 - the run goes on
        _log.exception("listener failed", extra={"run": event.run_id})
