"""Waiting for the approval of a call, as a client asks for it; a host without approvals refuses.

What is approved, and by whom, is decided elsewhere: here is only what the wire needs of it.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from altar.adm.errors import AltarError, ConfigurationError
from altar.grid.host.callers import Caller

__all__ = ["LONGEST_SECONDS", "ApprovalTold", "ApprovalWaits", "no_approvals"]

LONGEST_SECONDS = 25.0
"""How long one question waits at most; a client asks again."""


class ApprovalTold(NamedTuple):
    """How a request stands, and the call it is for, which is empty where it was not asked for."""

    state: str
    name: str = ""
    version: str = ""
    arguments: bytes = b""


class ApprovalWaits(Protocol):
    """Answers those who wait."""

    async def __call__(self, caller: Caller, handle: str, *, seconds: float, tell_call: bool) -> ApprovalTold:
        """How the request stands, as soon as it is decided, or after so many seconds; for its requester only.

        Raises APPROVAL_VOID for a request that is not there or is somebody else's, RESOURCE_EXHAUSTED for too many.
        """
        ...


def no_approvals() -> AltarError:
    """The refusal of a host that asks nobody for approval."""
    return ConfigurationError(
        "FEATURE_UNAVAILABLE",
        "This host asks nobody for approval",
        ran="no",
        hint='approvals are part of the tier ADVANCED: tier = "advanced" under [aesp] of the host',
    )
