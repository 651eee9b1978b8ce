"""A language model as a tool, and a tool as a language model: so that its requests are calls of a session.

:func:`lm_tool` makes the tool where the model is: request in, answer out, with what it took in the usage of the result.
:func:`session_lm` makes a ``dspy.LM`` of it where the programs are; each of its requests is one call, which is
authorized, budgeted, recorded and routed as any other, and runs wherever the session lets it run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatRequest, ChatUsage, FailureKind, Finish, ToolUse
from altar.later.both_ways import BothWays
from altar.later.context import ToolContext
from altar.later.extras import loaded
from altar.later.front import SyncSession
from altar.later.tool import ToolFunction, tool

if TYPE_CHECKING:
    from datetime import timedelta

    from altar.later.session import Session

__all__ = ["LM_TOOL", "SessionModel", "lm_tool", "session_lm"]

LM_TOOL: Final = "language_model"
"""The name of the tool where nobody gives it another."""


@dataclass(frozen=True, slots=True)
class AskedUse:
    """The use of a tool that a model asked for in an earlier message, by the id that its answer names."""

    name: str
    arguments: dict[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class AskedMessage:
    """One message of a conversation; ``answers`` is the id of the use of a tool that a message of a tool answers."""

    role: str
    text: str = ""
    tool_uses: list[AskedUse] = field(default_factory=list)
    answers: str = ""


@dataclass(frozen=True, slots=True)
class AskedTool:
    """A tool that the model may ask for, with the JSON Schema of its arguments."""

    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TokensTaken:
    """The tokens that went in and came out, and how many of those in were not read again."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model answered: text, the uses of tools that it asks for, or both."""

    text: str
    tool_uses: list[AskedUse]
    thinking: str
    finish: str
    model: str
    usage: TokensTaken


def lm_tool(
    lm: Any = None,
    *,
    name: str = LM_TOOL,
    version: str = "1.0.0",
    description: str | None = None,
    timeout: float | timedelta | None = None,
    register: bool = True,
    **options: Any,
) -> ToolFunction[..., Any]:
    """A language model as a tool: who may call it may ask it, as often as policy and budget allow.

    ``lm`` is a ``dspy.LM``, a model such as a ScriptedLM, or what :func:`altar.ai.language_model` takes; without it,
    that of the session that asks, else that of the process where the tool runs.
    Its answers are not cached here: who asks decides whether the same question is asked twice.
    ``timeout`` is for one request; ``options`` are those of :func:`altar.tool`, such as ``required_permissions``.
    Asking twice does no harm but costs twice, so the tool is ``idempotent`` unless told otherwise: a request whose
    runtime dies is asked at another one.
    The contract says which model it is where ``lm`` is a provider and a model, or ``metadata`` holds a ``model``; what
    is compiled through a session is kept only then, for another model would be taken for this one.
    Raises as that does.
    """
    ask = _asking(_Model(lm))
    ask.__module__ = str(sys._getframe(1).f_globals.get("__name__", ""))  # noqa: SLF001 - as named tuples do
    ask.__name__ = ask.__qualname__ = name
    options.setdefault("open_world", True)
    options.setdefault("idempotent", True)  # asking changes nothing: what a lost runtime was asked is asked elsewhere
    known = {"model": lm} if isinstance(lm, str) and "/" in lm.partition(":")[0] else {}
    said = {**known, **(options.pop("metadata", None) or {}), "framework": "dspy", "kind": "language_model"}
    return tool(
        ask,
        name=name,
        version=version,
        description=description,
        timeout=timeout,
        metadata=said,
        register=register,
        **options,
    )


def session_lm(
    session: Session | SyncSession,
    name: str = LM_TOOL,
    *,
    timeout: float | timedelta | None = None,
    num_retries: int = 0,
    **settings: Any,
) -> Any:
    """A ``dspy.LM`` whose requests are calls of the tool ``name`` of an open session; from any thread or loop.

    ``timeout`` is in seconds for one request; without it the session's own holds.
    ``settings`` are those of ``dspy.LM``, such as ``temperature`` or ``cache``; without ``cache`` nothing is cached.
    A failure of the model raises what DSPy raises for it, so that programs see no difference; a call that was refused
    is no such failure, and :attr:`SessionModel.refused` has it.
    Raises UNSUPPORTED_TOOL for a tool that is not in the session, INVALID_CONFIG for one that is no language model.
    """
    from altar.ai.lm.engine import dspy_lm

    return dspy_lm(SessionModel(session, name, timeout=timeout), num_retries=num_retries, **settings)


