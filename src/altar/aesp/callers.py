"""Who asks on the data plane of an AESP host: a token of the host, an API key, or the certificate of the connection.

All three are checked in memory, in the host's loop, and none of them waits.
What a principal may do is not decided here but at each request; here stands who it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, Protocol

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.control_plane import principal_of, require_active
from altar.grid.host.callers import MAX_CREDENTIAL_BYTES, Caller

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.principal import Principal
    from altar.aesp.quotas import EntryQuota
    from altar.aesp.rbac import Rbac
    from altar.aesp.refusals import Refusals
    from altar.grid.trust.certificates import Identity

__all__ = ["PrincipalCallers"]


class Proofs(Protocol):
    """Says which principal a credential proves."""

    def principal_of(self, credential: str, certificate: Identity) -> Principal:
        """Its principal, or that of the certificate when it is empty; raises INVALID_CREDENTIALS."""
        ...

    def still(self, who: Principal) -> bool:
        """Whether that which proved it is not revoked."""
        ...


class PrincipalCallers:
    """The callers of a host with identities.

    ``sessions_of`` says how many sessions a tenant has open; ``clock`` gives seconds since 1970.
    ``entries`` says whether its log has room for what another session brings.
    """

    known = True

    def __init__(
        self,
        proofs: Proofs,
        *,
        directory: Directory,
        rbac: Rbac,
        refusals: Refusals,
        clock: Callable[[], float],
        sessions_of: Callable[[str], int],
        entries: EntryQuota | None = None,
    ) -> None:
        self._proofs = proofs
        self._directory = directory
        self._rbac = rbac
        self._refusals = refusals
        self._clock = clock
        self._sessions_of = sessions_of
        self._entries = entries

    def of(self, credential: bytes, identity: Identity) -> Caller:
        """The caller of a credential, or of the certificate when it is empty.

        A certificate that stands for nobody gives a caller that is refused when it asks for something.
        """
        try:
            who = self._proofs.principal_of(_text(credential), identity)
        except AltarError as refused:
            self._refusals.denied(
                tenant="",
                principal="",  # nobody has proved to be anybody
                code=refused.code,
                resource="credentials" if credential else f"certificates/{identity.name}",
                action="authenticate",
            )
            if credential:
                raise
            return Caller(identity.uri, "", refusal=refused)
        return Caller(who.id, who.tenant, who, who.expires)

    def admit(self, caller: Caller, what: Literal["create", "use"]) -> None:
        """Raise unless the caller may open a session now, or use those it has.

        A session is opened by whoever has ``sessions:create``, as long as its tenant has room for another one;
        used by its own principal while that is active.
        """
        try:
            who = principal_of(caller.require().who)
            if self._clock() >= who.expires or not self._proofs.still(who):
                raise AuthorizationError("INVALID_CREDENTIALS", "The credential has ended", ran="no")
            require_active(self._directory, who)
            if what == "create":
                self._rbac.require(who, resource="sessions", action="create")
                self._require_room(who.tenant)
        except AltarError as refused:
            self._refusals.denied(
                tenant=caller.tenant, principal=caller.id, code=refused.code, resource="sessions", action=what
            )
            raise

    def _require_room(self, tenant: str) -> None:
        found = self._directory.require_active(tenant)
        if self._entries is not None:
            self._entries.require(found)
        limit = found.quotas.get("sessions")
        if limit is not None and self._sessions_of(tenant) >= limit:
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                f"The tenant {tenant!r} has {limit} sessions open, which is its quota",
                ran="no",
                hint="close some, or ask the operator for more",
            )


def _text(credential: bytes) -> str:
    """A credential as text; what is none, or too long, cannot be anybody's."""
    try:
        return credential.decode("ascii") if len(credential) <= MAX_CREDENTIAL_BYTES else "!"
    except UnicodeDecodeError:
        return "!"
