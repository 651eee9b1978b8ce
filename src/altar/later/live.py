"""What is open while a session is open: its loop, its executor, its source, the names of its calls."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ConfigurationError, ValidationError

if TYPE_CHECKING:
    from altar.later.executor import Executor
    from altar.later.repeatable import LocalKeys
    from altar.later.source import SessionCatalog, ToolSource
    from altar.later.variables import LocalVariables

__all__ = ["Live", "Names", "not_open"]


class Live:
    """What is open while a session is; a session and its copies with other options share it."""

    __slots__ = (
        "_wall_ns",
        "catalog",
        "closed",
        "created",
        "executor",
        "keys",
        "loop",
        "names",
        "process",
        "pulled",
        "source",
        "stack",
        "streams",
        "variables",
    )

    def __init__(self, *, wall_ns: Callable[[], int] = time.time_ns) -> None:
        self._wall_ns = wall_ns
        self.process = os.getpid()
        self.names = Names()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.stack = AsyncExitStack()
        self.executor: Executor | None = None
        self.catalog: SessionCatalog | None = None
        self.source: ToolSource | None = None
        self.closed = False
        self.created: datetime | None = None
        self.variables: LocalVariables | None = None  # of a session in this process, from their first use on
        self.keys: LocalKeys | None = None  # of a session in this process, from their first use on
        self.streams: set[Callable[[], Coroutine[Any, Any, None]]] = set()  # how to leave each that is being read
        self.pulled: set[Callable[[], None]] = set()  # the same, of streams that are read without a loop

    def opened(self) -> None:
        """Belong to the process that opens it, which may be a forked child, and share no call ids with another."""
        if self.executor is None and not self.is_ours:
            self.process = os.getpid()
            self.names = Names()
        self.created = self.created or datetime.fromtimestamp(self._wall_ns() / 1e9, UTC)

    @property
    def is_ours(self) -> bool:
        """Whether this is the process that opened the session, and not a forked child."""
        return self.process == os.getpid()

    def local_keys(self) -> LocalKeys:
        """The idempotency keys of a session in this process."""
        if self.keys is None:
            from altar.later.repeatable import LocalKeys

            self.keys = LocalKeys()
        return self.keys

    def carry(self, errand: Callable[[], None]) -> None:
        """Do something in the loop of the session: at once in its own thread, soon from another."""
        if self.loop is None or self.loop is _running_loop():
            errand()
        else:
            self.carry_soon(errand)

    def carry_soon(self, errand: Callable[[], None]) -> None:
        """Do something in the loop of the session, and never at once; nothing when there is no loop any more."""
        if self.loop is not None:
            with suppress(RuntimeError):  # the loop is closed, and the session with it
                self.loop.call_soon_threadsafe(errand)

    def require_process(self) -> None:
        """Raise INVALID_SESSION in a forked child: connections and threads of a session stay with the parent."""
        if self.process != os.getpid():
            raise not_open("This session was opened in another process", hint="open a session after the fork")

    def require_here(self) -> None:
        """Raise as :meth:`require_process` does, and INCOMPATIBLE_MODE in a loop that nothing would wake."""
        if self.process != os.getpid():
            self.require_process()
        if self.loop is not asyncio.get_running_loop():
            raise ConfigurationError(
                "INCOMPATIBLE_MODE",
                "This session was opened in another event loop",
                ran="no",
                hint="open a session in the loop that calls, or use `with altar.session(...)`, which has no loop",
            )


class Names:
    """Call ids that nobody else makes: 64 random bits and a count; cheaper than a UUID, as unique."""

    __slots__ = ("_count", "_prefix", "correlation", "session")

    def __init__(self) -> None:
        self._prefix = os.urandom(8).hex()
        self._count = itertools.count(1)
        self.correlation = f"client-{self._prefix}"
        self.session = f"local-{self._prefix}"

    def next_call(self) -> str:
        """A new call id, at most 128 printable ASCII characters (ADM §4.4)."""
        return f"{self._prefix}-{next(self._count)}"


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def not_open(message: str, *, hint: str) -> AltarError:
    """The error for a session that cannot be used, or cannot be used any more."""
    return ValidationError("INVALID_SESSION", message, hint=hint, ran="no")