class SessionModel:
    """A model that is asked through a tool of a session; ``refused`` is the first error that was none of the model's.

    Such an error is no answer: a denial, a budget that is spent, a host that is not there. Asking goes on to fail, and
    who compiles or evaluates with it must not take that for bad answers.
    """

    waits = True

    def __init__(
        self,
        session: Session | SyncSession,
        name: str = LM_TOOL,
        *,
        timeout: float | timedelta | None = None,
        stops: bool = False,
    ) -> None:
        """Find the tool in the session; with ``stops`` nothing is asked any more once a call was refused."""
        through = session if timeout is None else session.options(timeout=timeout)
        self._ways = BothWays(through)
        (declaration,) = self._ways.contracts([name])
        if not {"messages", "schema", "stop"} <= set(declaration.parameters.json_schema.get("properties", ())):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The tool {name!r} is no language model",
                ran="no",
                hint="make one with altar.ai.lm_tool(lm) where it runs, and name that",
            )
        self.name = f"session/{declaration.name}"
        self.refused: AltarError | None = None
        self.asked = 0
        here = through.underneath if isinstance(through, SyncSession) else through
        is_told = bool(declaration.metadata.get("model"))
        self._identity = [self.name, declaration.digest, str(here.asker.options.source)] if is_told else None
        self._tool = f"{declaration.name}@{declaration.version}"
        self._stops = stops

    @property
    def identity(self) -> Any:
        """Which tool answers, and where; None where its contract does not say which model that is."""
        return self._identity

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """Ask, and wait for the answer in this thread; raises ChatFailure."""
        if any(message.attachments for message in request.messages):
            raise ChatFailure("invalid_request", "Only text can be asked through a session.")
        if self.refused is not None and self._stops:
            raise ChatFailure("invalid_request", self.refused.message) from self.refused
        self.asked += 1
        try:
            return _answer_of(self._ways.call(self._tool, _asked(request)).unwrap())
        except AltarError as error:
            kind = _FAILURES.get(error.code)
            if kind is None:
                self.refused = self.refused or error
                raise ChatFailure("invalid_request", error.message) from error
            after = error.retry_after.total_seconds() if error.retry_after is not None else None
            raise ChatFailure(kind, error.message, retry_after=after) from error


_FAILURES: Final[Mapping[str, FailureKind]] = {
    "LM_RATE_LIMITED": "rate_limit",
    "LM_TIMEOUT": "timeout",
    "LM_UNAVAILABLE": "server",
    "LM_REFUSED": "invalid_request",
}
"""What a language model itself failed with, as the tool told it; every other error is one of the call."""


def _asking(model: _Model) -> Callable[..., Any]:
    """The function of the tool: its parameters and its docstring are the contract."""

    async def ask(
        messages: list[AskedMessage],
        *,
        context: ToolContext,
        tools: list[AskedTool] | None = None,
        tool_choice: str = "auto",
        schema: dict[str, Any] | bool | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        max_tokens: int | None = None,
        seed: int | None = None,
        stop: list[str] | None = None,
    ) -> Answered:
        """Ask a language model.

        Args:
            messages: The conversation; roles are system, user, assistant and tool.
            tools: Tools that the model may ask for.
            tool_choice: auto, none, required, or the name of the one tool that must be used.
            schema: JSON Schema that the answer must fit, or true for any JSON object.
            temperature: How freely it answers.
            top_p: Share of the likeliest words that it chooses from.
            max_tokens: Most tokens of the answer.
            seed: For the same answer to the same question, where the provider can.
            stop: Texts that end the answer.
            context: The call.
        """
        request = {
            "messages": [asdict(message) for message in messages],
            "tools": [asdict(each) for each in tools or ()],
            "tool_choice": tool_choice,
            "schema": schema or None,
            "temperature": temperature,
            "top_p": top_p,
            "max_tokens": max_tokens,
            "seed": seed,
            "stop": stop or (),
        }
        return _answered(await model.ask(_request_of(request), context))

    return ask


