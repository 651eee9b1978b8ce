"""What a program of DSPy is told of the result of a call: its content, an error in words, or an exception."""

from __future__ import annotations

from typing import Any, Final

from altar.adm.call import ErrorObject, ResultStatus, ToolResult
from altar.adm.codes import CODES

__all__ = ["answer", "is_told"]

_OVER: Final = frozenset(("APPROVAL_PENDING", "CANCELLED", "INVALID_SESSION", "OUTCOME_UNKNOWN", "TENANT_SUSPENDED"))
"""What another call of the model does not change, beside what the codes say themselves."""


def answer(result: ToolResult) -> Any:
    """The content of a result; the words of an error that a model can do something about.

    Raises the AltarError of any other.
    """
    if result.status is ResultStatus.SUCCESS:
        return result.content
    if result.error is not None and is_told(result.error):
        return result.text
    return result.unwrap()


def is_told(error: ErrorObject) -> bool:
    """Whether a model is told of an error, and may try something else.

    It is not where nobody knows whether the tool ran, for it would try again; nor where only a person can mend
    something: a session that is over, a credential, a connection, a setting, an approval that is waited for.
    """
    if error.ran == "unknown" or error.type in _OVER:
        return False
    known = CODES.get(error.type or "")
    return known is None or (
        known.category in {"AUTHORIZATION", "VALIDATION", "EXECUTION"} and known.retry != "after_renewal"
    )
