"""A language model in this process: a file in the format GGUF, run by llama.cpp.

What comes in is a :class:`ChatRequest`, what goes out is a :class:`ChatAnswer`, word by word if asked so.
Small models do not keep to a form by themselves, so a schema and the choice of a tool are forced on them by a grammar:
an answer with a schema fits it, and a use of a tool has the name and the arguments of one that was offered.
"""

from __future__ import annotations

import json
import os
import queue
import secrets
import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from altar.adm.errors import ConfigurationError
from altar.ai.lm.chat import ChatAnswer, ChatFailure, ChatMessage, ChatRequest, ChatUsage, Finish, ToolOffer, ToolUse
from altar.later.extras import loaded

__all__ = ["DEFAULT_ANSWER_TOKENS", "LocalModel"]

DEFAULT_ANSWER_TOKENS: Final = 512
"""The longest answer, in tokens, where the request sets no limit: a small model may never end by itself."""


class LocalModel:
    """The model in one file, loaded into this process.

    ``context`` is how many tokens a request and its answer may have together, ``parallel`` how many requests run at the
    same time, and ``threads`` how many threads compute.
    Several threads may ask at once. Loading takes about a second for a hundred megabytes.
    Raises ConfigurationError: ENVIRONMENT_ERROR without the extra ``local-lm``, INVALID_CONFIG for no such file, or one
    that is no model.
    """

    def __init__(self, path: Path, *, name: str, context: int = 4096, parallel: int = 1, threads: int = 2) -> None:
        # Threads that wait by spinning take the processor from those that compute; read when OpenMP is loaded.
        os.environ.setdefault("GOMP_SPINCOUNT", "0")
        runner = loaded("xllamacpp", extra="local-lm", what="A language model on this machine")
        self.name = name
        self._context = context
        try:
            with path.open("rb") as file:
                magic = file.read(4)
        except OSError as error:
            raise ConfigurationError("INVALID_CONFIG", f"The model {str(path)!r} cannot be read: {error}") from error
        if magic != b"GGUF":
            raise ConfigurationError("INVALID_CONFIG", f"The file {str(path)!r} is no model in the format GGUF")
        try:
            self._server = runner.Server(_parameters(runner, path, context, parallel, threads))
        except (RuntimeError, ValueError) as error:
            raise ConfigurationError(
                "INVALID_CONFIG", f"The model {str(path)!r} cannot be loaded", detail=str(error)
            ) from error

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """Answer; raises ChatFailure."""
        answer = ChatAnswer()
        for step in self.stream(request):
            if isinstance(step, ChatAnswer):
                answer = step
        return answer

    def stream(self, request: ChatRequest) -> Iterator[str | ChatAnswer]:
        """The pieces of the text as they come, and the whole answer as the last item; raises ChatFailure.

        A reader who stops reading stops the model. An answer that may use a tool comes in one piece.
        """
        if not request.tools or request.tool_choice == "none":
            yield from self._said(request, choosing=False)
            return
        answer = self._whole(request)
        if request.tool_choice == "auto" and any(_was_used(use, request) for use in answer.tool_uses):
            # A small model asks for the same again and again; what it has been told already is enough to answer.
            answer = self._whole(replace(request, tools=(), schema=_WORDS), action=True)
        if answer.text:
            yield answer.text
        yield answer

    def close(self) -> None:
        """Let go of the model and its memory."""
        self._server = None

    def _whole(self, request: ChatRequest, *, action: bool = False) -> ChatAnswer:
        """The last item of what is said: an answer that is a choice."""
        choosing = bool(request.tools) or action
        return next(step for step in self._said(request, choosing=choosing) if isinstance(step, ChatAnswer))

    def _said(self, request: ChatRequest, *, choosing: bool) -> Iterator[str | ChatAnswer]:
        document = _document(request, choosing=choosing and bool(request.tools))
        texts: list[str] = []
        facts: dict[str, Any] = {}
        for chunk in self._chunks(document):
            facts["usage"] = chunk.get("usage") or facts.get("usage")
            for choice in chunk.get("choices") or ():
                facts["finish"] = choice.get("finish_reason") or facts.get("finish")
                text = (choice.get("delta") or {}).get("content") or ""
                texts.append(text)
                if text and not choosing:
                    yield text
        yield self._answer("".join(texts), facts, choosing=choosing)

    def _answer(self, text: str, facts: Mapping[str, Any], *, choosing: bool) -> ChatAnswer:
        counted = facts.get("usage") or {}
        cached = (counted.get("prompt_tokens_details") or {}).get("cached_tokens", 0)
        usage = ChatUsage(counted.get("prompt_tokens", 0), counted.get("completion_tokens", 0), cached)
        finish: Finish = "length" if facts.get("finish") == "length" else "stop"
        uses: tuple[ToolUse, ...] = ()
        if choosing:
            text, uses = _chosen(text)
            finish = "tool_calls" if uses else finish
        return ChatAnswer(text, uses, finish=finish, usage=usage, model=self.name)

    def _chunks(self, document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """What the runner says, piece by piece; it works in a thread of its own, which ends with the reader."""
        said: queue.SimpleQueue[Any] = queue.SimpleQueue()
        left = threading.Event()

        def hear(chunk: Any) -> bool:
            said.put(chunk)
            return left.is_set()

        def work() -> None:
            try:
                self._server.handle_chat_completions(document, hear)
                said.put(None)
            except Exception as error:  # noqa: BLE001 (handed to the reader, whatever it is)
                said.put(error)

        threading.Thread(target=work, name="local-model", daemon=True).start()
        try:
            while (chunk := said.get()) is not None:
                if isinstance(chunk, Exception):
                    raise ChatFailure("invalid_request", _short(str(chunk))) from chunk
                if "error" in chunk:
                    raise _failure(chunk["error"])
                yield chunk
        finally:
            left.set()


def _parameters(runner: Any, path: Path, context: int, parallel: int, threads: int) -> Any:
    parameters = runner.CommonParams()
    parameters.model.path = str(path)
    parameters.n_ctx, parameters.n_parallel = context * parallel, parallel
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = threads
    parameters.use_jinja = True
    parameters.verbosity = -1
    # The runner listens by itself too: on a port that the system chooses, for nobody who has not this key.
    parameters.hostnames, parameters.port, parameters.ui = ["127.0.0.1"], 0, False
    parameters.api_keys = [secrets.token_hex(32)]
    return parameters


def _document(request: ChatRequest, *, choosing: bool) -> dict[str, Any]:
    document: dict[str, Any] = {
        "messages": _messages(request, choosing=choosing),
        "max_tokens": request.max_tokens or DEFAULT_ANSWER_TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    for name in ("temperature", "top_p", "seed"):
        if getattr(request, name) is not None:
            document[name] = getattr(request, name)
    if request.stop:
        document["stop"] = list(request.stop)
    schema = _choice_schema(request) if choosing else {"type": "object"} if request.schema is True else request.schema
    if schema is not None:
        held = {"name": "answer", "strict": True, "schema": schema}
        document["response_format"] = {"type": "json_schema", "json_schema": held}
    return document


def _messages(request: ChatRequest, *, choosing: bool) -> list[dict[str, str]]:
    if any(message.attachments for message in request.messages):
        raise ChatFailure("invalid_request", "The language model on this machine reads text only.")
    system = [message.text for message in request.messages if message.role == "system"]
    if choosing:
        system.append(_instructions(request))
    told = [{"role": "system", "content": "\n".join(system)}] if system else []
    told += [_message(message) for message in request.messages if message.role != "system"]
    if not told or told[-1]["role"] == "system":
        told.append({"role": "user", "content": ""})
    return told


def _message(message: ChatMessage) -> dict[str, str]:
    """A message in the three roles that every template of a chat knows."""
    if message.role == "tool":
        return {"role": "user", "content": f"Result of the tool: {message.text}"}
    if message.tool_uses:
        use = message.tool_uses[0]
        said = json.dumps({"action": use.name, "arguments": dict(use.arguments)}, ensure_ascii=False)
        return {"role": "assistant", "content": said}
    return {"role": message.role, "content": message.text}


_RESPOND: Final = "respond"
_WORDS: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {"action": {"const": _RESPOND}, "text": {"type": "string"}},
    "required": ["action", "text"],
    "additionalProperties": False,
}


def _instructions(request: ChatRequest) -> str:
    lines = ["You can use tools. Answer with one JSON object."]
    lines += [
        f'To use {tool.name}: {{"action": "{tool.name}", "arguments": {{…}}}}. {tool.description}'.rstrip()
        + f" Schema of its arguments: {json.dumps(dict(tool.parameters), ensure_ascii=False)}"
        for tool in _offered(request)
    ]
    if _may_respond(request):
        lines.append(f'To answer without a tool: {{"action": "{_RESPOND}", "text": "…"}}.')
    return "\n".join(lines)


def _choice_schema(request: ChatRequest) -> dict[str, Any]:
    """One branch for each tool, and one for an answer in words, which comes first once a tool has answered."""
    branches: list[dict[str, Any]] = [_branch(tool) for tool in _offered(request)]
    if _may_respond(request):
        answered = request.messages[-1].role == "tool"
        branches = [_WORDS, *branches] if answered else [*branches, _WORDS]
    return branches[0] if len(branches) == 1 else {"anyOf": branches}


def _branch(tool: ToolOffer) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"action": {"const": tool.name}, "arguments": dict(tool.parameters)},
        "required": ["action", "arguments"],
        "additionalProperties": False,
    }


