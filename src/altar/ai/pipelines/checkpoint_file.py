"""The file of checkpoints: one SQLite database, written by a thread of its own, shared by any number of processes.

What is asked for at the same time is committed together, and is on the disk (``synchronous=FULL``) before it is
answered.
Only its owner can read the file; inputs and results lie in it in the clear.
Beside it are a file of locks, ``<path>.lock``, and while somebody writes those of SQLite.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
import struct
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, ValidationError

__all__ = ["SCHEMA", "CheckpointWriter", "Lease", "damaged", "is_held", "opened", "reading"]

T = TypeVar("T")

APPLICATION_ID: Final = 0x414C5450  # "ALTP"
SCHEMA: Final = 2
"""The version of the tables; a file of another one is refused."""
DDL: Final = (
    """CREATE TABLE runs (run_id TEXT PRIMARY KEY, lock INTEGER NOT NULL, pipeline TEXT NOT NULL, version TEXT NOT NULL,
 digest TEXT NOT NULL, owner TEXT NOT NULL, salt TEXT NOT NULL, inputs BLOB NOT NULL, begun_ms INTEGER NOT NULL,
 process INTEGER NOT NULL, status TEXT NOT NULL, ended_ms INTEGER NOT NULL, result BLOB NOT NULL,
 seal BLOB NOT NULL)""",
    """CREATE TABLE steps (number INTEGER PRIMARY KEY, run_id TEXT NOT NULL, path TEXT NOT NULL,
 begun_ms INTEGER NOT NULL, place TEXT NOT NULL, state TEXT NOT NULL, round INTEGER NOT NULL,
 ended_ms INTEGER NOT NULL, fields BLOB NOT NULL, record BLOB NOT NULL, seal BLOB NOT NULL, UNIQUE (run_id, path))""",
    "CREATE TABLE sums (run_id TEXT PRIMARY KEY, steps BLOB NOT NULL) WITHOUT ROWID",
)


class CheckpointWriter:
    """Does what is asked of it in its thread, one transaction for all that waits; from any event loop.

    The thread and the connection are there from the first errand until it is closed, or nobody has it any more.
    """

    def __init__(self, path: str | Path) -> None:
        """Take the path; nothing is opened before the first errand."""
        self.path = os.path.realpath(path)
        self._guard = threading.Lock()
        self._thread = _Thread()
        weakref.finalize(self, self._thread.end)

    async def do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do some work on the database, within a transaction; it is durable when this returns.

        An AltarError that ``work`` raises undoes what it did, and nothing else.
        Raises ConfigurationError for a file that cannot be used, ExecutionError when the disk does not take it.
        """
        return await self.begin(work)

    def begin(self, work: Callable[[sqlite3.Connection], T]) -> asyncio.Future[T]:
        """The same, without waiting: a future of the running loop that is done when the work is durable.

        What is begun first is done first.
        """
        errand = _Errand(work, asyncio.get_running_loop())
        with self._guard:
            self._thread.begin(self.path).put(errand)
        return errand.future

    async def close(self) -> None:
        """Close the file, and wait until that is done; the next errand opens it again."""
        closed = _Errand(_nothing, asyncio.get_running_loop(), last=True)
        with self._guard:
            begun = self._thread.end(closed)
        if begun:
            await asyncio.shield(closed.future)

    def let_go(self) -> None:
        """Close the file soon, without waiting for that."""
        with self._guard:
            self._thread.end()


class Lease:
    """The right to go on with one run, for this process alone, until it is let go of or the process ends.

    ``number`` is that of the run; the lock is on the byte of that number in the file of locks, so that the kernel
    takes it back from a process that is killed.
    """

    def __init__(self, path: str, *, number: int, run_id: str, process: int) -> None:
        """Take it. Raises ValidationError RESOURCE_CONFLICT when another process has it, or this one already."""
        self._file = _lock_file(path)
        self._number = number
        self._owner = os.getpid()
        try:
            fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _lock(fcntl.F_WRLCK, number))
        except OSError as held:
            os.close(self._file)
            raise ValidationError(
                "RESOURCE_CONFLICT",
                f"The run {run_id!r} is being run by process {process}",
                ran="no",
                hint="wait until that ends, or end it first",
            ) from held

    def release(self) -> None:
        """Let others go on with the run; calling it again does nothing.

        A child that was forked meanwhile has the file open, too: it must be unlocked, and never by the child.
        """
        if self._file >= 0:
            if self._owner == os.getpid():
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, self._number))
            os.close(self._file)
            self._file = -1


