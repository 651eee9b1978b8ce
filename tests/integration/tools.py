"""Tools that misbehave in every way we know, declared once and called in every mode."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, field_validator

import altar


@altar.tool(read_only=True, local_dispatch=True)
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@altar.tool(read_only=True, local_dispatch=True)
async def add_async(a: int, b: int = 1) -> int:
    """Add two numbers, in a coroutine."""
    await asyncio.sleep(0)
    return a + b


@altar.tool(local_dispatch=True)
def echo(value: Any) -> Any:
    """Give back what came in."""
    return value


@altar.tool(local_dispatch=True)
def nothing() -> None:
    """Take nothing and return nothing."""


@altar.tool(local_dispatch=True)
def fail(secret: str) -> str:
    """Raise with the secret in the text."""
    raise RuntimeError(f"cannot connect with password {secret}")


@altar.tool(local_dispatch=True)
async def fail_async(secret: str) -> str:
    """Raise with the secret in the text, in a coroutine."""
    await asyncio.sleep(0)
    raise RuntimeError(f"cannot connect with password {secret}")


@altar.tool(local_dispatch=True)
def refuse(city: str) -> str:
    """Say no on purpose, in words meant for the caller."""
    raise altar.ExecutionError(
        "DEPENDENCY_UNAVAILABLE", f"The weather of {city!r} is not known today", hint="ask tomorrow", path="/city"
    )


@altar.tool(local_dispatch=True)
def leave(how: Literal["exit", "interrupt", "generator", "base", "cancel", "timeout"]) -> str:
    """Raise what is no Exception, or what has a meaning of its own in an event loop."""
    raise _LEAVING[how]


@altar.tool(local_dispatch=True)
async def leave_async(how: Literal["exit", "interrupt", "generator", "base", "cancel", "timeout"]) -> str:
    """Raise it in a coroutine."""
    await asyncio.sleep(0)
    raise _LEAVING[how]


@altar.tool
def die() -> str:
    """Take the whole process down."""
    os._exit(7)


@altar.tool(timeout=0.6, local_dispatch=True)
def hang(evidence: str) -> str:
    """Wait until told to go on, which nobody does in time."""
    Path(evidence).write_text("began")
    _wait_for(Path(evidence + ".go"))
    return "late"


@altar.tool(timeout=0.6, local_dispatch=True)
async def hang_async(evidence: str) -> str:
    """Wait for ever, and write down how it was ended."""
    return await _witness(evidence)


@altar.tool(local_dispatch=True)
async def witness(evidence: str) -> str:
    """Wait for ever with the time the caller gives, and write down how it was ended."""
    return await _witness(evidence)


@altar.tool(local_dispatch=True)
async def stubborn(evidence: str) -> str:
    """Refuse to be cancelled once, then return a value."""
    Path(evidence).write_text("began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        Path(evidence).write_text("ignored")
    return "done"


@altar.tool(local_dispatch=True)
def unfit(kind: Literal["nan", "infinity", "socket", "bignum", "bytes_key", "cycle", "surrogate", "deep"]) -> Any:
    """Return what JSON cannot hold."""
    return {"here": _unfit(kind)}


@altar.tool(local_dispatch=True)
def fit(kind: Literal["set", "tuple", "one", "minus_zero", "none", "bytes", "enum", "empty"]) -> Any:
    """Return what JSON holds in another form."""
    values: dict[str, Any] = {
        "set": {3, 1, 2},
        "tuple": (1, (2, 3)),
        "one": 1.0,
        "minus_zero": -0.0,
        "none": None,
        "bytes": b"altar",
        "enum": altar.ResultStatus.SUCCESS,
        "empty": {},
    }
    return values[kind]


@altar.tool(local_dispatch=True)
def breaks_its_promise() -> int:
    """Return text where a number was promised."""
    return "seven"  # type: ignore[return-value]  # the point of it


@altar.tool(local_dispatch=True)
def mutate(items: list[int], options: dict[str, list[int]]) -> dict[str, Any]:
    """Change what came in."""
    items.append(99)
    options["more"] = items
    options.setdefault("list", []).clear()
    return {"items": items, "options": options}


@altar.tool(read_only=True, local_dispatch=True)
def length(text: str) -> int:
    """The number of characters."""
    return len(text)


@altar.tool(local_dispatch=True)
def repeat(text: str, times: int) -> str:
    """Text, many times over."""
    return text * times


@dataclass
class Point:
    """A point."""

    x: int
    y: int = 0


class Order(BaseModel):
    """An order, with rules of its own."""

    item: str = Field(min_length=1)
    count: int = Field(gt=0)

    @field_validator("item")
    @classmethod
    def not_forbidden(cls, item: str) -> str:
        if item == "forbidden":
            raise ValueError("that is not for sale")
        return item


@altar.tool(local_dispatch=True)
def move(point: Point, by: Point) -> Point:
    """Move a point."""
    assert isinstance(point, Point)
    return Point(point.x + by.x, point.y + by.y)


@altar.tool(local_dispatch=True)
async def order(orders: list[Order], notes: dict[str, Point] | None = None) -> list[Order]:
    """Double what is ordered."""
    assert all(isinstance(one, Order) for one in orders)
    return [Order(item=one.item, count=2 * one.count) for one in orders]


# ------------------------------------------------------------------------------------------ for the grid's own tests


@altar.tool(read_only=True)
def held(directory: str, name: str) -> str:
    """Say who runs it, then wait until told to go on; may be run again."""
    return _hold(Path(directory), name)


@altar.tool
def held_once(directory: str, name: str) -> str:
    """Say who runs it, then wait until told to go on; must not be run again."""
    return _hold(Path(directory), name)


@altar.tool
async def at_once(directory: str, name: str) -> int:
    """How many calls of this run in this process at this moment, when all that come are there."""
    global _running  # noqa: PLW0603 - what is measured
    _running += 1
    try:
        (Path(directory) / f"{name}.{os.getpid()}.{_running}").touch()
        while not (Path(directory) / "go").exists():  # noqa: ASYNC110 - another process makes it
            await asyncio.sleep(0.01)
        return os.getpid()
    finally:
        _running -= 1


_running = 0
_LEAVING: dict[str, BaseException] = {
    "exit": SystemExit(3),
    "interrupt": KeyboardInterrupt(),
    "generator": GeneratorExit(),
    "base": BaseException("mine"),
    "cancel": asyncio.CancelledError(),
    "timeout": TimeoutError("mine"),
}


async def _witness(evidence: str) -> str:
    Path(evidence).write_text("began")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        Path(evidence).write_text("cancelled")
        raise
    return "never"


def _hold(directory: Path, name: str) -> str:
    (directory / f"{name}.{os.getpid()}").touch()
    _wait_for(directory / "go")
    return name


def _wait_for(file: Path) -> None:
    pause = threading.Event()
    until = time.monotonic() + 20
    while not file.exists() and time.monotonic() < until:
        pause.wait(0.01)


def _unfit(kind: str) -> Any:
    if kind == "socket":
        with contextlib.closing(socket.socket()) as opened:
            return opened
    if kind == "cycle":
        cycle: list[Any] = []
        cycle.append(cycle)
        return cycle
    if kind == "deep":
        deep: Any = 0
        for _ in range(200):
            deep = [deep]
        return deep
    others = {
        "nan": float("nan"),
        "infinity": float("inf"),
        "bignum": 2**70,
        "bytes_key": {(1, 2): 1},
        "surrogate": "\ud800",
    }
    return others[kind]
