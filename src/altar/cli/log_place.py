"""Where the log of a host with these settings is: in a file of its directory, or in the database of its store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from altar.ledger.places import Place
    from altar.settings import Settings

__all__ = ["LEDGER", "log_of", "writable"]

LEDGER = "ledger.db"


def log_of(settings: Settings, *, data: Path | None = None) -> Place:
    """Give the place of the log; `data` is the directory of another host than that of the settings.

    A governed host whose store is on PostgreSQL has its log there too, unless it began one in a file before.
    The setting `audit.log` says otherwise.
    Raises ConfigurationError INVALID_CONFIG when the log shall be in a database and there is none, or a log in a file
    would end unseen.
    """
    from altar.ledger.places import DatabaseLog

    file = (settings.host.data if data is None else data) / LEDGER
    url = settings.database_url.get_secret_value()
    wanted, is_postgres = settings.audit.log, url.startswith(("postgresql:", "postgres:", "postgresql+psycopg:"))
    if wanted == "database" and not is_postgres:
        raise ConfigurationError(
            "INVALID_CONFIG",
            "The log shall be in a database, and none of PostgreSQL is named",
            hint="set ALTAR_DATABASE_URL to postgresql://user:password@host:port/database",
        )
    begun = file.exists() and file.stat().st_size > 0
    if wanted == "database" and begun:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The log shall be in a database, and there is one in {str(file)!r}, which would end unseen",
            hint='set audit.log = "file" to go on with it, or export it and move the file away to begin a new one',
        )
    if wanted == "file" or begun or not is_postgres or (wanted == "auto" and settings.aesp.tier == "none"):
        return file
    address = url.replace("postgresql+psycopg:", "postgresql:", 1)
    return DatabaseLog(address, f"altar.local/{settings.host.name}", file)


def writable(place: Place, *, signing_key: Path) -> Place:
    """Give the place for a host that writes: with the key that it has for a database, beside its signing key."""
    from altar.ledger.database_key import read_database_key
    from altar.ledger.places import DatabaseLog

    if not isinstance(place, DatabaseLog):
        return place
    return replace(place, key=read_database_key(signing_key.with_suffix(".database-key")))
