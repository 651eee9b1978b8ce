"""One call on its way: what the three seams hand to each other.

An :class:`Invocation` goes in, an :class:`Outcome` comes out.
Both carry payloads as canonical JSON bytes, because that is what crosses a wire, what is hashed into the
record and what every mode can agree on; a Python value exists only at the two ends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from altar.adm.blobs import Blob, size_beside, with_text
from altar.adm.errors import AltarError, ExecutionError, Ran, TransportError, ValidationError

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Answer",
    "Contract",
    "Invocation",
    "Outcome",
    "Streamed",
    "Work",
    "call_facts",
    "defect",
    "late",
    "require_call_id",
    "too_large",
]

_CALL_ID = re.compile(r"[\x20-\x7e]{1,128}")
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
"""Most bytes of the arguments or of the result of one call, unless a host says otherwise."""

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

    def check(self, arguments: bytes) -> dict[str, Any] | None:
        """Raise ValidationError INVALID_TOOL_ARGS, with the path, unless the arguments fit.

        Returns the values that were read, where this process runs the call itself and need not read them again.
        """
        ...

    def check_result(self, content: bytes) -> Any:
        """Raise ValidationError SCHEMA_VIOLATION, with the path, unless the result is what was promised.

        Returns the value that was read, where the caller is in this process; else, and for null, None.
        """
        ...

    def check_beside(self, invocation: Invocation) -> dict[str, Any] | None:
        """Do what :meth:`check` does for a call with blobs, after verifying them.

        A blob in a place that is not for bytes becomes base64 text: ``arguments`` and ``blobs`` are changed then.
        Raises MALFORMED_REQUEST, with the path, for one that is not what its place refers to.
        """
        ...

    def check_result_beside(self, outcome: Outcome) -> None:
        """Do what :meth:`check_result` does for a result with blobs, after verifying them; no value is returned.

        Raises PROTOCOL_VIOLATION, ``ran`` yes, for one that is not what its place refers to.
        """
        ...


@dataclass(slots=True, eq=False)
class Invocation:
    """GRID's ToolCall envelope while it is being carried out.

    ``deadline`` is in seconds of the monotonic clock, infinite when nobody set one.
    ``tag`` and ``reply_to`` belong to whoever asked, ``record`` and ``intent`` to the gate, ``handle``, ``runtime`` and
    ``attempts`` to the source; in a session on a grid, ``GridSource`` gives the ``tag``.
    ``attempts`` counts how often the call was put on its way to another process.
    ``values`` are what the check read from ``arguments``, until the source takes them for the function, which may
    change them; ``arguments`` are the record.
    ``chunks`` (a ``Chunks``) is there when the caller wants the values of a streaming tool one by one.
    ``tell`` takes what the running tool tells on the way; None when nobody listens.
    ``parent`` is the call whose function makes this one, through its ``ToolContext``, and ``depth`` how many there are
    above it.
    ``route`` says why this version was chosen, ``where`` is ``caller`` or ``fallback`` for a call that runs where it
    was made; both are for the record.
    ``once`` says that ``call_id`` is an idempotency key.
    ``needs`` are the capabilities that a runtime must have for this call, ``prefers`` the labels it had better have,
    ``pinned`` the only one that may run it, where it matters; ``sent`` is about when it got it (monotonic seconds).
    ``who`` is what a control plane decides by, behind the words ``principal`` and ``tenant``; None without one.
    ``began`` is when a host that keeps figures took the call (monotonic seconds), and ``trace`` the place in a
    distributed trace (a ``Trace``) that it travels with; None when nobody traces it.
    ``blobs`` are the large bytes that the arguments refer to; None without any.
    ``salt`` is what a host commits to arguments and result under, where its record has no digests of them.
    ``source`` is the address that the call came from, where that is known.
    ``verdict`` is what the policies of a control plane decided, for the record and for the checks after them: it has
    the texts ``bundle``, ``verdict``, ``approval`` and ``facts`` of an intent; None where none have.
    ``usage`` is what the function said it took, numbers by name (`altar.later.usage`), here or in the process that ran
    it; None when it said nothing.
    ``variables`` is the digest of the variables of the session that the contract binds (`altar.later.bound_variables`);
    "" where it binds none.
    ``handle`` is what the source finds the running call by:

    - ``LocalSource``: None until the function has a place to run, and for ever when it runs where it was called;
      then the coroutine that the caller awaits, the task it runs in, or the run in a thread.
    - ``RuntimeSource``: while the call waits, None or since when (monotonic seconds) nobody can run it;
      once it is sent, its tag on the runtime's stream.
    - ``GridSource``: nothing.
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
    cancelled: bool = False
    handle: Any = None
    values: dict[str, Any] | None = None
    chunks: Any = None
    tell: Any = None
    parent: Invocation | None = None
    route: str = ""
    where: Literal["", "caller", "fallback"] = ""
    once: bool = False
    needs: tuple[str, ...] = ()
    prefers: tuple[tuple[str, str], ...] = ()
    pinned: str = ""
    sent: float = 0.0
    depth: int = 0
    began: float = 0.0
    trace: Any = None
    who: Any = None
    blobs: tuple[Blob, ...] | None = None
    salt: bytes | None = None
    source: str = ""
    verdict: Any = None
    usage: dict[str, int | float] | None = None
    variables: str = ""

    @property
    def size(self) -> int:
        """Bytes of the arguments, with those beside them."""
        return len(self.arguments) if self.blobs is None else len(self.arguments) + size_beside(self.blobs)

    @property
    def text(self) -> bytes:
        """The arguments alone: canonical JSON with base64 text in the place of each blob."""
        return self.arguments if self.blobs is None else with_text(self.arguments, self.blobs)

    @property
    def is_left(self) -> bool:
        """Whether nobody waits for the answer any more: its caller has left, or that of a call above it has."""
        call: Invocation | None = self
        while call is not None and not call.cancelled:
            call = call.parent
        return call is not None


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a stream has passed on: how many chunks, and size and digest of the list that a call would have given.

    ``bytes`` and ``digest`` (``sha256:…``) are those of the canonical JSON array of all chunks.
    """

    chunks: int
    bytes: int
    digest: str


@dataclass(slots=True)
class Outcome:
    """How an invocation ended: ``content`` (canonical JSON) or an ``error``, never both.

    ``content`` and ``error`` are never changed; it is not frozen because making it would cost three times as much.
    ``value`` is what the check of the result read from ``content``, for the one caller who gets it; None when nobody
    has read it yet.
    ``streamed`` is there when the values were passed on one by one, however that ended; ``content`` is empty then.
    ``replayed`` says that this is the outcome of an earlier call under the same idempotency key.
    ``blobs`` are the large bytes that ``content`` refers to; None without any.
    """

    content: bytes = b""
    error: AltarError | None = None
    value: Any = field(default=None, compare=False, repr=False)
    streamed: Streamed | None = None
    replayed: bool = False
    blobs: tuple[Blob, ...] | None = None

    @property
    def size(self) -> int:
        """Bytes of the content, with those beside it."""
        return len(self.content) if self.blobs is None else len(self.content) + size_beside(self.blobs)

    @property
    def text(self) -> bytes:
        """The content alone: canonical JSON with base64 text in the place of each blob."""
        return self.content if self.blobs is None else with_text(self.content, self.blobs)

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
                hint="the log where the tool ran has the reason",
                detail=f"{kind}: {error}",
            )
        )


Answer = Callable[[Invocation, Outcome], None]
"""Takes an invocation and how it ended; called exactly once for each invocation."""


def require_call_id(call_id: str) -> None:
    """Raise MALFORMED_REQUEST unless it is a call id: 1 to 128 printable ASCII characters (ADM §4.4)."""
    if not _CALL_ID.fullmatch(call_id) or call_id.isspace():
        raise ValidationError(
            "MALFORMED_REQUEST",
            "The call_id must be 1 to 128 printable ASCII characters",
            ran="no",
            path="/call_id",
            hint="a UUID is a good call_id",
        )


def call_facts(invocation: Invocation) -> dict[str, Any]:
    """What a log line says of the call it is about: its ids, its tool and its tenant; never arguments or results."""
    facts: dict[str, Any] = {
        "tool": invocation.name,
        "call": invocation.call_id,
        "invocation": invocation.invocation_id,
        "correlation": invocation.correlation_id,
        "tenant": invocation.tenant,
    }
    if invocation.trace is not None:
        facts["trace"] = invocation.trace.trace_id
    return facts


def late(invocation: Invocation, *, ran: Ran) -> AltarError:
    """The answer to a call whose time is up, in the words of every mode."""
    began = "had not begun" if ran == "no" else "had not ended"
    return ExecutionError(
        "TIMEOUT",
        f"{invocation.name!r} {began} when its time was up",
        ran=ran,
        hint="ask for less in one call, or give it more time: @altar.tool(timeout=…), or timeout=… of the session",
    )


def defect(failed: Exception, *, ran: Ran) -> AltarError:
    """The answer to a call that failed by our own fault, and not by that of its tool."""
    return ExecutionError(
        "INTERNAL",
        "The call could not be carried out",
        ran=ran,
        hint="this is a defect of ALTAR; the log has the details",
        detail=f"{type(failed).__name__}: {failed}",
    )


def too_large(what: str, size: int, limit: int, *, ran: Ran) -> AltarError:
    """The typed answer to a message beyond the limit; a retry would be answered the same."""
    return TransportError(
        "MESSAGE_TOO_LARGE",
        f"The {what} are {size} bytes and the limit is {limit}",
        ran=ran,
        hint="send less, or split the work into several calls",
    )
