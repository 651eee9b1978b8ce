# pip install 'altar-ai[dspy,pydantic-ai]'
"""Move an agent from DSPy to Pydantic-AI: the same tools, the same calls, the same answer, by one word."""

from __future__ import annotations

import altar
import altar.ai
from altar.testing import ScriptedLM, ToolUse

STOCK = {"tea": 12, "rice": 3}


@altar.tool(read_only=True)
def in_stock(item: str) -> int:
    """Say how many of an item there are.

    Args:
        item: What is looked for.
    """
    return STOCK[item]


@altar.tool
def order(item: str, pieces: int) -> str:
    """Order more of an item.

    Args:
        item: What is ordered.
        pieces: How many of it.
    """
    return f"{pieces} pieces of {item} are on their way"


# What a language model would say, whichever framework asks it.
SAYS = [
    ToolUse("in_stock", {"item": "rice"}),
    ToolUse("order", {"item": "rice", "pieces": "many"}),
    ToolUse("order", {"item": "rice", "pieces": 20}),
    "There were 3, and 20 are on their way.",
]

with altar.session([in_stock, order], source="later:") as session:
    for framework in ("dspy", "pydantic_ai"):
        keeper = altar.ai.agent(
            model=ScriptedLM(SAYS),
            tools=["in_stock", "order"],
            framework=framework,
            instructions="Keep at least ten of everything.",
            limits=altar.ai.Limits(tool_calls=5),
        )
        result = keeper.run(session, "Is there enough rice?")
        print(result.framework, "-", result.output)
        for call in result.tool_calls:
            print("  ", call.name, dict(call.arguments), call.status, call.code)

# Prints:
# dspy - There were 3, and 20 are on their way.
#    in_stock {'item': 'rice'} success
#    order {'item': 'rice', 'pieces': 'many'} refused INVALID_TOOL_ARGS
#    order {'item': 'rice', 'pieces': 20} success
# pydantic_ai - There were 3, and 20 are on their way.
#    in_stock {'item': 'rice'} success
#    order {'item': 'rice', 'pieces': 'many'} refused INVALID_TOOL_ARGS
#    order {'item': 'rice', 'pieces': 20} success
