"""A model of ours as the engine of a ``dspy.LM``: DSPy's requests become ours, and our answers DSPy's.

DSPy is loaded when the first LM is made, and not when this module is.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import chain
from typing import Any

from altar.adm.canonical import JsonValue
from altar.ai.lm.chat import (
    ChatAnswer,
    ChatFailure,
    ChatMessage,
    ChatModel,
    ChatRequest,
    ChatUsage,
    FailureKind,
    Finish,
    Role,
    ToolOffer,
    ToolUse,
    pieces,
    streamed,
)
from altar.later.extras import loaded

__all__ = [
    "AsyncChatEngine",
    "ChatEngine",
    "answer_of",
    "dspy_lm",
    "lm15_request",
    "request_of",
    "response_of",
    "streaming_events",
]


def dspy_lm(model: ChatModel, *, num_retries: int = 0, **settings: Any) -> Any:
    """A ``dspy.LM`` that asks this model.

    Nothing is cached, so that every request reaches it, and nothing is asked again unless ``num_retries`` says so.
    ``settings`` are those of ``dspy.LM``, such as ``temperature``.
    """
    dspy = loaded("dspy", extra="dspy", what="A language model for DSPy")
    engine = ChatEngine(model)
    settings.setdefault("cache", False)
    return dspy.LM(
        f"altar/{model.name}", engine=engine, async_engine=AsyncChatEngine(engine), num_retries=num_retries, **settings
    )


class ChatEngine:
    """The engine that DSPy calls from plain functions."""

    supports_function_calling = True
    supports_response_schema = True
    supports_reasoning = False
    supported_params = frozenset({"temperature", "max_tokens", "top_p", "stop", "response_format", "tools"})

    def __init__(self, model: ChatModel) -> None:
        self.model = model
        self._lm15 = loaded("dspy.lm15", extra="dspy", what="A language model for DSPy")

    def complete(self, request: Any) -> Any:
        """Answer one request of DSPy."""
        return response_of(self._answer(request), self._lm15, name=self.model.name)

    def stream(self, request: Any) -> Iterator[Any]:
        """Answer one request of DSPy word by word."""
        try:
            yield from _events(streamed(self.model, request_of(request)), self._lm15, name=self.model.name)
        except ChatFailure as failure:
            raise _lm15_error(failure, self._lm15) from failure

    def close(self) -> None:
        """Do nothing: the model is somebody else's."""

    def dump_state(self) -> dict[str, Any]:
        """Return what a saved program keeps of its LM.

        Raises TypeError for a model that cannot be told in JSON.
        """
        dump = getattr(self.model, "dump_state", None)
        if dump is None:
            raise TypeError(
                f"the language model {self.model.name!r} cannot be saved: give one when the state is loaded"
            )
        return {"model": dump()}

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> ChatEngine:
        """Raise TypeError: what stands in a file does not choose which model is asked."""
        raise TypeError(f"the language model {state.get('model')!r} is given when the state is loaded, not by it")

    def _answer(self, request: Any) -> ChatAnswer:
        try:
            return self.model.complete(request_of(request))
        except ChatFailure as failure:
            raise _lm15_error(failure, self._lm15) from failure


class AsyncChatEngine:
    """The same engine for coroutines; a model that only computes needs no thread of its own."""

    supports_function_calling = True
    supports_response_schema = True
    supports_reasoning = False

    def __init__(self, engine: ChatEngine) -> None:
        self._engine = engine

    async def complete(self, request: Any) -> Any:
        """Answer one request of DSPy; a model that ``waits`` for another one does so in a thread."""
        if getattr(self._engine.model, "waits", False):
            return await asyncio.to_thread(self._engine.complete, request)
        return self._engine.complete(request)

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        """Answer one request of DSPy word by word."""
        for event in self._engine.stream(request):
            yield event

    async def aclose(self) -> None:
        """Do nothing: the model is somebody else's."""

    def dump_state(self) -> dict[str, Any]:
        """Return what a saved program keeps of its LM."""
        return self._engine.dump_state()

    @classmethod
    def load_state(cls, state: dict[str, Any]) -> AsyncChatEngine:
        """Raise TypeError, as the other engine does."""
        return cls(ChatEngine.load_state(state))


