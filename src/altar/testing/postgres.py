"""A real PostgreSQL on loopback for the length of a run of tests, with a database for each that asks.

The server is the one of the system's packages, such as Debian's ``postgresql``.
Its data are in a folder of its own and are gone afterwards; it ends with the process that started it, however that
ends.
"""

from __future__ import annotations

import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from altar.testing.waiting import until

__all__ = ["LocalPostgres", "programs_of_postgres"]

_UNTIL_ITS_PARENT_ENDS = """
exec 3<&0
"$@" </dev/null 3<&- & server=$!
( read _ <&3 || true; kill -INT $server 2>/dev/null ) &
wait $server
"""
"""Runs a program until it ends, or the standard input of this script does: its parent has closed it, or is gone."""


_END_OTHERS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""
_TABLES = """
SELECT schemaname, tablename FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND tablename NOT IN ('alembic_version', 'layout')
"""


def programs_of_postgres() -> Path | None:
    """Give the folder with ``initdb`` and ``postgres``, the newest there is; None when none is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return Path(program).resolve().parent if program else None


class LocalPostgres:
    """A server that listens on 127.0.0.1 alone, at a port that was free; a context manager.

    ``url`` is the address of its first database, as the superuser, with the password of this server.
    """

    def __init__(self, *, durable: bool = False) -> None:
        """Start the server and wait until it answers; ``durable`` lets it sync to the disk as one that is kept does.

        Raises RuntimeError when PostgreSQL is not installed, or does not start.
        """
        programs = programs_of_postgres()
        if programs is None:
            raise RuntimeError("PostgreSQL is not installed: apt-get install postgresql")
        self.port = _free_port()
        self._durable = durable
        self._programs = programs
        self._password = secrets.token_hex(16)
        self._folder = Path(tempfile.mkdtemp(prefix="altar-postgres-"))
        self._user = "postgres" if os.geteuid() == 0 else getpass.getuser()
        try:
            self._create()
            self._guard = self._start()
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    @property
    def url(self) -> str:
        """Give the address of the database ``postgres``."""
        return self._url("postgres")

    def create_database(self) -> str:
        """Make an empty database and give its address, as the superuser."""
        import psycopg

        name = f"t_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return self._url(name)

    def empty(self, url: str) -> None:
        """Take every row out of a database and end whoever is connected to it; its tables stay.

        That is many times quicker than a new database.
        """
        import psycopg

        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(_END_OTHERS)
            connection.execute("SET session_replication_role = replica")  # no triggers, no references
            for schema, table in connection.execute(_TABLES).fetchall():
                connection.execute(f'DELETE FROM "{schema}"."{table}"'.encode())  # noqa: S608 (read from its catalogue)

    def drop_database(self, url: str) -> None:
        """Remove a database that `create_database` made, and end whoever is still connected to it."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)".encode())

    def crash(self) -> None:
        """End the server at once, as when its machine loses power but not its disk, and start it again on its data."""
        pid = int((self._folder / "data" / "postmaster.pid").read_text().split("\n", 1)[0])
        os.kill(pid, signal.SIGQUIT)
        self._guard.wait(timeout=30)
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        self._guard = self._start()

    def stop(self) -> None:
        """End the server and remove its data; calling it again does nothing."""
        if self._guard.stdin is not None:
            self._guard.stdin.close()
        try:
            self._guard.wait(timeout=30)
        except subprocess.TimeoutExpired:  # pragma: no cover - a server that hangs
            os.killpg(self._guard.pid, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _url(self, database: str) -> str:
        return f"postgresql://{self._user}:{self._password}@127.0.0.1:{self.port}/{database}"

    def _create(self) -> None:
        """Make the cluster of databases."""
        password = self._folder / "password"
        password.write_text(self._password)
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(self._folder, self._user)
            shutil.chown(password, self._user)
        command = [self._programs / "initdb", "-D", self._folder / "data", "-U", self._user, "-E", "UTF8"]
        command += ["--no-sync", "-A", "scram-sha-256", f"--pwfile={password}", "--no-locale"]
        done = subprocess.run(
            list(map(str, command)), check=False, capture_output=True, text=True, cwd="/", **self._as_user()
        )
        password.unlink()
        if done.returncode:
            raise RuntimeError(f"PostgreSQL cannot be prepared: {done.stderr.strip()}")

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "on" if self._durable else "off",  # the data are gone after the run in any case
            "full_page_writes": "on" if self._durable else "off",
            "wal_level": "minimal",
            "max_wal_senders": 0,
            "autovacuum": "off",
            "max_connections": 200,
        }
        command = ["/bin/sh", "-c", _UNTIL_ITS_PARENT_ENDS, "sh", str(self._programs / "postgres")]
        command += ["-D", str(self._folder / "data")]
        command += [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        log = self._folder / "log"
        with log.open("wb") as output:
            guard = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,
                **self._as_user(),
            )
        try:
            until(lambda: guard.poll() is not None or _answers(self.url), what="PostgreSQL answers")
        finally:
            if guard.poll() is not None:
                raise RuntimeError(f"PostgreSQL does not start: {log.read_text(errors='replace')[-2000:]}")
        return guard

    def _as_user(self) -> dict[str, Any]:
        return {"user": self._user, "group": self._user, "extra_groups": []} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True
