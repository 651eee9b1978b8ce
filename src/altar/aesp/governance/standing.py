"""How a request for approval stands at this moment, in words, for the explanation of the call that it is for.

In comes who asks and which request; out come some sentences: its state, the votes that count, the time that is left,
and who may still decide.
Nobody is told of a request who could not look at it with `altar approvals show`; who may still decide is told to those
who may read all requests, decide on this one, or explain the calls of others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from altar.aesp.governance.requests import State

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.governance.approvals import Approvals
    from altar.aesp.governance.requests import Request
    from altar.aesp.principal import Principal
    from altar.aesp.rbac import Rbac

__all__ = ["MOST_LOOKED_AT", "MOST_NAMED", "Standing"]

MOST_LOOKED_AT = 500
"""In a tenant of more accounts nobody is looked for who may still decide."""
MOST_NAMED = 10
"""How many of them are named."""
_OPEN = frozenset({State.PENDING, State.APPROVED})


class Standing:
    """Tells of the requests of one host. For its event loop; ``now`` gives seconds since 1970."""

    def __init__(self, approvals: Approvals, directory: Directory, rbac: Rbac, *, now: Callable[[], float]) -> None:
        self._approvals = approvals
        self._directory = directory
        self._rbac = rbac
        self._now = now

    def of(self, who: Principal, request_id: str, *, full: bool) -> tuple[str, ...]:
        """Say how a request stands, to who asks; nothing where that is not for them, or it is not kept any more.

        ``full`` is for who may explain the calls of others.
        """
        request = self._approvals.any(request_id)
        if request is None or not request.durable:
            return ()
        names = full or self._is_told_names(who, request)
        if not names and not self._approvals.quorum.is_asker(who.id, request):
            return ()
        return tuple(self._lines(request, names=names))

    def of_call(self, who: Principal, call: tuple[str, ...], *, full: bool) -> tuple[str, ...]:
        """Do the same for the open request of a call; see `Request.call` for what makes it that call."""
        request = self._approvals.request_of(call)
        if request is None or self._approvals.state_of(request) not in _OPEN:
            return ()
        return self.of(who, request.id, full=full)

    def _is_told_names(self, who: Principal, request: Request) -> bool:
        if who.tenant != request.tenant:
            return False
        if self._approvals.quorum.may_decide(who.id, request):
            return True
        return self._rbac.decide(who, resource=f"approvals/{request.id}", action="read").allowed

    def _lines(self, request: Request, *, names: bool) -> Iterator[str]:
        quorum, state = self._approvals.quorum, self._approvals.state_of(request)
        left = f", {_time_left(request.expires_ms - int(self._now() * 1000))}" if state in _OPEN else ""
        yield f"now: {request.id} is {state}{left}"
        for need, count in zip(request.needs, quorum.counted(request), strict=True):
            yield f"now: {count} of {need.quorum} have approved for {need.asker}"
        for vote in request.votes:
            yield f"now: {vote.principal} {'approved' if vote.approve else 'refused'}"
        if names and state is State.PENDING:
            yield f"now: {self._who_may_still(request)}"

    def _who_may_still(self, request: Request) -> str:
        snapshot, quorum = self._directory.snapshot(request.tenant), self._approvals.quorum
        if snapshot is None or len(snapshot.people) > MOST_LOOKED_AT:
            return "who may still decide is not looked for among so many accounts"
        spoken = {quorum.human(vote.principal) for vote in request.votes}
        accounts = (f"{request.tenant}/{name}" for name in sorted(snapshot.people))
        found = [one for one in accounts if quorum.human(one) not in spoken and quorum.may_decide(one, request)]
        if not found:
            return "nobody is there who may still decide"
        more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
        return f"may still decide: {', '.join(found[:MOST_NAMED])}{more}"


def _time_left(left_ms: int) -> str:
    hours, minutes = divmod(max(left_ms, 0) // 60_000, 60)
    if hours:
        return f"{hours} h {minutes} min left"
    return f"{minutes} min left" if minutes else "less than a minute left"
