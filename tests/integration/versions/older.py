"""A tool in the versions that one team still serves."""

from __future__ import annotations

import altar


@altar.tool(name="quote", version="1.0.0", read_only=True, deprecated=True)
def quote_first(article: str) -> dict[str, str]:
    """Say what an article costs."""
    return {"article": article, "by": "1.0.0"}


@altar.tool(name="quote", version="1.4.0+build.7", read_only=True)
def quote(article: str, count: int = 1) -> dict[str, str]:
    """Say what some articles cost."""
    return {"article": article, "by": "1.4.0", "count": str(count)}
