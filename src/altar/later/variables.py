"""The variables of a session, as an application or a tool uses them.

A variable has a name, a type, a value and a version, and every set checks the value against the type.
`Variables` is for code that awaits, `SyncVariables` is the same for code that does not.
Both ask a `VariableSource`: `LocalVariables` keeps the variables in this process, and a grid keeps them on its host.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar, runtime_checkable

import orjson

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, DeclarationError, ExecutionError
from altar.adm.schema import Schema
from altar.later.app_records import RecordEvent
from altar.later.json_form import JsonForm
from altar.later.variable_table import (
    Declare,
    Delete,
    Read,
    Record,
    Request,
    Update,
    VariableConflictError,
    VariableTable,
    Watcher,
    compiled,
    require_sendable,
)

__all__ = [
    "LocalVariables",
    "SyncVariables",
    "SyncWatch",
    "Variable",
    "VariableConflictError",
    "VariableSource",
    "Variables",
    "Watch",
    "at_once",
]

T = TypeVar("T")
Then = Callable[[tuple[Record, ...], AltarError | None], None]
Names = list[str]


@dataclass(frozen=True, slots=True)
class Variable:
    """A variable as it was when it was read; ``value`` is plain JSON, and None once it is ``deleted``."""

    name: str
    value: Any
    version: int
    deleted: bool = False
    declared: bytes = field(default=b"", repr=False)

    @classmethod
    def of(cls, record: Record) -> Self:
        """The variable of a record."""
        value = None if record.deleted else orjson.loads(record.value)
        return cls(record.name, value, record.version, record.deleted, record.schema)

    @property
    def schema(self) -> Schema:
        """Its type; of a deleted variable, the schema that everything fits."""
        return compiled(self.declared) if self.declared else Schema({})


@runtime_checkable
class VariableSource(Protocol):
    """Where the variables of a session are kept."""

    @property
    def session_id(self) -> str:
        """The id of the session whose variables these are."""
        ...

    def ask(self, request: Request, then: Then) -> None:
        """Carry out a request; ``then`` is called exactly once, now or later, with the records or with an error.

        A change that was answered must not be lost while the session lives.
        """
        ...

    def watch(self, watcher: Watcher) -> None:
        """Tell the watcher what there is now, and what changes, until it is taken away or nothing can change."""
        ...

    def unwatch(self, watcher: Watcher) -> None:
        """Tell it nothing more. May be called from any thread, and more than once."""
        ...

    def patience(self) -> float | None:
        """Seconds after which a watch that heard nothing asks again; None where it is told of everything.

        Raises what ends the watch.
        """
        ...


class Lifetime(Protocol):
    """How long a session of this process lives; its catalog knows."""

    @property
    def left(self) -> float:
        """Seconds until the session is over, unless it is used again."""
        ...

    def touch(self) -> None:
        """The session is used. Raises SESSION_EXPIRED when it is over."""
        ...


class LocalVariables:
    """Keeps the variables of a session in this process. Safe to use from several threads.

    Every request lets the session live longer; a watch alone does not, and ends with it.
    """

    def __init__(self, lifetime: Lifetime, *, session_id: str) -> None:
        self.session_id = session_id
        self._lifetime = lifetime
        self._table = VariableTable()
        self._watchers: weakref.WeakSet[Watcher] = weakref.WeakSet()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._table)

    def ask(self, request: Request, then: Then) -> None:
        """Answer at once, in this thread."""
        try:
            with self._lock:
                self._lifetime.touch()
                applied = self._table.apply(request)
                if applied.changed:
                    for watcher in list(self._watchers):
                        watcher.offer(applied.changed)
        except AltarError as refused:
            then((), refused)
        else:
            then(applied.answer, None)

    def watch(self, watcher: Watcher) -> None:
        """Tell the watcher of every change in this process."""
        with self._lock:
            self._lifetime.touch()
            self._watchers.add(watcher)
            watcher.begin(self._table.those(watcher.names))

    def patience(self) -> float | None:
        """Until the session is over: nobody but who asks would notice. Raises SESSION_EXPIRED when it is."""
        left = self._lifetime.left
        if left <= 0:
            self._lifetime.touch()  # which says that it is over
        return left

    def unwatch(self, watcher: Watcher) -> None:
        """Forget the watcher."""
        with self._lock:
            self._watchers.discard(watcher)

    def close(self) -> None:
        """The session is over: every watch ends."""
        with self._lock:
            for watcher in list(self._watchers):
                watcher.end()
            self._watchers.clear()


class Variables:
    """The variables of a session, for code that awaits.

    What goes wrong is raised, as an AltarError: UNKNOWN_VARIABLE with the nearest name there is, SCHEMA_VIOLATION with
    the path of what does not fit, `VariableConflictError` (VARIABLE_CONFLICT) with the versions as they are now.
    ``timeout`` is how many seconds an answer may take; ``guard`` raises when the session cannot be used here and now.
    """

    def __init__(self, source: VariableSource, *, timeout: float, guard: Callable[[], None]) -> None:
        self._source = source
        self._timeout = timeout
        self._guard = guard

    async def declare(self, name: str, type: Any, /, *, value: Any) -> Variable:
        """Make a variable of a type: a Python annotation or a Schema.

        One that is there already with the same type is given as it is; with another type it is VARIABLE_CONFLICT.
        """
        schema = canonical(_schema_of(name, type).to_adm(), max_depth=_SCHEMA_DEPTH)
        (record,) = await self._ask(Declare(name, schema, _VALUE.write(value)))
        return Variable.of(record)

    async def get(self, name: str) -> Variable:
        """The variable as it is."""
        (record,) = await self._ask(Read((name,)))
        return Variable.of(record)

    async def set(self, name: str, value: Any, *, expected_version: int | None = None) -> Variable:
        """Give a variable another value, if it still has the version that is expected; its version grows by one."""
        expected = {} if expected_version is None else {name: expected_version}
        (record,) = await self._ask(Update({name: _VALUE.write(value)}, expected))
        return Variable.of(record)

    async def update(
        self, values: Mapping[str, Any], *, expected: Mapping[str, int] | None = None
    ) -> dict[str, Variable]:
        """Set several variables, all or none, if every variable in ``expected`` still has that version."""
        written = {name: _VALUE.write(value) for name, value in values.items()}
        return _by_name(await self._ask(Update(written, dict(expected or {}))))

    async def delete(self, name: str, *, expected_version: int | None = None) -> None:
        """Delete a variable; one that is declared under this name later has a higher version."""
        await self._ask(Delete(name, expected_version))

    async def list(self) -> Names:
        """The names of all variables, sorted."""
        return [record.name for record in await self._ask(Read())]

    async def snapshot(self) -> dict[str, Variable]:
        """All variables as they are at one moment, by name."""
        return _by_name(await self._ask(Read()))

    def watch(self, *names: str) -> Watch:
        """Every change of these variables, of all if none is named: ``async for variable in variables.watch("x")``.

        It begins with the variables as they are.
        A slow reader gets the latest value and not each one, and never misses that something has changed.
        A deleted variable comes as one that is ``deleted``; a name that is not declared yet is waited for.
        """
        self._guard()
        return Watch(self._source, names)

    async def record(self, asked: RecordEvent) -> None:
        """Put an event into the record of the session; it is there when this returns."""
        await self._ask(asked)

    async def _ask(self, request: Request) -> tuple[Record, ...]:
        self._guard()
        require_sendable(request)  # beyond these limits it would not even reach a host
        reply = _Reply()
        self._source.ask(request, reply.take)
        if not reply.is_there:
            await reply.wait(self._timeout, may_have_run=not isinstance(request, Read))
        if reply.error is not None:
            raise reply.error
        return reply.records


class _Reply:
    """The answer to one request, and who waits for it."""

    def __init__(self) -> None:
        self.is_there = False
        self.records: tuple[Record, ...] = ()
        self.error: AltarError | None = None
        self._waiting: asyncio.Future[None] | None = None

    def take(self, records: tuple[Record, ...], error: AltarError | None) -> None:
        self.is_there, self.records, self.error = True, records, error
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self, seconds: float, *, may_have_run: bool) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._waiting
        except TimeoutError:
            raise ExecutionError(
                "TIMEOUT",
                "The variables did not answer in time",
                ran="unknown" if may_have_run else "no",
                hint="read them again to see what became of a change",
            ) from None


class Watch:
    """The changes of variables, one after the other; ends with the session.

    Iterate over it with ``async for``; ``aclose()``, or leaving ``async with``, ends it earlier.
    """

    def __init__(self, source: VariableSource, names: tuple[str, ...]) -> None:
        self._changed = asyncio.Event()
        self._watcher = Watcher(names, _waker(asyncio.get_running_loop(), self._changed))
        self._source = source
        source.watch(self._watcher)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Variable:
        """The next variable that has changed, or was there at the beginning."""
        while (record := self._watcher.take()) is None:
            if self._watcher.ended:
                if self._watcher.error is not None:
                    raise self._watcher.error
                raise StopAsyncIteration
            self._changed.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._source.patience()):
                    await self._changed.wait()
        return Variable.of(record)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End it."""
        self._source.unwatch(self._watcher)
        self._watcher.end()

    def __del__(self) -> None:
        if hasattr(self, "_source"):  # it was made, inside of a loop
            self._source.unwatch(self._watcher)


