"""Write the migrations of the store as plain SQL, from the tables that the program knows.

In: `src/altar/aesp/store/tables.py` and `ddl.py`; ``info["since"]`` of a table says which migration makes it.
Out: `0001_foundation.sqlite.sql`, `0001_foundation.postgresql.sql` and so on, beside the migrations that run them.
A migration that was released is never written again: a change after that is a migration of its own.
With `--check` nothing is written, and the exit code is 1 when a file is out of date.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import URL
from sqlalchemy.schema import CreateIndex, CreateTable

from altar.aesp.store.ddl import beside, once
from altar.aesp.store.migrations.statements import BREAK
from altar.aesp.store.tables import METADATA

if TYPE_CHECKING:
    from sqlalchemy import Dialect

FOLDER = Path(__file__).resolve().parent.parent / "src/altar/aesp/store/migrations/versions"
FIRST = "0001"
MIGRATIONS = ((FIRST, "foundation"), ("0002", "advanced"), ("0003", "approvals"))
DIALECTS = tuple(URL.create(driver).get_dialect()() for driver in ("sqlite+pysqlite", "postgresql+psycopg"))


def main(arguments: list[str]) -> int:
    """Write both files, or with `--check` only compare them; return the exit code."""
    stale = False
    for (revision, name), dialect in product(MIGRATIONS, DIALECTS):
        path = FOLDER / f"{revision}_{name}.{dialect.name}.sql"
        text = BREAK.join(statement.strip() for statement in _statements(revision, dialect)) + "\n"
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale = True
        if "--check" in arguments:
            sys.stderr.write(f"{path.name} is out of date: run scripts/freeze_schema.py\n")
        else:
            path.write_text(text, encoding="utf-8")
    return 1 if stale and "--check" in arguments else 0


def _statements(revision: str, dialect: Dialect) -> Iterator[str]:
    """Give what makes the tables of one migration."""
    made = [table for table in METADATA.sorted_tables if table.info.get("since", FIRST) == revision]
    if revision == FIRST:
        yield from once(dialect.name)
    for table in made:
        created = str(CreateTable(table).compile(dialect=dialect))
        yield "\n".join(line.rstrip() for line in created.splitlines() if line.strip())
        for index in sorted(table.indexes, key=lambda each: str(each.name)):
            yield str(CreateIndex(index).compile(dialect=dialect))
    for table in made:
        yield from beside(table, dialect.name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