def request_of(request: Any) -> ChatRequest:
    """The same request without DSPy: a ``dspy.lm15.Request`` comes in."""
    config = request.config
    messages = [] if request.system is None else [_system(request.system)]
    for message in request.messages:
        messages.extend(_messages(message))
    return ChatRequest(
        tuple(messages),
        model=request.model,
        tools=tuple(
            ToolOffer(tool.name, tool.description or "", tool.parameters)
            for tool in request.tools
            if tool.type == "function"
        ),
        tool_choice=_choice(config.tool_choice),
        schema=_schema(config.response_format),
        temperature=config.temperature,
        top_p=config.top_p,
        max_tokens=config.max_tokens,
        seed=config.seed,
        stop=tuple(config.stop),
    )


def response_of(answer: ChatAnswer, lm15: Any, *, name: str) -> Any:
    """The answer as a ``dspy.lm15.Response``."""
    parts: list[Any] = []
    if answer.thinking:
        parts.append(lm15.ThinkingPart(answer.thinking))
    if answer.text or not answer.tool_uses:
        parts.append(lm15.TextPart(answer.text))
    parts.extend(
        lm15.ToolCallPart(use.id or f"call_{at}", use.name, dict(use.arguments))
        for at, use in enumerate(answer.tool_uses)
    )
    return lm15.Response(
        id=None,
        model=answer.model or name,
        message=lm15.Message.assistant(parts),
        finish_reason=_finish(answer),
        usage=_usage(answer.usage, lm15),
    )


def lm15_request(request: ChatRequest, *, model: str) -> Any:
    """The request as a ``dspy.lm15.Request`` to this model.

    Raises ChatFailure for attachments: what they were is told by a digest only.
    """
    lm15 = loaded("dspy.lm15", extra="dspy", what="A language model for DSPy")
    if any(message.attachments for message in request.messages):
        raise ChatFailure("invalid_request", "Only text can be recorded.")
    choice = None
    if request.tools and request.tool_choice != "auto":
        named = () if request.tool_choice in {"none", "required"} else (request.tool_choice,)
        choice = lm15.ToolChoice("required" if named else request.tool_choice, named)
    form = None
    if request.schema is not None:
        held = {"type": "json_schema", "schema": request.schema, "name": "answer", "strict": True}
        form = {"type": "json_object"} if request.schema is True else held
    return lm15.Request(
        model=model,
        system=request.system or None,
        messages=tuple(_lm15_message(message, lm15) for message in request.messages if message.role != "system"),
        tools=tuple(lm15.FunctionTool(tool.name, tool.description, dict(tool.parameters)) for tool in request.tools),
        config=lm15.Config(
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            top_p=request.top_p,
            seed=request.seed,
            stop=request.stop,
            tool_choice=choice,
            response_format=form,
        ),
    )


def answer_of(response: Any) -> ChatAnswer:
    """The answer in a ``dspy.lm15.Response``.

    Raises ChatFailure for a part that is no text: sound, pictures.
    """
    usage = response.usage
    parts = response.message.parts
    for part in parts:
        if part.type not in {"text", "data", "refusal", "thinking", "citation", "tool_call"}:
            raise ChatFailure("invalid_request", f"An answer with a part of the kind {part.type!r} is not understood.")
    finish: dict[str, Finish] = {"length": "length", "tool_call": "tool_calls", "content_filter": "content_filter"}
    return ChatAnswer(
        "".join(_part_text(part) for part in parts if part.type in {"text", "data", "refusal"}),
        tuple(ToolUse(part.name, part.input, part.id) for part in parts if part.type == "tool_call"),
        "".join(part.text for part in parts if part.type == "thinking"),
        finish.get(response.finish_reason, "stop"),
        ChatUsage(usage.input_tokens or 0, usage.output_tokens or 0, usage.cache_read_tokens or 0),
        response.model,
    )


def streaming_events(answer: ChatAnswer, lm15: Any, *, name: str) -> Iterator[Any]:
    """The answer as the events of a stream of DSPy, its text word by word."""
    return _events([*pieces(answer.text), answer], lm15, name=name)


_FINISH = {"stop": "stop", "length": "length", "tool_calls": "tool_call", "content_filter": "content_filter"}
_ERRORS: dict[FailureKind, str] = {
    "rate_limit": "RateLimitError",
    "timeout": "TimeoutError",
    "auth": "AuthError",
    "billing": "BillingError",
    "invalid_request": "InvalidRequestError",
    "context_length": "ContextLengthError",
    "unknown_model": "UnsupportedModelError",
    "server": "ServerError",
}


