"""Sessions on the host, and the catalog that answers "what does this name mean, for this principal, in this session?".

A session is bound to the principal that opened it, so its id is a name and not a secret.
It outlives the connection it was opened on, and with a store the host as well: whoever comes back with its id finds it,
until its time to live has passed or it is destroyed.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Protocol

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.grid.host.families import limit_to_parent
from altar.grid.manifests.manifest import HostContract, Manifest
from altar.later.contracts import Contracts
from altar.later.invocation import Invocation
from altar.later.labels import preferred
from altar.later.variable_table import Record, VariableTable, Watcher
from altar.ledger.session_store import KeptSession

if TYPE_CHECKING:
    from altar.ledger.session_store import Kept, SessionStore, Then

__all__ = ["HostCatalog", "HostSession", "Sessions", "Views", "tenant_of"]

_log = logging.getLogger("altar.grid")

_RANGES_EACH = 8
"""Most ways to name a contract in one session, so that what a session holds is bounded by the manifest."""
_EXPIRED = 10_000
"""Ids of expired sessions that are remembered, the newest."""
_SWEPT_EVERY = 0.5
"""Seconds; a session that has expired is refused before that, whenever somebody asks for it."""
_WRITTEN_EVERY = 0.1
"""The part of its time to live by which a session's end must have moved before that is written down."""


