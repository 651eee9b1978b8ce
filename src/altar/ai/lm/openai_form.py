"""The form of OpenAI's chat completions: JSON of a client becomes a request of ours, and our answer becomes JSON.

What comes in is foreign text: whatever does not have the form is a :class:`BadRequest`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from altar.adm.canonical import JsonValue
from altar.ai.lm.chat import ChatAnswer, ChatMessage, ChatRequest, Role, ToolOffer, ToolUse

__all__ = ["Asked", "BadRequest", "chunks", "completion", "error_object", "request_from", "written"]

MAX_MESSAGES: Final = 4096
MAX_TOOLS: Final = 512


class BadRequest(ValueError):  # noqa: N818 (the name that HTTP gives it)
    """A request that does not have the form; its text may be shown to the client."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and whether its answer is to be streamed."""

    request: ChatRequest
    stream: bool = False
    stream_usage: bool = False


def request_from(body: bytes | str) -> Asked:
    """Read what a client sent; raises BadRequest."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest("The request is no JSON.") from error
    if not isinstance(document, dict) or not isinstance(document.get("messages"), list) or not document["messages"]:
        raise BadRequest("The request has no messages.")
    if len(document["messages"]) > MAX_MESSAGES or len(document.get("tools") or ()) > MAX_TOOLS:
        raise BadRequest(f"The request has more than {MAX_MESSAGES} messages or {MAX_TOOLS} tools.")
    if document.get("n") not in {None, 1}:
        raise BadRequest("One completion is made at a time: n is 1.")
    try:
        request = _request(document)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadRequest(f"The request does not have the form of a chat completion ({error}).") from error
    options = document.get("stream_options") or {}
    return Asked(request, document.get("stream") is True, bool(options.get("include_usage")))


def written(request: ChatRequest, *, stream: bool = False) -> dict[str, Any]:
    """The request as a client of OpenAI's interface writes it."""
    document: dict[str, Any] = {
        "model": request.model,
        "messages": [_written_message(message) for message in request.messages],
    }
    if request.tools:
        document["tools"] = [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": dict(tool.parameters)},
            }
            for tool in request.tools
        ]
        named = request.tool_choice not in {"auto", "none", "required"}
        function = {"type": "function", "function": {"name": request.tool_choice}}
        document["tool_choice"] = function if named else request.tool_choice
    if request.schema is True:
        document["response_format"] = {"type": "json_object"}
    elif request.schema is not None:
        held = {"name": "answer", "strict": True, "schema": dict(request.schema)}
        document["response_format"] = {"type": "json_schema", "json_schema": held}
    for name in ("temperature", "top_p", "max_tokens", "seed"):
        if getattr(request, name) is not None:
            document[name] = getattr(request, name)
    if request.stop:
        document["stop"] = list(request.stop)
    if stream:
        document |= {"stream": True, "stream_options": {"include_usage": True}}
    return document


def completion(answer: ChatAnswer, *, model: str) -> dict[str, Any]:
    """The answer as one document."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text or (None if answer.tool_uses else "")}
    if answer.thinking:
        message["reasoning_content"] = answer.thinking
    if answer.tool_uses:
        message["tool_calls"] = [_call(use, at) for at, use in enumerate(answer.tool_uses)]
    return {
        "id": "chatcmpl-altar",
        "object": "chat.completion",
        "created": 0,
        "model": answer.model or model,
        "choices": [{"index": 0, "message": message, "finish_reason": _finish(answer), "logprobs": None}],
        "usage": _usage(answer),
    }


def chunks(steps: Iterable[str | ChatAnswer], *, model: str, usage: bool) -> Iterator[dict[str, Any]]:
    """The answer as the documents of a stream; ``steps`` are the pieces of its text, then the whole of it."""

    def chunk(delta: dict[str, Any] | None, finish: str | None = None) -> dict[str, Any]:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish}]
        about = {"id": "chatcmpl-altar", "object": "chat.completion.chunk", "created": 0, "model": model}
        return {**about, "choices": choices}

    yield chunk({"role": "assistant", "content": ""})
    for step in steps:
        if isinstance(step, str):
            yield chunk({"content": step})
            continue
        if step.thinking:
            yield chunk({"reasoning_content": step.thinking})
        for at, use in enumerate(step.tool_uses):
            yield chunk({"tool_calls": [{"index": at, **_call(use, at)}]})
        yield chunk({}, _finish(step))
        if usage:
            yield {**chunk(None), "usage": _usage(step)}


def error_object(kind: str, message: str) -> dict[str, Any]:
    """A failure as a provider says it."""
    return {"error": {"message": message, "type": kind, "code": kind, "param": None}}


def _request(document: Mapping[str, Any]) -> ChatRequest:
    stop = document.get("stop") or ()
    most = document.get("max_completion_tokens") or document.get("max_tokens")
    return ChatRequest(
        tuple(_message(message) for message in document["messages"]),
        model=str(document.get("model") or ""),
        tools=tuple(_tool(tool) for tool in document.get("tools") or ()),
        tool_choice=_choice(document.get("tool_choice")),
        schema=_schema(document.get("response_format")),
        temperature=_number(document.get("temperature")),
        top_p=_number(document.get("top_p")),
        max_tokens=None if most is None else int(most),
        seed=None if document.get("seed") is None else int(document["seed"]),
        stop=(stop,) if isinstance(stop, str) else tuple(str(one) for one in stop),
    )


_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}


def _message(message: Mapping[str, Any]) -> ChatMessage:
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    texts = [str(part["text"]) for part in parts if part.get("type") == "text"]
    others: tuple[JsonValue, ...] = tuple(part for part in parts if part.get("type") != "text")
    return ChatMessage(
        _ROLES[message["role"]],
        content if isinstance(content, str) else "\n".join(texts),
        tuple(_use(call) for call in message.get("tool_calls") or ()),
        str(message.get("tool_call_id") or ""),
        others,
    )


def _use(call: Mapping[str, Any]) -> ToolUse:
    function = call["function"]
    return ToolUse(str(function["name"]), json.loads(function.get("arguments") or "{}"), str(call.get("id") or ""))


def _tool(tool: Mapping[str, Any]) -> ToolOffer:
    function = tool["function"]
    parameters = function.get("parameters") or {"type": "object", "properties": {}}
    return ToolOffer(str(function["name"]), str(function.get("description") or ""), dict(parameters))


def _choice(choice: Any) -> str:
    if isinstance(choice, Mapping):
        return str(choice["function"]["name"])
    return str(choice or "auto")


def _schema(form: Any) -> Any:
    if form is None or form.get("type") == "text":
        return None
    return True if form.get("type") == "json_object" else dict(form["json_schema"]["schema"])


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _written_message(message: ChatMessage) -> dict[str, Any]:
    document: dict[str, Any] = {"role": message.role, "content": message.text}
    if message.attachments:
        document["content"] = [{"type": "text", "text": message.text}, *message.attachments]
    if message.tool_uses:
        document["tool_calls"] = [_call(use, at) for at, use in enumerate(message.tool_uses)]
    if message.role == "tool":
        document["tool_call_id"] = message.answers
    return document


def _call(use: ToolUse, at: int) -> dict[str, Any]:
    arguments = json.dumps(dict(use.arguments), ensure_ascii=False)
    return {"id": use.id or f"call_{at}", "type": "function", "function": {"name": use.name, "arguments": arguments}}


def _finish(answer: ChatAnswer) -> str:
    return "tool_calls" if answer.tool_uses else answer.finish


def _usage(answer: ChatAnswer) -> dict[str, Any]:
    usage = answer.usage
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
    }
