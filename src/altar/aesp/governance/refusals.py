"""What is said when an approval is missing or does not stand; one place, so that all say the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from altar.adm.errors import AltarError, AuthorizationError, ValidationError
from altar.aesp.governance.requests import CONTRACT, State

if TYPE_CHECKING:
    from altar.aesp.governance.requests import Request
    from altar.later.invocation import Invocation

__all__ = ["another", "asker_gone", "changed", "not_yours", "over", "pending", "standing", "twice", "unknown"]

_AGAIN = "make the call without the handle, which asks for a new approval"


def pending(request: Request, state: State, messages: Mapping[str, str] | None = None) -> AltarError:
    """The call needs approval: what to wait for; ``messages`` are what policies say, by their names."""
    if state is State.APPROVED:
        return AuthorizationError(
            "APPROVAL_PENDING",
            f"The call of {request.tool!r} is approved under {request.id!r}, and runs under that key only",
            ran="no",
            hint=f"make the same call with the idempotency key {request.id!r}, or session.resume({request.id!r})",
            handle=request.id,
        )
    return AuthorizationError(
        "APPROVAL_PENDING",
        f"The call of {request.tool!r} waits for approval, as {_asking(request)}{_said(request, messages or {})}",
        ran="no",
        hint=f"an approver sees it with `altar approvals show {request.id}`; then session.resume({request.id!r})",
        handle=request.id,
    )


def standing(request: Request, state: State, messages: Mapping[str, str] | None = None) -> AltarError:
    """The approval of a call that came with it does not stand, or not yet."""
    if state is State.PENDING:
        return pending(request, state, messages)
    return over(request, state)


def over(request: Request, state: State) -> AltarError:
    """The request has come to its end."""
    if state is State.REFUSED:
        return AuthorizationError(
            "APPROVAL_REFUSED", f"The call of {request.tool!r} was refused by an approver", ran="no", hint=_AGAIN
        )
    at = datetime.fromtimestamp(request.expires_ms / 1000, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    words = {
        State.WITHDRAWN: "was withdrawn",
        State.EXPIRED: f"has expired at {at}",
        State.CONSUMED: "is used",
    }
    return _void(f"The approval {request.id!r} {words.get(state, 'does not stand')}")


def unknown(request_id: str) -> AltarError:
    """There is no such request, or it is somebody else's."""
    hint = f"{_AGAIN}; one that another host gave is looked for by session.resume, and not by the key alone"
    return _void(f"There is no approval {request_id[:64]!r} of yours", hint=hint)


def another(request: Request, invocation: Invocation) -> AltarError:
    """The call is not the one that was approved; says in what, and never how."""
    if invocation.name != request.tool:
        what = "another tool"
    elif invocation.version != request.version:
        what = f"version {request.version} of the tool"
    elif invocation.contract.digest != request.contract:
        what = "another contract of the tool"
    else:
        what = "other arguments"
    return _void(f"The approval {request.id!r} is for {what}")


def changed(request: Request) -> AltarError:
    """The policies, or the contract, are not those that asked."""
    if all(need.policy == CONTRACT for need in request.needs):
        return _void(f"What the contract asks for has changed since {request.id!r} was asked for")
    return _void(f"The policies have changed since {request.id!r} was asked for")


def asker_gone(request: Request) -> AltarError:
    """The account that asked is not there any more, or its id is another one's now."""
    return _void(f"Who asked for {request.id!r} is not there any more")


def not_yours(request: Request) -> AltarError:
    """Somebody may not decide on it."""
    roles = sorted({role for need in request.needs for role in need.approvers})
    who = f"a person with the role {' or '.join(map(repr, roles))}" if roles else "whoever may `approvals:decide`"
    return AuthorizationError(
        "PERMISSION_DENIED",
        f"Your word on {request.id!r} does not count",
        ran="no",
        hint=f"{who} decides, and neither who asked nor an account of theirs",
    )


def twice(request: Request, state: State, counted: Sequence[int]) -> AltarError:
    """A person has spoken already; ``counted`` is how many have approved, for each need of the request."""
    if state is State.PENDING:
        left = zip(request.needs, counted, strict=True)
        missing = max(need.quorum - count for need, count in left)
        who = "1 other person" if missing == 1 else f"{missing} other people"
        hint = f"it waits for {who}: `altar approvals show {request.id}` says in which role"
    elif state is State.APPROVED:
        hint = f"nobody else has to: whoever asked can make the call now, with session.resume({request.id!r})"
    else:
        hint = f"it is {state} by now: `altar approvals show {request.id}`"
    return ValidationError(
        "RESOURCE_CONFLICT",
        f"You have approved {request.id!r} already, under this account or another one",
        ran="no",
        hint=hint,
    )


def _asking(request: Request) -> str:
    """Give the words for the policies that ask; of many the first."""
    policies = [need for need in request.needs if need.policy != CONTRACT]
    by_contract = "" if len(policies) == len(request.needs) else "its contract"
    names = [repr(need.policy) for need in policies[:_MOST_NAMED]]
    more = len(policies) - len(names)
    if not names:
        return f"{by_contract} asks"
    if by_contract:
        by_contract = f"{by_contract} and "
    if more:
        return f"{by_contract}the policies {', '.join(names)} and {more} more ask"
    if len(names) == 1:
        return f"{by_contract}the policy {names[0]} {'ask' if by_contract else 'asks'}"
    return f"{by_contract}the policies {', '.join(names[:-1])} and {names[-1]} ask"


def _said(request: Request, messages: Mapping[str, str]) -> str:
    """Give what they say of themselves, each once, in the order they ask."""
    texts = dict.fromkeys(messages.get(need.policy, "") for need in request.needs[:_MOST_NAMED])
    joined = " ".join(text for text in texts if text)
    return f": {joined}" if joined else ""


_MOST_NAMED = 5


def _void(message: str, *, hint: str = _AGAIN) -> AltarError:
    return AuthorizationError("APPROVAL_VOID", message, ran="no", hint=hint)
