"""Sessions on the host, and the catalog that answers "what does this name mean, for this principal, in this session?".

A session is bound to the principal that opened it, so its id is a name and not a secret.
It outlives the connection it was opened on, and with a store the host as well: whoever comes back with its id finds it,
until its time to live has passed or it is destroyed.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.grid.manifest import HostContract, Manifest
from altar.later.contracts import Contracts
from altar.later.invocation import Invocation
from altar.later.variable_table import Record, VariableTable, Watcher
from altar.ledger.session_store import KeptSession

if TYPE_CHECKING:
    from altar.ledger.session_store import Kept, SessionStore

__all__ = ["HostCatalog", "HostSession", "Sessions"]

_log = logging.getLogger("altar.grid")

_RANGES_EACH = 8
"""Most ways to name a contract in one session, so that what a session holds is bounded by the manifest."""
_WRITTEN_EVERY = 0.1
"""The part of its time to live by which a session's end must have moved before that is written down."""


@dataclass(slots=True, eq=False)
class HostSession:
    """One session. ``expires`` is on the monotonic clock; ``tools`` empty means the whole manifest.

    ``tools`` are names or ``name@range``, and ``contracts`` what they allow, once a call has asked for it.
    ``kept_until`` is the end that was written down, ``attached`` how many streams have it open.
    ``unsaved`` counts changes of variables that are not durable yet; until they are, nobody is told of them.
    """

    session_id: str
    principal: str
    tools: frozenset[str]
    ttl: float
    expires: float
    kept_until: float = 0.0
    attached: int = 1
    calls: set[Invocation] = field(default_factory=set)
    variables: VariableTable = field(default_factory=VariableTable)
    watchers: set[Watcher] = field(default_factory=set)
    unsaved: int = 0
    contracts: Contracts[HostContract] | None = None


