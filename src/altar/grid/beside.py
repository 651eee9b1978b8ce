"""Blobs on the wire: reading them, and what becomes of them for a peer that takes none.

In: blobs as a message has them; calls and results with blobs, and what the other side can do.
Out: blobs, verified later against the JSON they belong to; the same calls and results with base64 text, if that is
small enough; FEATURE_UNAVAILABLE, which names the capability, if it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from altar.adm.blobs import MAX_BLOBS, Blob, size_with_text
from altar.adm.errors import AltarError, TransportError
from altar.grid.capabilities import Capability, missing
from altar.later.invocation import Invocation, Outcome

__all__ = ["blobs_of", "is_too_large_as_text", "needs_blobs", "refusal_as_text", "result_as_text", "result_with"]


class _Told(Protocol):
    """A blob as a message has it."""

    path: str
    data: bytes


def blobs_of(told: Sequence[_Told]) -> tuple[Blob, ...]:
    """The blobs of a message. Raises TransportError PROTOCOL_VIOLATION for more than a call or a result may have."""
    if len(told) > MAX_BLOBS:
        raise TransportError(
            "PROTOCOL_VIOLATION",
            f"{len(told)} blobs came with one message and the limit is {MAX_BLOBS}",
            ran="no",
            hint="write small bytes as base64 text",
        )
    return tuple(Blob(each.path, each.data) for each in told)


def result_with(content: bytes, told: Sequence[_Told]) -> Outcome:
    """The outcome of a successful call with blobs; of too many, the error."""
    try:
        return Outcome(content, blobs=blobs_of(told))
    except AltarError as crowd:
        crowd.ran = "yes"
        return Outcome(error=crowd)


def is_too_large_as_text(invocation: Invocation, limit: int) -> bool:
    """Whether a call has blobs, and would be more than ``limit`` bytes if they were base64 text."""
    blobs = invocation.blobs
    return blobs is not None and size_with_text(invocation.arguments, blobs) > limit


def needs_blobs(invocation: Invocation, limit: int) -> None:
    """Let only a runtime with the capability have a call that would be too large as text."""
    if is_too_large_as_text(invocation, limit):
        invocation.needs = (*invocation.needs, Capability.BLOBS.value)


def refusal_as_text(invocation: Invocation, *, who: str) -> AltarError:
    """Why a call is not sent to somebody who takes no blobs, and for whom it is too large as text."""
    return missing(Capability.BLOBS, what=f"The call of {invocation.name!r} with bytes of this size", who=who)


def result_as_text(invocation: Invocation, outcome: Outcome, *, limit: int, who: str) -> Outcome:
    """The outcome for somebody who takes no blobs: with base64 text, or an error when that is too large."""
    if outcome.blobs is None:
        return outcome
    if size_with_text(outcome.content, outcome.blobs) <= limit:
        return Outcome(outcome.text, replayed=outcome.replayed)
    error = missing(Capability.BLOBS, what=f"The result of {invocation.name!r} with bytes of this size", who=who)
    error.ran = "yes"
    return Outcome(error=error, replayed=outcome.replayed)