def _events(steps: Iterable[str | ChatAnswer], lm15: Any, *, name: str) -> Iterator[Any]:
    """The answer as the events of a stream of DSPy; part 0 is its text, then come thoughts and uses of tools."""
    steps = iter(steps)
    first = next(steps, ChatAnswer())  # what fails before it is no stream yet
    yield lm15.StreamStartEvent(id=None, model=name)
    for step in chain([first], steps):
        if isinstance(step, str):
            yield lm15.StreamDeltaEvent(delta=lm15.TextDelta(text=step, part_index=0))
            continue
        if step.thinking:
            yield lm15.StreamDeltaEvent(delta=lm15.ThinkingDelta(text=step.thinking, part_index=1))
        for at, use in enumerate(step.tool_uses):
            arguments = json.dumps(dict(use.arguments))
            delta = lm15.ToolCallDelta(input=arguments, part_index=2 + at, id=use.id or f"call_{at}", name=use.name)
            yield lm15.StreamDeltaEvent(delta=delta)
        yield lm15.StreamEndEvent(finish_reason=_finish(step), usage=_usage(step.usage, lm15))


def _finish(answer: ChatAnswer) -> str:
    return "tool_call" if answer.tool_uses else _FINISH[answer.finish]


def _usage(usage: ChatUsage, lm15: Any) -> Any:
    return lm15.Usage(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=usage.cached_tokens
    )


def _lm15_error(failure: ChatFailure, lm15: Any) -> Exception:
    made: Exception = getattr(lm15, _ERRORS[failure.kind])(failure.message, retry_after=failure.retry_after)
    return made


def _lm15_message(message: ChatMessage, lm15: Any) -> Any:
    if message.role == "tool":
        return lm15.Message.tool(message.answers or "call_0", message.text)
    uses = [lm15.ToolCallPart(use.id or "call_0", use.name, dict(use.arguments)) for use in message.tool_uses]
    text = [lm15.TextPart(message.text)] if message.text or not uses else []
    return lm15.Message(message.role, (*text, *uses))


def _system(system: Any) -> ChatMessage:
    return ChatMessage("system", system if isinstance(system, str) else _text(system), attachments=_attachments(system))


def _messages(message: Any) -> Iterator[ChatMessage]:
    """A message of DSPy, which may hold the results of several tools."""
    for part in message.parts:
        if part.type == "tool_result":
            yield ChatMessage("tool", _text(part.content), answers=part.id, attachments=_attachments(part.content))
    if message.role == "tool":
        return
    uses = tuple(ToolUse(part.name, part.input, part.id) for part in message.parts if part.type == "tool_call")
    role: Role = "system" if message.role == "developer" else message.role
    yield ChatMessage(role, _text(message.parts), uses, attachments=_attachments(message.parts))


def _text(parts: Any) -> str:
    return "\n".join(_part_text(part) for part in parts if part.type in {"text", "data"})


def _part_text(part: Any) -> str:
    """The text of a part; a value with a schema, which DSPy has read already, is written as JSON again."""
    return json.dumps(part.value, ensure_ascii=False) if part.type == "data" else str(part.text)


def _attachments(parts: Any) -> tuple[JsonValue, ...]:
    """What is no text, by its kind and a digest or address: enough to tell two requests apart."""
    if isinstance(parts, str):
        return ()
    known = ("text", "data", "tool_call", "tool_result", "thinking")
    return tuple({"type": part.type, "is": _told_apart(part)} for part in parts if part.type not in known)


def _told_apart(part: Any) -> str:
    import hashlib

    source = getattr(part, "url", None) or getattr(part, "file_id", None)
    content = getattr(part, "data", None) or ""
    data = content if isinstance(content, str) else json.dumps(content, sort_keys=True, default=str)
    return source or "sha256:" + hashlib.sha256(data.encode()).hexdigest()


def _choice(choice: Any) -> str:
    if choice is None:
        return "auto"
    if choice.mode == "required" and len(choice.allowed) == 1:
        return str(choice.allowed[0])
    return str(choice.mode)


def _schema(form: Any) -> Any:
    if form is None:
        return None
    if form.get("type") == "json_object":
        return True
    return form["schema"]
