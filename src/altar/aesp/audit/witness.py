"""Witnesses: others who have seen a checkpoint, and say so, so that a log can be neither rolled back nor forked unseen.

A `Witness` is a service that speaks C2SP tlog-witness: it is shown a checkpoint with the proof that it goes on from the
last one it has seen, and answers with its cosignature (C2SP tlog-cosignature, `cosignature/v1`, Ed25519).
`cosigned_by` tells whether a note carries the cosignature of a witness, and of what time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from altar.adm.errors import ConfigurationError, TransportError
from altar.aesp.audit.record import Reader
from altar.aesp.audit.sinks.http import HttpSender, RefusedError
from altar.aesp.audit.sinks.sink import SinkError, SinkOptions
from altar.ledger.log import Checkpoint, parse_note

__all__ = ["Cosignature", "Witness", "WitnessKey", "cosigned_by", "parse_witness_key"]

COSIGNATURE = b"\x04"
"""The type of a key that makes cosignatures (C2SP signed-note, "Signature types")."""
LATEST_TIME = 253_402_300_799
MAX_COSIGNATURES = 16
_LONGEST_SIZE = 18


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """The public half of a witness's key: its name, its 4-byte id and the 32 bytes of Ed25519."""

    name: str
    key_id: bytes
    public: bytes


@dataclass(frozen=True, slots=True)
class Cosignature:
    """What a witness has signed: that it saw this checkpoint, at this time (seconds since 1970 UTC)."""

    checkpoint: Checkpoint
    time: int


def parse_witness_key(text: str) -> WitnessKey:
    """Read a witness's verifier key, `<name>+<8 hex key id>+<base64 of 0x04 and the public key>`.

    Raises ConfigurationError INVALID_CONFIG when it is none, such as the key of a log.
    """
    name, _, rest = text.strip().partition("+")
    written, _, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raw = b""
    key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
    if not name or len(raw) != 33 or raw[:1] != COSIGNATURE or written != key_id.hex():
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"{text.strip()[:120]!r} is no verifier key of a witness",
            hint="it reads <name>+<key id>+<base64>, and its base64 begins with 'B'",
        )
    return WitnessKey(name, key_id, raw[1:])


def cosigned_by(note: bytes, key: WitnessKey) -> Cosignature | None:
    """Give what the witness of `key` has cosigned in `note`; None when it has not, or the note is none."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        text, checkpoint, signatures = parse_note(note)
    except ValueError:
        return None
    for each in signatures:
        if each.name != key.name or each.key_id != key.key_id or len(each.signature) != 72:
            continue
        time = int.from_bytes(each.signature[:8])
        try:
            signed = b"cosignature/v1\ntime %d\n%s" % (time, text)
            Ed25519PublicKey.from_public_bytes(key.public).verify(each.signature[8:], signed)
        except InvalidSignature:
            continue
        return Cosignature(checkpoint, time) if time <= LATEST_TIME else None
    return None


class Witness:
    """One witness, asked over HTTP. For one thread."""

    def __init__(self, address: str, key: WitnessKey, *, timeout: float = 10.0) -> None:
        """Take its address, to which `/add-checkpoint` is joined, and its key.

        Raises ConfigurationError INVALID_CONFIG for an address that must not be used.
        """
        self.key = key
        self._http = HttpSender(SinkOptions(name=key.name, kind="otlp", address=address, timeout=timeout))

    def add(self, reader: Reader, tenant: str, *, seen: int) -> bytes:
        """Show the newest checkpoint of a log, and give it back with the witness's cosignature added.

        `seen` is the size of the last one that the witness cosigned, 0 when that is not known; the witness says so
        itself when it is another one.
        Raises ConfigurationError LOG_DAMAGED when the witness has seen a longer log, or one that this does not go on
        from; TransportError CONNECTION_FAILED when it is out of reach or says no for another reason.
        """
        note = reader.checkpoint(tenant)
        size = parse_note(note)[1].size
        if seen > size:
            raise _rolled_back(self.key.name, seen, size)
        try:
            body = self._ask(reader, tenant, note, old=seen, size=size)
        except _Conflict as other:
            if other.size > size:
                raise _rolled_back(self.key.name, other.size, size) from None
            if other.size == seen:  # the same number of entries, and not the same entries
                raise _forked(self.key.name, seen) from None
            try:
                body = self._ask(reader, tenant, note, old=other.size, size=size)
            except _Conflict as again:
                raise _failed(self.key.name, "it was shown another checkpoint meanwhile") from again
        return self._joined(note, body)

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()

    def _ask(self, reader: Reader, tenant: str, note: bytes, *, old: int, size: int) -> bytes:
        proof = reader.consistency(tenant, old, size) if 0 < old < size else []
        lines = [f"old {old}", *(base64.b64encode(node).decode() for node in proof), ""]
        content = "\n".join(lines).encode() + b"\n" + note
        try:
            return self._http.send(
                content,
                headers={"Content-Type": "text/plain; charset=utf-8"},
                address=f"{self._http.address}/add-checkpoint",
            )[1]
        except RefusedError as refused:
            said = refused.body.strip()
            if refused.status == 409 and said.isdigit() and len(said) <= _LONGEST_SIZE:
                raise _Conflict(int(said)) from refused
            if refused.status in {409, 422}:  # the same size and another root, or a proof that does not hold
                raise _forked(self.key.name, old) from refused
            raise _failed(self.key.name, refused.reason) from refused
        except SinkError as failed:
            raise _failed(self.key.name, failed.reason) from failed

    def _joined(self, note: bytes, body: bytes) -> bytes:
        """Add the lines that the witness answered with, if one of them is its own."""
        lines = [line for line in body.decode("utf-8", "replace").split("\n") if line][:MAX_COSIGNATURES]
        for line in lines:
            joined = note + f"{line}\n".encode()
            if cosigned_by(joined, self.key) is not None:
                return joined
        raise _failed(self.key.name, "its answer holds no cosignature by its key")


class _Conflict(Exception):  # noqa: N818 - an answer of the witness, not a failure
    """The witness has cosigned another size than it was told."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


def _rolled_back(name: str, seen: int, size: int) -> ConfigurationError:
    return ConfigurationError(
        "LOG_DAMAGED",
        f"The witness {name!r} has seen {seen} entries of this log, and it has {size} now: it was rolled back",
        ran="no",
        hint="keep the log as it is and find out who changed it; a backup that was restored looks the same",
    )


def _forked(name: str, size: int) -> ConfigurationError:
    return ConfigurationError(
        "LOG_DAMAGED",
        f"The log does not go on from the {size} entries that the witness {name!r} has seen: it was forked",
        ran="no",
        hint="keep the log as it is and find out who changed it",
    )


def _failed(name: str, reason: str) -> TransportError:
    return TransportError(
        "CONNECTION_FAILED",
        f"The witness {name!r} has not cosigned: {reason}",
        ran="no",
        hint="its operator must know this log's origin and verifier key",
    )


def merged(notes: Sequence[bytes]) -> bytes:
    """Give one note with all signatures of notes over the same text, each once.

    Raises ValueError when their texts differ.
    """
    texts = {note.rpartition(b"\n\n")[0] for note in notes}
    if len(texts) != 1:
        raise ValueError("the notes are of different checkpoints")
    lines = dict.fromkeys(line for note in notes for line in note.rpartition(b"\n\n")[2].split(b"\n") if line)
    return texts.pop() + b"\n\n" + b"".join(line + b"\n" for line in lines)
