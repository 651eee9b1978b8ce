"""Approved calls that all hosts on one database share: what one granted another one may use, and only one of them does.

Where a call was asked for, people decide on it; once it is approved, it stands in the store, sealed under a key that
hosts have and the database has not.
Another host takes it up when its requester asks for it there, and judges by its own directory, policies and contracts.
Whoever uses it claims its row first, in one statement of the database, and then commits the intent.
A host that was killed between the two finds its claim when it starts, and no intent in its own log: it lets go of it.
A claim is final once its call has ended, or its intent was found; nothing that is removed from a log later frees it.
While the database is out of reach nobody uses any.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson
from sqlalchemy import delete, insert, select, update

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ExecutionError
from altar.aesp.governance.refusals import over
from altar.aesp.governance.requests import PREFIX, Need, Request, State, Vote
from altar.aesp.store import tables
from altar.later.invocation import Outcome

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from altar.aesp.store.database import Store
    from altar.later.invocation import Answer, Invocation
    from altar.ledger.claims import RecordedClaim

__all__ = ["Keys", "Shared", "SharedCalls", "host_id"]

T = TypeVar("T")
Keys = Callable[[str], "tuple[str, bytes] | None"]
"""Gives the id of a key and its 32 bytes: that of an id, or with "" the newest; None for one that is gone."""

_NONCE = 12
_FREE: Mapping[str, Any] = {"claimed_by": "", "claim": "", "place": 0}
_FINAL: Mapping[str, Any] = {"claim": "", "place": 0}  # whoever claimed it still has it, and no call is on its way
_KEPT_MS = 86_400_000
_LONGEST_NAME = 32


def host_id(name: str, vkey: str) -> str:
    """What a host is known by in the store: its name, and what only it has, which is the key of its log.

    Hosts may have the same name, and each would then take the claims of the other for its own.
    """
    return f"{name[:_LONGEST_NAME]} {sha256(vkey.encode()).hexdigest()[:24]}"


class Shared(NamedTuple):
    """An approved call of another host: its request, the arguments (canonical JSON), and whether this host used it."""

    request: Request
    arguments: bytes
    used_here: bool = False


class SharedCalls:
    """The approved calls of one store, for one of its hosts.

    ``host`` is what no other host of the store has; see `host_id`.

    ``keys`` are those that hosts share and that are not in the store; ``now`` gives seconds since 1970.
    ``size`` says how many entries the log of this host has; ``find`` gives a request that this host knows.
    ``was_used_here`` says whether this host knows how the call of a request ended.
    """

    def __init__(
        self,
        store: Store,
        *,
        host: str,
        keys: Keys,
        now: Callable[[], float],
        size: Callable[[], int],
        find: Callable[[str], Request | None],
        was_used_here: Callable[[Request], bool],
    ) -> None:
        self.host = host
        self._store = store
        self._keys = keys
        self._now = now
        self._size = size
        self._find = find
        self._was_used_here = was_used_here
        self._freed: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._claiming: dict[str, asyncio.Lock] = {}

    # ---------------------------------------------------------------------------------------- what others may use

    async def publish(self, request: Request, arguments: bytes) -> None:
        """Let other hosts use an approved call of this one."""
        body = self._sealed(request, arguments)
        if body is None:
            return
        values = self._row(request) | {"body": body, "host": self.host, "claimed_by": "", "claim": "", "place": 0}

        def work(connection: Connection) -> None:
            table = tables.approvals
            _forget_old(connection, request.tenant, int(self._now() * 1000) - _KEPT_MS)
            if connection.execute(select(table.c.id).where(_is(request))).first() is None:
                connection.execute(insert(table).values(**values))
            else:  # there are more votes now
                connection.execute(update(table).where(_is(request), table.c.claimed_by == "").values(body=body))

        await self._store.run(work, tenant=request.tenant)

    async def revoke(self, request: Request) -> bool:
        """Let nobody use it any more; false when somebody does or did."""

        def work(connection: Connection) -> bool:
            table = tables.approvals
            connection.execute(delete(table).where(_is(request), table.c.claimed_by == ""))
            return connection.execute(select(table.c.id).where(_is(request))).first() is None

        return await self._store.run(work, tenant=request.tenant)

    async def used_by(self, request: Request) -> str:
        """The host that uses it or did; "" for none."""

        def work(connection: Connection) -> str:
            table = tables.approvals
            return str(connection.execute(select(table.c.claimed_by).where(_is(request))).scalar_one_or_none() or "")

        return await self._store.run(work, tenant=request.tenant, reads=True)

    async def fetch(self, handle: str, *, tenant: str, principal: str) -> Shared | None:
        """The call that another host approved, for its requester; None for one that is not there or was used there."""

        def work(connection: Connection) -> Any:
            table = tables.approvals
            name = principal.partition("/")[2]
            found = select(table).where(table.c.tenant == tenant, table.c.id == _id(handle), table.c.principal == name)
            return connection.execute(found).one_or_none()

        row = await self._store.run(work, tenant=tenant, reads=True)
        if row is None or row.claimed_by not in {"", self.host}:
            return None
        opened = self._opened(bytes(row.body), handle, tenant=tenant, principal=principal)
        return opened if opened is None or not row.claimed_by else opened._replace(used_here=True)

    # ------------------------------------------------------------------------------------------------------- using

    def hold(self, call: Invocation, go_on: Callable[[Invocation], None], refuse: Answer) -> bool:
        """Hold a call under an approval back until it is claimed, then ``go_on`` or ``refuse``; false for others."""
        verdict = call.verdict
        request = self._find(call.call_id)
        if not call.once or verdict is None or verdict.approval != call.call_id or request is None or request.ended:
            return False
        task = asyncio.get_running_loop().create_task(self._claim(call, request, go_on, refuse))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def ended(self, invocation: Invocation, request: Request, *, ran: bool) -> None:
        """A call that was held back has ended: its claim is final, or let go of when it did not run."""
        claim = invocation.invocation_id
        if not ran:
            self._freed.add(claim)
        values = _FINAL if ran else _FREE

        async def tell() -> None:
            try:
                await self._store.run(
                    partial(_set_claim, request=request, claim=claim, values=values), tenant=request.tenant
                )
            except AltarError:
                return  # this host may claim again what did not run; its log tells it of what did
            self._freed.discard(claim)

        task = asyncio.get_running_loop().create_task(tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def let_go(self, tenants: Iterable[str], claims: Callable[[int], Iterable[RecordedClaim]]) -> None:
        """At a start: free what an earlier process of this host claimed and never began; blocks.

        ``claims`` gives those of its log whose intents stand at a place or behind it.
        A log that ends before the place of a claim is an older one, which cannot tell: such a claim is final.
        """
        size = self._size()
        for tenant in tenants:
            rows = self._store.run_now(partial(_claimed, tenant=tenant, host=self.host), tenant=tenant, reads=True)
            if not rows:
                continue
            begun = {
                (_id(one.key[2]), one.invocation)
                for one in claims(min(row.place for row in rows))
                if one.key[2].startswith(PREFIX) and one.ran != "no"
            }
            never = [row for row in rows if row.place <= size and (row.id, row.claim) not in begun]
            self._store.run_now(partial(_settle, rows=rows, never=never), tenant=tenant)

    async def _claim(
        self, call: Invocation, request: Request, go_on: Callable[[Invocation], None], refuse: Answer
    ) -> None:
        lock = self._claiming.setdefault(request.id, asyncio.Lock())
        try:
            async with lock:
                await self._claim_alone(call, request, go_on, refuse)
        finally:
            if not lock.locked():
                self._claiming.pop(request.id, None)

    async def _claim_alone(
        self, call: Invocation, request: Request, go_on: Callable[[Invocation], None], refuse: Answer
    ) -> None:
        """Claim a request while nobody else of this process does."""
        if request.ended is not None:
            self._go_on_with(call, request, go_on, refuse)
            return
        values = {"claimed_by": self.host, "claim": call.invocation_id, "place": self._size()}
        freed = tuple(self._freed)

        def work(connection: Connection) -> bool:
            table = tables.approvals
            free = (table.c.claimed_by == "") | ((table.c.claimed_by == self.host) & table.c.claim.in_(freed))
            if connection.execute(update(table).where(_is(request), free).values(**values)).rowcount == 1:
                return True
            if request.host or connection.execute(select(table.c.id).where(_is(request))).first() is not None:
                return False  # it is used, or whoever approved it has taken it back
            connection.execute(insert(table).values(**self._row(request), **values, host=self.host, body=b""))
            return True

        try:
            is_ours = await self._store.run(work, tenant=request.tenant)
        except AltarError as failed:
            refuse(call, Outcome(error=_out_of_reach(request, failed)))
            return
        end = _end_of(request)  # of meanwhile
        if not is_ours:
            request.end(end or State.CONSUMED, now_ms=int(self._now() * 1000))
            refuse(call, Outcome(error=over(request, end or State.CONSUMED)))
        elif end is None:
            go_on(call)
            if request.ended is None:  # it was refused before its key was claimed
                self.ended(call, request, ran=False)
        else:  # it was refused
            self.ended(call, request, ran=False)
            refuse(call, Outcome(error=over(request, end)))

    def _go_on_with(
        self, call: Invocation, request: Request, go_on: Callable[[Invocation], None], refuse: Answer
    ) -> None:
        """What becomes of a call whose request has ended while it waited: another connection's key answers it."""
        if request.is_running or self._was_used_here(request):
            go_on(call)
        else:
            refuse(call, Outcome(error=over(request, request.ended or State.CONSUMED)))

    # --------------------------------------------------------------------------------------------------- in detail

    def _row(self, request: Request) -> dict[str, Any]:
        return {
            "tenant": request.tenant,
            "id": _id(request.id),
            "principal": request.principal.partition("/")[2],
            "expires_ms": request.expires_ms,
        }

    def _sealed(self, request: Request, arguments: bytes) -> bytes | None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        found = self._keys("")
        if found is None:
            return None
        kid, key = found
        said: dict[str, Any] = {
            "account": request.account,
            "arguments": arguments.decode(),
            "bundle": request.bundle,
            "contract": request.contract,
            "correlation": request.correlation,
            "created": request.created_ms,
            "digest": request.arguments,
            "expires": request.expires_ms,
            "host": self.host,
            "needs": [need.to_json() for need in request.needs],
            "tool": request.tool,
            "variables": request.variables,
            "version": request.version,
            "votes": [[one.principal, one.approve, one.time_ms, one.account] for one in request.votes],
        }
        nonce = secrets.token_bytes(_NONCE)
        beside = f"{request.id} {request.tenant} {request.principal}".encode()
        return b"%s\n%s%s" % (kid.encode(), nonce, AESGCM(key).encrypt(nonce, canonical(said), beside))

    def _opened(self, body: bytes, handle: str, *, tenant: str, principal: str) -> Shared | None:
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        kid, _, rest = body.partition(b"\n")
        found = self._keys(kid.decode("ascii", "replace")) if kid else None
        if found is None:
            return None
        try:
            text = AESGCM(found[1]).decrypt(rest[:_NONCE], rest[_NONCE:], f"{handle} {tenant} {principal}".encode())
        except (InvalidTag, ValueError):
            return None
        said: dict[str, Any] = orjson.loads(text)
        request = Request(
            handle,
            tenant=tenant,
            principal=principal,
            tool=said["tool"],
            version=said["version"],
            contract=said["contract"],
            arguments=said["digest"],
            bundle=said["bundle"],
            needs=tuple(map(Need.from_json, said["needs"])),
            created_ms=said["created"],
            expires_ms=said["expires"],
            correlation=said["correlation"],
            votes=[Vote(who, approve, "", time_ms, account) for who, approve, time_ms, account in said["votes"]],
            durable=True,
            place=self._size(),
            variables=said["variables"],
            account=said["account"],
            host=said["host"],
        )
        return Shared(request, said["arguments"].encode())


