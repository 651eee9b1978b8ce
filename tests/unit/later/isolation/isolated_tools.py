"""Tools that run in processes of their own, for the tests of isolation."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import altar
from altar.later.context import ToolContext
from altar.later.isolation import processes

isolated = functools.partial(altar.tool, isolate="process", register=False)


@isolated
def process() -> int:
    """The process that runs this."""
    return os.getpid()


@isolated
def shout(words: list[str], times: int = 1) -> dict[str, list[str]]:
    """Say it louder."""
    return {"said": [word.upper() for word in words] * times}


@isolated
def spin(began: str = "") -> bool:
    """Never end, and let no other thread run: the pattern holds the interpreter."""
    if began:
        Path(began).write_text(str(os.getpid()))
    return re.match(r"(a+)+$", "a" * 60 + "b") is None


@isolated
def with_a_child(began: str) -> None:
    """Start a process and never end."""
    child = subprocess.Popen(["sleep", "1000"])
    Path(began).write_text(str(child.pid))
    re.match(r"(a+)+$", "a" * 60 + "b")


@isolated
def end(how: str) -> None:
    """End the process in one of several ways."""
    if how == "exit":
        os._exit(7)
    os.kill(os.getpid(), getattr(signal, how))


@isolated
def fail(how: str) -> Any:
    """Raise or return what makes a call fail."""
    if how == "exit":
        sys.exit(3)
    if how == "interrupt":
        raise KeyboardInterrupt
    if how == "denied":
        raise altar.AuthorizationError("PERMISSION_DENIED", "not for you", hint="ask", ran="no")
    if how == "function":
        return fail
    raise ValueError("the secret")


@isolated
async def meddle(how: str) -> int:
    """Do to the event loop what a guest should not."""
    loop = asyncio.get_running_loop()
    if how == "stop":
        loop.stop()
        await asyncio.sleep(60)

    async def stay() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(60)

    _kept.append(loop.create_task(stay()))
    await asyncio.sleep(0)
    return 1


_kept: list[asyncio.Task[None]] = []


@isolated
async def doubled(number: int, after: float = 0) -> int:
    """Twice."""
    await asyncio.sleep(after)
    return 2 * number


@isolated
def talk() -> None:
    """Print and log."""
    print("printed by the tool")
    logging.getLogger("shop").warning("sold %s", "out", extra={"article": "tea"})


@isolated
def nested() -> str:
    """Call an isolated tool from an isolated tool."""
    tool = altar.tool(shout.function, name="shout_again", isolate="process")
    with altar.session([tool.name], source="later:") as session:
        error = session.call(tool, words=["a"]).error
    return "" if error is None else f"{error.type} {error.message}"


@altar.tool(register=False)
def here() -> int:
    """The process that runs this, which is the caller's."""
    return os.getpid()


class Shop:
    """Holds methods that are no functions of the module."""

    @staticmethod
    @isolated
    def price(article: str) -> int:
        """Say what it costs."""
        return len(article)

    def stock(self, article: str) -> int:
        """Say how much there is."""
        return len(article)


bound = isolated(Shop().stock)
partial = isolated(functools.partial(shout.function, times=2), name="partial")


def plain(number: int) -> int:
    """Once more."""
    return number + 1


plainly = isolated(plain, name="plus_one")


@isolated
def count(upto: int, closed: str = "") -> Iterator[int]:
    """Count up; says when it is closed."""
    try:
        yield from range(upto)
    finally:
        if closed:
            Path(closed).write_text(str(os.getpid()))


@isolated
async def count_slowly(upto: int, crash_at: int = -1) -> AsyncIterator[int]:
    """Count up, and crash on the way."""
    for number in range(upto):
        if number == crash_at:
            os._exit(9)
        await asyncio.sleep(0)
        yield number


@isolated
def stubborn(began: str) -> Iterator[str]:
    """Never end the second step."""
    yield "first"
    Path(began).write_text(str(os.getpid()))
    re.match(r"(a+)+$", "a" * 60 + "b")
    yield "second"


@isolated
def reports(steps: int, context: ToolContext) -> dict[str, str]:
    """Tell the caller how far it is."""
    for step in range(steps):
        context.progress(step + 1, steps, "on the way")
    context.log("done", steps=steps)
    return {"call": context.call_id, "principal": context.principal, "left": str(context.deadline is not None)}


@isolated
async def calls(context: ToolContext) -> str:
    """Try to call another tool."""
    try:
        await context.call("process")
    except altar.AltarError as refused:
        return refused.code
    return "called"


if processes.in_child() and "ALTAR_TEST_REFUSE_IMPORT" in os.environ:
    raise RuntimeError("not here")
