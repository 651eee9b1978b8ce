"""A log of format 1, as ALTAR wrote it before there was one for each tenant: it is ended, kept, and gone on from.

Format 1 is one log in a file of its own.
`seal_format1` closes what is open in it, signs it, and renames the file to ``<path>.v1``, where it verifies for ever.
The new file counts on from its last entry, and its first event carries the root that was signed (`sealed_before`).
Each step can be repeated, so that a crash between two of them costs nothing.
"""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import orjson

from altar.adm.errors import ConfigurationError
from altar.ledger.log import (
    Checkpoint,
    Frontier,
    NoteSignature,
    checkpoint_text,
    leaf_hash,
    parse_note,
    signed_note,
)
from altar.ledger.signer import Signer, is_signed_by
from altar.ledger.sqlite import APPLICATION_ID, FileLock, damaged, translated

__all__ = ["Sealed", "seal_format1", "sealed_before", "sealed_path"]


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a log of format 1 came to: its file's name, origin, entries and last epoch, and its signed root (base64)."""

    file: str
    origin: str
    size: int
    epoch: int
    root: str


def sealed_path(path: str | Path) -> Path:
    """Where the log of format 1 is kept that the one at this path goes on from."""
    return Path(f"{os.path.realpath(path)}.v1")


def seal_format1(path: str | Path, *, signer: Signer, origin: str, wall_ms: Callable[[], int]) -> None:
    """End a log of format 1 at `path` and move it aside; does nothing when there is none.

    Raises ConfigurationError as `Ledger.open` does: LOG_DAMAGED, INVALID_CONFIG, ENVIRONMENT_ERROR.
    """
    place = os.path.realpath(path)
    if not _is_format1(place):
        return
    lock = FileLock(place)
    try:
        with _opened(place, mode="rw") as db:
            _Old(db, place, signer=signer, origin=origin).end(wall_ms())
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        Path(place).rename(sealed_path(place))
        _sync_folder(place)
    finally:
        lock.release()


