"""Sessions on the host, and the catalog that answers "what does this name mean, for this principal, in this session?".

A session is bound to the principal that opened it, so its id is a name and not a secret.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from altar.adm.errors import AuthorizationError, ValidationError
from altar.grid.manifest import HostContract, Manifest
from altar.later.invocation import Invocation
from altar.later.registry import unknown_tool

__all__ = ["HostCatalog", "HostSession", "Sessions"]


@dataclass(slots=True)
class HostSession:
    """One session. ``expires`` is on the monotonic clock; ``tools`` empty means the whole manifest."""

    session_id: str
    principal: str
    tools: frozenset[str]
    ttl: float
    expires: float
    calls: set[Invocation] = field(default_factory=set)


class Sessions:
    """All sessions of a host. The time to live slides with every call and is capped."""

    def __init__(
        self,
        *,
        default_ttl: timedelta = timedelta(hours=1),
        max_ttl: timedelta = timedelta(days=1),
        per_principal: int = 1024,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._default = default_ttl.total_seconds()
        self._max = max_ttl.total_seconds()
        self._per_principal = per_principal
        self._clock = clock
        self._sessions: dict[str, HostSession] = {}
        self._open_of: Counter[str] = Counter()

    def create(self, principal: str, tools: Iterable[str], *, ttl: float, manifest: Manifest) -> HostSession:
        """Open a session. Every tool asked for must exist; ``ttl`` in seconds, 0 for the default."""
        wanted = frozenset(tools)
        for name in sorted(wanted):
            manifest.find(name)
        if self._open_of[principal] >= self._per_principal:
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                f"{principal!r} has {self._per_principal} sessions open, which is the limit",
                ran="no",
                hint="close some, or let them expire",
            )
        lifetime = min(ttl or self._default, self._max)
        session = HostSession(f"session-{secrets.token_hex(16)}", principal, wanted, lifetime, self._clock() + lifetime)
        self._sessions[session.session_id] = session
        self._open_of[principal] += 1
        return session

    def get(self, session_id: str, principal: str) -> HostSession:
        """The session, and its time to live begins again.

        A session of another principal and one that never was are refused in the same words.
        """
        session = self._sessions.get(session_id)
        now = self._clock()
        if session is None or session.principal != principal:
            raise ValidationError("INVALID_SESSION", "There is no such session", ran="no", hint="open a new session")
        if now >= session.expires:
            raise AuthorizationError("SESSION_EXPIRED", "The session has expired", ran="no", hint="open a new session")
        session.expires = now + session.ttl
        return session

    def destroy(self, session_id: str, principal: str, *, force: bool) -> HostSession:
        """End a session. Refused while calls run, unless forced; the caller then cancels those calls."""
        session = self.get(session_id, principal)
        if session.calls and not force:
            raise ValidationError(
                "INVALID_SESSION",
                f"The session has calls in flight: {len(session.calls)}",
                ran="no",
                hint="wait for them, or force it to cancel them",
            )
        self._remove(session)
        return session

    def ended(self, invocation: Invocation) -> None:
        """A call of a session has been answered."""
        session = self._sessions.get(invocation.session_id)
        if session is not None:
            session.calls.discard(invocation)

    def sweep(self) -> list[HostSession]:
        """Drop what has expired and has nothing in flight; returns what was dropped."""
        now = self._clock()
        gone = [session for session in self._sessions.values() if now >= session.expires and not session.calls]
        for session in gone:
            self._remove(session)
        return gone

    def _remove(self, session: HostSession) -> None:
        del self._sessions[session.session_id]
        self._open_of[session.principal] -= 1
        if not self._open_of[session.principal]:
            del self._open_of[session.principal]

    def __len__(self) -> int:
        return len(self._sessions)


class HostCatalog:
    """Step 1 on the host: the session, then the tool in it, then the contract that both sides mean."""

    def __init__(self, manifest: Manifest, sessions: Sessions) -> None:
        self.manifest = manifest
        self._sessions = sessions

    def find(self, invocation: Invocation) -> HostContract:
        """The contract of a call. A call without a session may use the whole manifest (unary `CallTool`)."""
        if invocation.session_id:
            session = self._sessions.get(invocation.session_id, invocation.principal)
            session.calls.add(invocation)
            if session.tools and invocation.name not in session.tools:
                raise unknown_tool(invocation.name, session.tools)
        contract = self.manifest.find(invocation.name, invocation.version)
        if invocation.known_digest and invocation.known_digest != contract.digest:
            raise ValidationError(
                "VERSION_MISMATCH",
                f"The contract of {invocation.name!r} is not the one the caller knows",
                ran="no",
                hint="call again: the session reads the contract as it is now, or open a new one",
            )
        invocation.version = contract.version
        return contract
