"""What is recorded of requests for approval: the entries of the log, and the calls that are kept beside it.

A request is recorded before anybody can decide on it, and a word before it holds.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from altar.adm.canonical import canonical, digest
from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.governance.kept import sealed
from altar.aesp.governance.restoring import account_mark
from altar.ledger.entry import Entry, Event
from altar.ledger.subjects import commitment

if TYPE_CHECKING:
    from altar.aesp.governance.kept import KeptCalls
    from altar.aesp.governance.requests import Request, Vote
    from altar.ledger.ledger import Then
    from altar.ledger.subjects import Subjects

__all__ = ["Commit", "Recording"]

Commit = Callable[[Sequence[Entry], "Then"], None]


class Recording:
    """Writes for the requests of one host; ``commit`` is given when the host is there."""

    def __init__(self, kept: KeptCalls, subjects: Subjects) -> None:
        self.commit: Commit = _not_joined
        self._kept = kept
        self._subjects = subjects

    def asked(self, request: Request, arguments: bytes, *, then: Callable[[], None]) -> None:
        """Keep the call, then record the request; ``then`` is called when that has been tried."""
        subject = self._subjects.of(request.tenant, request.principal)
        text = canonical(
            {
                "account": request.account,
                "arguments": arguments.decode(),
                "needs": [need.to_json() for need in request.needs],
                "principal": request.principal,
                "variables": request.variables,
            }
        )
        salt = subject.salt(request.id)
        data = {
            "arguments": commitment(salt, request.arguments),
            "asked": commitment(salt, digest(text)),
            "bundle": request.bundle,
            "contract": request.contract,
            "expires": request.expires_ms,
            "version": request.version,
        }
        event = _event(request, "approval.requested", principal=request.principal, action="request", data=data)

        def recorded(place: int, error: AltarError | None) -> None:
            request.place = place
            request.durable = error is None
            then()

        def kept(error: AltarError | None) -> None:
            if error is None:
                self.commit([event], recorded)

        self._kept.save(request.id, sealed(subject, request.id, text), then=kept)

    async def decided(self, request: Request, vote: Vote, *, correlation: str) -> None:
        """Record the word of somebody; returns when it is durable."""
        salt = self._subjects.of(request.tenant, request.principal).salt(request.id)
        data = {
            "account": account_mark(salt, vote.principal, vote.account),
            "approve": vote.approve,
            "reason": vote.reason,
            "seen": commitment(salt, request.digest),
        }
        action: Literal["approve", "refuse"] = "approve" if vote.approve else "refuse"
        await self._durable(
            _event(
                request, "approval.decided", principal=vote.principal, action=action, data=data, correlation=correlation
            )
        )

    async def withdrawn(self, request: Request, *, principal: str) -> None:
        """Record that a request was taken back; returns when it is durable."""
        await self._durable(_event(request, "approval.withdrawn", principal=principal, action="withdraw"))

    def note(self, request: Request, name: str, *, principal: str = "") -> None:
        """Record what nobody waits for."""
        self.commit([_event(request, name, principal=principal)], _nobody)

    async def call_of(self, request: Request) -> bytes | None:
        """The call as it was made, encrypted; None when it is gone."""
        found: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

        def then(body: bytes | None, _error: AltarError | None) -> None:
            if not found.done():
                found.set_result(body)

        self._kept.fetch(request.id, then)
        return await found

    def drop(self, gone: Sequence[str], *, floor: int | None) -> None:
        """Forget calls; ``floor`` is from which commit on the log may tell of open requests now."""
        self._kept.drop(gone, floor=floor)

    async def _durable(self, event: Event) -> None:
        durable: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def then(_first: int, error: AltarError | None) -> None:
            if not durable.done():
                durable.set_result(None) if error is None else durable.set_exception(error)

        self.commit([event], then)
        await durable


def _event(
    request: Request,
    name: str,
    *,
    principal: str = "",
    action: str = "",
    data: dict[str, Any] | None = None,
    correlation: str = "",
) -> Event:
    return Event(
        event=name,
        subject=request.id,
        tenant=request.tenant,
        principal=principal,
        action=action,
        resource=f"tools/{request.tool}",
        outcome="SUCCESS",
        correlation=correlation or request.correlation,
        data=canonical(data).decode() if data else "",
    )


def _nobody(_first: int, _error: AltarError | None) -> None:
    """Nobody waits for it to be durable; a ledger that fails has told the host already."""


def _not_joined(_entries: Sequence[Entry], _then: Then) -> None:
    raise AuthorizationError("NOT_ACTIVE", "The host is not ready to ask for approvals", ran="no")
