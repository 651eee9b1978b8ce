"""The PostgreSQL that tests start leaves nothing behind, however the tests end."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from altar.testing import until
from altar.testing.postgres import LocalPostgres

PROGRAM = """
import sys
from altar.testing.postgres import LocalPostgres

server = LocalPostgres()
print(server._folder, flush=True)
sys.stdin.read()
"""


def test_the_server_ends_when_its_starter_is_killed(postgres: LocalPostgres) -> None:
    starter = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert starter.stdout is not None
    folder = Path(starter.stdout.readline().strip())
    postmaster = int((folder / "data" / "postmaster.pid").read_text().splitlines()[0])

    starter.send_signal(signal.SIGKILL)

    starter.communicate()
    until(lambda: not Path(f"/proc/{postmaster}").exists(), what="the server ends")
    shutil.rmtree(folder)  # who was killed could not


def test_a_stopped_server_is_gone_with_its_data(postgres: LocalPostgres) -> None:
    with LocalPostgres() as server:
        url, folder = server.create_database(), server._folder

    assert not folder.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5)


def test_an_emptied_database_has_its_tables_and_no_rows(postgres: LocalPostgres, postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE a (x int PRIMARY KEY)")
        connection.execute("CREATE TABLE b (x int REFERENCES a)")
        connection.execute("INSERT INTO a VALUES (1)")
        connection.execute("INSERT INTO b VALUES (1)")

    postgres.empty(postgres_url)

    with psycopg.connect(postgres_url) as connection:
        assert [(0, 0)] == connection.execute("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)").fetchall()