def _offered(request: ChatRequest) -> list[ToolOffer]:
    if request.tool_choice in {"auto", "required"}:
        return list(request.tools)
    named = [tool for tool in request.tools if tool.name == request.tool_choice]
    if not named:
        raise ChatFailure("invalid_request", f"There is no tool {request.tool_choice!r} to choose.")
    return named


def _may_respond(request: ChatRequest) -> bool:
    return request.tool_choice == "auto"


def _was_used(use: ToolUse, request: ChatRequest) -> bool:
    """Whether a tool was used with the same arguments since a user spoke last."""
    for message in reversed(request.messages):
        if message.role == "user":
            return False
        if any(one.name == use.name and one.arguments == use.arguments for one in message.tool_uses):
            return True
    return False


def _chosen(text: str) -> tuple[str, tuple[ToolUse, ...]]:
    """What the model chose; an answer that was cut off in the middle stays text."""
    try:
        said = json.loads(text)
        if said["action"] == _RESPOND:
            return str(said["text"]), ()
        return "", (ToolUse(said["action"], said["arguments"], f"call_{secrets.token_hex(6)}"),)
    except (ValueError, KeyError, TypeError):
        return text, ()


def _failure(error: Mapping[str, Any]) -> ChatFailure:
    if error.get("type") == "exceed_context_size_error":
        return ChatFailure(
            "context_length",
            f"The request has {error.get('n_prompt_tokens')} tokens, and the model reads {error.get('n_ctx')}.",
        )
    server_side = int(error.get("code") or 500) >= 500
    return ChatFailure("server" if server_side else "invalid_request", _short(str(error.get("message"))))


def _short(text: str) -> str:
    return text if len(text) <= 300 else text[:300] + "…"
