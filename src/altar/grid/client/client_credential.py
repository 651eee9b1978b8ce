"""What a session shows its host to prove who asks: a text, or something that gives a fresh one when the last one ends.

A token of a host says when it ends; it is not checked here, because only the host can.
Nothing of a credential is ever logged.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import math
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError

if TYPE_CHECKING:
    from altar.grid.trust.certificates import CertificateFiles

__all__ = ["ClientCredential", "credential_in", "ends_of", "owner_in"]

_LONGEST = 16 * 1024
_EARLY = 60.0
_AGAIN = 5.0


class ClientCredential:
    """A credential, and when the next one is due.

    ``give`` brings it, and may take its time; with ``renewable`` it brings another one each time.
    ``now`` is in seconds since 1970.
    """

    def __init__(
        self,
        give: Callable[[], str],
        *,
        renewable: bool,
        now: Callable[[], float] = time.time,  # noqa: TID251 - the end of a token is a time of the wall clock
    ) -> None:
        self._give = give
        self._renewable = renewable
        self._now = now
        self._due = math.inf
        self.owner = ""
        """In whose name the last one was, as :func:`owner_in` tells it; empty before the first one."""

    @property
    def is_due(self) -> bool:
        """Whether a fresh one should be sent now: a minute before the end, or when a third of its time is left."""
        return self._now() >= self._due

    async def fresh(self) -> bytes:
        """The credential as it is sent.

        Raises INVALID_CREDENTIALS when there is none, or one that cannot be a credential; what ``give`` raises.
        """
        if self._renewable:  # should it fail, it is tried again
            self._due = self._now() + _AGAIN
        text = await asyncio.to_thread(self._give)
        if not text or len(text) > _LONGEST or not text.isascii() or not text.isprintable() or " " in text:
            raise AuthorizationError(
                "INVALID_CREDENTIALS",
                "What stands for the credential of this session cannot be one",
                ran="no",
                hint="give a token or an API key of at most 16 KiB, without blanks or line ends",
            )
        self.owner = _owner(text)
        if self._renewable:
            left = ends_of(text) - self._now()
            early = max(_EARLY, left / 3) if left > _EARLY else left / 2
            self._due = math.inf if math.isinf(left) else self._now() + max(_AGAIN, left - early)
        return text.encode()


def credential_in(options: Mapping[str, Any], *, target: str, files: CertificateFiles) -> ClientCredential | None:
    """The credential that the options of a source name; None when the certificate says who asks.

    ``credential`` is a text, or a function that gives one; ``credential_file`` a file that holds one, read each time;
    ``login`` a file that `altar login` wrote for this host.
    """
    given = options.get("credential")
    if callable(given):
        return ClientCredential(given, renewable=True)
    if given is not None:  # an empty one is refused when it is asked for: nobody else's counts instead
        return ClientCredential(lambda: str(given), renewable=False)
    if options.get("credential_file"):
        path = Path(options["credential_file"])
        return ClientCredential(lambda: _read(path), renewable=True)
    if options.get("login"):
        from altar.grid.client.saved_login import SavedLogins

        logins = SavedLogins(Path(options["login"]), target=target, files=files)
        if logins.exists():
            return ClientCredential(logins.access_token, renewable=True)
    return None


def ends_of(credential: str) -> float:
    """When a credential says it ends, in seconds since 1970; infinite when it does not say."""
    ends = _claims(credential).get("exp")
    return float(ends) if isinstance(ends, int | float) and not isinstance(ends, bool) else math.inf


async def owner_in(options: Mapping[str, Any], *, target: str) -> str:
    """In whose name sessions with these options are, as far as a client can tell; empty for the certificate's.

    It parts what this process keeps for one principal from what it keeps for another; the host decides by nothing of
    it.
    """
    given = options.get("credential")
    if callable(given):
        return _owner(await asyncio.to_thread(given))
    if given is not None or options.get("credential_file"):
        return _owner(str(given) if given is not None else _read(Path(options["credential_file"])))
    if options.get("login"):
        from altar.grid.client.saved_login import SavedLogins

        logins = SavedLogins(Path(options["login"]), target=target, files=None)
        return logins.read().principal if logins.exists() else ""
    return ""


def _owner(credential: str) -> str:
    """The principal that a token names, or the public part of a key; a digest of anything else."""
    subject = _claims(credential).get("sub")
    if isinstance(subject, str) and 0 < len(subject) <= 128 and subject.isprintable():
        return subject
    key = re.fullmatch(r"altar_([0-9a-f]{24})_\S+", credential)
    return f"key:{key[1]}" if key else f"sha256:{hashlib.sha256(credential.encode()).hexdigest()[:32]}"


def _claims(credential: str) -> Mapping[str, Any]:
    """The claims of a token, believed by nobody; empty for what is no token."""
    parts = credential.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = parse(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)), max_depth=8)
    except (AltarError, binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}


def _read(path: Path) -> str:
    try:
        with path.open(encoding="ascii") as file:
            text = file.read(_LONGEST + 2).strip()
    except (OSError, UnicodeDecodeError) as failed:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The credential in {str(path)!r} cannot be read",
            ran="no",
            hint="name a file that holds a token or an API key",
            detail=type(failed).__name__,
        ) from failed
    if not text:
        raise AuthorizationError(
            "INVALID_CREDENTIALS",
            f"The file {str(path)!r} for the credential is empty",
            ran="no",
            hint="let what writes it write a token or an API key",
        )
    return text
