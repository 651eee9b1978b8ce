"""The functions that are measured: five typed arguments, next to no work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import altar

Given = dict[str, Any]
"""The arguments of a call, by name."""

ARGUMENTS: Given = {
    "query": "hello world of tools " * 4,
    "limit": 10,
    "threshold": 0.75,
    "tags": ["a", "b", "c"],
    "deep": True,
}

ANSWER = {"score": 7.5, "tags": 3, "length": 84, "deep": True}
"""What the probe answers to them."""

WRONG: Given = ARGUMENTS | {"limit": "many"}
"""Arguments that the types forbid."""

Answer = dict[str, float | int | bool]


async def plain_probe(
    query: str, limit: int, threshold: float = 0.5, tags: list[str] | None = None, *, deep: bool = False
) -> Answer:
    """Answer at once."""
    return {"score": limit * threshold, "tags": len(tags or []), "length": len(query), "deep": deep}


def plain_probe_sync(
    query: str, limit: int, threshold: float = 0.5, tags: list[str] | None = None, *, deep: bool = False
) -> Answer:
    """Answer at once."""
    return {"score": limit * threshold, "tags": len(tags or []), "length": len(query), "deep": deep}


async def plain_echo(text: str) -> str:
    """Give the text back."""
    return text


async def plain_mirror(data: bytes) -> bytes:
    """Give the bytes back."""
    return data


async def plain_ticks(count: int) -> AsyncIterator[int]:
    """Count, one number after the other."""
    for number in range(count):
        yield number


probe = altar.tool(plain_probe, name="probe", idempotent=True)
probe_read = altar.tool(plain_probe, name="probe_read", read_only=True)
echo = altar.tool(plain_echo, name="echo", idempotent=True)
mirror = altar.tool(plain_mirror, name="mirror", idempotent=True)
ticks = altar.tool(plain_ticks, name="ticks", idempotent=True)
tick = altar.tool(plain_ticks, name="tick", idempotent=True)
probe_sync = altar.tool(plain_probe_sync, name="probe_sync", idempotent=True)

GIVEN: dict[str, Given] = {
    "echo": {"text": "x" * 65_536},
    "mirror": {"data": bytes(65_536)},
    "ticks": {"count": 1_000_000_000},
    "tick": {"count": 1},
}
"""The arguments of the tools that take others than the probe."""
