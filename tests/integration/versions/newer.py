"""The same tool, as another team serves it."""

from __future__ import annotations

import altar


@altar.tool(name="quote", version="2.0.0", read_only=True)
async def quote(items: list[str]) -> dict[str, str]:
    """Say what a list of articles costs."""
    return {"article": ",".join(items), "by": "2.0.0"}


@altar.tool(name="quote", version="3.0.0-rc.1", read_only=True)
def quote_early(items: list[str], currency: str = "EUR") -> dict[str, str]:
    """Say what a list of articles costs, in a currency."""
    return {"article": ",".join(items), "by": "3.0.0-rc.1", "currency": currency}
