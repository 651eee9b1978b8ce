"""The store over TLS: a real PostgreSQL with a certificate, and connections that insist on whose it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import trustme
from sqlalchemy import text

from altar.adm.errors import ConfigurationError
from altar.aesp.store.database import Store
from altar.testing.postgres import LocalPostgres, programs_of_postgres

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[trustme.CA, Path]:
    made = trustme.CA()
    at = tmp_path_factory.mktemp("authority") / "ca.pem"
    made.cert_pem.write_to_path(at)
    return made, at


@pytest.fixture(scope="module")
def server() -> Iterator[LocalPostgres]:
    if programs_of_postgres() is None:
        pytest.skip("PostgreSQL is not installed: make setup-providers")
    with LocalPostgres() as made:
        yield made


def present(server: LocalPostgres, authority: trustme.CA, trust: Path, name: str) -> None:
    """Let the server show a certificate for this name from now on."""
    data = server._folder / "data"
    issued = authority.issue_cert(name)
    for file, pem in (("server.crt", issued.cert_chain_pems[0]), ("server.key", issued.private_key_pem)):
        pem.write_to_path(data / file)
        (data / file).chmod(0o600)
        if os.geteuid() == 0:
            shutil.chown(data / file, "postgres", "postgres")
    with psycopg.connect(server.url, autocommit=True) as admin:
        admin.execute("ALTER SYSTEM SET ssl = 'on'")
        admin.execute("SELECT pg_reload_conf()")
    _until_shown(server, name, trust)


def _until_shown(server: LocalPostgres, name: str, trust: Path) -> None:
    from altar.testing.waiting import until

    def is_shown() -> bool:
        try:
            given = f"sslmode=verify-full&sslrootcert={trust}&hostaddr=127.0.0.1"
            psycopg.connect(f"{server.url.replace('@127.0.0.1:', f'@{name}:')}?{given}").close()
        except psycopg.OperationalError:
            return False
        return True

    until(is_shown, what="PostgreSQL to speak TLS")


def test_the_store_is_reached_over_tls_and_from_the_server_of_that_name_only(
    server: LocalPostgres, authority: tuple[trustme.CA, Path], tmp_path: Path
) -> None:
    trusted, at = authority
    strangers = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(strangers)
    url = f"{server.create_database()}?sslmode=verify-full&sslrootcert="

    with pytest.raises(ConfigurationError) as plain:
        Store.open(f"{url}{at}")
    present(server, trusted, at, "127.0.0.1")
    store = Store.open(f"{url}{at}")
    try:
        store.changed(lambda _tenant: None)
        with store.engine.connect() as connection:
            ours = "pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = :name"
            every = f"SELECT DISTINCT ssl, version FROM {ours}"
            name = {"name": store.engine.url.database}
            spoken = [tuple(row) for row in connection.execute(text(every), name)]
    finally:
        store.close()
    with pytest.raises(ConfigurationError) as foreign:
        Store.open(f"{url}{strangers}")

    assert [(True, "TLSv1.3")] == spoken
    assert ["ENVIRONMENT_ERROR"] * 2 == [plain.value.code, foreign.value.code]


def test_a_server_with_a_certificate_for_another_name_is_not_believed(
    server: LocalPostgres, authority: tuple[trustme.CA, Path]
) -> None:
    trusted, at = authority
    url = f"{server.create_database()}?sslrootcert={at}&sslmode="
    present(server, trusted, at, "db.example")

    with pytest.raises(ConfigurationError) as refused:
        Store.open(f"{url}verify-full")
    Store.open(f"{url}verify-ca").close()  # it is the name alone that is wrong

    assert "ENVIRONMENT_ERROR" == refused.value.code
