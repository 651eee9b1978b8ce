"""Who is on the other end of a connection, and who a credential stands for: the seam where identities come in.

A plain GRID host knows the names in certificates and nothing else, so it refuses every credential.
A host with identities puts its own `Callers` into ``Host.callers``; everything below sees ids and tenants only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from altar.adm.errors import AltarError, AuthorizationError, ConfigurationError
from altar.grid.trust.certificates import Identity

__all__ = ["MAX_CREDENTIAL_BYTES", "Caller", "Callers", "CertificateCallers", "bearer_of"]

MAX_CREDENTIAL_BYTES = 16 * 1024
"""The largest credential that is looked at."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who asks: the id that is recorded, the tenant it belongs to, and until when that is proved.

    ``who`` is what the control plane decides by, None on a host without one.
    ``expires`` is in seconds since 1970, infinite when the proof ends with the connection.
    ``refusal`` is why nothing may be asked in this name; a connection without a principal still can present one.
    """

    id: str
    tenant: str = "default"
    who: Any = None
    expires: float = math.inf
    refusal: AltarError | None = None

    def require(self) -> Caller:
        """Give the caller back, or raise why nothing may be asked in its name."""
        if self.refusal is not None:
            raise self.refusal
        return self


class Callers(Protocol):
    """Says who a credential, or else a certificate, stands for. In memory: it never waits.

    ``known`` says whether credentials are taken at all.
    """

    known: bool

    def of(self, credential: bytes, identity: Identity) -> Caller:
        """The caller of a credential; empty for the one that the certificate names.

        Raises AuthorizationError INVALID_CREDENTIALS for one that proves nothing, in the same words whatever is wrong;
        ConfigurationError FEATURE_UNAVAILABLE where credentials are not known at all.
        """
        ...

    def admit(self, caller: Caller, what: Literal["create", "use"]) -> None:
        """Raise AuthorizationError unless this caller may open a session now, or use those it has."""
        ...


class CertificateCallers:
    """The callers of a plain host: whoever has a certificate of the grid, by the name in it."""

    known = False

    def of(self, credential: bytes, identity: Identity) -> Caller:
        """The caller that the certificate names. Raises FEATURE_UNAVAILABLE for any credential."""
        if credential:
            raise ConfigurationError(
                "FEATURE_UNAVAILABLE",
                "This host knows certificates only, and no tokens or keys",
                ran="no",
                hint="leave the credential out, or start the host with identities: aesp.tier = 'foundation'",
            )
        if identity.tenant:
            raise AuthorizationError(
                "INVALID_CREDENTIALS",
                "The certificate is of a tenant, and this host has none",
                ran="no",
                hint="use a certificate without a tenant, or a host with identities: aesp.tier = 'foundation'",
            )
        return Caller(identity.name)

    def admit(self, caller: Caller, what: Literal["create", "use"]) -> None:
        """Whoever has a certificate may do both."""


def bearer_of(metadata: Iterable[tuple[str, str | bytes]] | None) -> bytes:
    """The credential of ``authorization: Bearer …`` in the metadata of a request; empty without one (RFC 6750 §2.1).

    Raises AuthorizationError INVALID_CREDENTIALS for another scheme, two of them, or one that is too long.
    """
    found = [value for key, value in metadata or () if key == "authorization"]
    if not found:
        return b""
    text = found[0].encode() if isinstance(found[0], str) else found[0]
    scheme, _, credential = text.partition(b" ")
    if len(found) > 1 or scheme.lower() != b"bearer" or not 0 < len(credential.strip()) <= MAX_CREDENTIAL_BYTES:
        raise AuthorizationError(
            "INVALID_CREDENTIALS",
            "The authorization of the request is not one bearer credential",
            ran="no",
            hint="send it once, as `authorization: Bearer <token or key>`",
        )
    return credential.strip()