class Sessions:
    """All sessions of a host. The time to live slides with every use and is capped.

    ``note`` is told the id of each session that ends, and why.
    """

    def __init__(
        self,
        *,
        default_ttl: timedelta = timedelta(hours=1),
        max_ttl: timedelta = timedelta(days=1),
        per_principal: int = 1024,
        clock: Callable[[], float] = time.monotonic,
        store: SessionStore | None = None,
        wall_ms: Callable[[], int] | None = None,
        note: Callable[[str, str], None] | None = None,
    ) -> None:
        self._default = default_ttl.total_seconds()
        self._max = max_ttl.total_seconds()
        self._per_principal = per_principal
        self._clock = clock
        self.store = store
        self._wall_ms = wall_ms
        self._note = note or _no_one
        self._sessions: dict[str, HostSession] = {}
        self._open_of: Counter[str] = Counter()
        self.variable_bytes_of: Counter[str] = Counter()

    def restore(self) -> None:
        """Take up the sessions that an earlier process of this host kept; what has expired since is dropped."""
        if self.store is None or self._wall_ms is None:
            return
        kept, damaged = self.store.load()
        now, wall_ms = self._clock(), self._wall_ms()
        for each in kept:
            left = (each.session.expires_ms - wall_ms) / 1000
            if left <= 0:
                self.store.drop(each.session.session_id)
                self._note(each.session.session_id, "expired")
            else:
                self._take_up(each, expires=now + min(left, each.session.ttl_ms / 1000))
        for session_id in damaged:
            _log.error("session dropped: it is not as it was kept", extra={"session": session_id})
            self.store.drop(session_id)
            self._note(session_id, "damaged")

    def create(self, principal: str, tools: Iterable[str], *, ttl: float, manifest: Manifest) -> HostSession:
        """Open a session. Every tool asked for must exist; ``ttl`` in seconds, 0 for the default.

        At the limit, one that nobody is connected to and that holds no variables makes room.
        """
        wanted = frozenset(tools)
        contracts = manifest.choose(sorted(wanted)) if wanted else None
        if contracts is not None and len(wanted) > _RANGES_EACH * len(contracts):
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"The session names {len(contracts)} contracts in {len(wanted)} ways",
                ran="no",
                hint="name each tool once, with one range",
            )
        if self._open_of[principal] >= self._per_principal and not self._made_room(principal):
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                f"{principal!r} has {self._per_principal} sessions open, which is the limit",
                ran="no",
                hint="close some, or let them expire",
            )
        lifetime = min(ttl or self._default, self._max)
        session = HostSession(f"session-{secrets.token_hex(16)}", principal, wanted, lifetime, self._clock() + lifetime)
        session.contracts = contracts
        self._add(session)
        self.keep(session)
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
            raise _expired()
        session.expires = now + session.ttl
        if session.expires - session.kept_until >= session.ttl * _WRITTEN_EVERY:
            self.keep(session)
        return session

    def keep(self, session: HostSession) -> None:
        """Write down the session as it is, without its variables."""
        session.kept_until = session.expires
        if self.store is not None:
            self.store.save(self.kept(session))

    def kept(self, session: HostSession) -> KeptSession:
        """The session as it is written down: its end in wall time."""
        wall_ms = self._wall_ms() if self._wall_ms is not None else 0
        return KeptSession(
            session.session_id,
            session.principal,
            tuple(sorted(session.tools)),
            int(session.ttl * 1000),
            wall_ms + int((session.expires - self._clock()) * 1000),
            session.variables.floor,
            session.variables.names,
        )

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
        over = ValidationError("INVALID_SESSION", "The session was closed", ran="no", hint="open a new session")
        self._remove(session, principal, over)
        return session

    def left(self, session_id: str) -> None:
        """A stream that had the session open is gone; the session stays."""
        session = self._sessions.get(session_id)
        if session is not None:
            session.attached -= 1

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
            self._remove(session, "expired", _expired())
        return gone

    def _take_up(self, kept: Kept, *, expires: float) -> None:
        records = [Record(each.name, each.version, each.schema, each.value) for each in kept.variables]
        session = HostSession(
            kept.session.session_id,
            kept.session.principal,
            frozenset(kept.session.tools),
            kept.session.ttl_ms / 1000,
            expires,
            kept_until=expires,
            attached=0,
            variables=VariableTable(records, floor=kept.session.floor),
        )
        self._add(session)

    def _add(self, session: HostSession) -> None:
        self._sessions[session.session_id] = session
        self._open_of[session.principal] += 1
        self.variable_bytes_of[session.principal] += session.variables.size

    def _made_room(self, principal: str) -> bool:
        idle = [
            session
            for session in self._sessions.values()
            if session.principal == principal and not (session.attached or session.calls or len(session.variables))
        ]
        if not idle:
            return False
        self._remove(min(idle, key=lambda session: session.expires), "made room", _expired())
        return True

    def _remove(self, session: HostSession, why: str, over: AltarError) -> None:
        del self._sessions[session.session_id]
        for counter, count in ((self._open_of, 1), (self.variable_bytes_of, session.variables.size)):
            counter[session.principal] -= count
            if not counter[session.principal]:
                del counter[session.principal]
        for watcher in session.watchers:
            watcher.end(over)
        if self.store is not None:
            self.store.drop(session.session_id)
        self._note(session.session_id, why)

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
            contract = self._allowed(session).find(invocation.name, invocation.version)
        else:
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

    def _allowed(self, session: HostSession) -> Contracts[HostContract] | Manifest:
        """What a session may call, worked out at its first call."""
        if not session.tools:
            return self.manifest
        if session.contracts is None:
            session.contracts = self.manifest.choose(session.tools)
        return session.contracts


def _expired() -> AltarError:
    return AuthorizationError("SESSION_EXPIRED", "The session has expired", ran="no", hint="open a new session")


def _no_one(_session_id: str, _why: str) -> None:
    """Nobody asked to be told."""
