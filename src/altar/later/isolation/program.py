"""The program of a child process: loads tools by where they stand, and runs one call after another.

It reads messages of `altar.later.isolation.pipe` from its parent and answers them, with the same `LocalSource` that
runs functions everywhere.
It ends when its parent hangs up, and is ended by the kernel when its parent is gone.
"""

from __future__ import annotations

import asyncio
import copy
import fcntl
import io
import logging
import math
import mmap
import os
import select
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from types import ModuleType
from typing import Any

import orjson

from altar.adm.errors import AltarError, ConfigurationError, DeclarationError, ExecutionError
from altar.later.context import LogLine, Progress, ToolContext
from altar.later.invocation import Answer, Invocation, Outcome, Work, defect
from altar.later.isolation import processes
from altar.later.isolation.carried import take
from altar.later.isolation.pipe import Kind, Pipe
from altar.later.isolation.place import Place, attribute, load_module
from altar.later.running import Steps
from altar.later.source import Job, LocalSource
from altar.later.tool import ToolFunction, tool
from altar.later.usage import written_usage

__all__ = ["main"]


def main(ends: Sequence[int]) -> None:
    """Serve until the parent hangs up; ``ends`` are the file numbers of socket, lifeline and mark."""
    for end in ends:
        os.set_inheritable(end, False)  # what a tool starts holds none of them
    _end_with_parent(ends[1])
    processes.enter_child()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(line_buffering=True)
    pipe = Pipe(socket.socket(fileno=ends[0]))
    logging.getLogger().addHandler(_Forward(pipe))
    logging.getLogger("altar.tool").disabled = True  # what a context tells is logged by that of the parent
    with suppress(BrokenPipeError, ConnectionResetError):  # the parent is gone, or has no more use for this process
        _Program(pipe, mmap.mmap(ends[2], 1)).serve()


def _end_with_parent(lifeline: int) -> None:
    """Let the kernel signal this process and its children when the other end of ``lifeline`` closes.

    SIGIO ends a process that does not handle it, whatever its interpreter is doing; a parent that ignores or blocks it
    hands that on, so it is undone here.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGIO})
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, -os.getpgrp())
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    gone = select.poll()
    gone.register(lifeline, select.POLLIN)
    if gone.poll(0):  # it closed before that was set
        sys.exit(0)


class _Program:
    """Answers messages; ``mark`` is a byte that the parent reads: did the user's function begin?"""

    def __init__(self, pipe: Pipe, mark: mmap.mmap) -> None:
        self._pipe = pipe
        self._tools: list[ToolFunction[..., Any]] = []
        self._mark = mark
        self._told: dict[str, Any] = {}
        self._source = LocalSource(_MainThread(pipe, mark), context=self._context)

    def serve(self) -> None:
        while (message := self._pipe.receive()) is not None:
            kind, body = message
            if kind is Kind.LOAD:
                self._load(orjson.loads(body))
            elif kind is Kind.CALL:
                self._call(body)

    def _load(self, told: dict[str, Any]) -> None:
        for name, level in told["levels"].items():
            logging.getLogger(name).setLevel(level)
        sys.path.extend(each for each in told["path"] if each not in sys.path)
        try:
            self._tools.append(_found(Place(**told["place"])))
        except AltarError as refused:
            self._pipe.send(Kind.ERROR, _error(refused))
        else:
            self._pipe.send(Kind.LOADED)

    def _call(self, body: bytes) -> None:
        line, _, arguments = body.partition(b"\n")
        told: dict[str, Any] = orjson.loads(line)
        contract = self._tools[told.pop("tool")]
        deadline, parent, besides = told.pop("deadline"), told.pop("parent"), told.pop("told")
        invocation = Invocation(arguments=arguments, deadline=math.inf if deadline is None else deadline, **told)
        invocation.contract = contract
        invocation.parent = None if parent is None else Invocation("", b"", parent)
        if contract.streams:
            invocation.chunks = _Parts(self._pipe)
        outcomes: list[Outcome] = []
        self._told |= besides
        try:
            take(self._told)  # all of it: a tool may have said otherwise here, and what failed before is not in place
            self._source.run(invocation, lambda _, outcome: outcomes.append(outcome))
        except AltarError as refused:  # the arguments, by a validator of the tool's own
            outcomes.append(Outcome(error=refused))
        except Exception as failed:  # noqa: BLE001 - every call is answered
            outcomes.append(Outcome(error=defect(failed, ran="yes" if self._mark[0] else "no")))
        if invocation.usage is not None:
            self._pipe.send(Kind.USAGE, written_usage(invocation.usage))
        self._answer(outcomes[0])  # once, and when its loop is closed: what is left in there holds up no other call

    def _context(self, invocation: Invocation) -> ToolContext:
        return ToolContext(invocation, tell=self._tell)

    def _tell(self, told: Progress | LogLine) -> None:
        if isinstance(told, Progress):
            said = {"done": told.done, "total": told.total, "message": told.message}
            self._pipe.send(Kind.PROGRESS, orjson.dumps(said, default=str))
        else:
            self._pipe.send(Kind.NOTE, orjson.dumps({"message": told.message, "facts": told.facts}, default=str))

    def _answer(self, outcome: Outcome) -> None:
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # a tool may have closed them
                stream.flush()
        if outcome.error is None:
            self._pipe.send(Kind.RESULT, outcome.text)
        else:
            self._pipe.send(Kind.ERROR, _error(outcome.error))


