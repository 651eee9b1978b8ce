"""One run of a pipeline: one walk over its steps, read downwards.

Each tool step is a call through the session, so that it is decided, bounded and recorded like any call; what it gives
becomes fields of the run. There is nothing else that a step may do, but a plain function of fields.
A step that fails raises inside of the walk, up to who has a fallback for it, or to the end of the run; there what was
done before is undone, as far as steps say how.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from altar.adm.call import ErrorObject, ResultStatus
from altar.adm.errors import ConfigurationError
from altar.ai.pipelines.at_once import to_the_end, together
from altar.ai.pipelines.flow import below, compensation_of, fallback_of
from altar.ai.pipelines.functions import case_of, transformed
from altar.ai.pipelines.result import StepRecord, StepStatus
from altar.ai.pipelines.steps import (
    BranchStep,
    MapStep,
    ParallelStep,
    PipelineStep,
    Retry,
    Step,
    ToolStep,
    TransformStep,
)
from altar.ai.pipelines.stops import (
    StepFailedError,
    failed_at,
    group_is_late,
    no_case,
    no_list,
    replaces,
    times_up,
    too_many_calls,
    too_many_values,
    unfit_function,
)
from altar.ai.pipelines.trying import is_final, is_repeatable, wait_before

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.ai.pipelines.account import Account, Begins
    from altar.ai.pipelines.plan import Plan
    from altar.ai.pipelines.result import PipelineResult
    from altar.ai.pipelines.shape import Shape
    from altar.later.session import Session

__all__ = ["Run"]

_log = logging.getLogger("altar.ai")

MOST_VALUES = 10_000
"""Values of one list that a map goes through."""
MOST_CALLS = 100_000
"""Calls of one run, which keeps a record of each."""
_ONCE = Retry(attempts=1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What holds for a step and all inside of it: until when, by the monotonic clock, and how often it is tried."""

    deadline: float
    retry: Retry


