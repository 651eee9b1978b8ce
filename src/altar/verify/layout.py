"""The two formats of the database: which tables there are, where they begin, and what the file header says.

`layout_of` tells which of the two a file is meant to be, even if some bytes of it are damaged.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .sqlite_pages import PAGE

MAGIC = b"SQLite format 3\x00"


@dataclass(frozen=True, slots=True)
class Layout:
    """One format: its number, and the definition of each table in the order in which they are made.

    The first table begins on page 2, the next one on page 3, and so on.
    """

    version: int
    schema: Mapping[str, str]

    @property
    def roots(self) -> dict[str, int]:
        """Where the tree of each table begins: the tables are made in this order in an empty file."""
        return {table: number for number, table in enumerate(self.schema, start=2)}

    @property
    def header(self) -> tuple[tuple[int, str, bytes | None], ...]:
        """The fields of the file header: offset, name, and the one right value, None where others decide it."""
        return (
            (0, "magic", MAGIC),
            (16, "page size", PAGE.to_bytes(2, "big")),
            (18, "versions", None),
            (20, "reserved bytes per page", b"\x00"),
            (21, "payload fractions", b"\x40\x20\x20"),
            (24, "change counter", None),
            (28, "page count", None),
            (32, "freelist", None),
            (40, "schema cookie", len(self.schema).to_bytes(4, "big")),
            (44, "schema format", b"\x00\x00\x00\x04"),
            (48, "cache size", bytes(4)),
            (52, "auto-vacuum", bytes(4)),
            (56, "text encoding", b"\x00\x00\x00\x01"),
            (60, "user version", self.version.to_bytes(4, "big")),
            (64, "incremental vacuum", bytes(4)),
            (68, "application id", b"ALTR"),
            (72, "reserved", bytes(20)),
            (92, "version-valid-for", None),
            (96, "SQLite version", None),
            (100, "", None),
        )


ONE_LOG = Layout(
    1,
    {
        "entries": "CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, leaf BLOB NOT NULL)",
        "outcomes": "CREATE TABLE outcomes (intent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
        "checkpoints": (
            "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note BLOB NOT NULL, frontier BLOB NOT NULL)"
        ),
    },
)
"""Format 1: one log in a file."""

MANY_LOGS = Layout(
    2,
    {
        "logs": "CREATE TABLE logs (log INTEGER PRIMARY KEY, tenant BLOB NOT NULL)",
        "entries": (
            "CREATE TABLE entries"
            " (seq INTEGER PRIMARY KEY, place INTEGER NOT NULL, body BLOB NOT NULL, hashes BLOB NOT NULL)"
        ),
        "places": "CREATE TABLE places (place INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
        "outcomes": "CREATE TABLE outcomes (intent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
        "checkpoints": "CREATE TABLE checkpoints (place INTEGER PRIMARY KEY, note BLOB NOT NULL)",
    },
)
"""Format 2: a log of the host, and one for each tenant."""


def layout_of(first_page: bytes | None) -> Layout:
    """Tell which format a file is meant to be of."""
    if first_page is None:
        return MANY_LOGS
    looks_new = first_page[60:64] == b"\x00\x00\x00\x02" or b"CREATE TABLE places" in first_page
    return MANY_LOGS if looks_new else ONE_LOG
