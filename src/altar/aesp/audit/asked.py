"""What one may ask a log: a `Query`, and whether a record is what it asks for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from altar.adm.errors import ValidationError
from altar.aesp.audit.record import Record

__all__ = ["MAX_LIMIT", "Query", "matches"]

MAX_LIMIT = 10_000
"""Most records of one page."""
MAX_ASKED = 512
"""Most characters of a name, an id or a pattern that is asked for."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is asked for; whatever is None or empty is not asked about.

    ``event`` is a name, or a pattern in which ``*`` stands for any run of characters, such as ``admin.*``.
    ``since_ms`` and ``until_ms`` are milliseconds since 1970 UTC; the first is included, the second is not.
    ``tenant`` is a tenant's name, "" for the host's own log, None for all logs the asker may see.
    ``cursor`` is that of the page before.
    """

    tenant: str | None = None
    principal: str = ""
    tool: str = ""
    session: str = ""
    correlation: str = ""
    invocation: str = ""
    outcome: str = ""
    code: str = ""
    event: str = ""
    since_ms: int | None = None
    until_ms: int | None = None
    newest_first: bool = True
    limit: int = 100
    cursor: str = ""

    def __post_init__(self) -> None:
        """Refuse a limit that is none, and what no entry can hold. Raises ValidationError MALFORMED_REQUEST."""
        if not 1 <= self.limit <= MAX_LIMIT:
            raise ValidationError(
                "MALFORMED_REQUEST", f"A page has 1 to {MAX_LIMIT} records, not {self.limit!r}", ran="no"
            )
        for time_ms in (self.since_ms, self.until_ms):
            if time_ms is not None and not -(1 << 63) <= time_ms < 1 << 63:
                raise ValidationError("MALFORMED_REQUEST", "A time is in milliseconds since 1970, in 64 bits", ran="no")
        for name in (*_NAMES, "event", "cursor"):
            text = getattr(self, name)
            if len(text) > MAX_ASKED or (not text.isascii() and text.encode("utf-8", "replace").decode() != text):
                raise ValidationError(
                    "MALFORMED_REQUEST", f"{text[:80]!r} is too long for {name!r}, or no text", ran="no"
                )


def matches(record: Record, query: Query) -> bool:
    """Tell whether a record is what is asked for, but for its tenant's log and its place in the order."""
    if query.event and _pattern(query.event).fullmatch(record.event) is None:
        return False
    if query.since_ms is not None and record.time_ms < query.since_ms:
        return False
    if query.until_ms is not None and record.time_ms >= query.until_ms:
        return False
    return all(getattr(query, name) in {"", getattr(record, name)} for name in _NAMES)


_NAMES = ("principal", "tool", "session", "correlation", "invocation", "outcome", "code")


@lru_cache(maxsize=64)
def _pattern(text: str) -> re.Pattern[str]:
    """Each part is looked for once, from the left, and never again: many stars cost no more than a few."""
    first, *parts = (re.escape(part) for part in text.split("*"))
    if not parts:
        return re.compile(first)
    *middle, last = parts
    return re.compile(f"{first}{''.join(f'(?>.*?{part})' for part in middle)}.*{last}", re.DOTALL)
