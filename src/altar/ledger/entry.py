"""The five kinds of entry and the exact bytes each becomes in the log (format 2).

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

from altar.adm.canonical import canonical, parse
from altar.adm.errors import AltarError, ValidationError

__all__ = [
    "FORMAT_VERSION",
    "MAX_DATA_BYTES",
    "MAX_ENTRY_BYTES",
    "Entry",
    "Event",
    "EventName",
    "EventOutcome",
    "Intent",
    "Outcome",
    "Start",
    "Status",
    "Stop",
    "Verdict",
    "entry_members",
]

MAX_ENTRY_BYTES = 2048
MAX_DATA_BYTES = 1024
FORMAT_VERSION = 2

EventName = str
"""Small letters and underscores in two or more parts: `session.opened`, `admin.role_created`, `app.order.shipped`.

Names that begin with `app.` are an application's own; all others are ALTAR's.
"""

Status = Literal["SUCCESS", "ERROR", "PARTIAL"]
EventOutcome = Literal["", "SUCCESS", "DENIED", "FAILURE"]
Where = Literal["", "caller", "fallback"]
KeyKind = Literal["", "once"]
Verdict = Literal["", "allow", "audit", "approved", "break_glass"]


@dataclass(slots=True, kw_only=True)
class Intent:
    """A call that was allowed and is about to be sent to where it runs.

    `contract` is the digest of the declaration: "sha256:" and 64 hex digits; `arguments` is such a digest, or a
    commitment to it: "hmac-sha256:" and 64 hex digits.
    `tenant` says in whose log it stands, where a host keeps one for each tenant.
    The other members are names and ids as text; `principal` may be a pseudonym.
    Optional, "" when there is nothing to say:
    `parent` is the invocation of the call whose function made this one,
    `route` why this version of the tool was chosen (such as "weights:5/100"),
    `where` is "caller" for a call that runs where it was made, under a permit of the host, and "fallback" for one
    that ran there without a host and is recorded later,
    `key` is "once" when the call id is an idempotency key,
    `policy` is the digest of the bundle of policies that decided on the call, and without it the three after it are "",
    `verdict` is what they decided ("allow", "audit", "approved" by people, or "break_glass"),
    `approval` is the id of the request that was approved,
    `facts` is the text of a JSON object in canonical form, at most 1024 bytes: what those policies read;
    that form is the maker's duty, and is only looked at where the text is long or has other than printable ASCII,
    `variables` is the digest, or a commitment to it, of the values that the session's variables had: a JSON object in
    canonical form of those that the contract binds and the session has.
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
    policy: str = ""
    verdict: Verdict = ""
    approval: str = ""
    facts: str = ""
    variables: str = ""

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
            or not (text.isascii() and len(self.arguments) in _DIGEST_LENGTHS and len(self.contract) == _DIGEST_LENGTH)
            or self.parent
            or self.route
            or self.where
            or self.key
            or self.variables
            or (self.policy and not self._policy_fits(text))
        ):
            _require_fit(self, digests=("arguments", "contract"))

    def _policy_fits(self, text: str) -> bool:
        """Tell whether what policies decided surely fits beside ``text``: each character takes two bytes at most."""
        facts = self.facts
        return (
            len(self.policy) == _DIGEST_LENGTH
            and len(facts) + len(self.approval) <= _SURELY_FITS_BESIDE
            and self.verdict in _VERDICTS
            and f"{text}{facts}{self.approval}".isprintable()
            and facts.isascii()
        )

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
            "v": 2,
            "version": self.version,
        }
        if self.parent or self.route or self.where or self.key or self.policy or self.variables:
            members.update((name, value) for name in _OF_INTENT if (value := getattr(self, name)))
            return orjson.dumps(members, option=orjson.OPT_SORT_KEYS)
        return orjson.dumps(members)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """How the call of an intent ended.

    `intent` is the place of its intent in the order of all commits, as `Ledger.commit` told it.
    A negative number counts backwards within the same commit: -1 is the entry just before this one.
    It stands in the log of its intent, and what is written is the position of the intent in that log.
    `code` is "" on success; `result` is a digest, a commitment to one, or ""; `runtime` is the runtime's id or "".
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
            and (self.result == "" or len(self.result) in _DIGEST_LENGTHS)
            and type(self.attempts) is type(self.intent) is int
            and self.attempts >= 0
            and self.chunks == self.bytes == -1
            and not self.reported
            and self.status != "PARTIAL"
        ):
            _require_fit(self, digests=("result",) if self.result else ())

    def encode(self, time_ms: int, *, intent: int | None = None) -> _Bytes:
        """Give the entry's bytes; `intent` is the position of the intent in its log."""
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
            "v": 2,
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
    """Something beside calls that an auditor wants to see: a runtime or a session came or went, a role was changed.

    `subject` is the id of what it is about, `note` a short remark for people or "".
    `tenant` says in whose log it stands ("" is the host's own); it is not written.
    Optional, "" or 0 when there is nothing to say:
    `principal` (a name or a pseudonym), `session` and `correlation` say who did it, and where it belongs,
    `action` and `resource` what was done to what, `outcome` and `code` how that ended,
    `count` how many of the same kind this entry stands for,
    `data` is the text of a JSON object in canonical form (RFC 8785), at most 1024 bytes.
    Raises `ValidationError` (MALFORMED_REQUEST) when the entry would not fit in the log, or has a malformed name.
    """

    event: EventName
    subject: str
    note: str = ""
    tenant: str = ""
    principal: str = ""
    session: str = ""
    correlation: str = ""
    action: str = ""
    resource: str = ""
    outcome: EventOutcome = ""
    code: str = ""
    count: int = 0
    data: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot be recorded whole."""
        if len(self.event) > _LONGEST_NAME or _EVENT.fullmatch(self.event) is None:
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"{self.event[:80]!r} is no name of an event",
                hint="use small letters and underscores in at least two parts, such as 'app.order_shipped'",
            )
        if self.data:
            _require_data(self.data)
        text = "".join((self.subject, self.note, self.tenant))  # noqa: FLY002 - as above
        if len(text) > _SURELY_FITS or not text.isascii() or self._said():
            _require_fit(self)

    def encode(self, time_ms: int) -> bytes:
        """Give the entry's bytes, with the time of its commit in milliseconds since 1970."""
        members: dict[str, str | int] = {
            "event": self.event,
            "kind": "event",
            "note": self.note,
            "subject": self.subject,
            "time": time_ms,
            "v": 2,
        }
        if said := self._said():
            return orjson.dumps(members | said, option=orjson.OPT_SORT_KEYS)
        return orjson.dumps(members)

    def _said(self) -> dict[str, str | int]:
        """Give the optional members that say something."""
        return {name: value for name in _OF_EVENT if (value := getattr(self, name))}


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
                "v": 2,
            }
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """A host closed the log in good order; every intent before it has its outcome."""

    epoch: int

    def encode(self, time_ms: int) -> bytes:
        """Give the entry's bytes, with the time of its commit in milliseconds since 1970."""
        return orjson.dumps({"epoch": self.epoch, "kind": "stop", "time": time_ms, "v": 2})


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
_SURELY_FITS_BESIDE = 440
_VERDICTS = frozenset({"", "allow", "audit", "approved", "break_glass"})
_DIGEST_LENGTH = len("sha256:") + 64
_DIGEST_LENGTHS = frozenset({_DIGEST_LENGTH, len("hmac-sha256:") + 64})
_LONGEST_NAME = 64
_LONGEST_TENANT = _SURELY_FITS
_EVENT = re.compile(r"[a-z]+(?:\.[a-z_]+)+")
_OF_INTENT = ("parent", "route", "where", "key", "policy", "verdict", "approval", "facts", "variables")
_OF_EVENT = ("action", "code", "correlation", "count", "data", "outcome", "principal", "resource", "session")
_EVENT_OUTCOMES = frozenset({"", "SUCCESS", "DENIED", "FAILURE"})
_LATEST_TIME_MS = 2**53
_REPORTED = re.compile(r"[\x21-\x7e]+:[1-9][0-9]{0,18}")


