"""Tools that are not in any manifest: a runtime registers them."""

from __future__ import annotations

import altar


@altar.tool(read_only=True, version="1.2.0")
def greet(name: str) -> str:
    """Greet somebody."""
    return f"hello {name}"


@altar.tool
def double(n: int) -> int:
    """Double a number."""
    return 2 * n