@dataclass(slots=True, eq=False)
class HostSession:
    """One session. ``expires`` is on the monotonic clock, ``created_ms`` in milliseconds since 1970.

    ``tools`` empty means the whole manifest.
    ``tools`` are names or ``name@range``, and ``contracts`` what they allow, once a call has asked for it.
    ``kept_until`` is the end that was written down, ``attached`` how many streams have it open.
    ``unsaved`` counts changes of variables that are not durable yet; until they are, nobody is told of them.
    ``registered`` are contracts that runtimes fulfil for this session alone; they go before those of the manifest.
    ``base`` is what ``contracts`` were chosen from, ``who`` who opened it or took it up last;
    ``until`` when the credential it was opened with ends, on the monotonic clock.
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
    created_ms: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    registered: tuple[HostContract, ...] = ()
    base: Manifest | None = None
    tenant: str = "default"
    until: float = math.inf
    who: Any = None


class Views(Protocol):
    """What each principal may see of the contracts of a host."""

    def of(self, who: Any, manifest: Manifest) -> Manifest:
        """The part of a manifest that ``who`` may see; the same object as long as that does not change."""
        ...

    def refused(self, invocation: Invocation, manifest: Manifest) -> None:
        """A call has named what its principal does not see."""
        ...


class Sessions:
    """All sessions of a host. The time to live slides with every use and is capped.

    ``open_in`` counts them by tenant.
    ``note`` is told the id of each session that ends, why, in a word that names nobody, and its tenant.
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
        note: Callable[[str, str, str], None] | None = None,
    ) -> None:
        self._default = default_ttl.total_seconds()
        self._max = max_ttl.total_seconds()
        self._per_principal = per_principal
        self._clock = clock
        self.store = store
        self._wall_ms = wall_ms
        self._note = note or _no_one
        self._sessions: dict[str, HostSession] = {}
        self._open_of: dict[str, dict[str, HostSession]] = {}
        self._expired: OrderedDict[str, str] = OrderedDict()
        self._swept = -math.inf
        self.variable_bytes_of: Counter[str] = Counter()
        self.open_in: Counter[str] = Counter()

    def limit(
        self,
        *,
        default_ttl: timedelta | None = None,
        max_ttl: timedelta | None = None,
        per_principal: int | None = None,
    ) -> None:
        """Change limits for sessions that are opened or extended from now on; what is None stays."""
        if default_ttl is not None:
            self._default = default_ttl.total_seconds()
        if max_ttl is not None:
            self._max = max_ttl.total_seconds()
        if per_principal is not None:
            self._per_principal = per_principal

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
                self._remember_expired(each.session.session_id, each.session.principal)
                self._note(each.session.session_id, "expired", tenant_of(each.session.principal))
            else:
                self._take_up(each, expires=now + min(left, each.session.ttl_ms / 1000))
        for session_id in damaged:
            _log.error("session dropped: it is not as it was kept", extra={"session": session_id})
            self.store.drop(session_id)
            self._note(session_id, "damaged", "")

    def create(
        self,
        principal: str,
        tools: Iterable[str],
        *,
        ttl: float,
        manifest: Manifest,
        labels: Mapping[str, str] | None = None,
        then: Then | None = None,
        tenant: str = "default",
        until: float = math.inf,
    ) -> HostSession:
        """Open a session. Every tool asked for must exist; ``ttl`` in seconds, 0 for the default.

        At the limit, one that nobody is connected to and that holds no variables makes room.
        ``labels`` are those of the runtimes it prefers.
        ``then`` is called as by :meth:`keep`; until then nobody may be told of the session.
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
        if len(self._open_of.get(principal, ())) >= self._per_principal and not self._made_room(principal):
            raise AuthorizationError(
                "RATE_LIMIT_EXCEEDED",
                f"{principal!r} has {self._per_principal} sessions open, which is the limit",
                ran="no",
                hint="close some, or let them expire",
            )
        lifetime, now = min(ttl or self._default, self._max), self._clock()
        expires = min(now + lifetime, until)
        session = HostSession(f"session-{secrets.token_hex(16)}", principal, wanted, lifetime, expires)
        session.contracts, session.base = contracts, manifest
        session.tenant, session.until = tenant, until
        session.created_ms = self._wall_ms() if self._wall_ms is not None else 0
        session.labels = dict(labels or {})
        self._add(session)
        self.keep(session, then=then)
        return session

    def get(self, session_id: str, principal: str) -> HostSession:
        """The session, and its time to live begins again.

        A session of another principal and one that never was are refused in the same words.
        """
        session = self._sessions.get(session_id)
        now = self._clock()
        if session is None or session.principal != principal or now >= session.expires:
            raise self._gone(session_id, principal)
        session.expires = min(now + session.ttl, session.until)
        if session.expires - session.kept_until >= session.ttl * _WRITTEN_EVERY:
            self.keep(session)
        return session

    def owned(self, session_id: str, principal: str) -> HostSession:
        """The session, as :meth:`get` gives it, but its time goes on: to look at it is not to use it."""
        session = self._sessions.get(session_id)
        if session is None or session.principal != principal or self._clock() >= session.expires:
            raise self._gone(session_id, principal)
        return session

    def _gone(self, session_id: str, principal: str) -> AltarError:
        """Why a principal does not have a session: it has expired, lately, or there never was one of its own."""
        session = self._sessions.get(session_id)
        if (session.principal if session is not None else self._expired.get(session_id)) == principal:
            return _expired()
        return ValidationError("INVALID_SESSION", "There is no such session", ran="no", hint="open a new session")

    def of(self, principal: str) -> list[HostSession]:
        """The sessions that a principal has open, the oldest first."""
        now = self._clock()
        theirs = [one for one in self._open_of.get(principal, {}).values() if now < one.expires]
        return sorted(theirs, key=lambda one: (one.created_ms, one.session_id))

    def extend(self, session_id: str, principal: str, *, ttl: float, then: Then | None = None) -> HostSession:
        """Let a session live for ``ttl`` seconds from now on, and from each use on; 0 for as long as it did so far.

        No longer than the host allows. ``then`` is called as by :meth:`keep`.
        """
        session = self.owned(session_id, principal)
        session.ttl = min(ttl or session.ttl, self._max)
        session.expires = min(self._clock() + session.ttl, session.until)
        self.keep(session, then=then)
        return session

    def seconds_left(self, session: HostSession) -> float:
        """How long a session still lives if nobody uses it."""
        return max(0.0, session.expires - self._clock())

    def keep(self, session: HostSession, *, then: Then | None = None) -> None:
        """Write down the session as it is, without its variables.

        ``then(None)`` is called when it is durable, ``then(error)`` when nobody may rely on that.
        """
        session.kept_until = session.expires
        if self.store is not None:
            self.store.save(self.kept(session), then=then)
        elif then is not None:
            then(None)

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
            session.created_ms,
            tuple(sorted(session.labels.items())),
        )

    def destroy(self, session_id: str, principal: str, *, force: bool, then: Then | None = None) -> HostSession:
        """End a session. Refused while calls run, unless forced; the caller then cancels those calls.

        ``then`` is called as by :meth:`keep`; until then nobody may be told that it is gone.
        """
        session = self.owned(session_id, principal)
        if session.calls and not force:
            raise ValidationError(
                "INVALID_SESSION",
                f"The session has calls in flight: {len(session.calls)}",
                ran="no",
                hint="wait for them, or force it to cancel them",
            )
        over = ValidationError("INVALID_SESSION", "The session was closed", ran="no", hint="open a new session")
        self._remove(session, "destroyed", over, then=then)
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
        """Drop what has expired and has nothing in flight; returns what was dropped.

        Each session is looked at twice a second, however often this is called: there may be ten thousand.
        """
        now = self._clock()
        if now - self._swept < _SWEPT_EVERY:
            return []
        over = [session for session in self._sessions.values() if now >= session.expires]
        gone = [session for session in over if not session.calls]
        if len(gone) == len(over):  # else those with calls are looked at again at once
            self._swept = now
        for session in gone:
            self._remember_expired(session.session_id, session.principal)
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
            created_ms=kept.session.created_ms,
            labels=dict(kept.session.labels),
            tenant=tenant_of(kept.session.principal),
            variables=VariableTable(records, floor=kept.session.floor),
        )
        self._add(session)

    def _add(self, session: HostSession) -> None:
        self._sessions[session.session_id] = session
        self._open_of.setdefault(session.principal, {})[session.session_id] = session
        self.variable_bytes_of[session.principal] += session.variables.size
        self.open_in[session.tenant] += 1

    def _made_room(self, principal: str) -> bool:
        idle = [
            session
            for session in self._open_of[principal].values()
            if not (session.attached or session.calls or len(session.variables))
        ]
        if not idle:
            return False
        oldest = min(idle, key=lambda session: session.expires)
        self._remember_expired(oldest.session_id, principal)
        self._remove(oldest, "made room", _expired())
        return True

    def _remember_expired(self, session_id: str, principal: str) -> None:
        """Whoever comes back with it is told for a while that it has expired, and not that it never was."""
        self._expired[session_id] = principal
        if len(self._expired) > _EXPIRED:
            self._expired.popitem(last=False)

    def _remove(self, session: HostSession, why: str, over: AltarError, *, then: Then | None = None) -> None:
        del self._sessions[session.session_id]
        self.open_in[session.tenant] -= 1
        if not self.open_in[session.tenant]:
            del self.open_in[session.tenant]
        theirs = self._open_of[session.principal]
        del theirs[session.session_id]
        if not theirs:
            del self._open_of[session.principal]
        self.variable_bytes_of[session.principal] -= session.variables.size
        if not self.variable_bytes_of[session.principal]:
            del self.variable_bytes_of[session.principal]
        for watcher in session.watchers:
            watcher.end(over)
        if self.store is not None:
            self.store.drop(session.session_id, then=then)
        elif then is not None:
            then(None)
        self._note(session.session_id, why, session.tenant)

    def look(self, session_id: str) -> HostSession | None:
        """The session of that id, whoever opened it, without using it; None for one there is not."""
        return self._sessions.get(session_id)

    def __iter__(self) -> Iterator[HostSession]:
        return iter(self._sessions.values())

    def __len__(self) -> int:
        return len(self._sessions)


class HostCatalog:
    """Step 1 on the host: the session, then the tool in it, then the contract that both sides mean."""

    def __init__(self, manifest: Manifest, sessions: Sessions) -> None:
        self.manifest = manifest
        self.refusal: Callable[[], AltarError] | None = None
        self.views: Views | None = None
        self._sessions = sessions

    def find(self, invocation: Invocation) -> HostContract:
        """The contract of a call. A call without a session may use the whole manifest (unary `CallTool`)."""
        if self.refusal is not None:
            raise self.refusal()
        if invocation.session_id:
            session = self._sessions.get(invocation.session_id, invocation.principal)
            session.calls.add(invocation)
            contracts = self.contracts_of(session, invocation.who)
            if session.labels:
                invocation.prefers = preferred(session.labels)
        else:
            contracts = self.seen_by(invocation.who)
        weights = self.manifest.weights
        try:
            if weights is None:
                contract = contracts.find(invocation.name, invocation.version)
            else:
                contract = weights.find(contracts, invocation)
        except ValidationError:
            if self.views is not None:
                self.views.refused(invocation, self.manifest)
            raise
        if invocation.known_digest and invocation.known_digest != contract.digest:
            raise ValidationError(
                "VERSION_MISMATCH",
                f"The contract of {invocation.name!r} is not the one the caller knows",
                ran="no",
                hint="call again: the session reads the contract as it is now, or open a new one",
            )
        invocation.version = contract.version
        if contract.variables is not None and invocation.session_id:
            invocation.variables = self._sessions.get(invocation.session_id, invocation.principal).variables.digest_of(
                contract.variables
            )
        if invocation.parent is not None:
            limit_to_parent(invocation, contract)
        return contract

    def seen_by(self, who: Any) -> Manifest:
        """The contracts that ``who`` may see: all of the manifest on a host without a control plane."""
        return self.manifest if self.views is None else self.views.of(who, self.manifest)

    def contracts_of(self, session: HostSession, who: Any = None) -> Contracts[HostContract] | Manifest:
        """What ``who`` may call in a session, worked out at its first call and again when contracts have changed.

        What it asked for and is not in the manifest any more, or may not be seen any more, is left out.
        """
        seen = self.manifest if self.views is None else self.views.of(who, self.manifest)
        if not (session.tools or session.registered):
            return seen
        if session.contracts is None or session.base is not seen:
            session.contracts, session.base = seen.part(session.tools, session.registered), seen
        return session.contracts

    def replace(self, manifest: Manifest) -> None:
        """Take new contracts into use, for every session at once; calls that were found before keep theirs."""
        self.manifest = manifest
        for session in self._sessions:
            session.contracts = None


def _expired() -> AltarError:
    return AuthorizationError("SESSION_EXPIRED", "The session has expired", ran="no", hint="open a new session")


def tenant_of(principal: str) -> str:
    """The tenant in the id of a principal, ``<tenant>/<name>``; ``default`` on a host without tenants."""
    return principal.partition("/")[0] if "/" in principal else "default"


def _no_one(_session_id: str, _why: str, _tenant: str) -> None:
    """Nobody asked to be told."""
