"""Where the log of a host is, by its settings and by what is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from altar.adm.errors import ConfigurationError
from altar.cli.log_place import log_of, writable
from altar.ledger.places import DatabaseLog, beside
from altar.settings import Aesp, Audit, Host, Settings

URL = "postgresql://host:secret-word@db.example:5432/altar"


def settings(data: Path, *, url: str = URL, log: Any = "auto", tier: Any = "foundation") -> Settings:
    return Settings(
        host=Host(data=data, name="host-1"), database_url=SecretStr(url), audit=Audit(log=log), aesp=Aesp(tier=tier)
    )


def test_a_governed_host_has_its_log_where_its_store_is(tmp_path: Path) -> None:
    place = log_of(settings(tmp_path))

    assert place == DatabaseLog(URL, "altar.local/host-1", tmp_path / "ledger.db")
    assert "postgresql://db.example:5432/altar (altar.local/host-1)" == str(place)
    assert "secret-word" not in repr(place)
    assert tmp_path / "ledger.db" == beside(place)
    assert place == log_of(settings(tmp_path, url=URL.replace("postgresql:", "postgresql+psycopg:")))


@pytest.mark.parametrize(
    "given",
    [{"url": ""}, {"url": "sqlite:///store.db"}, {"log": "file"}, {"tier": "none"}, {"tier": "none", "url": ""}],
)
def test_every_other_host_has_it_in_a_file(tmp_path: Path, given: dict[str, Any]) -> None:
    assert tmp_path / "ledger.db" == log_of(settings(tmp_path, **given))


def test_a_log_that_was_begun_in_a_file_goes_on_there(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"SQLite")

    assert tmp_path / "ledger.db" == log_of(settings(tmp_path))
    with pytest.raises(ConfigurationError, match="which would end unseen"):
        log_of(settings(tmp_path, log="database"))


def test_a_log_that_shall_be_in_a_database_needs_one(tmp_path: Path) -> None:
    assert isinstance(log_of(settings(tmp_path, log="database", tier="none")), DatabaseLog)
    with pytest.raises(ConfigurationError, match="none of PostgreSQL is named"):
        log_of(settings(tmp_path, log="database", url="sqlite:///store.db"))


def test_a_host_that_writes_has_a_key_beside_its_signing_key_and_no_reader_has(tmp_path: Path) -> None:
    place = log_of(settings(tmp_path))
    key = tmp_path / "keys.pem"

    first, again = writable(place, signing_key=key), writable(place, signing_key=key)

    assert isinstance(place, DatabaseLog)
    assert isinstance(first, DatabaseLog)
    assert (b"", 32, True) == (place.key, len(first.key), first == again)
    assert first.key == (tmp_path / "keys.database-key").read_bytes()
    assert repr(first.key) not in repr(first)
    assert tmp_path / "x" == writable(tmp_path / "x", signing_key=key)
