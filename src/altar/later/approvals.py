"""A call that waits for a person: waiting for the decision, and making the call again once it may run.

The handle of a request for approval is the idempotency key under which the call runs, once.
So whoever has the handle, and is who made the call, can make it again after a crash, and gets the same result.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, runtime_checkable

from altar.adm.canonical import parse
from altar.adm.errors import AltarError, ConfigurationError, TransportError, ValidationError
from altar.later.invocation import Invocation

if TYPE_CHECKING:
    from altar.adm.call import ToolResult
    from altar.later.asking import Asker

__all__ = ["Approval", "ApprovalSource", "again", "await_decision", "call_under", "is_handle", "waits_for_person"]

_HANDLE = "approval-"  # as hosts give them

_AT_ONCE = 20.0
_FIRST_PAUSE = 0.05


class Approval(NamedTuple):
    """How a request stands: ``PENDING``, ``APPROVED``, ``REFUSED``, ``WITHDRAWN``, ``EXPIRED`` or ``CONSUMED``.

    The call it is for is there where it was asked for: ``arguments`` are canonical JSON.
    """

    state: str
    name: str = ""
    version: str = ""
    arguments: bytes = b""


@runtime_checkable
class ApprovalSource(Protocol):
    """A source whose host may ask people."""

    async def await_approval(self, handle: str, *, seconds: float, tell_call: bool = False) -> Approval:
        """How a request of one's own stands, as soon as it is decided, or after about so many seconds.

        Raises APPROVAL_VOID for one that is not there, FEATURE_UNAVAILABLE where nobody is asked.
        """
        ...


def is_handle(key: str) -> bool:
    """Whether an idempotency key is the handle of a request for approval, as far as its form tells."""
    return key.startswith(_HANDLE)


def waits_for_person(result: ToolResult) -> bool:
    """Whether a call was refused because a person must approve it first; one that ran met it in a call of its own."""
    return result.error is not None and (result.error.type, result.error.ran) == ("APPROVAL_PENDING", "no")


async def await_decision(asker: Asker, invocation: Invocation, pending: ToolResult) -> bool:
    """Wait until the request that a call has met is decided; false when its deadline comes first."""
    source: object = asker.live.source
    handle = pending.error.handle if pending.error is not None else ""
    if not handle or not isinstance(source, ApprovalSource):
        return False
    pause = _FIRST_PAUSE
    while (left := invocation.deadline - time.monotonic()) > 0:
        try:
            told = await source.await_approval(handle, seconds=min(left, _AT_ONCE))
        except TransportError:  # a host that is started again knows the request as before
            await asyncio.sleep(min(left, pause))
            pause = min(1.0, 2 * pause)
        except AltarError as refused:
            return refused.code == "APPROVAL_VOID"  # what the call is told then is the answer
        else:
            if told.state != "PENDING":
                return True
    return False


def again(invocation: Invocation, handle: str) -> Invocation:
    """The same call once more, under the handle as its idempotency key."""
    made = Invocation(
        invocation.name,
        invocation.arguments,
        handle,
        invocation.version,
        deadline=invocation.deadline,
        principal=invocation.principal,
        correlation_id=invocation.correlation_id,
    )
    made.blobs, made.tell, made.trace = invocation.blobs, invocation.tell, invocation.trace
    made.parent, made.depth = invocation.parent, invocation.depth
    made.once = True
    return made


async def call_under(asker: Asker, handle: str) -> tuple[Asker, str, dict[str, Any]]:
    """What to ask again for a handle: an asker with it as its key, the tool and its version, and the arguments.

    Raises APPROVAL_VOID for a handle that is nobody's or somebody else's, FEATURE_UNAVAILABLE without a host.
    """
    source: object = asker.live.source
    if not isinstance(source, ApprovalSource):
        raise ConfigurationError(
            "FEATURE_UNAVAILABLE",
            "Nobody is asked for approval in this session",
            ran="no",
            hint="use a session on a host, 'grid://host:port'",
        )
    told = await source.await_approval(handle, seconds=0, tell_call=True)
    arguments = parse(told.arguments)
    if not isinstance(arguments, dict):
        raise ValidationError("MALFORMED_REQUEST", f"The call of {handle!r} has no arguments", ran="no")
    return replace(asker, key=handle), f"{told.name}@{told.version}", arguments