def _end_of(request: Request) -> State | None:
    return request.ended


def _id(handle: str) -> str:
    return sha256(b"approval " + handle.encode()).hexdigest()


def _is(request: Request) -> Any:
    table = tables.approvals
    return (table.c.tenant == request.tenant) & (table.c.id == _id(request.id))


def _claimed(connection: Connection, *, tenant: str, host: str) -> Sequence[Any]:
    """The claims of a host that are not final."""
    table = tables.approvals
    own = (table.c.tenant == tenant) & (table.c.claimed_by == host) & (table.c.claim != "")
    return connection.execute(select(table).where(own)).all()


def _settle(connection: Connection, *, rows: Sequence[Any], never: Sequence[Any]) -> None:
    """Free the claims that never began; all others are final."""
    table = tables.approvals
    for row in rows:
        own = (table.c.tenant == row.tenant) & (table.c.id == row.id) & (table.c.claim == row.claim)
        connection.execute(update(table).where(own).values(**(_FREE if row in never else _FINAL)))


def _set_claim(connection: Connection, *, request: Request, claim: str, values: Mapping[str, Any]) -> None:
    table = tables.approvals
    connection.execute(update(table).where(_is(request), table.c.claim == claim).values(**values))


def _forget_old(connection: Connection, tenant: str, before_ms: int) -> None:
    table = tables.approvals
    connection.execute(delete(table).where(table.c.tenant == tenant, table.c.expires_ms < before_ms))


def _out_of_reach(request: Request, failed: AltarError) -> AltarError:
    return ExecutionError(
        "DEPENDENCY_UNAVAILABLE",
        f"The store is out of reach, where {request.id!r} would be claimed",
        ran="no",
        hint="make the call again under the same handle",
        detail=failed.message,
    )
