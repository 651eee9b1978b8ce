"""Writing a log as one text file that an auditor can verify without a database.

The file is JSON Lines: a head, every entry with its leaf hash, every checkpoint, and a digest of it all.
Every line is canonical JSON, so the file is the same to the byte whoever writes it.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import orjson

from altar.adm.errors import ConfigurationError
from altar.ledger.log import parse_note
from altar.ledger.sqlite import APPLICATION_ID, damaged

__all__ = ["write_export"]


def write_export(
    store_path: str | Path,
    out: BinaryIO,
    *,
    vkey: str,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Write the log at `store_path` to `out` and give the number of its entries.

    A host may be writing to the log meanwhile: what is exported is one moment of it.
    `progress(done, total)` is called every 1000 entries and at the end.
    Memory does not grow with the log.
    Raises `ConfigurationError`: ENVIRONMENT_ERROR when there is no log, LOG_DAMAGED when it cannot be read.
    """
    path = Path(store_path)
    if not path.is_file():
        raise ConfigurationError("ENVIRONMENT_ERROR", f"There is no ledger at {str(path)!r}")
    seal = hashlib.sha256()
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, isolation_level=None)
        ) as db:
            db.execute("BEGIN")
            total = _size(db, path)
            for line in _lines(db, path, vkey=vkey, total=total, progress=progress or _ignore):
                seal.update(line)
                out.write(line)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        raise damaged(str(path), "it cannot be read", detail=str(error)) from error
    out.write(_line({"end": f"sha256:{seal.hexdigest()}"}))
    return total


def _size(db: sqlite3.Connection, path: Path) -> int:
    """Give the number of entries, after a look whether this is a log at all."""
    (application,) = db.execute("PRAGMA application_id").fetchone()
    if application != APPLICATION_ID:
        raise damaged(str(path), "it is no ledger")
    (last,) = db.execute("SELECT max(seq) FROM entries").fetchone()
    return 0 if last is None else int(last) + 1


def _lines(
    db: sqlite3.Connection, path: Path, *, vkey: str, total: int, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    newest = db.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    try:
        origin = parse_note(newest[0] if newest else b"")[1].origin
    except ValueError as error:
        raise damaged(str(path), "its newest checkpoint is malformed", detail=str(error)) from error
    yield _line({"altar_audit_export": 1, "origin": origin, "size": total, "vkey": vkey})
    expected = 0
    for seq, body, leaf in db.execute("SELECT seq, body, leaf FROM entries ORDER BY seq"):
        if seq != expected:
            raise damaged(str(path), f"entry {expected} is missing")
        yield _line({"entry": body.decode(), "leaf": base64.b64encode(leaf).decode(), "seq": seq})
        expected += 1
        if expected % 1000 == 0:
            progress(expected, total)
    progress(expected, total)
    for size, note in db.execute("SELECT size, note FROM checkpoints ORDER BY size"):
        yield _line({"checkpoint": note.decode(), "size": size})


def _line(members: dict[str, str | int]) -> bytes:
    """Write one line; the members are given in sorted order, which makes it canonical."""
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def _ignore(_done: int, _total: int) -> None:
    """Take no notice of progress."""
