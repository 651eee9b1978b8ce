"""One call on its way: what the three seams hand to each other.

An :class:`Invocation` goes in, an :class:`Outcome` comes out.
Both carry payloads as canonical JSON bytes, because that is what crosses a wire, what is hashed into the
record and what every mode can agree on; a Python value exists only at the two ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from altar.adm.errors import AltarError, ExecutionError

__all__ = ["Answer", "Contract", "Invocation", "Outcome", "Work"]

Work = Coroutine[Any, Any, None]
"""A coroutine that ends by settling its invocation."""


class Contract(Protocol):
    """What a catalog finds: enough to check a call, and whatever the source of the same row needs to run it."""

    @property
    def version(self) -> str:
        """Exact semantic version."""
        ...

    @property
    def digest(self) -> str:
        """``sha256:…`` of the canonical declaration; empty when this side does not hold it."""
        ...

    def check(self, arguments: bytes) -> None:
        """Raise ValidationError INVALID_TOOL_ARGS, with the path, unless the arguments fit."""
        ...

    def check_result(self, content: bytes) -> None:
        """Raise ValidationError SCHEMA_VIOLATION, with the path, unless the result is what was promised."""
        ...


@dataclass(slots=True, eq=False)
class Invocation:
    """GRID's ToolCall envelope while it is being carried out.

    ``deadline`` is in seconds of the monotonic clock, infinite when nobody set one.
    ``tag`` and ``reply_to`` belong to whoever asked, ``record`` and ``intent`` to the gate, ``handle``, ``runtime`` and
    ``attempts`` to the source.
    """

    name: str
    arguments: bytes
    call_id: str = ""
    version: str = ""
    known_digest: str = ""
    deadline: float = math.inf
    principal: str = "local"
    tenant: str = "default"
    session_id: str = ""
    correlation_id: str = ""
    invocation_id: str = ""
    tag: int = 0
    reply_to: Any = None
    contract: Any = None
    record: Any = None
    intent: int = -1
    runtime: str = ""
    attempts: int = 0
    handle: Any = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an invocation ended: ``content`` (canonical JSON) or an ``error``, never both."""

    content: bytes = b""
    error: AltarError | None = None

    @classmethod
    def failed(cls, error: BaseException) -> Outcome:
        """The outcome of a call that raised; anything but an AltarError is the tool's own failure."""
        if isinstance(error, AltarError):
            return cls(error=error)
        kind = type(error).__name__
        return cls(
            error=ExecutionError(
                "TOOL_EXECUTION_FAILED",
                f"The tool failed with {kind}",
                ran="yes",
                hint="the reason is in the log of the runtime that ran it",
                detail=f"{kind}: {error}",
            )
        )


Answer = Callable[[Invocation, Outcome], None]
"""Takes an invocation and how it ended; called exactly once for each invocation."""
