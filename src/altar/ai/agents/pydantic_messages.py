"""Messages of Pydantic-AI as ours, and ours as messages of Pydantic-AI.

Ours keep what was said, asked for and answered, and that alone: thoughts and identifiers of a provider are left behind
when a conversation is remembered, so that it can go on in another framework.
Loaded with Pydantic-AI only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import (
    ModelMessage,
    ModelRequest,
    ModelResponse,
    RetryFeedbackPart,
    SystemPromptPart,
    TextPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)

from altar.ai.lm.chat import ChatMessage, ToolUse

if TYPE_CHECKING:
    from pydantic_ai.usage import RequestUsage

__all__ = ["chat_messages", "pydantic_messages", "said", "taken", "told_of", "uses"]


def pydantic_messages(messages: Iterable[ChatMessage]) -> list[ModelMessage]:
    """A conversation as its history; answers of tools that follow on each other are one request."""
    made: list[ModelMessage] = []
    names: dict[str, str] = {}
    for message in messages:
        if message.role == "assistant":
            text = [TextPart(message.text)] if message.text or not message.tool_uses else []
            calls = [ToolCallPart(use.name, dict(use.arguments), use.id) for use in message.tool_uses]
            names |= {use.id: use.name for use in message.tool_uses}
            made.append(ModelResponse(parts=[*text, *calls]))
            continue
        part: Any = UserPromptPart(message.text)
        if message.role == "tool":
            part = ToolReturnPart(names.get(message.answers, ""), message.text, message.answers)
        if message.role == "system":
            part = SystemPromptPart(message.text)
        if made and isinstance(made[-1], ModelRequest):
            made[-1].parts = [*made[-1].parts, part]
        else:
            made.append(ModelRequest(parts=[part]))
    return made


def chat_messages(messages: Sequence[ModelMessage], instructions: str = "") -> tuple[ChatMessage, ...]:
    """What a model is asked, in our messages; ``instructions`` are the first."""
    system = [ChatMessage("system", instructions)] if instructions else []
    return (*system, *(one for message in messages for one in _chat(message)))


def said(response: ModelResponse) -> str:
    """The text of a response."""
    return "".join(part.content for part in response.parts if isinstance(part, TextPart))


def uses(response: ModelResponse) -> tuple[ToolUse, ...]:
    """The tools that a response wants, each with its id; arguments that are no object are none."""
    return tuple(
        ToolUse(part.tool_name, _arguments(part), part.tool_call_id)
        for part in response.parts
        if isinstance(part, ToolCallPart)
    )


def told_of(part: ToolReturnPart) -> str:
    """What a model is told of a call, as text."""
    return str(part.model_response_str(wrap_if_error=False))


def taken(usage: RequestUsage) -> dict[str, int | float]:
    """What a request took, by our names."""
    return {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cache_read_tokens,
    }


def _arguments(part: ToolCallPart) -> dict[str, Any]:
    try:
        return dict(part.args_as_dict())
    except (ValueError, AssertionError):
        return {}


def _chat(message: ModelMessage) -> Iterator[ChatMessage]:
    if isinstance(message, ModelResponse):
        if (text := said(message)) or uses(message):
            yield ChatMessage("assistant", text, uses(message))
        return
    for part in message.parts:
        if isinstance(part, ToolReturnPart):
            yield ChatMessage("tool", told_of(part), answers=part.tool_call_id)
        elif isinstance(part, SystemPromptPart):
            yield ChatMessage("system", part.content)
        elif isinstance(part, RetryFeedbackPart | UserPromptPart):
            yield ChatMessage("user", _text(part.content))


def _text(content: Any) -> str:
    """The texts of a prompt; what is no text is not for a model of ours."""
    if isinstance(content, str):
        return content
    return "\n".join(str(getattr(each, "content", each)) for each in content)
