"""Writing a log as one text file that an auditor can verify without a database.

The file is JSON Lines: a head, every entry with its leaf hash, every checkpoint, and a digest of it all.
Every line is canonical JSON, so the file is the same to the byte whoever writes it.
"""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO

import orjson

from altar.adm.errors import ConfigurationError
from altar.ledger.log import parse_note
from altar.ledger.sqlite import APPLICATION_ID, damaged, translated

__all__ = ["read_checkpoint", "write_export"]


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
    Raises `ConfigurationError`: ENVIRONMENT_ERROR when there is no log, LOG_DAMAGED when it is not intact,
    and LOG_UNAVAILABLE when another program keeps it locked.
    """
    path = Path(store_path)
    seal = hashlib.sha256()
    with _reading(path) as db:
        (last,) = db.execute("SELECT max(seq) FROM entries").fetchone()
        total = 0 if last is None else int(last) + 1
        for line in _lines(db, path, vkey=vkey, total=total, progress=progress or _ignore):
            seal.update(line)
            out.write(line)
    out.write(_line({"end": f"sha256:{seal.hexdigest()}"}))
    return total


def read_checkpoint(store_path: str | Path) -> str:
    """Give the newest signed checkpoint of the log at `store_path`.

    Kept elsewhere, it lets an auditor prove later that nothing before it was changed or taken away.
    Raises as `write_export` does.
    """
    path = Path(store_path)
    with _reading(path) as db:
        return _newest_note(db, path).decode()


@contextmanager
def _reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a log for reading one moment of it, beside a host that may be writing."""
    if not path.is_file():
        raise ConfigurationError("ENVIRONMENT_ERROR", f"There is no ledger at {str(path)!r}")
    address = f"{path.resolve().as_uri()}?mode=ro"
    try:
        with (
            translated(str(path)),
            closing(sqlite3.connect(address, uri=True, timeout=1, isolation_level=None)) as db,
        ):
            (application,) = db.execute("PRAGMA application_id").fetchone()
            if application != APPLICATION_ID:
                raise damaged(str(path), "it is no ledger")
            db.execute("BEGIN")
            yield db
    except UnicodeDecodeError as error:
        raise damaged(str(path), "an entry is not UTF-8 text", detail=str(error)) from error


def _lines(
    db: sqlite3.Connection, path: Path, *, vkey: str, total: int, progress: Callable[[int, int], None]
) -> Iterator[bytes]:
    """Give the export's lines in order, up to the last but one."""
    try:
        origin = parse_note(_newest_note(db, path))[1].origin
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


def _newest_note(db: sqlite3.Connection, path: Path) -> bytes:
    newest = db.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    if newest is None:
        raise damaged(str(path), "it has no checkpoint")
    return bytes(newest[0])


def _line(members: dict[str, str | int]) -> bytes:
    """Write one line; the members are given in sorted order, which makes it canonical."""
    return orjson.dumps(members, option=orjson.OPT_APPEND_NEWLINE)


def _ignore(_done: int, _total: int) -> None:
    """Take no notice of progress."""
