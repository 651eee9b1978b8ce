"""One child process, seen from its parent: started, given calls one after another, killed or let go.

It is tied to its parent by a pipe whose end makes the kernel end the child and whatever the child has started,
also while a C function holds the interpreter, and also when the parent itself was killed.
"""

from __future__ import annotations

import logging
import math
import mmap
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson

from altar.adm.errors import AltarError, ExecutionError, error_of
from altar.later.invocation import Invocation, Outcome
from altar.later.isolation.carried import changed, told_of
from altar.later.isolation.pipe import Kind, Pipe
from altar.later.isolation.place import Place
from altar.later.usage import read_usage

if TYPE_CHECKING:
    from altar.later.context import ToolContext

__all__ = ["Child", "Gone"]

_CLOSING_SECONDS = 1.0
"""How long a generator may take to end when nobody wants more of it."""

_LONGEST_WAIT = 86_400.0
"""Seconds that the system is asked to wait at once; a deadline may be centuries away."""

_PROGRAM = "import sys; sys.path[:] = {path!r}; from altar.later.isolation.program import main; main({ends!r})"


class Gone(Exception):  # noqa: N818 - it is no error yet: a child that idled may be replaced
    """The process ended, or was killed, before it answered."""


class Child:
    """A process that runs isolated functions. One thread calls it at a time; any thread may :meth:`kill` it.

    `calls` is how many it has answered, `closed` whether the last one has ended in good order.
    """

    def __init__(self) -> None:
        """Start the process; it loads tools when they are first called. Raises RESOURCE_EXHAUSTED when it cannot."""
        self.calls = 0
        self.closed = True
        self._deadline = math.inf
        self._loaded: dict[Place, int] = {}
        self._told: dict[str, Any] = {}
        self._reaped = threading.Lock()
        self._code: int | None = None
        try:
            self._start()
        except OSError as refused:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                "No process could be started for an isolated tool",
                ran="no",
                retry_after=timedelta(seconds=1),
                detail=f"{type(refused).__name__}: {refused}",
            ) from refused
        self._pipe = Pipe(self._socket, wait=self._wait)
        self._poll = select.poll()
        self._poll.register(self._socket, select.POLLIN)
        self._poll.register(self._ended, select.POLLIN)

    def _start(self) -> None:
        with ExitStack() as given, ExitStack() as kept:
            self._socket, theirs = socket.socketpair()
            kept.callback(self._socket.close)
            given.callback(theirs.close)
            tied, self._lifeline = os.pipe()
            kept.callback(os.close, self._lifeline)
            given.callback(os.close, tied)
            shared = os.memfd_create("altar-began")
            given.callback(os.close, shared)
            os.ftruncate(shared, 1)
            self._mark = mmap.mmap(shared, 1)
            ends = (theirs.fileno(), tied, shared)
            path = [os.path.abspath(each) for each in sys.path]  # noqa: PTH100 - '' is the working directory
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _PROGRAM.format(path=path, ends=ends)],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a tool prints is talk; the data of this process is its own
                pass_fds=ends,
                start_new_session=True,  # Ctrl-C in the terminal is for the parent, which then ends its children
            )
            kept.callback(self._process.wait)
            kept.callback(self._process.kill)
            self._ended = os.pidfd_open(self._process.pid)
            kept.pop_all()

    @property
    def began(self) -> bool:
        """Whether the user's function was entered in the last call."""
        return self._mark[0] != 0

    def has_loaded(self, place: Place) -> bool:
        """Whether the child has the tool already."""
        return place in self._loaded

    def load(self, place: Place, *, deadline: float) -> None:
        """Let the child import a tool, unless it has.

        Raises Gone when the process ends first, TimeoutError when the deadline passes, and the child's own AltarError
        when the tool is not to be had there; after any of them the child is of no more use.
        """
        self._deadline = deadline
        self._mark[0] = 0
        if place not in self._loaded:
            try:
                self._load(place)
            except TimeoutError:
                raise
            except OSError as broken:
                raise Gone from broken

    def steps(
        self, place: Place, invocation: Invocation, *, context: ToolContext | None
    ) -> Generator[bytes, None, Outcome]:
        """Let the child run one call of a tool that it has loaded: its parts, if it streams, and then its outcome.

        While nobody asks for the next part, the child waits. Closing this lets the function close what it has open,
        for a moment, and then `closed` says whether it did.
        Raises Gone and TimeoutError, as :meth:`load` does.
        """
        self.closed = False
        try:
            told = told_of(context)
            self._send(Kind.CALL, _call(self._loaded[place], invocation, context, changed(self._told, told)))
            self._told = told
            outcome = yield from self._parts(context)
        except TimeoutError:
            raise
        except OSError as broken:
            raise Gone from broken
        self.calls += 1
        self.closed = True
        return outcome

    def kill(self) -> None:
        """End the process at once, with all that it started."""
        with self._reaped:
            if self._process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def hang_up(self) -> None:
        """Let the process end by itself, as soon as it notices."""
        self._socket.close()

    def bury(self, *, within: float) -> int:
        """Wait until the process has ended, kill what is left after so many seconds, and return its exit code.

        The exit code is negative for a signal. The child must have been told to end before.
        """
        if self._code is not None:
            return self._code
        waiting = select.poll()
        waiting.register(self._ended, select.POLLIN)
        waiting.poll(within * 1000)
        self.kill()  # what the tool started, if the process itself has ended
        with self._reaped:
            self._code = self._process.wait()
        self._socket.close()
        os.close(self._ended)
        os.close(self._lifeline)
        self._mark.close()
        return self._code

    def disown(self) -> None:
        """Drop the ends that a forked copy of this process holds, so that the child ends with its true parent.

        Once: by the next fork their numbers may be those of other files.
        """
        if self._code is None:
            self._code = self._process.returncode = 0  # not ours to wait for
            self._socket.close()
            os.close(self._lifeline)
            os.close(self._ended)

    # ------------------------------------------------------------------------------------------------------ talking

    def _load(self, place: Place) -> None:
        number = len(self._loaded)
        levels = {name: logging.getLogger(name).getEffectiveLevel() for name in ("", "altar")}
        path = [os.path.abspath(each) for each in sys.path]  # noqa: PTH100 - '' is the working directory
        self._send(Kind.LOAD, orjson.dumps({"place": place.to_json(), "path": path, "levels": levels}))
        while (message := self._pipe.receive()) is not None:
            kind, body = message
            if kind is Kind.LOADED:
                self._loaded[place] = number
                return
            if kind is Kind.ERROR:
                raise _error(body)
            if kind is Kind.LOG:
                _log_here(body)
        raise Gone

    def _parts(self, context: ToolContext | None) -> Generator[bytes, None, Outcome]:
        while (message := self._pipe.receive()) is not None:
            kind, body = message
            if kind is Kind.RESULT:
                return Outcome(body)
            if kind is Kind.ERROR:
                return Outcome(error=_error(body))
            if kind is Kind.LOG:
                _log_here(body)
            elif kind is Kind.PART:
                try:
                    yield body
                except GeneratorExit:
                    self.closed = self._stopped()
                    raise
            elif context is not None:
                _tell(kind, body, context)
        raise Gone

    def _stopped(self) -> bool:
        """Nobody wants more: let the function close what it has open, and read what it still sends into nothing."""
        self._deadline = min(self._deadline, time.monotonic() + _CLOSING_SECONDS)
        try:
            self._send(Kind.STOP, b"")
            while (message := self._pipe.receive()) is not None:
                if message[0] in {Kind.RESULT, Kind.ERROR}:
                    return True
        except (OSError, Gone):  # a TimeoutError is an OSError
            pass
        return False

    def _send(self, kind: Kind, body: bytes) -> None:
        left = self._left()
        self._socket.settimeout(None if math.isinf(left) else min(max(left, 0.001), _LONGEST_WAIT))
        self._pipe.send(kind, body)

    def _wait(self) -> None:
        while not (ready := self._poll.poll(min(max(self._left(), 0.0), _LONGEST_WAIT) * 1000)):
            if self._left() <= 0:
                raise TimeoutError
        if all(end != self._socket.fileno() for end, _ in ready):
            raise Gone  # the process ended, and one that it started holds its end of the socket

    def _left(self) -> float:
        return self._deadline - time.monotonic()


