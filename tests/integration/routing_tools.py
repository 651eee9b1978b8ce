"""Tools that say where they run and what they remember."""

from __future__ import annotations

import asyncio
import os
from collections import Counter

import altar

_COUNTS: Counter[str] = Counter()


@altar.tool(read_only=True)
def where() -> int:
    """Say which process this is."""
    return os.getpid()


@altar.tool(requires={"hardware": "gpu"}, read_only=True)
async def train(seconds: float = 0.0) -> int:
    """Say which process this is, one with the right hardware."""
    await asyncio.sleep(seconds)
    return os.getpid()


@altar.tool(requires={"hardware": "abacus"}, read_only=True)
def calculate() -> int:
    """Run where nobody is."""
    return 0


@altar.tool(stateful=True)
def count_here(what: str) -> list[int]:
    """Count, and say which process counted."""
    _COUNTS[what] += 1
    return [_COUNTS[what], os.getpid()]


@altar.tool(name="charge", version="1.0.0")
def charge_as_ever() -> str:
    """Charge."""
    return "1.0.0"


@altar.tool(version="1.1.0")
def charge() -> str:
    """Charge, in a new way."""
    return "1.1.0"
