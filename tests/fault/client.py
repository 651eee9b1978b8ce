"""A client in a process of its own that keeps calls in flight, whatever happens, and writes down each answer.

Started with one argument, a JSON object: ``source`` and ``options`` of the grid, the file ``acked``, how many calls
are in ``flight``, what each key begins with, ``name``, and the ``kinds`` of calls that are made in turn.
Each answer is a line of that file, synced before the next call is made.

- ``once``, ``values`` (a stream), ``nest`` (calls a tool itself) and ``local`` (runs in this process where the options
  of the grid say so) are never repeated;
- ``again`` is, under a new call id and the next attempt number;
- ``keyed`` is `once` under an idempotency key, which is repeated as it was, under the same key.

It leaves when its standard input is closed.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from altar.adm.call import FunctionCall, ToolResult
from altar.adm.errors import AltarError
from altar.later.session import Options, Session

ATTEMPTS = 4
"""How often the client itself tries a key of the idempotent tool, or an idempotency key."""
REPEATED = frozenset({"again", "keyed"})
"""Kinds of calls that are tried again."""


async def main(given: dict[str, Any]) -> None:
    """Call until told to leave; what is in flight then is still answered and written down."""
    leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    threading.Thread(target=_wait_for_end_of_input, args=(loop, leave), daemon=True).start()
    numbers = itertools.count(1)
    write = _appender(given["acked"])
    if given["options"].get("execution_mode"):
        from tests.fault import witness_tools

        assert witness_tools.local.name == "local", "what runs here has to be declared here"
    options = Options(
        source=given["source"], timeout=timedelta(seconds=given["timeout"]), source_options=given["options"]
    )
    async with Session(options) as session, asyncio.TaskGroup() as group:
        for _ in range(given["flight"]):
            group.create_task(_work(session, numbers, write, leave, given))


async def _work(
    session: Session,
    numbers: Iterator[int],
    write: Callable[[dict[str, Any]], None],
    leave: asyncio.Event,
    given: dict[str, Any],
) -> None:
    while not leave.is_set():
        number = next(numbers)
        key, kind = f"{given['name']}{number}", given["kinds"][number % len(given["kinds"])]
        for trial in range(1, ATTEMPTS + 1 if kind in REPEATED else 2):
            attempt = trial if kind == "again" else 1
            result = await CALLS.get(kind, _plain)(session, kind, key, attempt)
            write(_testimony(result, key, attempt))
            if result.error is None or leave.is_set():
                break


async def _plain(session: Session, kind: str, key: str, attempt: int) -> ToolResult:
    return await session.call(FunctionCall(f"{key}.{attempt}", kind, {"key": key, "attempt": attempt}))


async def _keyed(session: Session, _kind: str, key: str, attempt: int) -> ToolResult:
    return await session.options(idempotency_key=key).call("once", key=key, attempt=attempt)


async def _streamed(session: Session, kind: str, key: str, attempt: int) -> ToolResult:
    call = FunctionCall(f"{key}.{attempt}", kind, {"key": key, "attempt": attempt})
    try:
        async with session.stream(call) as stream:
            values = [value async for value in stream]
    except AltarError as failed:
        return ToolResult.failure(call, failed)
    return ToolResult.success(call, values)


CALLS = {"keyed": _keyed, "values": _streamed}
"""How a kind of call is made where it is not made like any other."""


def _testimony(result: ToolResult, key: str, attempt: int) -> dict[str, Any]:
    error = result.error
    return {
        "call": result.call_id,
        "tool": result.name,
        "key": key,
        "attempt": attempt,
        "status": str(result.status),
        "code": "" if error is None else error.type,
        "ran": "yes" if error is None else error.ran,
        "message": "" if error is None else error.message,
        "content": result.content,
    }


def _appender(path: str) -> Callable[[dict[str, Any]], None]:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(line: dict[str, Any]) -> None:
        os.write(file, json.dumps(line).encode() + b"\n")
        os.fsync(file)

    return write


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, leave: asyncio.Event) -> None:
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(leave.set)


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
