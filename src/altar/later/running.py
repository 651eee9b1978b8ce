"""A user's function while it runs: called, awaited, or stepped through value by value.

In: a tool and its bound Python arguments.
Out: an :class:`~altar.later.invocation.Outcome`, always; whatever a function raises is its outcome.
The traceback goes to the log here, where the tool ran, and nowhere else.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ExecutionError, Ran, TransportError, error_of
from altar.later.deadline import Deadlines, Limited
from altar.later.invocation import MAX_MESSAGE_BYTES, Answer, Invocation, Outcome, call_facts, late

if TYPE_CHECKING:
    from altar.later.context import ToolContext
    from altar.later.tool import ToolFunction

__all__ = [
    "Run",
    "Steps",
    "awaited",
    "called",
    "collected",
    "collected_async",
    "nothing_ran",
    "steps",
    "streamed_async",
    "told",
]

MAX_ERROR_TEXT = 4_096
"""Characters of an error's message, hint or path that are told to a caller."""
_MAX_RETRY = timedelta(milliseconds=2**32 - 1)
_NOTHING_RAN = "_nothing_ran"

_log = logging.getLogger("altar.later")

Steps = Generator[bytes, None, Outcome]
"""A plain generator's values as canonical JSON, one by one; ends with the outcome and never raises."""


