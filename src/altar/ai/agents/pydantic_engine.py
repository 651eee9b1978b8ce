"""A model of Pydantic-AI as a ``dspy.LM``: DSPy's requests become its messages, and its responses DSPy's answers.

Loaded where both frameworks are there.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition

from altar.ai.agents.pydantic_messages import pydantic_messages, said, uses
from altar.ai.lm.chat import ChatAnswer, ChatRequest, ChatUsage
from altar.ai.lm.engine import AsyncChatEngine, ChatEngine, request_of, response_of, streaming_events
from altar.later.extras import loaded

__all__ = ["pydantic_lm"]


def pydantic_lm(model: Any, **settings: Any) -> Any:
    """A ``dspy.LM`` that asks a model of Pydantic-AI; ``settings`` are those of ``dspy.LM``."""
    dspy = loaded("dspy", extra="dspy", what="A language model for DSPy")
    asked = _Asked(model)
    engine = ChatEngine(asked)
    settings.setdefault("cache", False)
    return dspy.LM(f"altar/{asked.name}", engine=engine, async_engine=_Engine(engine, asked), num_retries=0, **settings)


class _Asked:
    """The model as one of ours, for who awaits it and for who waits."""

    waits = True

    def __init__(self, model: Any) -> None:
        self._model = model
        self.name = str(model.model_name)

    def complete(self, request: ChatRequest) -> ChatAnswer:
        """Ask in an event loop of this thread's own; for programs that have none."""
        return asyncio.run(self.ask(request))

    async def ask(self, request: ChatRequest) -> ChatAnswer:
        """Ask once."""
        system = request.system
        messages = pydantic_messages(message for message in request.messages if message.role != "system")
        if system and messages:
            messages[-1].instructions = system
        parameters = ModelRequestParameters(
            function_tools=[
                ToolDefinition(
                    name=tool.name, description=tool.description, parameters_json_schema=dict(tool.parameters)
                )
                for tool in request.tools
            ],
            allow_text_output=request.tool_choice != "required",
        )
        asked = {name: getattr(request, name) for name in ("temperature", "top_p", "max_tokens", "seed")}
        settings = ModelSettings(**{name: value for name, value in asked.items() if value is not None})
        response = await self._model.request(messages, settings, parameters)
        usage = response.usage
        called = uses(response)
        return ChatAnswer(
            said(response),
            called,
            finish="tool_calls" if called else "stop",
            usage=ChatUsage(usage.input_tokens, usage.output_tokens, usage.cache_read_tokens),
            model=self.name,
        )


class _Engine(AsyncChatEngine):
    """The engine for coroutines, which asks in their event loop."""

    def __init__(self, engine: ChatEngine, model: _Asked) -> None:
        super().__init__(engine)
        self._asked = model
        self._lm15 = loaded("dspy.lm15", extra="dspy", what="A language model for DSPy")

    async def complete(self, request: Any) -> Any:
        """Answer one request of DSPy."""
        return response_of(await self._asked.ask(request_of(request)), self._lm15, name=self._asked.name)

    async def stream(self, request: Any) -> AsyncIterator[Any]:
        """Answer one request of DSPy, in one piece."""
        answer = await self._asked.ask(request_of(request))
        for event in streaming_events(answer, self._lm15, name=self._asked.name):
            yield event
