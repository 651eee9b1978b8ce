"""Where the log of a host is: a file, or a PostgreSQL database.

What changes and ends (sessions, results, pseudonyms) lies in files of the host beside the log.
They have the name of the log's file with an ending behind it; a log in a database says where they are.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

__all__ = ["DatabaseLog", "Place", "beside"]


@dataclass(frozen=True, slots=True)
class DatabaseLog:
    """The log of one host in a database that may hold those of others.

    ``url`` is ``postgresql://user:password@host:port/database``, ``origin`` the name of the host's log.
    ``key``, of 32 bytes, is what the host that writes it has and the database has not; whoever only reads has b"".
    ``beside`` is the path to which the endings of the files beside the log are added.
    As text it is the address without user and password, and the log's name.
    """

    url: str = field(repr=False)
    origin: str
    beside: Path
    key: bytes = field(default=b"", repr=False)

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        at = parts.netloc.rpartition("@")[2]
        return f"postgresql://{at}{parts.path} ({self.origin})"


Place = str | Path | DatabaseLog
"""A file, or a log in a database."""


def beside(place: Place) -> Path:
    """Give the path to which the endings of the files beside this log are added."""
    return place.beside if isinstance(place, DatabaseLog) else Path(place)