def is_held(path: str, number: int) -> bool:
    """Whether some process goes on with the run of that number."""
    try:
        file = os.open(f"{path}.lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        asked = fcntl.fcntl(file, fcntl.F_OFD_GETLK, _lock(fcntl.F_WRLCK, number))
        return bool(struct.unpack(_FLOCK, asked)[0] != fcntl.F_UNLCK)
    finally:
        os.close(file)


def opened(path: str) -> sqlite3.Connection:
    """A connection to the file, which is made if it is not there.

    Raises ConfigurationError: ENVIRONMENT_ERROR when it is out of reach, LOG_DAMAGED when it is no such file or does
    not hold together; ValidationError VERSION_MISMATCH when a newer ALTAR wrote it.
    """
    with _one_at_a_time(path):
        _make_private(path)
        with translated(path):
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_PATIENCE)
        try:
            with translated(path):
                _prepare(connection, path)
        except BaseException:
            connection.close()
            raise
    return connection


@contextlib.contextmanager
def reading(path: str) -> Iterator[sqlite3.Connection]:
    """A connection to look at a file that is there; raises UNKNOWN_RESOURCE when it is not, else as :func:`opened`."""
    _require_plain(path)
    if not Path(path).is_file():
        raise ValidationError(
            "UNKNOWN_RESOURCE",
            f"There is no file of checkpoints {path!r}",
            ran="no",
            hint="the first run with it makes it",
        )
    connection = opened(os.path.realpath(path))
    try:
        with translated(path):
            yield connection
    finally:
        connection.close()


def damaged(path: str, what: str, *, hint: str | None = None, detail: str | None = None) -> ConfigurationError:
    """The error for a file that is not as it was written; ``what`` says what is wrong with it."""
    return ConfigurationError(
        "LOG_DAMAGED",
        f"The checkpoints {path!r} are damaged: {what}",
        hint=hint or "look at what the tools of the run did, and begin a new run with another file",
        detail=detail,
    )


@contextlib.contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn the errors of the database into ours; errors of ours pass."""
    try:
        yield
    except (sqlite3.Error, OSError) as failed:
        raise _told(path, failed) from failed


# ------------------------------------------------------------------------------------------------------- the thread


@dataclass(slots=True, eq=False)
class _Errand(Generic[T]):
    """Something to do in the thread, and where its answer goes."""

    work: Callable[[sqlite3.Connection], T]
    loop: asyncio.AbstractEventLoop
    last: bool = False
    future: asyncio.Future[T] = field(init=False)
    value: Any = None
    error: BaseException | None = None

    def __post_init__(self) -> None:
        self.future = self.loop.create_future()

    def answer(self) -> None:
        """Give it back to its loop, unless that is closed by now."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        if self.future.done():
            return  # who asked waits no longer
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.value)


_Queue = SimpleQueue[_Errand[Any] | None]


class _Thread:
    """The queue of the thread of a writer, which is there between `begin` and `end`; a forked child has its own."""

    def __init__(self) -> None:
        self._queue: _Queue | None = None
        self._process = 0

    def begin(self, path: str) -> _Queue:
        """The queue of the thread, which is started unless it is there."""
        if self._queue is None or self._process != os.getpid():
            self._queue, self._process = SimpleQueue(), os.getpid()
            threading.Thread(target=_serve, args=(path, self._queue), name="altar-checkpoints", daemon=True).start()
        return self._queue

    def end(self, last: _Errand[None] | None = None) -> bool:
        """Let the thread close the file and end, after all that waits; whether there is one."""
        queue, self._queue = self._queue, None
        if queue is None or self._process != os.getpid():
            return False
        queue.put(last)
        return True


def _serve(path: str, queue: _Queue) -> None:
    """The thread: take what waits, commit it together, answer; until the last errand, or None."""
    connection: sqlite3.Connection | None = None
    errands: list[_Errand[Any] | None] = []
    while not errands or not _is_last(errands[-1]):
        errands = _waiting(queue)
        wanted = [one for one in errands if one is not None and not one.last]
        try:
            if wanted:
                connection = connection or opened(path)
                with translated(path):
                    _commit(connection, wanted)
        except Exception as failed:  # noqa: BLE001 - whoever waits for it is to hear of it
            for one in wanted:
                one.error = one.error or failed
        for one in wanted:
            one.answer()
    if connection is not None:
        with contextlib.suppress(sqlite3.Error):  # all of it is durable; closing only tidies up
            connection.close()
    if errands[-1] is not None:
        errands[-1].answer()


def _is_last(errand: _Errand[Any] | None) -> bool:
    return errand is None or errand.last


def _waiting(queue: _Queue) -> list[_Errand[Any] | None]:
    """The next errand, and those that have come meanwhile; nothing comes after the last one."""
    errands = [queue.get()]
    with contextlib.suppress(Empty):
        while len(errands) < _MOST_TOGETHER and not _is_last(errands[-1]):
            errands.append(queue.get_nowait())
    return errands


