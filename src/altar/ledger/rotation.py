"""Giving a log a new signing key, so that whoever trusts the first one can follow to the newest.

The old key signs a statement that names the new one, and the statement is written into every log of the host as an
event `log.key_rotated`.
Checkpoints over that entry are signed by the new key alone; the old one can be destroyed.
The new private key waits as ``<key file>.next`` until the logs have the statement; then it takes the place of the old
one. `signer_in_use` finishes what a crash interrupted between the two.
"""

from __future__ import annotations

import base64
import binascii
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import orjson

from altar.adm.canonical import canonical
from altar.adm.errors import ConfigurationError, ValidationError
from altar.ledger.entry import MAX_DATA_BYTES, Event, entry_members
from altar.ledger.log import parse_note
from altar.ledger.log_store import LogStore
from altar.ledger.places import Place
from altar.ledger.signer import FileSigner, Signer, is_signed_by, log_vkey

__all__ = [
    "KEY_ROTATED",
    "Rotation",
    "adopt_next",
    "key_after",
    "make_next",
    "next_key",
    "read_rotation",
    "rotation_event",
    "rotation_text",
    "rotations_in",
    "signer_in_use",
]

KEY_ROTATED = "log.key_rotated"
_HEAD = "altar.local/log-key-rotation/v1"


@dataclass(frozen=True, slots=True)
class Rotation:
    """That the key of the verifier key `old` says `new` follows it; both are those of the host's own log."""

    old: str
    new: str
    signature: bytes

    @property
    def holds(self) -> bool:
        """Tell whether the old key has signed it, and the new one goes by the same name."""
        same = self.old.split("+", 1)[0] == self.new.split("+", 1)[0]
        return same and is_signed_by(self.old, rotation_text(self.old, self.new), self.signature)


def rotation_text(old: str, new: str) -> bytes:
    """Give the bytes that the old key signs."""
    return f"{_HEAD}\n{old}\n{new}\n".encode()


def rotation_event(old: Signer, new: Signer) -> Event:
    """Make the entry in which the old key names the new one.

    Raises ConfigurationError INVALID_CONFIG when the two go by other names, or are the same key.
    """
    if old.name != new.name or old.vkey == new.vkey:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The key {new.vkey!r} cannot follow {old.vkey!r}",
            ran="no",
            hint="a new key has the same name as the one before, and is another one",
        )
    signature = old.sign(rotation_text(old.vkey, new.vkey))[1]
    said = {"from": old.vkey, "signature": base64.b64encode(signature).decode(), "to": new.vkey}
    data = canonical(said).decode()
    if len(data.encode()) > MAX_DATA_BYTES:
        raise ConfigurationError("INVALID_CONFIG", f"The name of the key {old.name[:80]!r} is too long", ran="no")
    return Event(event=KEY_ROTATED, subject=new.vkey.split("+", 2)[1], data=data)


def read_rotation(body: bytes) -> Rotation | None:
    """Read an entry that names a new key; None for any other, and for one that is malformed."""
    if b'"event":"log.key_rotated"' not in body:
        return None
    with suppress(ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        said = orjson.loads(orjson.loads(body)["data"])
        return Rotation(said["from"], said["to"], base64.b64decode(said["signature"], validate=True))
    return None


def key_after(vkey: str, rotations: list[Rotation]) -> str:
    """Follow the statements that hold from a key to the newest one."""
    for each in rotations:
        if each.old == vkey and each.holds:
            vkey = each.new
    return vkey


def rotations_in(store: LogStore) -> list[Event]:
    """Give the statements by which keys have followed each other, from the host's own log."""
    mark = f'"event":"{KEY_ROTATED}"'.encode()
    found = [entry_members(row.body) for row in store.entries_of(0, 0) if mark in row.body]
    return [Event(event=KEY_ROTATED, subject=str(each["subject"]), data=str(each["data"])) for each in found]


def next_key(path: str | Path) -> Path:
    """Where the key waits that is to follow the one at this path."""
    return Path(f"{path}.next")


def make_next(path: str | Path, *, name: str) -> FileSigner:
    """Make the key that is to follow the one at this path, or open it where it waits already.

    Raises ConfigurationError as `FileSigner.create` and `FileSigner.open` do.
    """
    waiting = next_key(path)
    return FileSigner.open(waiting, name=name) if waiting.exists() else FileSigner.create(waiting, name=name)


def adopt_next(path: str | Path) -> None:
    """Put the key that waits in the place of the one at this path, which is gone then; durable on return."""
    next_key(path).replace(path)
    folder = os.open(Path(path).absolute().parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def signer_in_use(path: str | Path, *, name: str, log: Place) -> FileSigner:
    """Open the key that signs the log, which is the one that waits when the log has been given it already.

    Raises ConfigurationError as `FileSigner.open` and `LogReader.open` do.
    """
    waiting = next_key(path)
    if waiting.exists():
        following = FileSigner.open(waiting, name=name)
        if _signs(following, log):
            adopt_next(path)
            return following
    return FileSigner.open(path, name=name)


def _signs(signer: FileSigner, log: Place) -> bool:
    """Tell whether the newest checkpoint of the host's own log is signed by this key."""
    from altar.ledger.reader import LogReader

    try:
        with LogReader.open(log) as reader:
            text, _, signatures = parse_note(reader.checkpoint(""))
    except (ConfigurationError, ValidationError, ValueError):
        return False  # nothing was rotated there yet; whoever opens the log says what is wrong with it
    vkey = log_vkey(signer.vkey, "")
    return any(
        each.key_id.hex() == vkey.split("+", 2)[1] and is_signed_by(vkey, text, each.signature) for each in signatures
    )
