"""Idempotency keys in the words that every mode has in common.

A key is a call id that its caller chose: a second call under it is answered with the result of the first.
The fingerprint of a call says whether two calls under one key are the same call: the same tool, in the same version,
with the same arguments.
"""

from __future__ import annotations

from hashlib import blake2b

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError, ValidationError
from altar.later.invocation import require_call_id

__all__ = [
    "conflict",
    "fingerprint",
    "let_go",
    "no_stream",
    "not_told_again",
    "require_key",
    "require_no_key",
    "waits_for_itself",
]


def require_key(key: str) -> str:
    """The key, if it is one: 1 to 128 printable ASCII characters, as a call id has them.

    Raises ValidationError MALFORMED_REQUEST otherwise.
    """
    try:
        require_call_id(key)
    except (AltarError, TypeError):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The idempotency key is {str(key)[:64]!r}, and must be 1 to 128 printable ASCII characters",
            ran="no",
            hint="name what must not happen twice: idempotency_key='order-17'",
        ) from None
    return key


def require_no_key(key: str) -> None:
    """Raise MALFORMED_REQUEST for a key beside a FunctionCall, which has a call id already."""
    if key:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The call has a call_id of its own, and is given the idempotency key {key!r}",
            ran="no",
            hint="name the tool and its arguments, and let the key be the call_id",
        )


def fingerprint(tool: str, version: str, arguments: str) -> bytes:
    """16 bytes for a tool, its exact version and the digest of its canonical arguments."""
    return blake2b(f"{tool}\0{version}\0{arguments}".encode(), digest_size=16).digest()


def conflict(key: str) -> AltarError:
    """The answer to a call under a key that belongs to another call."""
    return ValidationError(
        "IDEMPOTENCY_CONFLICT",
        f"The idempotency key {key!r} belongs to another call",
        ran="no",
        hint="the same key must come with the same tool, version and arguments; use a new key for a new call",
    )


def waits_for_itself(key: str) -> AltarError:
    """The answer to a call under the key of a call that waits for this one."""
    return ValidationError(
        "IDEMPOTENCY_CONFLICT",
        f"The call under the idempotency key {key!r} waits for this one, which cannot wait for it",
        ran="no",
        hint="use another key for the call inside",
    )


def let_go() -> AltarError:
    """The answer to one of several who wait for the same call, when that one waits no longer."""
    return ExecutionError(
        "CANCELLED",
        "The call was cancelled, and goes on for others who wait under the same idempotency key",
        ran="unknown",
        hint="call again under the same key for its result",
    )


def not_told_again(key: str) -> AltarError:
    """The answer to a call under the key of a stream, or of one that ran where it was made: nothing of it is kept."""
    return ValidationError(
        "IDEMPOTENCY_CONFLICT",
        f"The call under {key[:64]!r} has begun, and what came of it is told once: to who made it",
        ran="unknown",
        hint="look at the effect of the tool; another call needs another approval, or another key",
    )


def no_stream() -> AltarError:
    """The answer to a stream under a key."""
    return ConfigurationError(
        "FEATURE_UNAVAILABLE",
        "A stream cannot have an idempotency key: its values are not kept",
        ran="no",
        hint="call the tool plainly, which gives all values as one list, or leave the key out",
    )
