"""Opening the log of a host for reading, beside the host that writes it."""

from __future__ import annotations

from pathlib import Path

from altar.adm.errors import ConfigurationError
from altar.aesp.audit.record import Records
from altar.ledger.reader import LogReader

__all__ = ["open_records"]


def open_records(path: str | Path) -> Records:
    """Open the log at `path`, for one thread.

    Raises ConfigurationError: ENVIRONMENT_ERROR when there is none, LOG_DAMAGED when it cannot be read.
    """
    if not Path(path).is_file():
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", f"There is no ledger at {str(path)!r}", hint="name its directory with --data"
        )
    return Records(LogReader.open(path))
