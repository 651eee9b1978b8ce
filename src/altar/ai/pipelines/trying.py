"""Whether a step that failed may be tried again, after how long, and whether another step may stand in for it.

What a tool may have done is repeated only if that is safe: it says that it did not run, or its contract says that it
changes nothing or that twice is like once.
A denial, a missing approval, a budget that is used up and a cancelled call are answers, and no failures to get around.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from altar.adm.codes import CODES, Ran

if TYPE_CHECKING:
    from altar.adm.call import ErrorObject
    from altar.adm.declaration import FunctionDeclaration
    from altar.ai.pipelines.steps import Retry

__all__ = ["has_returned", "is_final", "is_interruption", "is_repeatable", "wait_before"]

_LATER = "RATE_LIMIT_EXCEEDED"
"""The one refusal that is no denial: it says when to come again."""
_BY_CHANCE = frozenset({"TOOL_EXECUTION_FAILED", "LM_BAD_ANSWER"})
"""What may go well the next time, of a tool that may simply be called again."""
_RETURNED = frozenset({"SCHEMA_VIOLATION", "SERIALIZATION_ERROR", "MESSAGE_TOO_LARGE", "TIMEOUT"})
"""What is wrong with a result, of a tool that did its work: it breaks its promise, is too large, or too late."""
_INTERRUPTIONS = frozenset(
    {
        "CANCELLED",
        "CONNECTION_FAILED",
        "INVALID_SESSION",
        "LOG_UNAVAILABLE",
        "NETWORK_TIMEOUT",
        "OUTCOME_UNKNOWN",
        "PROTOCOL_VIOLATION",
        "SESSION_EXPIRED",
        "TLS_HANDSHAKE_FAILED",
    }
)
"""Nothing was reached, or nobody knows how a call ended."""


def is_repeatable(contract: FunctionDeclaration | None) -> bool:
    """Whether a contract says that calling twice does no harm; one that is not known does not."""
    return contract is not None and (contract.annotations.read_only or contract.annotations.idempotent)


def is_final(error: ErrorObject, contract: FunctionDeclaration | None) -> bool:
    """Whether no fallback may take the place of a step with this error.

    That is so for a refusal, and where the step may have run and nobody knows.
    """
    info = CODES.get(error.type or "")
    if info is not None and (info.category == "AUTHORIZATION" or error.type in {"CANCELLED", "OUTCOME_UNKNOWN"}):
        return True
    return _ran(error) == "unknown" and not is_repeatable(contract)


def has_returned(error: ErrorObject) -> bool:
    """Whether a call failed because of its result alone: the tool did its work, and what it did can be undone."""
    return error.ran == "yes" and error.type in _RETURNED


def is_interruption(error: ErrorObject) -> bool:
    """Whether a failure says nothing of the step itself, so that a run which is kept goes on there later."""
    return error.type in _INTERRUPTIONS and error.ran != "yes"


def wait_before(
    error: ErrorObject, contract: FunctionDeclaration | None, *, attempts: int, retry: Retry
) -> float | None:
    """Seconds to wait before a step is tried once more; None when it is not.

    ``attempts`` is how often it was tried. The time that the error asks for is kept in any case.
    """
    if attempts >= retry.attempts or not _may_go_well(error, repeatable=is_repeatable(contract)):
        return None
    wait = min(retry.base * 2.0 ** (attempts - 1), retry.cap)
    wait *= 1 + random.uniform(-retry.jitter, retry.jitter)  # noqa: S311 - it spreads load, and guards nothing
    return max(wait, (error.retry_after_ms or 0) / 1000)


def _may_go_well(error: ErrorObject, *, repeatable: bool) -> bool:
    code = error.type or ""
    info = CODES.get(code)
    if info is None or (info.category == "AUTHORIZATION" and code != _LATER):
        return False
    if repeatable and code in _BY_CHANCE:
        return True
    return info.retry == "after_delay" and (repeatable or _ran(error) == "no")


def _ran(error: ErrorObject) -> Ran:
    """What is known of whether the tool ran; a code that nobody knows comes from a tool, which ran."""
    if error.ran is not None:
        return error.ran
    info = CODES.get(error.type or "")
    return "yes" if info is None else info.ran
