"""What running tools tell on the way, between runtime, host and client: progress and log lines.

In: :class:`Progress` and :class:`LogLine` of a function, or the notices of a frame.
Out: notices for the next frame, and what a listener hears.
They may be dropped and are never recorded: of the progress of a call the latest is kept, of log lines the newest.
None is sent unless the caller listens, and none after the result of its call.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import orjson

from altar._proto.altar.grid.v1 import call_pb2
from altar.adm.errors import AltarError
from altar.later.context import LogLine, Progress
from altar.later.invocation import Invocation
from altar.later.json_form import ARGUMENTS

__all__ = ["Notices", "hear"]

MOST = 256
"""Notices that wait for a frame; of more, the oldest are dropped."""
LONGEST_TEXT = 4096
"""Characters of a message."""
MOST_BYTES = 16 * 1024
"""Bytes of one notice, and of the facts of a log line; facts that are larger are left out."""


class Notices:
    """The notices that wait for the next frame of one connection; told from any thread.

    ``put`` queues what fills its part of the next frame, in the thread of the loop.
    """

    def __init__(self, put: Callable[[Callable[[Any], int]], None]) -> None:
        self._put = put
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._lock = threading.Lock()
        self._waiting: dict[int, call_pb2.CallNotice] = {}
        self._lines = itertools.count(-1, -1)  # keys that no tag is
        self._queued = False

    def teller(self, tag: int) -> Callable[[Progress | LogLine], None]:
        """What takes the words of a running function, for the call of this tag."""
        return lambda told: self._add(tag, _notice(told))

    def relay(self, tag: int) -> Callable[[call_pb2.CallNotice], None]:
        """What takes the notices of a runtime, for the call of this tag on this connection."""
        return lambda notice: self._relay(tag, notice)

    def _relay(self, tag: int, notice: call_pb2.CallNotice) -> None:
        if notice.ByteSize() <= MOST_BYTES + LONGEST_TEXT:
            copy = call_pb2.CallNotice()
            copy.CopyFrom(notice)  # a part of a frame keeps the whole frame in memory
            self._add(tag, copy)

    def _add(self, tag: int, notice: call_pb2.CallNotice) -> None:
        notice.tag = tag
        with self._lock:
            key = tag if notice.HasField("progress") else next(self._lines)
            self._waiting.pop(key, None)
            self._waiting[key] = notice
            if len(self._waiting) > MOST:
                del self._waiting[next(iter(self._waiting))]
            if self._queued:
                return
            self._queued = True
        if threading.get_ident() == self._thread:
            self._put(self._fill)
        else:
            with suppress(RuntimeError):  # the loop is closed: nobody hears it any more
                self._loop.call_soon_threadsafe(self._put, self._fill)

    def _fill(self, frame: Any) -> int:
        with self._lock:
            waiting, self._waiting = self._waiting, {}
            self._queued = False
        frame.notices.extend(waiting.values())
        return sum(notice.ByteSize() for notice in waiting.values())


def hear(invocation: Invocation, notice: call_pb2.CallNotice) -> None:
    """Pass a notice on to whoever listens to this call of ours; one that says nothing is dropped."""
    name, call_id = invocation.name, invocation.call_id
    if notice.HasField("progress"):
        told = notice.progress
        total = _number(told.total) if told.HasField("total") else None
        message = told.message if told.HasField("message") else None
        invocation.tell(Progress(name, call_id, _number(told.done), total, message))
    elif notice.HasField("log_line"):
        invocation.tell(LogLine(name, call_id, notice.log_line.message, _facts_of(notice.log_line.facts)))


def _number(told: float) -> float:
    """A number as it was told: the wire has doubles only, and most tools count in whole steps."""
    return int(told) if told.is_integer() else told


def _notice(told: Progress | LogLine) -> call_pb2.CallNotice:
    notice = call_pb2.CallNotice()
    if isinstance(told, Progress):
        notice.progress.done = float(told.done)
        if told.total is not None:
            notice.progress.total = float(told.total)
        if told.message is not None:
            notice.progress.message = _text(told.message)
    else:
        notice.log_line.message = _text(told.message)
        notice.log_line.facts = _facts(told.facts)
    return notice


def _text(text: str) -> str:
    """Text that a message can hold: no half surrogate pairs, not a book."""
    return str(text)[:LONGEST_TEXT].encode("utf-8", "replace").decode("utf-8")


def _facts(facts: Mapping[str, Any]) -> bytes:
    """Facts as canonical JSON; of what JSON cannot hold, the type."""
    try:
        written = ARGUMENTS.write(facts)
    except AltarError:
        written = ARGUMENTS.write({_text(name): _writable(fact) for name, fact in facts.items()})
    return written if len(written) <= MOST_BYTES else b"{}"


def _writable(fact: object) -> object:
    try:
        return orjson.loads(ARGUMENTS.write(fact))
    except AltarError:
        return f"<{type(fact).__name__}>"


def _facts_of(written: bytes) -> dict[str, Any]:
    try:
        facts: object = orjson.loads(written or b"{}")
    except orjson.JSONDecodeError:
        return {}
    return facts if isinstance(facts, dict) else {}