def _call(tool: int, invocation: Invocation, context: ToolContext | None, told: dict[str, Any]) -> bytes:
    """A line about the call, then its arguments; canonical JSON has no line breaks of its own.

    ``told`` is what the child does not know yet of what it is told besides.
    """
    line = {
        "tool": tool,
        "told": told,
        "name": invocation.name,
        "call_id": invocation.call_id,
        "invocation_id": invocation.invocation_id,
        "correlation_id": invocation.correlation_id,
        "session_id": invocation.session_id if context is None else context.session_id,
        "parent": None if invocation.parent is None else invocation.parent.call_id,
        "principal": invocation.principal,
        "tenant": invocation.tenant,
        "deadline": None if math.isinf(invocation.deadline) else invocation.deadline,  # one clock for all processes
    }
    return orjson.dumps(line) + b"\n" + invocation.text


def _error(body: bytes) -> AltarError:
    told: dict[str, Any] = orjson.loads(body)
    wait = told.pop("retry_after_ms")
    return error_of(**told, retry_after=None if wait is None else timedelta(milliseconds=wait))


def _tell(kind: Kind, body: bytes, context: ToolContext) -> None:
    """Pass on what the function told its context there; a context has ended when nobody listens any more."""
    told = orjson.loads(body)
    with suppress(AltarError):
        if kind is Kind.PROGRESS:
            context.progress(**told)
        elif kind is Kind.NOTE:
            context.log(told["message"], **told["facts"])
        elif kind is Kind.USAGE:
            context.used(**read_usage(body))


class Elsewhere(Exception):  # noqa: N818 - it stands for an exception of another process
    """An exception of a child process: its text is the traceback there."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def _log_here(body: bytes) -> None:
    """Log in this process, by its configuration, what a child has logged."""
    told: dict[str, Any] = orjson.loads(body)
    logger = logging.getLogger(told["name"])
    if logger.isEnabledFor(told["level"]):
        raised = Elsewhere(told["exception"]) if told["exception"] else None
        logger.log(told["level"], "%s", told["message"], exc_info=raised, extra=told["facts"])
