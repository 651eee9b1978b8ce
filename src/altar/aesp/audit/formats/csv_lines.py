r"""One row for each record, as RFC 4180 says; every column is always there.

A spreadsheet takes a cell that begins with one of `= + - @` for a formula, and runs it.
Such a cell, whose text a caller may have chosen, gets an apostrophe in front.
A line break becomes `\r` or `\n` in letters, so that a row is always one line.
"""

from __future__ import annotations

import csv
import io

from altar.aesp.audit.record import Record

__all__ = ["COLUMNS", "HEAD", "line"]

COLUMNS = tuple(name for name in Record.__dataclass_fields__ if name != "entry")
"""The names of the columns, in order."""

HEAD = ",".join(COLUMNS)
"""The first line of a file."""


def line(record: Record) -> str:
    """Give the record as one row, quoted where it must be, without the line feed."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow([_cell(getattr(record, name)) for name in COLUMNS])
    return text.getvalue()


def _cell(value: str | int) -> str | int:
    if not isinstance(value, str):
        return value
    guarded = f"'{value}" if value.startswith(_FORMULA) else value
    return guarded.replace("\r", "\\r").replace("\n", "\\n")


_FORMULA = ("=", "+", "-", "@", "\t", "\r")
