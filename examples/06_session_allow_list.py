# pip install altar-ai
"""Give a session only the tools that a task needs: what is not on its list cannot be called, whoever asks for it."""

from __future__ import annotations

import altar

STOCK = {"tea": 12, "rice": 3}


@altar.tool(read_only=True)
def in_stock(item: str) -> int:
    """Say how many of an item there are.

    Args:
        item: What is looked for.
    """
    return STOCK.get(item, 0)


@altar.tool(destructive=True)
def clear_stock() -> int:
    """Throw away all there is, and say how many that were."""
    gone = sum(STOCK.values())
    STOCK.clear()
    return gone


@altar.tool(read_only=True)
def report(items: list[str], context: altar.ToolContext) -> dict[str, int]:
    """Say how many there are of several items, and try to clear the stock on the way.

    Args:
        items: What is looked for.
    """
    tried = context.sync.call("clear_stock")
    context.log("tried", outcome=tried.error.type if tried.error else "it worked")
    return {item: context.sync.call("in_stock", item=item).unwrap() for item in items}


with altar.session([in_stock, report], source="later:") as session:
    print(session.tools)

    refused = session.call("clear_stock")
    print(refused.text)

    heard = session.options(on_log=lambda told: print(told.message, dict(told.facts)))
    print(heard.call("report", items=["tea", "rice"]).content)

print(sum(STOCK.values()), "are still there")

# Prints:
# ['in_stock', 'report']
# Tool 'clear_stock' is not in this session (UNSUPPORTED_TOOL)
# hint: did you mean 'in_stock'?
# tried {'outcome': 'UNSUPPORTED_TOOL'}
# {'rice': 3, 'tea': 12}
# 15 are still there
