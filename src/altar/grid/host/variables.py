"""The variables of sessions on the host: changed in memory, kept by the store, and told when they are durable.

Nobody is told of a change before it is on the disk: neither who made it, nor who reads after it, nor who watches.
A `VariableDesk` does this for one stream, of a client or of a runtime whose tools use variables.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ExecutionError
from altar.grid import wire
from altar.later.app_records import RecordEvent
from altar.later.variable_table import MAX_VARIABLES, Applied, Declare, Record, Request, Update, Watcher
from altar.ledger.session_store import KeptVariable

if TYPE_CHECKING:
    from altar.grid.host.app_records import AppRecords
    from altar.grid.host.sessions import HostSession, Sessions
    from altar.later.variables import Then

__all__ = ["HostVariables", "VariableDesk"]

MAX_PRINCIPAL_BYTES = 64 * 1024 * 1024
"""Most bytes of all variables of one principal, over all of its sessions."""
MAX_UNANSWERED = 1_024
"""Requests of one stream that may wait for the disk."""
MAX_UNANSWERED_BYTES = 16 * 1024 * 1024
"""The same in bytes of what they set."""
MAX_WATCHES = 256
"""Watches of one stream."""
_SMALL = 200
"""Bytes that an answer is taken for beside the variables in it."""
WATCH_BYTES = 1024 * 1024
"""A message of a watch is closed when it holds this much; the rest follows in the next."""


class HostVariables:
    """Answers what is asked of the variables of any session of a host. For one thread, the host's loop."""

    def __init__(self, sessions: Sessions, app_records: AppRecords) -> None:
        self._sessions = sessions
        self._app_records = app_records

    def ask(self, session: HostSession, request: Request, then: Then) -> None:
        """Carry out a request; ``then`` gets the answer when everything it tells of is durable."""
        if isinstance(request, RecordEvent):
            self._app_records.record(session, request, then)
            return
        size, names = session.variables.size, session.variables.names
        try:
            self._require_room(session, request)
            applied = session.variables.apply(request)
        except AltarError as refused:
            error = refused  # it may be about a value that is not durable yet
            self._when_durable(session, lambda failed: then((), failed or error))
            return
        self._sessions.variable_bytes_of[session.principal] += session.variables.size - size
        if not applied.changed:
            self._when_durable(session, lambda failed: then(() if failed else applied.answer, failed))
            return
        session.unsaved += 1

        def durable(failed: AltarError | None) -> None:
            if failed is None:  # otherwise it stays unsaved, and nobody is ever told of it
                session.unsaved -= 1
                for watcher in tuple(session.watchers):
                    watcher.offer(applied.changed)
            then(() if failed else applied.answer, failed)

        self._save(session, applied, durable, counted=names != session.variables.names)

    def watch(self, session: HostSession, watcher: Watcher, begin: Callable[[Iterable[Record]], None]) -> None:
        """Let a watcher begin with the variables as they are, and tell it of every change from then on."""

        def durable(failed: AltarError | None) -> None:
            try:
                self._sessions.get(session.session_id, session.principal)  # it may have ended meanwhile
            except AltarError as over:
                failed = failed or over
            if failed is not None:
                watcher.end(failed)
            elif not watcher.ended:
                session.watchers.add(watcher)
                begin(session.variables.those(watcher.names))

        self._when_durable(session, durable)

    def _when_durable(self, session: HostSession, then: Callable[[AltarError | None], None]) -> None:
        store = self._sessions.store
        if session.unsaved and store is not None:
            store.save(then=then)
        else:
            then(None)

    def _save(
        self, session: HostSession, applied: Applied, then: Callable[[AltarError | None], None], *, counted: bool
    ) -> None:
        """Write down what has changed, and the session itself when it has another number of names than before."""
        store = self._sessions.store
        if store is None:
            then(None)
            return
        store.save(
            self._sessions.kept(session) if counted else None,
            session_id=session.session_id,
            variables=[KeptVariable(each.name, each.version, each.schema, each.value) for each in applied.changed],
            forgotten=applied.forgotten,
            then=then,
        )

    def _require_room(self, session: HostSession, request: Request) -> None:
        more = _bytes_set(request)
        if more and self._sessions.variable_bytes_of[session.principal] + more > MAX_PRINCIPAL_BYTES:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                f"The variables of {session.principal!r} would have more than {MAX_PRINCIPAL_BYTES} bytes in all",
                ran="no",
                hint="delete variables, or close sessions that are needed no more",
            )


