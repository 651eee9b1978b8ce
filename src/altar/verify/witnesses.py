"""Cosignatures of witnesses under a checkpoint: C2SP tlog-cosignature, `cosignature/v1` with Ed25519.

A witness signs a checkpoint only if the log goes on from the one that it signed before.
So a checkpoint with its cosignature is one that was obtained elsewhere, whoever hands it over.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from .notes import NoteError, signature_lines, vkey_parts

_COSIGNATURE = b"\x04"
_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Cosignature:
    """Who has cosigned a checkpoint, and when, in seconds since 1970."""

    witness: str
    time: int


def check_cosignature(note: bytes, vkey: str) -> Cosignature:
    """Return the cosignature of the witness with this verifier key under a note.

    Raises ValueError if `vkey` is none of a witness, NoteError (a ValueError) if it has not signed the note.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    name, public = vkey_parts(vkey, kind=_COSIGNATURE)
    key_id = hashlib.sha256(name.encode() + b"\n" + _COSIGNATURE + public).digest()[:4]
    text, lines = signature_lines(note)
    for signer, raw in lines:
        if signer != name or raw[:4] != key_id or len(raw) <= 4 + _TIME_BYTES:
            continue
        time = int.from_bytes(raw[4 : 4 + _TIME_BYTES], "big")
        signed = f"cosignature/v1\ntime {time}\n".encode() + text
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(raw[4 + _TIME_BYTES :], signed)
        except InvalidSignature as error:
            raise NoteError(f"the checkpoint carries a cosignature that {name!r} did not make") from error
        return Cosignature(name, time)
    raise NoteError(f"the checkpoint is not cosigned by {name!r} with key id {key_id.hex()}")
