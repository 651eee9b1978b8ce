"""What was reported to a host before this process of it began, read from its log.

A report is sent until it is answered, so one may come again after the host that recorded it was killed.
The log is read once, and only when a report comes that the process knows nothing of.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from altar.grid.reports import Content
from altar.ledger.entry import entry_members

__all__ = ["reported_in"]

MOST = 65_536
"""Reports that are read, the newest; an older one that comes again is told that its permit was closed."""


def reported_in(ledger: Path) -> dict[str, Content]:
    """The content of each report in a log, by its ``<journal>:<position>``, oldest first; none where there is no log.

    A host may be writing to the log meanwhile.
    """
    if not ledger.is_file():
        return {}
    with closing(sqlite3.connect(f"{ledger.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as log:
        rows = log.execute(
            "SELECT body FROM entries WHERE instr(body, ?) ORDER BY seq DESC LIMIT ?", (b'"reported":"', MOST)
        ).fetchall()
    found: dict[str, Content] = {}
    for (body,) in reversed(rows):
        said = {name: str(value) for name, value in entry_members(body).items()}
        found[said["reported"]] = (said["invocation"], said["status"], said["code"], said["ran"], said["result"])
    return found
