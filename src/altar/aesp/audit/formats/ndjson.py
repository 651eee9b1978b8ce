"""One flat JSON object for each record, with the names of `Record`; what is empty is left out.

`data`, where there is one, stays text that holds JSON, so that no receiver has to guess types of members it never saw.
"""

from __future__ import annotations

import orjson

from altar.aesp.audit.record import Record, members_of

__all__ = ["line"]


def line(record: Record) -> str:
    """Give the record as JSON, in UTF-8."""
    return orjson.dumps(members_of(record)).decode()