class VariableDesk:
    """Answers the requests of one stream, and tells it what it watches.

    ``put`` queues something for the next frame of the stream, with its size in bytes.
    """

    def __init__(self, variables: HostVariables, put: Callable[..., None]) -> None:
        self._variables = variables
        self._put = put
        self._unanswered = 0
        self._unanswered_bytes = 0
        self._watches: dict[int, tuple[HostSession, _Push]] = {}

    def take(self, message: wire.VariableRequest, session_of: Callable[[wire.VariableRequest], HostSession]) -> None:
        """Carry out one request; ``session_of`` finds the session that is meant, or raises."""
        operation = message.WhichOneof("operation")
        if operation == "unwatch":
            self._unwatch(message.tag)
            return
        try:
            session = session_of(message)
            if operation == "watch":
                self._watch(session, message, session_of)
            else:
                self._ask(session, message.tag, wire.variable_request_of(message))
        except AltarError as refused:
            self._answer(message.tag, (), refused)

    def close(self) -> None:
        """The stream is over."""
        for tag in list(self._watches):
            self._unwatch(tag)

    def _ask(self, session: HostSession, tag: int, request: Request) -> None:
        size = _bytes_set(request)
        if self._unanswered >= MAX_UNANSWERED or self._unanswered_bytes + size > MAX_UNANSWERED_BYTES:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                "Too many requests for variables wait for the disk already",
                ran="no",
                hint="wait for the answers of some before you send more",
                retry_after=timedelta(milliseconds=100),
            )
        self._unanswered += 1
        self._unanswered_bytes += size

        def then(records: tuple[Record, ...], error: AltarError | None) -> None:
            self._unanswered -= 1
            self._unanswered_bytes -= size
            self._answer(tag, records, error)

        self._variables.ask(session, request, then)

    def _answer(self, tag: int, records: tuple[Record, ...], error: AltarError | None) -> None:
        def fill(frame: Any) -> int:  # a copy is made here and not before: a small frame can ask for much, often
            return wire.add_variables(frame.variable_answers.add(tag=tag), records, error)

        self._put(fill, size=_SMALL + sum(record.size for record in records))

    def _watch(
        self,
        session: HostSession,
        message: wire.VariableRequest,
        session_of: Callable[[wire.VariableRequest], HostSession],
    ) -> None:
        if len(self._watches) >= MAX_WATCHES or len(message.watch.names) > MAX_VARIABLES:
            raise ExecutionError(
                "RESOURCE_EXHAUSTED",
                f"A connection has at most {MAX_WATCHES} watches, of {MAX_VARIABLES} names each",
                ran="no",
                hint="watch several variables at once, and end the watches that are needed no more",
            )
        self._unwatch(message.tag)
        asked = wire.VariableRequest(tag=message.tag, session_id=message.session_id, call_tag=message.call_tag)
        push = _Push(
            message.tag,
            message.watch.names,
            self._put,
            require=lambda: session_of(asked),
            over=lambda: self._unwatch(asked.tag),
        )
        self._watches[message.tag] = session, push
        self._variables.watch(session, push.watcher, push.begin)

    def _unwatch(self, tag: int) -> None:
        session, push = self._watches.pop(tag, (None, None))
        if session is not None and push is not None:
            session.watchers.discard(push.watcher)
            push.stop()


class _Push:
    """What one watch still has to tell its stream: at most one message of it waits to be written.

    ``require`` raises when the stream may not hear of the session any more; ``over`` is called when all has been told.
    """

    def __init__(
        self,
        tag: int,
        names: Iterable[str],
        put: Callable[..., None],
        *,
        require: Callable[[], object],
        over: Callable[[], None],
    ) -> None:
        self.watcher = Watcher(names, self._queue)
        self._tag = tag
        self._put = put
        self._require = require
        self._over = over
        self._complete = False
        self._queued = False
        self._stopped = False

    def begin(self, records: Iterable[Record]) -> None:
        """Tell everything as it is now, also when that is nothing."""
        self._complete = True
        self.watcher.begin(records)
        self._queue()

    def stop(self) -> None:
        """Tell nothing more."""
        self._stopped = True
        self.watcher.end()

    def _queue(self) -> None:
        if not self._queued and not self._stopped:
            self._queued = True
            self._put(self._fill)

    def _fill(self, frame: Any) -> int:
        self._queued = False
        if self._stopped:
            return 0
        answer = frame.variable_answers.add(tag=self._tag)
        try:
            if not self.watcher.ended:
                self._require()
        except AltarError as refused:
            self.watcher.end(refused)
            return self._last(answer)
        size = _SMALL
        while size < WATCH_BYTES or self._complete:  # what is there at the beginning is told as one
            record = self.watcher.take()
            if record is None:
                break
            size += wire.add_variables(answer, (record,))
        else:
            self._queue()
            return size
        answer.complete, self._complete = self._complete, False
        return size + (self._last(answer) if self.watcher.ended else 0)

    def _last(self, answer: wire.VariableAnswer) -> int:
        self._over()
        return wire.add_variables(answer, (), self.watcher.error)


def _bytes_set(request: Request) -> int:
    if isinstance(request, Declare):
        return len(request.schema) + len(request.value)
    if isinstance(request, RecordEvent):
        return len(request.data)
    return sum(map(len, request.values.values())) if isinstance(request, Update) else 0
