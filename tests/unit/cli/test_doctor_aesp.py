"""What `altar doctor` says of a governed host: one that is ready, and ones on which something is wrong."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from altar.aesp.store.database import Store
from altar.aesp.store.engines import make_engine
from altar.aesp.store.migrating import head, migrate
from altar.cli.doctor_aesp import examine_governance
from altar.cli.enterprise import begin, database_of
from altar.settings import Aesp, Host, Settings
from altar.testing.postgres import LocalPostgres
from tests.unit.ledger.samples import open_ledger, signer_in

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PASSWORD = "correct-horse-battery-staple"


def settings_in(folder: Path, *, url: str = "", **aesp: Any) -> Settings:
    return Settings(
        host=Host(data=folder / "data"),
        aesp=Aesp(**{"tier": "foundation", "token_keys": folder / "tokens", **aesp}),
        database_url=SecretStr(url),
    )


def found(settings: Settings) -> dict[str, tuple[str, str]]:
    return {one.check: (one.state, one.message) for one in examine_governance(settings, NOW)}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_a_plain_host_is_one_line(tmp_path: Path) -> None:
    assert ["tier"] == list(found(settings_in(tmp_path, tier="none")))


def test_before_the_first_start_nothing_is_wrong_and_nothing_is_made(tmp_path: Path) -> None:
    said = found(settings_in(tmp_path))

    assert {"tier": "ok", "store": "warn", "log": "ok", "token keys": "ok", "web": "ok"} == {
        check: state for check, (state, _) in said.items()
    }
    assert [] == list(tmp_path.iterdir())


def test_a_host_that_is_ready_passes_on_both_databases(tmp_path: Path, store_url: str) -> None:
    settings = settings_in(tmp_path, url=store_url)
    asyncio.run(begin(settings, name="root", password=PASSWORD))
    (tmp_path / "data").mkdir(exist_ok=True)
    open_ledger(tmp_path / "data/ledger.db", signer_in(tmp_path)).close()

    said = found(settings)

    assert {"ok"} == {state for state, _ in said.values()}
    assert f"revision {head()}" in said["store"][1]
    assert "1 logs, 2 entries" in said["log"][1]
    assert all(secret not in str(said) for secret in [PASSWORD, *_passwords(store_url)])


def _passwords(url: str) -> list[str]:
    return [url.split(":")[2].split("@", maxsplit=1)[0]] if url.startswith("postgres") else []


def test_tables_of_an_older_release_are_a_warning_and_stay_as_they_are(tmp_path: Path, empty_url: str) -> None:
    engine = make_engine(empty_url)
    migrate(engine, to="0001")
    engine.dispose()

    for _ in range(2):
        state, message = found(settings_in(tmp_path, url=empty_url))["store"]
        assert ("warn", True) == (state, "0001" in message and head() in message), message


def test_a_store_without_an_administrator_fails(tmp_path: Path, store_url: str) -> None:
    Store.open(store_url).close()

    assert "fail" == found(settings_in(tmp_path, url=store_url))["administrator"][0]


def test_a_database_that_is_not_there_fails_without_telling_the_password(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    state, message = found(settings_in(tmp_path, url=f"postgresql://me:hush-hush@127.0.0.1:{port}/altar"))["store"]

    assert ("fail", True, False) == (state, f"127.0.0.1:{port}" in message, "hush" in message)


def test_a_login_without_the_roles_fails_and_is_told_what_to_run(
    tmp_path: Path, postgres: LocalPostgres, postgres_url: str
) -> None:
    Store.open(postgres_url).close()
    name = f"stranger_{secrets.token_hex(4)}"
    with psycopg.connect(postgres_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'p'".encode())
    try:
        url = f"postgresql://{name}:p@127.0.0.1:{postgres.port}/{postgres_url.rpartition('/')[2]}"
        (store,) = (one for one in examine_governance(settings_in(tmp_path, url=url), NOW) if one.check == "store")
    finally:
        with psycopg.connect(postgres_url, autocommit=True) as admin:
            admin.execute(f"DROP ROLE {name}".encode())

    assert "fail" == store.state
    assert f"altar store roles {name}" in (store.hint or "")


def test_a_file_that_is_no_log_fails(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/ledger.db").write_bytes(b"not a database at all, whoever looks at it")

    assert "fail" == found(settings_in(tmp_path))["log"][0]


def test_keys_of_tokens_that_others_may_read_fail(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    asyncio.run(begin(settings, name="root", password=PASSWORD))
    from altar.aesp.identity.token_keys import TokenKeys

    TokenKeys.open(tmp_path / "tokens", overlap=1.0, now=lambda: 1_800_000_000.0)
    assert "ok" == found(settings)["token keys"][0]
    next((tmp_path / "tokens").iterdir()).chmod(0o644)

    assert "fail" == found(settings)["token keys"][0]
    assert database_of(settings).startswith("sqlite:")


def test_providers_are_reached_or_not(tmp_path: Path, listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    scim = {"kind": "scim", "tenant": "acme", "secret": "hush-hush", "networks": ("127.0.0.0/8",)}
    providers = (
        {**scim, "name": "there", "url": f"https://127.0.0.1:{listener.getsockname()[1]}/v2"},
        {**scim, "name": "gone", "url": f"https://127.0.0.1:{port}/v2"},
        {"kind": "saml", "name": "unread", "tenant": "acme", "metadata": tmp_path / "none.xml"},
    )

    said = found(settings_in(tmp_path, providers=providers, web="127.0.0.1:0", web_url="http://127.0.0.1"))

    assert ["ok", "fail", "fail"] == [said[f"provider {name}"][0] for name in ("there", "gone", "unread")]
    assert "hush" not in str(said)


def test_the_web_port_answers_or_not(tmp_path: Path, listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]

    states = [
        found(settings_in(tmp_path, web=f"127.0.0.1:{each}"))["web"] for each in (listener.getsockname()[1], port)
    ]

    assert ["ok", "warn"] == [state for state, _ in states]


@pytest.mark.parametrize(("days", "state"), [(-1, "fail"), (3, "warn")])
def test_a_certificate_of_the_web_port_that_ends_is_told(tmp_path: Path, days: int, state: str) -> None:
    from altar.grid.trust.authority import Authority

    authority = Authority.create(tmp_path / "authority")
    files = authority.issue("host", "web", tmp_path / "web", lifetime=timedelta(days=90))
    from altar.grid.trust.certificates import read_certificates

    ends = read_certificates(files.certificate)[0].not_valid_after_utc
    settings = settings_in(tmp_path, web="127.0.0.1:0", web_certificate=files.certificate, web_key=files.key)

    told = [one for one in examine_governance(settings, ends - timedelta(days=days)) if one.check == "web"]

    assert state == told[0].state