def sealed_before(path: str | Path) -> Sealed | None:
    """Tell what the log of format 1 came to that the one at `path` goes on from; None when there is none."""
    place = sealed_path(path)
    if not place.is_file():
        return None
    with _opened(str(place), mode="ro") as db:
        note = db.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
        last = db.execute("SELECT body FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
    try:
        _, checkpoint, _ = parse_note(note[0])
        epoch = int(orjson.loads(last[0])["epoch"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(str(place), "it does not end as it was sealed", detail=str(error)) from error
    root = base64.b64encode(checkpoint.root).decode()
    return Sealed(place.name, checkpoint.origin, checkpoint.size, epoch, root)


class _Old:
    """A log of format 1 that is brought to its end."""

    def __init__(self, db: sqlite3.Connection, path: str, *, signer: Signer, origin: str) -> None:
        self._db = db
        self._path = path
        self._signer = signer
        self._origin = origin

    def end(self, time_ms: int) -> None:
        """Prove it, close open intents as OUTCOME_UNKNOWN, stop it, and sign it; durable on return."""
        frontier = self._proved()
        entries = list(self._missing_entries(frontier.size, time_ms))
        if not entries and self._newest()[0] == frontier.size:
            return
        execute = self._db.execute
        execute("BEGIN IMMEDIATE")
        for body, intent in entries:
            seq, leaf = frontier.size, leaf_hash(body)
            execute("INSERT INTO entries VALUES (?,?,?)", (seq, body, leaf))
            if intent is not None:
                execute("INSERT INTO outcomes VALUES (?,?)", (intent, seq))
            frontier.push(leaf)
        text = checkpoint_text(Checkpoint(self._origin, frontier.size, frontier.root()))
        key_id, signature = self._signer.sign(text)
        note = signed_note(text, NoteSignature(self._signer.name, key_id, signature))
        execute("INSERT INTO checkpoints VALUES (?,?,?)", (frontier.size, note, frontier.to_bytes()))
        execute("COMMIT")

    def _newest(self) -> tuple[int, bytes, bytes]:
        found = self._db.execute("SELECT size, note, frontier FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
        if found is None:
            raise damaged(self._path, "it has entries but no checkpoint")
        return found[0], found[1], found[2]

    def _proved(self) -> Frontier:
        """Give the right edge of the tree after checking signature, root, and every entry after the checkpoint."""
        size, note, edge = self._newest()
        try:
            text, checkpoint, signatures = parse_note(note)
            frontier = Frontier.from_bytes(size, edge)
        except ValueError as error:
            raise damaged(self._path, f"checkpoint {size} is malformed", detail=str(error)) from error
        own = [each for each in signatures if each.key_id.hex() == self._signer.vkey.split("+", 2)[1]]
        if checkpoint.origin != self._origin or not own:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The ledger {self._path!r} is the log {checkpoint.origin!r} signed by {signatures[0].name!r}, "
                f"not {self._origin!r} signed by {self._signer.name!r} with this key",
                hint="open it with the origin and the key it was begun with, or begin a new ledger",
            )
        if not is_signed_by(self._signer.vkey, text, own[0].signature):
            raise damaged(self._path, f"the signature of checkpoint {size} is wrong")
        if checkpoint.size != size or checkpoint.root != frontier.root():
            raise damaged(self._path, f"checkpoint {size} states another tree than the one stored with it")
        after = self._db.execute("SELECT seq, body, leaf FROM entries WHERE seq >= ? ORDER BY seq", (size,))
        for seq, body, leaf in after:
            if seq != frontier.size or leaf_hash(body) != leaf:
                raise damaged(self._path, f"entry {frontier.size} is missing or not what its leaf hash says")
            frontier.push(leaf)
        ((last,),) = self._db.execute("SELECT max(seq) FROM entries")
        if last is None or last + 1 != frontier.size:
            raise damaged(self._path, f"its checkpoint covers {size} entries, and it ends elsewhere")
        return frontier

    def _missing_entries(self, size: int, time_ms: int) -> Iterator[tuple[bytes, int | None]]:
        """What an orderly end would have written: outcomes of open intents, and the stop; nothing if it is there."""
        ((last,),) = self._db.execute("SELECT body FROM entries WHERE seq = ?", (size - 1,))
        if orjson.loads(last)["kind"] == "stop":
            return
        epoch = 0
        waiting: list[tuple[int, str]] = []
        for seq, body in self._db.execute("SELECT seq, body FROM entries ORDER BY seq DESC"):
            members = orjson.loads(body)
            if members["kind"] == "intent":
                if not self._db.execute("SELECT 1 FROM outcomes WHERE intent = ?", (seq,)).fetchone():
                    waiting.append((seq, members["invocation"]))
            elif members["kind"] == "start":
                epoch = int(members["epoch"])
                break
        for intent, invocation in reversed(waiting):
            unknown = {
                "attempts": 0,
                "code": "OUTCOME_UNKNOWN",
                "intent": intent,
                "invocation": invocation,
                "kind": "outcome",
                "ran": "unknown",
                "result": "",
                "runtime": "",
                "status": "ERROR",
                "time": time_ms,
                "v": 1,
            }
            yield orjson.dumps(unknown), intent
        yield orjson.dumps({"epoch": epoch, "kind": "stop", "time": time_ms, "v": 1}), None


def _is_format1(path: str) -> bool:
    """Whether there is a database of format 1; what cannot be told is left to who opens it."""
    try:
        if not Path(path).stat().st_size:
            return False
        with closing(sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True, timeout=5)) as db:
            ((application,),) = db.execute("PRAGMA application_id")
            ((version,),) = db.execute("PRAGMA user_version")
    except (OSError, sqlite3.DatabaseError):
        return False
    return bool(application == APPLICATION_ID and version == 1)


@contextmanager
def _opened(path: str, *, mode: str) -> Iterator[sqlite3.Connection]:
    address = f"{Path(path).as_uri()}?mode={mode}"
    with translated(path), closing(sqlite3.connect(address, uri=True, timeout=5, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = FULL")
        yield db


def _sync_folder(path: str) -> None:
    """Make a change of names durable."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
