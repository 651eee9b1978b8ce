"""Tools that testify, and tools that wait.

Each run of a tool that takes a ``key`` is written down, durably, before anything is answered.
The file is named by the environment variable ``FAULT_RAN``; a line is ``key attempt pid``.
A run of ``held`` or ``held_once`` is the file ``<name>.<pid>``; it ends when there is a file ``<name>.go``.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path

import altar
from altar.testing import until

STREAMED = 5
"""Values of one stream."""


@altar.tool(idempotent=True)
def again(key: str, attempt: int) -> dict[str, str | int]:
    """Write down that it ran; may be run again."""
    return _testify(key, attempt)


@altar.tool
def once(key: str, attempt: int) -> dict[str, str | int]:
    """Write down that it ran; must not be run again."""
    return _testify(key, attempt)


@altar.tool
def values(key: str, attempt: int) -> Iterator[int]:
    """Write down that it ran, then give values one by one; must not be run again."""
    _testify(key, attempt)
    for number in range(STREAMED):
        yield number
        threading.Event().wait(0.002)


@altar.tool
def nest(key: str, attempt: int, context: altar.ToolContext) -> dict[str, str | int]:
    """Write down that it ran, then call `once` under a key of its own; must not be run again."""
    testimony = _testify(key, attempt)
    context.sync.call("once", key=f"{key}.in", attempt=attempt).unwrap()
    return testimony


@altar.tool(local_dispatch=True)
def local(key: str, attempt: int) -> dict[str, str | int]:
    """Write down that it ran, wherever that was; must not be run again."""
    return _testify(key, attempt)


@altar.tool(idempotent=True)
def held(directory: str, name: str) -> str:
    """Say who runs it, then wait until told to go on; may be run again."""
    return _hold(Path(directory), name)


@altar.tool
def held_once(directory: str, name: str) -> str:
    """Say who runs it, then wait until told to go on; must not be run again."""
    return _hold(Path(directory), name)


def _hold(directory: Path, name: str) -> str:
    (directory / f"{name}.{os.getpid()}").touch()
    until((directory / f"{name}.go").exists, what=f"the word for {name}")
    return name


def _testify(key: str, attempt: int) -> dict[str, str | int]:
    file = os.open(os.environ["FAULT_RAN"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(file, f"{key} {attempt} {os.getpid()}\n".encode())
        os.fsync(file)
    finally:
        os.close(file)
    # Up to 30 ms between the deed and its answer, different for each key: that is where a kill hurts most.
    threading.Event().wait(zlib.crc32(key.encode()) % 31 / 1000)
    return {"attempt": attempt, "key": key, "pid": os.getpid()}
