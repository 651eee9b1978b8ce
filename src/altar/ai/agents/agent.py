"""An agent: a language model, tools of a session, and what it is to do; the same under DSPy and under Pydantic-AI.

A prompt comes in; the model is asked, calls tools, and is asked again, until it has an answer or may go on no longer.
Each call is one of the session, so it is checked, authorized, budgeted and recorded as every call is.
"""

from __future__ import annotations

import asyncio
import importlib.util
import itertools
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, overload

from altar.adm.errors import AltarError, ConfigurationError, DeclarationError, ValidationError
from altar.ai.agents.limits import Limits
from altar.ai.agents.memory import Conversation, Conversations, Memory
from altar.ai.agents.models import AgentModel, kind_of
from altar.ai.agents.output import SUBMIT, output_form
from altar.ai.agents.result import AgentEvent, AgentResult
from altar.ai.agents.resuming import resumed, waiting_in
from altar.ai.agents.stream import Reading, pulled
from altar.ai.agents.turn import Task, Tell, Turn
from altar.ai.configuration import configured
from altar.ai.lm.chat import ChatMessage
from altar.later.extras import missing_extra
from altar.later.front import SyncSession
from altar.later.options import tools_of
from altar.later.portal import portal
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.later.session import Session

__all__ = ["Agent", "Framework", "agent"]

Framework = Literal["auto", "dspy", "pydantic_ai"]

_FRAMEWORKS = {"dspy": ("dspy", "dspy_agent"), "pydantic_ai": ("pydantic-ai", "pydantic_agent")}
"""For each framework the extra that installs it, and the module that drives it."""

_drivers: dict[str, Any] = {}
"""The modules of them that are loaded."""

_numbers = itertools.count(1)


def agent(
    *,
    model: Any = None,
    tools: Iterable[str | ToolFunction[..., Any]] | None = None,
    framework: Framework = "auto",
    instructions: str = "",
    output: Any = None,
    limits: Limits | None = None,
    name: str = "",
    retries: int | None = None,
    memory: Memory | None = None,
) -> Agent:
    """An agent; nothing is loaded or asked before it runs.

    ``model`` is a text as :func:`altar.ai.language_model` takes it, a ``dspy.LM``, a model of Pydantic-AI, or a
    ``ScriptedLM``; the language model of this process for None.
    ``tools`` are tools of the session that it runs in, by name, ``name@range`` or themselves; all of them for None.
    ``framework`` is what drives it; for ``auto`` see :attr:`Agent.framework`.
    ``output`` is what the answer is to be: a type, a model of pydantic, or a JSON Schema; a text for None.
    ``limits`` bound one run. ``retries`` is how often in a row the model may correct its answer, or its arguments of a
    tool; None is as the settings say for an answer, and 2 for arguments.
    ``memory`` bounds what it remembers of its conversations, in this process.
    Raises ConfigurationError INVALID_CONFIG and DeclarationError INVALID_DECLARATION for what is none of these.
    """
    if retries is not None and (type(retries) is not int or retries < 0):
        raise ConfigurationError(
            "INVALID_CONFIG", f"The retries of an agent are {retries!r}", ran="no", hint="a whole number from 0"
        )
    for what, given, kind in (("limits", limits, Limits), ("memory", memory, Memory)):
        if given is not None and not isinstance(given, kind):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The option {what!r} of an agent is {given!r:.100}, and must be {kind.__name__}(…)",
                ran="no",
                hint=f"from altar.ai import {kind.__name__}, and see what it takes",
            )
    for what, said in (("name", name), ("instructions", instructions)):
        if not isinstance(said, str):
            raise ConfigurationError("INVALID_CONFIG", f"The option {what!r} of an agent must be a text", ran="no")
    task = Task(
        name=name or f"agent_{next(_numbers)}",
        tools=None if tools is None else tools_of(tools),
        instructions=instructions.strip(),
        form=output_form(output),
        limits=limits or Limits(),
        retries=retries,
    )
    return Agent(task, AgentModel(model), _framework(framework), Conversations(memory or Memory()))


