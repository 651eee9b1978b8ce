"""The table of outcomes: it says what the entries say, row by row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .log import NO_INTENT, OPEN, UNKNOWN
from .report import Findings
from .sqlite_pages import Pages, RecordError, read_integer
from .tables import Visit, columns_of


def check_outcomes(
    leaves: Iterator[Visit], pages: Pages, findings: Findings, *, due: Sequence[int], first: int = 0
) -> None:
    """Compare the rows on `leaves` with what is due.

    `due` has, for each entry from number `first` on, NO_INTENT, OPEN, UNKNOWN, or the number of its outcome.
    """
    at = 0
    for visit in leaves:
        for cell in visit.page.cells:
            if cell is None:
                continue
            offset = pages.offset(visit.number, cell.start)
            where = f"outcome row of intent {cell.key}"
            index = cell.key - first
            try:
                seq = read_integer(visit.data, columns_of(visit, cell, 2)[1])
            except RecordError as error:
                findings.add(where, str(error), page=visit.number, offset=offset)
                at = max(at, index + 1) if index < len(due) else at
                continue
            if not _is_due(due, index, seq, first):
                findings.add(
                    where,
                    f"names entry {seq}, which the entries do not bear out",
                    page=visit.number,
                    offset=offset,
                )
            if at <= index < len(due):
                _tell_missing(due, at, index, first, findings)
                at = index + 1
    _tell_missing(due, at, len(due), first, findings)


def _is_due(due: Sequence[int], index: int, seq: int, first: int) -> bool:
    """Whether the entries say that `seq` is the outcome of this intent, or cannot be read where they should."""
    if not 0 <= index < len(due) or not 0 <= seq - first < len(due):
        return False
    if due[index] in {UNKNOWN, seq}:
        return True
    return due[index] == OPEN and due[seq - first] == UNKNOWN


def _tell_missing(due: Sequence[int], start: int, after: int, first: int, findings: Findings) -> None:
    """Note the intents in a range that have an outcome among the entries but no row."""
    missing = [index + first for index in range(start, after) if due[index] > NO_INTENT]
    if missing:
        name = f"outcome rows of intents {missing[0]}–{missing[-1]}"
        findings.add(name, f"{len(missing)} rows are missing", seq=None)