class SyncVariables:
    """The variables of a session, for code that does not await; see :class:`Variables`.

    ``run`` carries out a coroutine that asks, ``wait`` one that may wait for ever.
    """

    def __init__(
        self,
        variables: Variables,
        *,
        run: Callable[[Coroutine[Any, Any, Any]], Any],
        wait: Callable[[Coroutine[Any, Any, Any]], Any],
    ) -> None:
        self._variables = variables
        self._run: Callable[[Coroutine[Any, Any, T]], T] = run
        self._wait = wait

    def declare(self, name: str, type: Any, /, *, value: Any) -> Variable:
        """Make a variable of a type: a Python annotation or a Schema."""
        return self._run(self._variables.declare(name, type, value=value))

    def get(self, name: str) -> Variable:
        """The variable as it is."""
        return self._run(self._variables.get(name))

    def set(self, name: str, value: Any, *, expected_version: int | None = None) -> Variable:
        """Give a variable another value, if it still has the version that is expected; its version grows by one."""
        return self._run(self._variables.set(name, value, expected_version=expected_version))

    def update(self, values: Mapping[str, Any], *, expected: Mapping[str, int] | None = None) -> dict[str, Variable]:
        """Set several variables, all or none, if every variable in ``expected`` still has that version."""
        return self._run(self._variables.update(values, expected=expected))

    def delete(self, name: str, *, expected_version: int | None = None) -> None:
        """Delete a variable; one that is declared under this name later has a higher version."""
        self._run(self._variables.delete(name, expected_version=expected_version))

    def list(self) -> Names:
        """The names of all variables, sorted."""
        return self._run(self._variables.list())

    def snapshot(self) -> dict[str, Variable]:
        """All variables as they are at one moment, by name."""
        return self._run(self._variables.snapshot())

    def record(self, asked: RecordEvent) -> None:
        """Put an event into the record of the session."""
        self._run(self._variables.record(asked))

    def watch(self, *names: str) -> SyncWatch:
        """Every change of these variables, of all if none is named: ``for variable in variables.watch("x")``."""
        return SyncWatch(self._variables, names, self._wait)