class Agent:
    """A language model with tools and a purpose, for any number of sessions and runs at once.

    A run that fails is a value, as a failed call is: look at ``result.error``, or let ``result.unwrap()`` raise.
    It remembers its conversations: one for each session, and as many more as are named.
    """

    def __init__(self, task: Task, model: AgentModel, framework: Framework, conversations: Conversations) -> None:
        self._task = task
        self._model = model
        self._framework: Framework = framework
        self._conversations = conversations

    @property
    def name(self) -> str:
        """Its name."""
        return self._task.name

    @property
    def framework(self) -> str:
        """What drives it now.

        What was said when it was made counts, then ``default_framework`` of the settings ``[ai]``, then what its model
        is of: a ``dspy.LM`` takes DSPy, a model of Pydantic-AI takes Pydantic-AI.
        Otherwise it is DSPy where that is installed, else Pydantic-AI.
        Raises ConfigurationError ENVIRONMENT_ERROR where neither is installed.
        """
        for said in (self._framework, configured().default_framework, kind_of(self._model.given)):
            if said in _FRAMEWORKS:
                return said
        for name in _FRAMEWORKS:
            if importlib.util.find_spec(name) is not None:
                return name
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            "An agent needs the extra 'dspy' or the extra 'pydantic-ai', and neither is installed",
            ran="no",
            hint='pip install "altar-ai[dspy]", or pip install "altar-ai[pydantic-ai]"',
        )

    def using(self, framework: Framework | None = None, *, model: Any = None) -> Agent:
        """The same agent under another framework, or with another language model; it goes on with what was said."""
        made = self._model if model is None else AgentModel(model)
        return Agent(self._task, made, _framework(framework or self._framework), self._conversations)

    @overload
    def run(self, session: Session, prompt: str, *, conversation: str = "") -> Awaitable[AgentResult]: ...
    @overload
    def run(self, session: SyncSession, prompt: str, *, conversation: str = "") -> AgentResult: ...
    def run(
        self, session: Session | SyncSession, prompt: str, *, conversation: str = ""
    ) -> Awaitable[AgentResult] | AgentResult:
        """Answer a prompt: awaited with a session of ``async with``, waited for with one of ``with``.

        ``conversation`` names what it goes on with; "" is that of the session.
        Raises what cannot be run at all: UNSUPPORTED_TOOL for a tool that the session does not have, ENVIRONMENT_ERROR
        for a missing extra or no language model, INVALID_CONFIG for a model that cannot be reached.
        """
        running = self._run(session, _prompt(prompt), conversation)
        return portal().run(running) if isinstance(session, SyncSession) else running

    @overload
    def stream(self, session: Session, prompt: str, *, conversation: str = "") -> Reading: ...
    @overload
    def stream(self, session: SyncSession, prompt: str, *, conversation: str = "") -> Iterator[AgentEvent]: ...
    def stream(
        self, session: Session | SyncSession, prompt: str, *, conversation: str = ""
    ) -> Reading | Iterator[AgentEvent]:
        """Answer a prompt and tell what happens: pieces of text, calls and their answers, and the result at the end.

        Who stops reading cancels the run; ``aclose``, or ``close``, waits for its end.
        """
        asked = _prompt(prompt)
        told = Reading(lambda tell, is_left: self._run(session, asked, conversation, tell, is_left))
        return pulled(told) if isinstance(session, SyncSession) else told

    @overload
    def resume(self, session: Session, stopped: AgentResult) -> Awaitable[AgentResult]: ...
    @overload
    def resume(self, session: SyncSession, stopped: AgentResult) -> AgentResult: ...
    def resume(self, session: Session | SyncSession, stopped: AgentResult) -> Awaitable[AgentResult] | AgentResult:
        """Go on with a run that ended with APPROVAL_PENDING, once a person has decided.

        The calls that waited are made under their handles: once, with the arguments that were approved. One on which
        nobody has decided yet ends the run again.
        Raises ValidationError MALFORMED_REQUEST for a run that did not end so.
        """
        running = self._resumed(session, stopped)
        return portal().run(running) if isinstance(session, SyncSession) else running

    def forget(self, session: Session | SyncSession, conversation: str | None = None) -> None:
        """Forget a conversation of a session; all of them for None."""
        self._conversations.forget(session.session_id, conversation)

    def as_tool(
        self, name: str | None = None, *, description: str = "", version: str = "1.0.0", register: bool = True
    ) -> ToolFunction[..., Any]:
        """The agent as a tool: a prompt in, its output out; its calls are children of the call.

        Each call is a conversation of its own.
        The contract names the tools that it calls, where the agent names its tools.
        """
        from altar.ai.agents.as_tool import agent_tool

        once = Agent(self._task, self._model, self._framework, Conversations(Memory(turns=0)))
        return agent_tool(once.run, self._task, name=name, description=description, version=version, register=register)

    async def _run(
        self,
        session: Session | SyncSession,
        prompt: str,
        conversation: str,
        tell: Tell | None = None,
        is_left: Callable[[], bool] = lambda: False,
    ) -> AgentResult:
        async with self._conversations.entered(session.session_id, conversation, is_left=is_left) as held:
            turn = Turn(self._ready(), session, held.before, [ChatMessage("user", prompt)], tell)
            return await self._driven(turn, held)

    async def _resumed(self, session: Session | SyncSession, stopped: AgentResult) -> AgentResult:
        waiting_in(stopped)
        async with self._conversations.entered(session.session_id, stopped.conversation) as held:
            turn = Turn(self._ready(), session, held.before, list(stopped.messages))
            try:
                await resumed(turn, stopped)
            except AltarError as error:
                return turn.result(framework=self.framework, conversation=held.name, error=error)
            return await self._driven(turn, held)

    async def _driven(self, turn: Turn, held: Conversation) -> AgentResult:
        framework, error = self.framework, None
        driver = await _driver(framework)
        _require_no_submit(turn.task, turn.session)
        own = turn.asker.options.language_model
        try:
            if framework == "dspy":
                await driver.run(turn, self._model.dspy(own))
            else:
                async with self._model.pydantic_ai(own) as (model, settings):
                    await driver.run(turn, model, settings)
            held.added = tuple(turn.messages)
        except AltarError as failed:
            if not turn.is_begun:  # nothing was asked: this is wrong use, and no run
                raise
            error = failed
        return turn.result(framework=framework, conversation=held.name, error=error)

    def _ready(self) -> Task:
        """The task, with what the settings say now."""
        settings = configured()
        again = int(settings.retry_on_validation_error)
        return replace(self._task, corrections=again, is_checked=settings.result_validation)


