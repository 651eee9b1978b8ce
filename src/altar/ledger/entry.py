"""The five kinds of entry and the exact bytes each becomes in the log.

An entry is one flat JSON object of strings and integers in RFC 8785 canonical form, at most 2048 bytes.
Each class writes its members in sorted order, so its bytes are canonical by construction.
Optional members are written only when they say something, so that a plain call has the bytes it always had.
A value that would not fit is refused when the entry is made, and never cut.
Entries are never changed; `Intent` and `Outcome` are not frozen because making one would cost three times as much.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

import orjson

from altar.adm.errors import ValidationError

__all__ = [
    "FORMAT_VERSION",
    "MAX_ENTRY_BYTES",
    "Entry",
    "Event",
    "EventName",
    "Intent",
    "Outcome",
    "Start",
    "Status",
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
    "report.rejected",
    "journal.gap",
]

Status = Literal["SUCCESS", "ERROR", "PARTIAL"]
Where = Literal["", "caller", "fallback"]
KeyKind = Literal["", "once"]


@dataclass(slots=True, kw_only=True)
class Intent:
    """A call that was allowed and is about to be sent to where it runs.

    `arguments` and `contract` are digests of arguments and declaration: "sha256:" and 64 hex digits.
    The other members are names and ids as text.
    Optional, "" when there is nothing to say:
    `parent` is the invocation of the call whose function made this one,
    `route` why this version of the tool was chosen (such as "weights:5/100"),
    `where` is "caller" for a call that runs where it was made, under a permit of the host, and "fallback" for one
    that ran there without a host and is recorded later,
    `key` is "once" when the call id is an idempotency key.
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
    parent: str = ""
    route: str = ""
    where: Where = ""
    key: KeyKind = ""

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
        if (
            len(text) > _SURELY_FITS
            or not (text.isascii() and len(self.arguments) == len(self.contract) == _DIGEST_LENGTH)
            or self.parent
            or self.route
            or self.where
            or self.key
        ):
            _require_fit(self, digests=("arguments", "contract"))

    def encode(self, time_ms: int) -> bytes:
        """Give the entry's bytes, with the time of its commit in milliseconds since 1970."""
        members: dict[str, str | int] = {
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
        if self.parent or self.route or self.where or self.key:
            said = {"parent": self.parent, "route": self.route, "where": self.where, "key": self.key}
            members.update((name, value) for name, value in said.items() if value)
            return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
        return orjson.dumps(members)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How the call of an intent ended.

    `intent` is the position of its intent in the log.
    A negative number counts backwards within the same commit: -1 is the entry just before this one.
    `code` is "" on success; `result` is a digest or ""; `runtime` is the runtime's id or "".
    `attempts` is how often the call was sent, 0 when that is not known.
    Optional: `chunks` and `bytes` are what a stream has passed on, how many values and how long their canonical JSON
    array is; both are -1 for a call that was no stream.
    The status "PARTIAL" is for a stream that failed after at least one value: `code` says why, and `result` is the
    digest of what was passed on.
    `reported` is "" or "<journal>:<position>", where the caller's own word on a run of its own stands; positions count
    from 1.
    Raises `ValidationError` (MALFORMED_REQUEST) when the entry would not fit in the log.
    """

    intent: int
    invocation: str
    status: Status
    code: str
    ran: Literal["yes", "no", "unknown"]
    result: str
    runtime: str
    attempts: int
    chunks: int = -1
    bytes: int = -1
    reported: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded whole."""
        text = "".join((self.invocation, self.code, self.runtime, self.status, self.ran))  # noqa: FLY002 - as above
        if not (
            len(text) <= _SURELY_FITS
            and text.isascii()
            and (self.result == "" or len(self.result) == _DIGEST_LENGTH)
            and type(self.attempts) is type(self.intent) is int
            and self.attempts >= 0
            and self.chunks == self.bytes == -1
            and not self.reported
            and self.status != "PARTIAL"
        ):
            _require_fit(self, digests=("result",) if self.result else ())

    def encode(self, time_ms: int, *, intent: int | None = None) -> _Bytes:
        """Give the entry's bytes; `intent` replaces a position that was given relative to the commit."""
        members: dict[str, str | int] = {
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
        if self.chunks < 0 and not self.reported:
            return orjson.dumps(members)
        if self.chunks >= 0:
            members |= {"bytes": self.bytes, "chunks": self.chunks}
        if self.reported:
            members["reported"] = self.reported
        return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)


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


Entry = Intent | Outcome | Event
"""What a host hands over; the log adds starts and stops of its own."""


def entry_members(body: bytes) -> Mapping[str, str | int]:
    """Read the members of a recorded entry; `ValueError` when the bytes are not a JSON object."""
    members = orjson.loads(body)
    if not isinstance(members, dict):
        raise ValueError("an entry is a JSON object")  # noqa: TRY004 - damaged data, not a wrong argument
    return members


_Bytes = bytes  # inside of Outcome the word is one of its members

# One character takes at most six bytes (\u001f); the other members and two digests take fewer than 400.
_SURELY_FITS = 270
_DIGEST_LENGTH = len("sha256:") + 64
_LATEST_TIME_MS = 2**53
_REPORTED = re.compile(r"[\x21-\x7e]+:[1-9][0-9]{0,18}")


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
    if isinstance(entry, Outcome):
        _require_sound(entry)
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


def _require_sound(outcome: Outcome) -> None:
    """Check what the members of an outcome say together."""
    if not (type(outcome.attempts) is type(outcome.intent) is int and outcome.attempts >= 0):
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"An outcome needs whole numbers, not intent {outcome.intent!r} and attempts {outcome.attempts!r}",
        )
    chunks, size = outcome.chunks, outcome.bytes
    if not (type(chunks) is type(size) is int and (min(chunks, size) >= 0 or chunks == size == -1)):
        raise ValidationError(
            "MALFORMED_REQUEST", f"A stream has whole numbers of chunks and bytes, not {chunks!r} and {size!r}"
        )
    fits = {"SUCCESS": chunks < 0 or outcome.result, "ERROR": chunks < 1, "PARTIAL": chunks >= 1 and outcome.result}
    if not fits[outcome.status]:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The outcome {outcome.status} does not fit {chunks} chunks and the result {outcome.result!r}",
        )
    if outcome.reported and not _REPORTED.fullmatch(outcome.reported):
        raise ValidationError(
            "MALFORMED_REQUEST", f"A report stands at '<journal>:<position>', not at {outcome.reported[:80]!r}"
        )