class SyncWatch:
    """The changes of variables for code that does not await; see :class:`Watch`. ``close()`` ends it."""

    def __init__(
        self, variables: Variables, names: tuple[str, ...], wait: Callable[[Coroutine[Any, Any, Any]], Any]
    ) -> None:
        self._wait = wait
        self._watch: Watch = wait(_opened(variables, names))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Variable:
        """Wait for the next variable that has changed, or was there at the beginning."""
        found: Variable | None = self._wait(_next(self._watch))
        if found is None:
            raise StopIteration
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it; whoever waits in it is let go."""
        self._wait(self._watch.aclose())


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """Carry out a coroutine that never waits, without an event loop."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("variables that are kept in this process are never waited for")


async def _opened(variables: Variables, names: tuple[str, ...]) -> Watch:
    return variables.watch(*names)


async def _next(watch: Watch) -> Variable | None:
    return await anext(watch, None)


def _waker(loop: asyncio.AbstractEventLoop, changed: asyncio.Event) -> Callable[[], None]:
    """What wakes a watch from any thread; it does not hold the watch, so that a watch nobody reads can go."""

    def wake() -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(changed.set)

    return wake


def _by_name(records: tuple[Record, ...]) -> dict[str, Variable]:
    return {record.name: Variable.of(record) for record in records}


def _schema_of(name: str, kind: Any) -> Schema:
    """The schema of a type, read as the type that a function returns."""
    if isinstance(kind, Schema):
        return kind
    from altar.later.introspection.introspect import (
        declare,  # heavy: it comes with the first type that is an annotation
    )

    def variable() -> None:
        """A variable."""

    variable.__annotations__ = {"return": kind}
    try:
        declaration, _ = declare(variable)
    except DeclarationError as unfit:
        message = unfit.message.replace("The result of 'variable'", f"The type of variable {name!r}")
        raise DeclarationError(unfit.code, message, hint=unfit.hint, detail=unfit.detail, ran="no") from None
    return declaration.returns or Schema({})


_SCHEMA_DEPTH = 200
_VALUE = JsonForm("The value of the variable", "The value", "set", "no")
