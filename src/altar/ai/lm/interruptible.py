"""Requests of plain programs to a language model that end with their call.

A program that cannot be awaited runs in a thread, and a thread that waits for a server cannot be stopped.
So its request is made in an event loop, where it can be: the thread waits for the answer, for as long as somebody
waits for the thread. What is repeated after a failure, and the rests between, are a part of that.
In: a ``dspy.LM`` and the context of the call it is asked for.
Out: the same one, or one that asks so.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine
from concurrent.futures import wait
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from altar.later.portal import portal

if TYPE_CHECKING:
    from altar.later.context import ToolContext

__all__ = ["interruptible"]

_LOOK_SECONDS: Final = 0.1
"""How often a thread that waits looks whether anybody still waits for it."""


def interruptible(lm: Any, call: ToolContext | None) -> Any:
    """The same language model, whose plain requests raise CANCELLED or TIMEOUT as soon as the call is over.

    A language model that is asked in a way of its own (a class that extends ``dspy.LM``, an engine that somebody else
    wrote) is given back as it is, and so is one that answers by computing: it cannot be interrupted.
    """
    if call is None or not _can_be_awaited(lm):
        return lm
    asked = copy.copy(lm)
    asked.__class__ = _interruptible(type(lm))
    asked.altar_call = call
    return asked


_CLASSES: dict[Any, Any] = {}


def _interruptible(base: Any) -> Any:
    """The class of a language model that is asked in an event loop, made once."""
    if base in _CLASSES:
        return _CLASSES[base]

    class Interruptible(base):
        def __call__(self, prompt: Any = None, *, messages: Any = None, **options: Any) -> Any:
            if _in_a_loop():
                return super().__call__(prompt, messages=messages, **options)
            return _asked(partial(self.acall, prompt, messages=messages, **options), self.altar_call)

    Interruptible.__name__ = base.__name__
    Interruptible.__qualname__ = base.__qualname__
    Interruptible.__module__ = base.__module__
    return _CLASSES.setdefault(base, Interruptible)


def _can_be_awaited(lm: Any) -> bool:
    """Whether DSPy itself makes the request, or a model of ours that waits for another one."""
    import dspy

    if type(lm) is not dspy.LM:
        return False
    return isinstance(lm.engine, str) or bool(getattr(getattr(lm.engine, "model", None), "waits", False))


def _in_a_loop() -> bool:
    """Whether this thread runs an event loop, which would wait for itself."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _asked(ask: Callable[[], Coroutine[Any, Any, Any]], call: ToolContext) -> Any:
    import dspy

    call.check_cancelled()
    if dspy.settings.send_stream is not None:  # the pieces belong to the loop of who reads them, which cancels this
        from anyio import from_thread

        return from_thread.run(ask)
    running = portal().begin(ask())
    try:
        while not wait((running,), timeout=_wait_seconds(call)).done:
            call.check_cancelled()
        return running.result()
    finally:
        running.cancel()


def _wait_seconds(call: ToolContext) -> float:
    left = call.deadline
    return _LOOK_SECONDS if left is None else min(_LOOK_SECONDS, max(0.0, left.total_seconds()))
