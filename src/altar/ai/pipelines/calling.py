"""One call of a step: with which arguments, how often and until when it is tried, and which fields its result gives."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.errors import AltarError
from altar.ai.pipelines.at_once import answered
from altar.ai.pipelines.result import StepRecord, StepStatus
from altar.ai.pipelines.steps import ToolStep
from altar.ai.pipelines.stops import (
    StepFailedError,
    failed_at,
    group_is_late,
    late_step,
    replaces,
    times_up,
    too_many_calls,
)
from altar.ai.pipelines.trying import has_returned, is_final, is_repeatable, wait_before

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.ai.pipelines.account import Account
    from altar.ai.pipelines.kept import Begun
    from altar.ai.pipelines.places import Place
    from altar.ai.pipelines.plan import Plan
    from altar.ai.pipelines.undoing import Undoings
    from altar.later.session import Session

__all__ = ["Calls"]

MOST_CALLS = 100_000
"""Calls of one run, which keeps a record of each."""


class Calls:
    """The calls of one run.

    ``deadline`` is when its time is up, by the monotonic clock, ``end`` when that of its compensations is;
    ``seconds`` is how long it had at first, for the words.
    """

    def __init__(
        self,
        name: str,
        plan: Plan,
        session: Session,
        account: Account,
        undoings: Undoings,
        *,
        deadline: float,
        end: float,
        seconds: float,
    ) -> None:
        """``name`` is that of the pipeline."""
        self._name = name
        self._plan = plan
        self._session = session
        self._account = account
        self._undoings = undoings
        self._deadline = deadline
        self._end = end
        self._seconds = seconds
        options, parent = session.asker.options, session.asker.parent
        self._asked = None if options.timeout is None else options.timeout.total_seconds()
        self._default = options.default_timeout.total_seconds()
        self._parent_deadline = None if parent is None else parent.invocation.deadline

    async def called(self, step: ToolStep, fields: Mapping[str, Any], place: Place) -> tuple[Any, dict[str, Any]]:
        """Call the tool of a step, as often as it may be tried; the content of its result, and the fields of that.

        Raises StepFailedError. A step that has done its work is noted to be undone at once, also one that fails then
        because its result cannot be taken.
        """
        account, contract = self._account, self._plan.contracts[step.tool]
        if account.kept is not None:
            restored = self._restored(step, fields, place, contract)
            if restored is not None:
                content = restored["content"]
                return content, self._taken(content, step, fields, place)
            await account.kept.turn(place.path)
        call = self._begun(step, fields, place, contract)
        try:
            content = await self._tried(call)
            given = self._taken(content, step, fields, place)
        except StepFailedError as failed:
            if has_returned(failed.error):
                self._undoings.note(step, place, fields, {})
            await account.ended(call.record("failed", failed.error), call.result)
            call.require_caller()
            raise
        except BaseException:
            account.records[place.path] = call.record("cancelled")
            if not is_repeatable(contract):
                account.cut_off.append(place.path)
            raise
        record = call.record("done")
        if account.kept is not None or account.tell is not None:
            await account.ended(record, call.result, () if call.is_left else place.then)
        account.records[place.path] = record
        call.require_caller()
        return content, given

    def _restored(
        self, step: ToolStep, fields: Mapping[str, Any], place: Place, contract: FunctionDeclaration | None
    ) -> Mapping[str, Any] | None:
        """What is kept of a step that ended in an earlier process; None for one that did not.

        Raises StepFailedError for one that failed there.
        """
        try:
            return self._account.restored(place.path, contract)
        except StepFailedError as failed:
            if has_returned(failed.error):
                self._undoings.note(step, place, fields, {})
            raise

    def _begun(
        self, step: ToolStep, fields: Mapping[str, Any], place: Place, contract: FunctionDeclaration | None
    ) -> _Call:
        account = self._account
        arguments = dict(step.arguments)
        for parameter, name in self._plan.takes[place.static]:
            if name in fields:
                arguments[parameter] = fields[name]
        if len(account.records) >= MOST_CALLS:
            raise too_many_calls(self._name, place.path, MOST_CALLS)
        call = _Call(step, arguments, place, contract)
        account.records[place.path] = call.record("running")
        if account.tell is not None:
            account.say("step_started", place.path)
        return call

    def _taken(self, content: Any, step: ToolStep, fields: Mapping[str, Any], place: Place) -> dict[str, Any]:
        """The fields that a result gives; raises when one of its members would replace a field that is not taken."""
        role = place.role or step
        output = step.output or (role.output if isinstance(role, ToolStep) else None)
        if output is not None or type(content) is not dict:
            given = {output or role.name: content}
            self._undoings.note(step, place, fields, given)
            return given
        taken = {name for _, name in self._plan.takes[place.static]}
        twice = [] if place.whole else [name for name in content if name in fields and name not in taken]
        if not twice:
            self._undoings.note(step, place, fields, content)
            return content
        self._undoings.note(step, place, fields, {name: content[name] for name in content if name not in twice})
        raise replaces(self._name, place.path, twice[0])

    # ---------------------------------------------------------------------------------------------- trying, in time

    async def _tried(self, call: _Call) -> Any:
        """The content of the first call that succeeds."""
        kept, deadline = self._account.kept, call.place.deadline
        begun = None if kept is None else await kept.begin(call.path, call.contract)
        while True:
            left = self.time_left(call.place, None)
            call.attempts += 1
            session = self._within(call.step, call.contract, left, deadline)
            result = await self._answer(call, session, begun)
            call.call_id, call.usage = result.call_id, result.usage
            if result.usage is not None:
                self._account.add(result.usage)
            if result.status is ResultStatus.SUCCESS:
                call.result = {"content": result.content}
                return result.content
            await self._wait_or_fail(
                call, result.error or ErrorObject("The call gave no answer", "OUTCOME_UNKNOWN", ran="unknown")
            )

    def time_left(self, place: Place, error: ErrorObject | None) -> float:
        """Seconds that a step has still; raises StepFailedError when there are none.

        ``error`` is that of what ran meanwhile, None for what has not begun.
        """
        left = place.deadline - time.monotonic()
        if left > 0:
            return left
        if place.deadline in {self._deadline, self._end}:
            raise times_up(self._name, place.path, self._seconds, error)
        raise group_is_late(self._name, place.path, error)

    async def _answer(self, call: _Call, session: Session, begun: Begun | None) -> ToolResult:
        """The answer to one call; that of a step which can be undone is heard also by who is cancelled meanwhile.

        What a session that is closed raises is an answer too, but for a run that is kept and goes on later.
        """
        name, arguments = call.step.tool, call.arguments
        work = session.call(name, **arguments) if begun is None else begun.call(session, name, arguments)
        try:
            if call.step.compensate is None:
                return await work
            ended, call.is_left = await answered(work)
            return ended.result()
        except AltarError as refused:
            if begun is not None:
                raise
            return ToolResult("", name, ResultStatus.ERROR, error=ErrorObject.of(refused))

    async def _wait_or_fail(self, call: _Call, error: ErrorObject) -> None:
        """Wait until the step may be tried again; raise when it may not, or when there is no time for that."""
        place = call.place
        left = place.deadline - time.monotonic()
        if error.type == "TIMEOUT" and left <= 0 and place.deadline == self._deadline:
            raise times_up(self._name, call.path, self._seconds, error)
        if error.type == "TIMEOUT" and call.step.timeout is not None:
            error = late_step(error, call.step.timeout)
        retry = call.step.retry if call.step.retry.attempts > 1 else place.retry
        wait = wait_before(error, call.contract, attempts=call.attempts, retry=retry)
        if wait is None or wait >= left or call.is_left:
            raise failed_at(self._name, call.path, error, final=is_final(error, call.contract))
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


class _Call:
    """A tool step on its way; ``is_left`` says that who asked was cancelled, and has heard the answer first."""

    __slots__ = (
        "arguments",
        "attempts",
        "began",
        "call_id",
        "contract",
        "is_left",
        "path",
        "place",
        "result",
        "step",
        "usage",
    )

    def __init__(
        self, step: ToolStep, arguments: dict[str, Any], place: Place, contract: FunctionDeclaration | None
    ) -> None:
        self.step = step
        self.arguments = arguments
        self.place = place
        self.path = place.path
        self.contract = contract
        self.began = time.monotonic()
        self.attempts = 0
        self.call_id: str | None = None
        self.usage: Mapping[str, Any] | None = None
        self.result: Mapping[str, Any] = {}
        self.is_left = False

    def record(self, status: StepStatus, error: ErrorObject | None = None) -> StepRecord:
        """What became of it so far."""
        seconds = time.monotonic() - self.began
        return StepRecord(self.path, status, self.step.tool, self.call_id, seconds, self.attempts, self.usage, error)

    def require_caller(self) -> None:
        """Raise CancelledError where the caller was cancelled while the answer was waited for."""
        if self.is_left:
            raise asyncio.CancelledError
