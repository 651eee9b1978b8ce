"""The one function of the data plane: what came with a session, and the certificate it came over, give a principal.

Three proofs are known, and each is checked in memory: the host's own token, an API key, the certificate.
A token of an identity provider is none of them: it is exchanged first, at the authentication service.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar.aesp.identity.api_keys import PREFIX
from altar.aesp.identity.certificates import principal_of_certificate
from altar.aesp.identity.login import not_accepted

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.identity.api_keys import ApiKeys
    from altar.aesp.identity.tokens import Tokens
    from altar.aesp.principal import Principal
    from altar.grid.trust.certificates import Identity

__all__ = ["Credentials"]


class Credentials:
    """Checks what the data plane is shown. ``operator_tenant`` is that of certificates that name none."""

    def __init__(self, tokens: Tokens, keys: ApiKeys, directory: Directory, *, operator_tenant: str) -> None:
        self._tokens = tokens
        self._keys = keys
        self._directory = directory
        self._operator_tenant = operator_tenant
        self._version = 0
        self._good: dict[str, int] = {}

    def principal_of(self, credential: str, certificate: Identity) -> Principal:
        """Who asks: by the token or key, or by the certificate of the connection when ``credential`` is empty.

        A certificate of one tenant carries principals of that tenant only; one of the operator carries any.
        Raises INVALID_CREDENTIALS, in the same words whatever was wrong. It never waits.
        """
        if not credential:
            return principal_of_certificate(certificate, self._directory, operator_tenant=self._operator_tenant)
        check = self._keys.verify if credential.startswith(PREFIX) else self._tokens.verify
        principal = check(credential)
        if certificate.tenant not in ("", principal.tenant):
            raise not_accepted(f"a certificate of the tenant {certificate.tenant!r} carries a foreign principal")
        return principal

    def changed(self) -> None:
        """Something was revoked, or may have been; to be called once keys, tokens and directory have it."""
        self._version += 1

    def still(self, who: Principal) -> bool:
        """Whether what proved a principal would still be accepted; for what it opened before. It never waits."""
        proof = who.proof
        if not proof:
            return True
        if proof[0] == "key":
            return self._keys.is_good(proof[1])
        version = self._version
        if self._good.get(proof[1]) == version:
            return True
        if not self._tokens.is_good(who):
            return False
        if len(self._good) >= _KEPT:
            self._good.clear()
        self._good[proof[1]] = version
        return True


_KEPT = 65_536
