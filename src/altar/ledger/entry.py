"""The five kinds of entry and the exact bytes each becomes in the log.

An entry is one flat JSON object of strings and integers in RFC 8785 canonical form, at most 2048 bytes.
Each class writes its members in sorted order, so its bytes are canonical by construction.
A value that would not fit is refused when the entry is made, and never cut.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

import orjson

from altar.adm.errors import ValidationError

__all__ = [
    "FORMAT_VERSION",
    "MAX_ENTRY_BYTES",
    "Event",
    "EventName",
    "Intent",
    "Outcome",
    "Start",
    "Stop",
    "entry_members",
]

MAX_ENTRY_BYTES = 2048
FORMAT_VERSION = 1

EventName = Literal[
    "runtime.attached",
    "runtime.detached",
    "session.opened",
    "session.extended",
    "session.closed",
    "manifest.activated",
    "tools.registered",
    "tools.refused",
    "breaker.opened",
    "breaker.closed",
    "permit.unclosed",
    "call.replayed",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """A call that was allowed and is about to be sent to where it runs.

    `arguments` and `contract` are digests of arguments and declaration: "sha256:" and 64 hex digits.
    The other members are names and ids as text.
    Raises `ValidationError` (MALFORMED_REQUEST) when the entry would not fit in the log.
    """

    invocation: str
    call: str
    tool: str
    version: str
    contract: str
    arguments: str
    principal: str
    tenant: str
    session: str
    correlation: str

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded whole."""
        text = "".join(  # noqa: FLY002 - join refuses what is not text, an f-string would record it
            (
                self.invocation,
                self.call,
                self.tool,
                self.version,
                self.principal,
                self.tenant,
                self.session,
                self.correlation,
            )
        )
        if not (
            len(text) <= _SURELY_FITS and text.isascii() and len(self.arguments) == len(self.contract) == _DIGEST_LENGTH
        ):
            _require_fit(self, digests=("arguments", "contract"))

    def encode(self, time_ms: int) -> bytes:
        """Give the entry's bytes, with the time of its commit in milliseconds since 1970."""
        return orjson.dumps(
            {
                "arguments": self.arguments,
                "call": self.call,
                "contract": self.contract,
                "correlation": self.correlation,
                "invocation": self.invocation,
                "kind": "intent",
                "principal": self.principal,
                "session": self.session,
                "tenant": self.tenant,
                "time": time_ms,
                "tool": self.tool,
                "v": 1,
                "version": self.version,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How the call of an intent ended.

    `intent` is the position of its intent in the log.
    A negative number counts backwards within the same commit: -1 is the entry just before this one.
    `code` is "" on success; `result` is a digest or ""; `runtime` is the runtime's id or "".
    `attempts` is how often the call was sent, 0 when that is not known.
    Raises `ValidationError` (MALFORMED_REQUEST) when the entry would not fit in the log.
    """

    intent: int
    invocation: str
    status: Literal["SUCCESS", "ERROR"]
    code: str
    ran: Literal["yes", "no", "unknown"]
    result: str
    runtime: str
    attempts: int

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded whole."""
        text = "".join((self.invocation, self.code, self.runtime, self.status, self.ran))  # noqa: FLY002 - as above
        if not (
            len(text) <= _SURELY_FITS
            and text.isascii()
            and (self.result == "" or len(self.result) == _DIGEST_LENGTH)
            and type(self.attempts) is type(self.intent) is int
            and self.attempts >= 0
        ):
            _require_fit(self, digests=("result",) if self.result else ())

    def encode(self, time_ms: int, *, intent: int | None = None) -> bytes:
        """Give the entry's bytes; `intent` replaces a position that was given relative to the commit."""
        return orjson.dumps(
            {
                "attempts": self.attempts,
                "code": self.code,
                "intent": self.intent if intent is None else intent,
                "invocation": self.invocation,
                "kind": "outcome",
                "ran": self.ran,
                "result": self.result,
                "runtime": self.runtime,
                "status": self.status,
                "time": time_ms,
                "v": 1,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something beside calls that an auditor wants to see: a runtime or a session came or went.

    `subject` is the id of the runtime or session, `note` a short remark for people or "".
    Raises `ValidationError` (MALFORMED_REQUEST) when the entry would not fit in the log.
    """

    event: EventName
    subject: str
    note: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded whole."""
        text = "".join((self.event, self.subject, self.note))  # noqa: FLY002 - as above
        if len(text) > _SURELY_FITS or not text.isascii():
            _require_fit(self)

    def encode(self, time_ms: int) -> bytes:
        """Give the entry's bytes, with the time of its commit in milliseconds since 1970."""
        return orjson.dumps(
            {
                "event": self.event,
                "kind": "event",
                "note": self.note,
                "subject": self.subject,
                "time": time_ms,
                "v": 1,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A host opened the log.

    `epoch` grows by one at each start, `log` is the log's origin, `sqlite` the number of SQLite's version.
    """

    epoch: int
    host: str
    log: str
    software: str
    sqlite: int

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded whole."""
        _require_fit(self)

    def encode(self, time_ms: int) -> bytes:
        """Give the entry's bytes, with the time of its commit in milliseconds since 1970."""
        return orjson.dumps(
            {
                "epoch": self.epoch,
                "host": self.host,
                "kind": "start",
                "log": self.log,
                "software": self.software,
                "sqlite": self.sqlite,
                "time": time_ms,
                "v": 1,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A host closed the log in good order; every intent before it has its outcome."""

    epoch: int

    def encode(self, time_ms: int) -> bytes:
        """Give the entry's bytes, with the time of its commit in milliseconds since 1970."""
        return orjson.dumps({"epoch": self.epoch, "kind": "stop", "time": time_ms, "v": 1})


def entry_members(body: bytes) -> Mapping[str, str | int]:
    """Read the members of a recorded entry; `ValueError` when the bytes are not a JSON object."""
    members = orjson.loads(body)
    if not isinstance(members, dict):
        raise ValueError("an entry is a JSON object")  # noqa: TRY004 - damaged data, not a wrong argument
    return members


# One character takes at most six bytes (\u001f); the other members and two digests take fewer than 400.
_SURELY_FITS = 270
_DIGEST_LENGTH = len("sha256:") + 64
_LATEST_TIME_MS = 2**53


def _require_fit(entry: Intent | Outcome | Event | Start, *, digests: tuple[str, ...] = ()) -> None:
    """Check an entry exactly: length of digests, text encodable, numbers positive, size within the limit."""
    kind = type(entry).__name__.lower()
    for name in digests:
        if len(getattr(entry, name)) != _DIGEST_LENGTH:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"The {name} digest of an {kind} must be 'sha256:' and 64 hex digits, "
                f"not {getattr(entry, name)[:80]!r}",
            )
    if isinstance(entry, Outcome) and not (type(entry.attempts) is type(entry.intent) is int and entry.attempts >= 0):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"An outcome needs whole numbers, not intent {entry.intent!r} and attempts {entry.attempts!r}",
        )
    try:
        size = len(entry.encode(_LATEST_TIME_MS))
    except TypeError as error:
        raise ValidationError(
            "MALFORMED_REQUEST", f"A value of the {kind} cannot be written as UTF-8 text", detail=str(error)
        ) from error
    if size > MAX_ENTRY_BYTES:
        texts = {f.name: v for f in fields(entry) if isinstance(v := getattr(entry, f.name), str)}
        longest = max(texts, key=lambda name: len(texts[name]))
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The {kind} does not fit in the log: {size} bytes where {MAX_ENTRY_BYTES} are the limit",
            hint=f"shorten {longest!r}: it has {len(texts[longest])} characters",
        )
