"""What the long-running commands share: logs for machines, a loop that ends in order, and a word when ready.

A process that was started by another (`altar up`, the demo, a test) is tied to it by its standard input:
when that closes, for whatever reason, the process leaves. So nothing is left behind, not even after kill -9.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import click

from altar.cli import output

__all__ = ["announce", "log_to_stderr", "run_until_told", "tied_option", "wall_ms"]

tied_option = click.option("--tied", is_flag=True, help="Leave when standard input is closed.")
"""For processes that another process starts."""

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def log_to_stderr(level: int = logging.INFO) -> None:
    """Write the log of this process to stderr, one JSON object a line: a fixed phrase and facts as keys."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines())
    logger = logging.getLogger("altar")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def announce(facts: dict[str, Any]) -> None:
    """Say that the process is ready: one JSON object on stdout, when the handshake is done and not before."""
    output.data({"ready": True, **facts}, as_json=True)


def run_until_told(start: Callable[[asyncio.Event], Coroutine[Any, Any, None]], *, tied: bool) -> None:
    """Run ``start(leave)`` until it ends; ``leave`` is set by SIGTERM, SIGINT, or a closed standard input."""

    async def main() -> None:
        leave = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, leave.set)
        if tied:
            watcher = threading.Thread(target=_wait_for_end_of_input, args=(loop, leave), daemon=True)
            watcher.start()
        await start(leave)

    import uvloop

    uvloop.run(main())


def wall_ms() -> int:
    """Milliseconds since 1970, for records that people compare with their clocks."""
    return time.time_ns() // 1_000_000


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, leave: asyncio.Event) -> None:
    # Not through sys.stdin: its lock, held by this thread, would abort the interpreter when it ends first.
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(leave.set)


class _JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        facts = {key: value for key, value in record.__dict__.items() if key not in _PLAIN}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "log": record.getMessage(),
            **facts,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