class _Model:
    """The language model of a tool, which is made when it is first asked."""

    def __init__(self, given: Any) -> None:
        self._given = given
        self._made: Any = None

    async def ask(self, request: ChatRequest, context: ToolContext) -> ChatAnswer:
        from altar.ai.lm.engine import answer_of, lm15_request
        from altar.ai.lm.errors import lm_error
        from altar.ai.lm.usage import Exchanges, usage_of

        dspy = loaded("dspy", extra="dspy", what="A language model as a tool")
        lm = self._lm(context)
        tracker = Exchanges()
        with dspy.context(disable_history=True, usage_tracker=tracker, callbacks=[]):
            try:
                response = await lm.acall(lm15_request(request, model=lm.model))
            except Exception as raised:
                error = lm_error(raised)
                if error is None:
                    raise
                raise error from raised
            finally:
                context.used(**usage_of(tracker))
        return answer_of(response)

    def _lm(self, context: ToolContext) -> Any:
        if self._given is None:
            from altar.ai.lm.configure import current_in

            lm = current_in(context)
            if lm is None:
                raise ConfigurationError(
                    "ENVIRONMENT_ERROR",
                    "There is no language model where the tool runs",
                    ran="no",
                    hint="set `ai.lm` there, or give one: lm_tool(lm)",
                )
            return lm.copy(cache=False)
        if self._made is None:
            self._made = _dspy_lm(self._given)
        return self._made


def _dspy_lm(given: Any) -> Any:
    """The ``dspy.LM`` for what was given, which answers afresh each time."""
    from altar.ai.lm.configure import language_model
    from altar.ai.lm.engine import dspy_lm

    if isinstance(given, str):
        given = language_model(given)
    elif hasattr(given, "complete") and not hasattr(given, "acall"):
        return dspy_lm(given)
    return given.copy(cache=False)


def _request_of(held: Mapping[str, Any]) -> ChatRequest:
    from altar.ai.lm.chat import ChatMessage, ToolOffer

    roles = {"system", "user", "assistant", "tool"}
    for message in held["messages"]:
        if message["role"] not in roles:
            raise ValidationError(
                "INVALID_TOOL_ARGS",
                f"A message has the role {message['role'][:40]!r}",
                ran="no",
                hint=f"a role is one of {', '.join(sorted(roles))}",
            )
    messages = tuple(
        ChatMessage(
            message["role"],
            message["text"],
            tuple(ToolUse(use["name"], use["arguments"], use["id"]) for use in message["tool_uses"]),
            message["answers"],
        )
        for message in held["messages"]
    )
    return ChatRequest(
        messages,
        tools=tuple(ToolOffer(each["name"], each["description"], each["parameters"]) for each in held["tools"]),
        tool_choice=held["tool_choice"],
        schema=held["schema"],
        temperature=held["temperature"],
        top_p=held["top_p"],
        max_tokens=held["max_tokens"],
        seed=held["seed"],
        stop=tuple(held["stop"]),
    )


def _asked(request: ChatRequest) -> dict[str, Any]:
    """The arguments of the call that is a request; what it does not say is left out."""
    document = asdict(request)
    del document["model"]  # the tool is the model
    for message in document["messages"]:
        del message["attachments"]
        message["tool_uses"] = list(message["tool_uses"])
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in document.items()
        if name == "messages" or value not in ((), None)
    }


def _answered(answer: ChatAnswer) -> Answered:
    usage = answer.usage
    return Answered(
        answer.text,
        [AskedUse(use.name, dict(use.arguments), use.id) for use in answer.tool_uses],
        answer.thinking,
        answer.finish,
        answer.model,
        TokensTaken(usage.input_tokens, usage.output_tokens, usage.cached_tokens),
    )


def _answer_of(content: Any) -> ChatAnswer:
    """The answer in the result of a call, which the contract has been checked against."""
    finishes: dict[str, Finish] = {"length": "length", "tool_calls": "tool_calls", "content_filter": "content_filter"}
    return ChatAnswer(
        content["text"],
        tuple(ToolUse(use["name"], use["arguments"], use.get("id", "")) for use in content["tool_uses"]),
        content["thinking"],
        finishes.get(content["finish"], "stop"),
        ChatUsage(**content["usage"]),
        content["model"],
    )
