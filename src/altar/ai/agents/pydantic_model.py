"""A language model of ours as a model of Pydantic-AI: a script, a recording, or a ``dspy.LM`` that is asked by us.

It is asked in this process, so that there is no address, key or client to look after.
Loaded with Pydantic-AI only.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models import Model, ModelRequestParameters, StreamedResponse
from pydantic_ai.usage import RequestUsage

from altar.ai.agents.pydantic_messages import chat_messages
from altar.ai.lm.chat import ChatAnswer, ChatModel, ChatRequest, ToolOffer, pieces

if TYPE_CHECKING:
    from pydantic_ai.settings import ModelSettings
    from pydantic_ai.tools import ToolDefinition

__all__ = ["OurModel"]


class OurModel(Model):
    """Asks a model of ours; one that takes its time is asked in a thread."""

    def __init__(self, model: ChatModel) -> None:
        super().__init__()
        self._model = model

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self._model.name

    @property
    def system(self) -> str:
        """Who serves it."""
        return "altar"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask once; raises ChatFailure."""
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        answer = await self._answer(self._request(messages, settings, parameters))
        text = [TextPart(answer.text)] if answer.text or not answer.tool_uses else []
        calls = [ToolCallPart(use.name, dict(use.arguments), use.id) for use in answer.tool_uses]
        return ModelResponse(parts=[*text, *calls], usage=_usage(answer), model_name=self.model_name)

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Ask once, and give the text in pieces; raises ChatFailure."""
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        answer = await self._answer(self._request(messages, settings, parameters))
        yield _Pieces(parameters, _answer=answer, _name=self.model_name)

    async def _answer(self, request: ChatRequest) -> ChatAnswer:
        if getattr(self._model, "waits", False):
            return await asyncio.to_thread(self._model.complete, request)
        return self._model.complete(request)

    def _request(self, messages: list[ModelMessage], settings: Any, parameters: ModelRequestParameters) -> ChatRequest:
        parts = self._get_instruction_parts(messages, parameters) or []
        offered = [*parameters.function_tools, *parameters.output_tools]
        asked = settings or {}
        return ChatRequest(
            chat_messages(messages, "\n\n".join(part.content for part in parts)),
            model=self.model_name,
            tools=tuple(_offer(tool) for tool in offered),
            tool_choice="auto" if parameters.allow_text_output or not offered else "required",
            temperature=asked.get("temperature"),
            top_p=asked.get("top_p"),
            max_tokens=asked.get("max_tokens"),
            seed=asked.get("seed"),
        )


@dataclass
class _Pieces(StreamedResponse):
    """An answer that is given piece by piece."""

    _answer: ChatAnswer = field(default_factory=ChatAnswer)
    _name: str = ""
    _made: datetime = field(default_factory=lambda: ModelResponse(parts=[]).timestamp)

    async def _get_event_iterator(self) -> AsyncIterator[Any]:
        for piece in pieces(self._answer.text):
            for event in self._parts_manager.handle_text_delta(vendor_part_id="text", content=piece):
                yield event
        for at, use in enumerate(self._answer.tool_uses):
            yield self._parts_manager.handle_tool_call_part(
                vendor_part_id=at, tool_name=use.name, args=dict(use.arguments), tool_call_id=use.id
            )
        self._usage = _usage(self._answer)

    async def close_stream(self) -> None:
        """Close nothing: the answer is here."""

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self._name

    @property
    def provider_name(self) -> str | None:
        """None: it is nobody's."""
        return None

    @property
    def provider_url(self) -> str | None:
        """None: it has no address."""
        return None

    @property
    def timestamp(self) -> datetime:
        """When it was asked."""
        return self._made


def _offer(tool: ToolDefinition) -> ToolOffer:
    return ToolOffer(tool.name, tool.description or "", tool.parameters_json_schema)


def _usage(answer: ChatAnswer) -> RequestUsage:
    usage = answer.usage
    return RequestUsage(
        input_tokens=usage.input_tokens, output_tokens=usage.output_tokens, cache_read_tokens=usage.cached_tokens
    )
