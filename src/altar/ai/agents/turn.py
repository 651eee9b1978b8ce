"""One run of an agent, whichever framework drives it: what was said, called and taken, and when it must end.

A driver tells it each answer of the language model and what became of each call.
Here it is decided whether the run goes on, so that limits, refusals and approvals end it at the same place everywhere.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import orjson

from altar.adapters.dspy.answers import is_told
from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ExecutionError
from altar.ai.agents.limits import Limits, exceeded
from altar.ai.agents.output import SUBMIT, OutputForm
from altar.ai.agents.result import AgentCall, AgentEvent, AgentResult, CallStatus, TextPiece, ToolAnswered, ToolCalled
from altar.ai.lm.chat import ChatMessage, ToolUse
from altar.later.front import SyncSession
from altar.later.live import not_open

if TYPE_CHECKING:
    from altar.later.asking import Asker
    from altar.later.session import Session

__all__ = ["USE", "Task", "Turn", "apart", "ends_run"]

USE: ContextVar[str] = ContextVar("altar_agent_use")
"""The id by which the model knows the call that is being made, in the task that makes it."""

Tell = Callable[[AgentEvent], Awaitable[None]]

_COUNTED: Final = ("lm_calls", "input_tokens", "output_tokens", "total_tokens", "cached_tokens", "cost_usd")
_WRONG_ARGUMENTS: Final = frozenset(("INVALID_TOOL_ARGS", "SCHEMA_VIOLATION"))
_CORRECTIONS: Final = 2
_USED_UP: Final = frozenset(("BUDGET_EXCEEDED", "RATE_LIMIT_EXCEEDED"))
_HANDED_IN: Final = "Final result processed."
"""What a model is told that has handed in its answer, in the words of Pydantic-AI."""
_NOTHING: Final = "You gave no answer. Say it, or use a tool."
_NOT_HANDED_IN: Final = f"Hand in your answer: call the tool {SUBMIT!r}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What every run of an agent is given; ``tools`` are names, or None for all of the session.

    ``retries`` is how often in a row a model may correct its answer, or its arguments of one tool; where nobody said,
    its answer ``corrections`` times, and its arguments twice.
    """

    name: str
    tools: tuple[str, ...] | None
    instructions: str
    form: OutputForm | None
    limits: Limits
    retries: int | None
    corrections: int = 1
    is_checked: bool = True


@dataclass(slots=True)
class _Same:
    """How often the last call has been made in a row, with the same answer."""

    call: tuple[str, bytes] = ("", b"")
    answer: str = ""
    times: int = 0


