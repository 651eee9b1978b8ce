"""May this call run? The gate of an AESP host: an ordered tuple of checks before the gate that records.

A check is a function of one invocation that has been found and whose arguments fit; it raises what it refuses it with.
A tier of AESP is such a tuple: `foundation`, and `advanced`, which adds policies and approvals to it.
Everything that a check reads is in memory, so that a call never waits for a decision.
A call that a tool makes is decided on in the name of whoever made the first one, never in that of a runtime.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, AuthorizationError
from altar.aesp.principal import Principal

if TYPE_CHECKING:
    from altar.aesp.directory import Directory
    from altar.aesp.refusals import Refusals
    from altar.aesp.tool_access import ToolAccess
    from altar.later.gate import Gate
    from altar.later.invocation import Answer, Invocation, Outcome

__all__ = [
    "Check",
    "ControlPlane",
    "active",
    "advanced",
    "authenticated",
    "foundation",
    "permitted",
    "principal_of",
    "require_active",
]

Check = Callable[["Invocation"], None]
"""Raises AuthorizationError unless a call may go on."""


class ControlPlane:
    """A gate that decides by ``checks``, in their order, and leaves the record to ``record``."""

    __slots__ = ("_checks", "_record", "_refusals")

    def __init__(self, record: Gate, checks: tuple[Check, ...], *, refusals: Refusals) -> None:
        self._record = record
        self._checks = checks
        self._refusals = refusals

    def authorize(self, invocation: Invocation) -> None:
        """Raise the refusal of the first check that refuses; it is recorded."""
        try:
            for check in self._checks:
                check(invocation)
        except AltarError as refused:
            self._refusals.denied(
                tenant=invocation.tenant,
                principal=invocation.principal,
                code=refused.code,
                resource=f"tools/{invocation.name}",
                action="execute",
                session=invocation.session_id,
                correlation=invocation.correlation_id,
                data=None if invocation.verdict is None else _known_of(invocation, invocation.verdict, refused),
            )
            raise
        self._record.authorize(invocation)

    def intend(self, frame: Sequence[Invocation], run: Callable[[Sequence[Invocation]], None], refuse: Answer) -> None:
        """Commit the intents of the frame together, then run it."""
        self._record.intend(frame, run, refuse)

    def record(self, invocation: Invocation, outcome: Outcome, answer: Answer) -> None:
        """Commit the outcome, then answer."""
        self._record.record(invocation, outcome, answer)


def foundation(
    *,
    directory: Directory,
    access: ToolAccess,
    quota: Check,
    clock: Callable[[], float],
    still: Callable[[Principal], bool],
) -> tuple[Check, ...]:
    """The tier FOUNDATION: who asks has proved it, is active in an active tenant, has the role, and is within limits.

    ``clock`` gives seconds since 1970; ``still`` says whether the proof of a principal is not revoked.
    """
    return (authenticated(clock, still), active(directory), permitted(access), quota)


def advanced(foundation: tuple[Check, ...], *, policy: Check, approval: Check, counted: Check) -> tuple[Check, ...]:
    """The tier ADVANCED: FOUNDATION, then what the tenant's policies say, then approval by people where they ask it.

    ``counted`` comes last: only a call that passed all others counts for the policies of those after it.
    """
    return (*foundation, policy, approval, counted)


def authenticated(clock: Callable[[], float], still: Callable[[Principal], bool]) -> Check:
    """Somebody asks whose credential has neither ended nor been revoked."""

    def check(invocation: Invocation) -> None:
        who = principal_of(invocation.who)
        if clock() >= who.expires or not still(who):
            raise AuthorizationError(
                "INVALID_CREDENTIALS", "The credential has ended", ran="no", hint="log in again, or renew the session"
            )

    return check


def active(directory: Directory) -> Check:
    """The principal is there and active, and so is its tenant; looked up again when the directory has changed."""
    known: dict[str, int] = {}

    def check(invocation: Invocation) -> None:
        who, version = principal_of(invocation.who), directory.version
        if known.get(who.id) == version:
            return
        require_active(directory, who)
        if len(known) >= _KNOWN:
            known.clear()
        known[who.id] = version

    return check


def permitted(access: ToolAccess) -> Check:
    """A role grants ``tools/<name>:execute``, and the roles and permissions that the contract asks for are held."""

    def check(invocation: Invocation) -> None:
        access.require(principal_of(invocation.who), invocation.contract)

    return check


def require_active(directory: Directory, who: Principal) -> None:
    """Raise unless a principal is there and active, in a tenant that is.

    AuthorizationError INVALID_CREDENTIALS or TENANT_SUSPENDED; a principal that was removed and one that was
    deactivated are refused in the same words.
    """
    person = directory.principal(who.id)
    if person is None or not person.active or person.tenant != who.tenant:
        raise AuthorizationError(
            "INVALID_CREDENTIALS", "The credentials are not valid any more", ran="no", hint="log in again"
        )
    directory.require_active(who.tenant)


def principal_of(who: object) -> Principal:
    """The principal behind a call. Raises AuthorizationError INVALID_CREDENTIALS when nobody has proved to be one."""
    if type(who) is not Principal:
        raise AuthorizationError(
            "INVALID_CREDENTIALS",
            "Nobody is authenticated here",
            ran="no",
            hint="log in, and open the session with the token or key",
        )
    return who


def _known_of(invocation: Invocation, verdict: Any, refused: AltarError) -> dict[str, str]:
    """What the record of a refusal says of the policies that had a part in it, and of the request for approval."""
    return {
        "approval": refused.handle or (invocation.call_id if refused.code in _OF_APPROVAL else ""),
        "policy": verdict.bundle,
        "rule": verdict.decided[0].name if verdict.decided else "",
        "facts": verdict.facts,
        "version": invocation.contract.version,
        "call": invocation.call_id,
    }


_KNOWN = 65_536
_OF_APPROVAL = frozenset({"APPROVAL_REFUSED", "APPROVAL_VOID"})  # of the request whose id is the key of the call
