"""Transactions on the store, from a loop or from a plain program, and word of every change.

All work is a function over a connection of SQLAlchemy; it runs in one transaction in a thread of the store.
Whoever registers with `changed` is told of a change by anybody, also by another process on the same database.
"""

from __future__ import annotations

import asyncio
import logging
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, event, select
from sqlalchemy.exc import DBAPIError

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.aesp.store.engines import READS, enter, is_postgres, make_engine, place_of
from altar.aesp.store.faults import is_conflict, malformed, translated
from altar.aesp.store.migrating import migrate
from altar.aesp.store.tables import tenant_versions
from altar.aesp.store.watching import Warnings, Watcher, watch_postgres, watch_sqlite

__all__ = ["EVERY_TENANT", "Store"]

T = TypeVar("T")

EVERY_TENANT = ""
"""What a listener is told when any tenant may have changed."""

_ATTEMPTS = 8
_log = logging.getLogger(__name__)


class Store:
    """The database of administration: `open` it, `run` work on it, `close` it."""

    @classmethod
    def open(cls, url: str) -> Store:
        """Open ``sqlite:///path`` or ``postgresql://…`` and bring its tables forward; blocks until that is done.

        Raises ConfigurationError: INVALID_CONFIG for an address that is none, or tables of a newer ALTAR;
        ENVIRONMENT_ERROR when the database is out of reach or not prepared.
        """
        engine = make_engine(url)
        try:
            migrate(engine)
        except DBAPIError as error:
            engine.dispose()
            raise _unopened(error, place_of(engine)) from error
        except BaseException:
            engine.dispose()
            raise
        return cls(engine)

    def __init__(self, engine: Engine) -> None:
        """Take an engine whose tables are those of this ALTAR; use `open`.

        ``confirmed`` is the time of `time.monotonic` when the database last said what there is: while somebody listens
        to changes at most some seconds ago, unless the database cannot be reached.
        """
        self.engine = engine
        self.confirmed = time.monotonic()
        self._threads = ThreadPoolExecutor(4 if is_postgres(engine) else 1, thread_name_prefix="altar-store")
        self._listeners: list[Callable[[str], None]] = []
        self._seen: dict[str, int] = {}
        self._telling = threading.RLock()
        self._watcher: Watcher | None = None
        self._warn = Warnings()
        event.listen(engine, "before_cursor_execute", _note_write)

    @property
    def dialect(self) -> str:
        """Give ``sqlite`` or ``postgresql``."""
        return self.engine.dialect.name

    async def run(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Run work in one transaction, in a thread of the store, and give what it returns.

        On PostgreSQL it sees ``tenant``'s rows and no others; None: those of all tenants, for administration across
        them.
        ``work`` may be run again after a conflict with another transaction, so it touches nothing but its connection.
        ``reads`` promises that it changes nothing, so it waits for nobody.
        Whoever registered with `changed` has been told of what it changed when this returns.
        Raises what ``work`` raises, and for the database's own refusals: RESOURCE_CONFLICT, UNKNOWN_RESOURCE,
        MALFORMED_REQUEST, DEPENDENCY_UNAVAILABLE or INTERNAL.
        """
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: self.run_now(work, tenant=tenant, reads=reads))

    def run_now(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool = False) -> T:
        """Do the same in this thread, blocking; for the command line and for start-up."""
        attempt = 0
        while True:
            attempt += 1
            try:
                value, wrote = self._transact(work, tenant=tenant, reads=reads)
            except DBAPIError as error:
                if attempt < _ATTEMPTS and is_conflict(error):
                    time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 (spreads those that met)
                    continue
                raise translated(error) from error
            except UnicodeEncodeError as error:
                raise malformed("a text is not UTF-8") from error
            if wrote:
                self._look(tenant)
            return value

    def changed(self, listener: Callable[[str], None]) -> None:
        """Let ``listener(tenant)`` be called after each change, "" when it may have been any tenant.

        It is called in whatever thread learns of it, one call at a time, and may read with `run_now`.
        From the first listener on the database is watched for changes by other processes.
        """
        with self._telling:
            if self._watcher is None:
                self._seen = self._versions()
                if is_postgres(self.engine):
                    self._watcher = watch_postgres(self.engine, self._look_quietly)
                else:
                    self._watcher = watch_sqlite(self.engine, self._look_quietly, self._confirm)
            self._listeners.append(listener)

    def close(self) -> None:
        """Finish what runs and let go of the database; calling it again does nothing."""
        if self._watcher is not None:
            self._watcher.close()
        self._threads.shutdown()
        self.engine.dispose()

    def _transact(self, work: Callable[[Connection], T], *, tenant: str | None, reads: bool) -> tuple[T, bool]:
        options: dict[str, Any] = {READS: reads}
        if reads and is_postgres(self.engine):
            options |= {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        with self.engine.connect().execution_options(**options) as connection:
            with connection.begin():
                enter(connection, tenant=tenant)
                connection.info.pop(_WROTE, None)
                value = work(connection)
            return value, connection.info.pop(_WROTE, False)

    def _look(self, tenant: str | None = None) -> None:
        """Find out whether this tenant changed, or which did, and tell the listeners.

        A second caller waits until the first has told them.
        """
        with self._telling:
            if not self._listeners:
                return
            now = self._versions(tenant)
            for name in [each for each, version in now.items() if self._seen.get(each) != version]:
                for listener in self._listeners:
                    listener(name)
                self._seen[name] = now[name]  # only now: what could not be told is told at the next look
            self._confirm()

    def _confirm(self) -> None:
        self.confirmed = time.monotonic()

    def _look_quietly(self) -> None:
        try:
            self._look()
        except AltarError as error:
            self._warn(error.code)
        except Exception:  # noqa: BLE001 - whatever a listener raised, the next change must be heard of
            _log.exception("a listener to changes failed")

    def _versions(self, tenant: str | None = None) -> dict[str, int]:
        def read(connection: Connection) -> dict[str, int]:
            query = select(tenant_versions)
            if tenant is not None:
                query = query.where(tenant_versions.c.tenant == tenant)
            return {row.tenant: row.version for row in connection.execute(query)}

        return self.run_now(read, tenant=tenant, reads=True)


_WROTE = "altar_wrote"
_READING = ("SELECT", "PRAGMA", "EXPLAIN", "SHOW")


def _note_write(
    connection: Connection, _cursor: object, statement: str, _parameters: object, _context: object, _many: object
) -> None:
    if not statement.lstrip()[:7].upper().startswith(_READING):
        connection.info[_WROTE] = True


def _unopened(error: DBAPIError, place: str) -> AltarError:
    told = translated(error)
    if isinstance(told, ExecutionError):
        return ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The store of tenants and roles at {place!r} cannot be opened",
            hint="check the address, the password and that the database runs",
            detail=f"{type(error.orig).__name__}: {str(error.orig).splitlines()[0] if str(error.orig) else ''}",
        )
    return told