def _commit(connection: sqlite3.Connection, errands: list[_Errand[Any]]) -> None:
    """Do errands in one transaction; of several, one that is refused is undone alone."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        if len(errands) == 1:
            errands[0].value = errands[0].work(connection)
            connection.execute("COMMIT")
            return
        for errand in errands:
            connection.execute("SAVEPOINT errand")
            try:
                errand.value = errand.work(connection)
            except AltarError as refused:
                errand.error = refused
                connection.execute("ROLLBACK TO errand")
            connection.execute("RELEASE errand")
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):  # the first error is the one to tell
            connection.execute("ROLLBACK")
        raise


def _nothing(_connection: sqlite3.Connection) -> None:
    """The last errand: the file is closed behind it."""


# --------------------------------------------------------------------------------------------------------- the file


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Set what holds for the connection; check what the file is, or make it one of ours."""
    connection.execute("PRAGMA secure_delete = ON")  # or what is forgotten would still be in there
    ((objects,),) = connection.execute("SELECT count(*) FROM sqlite_schema")
    ((application,),) = connection.execute("PRAGMA application_id")
    ((version,),) = connection.execute("PRAGMA user_version")
    is_new = not objects and not application
    if not is_new:
        _check_layout(connection, path, application=application, version=version)
    ((mode,),) = connection.execute("PRAGMA journal_mode = WAL")
    if mode != "wal":
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The folder of {path!r} cannot hold a write-ahead log",
            hint="put the checkpoints on a local disk",
        )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
    if is_new:
        connection.execute("BEGIN IMMEDIATE")
        for statement in (*DDL, f"PRAGMA application_id = {APPLICATION_ID}", f"PRAGMA user_version = {SCHEMA}"):
            connection.execute(statement)
        connection.execute("COMMIT")


def _check_layout(connection: sqlite3.Connection, path: str, *, application: int, version: int) -> None:
    if application != APPLICATION_ID:
        raise damaged(path, "it is another program's database", hint="give the runs a file of their own")
    if 0 < version < SCHEMA:
        raise ValidationError(
            "VERSION_MISMATCH",
            f"The checkpoints {path!r} are of version {version}, and this ALTAR reads version {SCHEMA} alone",
            ran="no",
            hint="end its runs with the ALTAR that wrote them, and give another file to this one",
        )
    if version > SCHEMA:
        raise ValidationError(
            "VERSION_MISMATCH",
            f"The checkpoints {path!r} are of version {version}, this ALTAR knows {SCHEMA}",
            ran="no",
            hint="go on with the newer ALTAR that wrote them, or give a file of its own to this one",
        )
    told = [sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'table' ORDER BY rowid")]
    if told != list(DDL):
        raise damaged(path, "its tables are not those of checkpoints")


def _told(path: str, failed: sqlite3.Error | OSError) -> AltarError:
    """What is said of an error of the database or of the disk."""
    code = getattr(failed, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT}:
        return damaged(path, "the database cannot be read", hint=_NO_DATABASE, detail=str(failed))
    if code in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY}:
        return _out_of_reach(path, str(failed))
    full = code == sqlite3.SQLITE_FULL
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"The checkpoints {path!r} cannot be written: {'the disk is full' if full else failed}",
        ran="unknown",
        hint="the run can be resumed once they can be; a step that ran meanwhile is one whose outcome is unknown",
        detail=str(failed),
    )


def _make_private(path: str) -> None:
    """Make an empty file that only its owner can read, unless there is one; SQLite copies its mode."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise _out_of_reach(path, error.strerror) from error


@contextlib.contextmanager
def _one_at_a_time(path: str) -> Iterator[None]:
    """Let one process at a time make a file what it is to be."""
    file = _lock_file(path)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLKW, _lock(fcntl.F_WRLCK, 0))
        yield
    finally:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, _lock(fcntl.F_UNLCK, 0))  # a child forked meanwhile has it open, too
        os.close(file)


def _lock_file(path: str) -> int:
    _require_plain(path)
    try:
        return os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _out_of_reach(path, error.strerror) from error


def _require_plain(path: str) -> None:
    """Raise ENVIRONMENT_ERROR for what is there and is no file, before anything is made beside it or waits for it."""
    there = Path(path)
    if there.exists() and not there.is_file():
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"{path!r} is a {'directory' if there.is_dir() else 'device or a pipe'}, and can hold no checkpoints",
            hint="give the path of a file, which the first run makes",
        )


def _lock(kind: int, number: int) -> bytes:
    """A ``struct flock`` for one byte."""
    return struct.pack(_FLOCK, kind, os.SEEK_SET, number, 1, 0)


def _out_of_reach(path: str, why: str | None) -> ConfigurationError:
    return ConfigurationError(
        "ENVIRONMENT_ERROR",
        f"The checkpoints {path!r} cannot be opened: {why}",
        hint="their folder must exist and may be written by this user",
    )


_NO_DATABASE: Final = (
    "give the path of a file of checkpoints; if it is one, look at what the tools of the run did, "
    "and begin a new run with another file"
)
_FLOCK: Final = "@hhqqi0q"
_PATIENCE: Final = 10.0  # seconds that a transaction waits for that of another process
_MOST_TOGETHER: Final = 256
_LOG_PAGES: Final = 100
"""Pages after which the write-ahead log begins again at its start: syncing a file that grows takes twice as long."""
