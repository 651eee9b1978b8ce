"""A database of format 2: one log of the host, and one for each tenant, in the order in which they were committed.

`Books` reads the rows of the five tables from their pages.
`check_logs` feeds a `LogCheck` for each log, and compares the tables that only help to find things with the entries.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from .layout import Layout
from .log import UNKNOWN, CheckpointRow, EntryRow, LogCheck
from .notes import Checkpoint, Key
from .outcomes import check_outcomes
from .report import Findings
from .sqlite_pages import PAGE, Pages, RecordError, read_blob, read_integer
from .tables import Claims, Visit, columns_of, describe, numbers_of, walk

LOG_BITS = 40
POSITION = (1 << LOG_BITS) - 1

_SMALLEST_ENTRY = 40  # bytes of the shortest row of `entries`
_TELL_EVERY = 4096
_LEAF_HASH = 32


@dataclass(frozen=True, slots=True)
class _Named:
    """One row of `logs`: whose log it is, and where that stands."""

    tenant: bytes
    page: int
    offset: int | None


class Books:
    """The tables of a database of format 2, read page by page."""

    def __init__(self, pages: Pages, layout: Layout, claims: Claims, findings: Findings) -> None:
        """Take the pages, and the list in which damage is noted."""
        self.pages = pages
        self.findings = findings
        self._layout = layout
        self._claims = claims

    @property
    def most(self) -> int:
        """An upper bound of the number of entries that the file can hold."""
        return (self.pages.file_size + len(self.pages.in_wal) * PAGE) // _SMALLEST_ENTRY

    def leaves(self, table: str) -> Iterator[Visit]:
        """Yield the leaf pages of a table in order."""
        for visit in walk(self.pages, table, self._layout.roots[table], self._claims, self.findings):
            if visit.page.kind == "leaf":
                yield visit

    def logs(self) -> list[_Named]:
        """Return the logs by number, up to the first that cannot be read."""
        found: list[_Named] = []
        for visit in self.leaves("logs"):
            for cell in visit.page.cells:
                if cell is None:
                    continue
                offset = self.pages.offset(visit.number, cell.start)
                try:
                    tenant = read_blob(visit.data, columns_of(visit, cell, 2)[1])
                except RecordError as error:
                    self.findings.add(f"log {cell.key}", str(error), page=visit.number, offset=offset)
                    tenant = b"?"
                if cell.key != len(found):
                    what = f"its number does not follow: {len(found)} was expected"
                    self.findings.add(f"log {cell.key}", what, page=visit.number, offset=offset)
                found.append(_Named(tenant, visit.number, offset))
        return found

    def checkpoints(self, count: int) -> list[list[CheckpointRow]]:
        """Return the checkpoints of each of `count` logs."""
        found: list[list[CheckpointRow]] = [[] for _ in range(count)]
        for visit in self.leaves("checkpoints"):
            for cell in visit.page.cells:
                if cell is None:
                    continue
                log, size = cell.key >> LOG_BITS, cell.key & POSITION
                where = f"checkpoint {size}" if count == 1 else f"checkpoint {size} of log {log}"
                offset = self.pages.offset(visit.number, cell.start)
                try:
                    note = read_blob(visit.data, columns_of(visit, cell, 2)[1])
                    if not 0 <= log < count:
                        raise RecordError(f"the row belongs to log {log}, which is not there")
                except RecordError as error:
                    self.findings.add(where, str(error), page=visit.number, offset=offset)
                    continue
                found[log].append(CheckpointRow(size, note, None, where, visit.number, offset))
        return found

    def entries(self, count: int) -> Iterator[tuple[int, EntryRow]]:
        """Yield the entries in the order of commits, each with its log; what cannot be read is named."""
        for visit in self.leaves("entries"):
            for number, cell in zip(numbers_of(visit), visit.page.cells, strict=True):
                if cell is None:
                    what = f"its cell cannot be read ({describe(visit)})"
                    self.findings.add(f"entry {number}", what, seq=number, page=visit.number)
                    continue
                offset = self.pages.offset(visit.number, cell.start)
                try:
                    columns = columns_of(visit, cell, 4)
                    place = read_integer(visit.data, columns[1])
                    body, hashes = read_blob(visit.data, columns[2]), read_blob(visit.data, columns[3])
                    log, position = place >> LOG_BITS, place & POSITION
                    if not 0 <= log < count:
                        raise RecordError(f"the row belongs to log {log}, which is not there")
                except RecordError as error:
                    what = str(error)
                    self.findings.add(f"entry {number}", what, seq=number, page=visit.number, offset=offset)
                    continue
                if cell.key != number:
                    what = f"is stored under the number {cell.key}"
                    self.findings.add(f"entry {number}", what, seq=number, page=visit.number, offset=offset)
                yield log, EntryRow(position, body, hashes[:_LEAF_HASH], "", visit.number, offset, number, hashes)


def check_logs(
    books: Books, *, key: Key, since: Checkpoint | None, progress: Callable[[int], None] | None
) -> list[LogCheck]:
    """Check all logs of a database of format 2; return the finished check of each, the host's own first."""
    findings = books.findings
    named = books.logs()
    if not named:
        findings.add("logs", "none is named: the file is empty or damaged")
    names = ["log"] if len(named) < 2 else [_name(each.tenant) for each in named]
    signed = books.checkpoints(max(1, len(named)))
    checks = [
        LogCheck(
            findings,
            key=key,
            checkpoints=iter(rows),
            most=books.most,
            since=since,
            progress=None,
            version=2,
            name=name,
        )
        for name, rows in zip(names, signed, strict=True)
    ]
    order = _Order(checks, findings)
    for log, row in books.entries(len(names)):
        order.put(log, row)
        if progress is not None and order.count % _TELL_EVERY == 0:
            progress(order.count)
    for check in checks:
        check.finish()
    _check_names(named, checks, findings)
    _check_begun(checks, findings)
    _check_places(books, order)
    check_outcomes(books.leaves("outcomes"), books.pages, findings, due=order.outcomes(), first=order.first)
    if since is not None:
        _check_since(since, checks, findings)
    return checks


