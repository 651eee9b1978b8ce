"""The part of EnterpriseAuditService that changes something: holding, retaining and forgetting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from altar._proto.altar.aesp.v1 import audit_pb2 as pb
from altar.adm.errors import ValidationError

if TYPE_CHECKING:
    from altar.aesp.audit.keeping import Keeping
    from altar.aesp.service.administration import Asked

__all__ = ["LogKeeping"]


class LogKeeping:
    """Answers for the `Keeping` of a host.

    ``named`` gives the pseudonym of who asks.
    ``settle`` records what is still counted under names, before somebody is forgotten; it is called on the loop.
    """

    def __init__(
        self, keeping: Keeping, *, named: Callable[[str], str], settle: Callable[[], None] = lambda: None
    ) -> None:
        self._keeping = keeping
        self._named = named
        self._settle = settle

    async def forget_principal(self, asked: Asked, request: pb.ForgetPrincipalRequest) -> pb.ForgetPrincipalResponse:
        """Forget who a pseudonym stands for; the record of this request names nobody but who asks."""
        name = asked.name_of(request.principal_id)
        if not name:
            raise ValidationError("MALFORMED_REQUEST", "The request names nobody", ran="no", path="/principal_id")
        self._settle()
        principal, who = f"{asked.tenant}/{name}", asked.principal.id
        await asyncio.to_thread(
            lambda: self._keeping.forget(asked.tenant, principal, by="" if who == principal else self._named(who))
        )
        return pb.ForgetPrincipalResponse()

    async def hold_log(self, asked: Asked, request: pb.HoldLogRequest) -> pb.HoldLogResponse:
        """Hold the log of the tenant."""
        who = asked.principal.id
        await asyncio.to_thread(
            lambda: self._keeping.hold(asked.tenant, request.name, reason=request.reason, by=self._named(who))
        )
        return pb.HoldLogResponse()

    async def release_log(self, asked: Asked, request: pb.ReleaseLogRequest) -> pb.ReleaseLogResponse:
        """Release a hold."""
        who = asked.principal.id
        await asyncio.to_thread(lambda: self._keeping.release(asked.tenant, request.name, by=self._named(who)))
        return pb.ReleaseLogResponse()

    async def list_holds(
        self, asked: Asked, _request: pb.ListHoldsRequest, name_of: Callable[[str], str]
    ) -> pb.ListHoldsResponse:
        """What holds the log of the tenant, the oldest first; ``name_of`` tells who a pseudonym stands for."""
        holds = await asyncio.to_thread(self._keeping.holds, asked.tenant)
        who = await asyncio.to_thread(lambda: [name_of(each.by) for each in holds])
        return pb.ListHoldsResponse(
            holds=[
                pb.Hold(name=each.name, reason=each.reason, principal_id=by, since_ms=each.since_ms)
                for each, by in zip(holds, who, strict=True)
            ]
        )

    async def retain_log(self, asked: Asked, _request: pb.RetainLogRequest) -> pb.RetainLogResponse:
        """Seal and remove what is due in the log of the tenant."""
        if not self._keeping.is_limited(asked.tenant):
            return pb.RetainLogResponse(waits="period")
        done = await asyncio.to_thread(self._keeping.retain, asked.tenant)
        if not done:
            return pb.RetainLogResponse()
        (one,) = done
        return pb.RetainLogResponse(archive=one.archive, sealed=one.sealed, removed=one.removed, waits=one.waits)