def _require_fit(entry: Intent | Outcome | Event | Start, *, digests: tuple[str, ...] = ()) -> None:
    """Check an entry exactly: length of digests, text encodable, numbers positive, size within the limit."""
    kind = type(entry).__name__.lower()
    for name in digests:
        if len(getattr(entry, name)) not in (_DIGEST_LENGTHS if name != "contract" else {_DIGEST_LENGTH}):
            raise ValidationError(
                "MALFORMED_REQUEST",
                f"The {name} digest of an {kind} must be 'sha256:' and 64 hex digits, "
                f"not {getattr(entry, name)[:80]!r}",
            )
    if isinstance(entry, Outcome):
        _require_sound(entry)
    elif isinstance(entry, Intent):
        _require_decided(entry)
    elif isinstance(entry, Event) and not (
        entry.outcome in _EVENT_OUTCOMES and type(entry.count) is int and entry.count >= 0
    ):
        raise ValidationError(
            "MALFORMED_REQUEST", f"An event cannot end as {entry.outcome[:80]!r}, {entry.count!r} times"
        )
    try:
        # the tenant of an event is not written in it, but in the name of its log
        tenant = len(entry.tenant.encode()) if isinstance(entry, Intent | Event) else 0
        size = len(entry.encode(_LATEST_TIME_MS))
    except (TypeError, UnicodeEncodeError) as error:
        raise ValidationError(
            "MALFORMED_REQUEST", f"A value of the {kind} cannot be written as UTF-8 text", detail=str(error)
        ) from error
    if tenant > _LONGEST_TENANT:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"The {kind} is of a tenant whose name has {tenant} bytes; {_LONGEST_TENANT} name a log",
        )
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


def _require_decided(intent: Intent) -> None:
    """Check what an intent says of the policies that decided."""
    said = intent.verdict or intent.approval or intent.facts
    sound = len(intent.policy) == _DIGEST_LENGTH if intent.policy else not said
    if not sound or intent.verdict not in _VERDICTS:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"An intent cannot have the policy {intent.policy[:80]!r} and the verdict {intent.verdict[:40]!r}",
        )
    if intent.variables and len(intent.variables) not in _DIGEST_LENGTHS:
        raise ValidationError(
            "MALFORMED_REQUEST", f"The variables of an intent are a digest, not {intent.variables[:80]!r}"
        )
    if intent.facts:
        _require_data(intent.facts)


def _require_data(data: str) -> None:
    """Check that the data of an event is one JSON object in its canonical form, and not too long."""
    written = data.encode("utf-8", "replace")
    try:
        sound = len(written) <= MAX_DATA_BYTES and isinstance(value := parse(written), dict)
        sound = sound and canonical(value) == written
    except (AltarError, ValueError):
        sound = False
    if not sound:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"Data and facts must be one JSON object in canonical form, at most {MAX_DATA_BYTES} bytes",
        )
