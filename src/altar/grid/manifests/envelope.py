"""A signed envelope around bytes: DSSE v1.0.2, the Dead Simple Signing Envelope of secure-systems-lab.

What is signed is not the payload alone but PAE(type, payload), so a signature for one kind of payload is worth nothing
for another.
An envelope is JSON: ``payload`` and ``payloadType``, and ``signatures``, each with a ``keyid`` and a ``sig``.
The key id is only a hint which key to try; what counts is whether a key that is trusted made the signature.
Keys are those of the log: Ed25519, private ones behind a `Signer`, public ones as C2SP verifier keys.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ConfigurationError
from altar.ledger.signer import is_signed_by, key_id_of, verifier_key

if TYPE_CHECKING:
    from altar.ledger.signer import Signer

__all__ = ["MAX_ENVELOPE_BYTES", "Envelope", "NotSignedError", "Signature", "pae", "read_keys"]

MAX_ENVELOPE_BYTES: Final = 32 * 1024 * 1024
"""The largest envelope that is read, in bytes."""
MAX_SIGNATURES: Final = 16
"""Most signatures that are looked at in one envelope."""
MAX_KEYS: Final = 64
"""Most keys that may be trusted at once."""

_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64


class NotSignedError(ConfigurationError):
    """Nothing here was signed by a key that is trusted; ``reason`` says in one word why.

    ``altered``: a key of that id is trusted, and it did not sign these bytes.
    ``unknown key``: none of the keys that are named is trusted.
    ``unsigned``: there is no envelope, or there are no signatures in it.
    """

    reason: Literal["altered", "unknown key", "unsigned"]


def pae(payload_type: str, payload: bytes) -> bytes:
    """What a signature is made over: the pre-authentication encoding of DSSE, lengths in ASCII decimals."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of 64 bytes, and the id of the key that is said to have made it."""

    keyid: str
    sig: bytes


@dataclass(frozen=True, slots=True)
class Envelope:
    """A payload, its type and its signatures, which say nothing until :meth:`signer` has verified one."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    @classmethod
    def seal(cls, payload: bytes, *, payload_type: str, signer: Signer) -> Self:
        """Sign a payload."""
        key_id, signature = signer.sign(pae(payload_type, payload))
        return cls(payload_type, payload, (Signature(key_id.hex(), signature),))

    @classmethod
    def read(cls, text: bytes) -> Self:
        """Read an envelope. Raises NotSignedError ``unsigned`` for JSON of another shape, ConfigurationError for less.

        Standard and URL-safe base64 are read, as the specification asks for.
        """
        document = _object(text)
        payload, kind, listed = (document.get(member) for member in ("payload", "payloadType", "signatures"))
        if not isinstance(payload, str) or not isinstance(kind, str) or not isinstance(listed, list) or not listed:
            raise _not_signed("unsigned", "it is not in a signed envelope")
        if len(listed) > MAX_SIGNATURES:
            raise _malformed(f"it has {len(listed)} signatures and the limit is {MAX_SIGNATURES}")
        return cls(kind, _decoded(payload), tuple(map(_signature, listed)))

    def to_bytes(self) -> bytes:
        """The envelope as a file: JSON on one line."""
        document = {
            "payload": base64.b64encode(self.payload).decode(),
            "payloadType": self.payload_type,
            "signatures": [{"keyid": one.keyid, "sig": base64.b64encode(one.sig).decode()} for one in self.signatures],
        }
        return json.dumps(document).encode() + b"\n"

    def signer(self, keys: Iterable[str]) -> str:
        """The first of the trusted ``keys`` (verifier keys) that signed this. Raises NotSignedError when none did."""
        trusted = tuple(keys)
        message = pae(self.payload_type, self.payload)
        named = False
        for signature in self.signatures:
            of_that_id = [key for key in trusted if _id_of(key) == signature.keyid]
            named = named or bool(of_that_id)
            for key in of_that_id or trusted:
                if is_signed_by(key, message, signature.sig):
                    return key
        if named:
            raise _not_signed("altered", "it is not what was signed: the signature does not fit its content")
        ids = ", ".join(repr(one.keyid[:40]) for one in self.signatures)
        raise _not_signed("unknown key", f"it is signed by a key that is not trusted here: {ids}")


def read_keys(paths: Sequence[Path]) -> tuple[str, ...]:
    """The verifier keys in some files, one a line; empty lines and lines that begin with ``#`` are passed over.

    Raises ConfigurationError CERTIFICATE_ERROR for a file that cannot be read or a line that is no key.
    """
    keys: list[str] = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                "CERTIFICATE_ERROR",
                f"The file of verifier keys {str(path)!r} cannot be read: {getattr(error, 'strerror', error)}",
                hint="`altar manifest keygen` writes a key and its verifier key",
            ) from error
        keys += [_verifier_key(line.strip(), path) for line in lines if line.strip() and not line.startswith("#")]
    if len(keys) > MAX_KEYS:
        raise ConfigurationError("CERTIFICATE_ERROR", f"There are {len(keys)} keys and the limit is {MAX_KEYS}")
    return tuple(dict.fromkeys(keys))


def _object(text: bytes) -> dict[str, Any]:
    try:
        document: object = parse(text, max_bytes=MAX_ENVELOPE_BYTES, max_depth=200)
    except AltarError as error:
        raise _malformed(error.message) from error
    if not isinstance(document, dict):
        raise _malformed("it is not a JSON object")
    return document


def _signature(listed: object) -> Signature:
    if not isinstance(listed, dict):
        raise _malformed("a signature of it is not an object")
    keyid, sig = listed.get("keyid", ""), listed.get("sig")
    if not isinstance(keyid, str) or not isinstance(sig, str):
        raise _malformed("a signature of it has no `sig`")
    signature = _decoded(sig)
    if len(signature) != _SIGNATURE_BYTES:
        raise _malformed(f"a signature of it has {len(signature)} bytes and not {_SIGNATURE_BYTES}")
    return Signature(keyid, signature)


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError) as error:
        raise _malformed(f"it holds text that is not base64: {error}") from error


def _verifier_key(line: str, path: Path) -> str:
    name, _, rest = line.partition("+")
    _, _, encoded = rest.partition("+")
    try:
        public = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        public = b""
    if len(public) != _KEY_BYTES + 1 or public[0] != 1 or not name or verifier_key(name, public[1:]) != line:
        raise ConfigurationError(
            "CERTIFICATE_ERROR",
            f"{str(path)!r} holds a line that is no verifier key: {line[:60]!r}",
            hint="a verifier key reads NAME+ID+KEY and belongs to an Ed25519 key",
        )
    return line


def _id_of(key: str) -> str:
    name, _, encoded = key.split("+", 2)
    return key_id_of(name, base64.b64decode(encoded)[1:]).hex()


def _not_signed(reason: Literal["altered", "unknown key", "unsigned"], message: str) -> NotSignedError:
    hint = "name the key that signed it, or sign its manifest again with yours" if reason == "unknown key" else None
    error = NotSignedError("CERTIFICATE_ERROR", message, hint=hint)
    error.reason = reason
    return error


def _malformed(message: str) -> ConfigurationError:
    return ConfigurationError("INVALID_CONFIG", message)
