"""What was reported to a host before this process of it began, read from its log.

A report is sent until it is answered, so one may come again after the host that recorded it was killed.
All of the log is read once, when the first report comes that the process knows nothing of, and again for one that may
be older than what it remembers.
"""

from __future__ import annotations

from pathlib import Path

from altar.grid.host.known_reports import RecentReports
from altar.ledger.entry import entry_members
from altar.ledger.format1 import sealed_path
from altar.ledger.places import DatabaseLog, Place, beside
from altar.ledger.reading import reading

__all__ = ["reported_in"]


def reported_in(ledger: Place, place: str = "") -> RecentReports:
    """The reports in the logs at a path, or that at one ``<journal>:<position>``, as far as they are remembered.

    What was reported before the log was brought forward from format 1 is among it; there is none where there is no log.

    A host may be writing to the log meanwhile.
    """
    reports = RecentReports()
    looked_for = f'"reported":"{place}"' if place else '"reported":"'
    for part in (sealed_path(beside(ledger)), ledger):
        if isinstance(part, DatabaseLog) or Path(part).is_file():
            with reading(part) as log:
                rows = log.execute("SELECT body FROM entries WHERE instr(body, ?) ORDER BY seq", (looked_for.encode(),))
                for (body,) in rows:
                    said = {name: str(value) for name, value in entry_members(body).items()}
                    content = (said["invocation"], said["status"], said["code"], said["ran"], said["result"])
                    reports.keep(said["reported"], content)
    return reports
