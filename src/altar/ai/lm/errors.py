"""What a language model's failure is called in ALTAR, whichever library raised it.

An exception of DSPy, of an OpenAI client, of Pydantic-AI, or of a model of ours comes in; an error with a code of
`spec/errors.toml` goes out, or None for what is no failure of a language model.
What a provider wrote is never passed on: it may hold a part of a key, or what somebody asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from altar.adm.errors import AltarError, ExecutionError
from altar.ai.lm.chat import HOW_TO_RECORD, ChatFailure, FailureKind, NotRecorded, NotScripted

__all__ = ["failure_of", "lm_error"]

_LONGEST_WAIT: Final = 24 * 3600.0


def lm_error(raised: BaseException) -> AltarError | None:
    """The error of ALTAR for what a language model, or the library that asked it, raised; None for anything else.

    LM_RATE_LIMITED (with ``retry_after`` where the provider gave one), LM_TIMEOUT, LM_UNAVAILABLE, LM_REFUSED for what
    will be refused again, LM_BAD_ANSWER for an answer in the wrong shape.
    """
    if isinstance(raised, AltarError):
        return None
    if _is(raised, "dspy", "AdapterParseError"):
        return _bad_answer(raised)
    unrecorded = _unheld(raised)
    if isinstance(unrecorded, NotScripted):
        return ExecutionError("LM_REFUSED", unrecorded.message.rstrip("."), hint="give the script that answer, too")
    if unrecorded is not None:
        return ExecutionError(
            "LM_REFUSED",
            f"The recording {unrecorded.recording!r} of a language model does not hold this request: it has changed"
            " since, or was never made",
            hint=HOW_TO_RECORD,
            detail=f"key {unrecorded.key}",
        )
    failure = failure_of(raised)
    if failure is None:
        return None
    refused = _refused(raised)
    if refused is not None:
        return refused
    code, told, hint = _CODES[failure.kind]
    asked = getattr(raised, "model", None) or getattr(raised, "model_name", None)
    who = f"The language model {asked!r}" if isinstance(asked, str) and asked else "The language model"
    facts = {"kind": failure.kind, "status": getattr(raised, "status", None) or getattr(raised, "status_code", None)}
    facts["request_id"] = getattr(raised, "request_id", None)
    return ExecutionError(
        code,
        f"{who} {told}",
        hint=hint,
        detail=", ".join(f"{name} {value}" for name, value in facts.items() if value),
        retry_after=_wait(failure.retry_after),
    )


def failure_of(raised: BaseException) -> ChatFailure | None:
    """The kind of failure that an exception of a library is, or None."""
    if isinstance(raised, ChatFailure):
        return raised
    for library, names in _KINDS.items():
        for name, kind in names.items():
            if _is(raised, library, name):
                found: FailureKind = "timeout" if kind == "server" and _was_time(raised) else kind
                return ChatFailure(found, retry_after=_retry_after(raised))
    status = getattr(raised, "status_code", None)
    if isinstance(status, int) and (_is(raised, "openai", "APIError") or _is(raised, "pydantic_ai", "ModelAPIError")):
        return ChatFailure(_kind_of(status), retry_after=_retry_after(raised))
    if _is(raised, "pydantic_ai", "ModelAPIError") or _is(raised, "dspy", "LMError"):
        return ChatFailure("server")
    return None


_CODES: dict[FailureKind, tuple[str, str, str]] = {
    "rate_limit": ("LM_RATE_LIMITED", "is asked too often", "ask again later, or less often"),
    "timeout": ("LM_TIMEOUT", "did not answer in time", "ask for less at once, or set a longer `ai.timeout`"),
    "server": ("LM_UNAVAILABLE", "cannot be reached, or failed", "ask again later"),
    "auth": ("LM_REFUSED", "refused the key", "look at the key where the tool runs"),
    "billing": ("LM_REFUSED", "refused: the account has no credit", "look at the account of the provider"),
    "unknown_model": ("LM_REFUSED", "does not exist at its provider", "look at `ai.lm`"),
    "context_length": ("LM_REFUSED", "cannot read a request of that length", "give shorter inputs"),
    "invalid_request": ("LM_REFUSED", "refused the request", "look at the settings of the language model"),
}

# From the specific to the general; an exception is known by its name and the package that its class is from, so that
# none of them has to be loaded.
_KINDS: Mapping[str, Mapping[str, FailureKind]] = {
    "dspy": {
        "LMRateLimitError": "rate_limit",
        "LMTimeoutError": "timeout",
        "LMServerError": "server",
        "LMTransportError": "server",
        "LMAuthError": "auth",
        "LMBillingError": "billing",
        "LMUnsupportedModelError": "unknown_model",
        "ContextWindowExceededError": "context_length",
        "LMInvalidRequestError": "invalid_request",
        "LMUnsupportedFeatureError": "invalid_request",
        "LMNotConfiguredError": "auth",
        "LMConfigurationError": "invalid_request",
    },
    "openai": {"APITimeoutError": "timeout", "APIConnectionError": "server"},
}


def _refused(raised: BaseException) -> AltarError | None:
    """The error of the call that a request was, where it was one: what refused it is no failure of the model."""
    cause: BaseException | None = raised
    for _ in range(8):
        if cause is None or isinstance(cause, AltarError):
            break
        cause = cause.__cause__
    return cause if isinstance(cause, AltarError) else None


def _is(raised: BaseException, package: str, name: str) -> bool:
    return any(one.__name__ == name and one.__module__.partition(".")[0] == package for one in type(raised).__mro__)


def _unheld(raised: BaseException) -> NotRecorded | NotScripted | None:
    """What a recording or a script said behind an exception of a library, at most eight steps back."""
    cause: BaseException | None = raised
    for _ in range(8):
        if cause is None or isinstance(cause, NotRecorded | NotScripted):
            break
        cause = cause.__cause__ or cause.__context__
    return cause if isinstance(cause, NotRecorded | NotScripted) else None


def _was_time(raised: BaseException) -> bool:
    """Whether what failed on the way was the time: the cause behind it says so, at most eight steps back."""
    cause: BaseException | None = raised
    for _ in range(8):
        if cause is None or isinstance(cause, TimeoutError):
            break
        cause = cause.__cause__ or cause.__context__
    return isinstance(cause, TimeoutError)


def _kind_of(status: int) -> FailureKind:
    known: dict[int, FailureKind] = {
        401: "auth",
        402: "billing",
        403: "auth",
        404: "unknown_model",
        408: "timeout",
        413: "context_length",
        429: "rate_limit",
        504: "timeout",
    }
    return known.get(status, "server" if status >= 500 else "invalid_request")


def _retry_after(raised: BaseException) -> float | None:
    """The seconds that a provider asks to wait, from the exception or the header of its response (RFC 9110 §10.2.3)."""
    said: Any = getattr(raised, "retry_after", None)
    if said is None:
        headers = getattr(getattr(raised, "response", None), "headers", None)
        said = headers.get("retry-after") if headers is not None else None
    try:
        seconds = None if said is None else float(said)
    except ValueError:  # a date: nobody who is asked too often sends one
        return None
    return seconds if seconds is not None and 0 <= seconds <= _LONGEST_WAIT else None


def _wait(seconds: float | None) -> timedelta | None:
    return None if seconds is None else timedelta(seconds=seconds)


def _bad_answer(raised: BaseException) -> AltarError:
    """An answer in the wrong shape, told by the names of the fields and never by what was answered."""
    fields = list(getattr(getattr(raised, "signature", None), "output_fields", None) or ())
    parsed = getattr(raised, "parsed_result", None)
    missing = [name for name in fields if isinstance(parsed, Mapping) and name not in parsed]
    about = ", ".join(map(repr, missing or fields))
    return ExecutionError(
        "LM_BAD_ANSWER",
        f"The language model did not give {about} in the form that was asked for",
        hint="a larger model, or one that keeps to a schema, does; simpler types help too",
        detail=f"adapter {getattr(raised, 'adapter_name', '?')}",
    )