def _framework(asked: Framework) -> Framework:
    if asked in {"auto", *_FRAMEWORKS}:
        return asked
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"{asked!r} is no framework of an agent",
        ran="no",
        hint="write 'auto', 'dspy' or 'pydantic_ai'",
    )


async def _driver(framework: str) -> Any:
    """The module that drives a run; it takes seconds to load once, in which the event loop goes on."""
    if framework not in _drivers:
        extra, module = _FRAMEWORKS[framework]
        if importlib.util.find_spec(framework) is None:
            raise missing_extra(extra, what="An agent of that framework")
        _drivers[framework] = await asyncio.to_thread(import_module, f"altar.ai.agents.{module}")
    return _drivers[framework]


def _require_no_submit(task: Task, session: Session | SyncSession) -> None:
    """Raise INVALID_DECLARATION for a tool that has the name by which an answer is handed in."""
    names = session.tools if task.tools is None else [each.partition("@")[0] for each in task.tools]
    if task.form is not None and SUBMIT in names:
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"The agent {task.name!r} hands in its answer by {SUBMIT!r}, and has a tool of that name",
            ran="no",
            hint="give it its other tools by name, or no output",
        )


def _prompt(prompt: Any) -> str:
    if isinstance(prompt, str) and prompt.strip():
        return prompt
    raise ValidationError(
        "MALFORMED_REQUEST",
        f"The prompt of an agent is {prompt!r:.100}, and must be a text",
        ran="no",
        hint="agent.run(session, 'What is …?')",
    )
