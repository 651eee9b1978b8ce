"""Noticing what other processes changed in the same database.

SQLite counts the commits of others in `data_version`, which is looked at ten times a second.
PostgreSQL sends a notification with each commit; after a lost connection, and every two seconds in any case, the
versions are read again, so that nothing is missed for longer than that.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import psycopg
from sqlalchemy.exc import DBAPIError

from altar.aesp.store.ddl import CHANNEL

if TYPE_CHECKING:
    from sqlalchemy import Engine

__all__ = ["Warnings", "Watcher", "watch_postgres", "watch_sqlite"]

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.1
_LOOK_SECONDS = 2.0
_AGAIN_SECONDS = 1.0
_WARNING_SECONDS = 60.0


class Watcher:
    """A thread that looks until it is closed."""

    def __init__(self, watch: Callable[[threading.Event], None]) -> None:
        """Start the thread; ``watch`` runs in it until the event is set."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=watch, args=(self._stop,), name="altar-store-watch", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking; blocks until the thread has ended."""
        self._stop.set()
        self._thread.join()


def watch_sqlite(engine: Engine, look: Callable[[], None], confirm: Callable[[], None]) -> Watcher:
    """Call ``look`` whenever another connection has committed, and ``confirm`` whenever none has."""
    warn = Warnings()

    def watch(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                _poll(engine, look, confirm, stop)
            except DBAPIError as error:
                warn(type(error.orig).__name__)
                stop.wait(_AGAIN_SECONDS)

    return Watcher(watch)


def watch_postgres(engine: Engine, look: Callable[[], None]) -> Watcher:
    """Call ``look`` at each notification, after each new connection, and every two seconds."""
    warn = Warnings()

    def watch(stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                _listen(engine, look, stop)
            except (psycopg.Error, DBAPIError) as error:
                warn(type(error).__name__)
                stop.wait(_AGAIN_SECONDS)

    return Watcher(watch)


class Warnings:
    """Says that the store cannot be watched, at once and then once a minute at most, however often it is tried."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take a monotonic clock, in seconds."""
        self._clock = clock
        self._quiet_until = -math.inf
        self._tried = 0

    def __call__(self, kind: str) -> None:
        """Count an attempt in vain, and warn of it when it is time; ``kind`` names the error."""
        self._tried += 1
        if self._clock() >= self._quiet_until:
            self._quiet_until = self._clock() + _WARNING_SECONDS
            _log.warning("the store cannot be watched", extra={"error": kind, "attempts": self._tried})
            self._tried = 0


def _poll(engine: Engine, look: Callable[[], None], confirm: Callable[[], None], stop: threading.Event) -> None:
    raw = engine.raw_connection()
    try:
        seen = None
        while True:
            cursor = raw.cursor()
            cursor.execute("PRAGMA data_version")
            now = cursor.fetchone()
            cursor.close()
            if now != seen:
                seen = now
                look()
            else:
                confirm()
            if stop.wait(_POLL_SECONDS):
                return
    finally:
        raw.close()


def _listen(engine: Engine, look: Callable[[], None], stop: threading.Event) -> None:
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"LISTEN {CHANNEL}")
        driver = connection.connection.driver_connection
        assert isinstance(driver, psycopg.Connection)  # noqa: S101 (the engine is that of psycopg)
        look()
        waited = 0.0
        try:
            while not stop.is_set():
                told = next(driver.notifies(timeout=_POLL_SECONDS, stop_after=1), None)
                waited += _POLL_SECONDS
                if told is not None or waited >= _LOOK_SECONDS:
                    waited = 0.0
                    connection.exec_driver_sql("SELECT 1")  # a connection that is gone says so here
                    look()
        finally:
            connection.invalidate()  # a connection that listens is of no use to others
