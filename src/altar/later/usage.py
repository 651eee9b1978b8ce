"""What a call took, as numbers by name: tokens, cost, milliseconds of work, bytes.

A tool says it through its context, it travels beside the result, and it stands in ``ToolResult.usage``.
Names in use are ``input_tokens``, ``output_tokens``, ``total_tokens``, ``cached_tokens``, ``cost_usd``, ``lm_calls``
and ``compute_ms``; a tool may say others.
"""

from __future__ import annotations

import math
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

import orjson

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, TransportError, ValidationError

if TYPE_CHECKING:
    from altar.later.invocation import Invocation

__all__ = ["MAX_USAGE_BYTES", "add_usage", "read_usage", "written_usage"]

MAX_USAGE_BYTES = 4_096
"""Most bytes of what a call took, written as JSON."""
_MOST_NAMES = 32
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_LARGEST = 2**53
_ADDING = threading.Lock()  # for all calls: it is held for a sum, and most calls say nothing


def add_usage(invocation: Invocation, numbers: Mapping[str, float]) -> None:
    """Add numbers to what a call took; from any thread.

    Raises ValidationError MALFORMED_REQUEST, and adds none of them, when one cannot be told.
    """
    for name, number in numbers.items():
        if not (_NAME.fullmatch(name) and _is_told(number)):
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"{str(name)[:80]!r} of what a call took is {str(number)[:80]}, and must be a number from 0 to 2^53",
                ran="yes",
                hint="give numbers by name, such as used(input_tokens=120)",
            )
    with _ADDING:
        total = dict(invocation.usage or {})
        for name, number in numbers.items():
            total[name] = min(total.get(name, 0) + number, _LARGEST)
        if len(total) > _MOST_NAMES:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"What the call took has {len(total)} names, and the limit is {_MOST_NAMES}",
                ran="yes",
                hint="sum up what belongs together under one name",
            )
        invocation.usage = total


def written_usage(usage: Mapping[str, float]) -> bytes:
    """The numbers as canonical JSON, for a wire."""
    return canonical(dict(usage))


def read_usage(written: bytes) -> dict[str, int | float]:
    """The numbers that another process sent.

    Raises TransportError PROTOCOL_VIOLATION, ``ran`` yes, for what are no such numbers.
    """
    try:
        usage = orjson.loads(written) if len(written) <= MAX_USAGE_BYTES else None
    except ValueError:
        usage = None
    if (
        isinstance(usage, dict)
        and len(usage) <= _MOST_NAMES
        and all(_NAME.fullmatch(name) and _is_told(number) for name, number in usage.items())
    ):
        return usage
    raise _broken()


def _is_told(number: object) -> bool:
    """Whether it is a number that a wire and every reader of JSON can hold; a truth value is none."""
    return type(number) in (int, float) and math.isfinite(number) and 0 <= number <= _LARGEST  # type: ignore[arg-type, operator]  # it is a number by then


def _broken() -> AltarError:
    return TransportError(
        "PROTOCOL_VIOLATION",
        "What the call took came as something else than numbers by name",
        ran="yes",
        hint="report it to whoever wrote the other side",
    )
