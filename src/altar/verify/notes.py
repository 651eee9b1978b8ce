"""Signed checkpoints: the C2SP signed-note form, Ed25519, one key.

In come the bytes of a note and the verifier key; out comes the `Checkpoint` that the key signed, or a
`NoteError`
that says in words why the note proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass

_ED25519 = b"\x01"
_LONGEST_NOTE = 64 * 1024
_HASH_BYTES = 32
_PREFIX = "— "


class NoteError(ValueError):
    """The note is malformed, or the key did not sign it; the message says which."""


class ForeignKeyError(NoteError):
    """The note is signed, and not by the key that was given."""


@dataclass(frozen=True, slots=True)
class Key:
    """The public half of a log's signing key: its name, its 4-byte id and the 32 bytes of Ed25519."""

    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a checkpoint states: the log `origin` had `size` entries, and their Merkle root was `root`."""

    origin: str
    size: int
    root: bytes


def parse_vkey(text: str) -> Key:
    """Read a verifier key "<name>+<8 hex key id>+<base64(0x01‖public key)>".

    Raises ValueError if it is not one, or if the id does not belong to the name and the key.
    """
    name, public = vkey_parts(text, kind=_ED25519)
    return Key(name=name, key_id=hashlib.sha256(name.encode() + b"\n" + _ED25519 + public).digest()[:4], public=public)


def vkey_parts(text: str, *, kind: bytes) -> tuple[str, bytes]:
    """Return name and public key of a verifier key of this kind (one byte); ValueError as `parse_vkey`."""
    parts = text.strip().split("+", 2)
    if len(parts) != 3:
        raise ValueError(f"not a verifier key: {text!r} is not of the form name+id+key")
    name, written_id, encoded = parts
    raw = _base64(encoded)
    if raw is None or len(raw) != 1 + _HASH_BYTES or raw[:1] != kind or not name or " " in name:
        raise ValueError(f"not a verifier key: {text!r} does not hold an Ed25519 public key")
    key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if written_id != key_id.hex():
        raise ValueError(f"not a verifier key: the key id {written_id!r} does not belong to {name!r} and its key")
    return name, raw[1:]


def signature_lines(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Return the text of a note, and name and bytes of each of its signatures; NoteError if it is malformed."""
    text, blank, lines = note.rpartition(b"\n\n")
    found: list[tuple[str, bytes]] = []
    try:
        for line in lines.decode().removesuffix("\n").split("\n"):
            name, _, encoded = line.removeprefix(_PREFIX).partition(" ")
            raw = _base64(encoded)
            if not line.startswith(_PREFIX) or raw is None:
                raise NoteError(_said(f"has a malformed signature line {line!r}"))
            found.append((name, raw))
    except UnicodeDecodeError as error:
        raise NoteError(_said("is not UTF-8")) from error
    if not blank:
        raise NoteError(_said("does not end in a signature line"))
    return text + b"\n", found


def vkey_under(key: Key, behind: str) -> str:
    """Write the verifier key of the same key under its name with more behind it."""
    name, raw = key.name + behind, _ED25519 + key.public
    key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    return f"{name}+{key_id.hex()}+{base64.b64encode(raw).decode()}"


def open_note(note: bytes, key: Key, *, strict: bool = True) -> Checkpoint:
    """Return the checkpoint in `note` if `key` signed it.

    A strict note holds three lines of text and one signature, as the log itself writes them.
    A note from elsewhere may also hold extension lines and signatures of others, which are passed over.
    A log of a tenant is signed by the key of its host, under the name of the host's key, a slash, and the tenant.
    Raises NoteError otherwise, ForeignKeyError when it is signed by others only.
    """
    if len(note) > _LONGEST_NOTE:
        raise NoteError(_said("is too long"))
    try:
        text = note.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NoteError(_said("is not UTF-8")) from error
    body, blank, signatures = text.rpartition("\n\n")
    if not blank or not signatures.endswith("\n"):
        raise NoteError(_said("does not end in a signature line"))
    checkpoint = _read_text(body, strict=strict)
    lines = signatures[:-1].split("\n")
    if strict and len(lines) != 1:
        raise NoteError(_said("holds more than one signature"))
    _check_signature(lines, body.encode() + b"\n", key)
    return checkpoint


def read_unsigned(note: bytes) -> Checkpoint:
    """Return what a checkpoint states, whoever signed it; for notes that `open_note` has read before."""
    return _read_text(note.decode("utf-8").rpartition("\n\n")[0], strict=False)


def _read_text(body: str, *, strict: bool) -> Checkpoint:
    """Read origin, size and root from the signed text; NoteError if it is not a checkpoint."""
    lines = body.split("\n")
    if len(lines) < 3 or (strict and len(lines) != 3):
        raise NoteError(_said("does not hold origin, size and root on three lines"))
    origin, size, encoded = lines[:3]
    root = _base64(encoded)
    if not origin or not size.isascii() or not size.isdigit() or len(size) > 18 or str(int(size)) != size:
        raise NoteError(_said("does not name an origin and a size"))
    if root is None or len(root) != _HASH_BYTES:
        raise NoteError(_said("does not hold a root of 32 bytes in base64"))
    return Checkpoint(origin=origin, size=int(size), root=root)


def _check_signature(lines: list[str], signed: bytes, key: Key) -> None:
    """Pass if one of the signature lines is `key`'s and valid over `signed`; NoteError otherwise."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for line in lines:
        name, blank, encoded = line.removeprefix(_PREFIX).partition(" ")
        raw = _base64(encoded)
        if not line.startswith(_PREFIX) or not blank or raw is None:
            raise NoteError(_said(f"has a malformed signature line {line!r}"))
        if raw[:4] != _id_under(name, key):
            continue
        try:
            Ed25519PublicKey.from_public_bytes(key.public).verify(raw[4:], signed)
        except InvalidSignature as error:
            raise NoteError(_said(f"carries a signature that {key.name!r} did not make")) from error
        return
    raise ForeignKeyError(_said(f"is not signed by {key.name!r} with key id {key.key_id.hex()}"))


def _id_under(name: str, key: Key) -> bytes | None:
    """Return the key id under which `key` signs as `name`; None if it does not."""
    if name == key.name:
        return key.key_id
    if not name.startswith(f"{key.name}/"):
        return None
    return hashlib.sha256(name.encode() + b"\n" + _ED25519 + key.public).digest()[:4]


def _base64(text: str) -> bytes | None:
    """Return the bytes of strict base64, or None: a second spelling of the same bytes is refused."""
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return raw if base64.b64encode(raw).decode() == text else None


def _said(what: str) -> str:
    return f"the signed note {what}"
