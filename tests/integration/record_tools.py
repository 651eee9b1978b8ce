"""Tools that put events of their own into the record."""

from __future__ import annotations

import altar
from altar.later.context import ToolContext


@altar.tool
async def record_awaited(context: ToolContext, order: str) -> str:
    """Record that an order was paid."""
    await context.record("order.paid", {"order": order, "amount": 12.5, "card_token": "4111"})
    return "recorded"


@altar.tool
def record_plainly(context: ToolContext, order: str) -> str:
    """Record that an order was sent."""
    context.sync_record("order.sent", {"order": order})
    return "recorded"


@altar.tool
def record_wrongly(context: ToolContext) -> str:
    """Record under a name that is none."""
    context.sync_record("Order Paid")
    return "never"