@dataclass(frozen=True, slots=True, eq=False)
class Undoing:
    """How to undo a step that was done: with which step, and which fields."""

    path: str
    static: str
    step: Step
    fields: dict[str, Any]


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
        self._session = session
        self._account = account
        self._seconds = seconds
        self._end = deadline
        self._deadline = deadline - reserved
        self._undoing: list[Undoing] = []
        options, parent = session.asker.options, session.asker.parent
        self._asked = None if options.timeout is None else options.timeout.total_seconds()
        self._default = options.default_timeout.total_seconds()
        self._parent_deadline = None if parent is None else parent.invocation.deadline

    async def go(self, fields: dict[str, Any]) -> PipelineResult:
        """Run all steps, beginning with these fields, which are the run's own; return what came of it.

        What is cancelled is undone, too, unless it is kept to be resumed, and raises CancelledError.
        """
        account = self._account
        account.say("run_started")
        error: ErrorObject | None = None
        given: dict[str, Any] = {}
        try:
            bounds = Bounds(self._deadline, _ONCE)
            for place, step in enumerate(self._pipeline.steps):
                then = self._after(place, self._pipeline.steps, "")
                given = await self._step(step, fields, step.name, step.name, bounds, then=then)
                fields.update(given)
                account.done += 1
        except StepFailedError as failed:
            error = failed.error
            await (self._undo() if account.kept is not None or not self._undoing else to_the_end(self._undo()))
        except asyncio.CancelledError:
            if self._undoing and account.kept is None:
                await to_the_end(self._undo())
            raise
        if error is not None:
            return await account.over({}, fields, error)
        wanted = self._pipeline.outputs
        outputs = given if wanted is None else {name: fields[name] for name in wanted if name in fields}
        return await account.over(outputs, fields, None)

    # ---------------------------------------------------------------------------------------------- kinds of steps

    async def _step(
        self,
        step: Step,
        fields: dict[str, Any],
        path: str,
        static: str,
        bounds: Bounds,
        *,
        role: Step | None = None,
        whole: bool = False,
        then: Begins = (),
    ) -> Any:
        """Carry out a step, or its fallback; return the fields that it gives, or its ``whole`` result for a map.

        ``path`` is where it stands in this run, ``static`` in the pipeline; ``role`` is the step it stands in for,
        ``then`` what is called right after it.
        ``fields`` stay as they are.
        """
        role = role or step
        try:
            value, given = await self._carried_out(
                step, fields, path, static, bounds, role=role, whole=whole, then=then
            )
        except StepFailedError as failed:
            if step.fallback is None or failed.final:
                raise
            if any(_is_inside(each, path) for each in self._account.cut_off):
                raise StepFailedError(failed.error, final=True) from None
            await self._undo(path)
            self._account.say("step_replaced", path, message=step.fallback.name)
            return await self._step(
                step.fallback,
                fields,
                fallback_of(path),
                fallback_of(static),
                bounds,
                role=role,
                whole=whole,
            )
        if step.compensate is not None:
            self._undoing.append(Undoing(path, static, step.compensate, {**fields, **given}))
        return value if whole else given

    async def _carried_out(
        self,
        step: Step,
        fields: dict[str, Any],
        path: str,
        static: str,
        bounds: Bounds,
        *,
        role: Step,
        whole: bool,
        then: Begins,
    ) -> tuple[Any, dict[str, Any]]:
        """The whole result of a step, and the fields that it gives; those of a ``whole`` result replace none."""
        if type(step) is ToolStep:
            return await self._called(step, fields, path, static, bounds, role=role, whole=whole, then=then)
        if isinstance(step, TransformStep):
            return await self._transformed(step, fields, path)
        bounds = _narrowed(bounds, step)
        given: dict[str, Any]
        if isinstance(step, ParallelStep):
            given = await self._parallel(step, fields, path, static, bounds)
        elif isinstance(step, MapStep):
            values = await self._map(step, fields, path, static, bounds)
            return values, {getattr(role, "output", None) or step.output: values}
        elif isinstance(step, BranchStep):
            chosen = await self._chosen(step, fields, path)
            given = await self._inline(chosen, fields, below(path, chosen), below(static, chosen), bounds)
        elif isinstance(step, PipelineStep):
            given = await self._inline(step.pipeline, fields, path, static, bounds)
        else:
            raise TypeError(f"{type(step).__name__} is no step")
        return given, given

    async def _inline(
        self, name: str, fields: dict[str, Any], path: str, static: str, bounds: Bounds
    ) -> dict[str, Any]:
        """The steps of a named pipeline; they see each other's fields, and give all of them."""
        mine, given = dict(fields), {}
        steps = self._pipeline.pipelines[name]
        for place, step in enumerate(steps):
            then = self._after(place, steps, path)
            gives = await self._step(step, mine, below(path, step.name), below(static, step.name), bounds, then=then)
            mine.update(gives)
            given.update(gives)
        return given

    def _after(self, place: int, steps: Sequence[Step], path: str) -> Begins:
        """The call that comes right after a step, for a run that is kept."""
        step = steps[place + 1] if self._account.kept is not None and place + 1 < len(steps) else None
        contract = self._plan.contracts[step.tool] if isinstance(step, ToolStep) else None
        return () if step is None or contract is None else ((below(path, step.name), contract),)

    async def _parallel(
        self, step: ParallelStep, fields: dict[str, Any], path: str, static: str, bounds: Bounds
    ) -> dict[str, Any]:
        def one(inner: Step) -> Coroutine[Any, Any, dict[str, Any]]:
            return self._step(inner, fields, below(path, inner.name), below(static, inner.name), bounds)

        found = await together([partial(one, inner) for inner in step.steps], step.concurrency)
        given: dict[str, Any] = {}
        for inner, gives in zip(step.steps, found, strict=True):
            for name in gives.keys() & given.keys():
                raise replaces(self._pipeline.name, below(path, inner.name), name)
            given.update(gives)
        return given

    async def _map(self, step: MapStep, fields: dict[str, Any], path: str, static: str, bounds: Bounds) -> list[Any]:
        values = fields.get(step.over)
        if not isinstance(values, list):
            raise no_list(self._pipeline.name, path, step.over)
        if len(values) > MOST_VALUES:
            raise too_many_values(self._pipeline.name, path, len(values), MOST_VALUES)

        def one(place: int, value: Any) -> Coroutine[Any, Any, Any]:
            mine = {**fields, step.item: value}
            return self._step(step.step, mine, f"{path}[{place}]", f"{static}[]", bounds, whole=True)

        return await together([partial(one, *each) for each in enumerate(values)], step.concurrency)

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

    async def _transformed(self, step: TransformStep, fields: dict[str, Any], path: str) -> tuple[Any, dict[str, Any]]:
        restored = self._account.restored(path)
        if restored is not None:
            given = dict(restored)
        else:
            began = time.monotonic()
            self._account.say("step_started", path)
            try:
                given = transformed(step, fields)
            except Exception as unfit:
                _log.exception("transform failed", extra={"pipeline": self._pipeline.name, "step": path})
                failed = unfit_function(self._pipeline.name, path, unfit)
                record = StepRecord(path, "failed", seconds=time.monotonic() - began, error=failed.error)
                await self._account.ended(record, {})
                raise failed from unfit
            await self._account.ended(StepRecord(path, "done", seconds=time.monotonic() - began), given)
        return (given[step.gives[0]] if len(step.gives) == 1 else given), given

    # ---------------------------------------------------------------------------------------------------- a call

    async def _called(
        self,
        step: ToolStep,
        fields: dict[str, Any],
        path: str,
        static: str,
        bounds: Bounds,
        *,
        role: Step,
        whole: bool,
        then: Begins,
    ) -> tuple[Any, dict[str, Any]]:
        """Call the tool of a step, as often as it may be tried; the content of its result, and the fields of that."""
        account, taken = self._account, self._plan.takes[static]
        before = {} if whole else fields
        contract = self._plan.contracts[step.tool]
        restored = None if account.kept is None else account.restored(path, contract)
        if restored is not None:
            content = restored["content"]
            return content, self._fields_of(content, step, role, before, taken, path)
        arguments = dict(step.arguments)
        for parameter, name in taken:
            if name in fields:
                arguments[parameter] = fields[name]
        if len(account.records) >= MOST_CALLS:
            raise too_many_calls(self._pipeline.name, path, MOST_CALLS)
        call = _Call(step, arguments, path, contract, bounds)
        account.records[path] = call.record("running")
        if account.tell is not None:
            account.say("step_started", path)
        try:
            content = await self._tried(call)
            given = self._fields_of(content, step, role, before, taken, path)
        except StepFailedError as failed:
            await account.ended(call.record("failed", failed.error), {})
            raise
        except BaseException:
            account.records[path] = call.record("cancelled")
            if not is_repeatable(contract):
                account.cut_off.append(path)
            raise
        record = call.record("done")
        if account.kept is not None or account.tell is not None:
            await account.ended(record, {"content": content}, then)
        account.records[path] = record
        return content, given

    async def _tried(self, call: _Call) -> Any:
        """The content of the first call that succeeds."""
        step, kept, deadline = call.step, self._account.kept, call.bounds.deadline
        begun = None if kept is None else await kept.begin(call.path, _known(call.contract))
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                if deadline in {self._deadline, self._end}:
                    raise times_up(self._pipeline.name, call.path, self._seconds, None)
                raise group_is_late(self._pipeline.name, call.path)
            call.attempts += 1
            session = self._within(step, call.contract, left, deadline)
            if begun is None:
                result = await session.call(step.tool, **call.arguments)
            else:
                result = await begun.call(session, step.tool, call.arguments)
            call.call_id, call.usage = result.call_id, result.usage
            if result.usage is not None:
                self._account.add(result.usage)
            if result.status is ResultStatus.SUCCESS:
                return result.content
            await self._wait_or_fail(
                call, result.error or ErrorObject("The call gave no answer", "OUTCOME_UNKNOWN", ran="unknown")
            )

    async def _wait_or_fail(self, call: _Call, error: ErrorObject) -> None:
        """Wait until the step may be tried again; raise when it may not, or when there is no time for that."""
        name, bounds = self._pipeline.name, call.bounds
        left = bounds.deadline - time.monotonic()
        if error.type == "TIMEOUT" and left <= 0 and bounds.deadline == self._deadline:
            raise times_up(name, call.path, self._seconds, error)
        retry = call.step.retry if call.step.retry.attempts > 1 else bounds.retry
        wait = wait_before(error, call.contract, attempts=call.attempts, retry=retry)
        if wait is None or wait >= left:
            raise failed_at(name, call.path, error, final=is_final(error, call.contract))
        self._account.say("step_retried", call.path, record=call.record("failed", error))
        await asyncio.sleep(wait)

    def _within(self, step: ToolStep, contract: FunctionDeclaration | None, left: float, deadline: float) -> Session:
        """The session for a call that ends in time: the same one where the call's own limit is short enough."""
        session = self._session
        if step.timeout is not None:
            return session.options(timeout=min(step.timeout, left))
        if self._parent_deadline is not None and self._parent_deadline <= deadline:
            return session  # what a tool calls ends no later than that tool
        own = self._asked
        if own is None:
            limit = None if contract is None else contract.timeout
            own = self._default if limit is None else limit.total_seconds()
        return session if own <= left else session.options(timeout=left)

    def _fields_of(
        self,
        content: Any,
        step: ToolStep,
        role: Step,
        fields: Mapping[str, Any],
        taken: Sequence[tuple[str, str]],
        path: str,
    ) -> dict[str, Any]:
        """The fields that a result gives; raises when one of its members would replace a field that is not taken."""
        output = step.output or (role.output if isinstance(role, ToolStep) else None)
        if output is not None:
            return {output: content}
        if type(content) is not dict:
            return {role.name: content}
        for name in content.keys() & fields.keys():
            if all(name != field for _, field in taken):
                raise replaces(self._pipeline.name, path, name)
        return content

    # ---------------------------------------------------------------------------------------------------- undoing

    async def _undo(self, whole: str = "") -> None:
        """Undo what was done inside of a step, or in all, the last first.

        What cannot be undone is told, and keeps nothing else from it.
        """
        for each in [one for one in reversed(self._undoing) if _is_inside(one.path, whole)]:
            self._undoing.remove(each)
            path, static = compensation_of(each.path), compensation_of(each.static)
            try:
                await self._step(each.step, each.fields, path, static, Bounds(self._end, _ONCE), whole=True)
            except BaseException as failed:
                self._account.not_undone.append(each.path)
                if not isinstance(failed, StepFailedError):
                    raise
            else:
                self._account.undone(each.path)


