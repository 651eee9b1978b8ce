"""The keys that have signed a log one after the other.

A key names the one that follows it in an entry `log.key_rotated`, which holds a statement signed by the older key.
Checkpoints over that entry must be signed by the new key, those before it by the old one.
So whoever trusts one key of the chain can follow it to the others.
"""

from __future__ import annotations

import base64
import binascii
import json

from .entries import Members
from .notes import Key, parse_vkey

ROTATED = "log.key_rotated"

_HEAD = "altar.local/log-key-rotation/v1"


class KeyChain:
    """The keys of one log, as far as its entries have been read; begins with the key that was given."""

    def __init__(self, given: Key) -> None:
        """Begin with the key that is trusted; it may turn out not to be the first."""
        self.given = given
        self.keys = [given]
        self.rotations = 0

    @property
    def in_force(self) -> Key:
        """The key that signs the log where it was read up to."""
        return self.keys[-1]

    @property
    def is_trusted(self) -> bool:
        """Whether the key in force is the one that was given, or follows from it."""
        return any(key.public == self.given.public for key in self.keys)

    def rotate(self, entry: Members, *, used: bool) -> str | None:
        """Take an entry that names a new key into account; return what is wrong with it, or None.

        `used` says that the key in force has signed a checkpoint before.
        """
        try:
            old, new = _read(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"names a new key, and the key before it has not signed that: {error}"
        is_first = not self.rotations
        if old.public != self.in_force.public:
            if not is_first or used:
                return f"names a key to follow {old.key_id.hex()}, which is not the key of the log here"
            self.keys = [old]
        name = self.given.name
        if name != old.name and not name.startswith(f"{old.name}/"):
            return f"names a key of {old.name!r}"
        self.rotations += 1
        self.keys.append(new)
        return None


def _read(entry: Members) -> tuple[Key, Key]:
    """Return the old and the new key of a statement that the old one has signed; ValueError otherwise."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    said = json.loads(str(entry["data"]))
    if said.keys() != {"from", "signature", "to"}:
        raise ValueError("it has not exactly the members from, signature and to")
    old, new = parse_vkey(said["from"]), parse_vkey(said["to"])
    if old.name != new.name or old.public == new.public:
        raise ValueError("the two keys do not go by the same name, or are the same")
    text = f"{_HEAD}\n{said['from']}\n{said['to']}\n".encode()
    try:
        Ed25519PublicKey.from_public_bytes(old.public).verify(base64.b64decode(said["signature"], validate=True), text)
    except (InvalidSignature, binascii.Error) as error:
        raise ValueError("its signature is not that of the older key") from error
    return old, new
