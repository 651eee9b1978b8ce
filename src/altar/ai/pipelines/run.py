"""One run of a pipeline: one walk over its steps, read downwards.

Each tool step is a call through the session (:mod:`altar.ai.pipelines.calling`); what it gives becomes fields of the
run. There is nothing else that a step may do, but a plain function of fields.
A step that fails raises inside of the walk, up to who has a fallback for it, or to the end of the run; there what was
done before is undone, as far as steps say how.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from altar.adm.call import ErrorObject
from altar.ai.pipelines.at_once import to_the_end, together
from altar.ai.pipelines.calling import Calls
from altar.ai.pipelines.functions import case_of, transformed
from altar.ai.pipelines.places import Begins, Place, is_inside
from altar.ai.pipelines.result import StepRecord, StepStatus
from altar.ai.pipelines.steps import (
    BranchStep,
    MapStep,
    ParallelStep,
    PipelineStep,
    Step,
    ToolStep,
    TransformStep,
)
from altar.ai.pipelines.stops import (
    StepFailedError,
    no_case,
    no_list,
    replaces,
    too_many_values,
    unfit_function,
)
from altar.ai.pipelines.trying import is_interruption
from altar.ai.pipelines.undoing import Undoings

if TYPE_CHECKING:
    from altar.ai.pipelines.account import Account
    from altar.ai.pipelines.plan import Plan
    from altar.ai.pipelines.result import PipelineResult
    from altar.ai.pipelines.shape import Shape
    from altar.later.session import Session

__all__ = ["Run"]

_log = logging.getLogger("altar.ai")

MOST_VALUES = 10_000
"""Values of one list that a map goes through."""


class Run:
    """One run; ``go`` is called once.

    ``deadline`` is when its time is up, by the monotonic clock, ``seconds`` how long that was at first, for the words.
    ``reserved`` are the seconds of it that are kept for undoing.
    """

    def __init__(
        self,
        pipeline: Shape,
        plan: Plan,
        session: Session,
        account: Account,
        *,
        deadline: float,
        seconds: float,
        reserved: float = 0.0,
    ) -> None:
        self._pipeline = pipeline
        self._plan = plan
        self._account = account
        self._end = deadline
        self._deadline = deadline - reserved
        self._undoings = Undoings()
        self._calls = Calls(
            pipeline.name,
            plan,
            session,
            account,
            self._undoings,
            deadline=self._deadline,
            end=deadline,
            seconds=seconds,
        )

    async def go(self, fields: dict[str, Any]) -> PipelineResult:
        """Run all steps, beginning with these fields, which are the run's own; return what came of it.

        What is cancelled is undone, too, unless it is kept to be resumed, and raises CancelledError.
        Of a run that is kept nothing is undone after an interruption, which says nothing of its steps.
        """
        account = self._account
        account.say("run_started")
        try:
            given: dict[str, Any] = {}
            for number, step in enumerate(self._pipeline.steps):
                then = self._after(number, self._pipeline.steps, "")
                given = await self._step(step, fields, Place(step.name, step.name, self._deadline, then=then))
                fields.update(given)
                account.done += 1
            wanted = self._pipeline.outputs
            outputs = given if wanted is None else {name: fields[name] for name in wanted if name in fields}
            return await account.over(outputs, fields, None)
        except StepFailedError as failed:
            error = await self._ended(failed.error)
        except BaseException:
            if account.kept is None:
                await self._undo_in_any_case()
            raise
        return await account.over({}, fields, error)

    # ---------------------------------------------------------------------------------------------- kinds of steps

    async def _step(self, step: Step, fields: dict[str, Any], place: Place) -> Any:
        """Carry out a step, or its fallback; return the fields that it gives, or its whole result for a map.

        ``fields`` stay as they are.
        """
        try:
            value, given = await self._carried_out(step, fields, place)
        except StepFailedError as failed:
            if step.fallback is None or failed.final:
                raise
            if any(is_inside(each, place.path) for each in self._account.cut_off):
                raise StepFailedError(failed.error, final=True) from None
            await self._undo_in_any_case(place.path)
            self._account.say("step_replaced", place.path, message=step.fallback.name)
            return await self._step(step.fallback, fields, place.fallback(step))
        return value if place.whole else given

    async def _carried_out(self, step: Step, fields: dict[str, Any], place: Place) -> tuple[Any, dict[str, Any]]:
        """The whole result of a step, and the fields that it gives; those of a whole result replace none."""
        if type(step) is ToolStep:
            return await self._calls.called(step, fields, place)
        if isinstance(step, TransformStep):
            return await self._transformed(step, fields, place)
        value: Any = None
        given: dict[str, Any]
        place = place.narrowed(step)
        if isinstance(step, ParallelStep):
            given = await self._parallel(step, fields, place)
        elif isinstance(step, MapStep):
            value = await self._map(step, fields, place)
            given = {getattr(place.role, "output", None) or step.output: value}
        elif isinstance(step, BranchStep):
            chosen = await self._chosen(step, fields, place.path)
            given = await self._inline(chosen, fields, place.below(chosen))
        elif isinstance(step, PipelineStep):
            given = await self._inline(step.pipeline, fields, place)
        else:
            raise TypeError(f"{type(step).__name__} is no step")
        self._undoings.note(step, place, fields, given)
        return given if value is None else value, given

    async def _inline(self, name: str, fields: dict[str, Any], place: Place) -> dict[str, Any]:
        """The steps of a named pipeline; they see each other's fields, and give all of them."""
        mine, given = dict(fields), {}
        steps = self._pipeline.pipelines[name]
        for number, step in enumerate(steps):
            gives = await self._step(step, mine, place.below(step.name, self._after(number, steps, place.path)))
            mine.update(gives)
            given.update(gives)
        return given

    def _after(self, number: int, steps: Sequence[Step], path: str) -> Begins:
        """The call that comes right after a step, for a run that is kept."""
        step = steps[number + 1] if self._account.kept is not None and number + 1 < len(steps) else None
        contract = self._plan.contracts[step.tool] if isinstance(step, ToolStep) else None
        return () if step is None or contract is None else ((f"{path}/{step.name}" if path else step.name, contract),)

    async def _parallel(self, step: ParallelStep, fields: dict[str, Any], place: Place) -> dict[str, Any]:
        work = [(inner, fields, place.below(inner.name)) for inner in step.steps]
        given: dict[str, Any] = {}
        twice: StepFailedError | None = None
        for (_, _, where), gives in zip(work, await self._at_once(work, len(work), step.concurrency), strict=True):
            for name in gives.keys() & given.keys():
                twice = twice or replaces(self._pipeline.name, where.path, name)
            given = {**gives, **given}
        if twice is not None:
            self._undoings.note(step, place, fields, given)
            raise twice
        return given

    async def _map(self, step: MapStep, fields: dict[str, Any], place: Place) -> list[Any]:
        values = fields.get(step.over)
        if not isinstance(values, list):
            raise no_list(self._pipeline.name, place.path, step.over)
        if len(values) > MOST_VALUES:
            raise too_many_values(self._pipeline.name, place.path, len(values), MOST_VALUES)
        work = ((step.step, {**fields, step.item: value}, place.item(n)) for n, value in enumerate(values))
        return await self._at_once(work, len(values), step.concurrency)

    async def _at_once(
        self, work: Iterable[tuple[Step, dict[str, Any], Place]], count: int, concurrency: int | None
    ) -> list[Any]:
        """What each of these ``count`` steps gives, in their order."""
        kept = self._account.kept
        replay = None if kept is None else kept.replay
        return await together((partial(self._step, *one) for one in work), count, concurrency, replay)

    async def _chosen(self, step: BranchStep, fields: dict[str, Any], path: str) -> str:
        """The pipeline that a branch goes on in; a run that is resumed stays on the way that it took."""
        kept = None if isinstance(step.on, str) else self._account.kept
        taken = None if kept is None else kept.restored(path)
        if taken is not None:
            return str(taken.fields["chosen"])
        try:
            case = case_of(step, fields)
        except Exception as failed:
            raise unfit_function(self._pipeline.name, path, failed) from failed
        chosen = step.cases.get(case, step.default)
        if chosen is None:
            raise no_case(self._pipeline.name, path, case, step.cases)
        if kept is not None:
            await kept.ended(path, {"chosen": chosen}, StepRecord(path, "done").to_json())
        self._account.say("branch_taken", path, message=chosen)
        return chosen

    async def _transformed(
        self, step: TransformStep, fields: dict[str, Any], place: Place
    ) -> tuple[Any, dict[str, Any]]:
        restored = self._account.restored(place.path)
        if restored is not None:
            given = dict(restored)
            self._undoings.note(step, place, fields, given)
        else:
            given = await self._transformed_now(step, fields, place)
        return (given[step.gives[0]] if len(step.gives) == 1 else given), given

    async def _transformed_now(self, step: TransformStep, fields: dict[str, Any], place: Place) -> dict[str, Any]:
        """What its function gives; nobody can stop that, so one that takes too long fails after it."""
        began = time.monotonic()
        self._account.say("step_started", place.path)
        try:
            given = transformed(step, fields)
        except Exception as unfit:
            _log.exception("transform failed", extra={"pipeline": self._pipeline.name, "step": place.path})
            failed = unfit_function(self._pipeline.name, place.path, unfit)
            await self._account.ended(_function(place, began, "failed", failed.error), {})
            raise failed from unfit
        self._undoings.note(step, place, fields, given)
        try:
            self._calls.time_left(place, ErrorObject("It took too long", "TIMEOUT", ran="yes"))
        except StepFailedError as late:
            await self._account.ended(_function(place, began, "failed", late.error), {})
            raise
        await self._account.ended(_function(place, began, "done"), given)
        return given

    # ---------------------------------------------------------------------------------------------------- undoing

    async def _ended(self, error: ErrorObject) -> ErrorObject:
        """Undo what was done before a run failed; the error that it ends with, which may be an interruption of that."""
        if self._account.kept is None:
            await self._undo_in_any_case()
            return error
        if not is_interruption(error):
            try:
                await self._undo()
            except StepFailedError as interrupted:
                return interrupted.error
        return error

    async def _undo_in_any_case(self, whole: str = "") -> None:
        """Undo also if this is cancelled meanwhile."""
        if self._undoings.has_any(whole):
            await to_the_end(self._undo(whole))

    async def _undo(self, whole: str = "") -> None:
        """Undo what was done inside of a step, or in all, the last first.

        What cannot be undone is told, and keeps nothing else from it.
        Raises StepFailedError for an interruption of a run that is kept: it goes on with that later.
        """
        for each in self._undoings.taken(whole):
            try:
                await self._step(each.step, each.fields, each.place.compensation(self._end))
            except StepFailedError as failed:
                if self._account.kept is not None and is_interruption(failed.error):
                    raise StepFailedError(failed.error, final=True) from None
                self._account.not_undone.append(each.place.path)
            else:
                self._account.undone(each.place.path)


def _function(place: Place, began: float, status: StepStatus, error: ErrorObject | None = None) -> StepRecord:
    """The record of a plain function."""
    return StepRecord(place.path, status, seconds=time.monotonic() - began, error=error)
