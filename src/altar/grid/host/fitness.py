"""Which of the attached runtimes could run a call at all, and why none can."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

from altar.adm.errors import AltarError
from altar.grid.capabilities import lacking, missing
from altar.grid.host.refusals import ran_before
from altar.grid.host.routing import key_of

if TYPE_CHECKING:
    from altar.grid.host.routing import AttachedRuntime
    from altar.later.invocation import Invocation

__all__ = ["can_run", "may_run_again", "unfit"]

MAX_ATTEMPTS = 3


def unfit(invocation: Invocation, runtimes: Iterable[AttachedRuntime]) -> AltarError | Literal["failing"] | None:
    """Why no runtime that fulfils the tool, and serves its tenant, can run this call.

    A refusal when none has what it needs, ``failing`` when each that could has failed at it too often; None when one
    can, or when none fulfils the tool.
    """
    key, contract = key_of(invocation), invocation.contract
    there = [
        one for one in runtimes if key in one.fulfils and not one.draining and one.tenant in {"", invocation.tenant}
    ]
    able = [one for one in there if not lacking(invocation.needs, one.capabilities)]
    if there and not able:
        need = lacking(invocation.needs, there[0].capabilities)
        refused = missing(need, what=f"The call of {invocation.name!r}", who=f"a runtime of {there[0].kind}")
        refused.ran = ran_before(invocation)
        return refused
    able = [one for one in able if set(contract.requires).issubset(one.labels)]
    return "failing" if able and all(key in one.blocked for one in able) else None


def can_run(invocation: Invocation, runtimes: Iterable[AttachedRuntime]) -> bool:
    """Whether one of them fulfils the tool of a nested call, admits it and stays."""
    key = key_of(invocation)
    return any(key in one.fulfils and one.admits(invocation) and not one.draining for one in runtimes)


def may_run_again(invocation: Invocation, *, now: float) -> bool:
    """Whether a call whose runtime was lost may go to another one, at ``now`` on the monotonic clock."""
    return (
        invocation.contract.idempotent
        and not invocation.cancelled
        and invocation.attempts < MAX_ATTEMPTS
        and now < invocation.deadline
        and (invocation.chunks is None or not invocation.chunks.came)  # what has been passed on is not taken back
    )