class _Call:
    """A tool step on its way."""

    __slots__ = ("arguments", "attempts", "began", "bounds", "call_id", "contract", "path", "step", "usage")

    def __init__(
        self,
        step: ToolStep,
        arguments: dict[str, Any],
        path: str,
        contract: FunctionDeclaration | None,
        bounds: Bounds,
    ) -> None:
        self.step = step
        self.arguments = arguments
        self.path = path
        self.contract = contract
        self.bounds = bounds
        self.began = time.monotonic()
        self.attempts = 0
        self.call_id: str | None = None
        self.usage: Mapping[str, Any] | None = None

    def record(self, status: StepStatus, error: ErrorObject | None = None) -> StepRecord:
        """What became of it so far."""
        seconds = time.monotonic() - self.began
        return StepRecord(self.path, status, self.step.tool, self.call_id, seconds, self.attempts, self.usage, error)


def _known(contract: FunctionDeclaration | None) -> FunctionDeclaration:
    if contract is None:
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            "A run is kept only where the contracts of all its tools are known",
            ran="no",
            hint="leave checkpoint= out inside of a tool on a grid, or import the modules of its tools there",
        )
    return contract


def _narrowed(bounds: Bounds, step: Step) -> Bounds:
    """The bounds for what is inside of a step."""
    if step.timeout is None and step.retry.attempts == 1:
        return bounds
    deadline = bounds.deadline if step.timeout is None else min(bounds.deadline, time.monotonic() + step.timeout)
    return Bounds(deadline, step.retry if step.retry.attempts > 1 else bounds.retry)


def _is_inside(path: str, whole: str) -> bool:
    """Whether a path is that of a step, or of one inside of it; all are inside of "", the pipeline."""
    return not whole or path == whole or path.startswith((f"{whole}/", f"{whole}["))
