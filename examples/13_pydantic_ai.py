# pip install 'altar-ai[pydantic-ai]'
"""Give the tools of a session to an agent of Pydantic-AI: a wrong argument comes back in words, and is corrected."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from pydantic_ai import Agent
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider

import altar
from altar.adapters.pydantic_ai import to_pydantic_ai
from altar.testing import ScriptedLM, ToolUse


@altar.tool(read_only=True)
def in_stock(item: str, shelf: Annotated[int, Field(ge=1, le=9)] = 1) -> int:
    """Say how many of an item there are.

    Args:
        item: What is looked for.
        shelf: Where it stands.
    """
    return 12 if (item, shelf) == ("tea", 2) else 0


# A script stands for a language model here; any model of Pydantic-AI takes its place.
script = ScriptedLM(
    [
        ToolUse("in_stock", {"item": "tea", "shelf": 20}),
        ToolUse("in_stock", {"item": "tea", "shelf": 2}),
        "There are 12 packets of tea.",
    ]
)

with script.serve() as server, altar.session() as session:
    model = OpenAIChatModel("scripted", provider=OpenAIProvider(base_url=server.base_url, api_key="none"))
    agent = Agent(model, toolsets=[to_pydantic_ai(session)])

    result = agent.run_sync("How much tea is there?")

    for message in result.all_messages():
        for part in message.parts:
            if part.part_kind == "tool-return":
                print(part.outcome, "-", part.content)
    print(result.output)

# Prints:
# retried - Argument `shelf` is 20 but must be at most 9 (INVALID_TOOL_ARGS)
# hint: in_stock(item: string, shelf: integer = 1)
# success - 12
# There are 12 packets of tea.
