"""Records as lines that other systems read: NDJSON, CSV, ArcSight CEF and OCSF.

`FORMATS` has a function for each name: in comes a `Record`, out goes its line as text without a line feed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from altar.adm.errors import ConfigurationError
from altar.aesp.audit.formats import cef, csv_lines, ndjson, ocsf
from altar.aesp.audit.record import Record

__all__ = ["FORMATS", "Line", "format_named", "head_of"]

Line = Callable[[Record], str]

FORMATS: Mapping[str, Line] = {
    "ndjson": ndjson.line,
    "csv": csv_lines.line,
    "cef": cef.line,
    "ocsf": ocsf.line,
}


def format_named(name: str) -> Line:
    """Give the function of a format.

    Raises ConfigurationError INVALID_CONFIG for one that there is not.
    """
    if name not in FORMATS:
        raise ConfigurationError(
            "INVALID_CONFIG", f"There is no format {name!r}", hint=f"use one of {', '.join(sorted(FORMATS))}"
        )
    return FORMATS[name]


def head_of(name: str) -> str:
    """Give the first line of a file in this format, "" where it has none."""
    return csv_lines.HEAD if name == "csv" else ""
