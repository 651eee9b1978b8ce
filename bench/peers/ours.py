"""ALTAR: a session that is open, called by name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import altar
from bench.peers import Functions, Ways
from bench.tools import Given, probe, probe_sync

TITLE = "ALTAR"
NAME = "altar-ai"


@asynccontextmanager
async def calls() -> AsyncIterator[Ways]:
    async with altar.session(tools=[probe.name], source="later:") as session:
        with altar.session(tools=[probe_sync.name], source="later:") as front:

            async def awaited(arguments: Given) -> object:
                return (await session.call("probe", **arguments)).unwrap()

            async def through_the_front(arguments: Given) -> object:
                return front.call("probe_sync", **arguments).unwrap()

            yield {"ALTAR, async": awaited, "ALTAR, sync front": through_the_front}


def declare(functions: Functions) -> None:
    for function in functions:
        altar.tool(function, register=False)
