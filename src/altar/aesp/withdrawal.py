"""What a change of the directory takes away at once: sessions of principals that are gone, calls nobody may make now.

Decisions read the directory, so a next call is refused in any case; this ends what is open or on its way.
A principal that is gone, or in a tenant that is, or whose key or token was revoked, loses its sessions and all its
calls; one in a suspended tenant its
calls; one that lost a role the streams that it could not begin now.
What runs under a permit in a process of theirs cannot be ended: the record says that it was still in their hands, and
that what they report of it came afterwards.
Whoever sees other tools than before is told so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.control_plane import principal_of, require_active
from altar.aesp.principal import Principal
from altar.later.invocation import Outcome

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.tool_access import ToolAccess
    from altar.grid.host.host import Host
    from altar.grid.manifests.manifest import Manifest
    from altar.later.invocation import Invocation

__all__ = ["Withdrawal"]


class Withdrawal:
    """Follows the directory for one host; `changed` is for the host's loop and is cheap to call often.

    ``still`` says whether the key or token that proved a principal is not revoked.
    ``later`` puts a function off to the end of the turn, such as ``loop.call_soon``.
    """

    def __init__(
        self,
        host: Host,
        *,
        directory: Directory,
        access: ToolAccess,
        still: Callable[[Principal], bool],
        later: Callable[[Callable[[], None]], object],
    ) -> None:
        self._host = host
        self._directory = directory
        self._access = access
        self._still = still
        self._later = later
        self._due = False
        self._told: dict[str, Manifest] = {}
        host.permits.standing = self._standing

    def changed(self) -> None:
        """Something is not as it was; many changes in a row are looked at once."""
        if not self._due:
            self._due = True
            self._later(self._look)

    def _look(self) -> None:
        self._due = False
        self._end_sessions()
        for invocation in list(self._running()):
            refused = self._refusal(invocation)
            if refused is not None:
                refused.ran = "unknown"
                self._host.runtimes.cut(invocation, Outcome(error=refused))
        self._host.permits.withdraw()
        self._tell()

    def _standing(self, principal: str, who: object) -> str:
        """Why a principal may not act any more, as a code; empty while it may."""
        person = self._directory.principal(principal)
        if person is None or not person.active or self._is_revoked(who):
            return "INVALID_CREDENTIALS"
        tenant = self._directory.tenant(person.tenant)
        return "" if tenant is not None and tenant.active else "TENANT_SUSPENDED"

    def _end_sessions(self) -> None:
        for session in list(self._host.sessions):
            person = self._directory.principal(session.principal)
            tenant = self._directory.tenant(session.tenant)
            is_gone = person is None or not person.active or tenant is None or tenant.status == "DELETED"
            if is_gone or self._is_revoked(session.who):
                self._host.close_session(session.session_id, session.principal, force=True)
                self._told.pop(session.session_id, None)

    def _is_revoked(self, who: object) -> bool:
        return type(who) is Principal and not self._still(who)

    def _running(self) -> Iterator[Invocation]:
        return self._host.runtimes.calls()

    def _refusal(self, invocation: Invocation) -> AltarError | None:
        """Why a call that runs may not go on; None when it may."""
        try:
            who = principal_of(invocation.who)
            require_active(self._directory, who)
            if not self._still(who):
                raise AuthorizationError("INVALID_CREDENTIALS", "The credential was revoked", ran="no")
            if invocation.chunks is not None:
                self._access.require(who, invocation.contract)
        except AuthorizationError as refused:
            return refused
        return None

    def _tell(self) -> None:
        """Tell the streams of each session whose principal sees other contracts than it was told of."""
        for session in self._host.sessions:
            who = session.who
            if who is None or session.attached <= 0:
                continue
            sees, told = self._access.of(who, self._host.manifest), self._told.get(session.session_id)
            if told is not sees:
                self._told[session.session_id] = sees
                self._host.tell_contracts(session.session_id)
