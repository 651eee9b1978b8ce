"""Events of an application for the record of its host: what one may be, and what is withheld of it.

In come a name such as ``order.paid`` and a flat mapping of plain values; out goes a `RecordEvent`, canonical JSON of at
most `MAX_DATA_BYTES`, in which text under a key that looks like a secret is replaced by ``[redacted]``.
A host checks and redacts again what a client sends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from altar.adm.canonical import canonical, parse
from altar.adm.errors import AltarError, ConfigurationError, TransportError, ValidationError

__all__ = ["MAX_DATA_BYTES", "REDACTED", "RecordEvent", "means_secret", "no_record", "record_event", "require_event"]

MAX_DATA_BYTES = 1024
"""Most bytes of the data of an event, as canonical JSON."""
LONGEST_NAME = 60
"""Characters of a name, without the ``app.`` that the record puts before it."""
REDACTED = "[redacted]"

_NAME = re.compile(r"[a-z]+(?:_[a-z]+)*(?:\.[a-z]+(?:_[a-z]+)*)*")
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_SECRET = (
    "password", "passwd", "passphrase", "secret", "token", "credential", "apikey", "accesskey", "privatekey",
    "authorization", "cookie", "bearer", "signature",
)  # fmt: skip
_LONGEST_ID = 64
_Plain = str | bool | int | float | None


@dataclass(frozen=True, slots=True)
class RecordEvent:
    """Put an event into the record: its name without ``app.``, its data as canonical JSON.

    ``id`` is made by who asks, so that an event that had to be sent twice is known for one.
    ``correlation`` joins it with what else was done for one request.
    """

    event: str
    data: bytes
    id: str
    correlation: str = ""


def record_event(
    event: str, data: Mapping[str, Any] | None, *, id: str, correlation: str = "", redact: Collection[str] = ()
) -> RecordEvent:
    """Make an event of plain values; ``redact`` are further words that mean a secret in a key.

    Values are text, whole or finite numbers, true, false and None.
    Raises ValidationError MALFORMED_REQUEST for a name, a key or a value that cannot be, TransportError
    MESSAGE_TOO_LARGE for too much.
    """
    if len(event) > LONGEST_NAME or _NAME.fullmatch(event) is None:
        raise ValidationError(
            "MALFORMED_REQUEST",
            f"{event[:80]!r} is no name of an event",
            ran="no",
            hint="use small letters, with _ and . between them, such as 'order.paid'",
        )
    words = (*_SECRET, *(_plain(word) for word in redact))
    written = canonical({_key(key): _value(key, value, words) for key, value in (data or {}).items()})
    if len(written) > MAX_DATA_BYTES:
        raise TransportError(
            "MESSAGE_TOO_LARGE",
            f"The data of {event!r} has {len(written)} bytes where {MAX_DATA_BYTES} are the limit",
            ran="no",
            hint="record facts and ids, and leave contents where they are",
        )
    return RecordEvent(event, written, id[:_LONGEST_ID], correlation[:128])


def require_event(asked: RecordEvent, *, redact: Collection[str] = ()) -> RecordEvent:
    """Check and redact an event that somebody else has made; raises as `record_event` does."""
    if len(asked.data) > 8 * MAX_DATA_BYTES:
        raise TransportError("MESSAGE_TOO_LARGE", "The data of the event is far too long", ran="no")
    try:
        data = parse(asked.data)
    except (AltarError, ValueError) as error:
        raise _malformed("The data of the event is no JSON") from error
    if not asked.id.isascii() or not asked.id.isprintable() or not asked.correlation.isprintable():
        raise _malformed("The ids of the event are not printable")
    if not isinstance(data, dict):
        raise _malformed("The data of the event is no object")
    return record_event(asked.event, data, id=asked.id, correlation=asked.correlation, redact=redact)


def means_secret(key: str) -> bool:
    """Whether the name of a member says that it holds a secret, such as ``password`` or ``api_key``."""
    return any(word in _plain(key) for word in _SECRET)


def no_record() -> AltarError:
    """The refusal of an event where nothing is recorded."""
    return ConfigurationError(
        "FEATURE_UNAVAILABLE",
        "There is no record in this process: an event would be lost",
        ran="no",
        hint="use a session on a host, 'grid://host:port'; `altar.session()` with 'later:' records nothing",
    )


def _key(key: object) -> str:
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        raise _malformed(f"{str(key)[:80]!r} is no key: use letters, digits and _ . -")
    return key


def _value(key: str, value: object, words: Collection[str]) -> _Plain:
    if not isinstance(value, str | bool | int | float | None) or (
        isinstance(value, float) and not math.isfinite(value)
    ):
        raise _malformed(f"The value of {key!r} is no text, number, true, false or None")
    if isinstance(value, int) and abs(value) > 2**53 - 1:
        raise _malformed(f"The number in {key!r} is beyond what JSON holds exactly: write it as text")
    if isinstance(value, str | float) or (isinstance(value, int) and not isinstance(value, bool)):
        found = [word for word in words if word in _plain(key)]
        if found and not (found == ["token"] and not isinstance(value, str)):  # a number of tokens is no token
            return REDACTED
    return value


def _plain(key: str) -> str:
    return re.sub(r"[^a-z0-9]", "", key.lower())


def _malformed(message: str) -> ValidationError:
    return ValidationError("MALFORMED_REQUEST", message, ran="no", hint="the data is flat: text, numbers, true, false")
