"""Variables that are kept on a host, asked for over a stream that may break: of a client, or of a runtime.

A request that only reads is asked again on the next stream; one that changes something and got no answer is
CONNECTION_FAILED with ``ran: unknown``, unless it never left.
A watch goes on with what there is then, so that it never misses that something has changed.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from altar.adm.errors import AltarError, TransportError
from altar.grid import wire
from altar.later.context import ToolVariables
from altar.later.options import DEFAULT_TIMEOUT
from altar.later.variable_table import Read, Request, Watcher
from altar.later.variables import SyncVariables, Variables

if TYPE_CHECKING:
    from altar.later.context import ToolContext
    from altar.later.variables import Then

__all__ = ["CallVariables", "RemoteVariables", "tool_variables"]

T = TypeVar("T")

_PATIENCE = 0.5
"""Seconds after which a tool that watches looks whether its call is still wanted."""


@dataclass(slots=True)
class _Asked:
    """A request that has no answer yet; ``sent`` once it was handed to a stream."""

    request: Request
    message: wire.VariableRequest
    then: Then
    sent: bool = False


class RemoteVariables:
    """What is asked of the variables of sessions over one connection after the other. For one thread, the loop's.

    ``send`` queues a message on the stream there is, and says whether there is one.
    """

    def __init__(self, send: Callable[[wire.VariableRequest], bool]) -> None:
        self._send = send
        self._tags = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._watches: weakref.WeakValueDictionary[int, Watcher] = weakref.WeakValueDictionary()
        self._watch_messages: dict[int, wire.VariableRequest] = {}
        self._loop = asyncio.get_running_loop()
        self.used = False

    @property
    def needs_stream(self) -> bool:
        """Whether something waits that only a stream can bring."""
        return bool(self._asked or len(self._watches))

    def ask(self, message: wire.VariableRequest, request: Request, then: Then) -> None:
        """Ask the host; ``message`` says for which session or call."""
        self.used = True
        message.tag = next(self._tags)
        asked = self._asked[message.tag] = _Asked(request, message, then)
        asked.sent = self._send(message)

    def watch(self, message: wire.VariableRequest, watcher: Watcher) -> None:
        """Begin a watch; it ends with the watcher."""
        self.used = True
        message.tag = next(self._tags)
        message.watch.names.extend(sorted(watcher.names))
        message.watch.SetInParent()
        self._watches[message.tag] = watcher
        self._watch_messages[message.tag] = message
        self._send(message)

    def unwatch(self, watcher: Watcher) -> None:
        """End a watch, from any thread."""
        with suppress(RuntimeError):  # the loop is closed, and the stream with it
            self._loop.call_soon_threadsafe(self._forget, watcher)

    def answered(self, answers: Iterable[wire.VariableAnswer]) -> None:
        """What the host said, in a frame."""
        for answer in answers:
            asked = self._asked.pop(answer.tag, None)
            records, error = wire.variables_of(answer)
            if asked is not None:
                asked.then(records, error)
                continue
            watcher = self._watches.get(answer.tag)
            if watcher is not None:
                if answer.complete:
                    watcher.begin(records)
                else:
                    watcher.offer(records)
                if error is not None:
                    self._watch_messages.pop(answer.tag, None)
                    watcher.end(error)

    def lost(self, unsent: Iterable[wire.VariableRequest]) -> None:
        """The stream is gone: what only reads or never left waits for the next one, the rest is unknown."""
        never_left = {message.tag for message in unsent}
        for tag, asked in list(self._asked.items()):
            if isinstance(asked.request, Read) or tag in never_left or not asked.sent:
                asked.sent = False
            else:
                del self._asked[tag]
                asked.then((), _unknown())

    def resume(self, *, again: Callable[[wire.VariableRequest], None]) -> None:
        """There is a stream again: ask what waits, and go on watching. ``again`` may correct a message."""
        for asked in self._asked.values():
            again(asked.message)
            asked.sent = self._send(asked.message)
        for tag, message in list(self._watch_messages.items()):
            if tag in self._watches:
                again(message)
                self._send(message)

    def fail(self, error: AltarError | None) -> None:
        """There is no stream and will be none: everything ends, the watches without an error if there is none."""
        asked, self._asked = self._asked, {}
        for each in asked.values():
            each.then((), error or _unknown())
        for watcher in list(self._watches.values()):
            watcher.end(error)
        self._watches.clear()
        self._watch_messages.clear()

    def _forget(self, watcher: Watcher) -> None:
        for tag in [tag for tag, known in self._watches.items() if known is watcher]:
            del self._watches[tag]
            message = self._watch_messages.pop(tag, None)
            if message is not None:
                ended = wire.VariableRequest(tag=tag, session_id=message.session_id, call_tag=message.call_tag)
                ended.unwatch.SetInParent()
                self._send(ended)


class CallVariables:
    """The variables of the session of one call, for the tool that a runtime runs for it."""

    def __init__(self, remote: RemoteVariables, context: ToolContext) -> None:
        self.session_id = context.session_id
        self._remote = remote
        self._context = context
        self._call_tag = context.invocation.tag

    def ask(self, request: Request, then: Then) -> None:
        """Ask the host, over the stream that the call came by."""
        message = wire.variable_request(request)
        message.call_tag = self._call_tag
        self._remote.ask(message, request, then)

    def watch(self, watcher: Watcher) -> None:
        """Watch, until the call is over or the stream that it came by ends."""
        self._remote.watch(wire.VariableRequest(call_tag=self._call_tag), watcher)

    def unwatch(self, watcher: Watcher) -> None:
        """End a watch, from any thread."""
        self._remote.unwatch(watcher)

    def patience(self) -> float:
        """A moment: nobody else lets a function go that waits in a thread. Raises CANCELLED, or TIMEOUT in the end."""
        self._context.check_cancelled()
        return _PATIENCE


def tool_variables(context: ToolContext, remote: RemoteVariables, loop: asyncio.AbstractEventLoop) -> ToolVariables:
    """The variables of a tool's session, for its coroutines in ``loop`` and for its functions in other threads.

    They may be used as long as the context may.
    """
    deadline = context.deadline
    timeout = DEFAULT_TIMEOUT if deadline is None else deadline
    source = CallVariables(remote, context)
    variables = Variables(source, timeout=timeout.total_seconds(), guard=context.require_running)

    def run(coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, loop).result()

    return ToolVariables(variables, SyncVariables(variables, run=run, wait=run))


def _unknown() -> AltarError:
    return TransportError(
        "CONNECTION_FAILED",
        "The connection to the host was lost before it answered",
        ran="unknown",
        hint="read the variables again to see what became of the change",
    )
