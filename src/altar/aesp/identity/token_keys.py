"""The keys that sign the tokens of a host: files in one private directory, the newest of which signs.

A key that has a successor goes on verifying for a while, so that no token dies of a rotation.
When it stops is told by the file of the successor, so hosts that share the directory agree without talking.
"""

from __future__ import annotations

import hmac
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from joserfc.jwk import OKPKey

__all__ = ["TokenKeys"]

_FILE = re.compile(r"token-(?P<made_ms>[0-9]{13})-[0-9a-f]{16}\.pem")
_LOOK_AGAIN = 1.0
_LOOK_FOR_NEWER = 10.0
_MOST = 64
_HINT = "give the host a directory of its own for these keys"


class TokenKeys:
    """The keys in one directory, each an Ed25519 key in a PEM file that its owner alone may read.

    ``overlap`` is how long, in seconds, a key verifies after it has a successor; it must outlast a token.
    ``now`` gives the time in seconds since 1970.
    """

    def __init__(self, directory: Path, *, overlap: float, now: Callable[[], float]) -> None:
        self._directory = directory
        self._overlap = overlap
        self._now = now
        self._keys: dict[str, tuple[int, OKPKey]] = {}
        self._looked = 0.0

    @classmethod
    def open(cls, directory: Path, *, overlap: float, now: Callable[[], float]) -> TokenKeys:
        """Read the keys of a directory; the first key is made when there is none.

        Raises ENVIRONMENT_ERROR for a directory or file that cannot be used or that others may read,
        CERTIFICATE_ERROR for a file that holds no Ed25519 key.
        """
        keys = cls(directory, overlap=overlap, now=now)
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as failed:
            raise _unusable(directory, f"cannot be made: {failed.strerror}") from failed
        keys._read()
        if not keys._keys:
            keys.rotate()
        return keys

    def signing(self) -> tuple[str, OKPKey]:
        """The id of the key that signs now, and the key; one that another host made signs here within seconds.

        While the directory cannot be read, that which is known goes on signing.
        """
        if self._now() - self._looked >= _LOOK_FOR_NEWER:
            with suppress(ConfigurationError):
                self._read()
        kid = max(self._keys, key=lambda one: self._keys[one][0])
        return kid, self._keys[kid][1]

    def verifying(self, kid: str) -> OKPKey | None:
        """The key of that id while it may verify; for an unknown one the directory is looked at, once a second."""
        if kid not in self._keys and self._now() - self._looked >= _LOOK_AGAIN:
            self._read()
        if kid not in self._keys or self._is_over(kid):
            return None
        return self._keys[kid][1]

    def secret(self, kid: str, *, purpose: bytes) -> tuple[str, bytes] | None:
        """The id of a key, and 32 bytes derived from it for another purpose, which every host of this directory has.

        With "" for the id it is the key that signs now; None for one that is not there any more.
        """
        if not kid:
            kid, key = self.signing()
        elif kid in self._keys or self.verifying(kid) is not None:
            key = self._keys[kid][1]
        else:
            return None
        return kid, hmac.new(bytes(key.raw_value.private_bytes_raw()), purpose, "sha256").digest()  # type: ignore[union-attr]  # those that sign are private

    def rotate(self) -> str:
        """Make a new key, which signs from now on, and delete those whose time is over; gives the new id."""
        from joserfc.jwk import OKPKey

        self._read()
        key = OKPKey.generate_key("Ed25519")
        newest = max((made for made, _ in self._keys.values()), default=0)
        made_ms = max(int(self._now() * 1000), newest + 1)
        kid = f"token-{made_ms:013d}-{os.urandom(8).hex()}"
        _write(self._directory / f"{kid}.pem", key.as_pem(private=True))
        self._keys[kid] = made_ms, key
        for old in [one for one in self._keys if self._is_over(one)]:
            (self._directory / f"{old}.pem").unlink(missing_ok=True)
            del self._keys[old]
        return kid

    @property
    def overlap_ends_ms(self) -> int:
        """Until when the key before the one that signs now verifies, in milliseconds since 1970."""
        return max(made for made, _ in self._keys.values()) + int(self._overlap * 1000)

    def jwks(self) -> dict[str, Any]:
        """The public keys that verify now, as a JSON Web Key Set (RFC 7517 §5)."""
        live = [(kid, key) for kid, (_, key) in sorted(self._keys.items()) if not self._is_over(kid)]
        return {"keys": [{**key.as_dict(private=False), "kid": kid, "use": "sig", "alg": "EdDSA"} for kid, key in live]}

    def _is_over(self, kid: str) -> bool:
        made = self._keys[kid][0]
        successors = [other for other, _ in self._keys.values() if other > made]
        return bool(successors) and self._now() > min(successors) / 1000 + self._overlap

    def _read(self) -> None:
        self._looked = self._now()
        try:
            files = sorted(path for path in self._directory.iterdir() if _FILE.fullmatch(path.name))
        except OSError as failed:
            raise _unusable(self._directory, f"cannot be read: {failed.strerror}") from failed
        for path in files[-_MOST:]:
            match = _FILE.fullmatch(path.name)
            if match is not None and path.stem not in self._keys:
                self._keys[path.stem] = int(match["made_ms"]), _load(path)
        for gone in self._keys.keys() - {path.stem for path in files}:
            del self._keys[gone]


def _load(path: Path) -> OKPKey:
    from joserfc.errors import JoseError
    from joserfc.jwk import OKPKey

    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            pem = file.read(64 * 1024)
    except OSError as failed:
        raise _unusable(path, f"cannot be read: {failed.strerror}") from failed
    if mode & 0o077:
        raise _unusable(path, f"can be read by others: its mode is {mode & 0o777:04o}", hint=f"chmod 600 {path}")
    try:
        key = OKPKey.import_key(pem)
    except (JoseError, ValueError, TypeError) as wrong:
        raise _no_key(path) from wrong
    if key.curve_name != "Ed25519" or not key.is_private:
        raise _no_key(path)
    return key


def _write(path: Path, pem: bytes) -> None:
    """Write a private file in one step, so that a host which shares the directory never reads half a key."""
    temporary = path.with_name(f".{path.name}")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as failed:
        raise _unusable(path, f"cannot be written: {failed.strerror}") from failed


def _unusable(path: Path, why: str, *, hint: str = _HINT) -> ConfigurationError:
    return ConfigurationError("ENVIRONMENT_ERROR", f"The token key {str(path)!r} {why}", hint=hint)


def _no_key(path: Path) -> ConfigurationError:
    return ConfigurationError(
        "CERTIFICATE_ERROR", f"{str(path)!r} holds no Ed25519 key", hint="it must be unencrypted PKCS#8 PEM"
    )