@dataclass(slots=True)
class Turn:
    """What is known of a run so far.

    ``history`` is what was said before it, ``messages`` what was said in it; ``tell`` hears what happens.
    """

    task: Task
    session: Session | SyncSession
    history: tuple[ChatMessage, ...]
    messages: list[ChatMessage]
    tell: Tell | None = None
    usage: dict[str, int | float] = field(default_factory=dict)
    calls: list[AgentCall] = field(default_factory=list)
    stopped: AltarError | None = None
    output: Any = None
    is_over: bool = False
    is_begun: bool = False
    _uses: tuple[ToolUse, ...] = ()
    _results: dict[str, ToolResult] = field(default_factory=dict)
    _told: dict[str, tuple[str, CallStatus, str]] = field(default_factory=dict)
    _wrong: dict[str, int] = field(default_factory=dict)
    _same: _Same = field(default_factory=_Same)
    _is_priced: bool = True

    # ----------------------------------------------------------------------------------- what the language model says

    @property
    def asker(self) -> Asker:
        """How calls are made in the session."""
        session = self.session
        return (session.underneath if isinstance(session, SyncSession) else session).asker

    @property
    def said(self) -> tuple[ChatMessage, ...]:
        """All that was said until now."""
        return (*self.history, *self.messages)

    @property
    def is_streamed(self) -> bool:
        """Whether somebody hears what happens."""
        return self.tell is not None

    def before_request(self) -> None:
        """Raise BUDGET_EXCEEDED where the language model may not be asked again, INVALID_SESSION after the session."""
        if self.asker.live.closed:
            raise not_open(
                f"The session of the agent {self.task.name!r} was closed while it was at work",
                hint="close a session when its runs have ended",
            )
        self.is_begun = True
        self.task.limits.require_request(self.task.name, self.usage, ran=self._has_run)

    async def piece(self, text: str) -> None:
        """A piece of text has come."""
        if self.tell is not None and text:
            await self.tell(TextPiece(text))

    async def answered(self, text: str, uses: tuple[ToolUse, ...], usage: Mapping[str, Any]) -> None:
        """The language model has answered; ``usage`` is what that took.

        Raises BUDGET_EXCEEDED where that was too much, or where the calls that it wants are not to be made.
        """
        self._count(usage, is_request=True)
        if text or uses:
            self.messages.append(ChatMessage("assistant", text, uses))
        limits, name = self.task.limits, self.task.name
        limits.require_within(name, self.usage, ran=self._has_run, priced=self._is_priced)
        self._uses = uses
        if uses and self.task.form is None:
            self._wrong.pop(SUBMIT, None)  # it said something again
        self._results.clear()
        self._told.clear()
        wanted = [use for use in uses if not self._is_answer(use.name)]
        limits.require_calls(name, made=len(self.calls), wanted=len(wanted), ran=self._has_run)
        self._require_no_loop(wanted)
        if self.tell is not None:
            for use in wanted:
                await self.tell(ToolCalled(use.name, use.arguments, use.id))

    def nothing_said(self) -> str:
        """What the model is told that neither answered nor wants a tool; raises LM_BAD_ANSWER for the last time."""
        words = _NOTHING if self.task.form is None else _NOT_HANDED_IN
        self._wrong[SUBMIT] = self._wrong.get(SUBMIT, 0) + 1
        self._require_corrections()
        return words

    # ------------------------------------------------------------------------------------------- what becomes of calls

    def heard(self, result: ToolResult) -> None:
        """A call of the session has ended: the one that :data:`USE` names in this task."""
        self._results[USE.get("")] = result
        if result.usage:
            self._count(result.usage, is_request=False)
        if result.error is not None and ends_run(result.error):
            self.stop(result.error.to_error())

    def begin_again(self, stopped: AgentResult) -> None:
        """Take over what a run did that waited for a person."""
        self.is_begun = True
        self.usage = dict(stopped.usage)
        self.calls = [call for call in stopped.tool_calls if call.status != "pending"]

    def wait_for(self, use: ToolUse) -> None:
        """One more call of this step is under way."""
        self._uses = (*self._uses, use)

    @staticmethod
    def written(content: Any) -> str:
        """The content of a result as text for a model; nothing for None."""
        return "" if content is None else orjson.dumps(content).decode()

    def stop(self, error: AltarError) -> None:
        """Let the run end with this error once the calls of this step have ended; the first one counts."""
        self.stopped = self.stopped or error

    async def told(self, use: ToolUse, text: str, *, wrong: str = "") -> None:
        """The model is told this of a call; ``wrong`` is the code of what it has to correct before the call is made."""
        ended = self._results.get(use.id)
        if ended is not None and ended.error is not None and ends_run(ended.error):
            text = ended.error.text  # for who reads the messages; the model is asked no more
        wrong = wrong or self._refused_as(use)
        if self._is_answer(use.name) and not wrong:
            text = _HANDED_IN  # also of a second one in the same answer, which is not read
        status = self._status(use, is_wrong=bool(wrong))
        self._told[use.id] = (text, status, wrong)
        if wrong:
            self._wrong[use.name] = self._wrong.get(use.name, 0) + 1
        else:
            self._wrong.pop(use.name, None)
        if self.tell is not None and not self._is_answer(use.name):
            await self.tell(ToolAnswered(use.name, use.id, status, text))

    def handed_in(self, arguments: Mapping[str, Any]) -> None:
        """The model has handed in its answer; raises INVALID_TOOL_ARGS for one that does not fit."""
        if self.task.form is None or self.is_over:
            return
        self.output = self.task.form.read(arguments, checked=self.task.is_checked)
        self.is_over = True

    def step_ended(self) -> None:
        """All calls of an answer have ended; raises what ends the run."""
        for use in self._uses:
            text, status, wrong = self._told.get(use.id, ("", self._status(use, is_wrong=False), ""))
            if not self._is_answer(use.name):
                self.calls.append(self._call(use, status, wrong))
                self._repeat(use, text)
            if status != "pending":
                self.messages.append(ChatMessage("tool", text, answers=use.id))
        if self.stopped is not None:
            raise self.stopped
        self._require_corrections()
        limits = self.task.limits
        limits.require_within(self.task.name, self.usage, ran=self._has_run, priced=self._is_priced)

    def result(self, *, framework: str, conversation: str, error: AltarError | None) -> AgentResult:
        """What the run gave."""
        usage: dict[str, int | float] = {name: self.usage[name] for name in _COUNTED if name in self.usage}
        if not self._is_priced:
            usage.pop("cost_usd", None)
        return AgentResult(
            output=None if error is not None else self.output,
            messages=tuple(self.messages),
            usage=usage,
            tool_calls=tuple(self.calls),
            framework=framework,
            conversation=conversation,
            error=None if error is None else self._told_of_run(ErrorObject.of(error)),
        )

    # ----------------------------------------------------------------------------------------------------------- inside

    def _told_of_run(self, error: ErrorObject) -> ErrorObject:
        """The error of a call as that of the run, which has run when any call has; one can wait for approval and go on.

        So nobody who reads ``ran: no`` repeats a run that has done something.
        """
        if error.ran == "no" and self._has_run and error.type != "APPROVAL_PENDING":
            return replace(error, ran="yes")
        return error

    @property
    def _has_run(self) -> bool:
        return any(call.status in {"success", "failed"} for call in self.calls)

    def _is_answer(self, name: str) -> bool:
        return self.task.form is not None and name == SUBMIT

    def _count(self, usage: Mapping[str, Any], *, is_request: bool) -> None:
        taken = {name: usage[name] for name in _COUNTED if isinstance(usage.get(name), int | float)}
        if is_request:
            taken["lm_calls"] = 1
        tokens = taken.get("input_tokens", 0) + taken.get("output_tokens", 0)
        if is_request and "input_tokens" in taken and not tokens:
            taken.pop("cost_usd", None)  # a server that counts no tokens is not known to cost nothing
        taken["total_tokens"] = max(tokens, taken.get("total_tokens", 0))
        if (is_request or taken.get("lm_calls")) and "cost_usd" not in taken:
            self._is_priced = False
        for name, number in taken.items():
            self.usage[name] = self.usage.get(name, 0) + number

    def _refused_as(self, use: ToolUse) -> str:
        """The code with which the session has refused the arguments of a call; "" where it has not."""
        result = self._results.get(use.id)
        error = None if result is None else result.error
        is_wrong = error is not None and error.ran == "no" and error.type in _WRONG_ARGUMENTS
        return error.type or "" if error is not None and is_wrong else ""

    def _status(self, use: ToolUse, *, is_wrong: bool) -> CallStatus:
        result = self._results.get(use.id)
        if result is None:
            return "success" if self._is_answer(use.name) and not is_wrong else "refused"
        if result.status is ResultStatus.SUCCESS or result.error is None:
            return "success"
        if result.error.type == "APPROVAL_PENDING":
            return "pending"
        return "refused" if result.error.ran == "no" else "failed"

    def _call(self, use: ToolUse, status: CallStatus, wrong: str) -> AgentCall:
        result = self._results.get(use.id)
        error = None if result is None else result.error
        return AgentCall(
            name=use.name,
            arguments=use.arguments,
            status=status,
            call_id="" if result is None else result.call_id,
            code=wrong if error is None else error.type or "",
            use_id=use.id,
            handle="" if error is None else error.handle or "",
        )

    def _require_no_loop(self, wanted: list[ToolUse]) -> None:
        """Raise BUDGET_EXCEEDED where a call is wanted once more that has had the same answer each time."""
        most, last, times = self.task.limits.same_call, self._same.call, self._same.times
        for use in wanted:
            call = _key(use)
            times = times + 1 if call == last else 1
            last = call
            if most is not None and times > most:
                raise exceeded(
                    f"The agent {self.task.name!r} goes in a circle: it has called {use.name!r} with the same arguments"
                    f" {most} times in a row, and wants to again",
                    hint="say in the instructions what to do with that answer; limits=Limits(same_call=…) allows more",
                    ran=self._has_run,
                )

    def _repeat(self, use: ToolUse, text: str) -> None:
        call = _key(use)
        if (call, text) == (self._same.call, self._same.answer):
            self._same.times += 1
        else:
            self._same = _Same(call, text, 1)

    def _require_corrections(self) -> None:
        """Raise LM_BAD_ANSWER where the model has been wrong more often in a row than it may correct itself."""
        task = self.task
        for name, times in self._wrong.items():
            unsaid = task.corrections if name == SUBMIT else _CORRECTIONS
            if times > (unsaid if task.retries is None else task.retries):
                raise self._bad_answer(name)

    def _bad_answer(self, name: str) -> ExecutionError:
        about = "its answer" if name == SUBMIT else f"the arguments of {name!r}"
        times = self._wrong.get(name, 1)
        often = "once" if times == 1 else f"{times} times in a row"
        said = next((text for text, *_ in reversed(self._told.values()) if text), "")
        return ExecutionError(
            "LM_BAD_ANSWER",
            f"The language model of the agent {self.task.name!r} got {about} wrong {often}",
            ran="yes" if self._has_run else "no",
            hint="agent(…, retries=…) lets it try again; simpler types, or a larger model, help too",
            detail=said,
        )


def ends_run(error: ErrorObject) -> bool:
    """Whether a call that failed so ends the run, since a model can do nothing about it.

    That is what only a person can mend, a call of which nobody knows whether it ran, and a quota or a budget of a host
    that lets no further call through; a limit that ended a call which did run is told to the model.
    """
    return not is_told(error) or (error.ran == "no" and error.type in _USED_UP)


def apart(ids: Sequence[str]) -> list[str]:
    """The ids of the calls of one answer, each made its own: some models give several calls the same."""
    made: list[str] = []
    for each in ids:
        own, number = each, 2
        while own in made or (own != each and own in ids):
            own, number = f"{each}_{number}", number + 1
        made.append(own)
    return made


def _key(use: ToolUse) -> tuple[str, bytes]:
    try:
        return use.name, canonical(dict(use.arguments))
    except AltarError:
        return use.name, repr(use.arguments).encode()