class _Order:
    """The order of commits: which entry of which log has which number."""

    def __init__(self, checks: Sequence[LogCheck], findings: Findings) -> None:
        self.first = 0
        self.count = 0
        self.numbers = [array("q") for _ in checks]  # by log and position; -1 where the entry is missing
        self._checks = checks
        self._findings = findings
        self._next = -1

    def put(self, log: int, row: EntryRow) -> None:
        """Take the next entry."""
        if self._next < 0:
            self.first = row.number
        elif row.number != self._next:
            self._miss(row)
        self._next = max(self._next, row.number + 1)
        self.count += 1
        check, numbers = self._checks[log], self.numbers[log]
        check.add(row)
        size = len(check.outcome_of)
        if size > len(numbers):
            if size > len(numbers) + 1:
                numbers.extend([-1] * (size - len(numbers) - 1))
            numbers.append(row.number)

    def outcomes(self) -> array[int]:
        """Return, for each number from the first on, what `LogCheck.outcome_of` has, with numbers for positions."""
        due = array("q", [UNKNOWN]) * max(0, self._next - self.first)
        for check, numbers in zip(self._checks, self.numbers, strict=True):
            for number, state in zip(numbers, check.outcome_of, strict=True):
                if 0 <= number - self.first < len(due):
                    due[number - self.first] = numbers[state] if state >= 0 else state
        return due

    def _miss(self, row: EntryRow) -> None:
        if row.number < self._next:
            what = f"its number does not follow: {self._next} was expected"
            self._findings.add(f"entry {row.number}", what, seq=row.number, page=row.page, offset=row.offset)
            return
        one = row.number == self._next + 1
        name = f"entry {self._next}" if one else f"entries {self._next}–{row.number - 1}"
        seq = self._next if one else None
        self._findings.add(name, f"missing before entry {row.number}", seq=seq, page=row.page, offset=row.offset)


def _check_names(named: Sequence[_Named], checks: Sequence[LogCheck], findings: Findings) -> None:
    """Each log is signed under the name of its tenant, behind that of the host."""
    own = checks[0].origin
    for number, (row, check) in enumerate(zip(named, checks, strict=False)):
        tenant = quote(row.tenant, safe="@:")
        due = own if number == 0 else f"{own}/{tenant}"
        if (number == 0) != (row.tenant == b"") or (check.origin is not None and check.origin != due):
            what = f"is named {row.tenant!r}, and its entries are those of {check.origin!r}"
            findings.add(f"log {number}", what, page=row.page, offset=row.offset)


def _check_begun(checks: Sequence[LogCheck], findings: Findings) -> None:
    """The host's own log says which logs were begun: none of them may be gone."""
    for number, origin in checks[0].retention.begun.items():
        found = checks[number].origin if number < len(checks) else None
        if found is None:
            findings.add(f"log {number}", f"is gone: the host's log says that it was begun as {origin!r}")
        elif found != origin:
            findings.add(f"log {number}", f"is {found!r}, and the host's log says that it was begun as {origin!r}")


def _check_places(books: Books, order: _Order) -> None:
    """The table of places leads to each entry of each log, and to nothing else."""
    left = [len(numbers) - numbers.count(-1) for numbers in order.numbers]
    for visit in books.leaves("places"):
        for cell in visit.page.cells:
            if cell is None:
                continue
            log, position = cell.key >> LOG_BITS, cell.key & POSITION
            try:
                seq = read_integer(visit.data, columns_of(visit, cell, 2)[1])
                numbers = order.numbers[log] if 0 <= log < len(order.numbers) else ()
                if position >= len(numbers) or numbers[position] not in {seq, -1}:
                    raise RecordError(f"the row names entry {seq}, which the entries do not bear out")
                left[log] -= numbers[position] >= 0
            except RecordError as error:
                where, offset = f"place of entry {position} of log {log}", books.pages.offset(visit.number, cell.start)
                books.findings.add(where, str(error), page=visit.number, offset=offset)
    for log, missing in enumerate(left):
        if missing:
            books.findings.add(f"places of log {log}", f"{missing} rows are missing")


def _check_since(since: Checkpoint, checks: Sequence[LogCheck], findings: Findings) -> None:
    """Of all logs, the one that the checkpoint obtained elsewhere is of must go on from it."""
    for check in checks:
        check.since_proved = check.since_proved and check.origin == since.origin
    of = [check for check in checks if check.origin == since.origin]
    if len(checks) == 1:
        of = list(checks)
    for check in of:
        check.check_since(since)
    if not of:
        findings.add("since", f"the checkpoint obtained elsewhere is for log {since.origin!r}, which is not here")


def _name(tenant: bytes) -> str:
    return f"the log of {tenant.decode('utf-8', 'replace')!r}" if tenant else "the host's log"
