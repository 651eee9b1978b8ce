"""Who signs the checkpoints.

A `Signer` is one method; the key may lie in a file, or with a service that never hands it out.
Names, key ids and verifier keys follow C2SP signed-note for Ed25519.
"""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

__all__ = ["FileSigner", "Signer", "is_signed_by", "key_id_of", "log_vkey", "public_key_of", "verifier_key"]


class Signer(Protocol):
    """Signs bytes under one named Ed25519 key.

    `name` is the key's name as it stands in notes; `vkey` is the verifier key that auditors are given.
    """

    @property
    def name(self) -> str:
        """Give the name of the key."""

    @property
    def vkey(self) -> str:
        """Give the verifier key: name, key id and public key in one line."""

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Give the 4-byte key id and the 64-byte signature over `message`."""


class FileSigner:
    """Signs with an Ed25519 key from a file (PKCS#8 PEM, readable by its owner only)."""

    def __init__(self, key: Ed25519PrivateKey, *, name: str) -> None:
        """Take the key itself; `create` and `open` get it from a file."""
        public = key.public_key().public_bytes_raw()
        self.name = _checked_name(name)
        self.vkey = verifier_key(name, public)
        self._key = key
        self._key_id = key_id_of(name, public)

    @classmethod
    def create(cls, path: str | Path, *, name: str) -> FileSigner:
        """Make a new key and keep it in a new file with mode 0600; an existing file is never overwritten."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PrivateKey,
        )

        key = Ed25519PrivateKey.generate()
        signer = cls(key, name=name)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The signing key {str(path)!r} cannot be created: {error.strerror}",
                hint="name a file that does not exist, in a folder that may be written",
            ) from error
        with os.fdopen(file, "wb") as out:
            out.write(pem)
            out.flush()
            os.fsync(out.fileno())
        return signer

    @classmethod
    def open(cls, path: str | Path, *, name: str) -> FileSigner:
        """Read the key from its file; refused when anyone but the owner could read it."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import (
            Ed25519PrivateKey,
        )

        pem = _read_private(Path(path))
        try:
            key = serialization.load_pem_private_key(pem, password=None)
        except (ValueError, TypeError) as error:
            raise ConfigurationError(
                "CERTIFICATE_ERROR",
                f"{str(path)!r} holds no readable private key",
                hint="it must be an Ed25519 key as unencrypted PKCS#8 PEM",
                detail=str(error),
            ) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise ConfigurationError("CERTIFICATE_ERROR", f"The key in {str(path)!r} is not an Ed25519 key")
        return cls(key, name=name)

    def sign(self, message: bytes) -> tuple[bytes, bytes]:
        """Give the 4-byte key id and the 64-byte signature over `message`."""
        return self._key_id, self._key.sign(message)


def key_id_of(name: str, public_key: bytes) -> bytes:
    """Give the 4-byte id of an Ed25519 key under a name (C2SP signed-note)."""
    return hashlib.sha256(name.encode() + b"\n\x01" + public_key).digest()[:4]


def verifier_key(name: str, public_key: bytes) -> str:
    """Write the key that auditors are given: `<name>+<key id>+<base64 of 0x01 and the public key>`."""
    encoded = base64.b64encode(b"\x01" + public_key).decode()
    return f"{name}+{key_id_of(name, public_key).hex()}+{encoded}"


def public_key_of(vkey: str) -> bytes:
    """Give the 32 bytes of the public key in a verifier key."""
    return base64.b64decode(vkey.split("+", 2)[2])[1:]


def log_vkey(vkey: str, tenant: str) -> str:
    """Give the verifier key of a tenant's log from that of the host: the same key under the name of that log."""
    if not tenant:
        return vkey
    return verifier_key(f"{vkey.split('+', 1)[0]}/{quote(tenant, safe='@:')}", public_key_of(vkey))


def is_signed_by(vkey: str, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` over `message` was made by the key of `vkey`."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PublicKey,
    )

    try:
        Ed25519PublicKey.from_public_bytes(public_key_of(vkey)).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _checked_name(name: str) -> str:
    """Refuse a key name that a signed note could not carry: empty, with blanks or with a plus sign."""
    if not name or "+" in name or any(character.isspace() for character in name) or not name.isprintable():
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"{name!r} cannot name a signing key",
            hint="use printable characters without blanks or '+', for example 'altar.local/host-1'",
        )
    return name


def _read_private(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read()
    except OSError as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The signing key {str(path)!r} cannot be read: {error.strerror}",
            hint="name the file that holds it, or make a key: `altar manifest keygen FILE`",
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The signing key {str(path)!r} can be read by others: its mode is {mode & 0o777:04o}",
            hint=f"make it private with: chmod 600 {path}",
        )
    return pem