class _MainThread:
    """The workplace of a child: its main thread, for plain functions and coroutines alike.

    Each coroutine has a loop of its own, so that no call finds what another left behind.
    """

    def __init__(self, pipe: Pipe, mark: mmap.mmap) -> None:
        self._parts = _Parts(pipe)
        self._mark = mark

    def run_plain(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        self._mark[0] = 1
        try:
            outcome = job()
        except KeyboardInterrupt as raised:  # by the tool: the terminal does not reach this process
            outcome = Outcome.failed(raised)
        settle(invocation, outcome)

    def run_bounded(self, invocation: Invocation, job: Job, settle: Answer) -> None:
        self.run_plain(invocation, job, settle)

    def run_async(self, invocation: Invocation, work: Work) -> None:
        self._mark[0] = 1
        with suppress(asyncio.CancelledError):  # by the tool; it has been settled
            asyncio.run(work)

    def run_steps(self, invocation: Invocation, values: Steps, settle: Answer) -> None:
        self._mark[0] = 1
        try:
            while True:
                self._parts.give(next(values))
        except StopIteration as ended:
            outcome: Outcome = ended.value
        except AltarError as stopped:
            values.close()
            outcome = Outcome(error=stopped)
        except KeyboardInterrupt as raised:
            outcome = Outcome.failed(raised)
        settle(invocation, outcome)

    def run_stream(self, invocation: Invocation, made: Callable[[Answer], Work], settle: Answer) -> None:
        self.run_async(invocation, made(settle))

    def cancel(self, invocation: Invocation) -> None:
        """Nothing to do: who cancels kills this process."""


class _Parts:
    """Sends each value of a stream, until the parent wants no more."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe

    def give(self, chunk: bytes) -> None:
        """Send one value; blocks while the parent does not read. Raises CANCELLED when it wants no more."""
        if self._pipe.has_more():  # while a call runs, the parent sends nothing but STOP
            self._pipe.receive()
            raise ExecutionError("CANCELLED", "The stream was left before its end", ran="yes")
        self._pipe.send(Kind.PART, chunk)

    async def pass_on(self, chunk: bytes) -> None:
        """Send one value from a coroutine, whose loop waits too: it has nothing else to do."""
        self.give(chunk)


def _found(place: Place) -> ToolFunction[..., Any]:
    """The tool that stands at a place, to be run here and not in a further process."""
    try:
        module = load_module(place)
    except AltarError as refused:
        raise _not_importable(place, refused) from refused
    except BaseException as failed:
        raise _not_importable(place, failed) from failed
    found = _declared(module, place)
    if found.digest != place.digest:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The tool {place.name!r} has another contract in a process of its own than here",
            ran="no",
            hint="its module was changed since it was imported, or declares differently each time; restart",
        )
    here = copy.copy(found)
    here.isolate = None
    return here


def _declared(module: ModuleType, place: Place) -> ToolFunction[..., Any]:
    found = attribute(module, place.qualname)
    if isinstance(found, ToolFunction):
        if found.name == place.name and found.version == place.version:
            return found
        found = found.function
    if not callable(found):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"'{place.module}.{place.qualname}' is not there in a process of its own, so {place.name!r} cannot run",
            ran="no",
            hint="define it at the top level of its module, whatever the program is started as",
        )
    return tool(found, name=place.name, description=place.description, version=place.version, register=False)


def _not_importable(place: Place, failed: BaseException) -> ConfigurationError:
    logging.getLogger("altar.later").error(
        "module of an isolated tool cannot be imported", exc_info=failed, extra={"tool": place.name}
    )
    return ConfigurationError(
        "INVALID_CONFIG",
        f"The module {place.module!r} of {place.name!r} cannot be imported in a process of its own: "
        f"{type(failed).__name__}",
        ran="no",
        hint="put what the program does under `if __name__ == '__main__':`; the log has the traceback",
        detail=f"{type(failed).__name__}: {failed}",
    )


def _error(error: AltarError) -> bytes:
    wait = error.retry_after
    return orjson.dumps(
        {
            "code": error.code,
            "message": error.message,
            "hint": error.hint,
            "detail": error.detail,
            "path": error.path,
            "ran": error.ran,
            "retry_after_ms": None if wait is None else wait // timedelta(milliseconds=1),
        }
    )


_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


class _Forward(logging.Handler):
    """Sends what is logged here to the parent, which logs it by its own configuration."""

    def __init__(self, pipe: Pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._pipe.send(Kind.LOG, _record(record))
        except Exception:  # noqa: BLE001 - a log that cannot be written stops no tool; logging says so on stderr
            self.handleError(record)


def _record(record: logging.LogRecord) -> bytes:
    facts = {key: value for key, value in record.__dict__.items() if key not in _PLAIN}
    raised = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else ""
    told = {
        "name": record.name,
        "level": record.levelno,
        "message": record.getMessage(),
        "exception": raised,
        "facts": facts,
    }
    return orjson.dumps(told, default=str, option=orjson.OPT_NON_STR_KEYS)
