"""Opening the log of a host for reading, beside the host that writes it."""

from __future__ import annotations

from pathlib import Path

from altar.adm.errors import ConfigurationError
from altar.aesp.audit.record import Records
from altar.ledger.places import DatabaseLog, Place
from altar.ledger.reader import LogReader

__all__ = ["open_records", "open_stored"]


def open_records(path: Place) -> Records:
    """Open the log at `path`, a file or a database, for one thread.

    Raises ConfigurationError: ENVIRONMENT_ERROR when there is none, LOG_DAMAGED when it cannot be read.
    """
    return Records(open_stored(path))


def open_stored(path: Place) -> LogReader:
    """Open the log at `path` with all that is stored of it, for one thread; raises as `open_records`."""
    if not isinstance(path, DatabaseLog) and not Path(path).is_file():
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", f"There is no ledger at {str(path)!r}", hint="name its directory with --data"
        )
    return LogReader.open(path)
