"""Asking a log: which entries of which principal, tool, session, time, and how they ended.

A `Query` says what is wanted; `search` finds it with the help of an `Index`, or without one by reading everything.
Whatever an index says, each record is read from the log itself and judged again before it is told.
"""

from __future__ import annotations

import base64
import binascii
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from altar.adm.errors import ValidationError
from altar.aesp.audit.asked import MAX_LIMIT, Query, matches
from altar.aesp.audit.index import Index, Place
from altar.aesp.audit.record import Log, Record, Records

__all__ = ["MAX_LIMIT", "Page", "Query", "matches", "search"]


@dataclass(frozen=True, slots=True)
class Page:
    """Some records in the order asked for, and the cursor of what comes next; "" when nothing does."""

    records: tuple[Record, ...]
    cursor: str


def search(records: Records, query: Query, *, index: Index | None = None) -> Page:
    """Give one page of what is asked for.

    Records are in the order of their times; those of one time in the order of the log.
    Raises ValidationError MALFORMED_REQUEST for a cursor that is none, LOG_DAMAGED for a log that cannot be read.
    """
    logs = {log.log: log for log in records.reader.logs() if query.tenant in {None, log.tenant}}
    after = _place_of(query.cursor)
    found: list[tuple[Place, Record]] = []
    candidates = (
        _scanned(records, logs, query, after) if index is None else _indexed(records, logs, query, index, after)
    )
    for place, record in candidates:
        if len(found) == query.limit:
            return Page(tuple(record for _, record in found), _cursor_of(found[-1][0]))
        found.append((place, record))
    return Page(tuple(record for _, record in found), "")


def _indexed(
    records: Records, logs: dict[int, Log], query: Query, index: Index, after: Place | None
) -> Iterator[tuple[Place, Record]]:
    for place in index.places(query, tuple(logs), after=after):
        log = logs.get(place.log)  # an index may speak of a log that is there no more, or never was
        record = records.one(log, place.position) if log is not None else None
        if record is not None and record.time_ms == place.time_ms and matches(record, query):
            yield place, record


def _scanned(
    records: Records, logs: dict[int, Log], query: Query, after: Place | None
) -> Iterator[tuple[Place, Record]]:
    """Read every entry, and keep in memory no more than a page and one."""

    def every() -> Iterator[tuple[Place, Record]]:
        for log in logs.values():
            for record in records.read(log, 0, log.size):
                place = Place(record.time_ms, log.log, record.position)
                if after is not None and (place >= after if query.newest_first else place <= after):
                    continue
                if matches(record, query):
                    yield place, record

    choose = heapq.nlargest if query.newest_first else heapq.nsmallest
    yield from islice(choose(query.limit + 1, every(), key=lambda pair: pair[0]), query.limit + 1)


def _cursor_of(place: Place) -> str:
    return base64.urlsafe_b64encode(":".join(str(number) for number in place).encode()).decode()


def _place_of(cursor: str) -> Place | None:
    if not cursor:
        return None
    try:
        time_ms, log, position = (int(part) for part in base64.urlsafe_b64decode(cursor.encode()).decode().split(":"))
    except (ValueError, binascii.Error) as error:
        raise ValidationError(
            "MALFORMED_REQUEST", f"{cursor[:80]!r} is no cursor", ran="no", hint="give back the one of the page before"
        ) from error
    if not all(0 <= number < 1 << 63 for number in (time_ms, log, position)):
        raise ValidationError("MALFORMED_REQUEST", f"{cursor[:80]!r} is no cursor", ran="no")
    return Place(time_ms, log, position)
