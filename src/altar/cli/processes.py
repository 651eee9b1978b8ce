"""What the long-running commands share: logs for machines, a loop that ends in order, and a word when ready.

A process that was started by another (`altar up`, the demo, a test) is tied to it by its standard input:
when that closes, for whatever reason, the process leaves. So nothing is left behind, not even after kill -9.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

import click

from altar.cli import output

__all__ = ["announce", "log_to_stderr", "run_until_told", "tied_option", "wall_ms"]

tied_option = click.option("--tied", is_flag=True, help="Leave when standard input is closed.")
"""For processes that another process starts."""

_STARTED_SECONDS = 1.0
_NEW_OBJECTS = 10_000

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


def log_to_stderr(level: int = logging.INFO, *, facts: Mapping[str, Any] | None = None) -> None:
    """Write the log of this process to stderr, one JSON object a line: a fixed phrase and facts as keys.

    ``facts`` are keys that every line has, such as the number of a worker.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonLines(facts or {}))
    logging.getLogger().addHandler(handler)  # what others have to say, from a warning on
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash
    threading.excepthook = _log_crash_of_thread
    logger = logging.getLogger("altar")
    logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def announce(facts: dict[str, Any]) -> None:
    """Say that the process is ready: one JSON object on stdout, when the handshake is done and not before."""
    output.data({"ready": True, **facts}, as_json=True)


def run_until_told(
    start: Callable[[asyncio.Event], Coroutine[Any, Any, None]],
    *,
    tied: bool,
    twice: Callable[[], None] | None = None,
    patience: float | None = None,
) -> None:
    """Run ``start(leave)`` until it ends; ``leave`` is set by SIGTERM, SIGINT, or a closed standard input.

    ``twice`` is called at each further signal, for a process that need not end in order.
    A tied process ends ``patience`` seconds after its standard input whatever holds it up, such as a loop that is
    blocked; None lets it take its time.
    """

    async def main() -> None:
        leave = asyncio.Event()
        loop = asyncio.get_running_loop()
        told = False

        def tell() -> None:
            nonlocal told
            if told and twice is not None:
                twice()
            told = True
            leave.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, tell)
        if tied:
            watcher = threading.Thread(target=_wait_for_end_of_input, args=(loop, leave, patience), daemon=True)
            watcher.start()
        loop.call_later(_STARTED_SECONDS, _spare_what_stays)
        await start(leave)

    import uvloop

    uvloop.run(main())


def wall_ms() -> int:
    """Milliseconds since 1970, for records that people compare with their clocks."""
    return time.time_ns() // 1_000_000


def _spare_what_stays() -> None:
    """Never look again for garbage among what was loaded at the start: that would hold up each call by tens of ms.

    What is new is looked at less often, because a call leaves next to nothing that only the collector can free.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_NEW_OBJECTS, *gc.get_threshold()[1:])


def _wait_for_end_of_input(loop: asyncio.AbstractEventLoop, leave: asyncio.Event, patience: float | None) -> None:
    # Not through sys.stdin: its lock, held by this thread, would abort the interpreter when it ends first.
    while os.read(0, 4096):
        pass
    loop.call_soon_threadsafe(leave.set)
    if patience is not None:
        time.sleep(patience)
        os._exit(output.FAILED)  # nobody else is there to do it


def _log_crash(kind: type[BaseException], raised: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("altar").critical("process failed", exc_info=(kind, raised, trace))


def _log_crash_of_thread(failed: threading.ExceptHookArgs) -> None:
    thread = failed.thread.name if failed.thread is not None else ""
    logging.getLogger("altar").error("thread failed", exc_info=failed.exc_value, extra={"of_thread": thread})


class _JsonLines(logging.Formatter):
    def __init__(self, facts: Mapping[str, Any]) -> None:
        super().__init__()
        self._facts = facts

    def format(self, record: logging.LogRecord) -> str:
        facts = {key: value for key, value in record.__dict__.items() if key not in _PLAIN}
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "log": record.getMessage(),
            "logger": record.name,
            "pid": record.process,
            **self._facts,
            **facts,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)