@dataclass(slots=True, eq=False)
class Run(Limited):
    """One run of a function: the tool, its arguments, the call they came with, and the context it was given, if any.

    ``limit`` is the size in bytes of the list that the values of a generator may be collected to.
    """

    tool: ToolFunction[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    invocation: Invocation
    context: ToolContext | None = None
    limit: int = MAX_MESSAGE_BYTES

    def start(self) -> Any:
        """Call the function, which for a coroutine function or a generator only makes the thing that runs."""
        return self.tool.function(*self.args, **self.kwargs)

    def end(self) -> None:
        """The function has really ended: its context is of no more use."""
        if self.context is not None:
            self.context.end()


# -------------------------------------------------------------------------------------------------- plain functions


def called(run: Run) -> Outcome:
    """Call a plain function."""
    try:
        value, tool = run.tool.function(*run.args, **run.kwargs), run.tool
        outcome = Outcome(tool.dump(value)) if tool.gives is None else tool.dump_beside(value)
    except BaseException as raised:  # noqa: BLE001 - whatever a tool raises is its outcome
        outcome = _raised_here(raised, run.invocation)
    finally:
        if run.context is not None:
            run.end()
    return outcome if time.monotonic() < run.invocation.deadline else _in_time(run.invocation, outcome)


def steps(run: Run) -> Steps:
    """Step through a plain generator: each of its values as canonical JSON, then the outcome.

    Closing it closes the generator, which runs its ``finally`` blocks in the thread that closes it.
    A generator hears between two values that its call was cancelled or is late, and is closed then, too.
    """
    made: Iterator[Any] | None = None
    try:
        made = iter(run.start())
        for value in made:
            if run.invocation.is_left:
                return Outcome(error=ExecutionError("CANCELLED", "The call was cancelled", ran="yes"))
            if time.monotonic() >= run.invocation.deadline:
                return Outcome(error=late(run.invocation, ran="yes"))
            yield run.tool.dump_item(value)
        return _in_time(run.invocation, Outcome())
    except GeneratorExit:
        raise
    except BaseException as raised:  # noqa: BLE001 - whatever a tool raises is its outcome
        return _raised_here(raised, run.invocation)
    finally:
        _close(made, run.invocation)
        run.end()


def collected(values: Steps, limit: int) -> Outcome:
    """Step to the end and collect the values into one list; stop when it has more than ``limit`` bytes."""
    chunks = _List(limit)
    try:
        while chunks.add(next(values)):
            pass
    except StopIteration as ended:
        outcome: Outcome = ended.value
        return outcome if outcome.error is not None else Outcome(chunks.whole())
    values.close()
    return Outcome(error=chunks.too_large())


def _close(made: object, invocation: Invocation) -> None:
    """Let a generator run its ``finally`` blocks; what goes wrong there is for the log, the call has its outcome."""
    close = getattr(made, "close", None)
    if close is None:
        return
    try:
        close()
    except Exception as raised:  # noqa: BLE001 - also RuntimeError: the generator ignored that it was closed
        _complain("tool did not close", raised, invocation)


# ------------------------------------------------------------------------------------------------------- coroutines


async def awaited(
    run: Run, settle: Answer, deadlines: Deadlines, *, made: Callable[[Run], Coroutine[Any, Any, Outcome]] | None = None
) -> None:
    """Await a coroutine function until its deadline, and settle its call, also when it is cancelled.

    ``made`` makes the outcome where it is not simply what the function returns.
    A cancellation that the function made up itself, and nobody asked for, is its outcome and goes no further.
    """
    invocation = run.invocation
    outcome: Outcome | None = None
    deadlines.watch(run, invocation.deadline)
    try:
        if made is None:
            value, tool = await run.tool.function(*run.args, **run.kwargs), run.tool
            outcome = Outcome(tool.dump(value)) if tool.gives is None else tool.dump_beside(value)
        else:
            outcome = await made(run)
    except asyncio.CancelledError:
        if run.expired and run.take_back():
            outcome = Outcome(error=late(invocation, ran="yes"))
        elif run.is_cancelled:
            raise
    except BaseException as raised:  # noqa: BLE001 - whatever a tool raises is its outcome
        outcome = _failed(raised, invocation)
    finally:
        deadlines.forget(run)
        if run.context is not None:
            run.end()
        if run.expired:  # it has not heeded its cancellation
            run.take_back()
        if outcome is None:
            outcome = Outcome(error=ExecutionError("CANCELLED", "The call was cancelled", ran="yes"))
        elif time.monotonic() >= invocation.deadline:  # it may have blocked the loop
            outcome = Outcome(error=late(invocation, ran="yes"))
        settle(invocation, outcome)


async def collected_async(run: Run) -> Outcome:
    """The values of an asynchronous generator as one list; stops when it has more bytes than the limit of the run."""
    chunks = _List(run.limit)

    async def add(chunk: bytes) -> None:
        if not chunks.add(chunk):
            raise chunks.too_large()

    outcome = await _each(run, add)
    return outcome if outcome.error is not None else Outcome(chunks.whole())


async def streamed_async(run: Run) -> Outcome:
    """Pass the values of an asynchronous generator on, one by one, as there is room for them."""
    return await _each(run, run.invocation.chunks.pass_on)


async def _each(run: Run, emit: Callable[[bytes], Awaitable[None]]) -> Outcome:
    """Give each value as canonical JSON; an AltarError of ``emit`` ends the generator and is the outcome."""
    made: AsyncIterator[Any] = aiter(run.start())
    try:
        async for value in made:
            chunk = run.tool.dump_item(value)
            try:
                await emit(chunk)
            except AltarError as stopped:
                return Outcome(error=stopped)
        return Outcome()
    finally:
        await _aclose(made, run.invocation)


async def _aclose(made: object, invocation: Invocation) -> None:
    close = getattr(made, "aclose", None)
    if close is None:
        return
    try:
        await close()
    except Exception as raised:  # noqa: BLE001 - also RuntimeError: the generator ignored that it was closed
        _complain("tool did not close", raised, invocation)


# --------------------------------------------------------------------------------------------------------- outcomes


class _List:
    """Chunks on their way to become one list of at most so many bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 1

    def add(self, chunk: bytes) -> bool:
        """Whether there was room for it."""
        self._size += len(chunk) + 1
        self._chunks.append(chunk)
        return self._size <= self._limit

    def whole(self) -> bytes:
        return b"[" + b",".join(self._chunks) + b"]"

    def too_large(self) -> AltarError:
        return TransportError(
            "MESSAGE_TOO_LARGE",
            f"The contents of the result are more than the limit of {self._limit} bytes",
            ran="yes",
            hint="read the values one by one: session.stream(…)",
        )


def _in_time(invocation: Invocation, outcome: Outcome) -> Outcome:
    return outcome if time.monotonic() < invocation.deadline else Outcome(error=late(invocation, ran="yes"))


def _raised_here(raised: BaseException, invocation: Invocation) -> Outcome:
    """The outcome of what a plain function raised, but for a person at the keyboard, who means all of this program."""
    if isinstance(raised, KeyboardInterrupt) and threading.current_thread() is threading.main_thread():
        raise raised
    return _failed(raised, invocation)


def _failed(raised: BaseException, invocation: Invocation) -> Outcome:
    """What a tool raised: its own words only when it meant them for the caller, and ``ran: yes`` unless marked."""
    if not isinstance(raised, AltarError):
        _complain("tool failed", raised, invocation)
    try:
        error = Outcome.failed(raised).error
        failed = None if error is None else told(error, ran="no" if _NOTHING_RAN in vars(raised) else "yes")
    except Exception:  # noqa: BLE001 - the words of an error are a tool's code too, and may fail
        kind = type(raised).__name__[:MAX_ERROR_TEXT]
        failed = ExecutionError("TOOL_EXECUTION_FAILED", f"The tool failed with {kind}", ran="yes", detail=kind)
    return Outcome(error=failed)


def _complain(what: str, raised: BaseException, invocation: Invocation) -> None:
    _log.warning(
        what,
        exc_info=raised,
        extra=call_facts(invocation),
    )


def nothing_ran(error: AltarError) -> AltarError:
    """Mark an error that is raised around what a tool does, before anything of that: its call says ``ran: no``.

    For tools of ALTAR's own making, whose function is a wrapper; a function of a user's has run when it raises.
    """
    vars(error)[_NOTHING_RAN] = True
    return error


def told(error: AltarError, *, ran: Ran | None = None) -> AltarError:
    """The error as a caller is told it, in the same words wherever the tool ran; ``ran`` takes the place of its own.

    A tool may have put anything into its error: what comes out are texts that UTF-8 holds, of at most MAX_ERROR_TEXT
    characters, and a time to wait in whole milliseconds that is neither negative nor nothing.
    Raises whatever reading the error raises.
    """
    return error_of(
        error.code,
        _text(error.message) or "The tool failed without a word",
        hint=_text(error.hint) or None,
        detail=_text(error.detail) or None,
        path=None if error.path is None else _text(error.path),
        ran=ran or error.ran,
        retry_after=_wait(error.retry_after),
    )


def _text(text: object) -> str:
    """Text that can be told: no half surrogate pairs, not a book."""
    return "" if text is None else str(text)[:MAX_ERROR_TEXT].encode("utf-8", "replace").decode("utf-8")


def _wait(wait: timedelta | None) -> timedelta | None:
    if wait is None:
        return None
    whole = timedelta(milliseconds=max(timedelta(), min(wait, _MAX_RETRY)) // timedelta(milliseconds=1))
    return whole or None
