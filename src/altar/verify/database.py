"""The log as the writer keeps it: an SQLite database, read page by page without SQLite.

`check_database` feeds a `LogCheck` from the file and checks everything that is not the log itself: the file
header,
the schema, the trees of pages, and the table of outcomes.
Every byte that means something is compared with something else, so that a change of any one is found.
`locate_in_database` says what a byte of the file is for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from .layout import MANY_LOGS, ONE_LOG, Layout, layout_of
from .log import CheckpointRow, EntryRow, LogCheck
from .logs import Books, check_logs
from .notes import Checkpoint, Key
from .outcomes import check_outcomes
from .report import Findings, Location
from .sqlite_pages import (
    PAGE,
    Cell,
    Pages,
    RecordError,
    parse_page,
    read_blob,
    read_record,
)
from .tables import KEY_WORDS, Claims, Visit, columns_of, describe, numbers_of, walk, walk_freelist

_LEAF_HASH = 32
_SMALLEST_ENTRY = 40  # bytes of the shortest row of `entries`
_SCHEMA_HEADER = 100  # where the header of page 1 as a page begins


def check_database(
    path: Path,
    findings: Findings,
    *,
    key: Key,
    since: Checkpoint | None,
    progress: Callable[[int], None] | None,
) -> list[LogCheck]:
    """Check the database at `path` and return the finished checks of its logs; OSError if it cannot be read."""
    with Pages(path, findings) as pages:
        claims = Claims(findings)
        layout = layout_of(pages.read(1))
        _check_schema(pages, layout, findings)
        if layout is MANY_LOGS:
            books = Books(pages, layout, claims, findings)
            logs = check_logs(books, key=key, since=since, progress=progress)
        else:
            logs = [_check_log(pages, claims, findings, key=key, since=since, progress=progress)]
        for _ in walk_freelist(pages, claims, findings):
            pass
        claims.tell_unclaimed(pages.count)
        _check_header(pages, layout, findings, {version for log in logs for version in log.sqlite_versions})
        if pages.wal is not None and pages.wal.frames == 0 and pages.count == 0:
            findings.add("write-ahead log: header", "holds no committed transaction, and the file is empty", offset=0)
    return logs


def _check_log(
    pages: Pages,
    claims: Claims,
    findings: Findings,
    *,
    key: Key,
    since: Checkpoint | None,
    progress: Callable[[int], None] | None,
) -> LogCheck:
    """Check the one log of a database of format 1."""
    log = LogCheck(
        findings,
        key=key,
        checkpoints=_checkpoints(pages, claims, findings),
        most=(pages.file_size + len(pages.in_wal) * PAGE) // _SMALLEST_ENTRY,
        since=since,
        progress=progress,
    )
    for row in _entries(pages, claims, findings):
        log.add(row)
    log.finish()
    check_outcomes(_leaves(pages, "outcomes", claims, findings), pages, findings, due=log.outcome_of)
    return log


def fingerprint(path: Path) -> tuple[int, int, bytes]:
    """Return what changes when the main file, or the beginning of its write-ahead log, is written."""
    status = path.stat()
    wal = path.with_name(path.name + "-wal")
    header = b""
    if wal.exists():
        with wal.open("rb") as file:
            header = file.read(32)
    return status.st_size, status.st_mtime_ns, header


def locate_in_database(path: Path, offset: int) -> Location:
    """Say what the byte at `offset` of the main file is for."""
    findings = Findings()
    with Pages(path, findings) as pages:
        number = offset // PAGE + 1
        at = offset % PAGE
        if number in pages.in_wal:
            return Location(f"page {number}, superseded by the write-ahead log (unused)", used=False, page=number)
        if number == 1 and at < _SCHEMA_HEADER:
            header = layout_of(pages.read(1)).header
            _, name, _ = header[bisect_right([start for start, _, _ in header[:-1]], at) - 1]
            return Location(f"page 1: file header, {name}", used=True, page=1)
        visit = _find(pages, number, findings)
        if visit is None or visit.page.kind == "none":
            return _locate_in_freelist(pages, number, at)
        return _locate_in_page(visit, at)


# ── the file header ──────────────────────────────────────────────────────────────────────────────────────


def _check_header(pages: Pages, layout: Layout, findings: Findings, versions: set[int]) -> None:
    """Every field has one right value, or must agree with another field or with the log."""
    data = pages.read(1)
    if data is None:
        return
    counter = data[24:28]
    count = pages.count.to_bytes(8, "big")[4:]
    wanted: dict[str, set[bytes]] = {
        "versions": {b"\x01\x01", b"\x02\x02"},
        "change counter": {data[92:96]},
        "version-valid-for": {counter},
        "page count": {count},
        "freelist": {data[32:40]},  # compared with the pages themselves by walk_freelist
        "SQLite version": {version.to_bytes(8, "big")[4:] for version in versions},
    }
    for (start, name, fixed), (end, _, _) in pairwise(layout.header):
        value = data[start:end]
        if value not in ({fixed} if fixed is not None else wanted[name]):
            due = " or ".join(sorted(each.hex() for each in ({fixed} if fixed is not None else wanted[name]) if each))
            what = f"is {value.hex()}, and should be {due or 'named by a start entry'}"
            findings.add(f"page 1: file header, {name}", what, page=1, offset=pages.offset(1, start))


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────────


def _check_schema(pages: Pages, layout: Layout, findings: Findings) -> None:
    """Page 1 holds one row for each table, to the byte."""
    data = pages.read(1)
    if data is None:
        findings.add("page 1", "is not in the file: it is empty or cut off", page=1, offset=0)
        return
    page = parse_page(data, _SCHEMA_HEADER)
    visit = Visit("sqlite_schema", 1, data, page, None, None)
    for what, at in page.defects:
        findings.add(describe(visit), what, page=1, offset=pages.offset(1, at))
    rows = [(cell.key, data[cell.payload : cell.end]) if cell is not None else None for cell in page.cells]
    due = [(index, _schema_row(layout, table)) for index, table in enumerate(layout.schema, start=1)]
    for index, (table, row) in enumerate(zip(layout.schema, due, strict=True)):
        if page.kind != "leaf" or index >= len(rows) or rows[index] != row:
            findings.add(describe(visit), f"does not define table {table!r} as the format does", page=1)
    if len(rows) > len(due):
        findings.add(describe(visit), f"defines {len(rows)} things, not {len(due)}", page=1)


def _schema_row(layout: Layout, table: str) -> bytes:
    """Return the row of sqlite_schema for `table`, as SQLite writes it."""
    texts = [b"table", table.encode(), table.encode(), layout.schema[table].encode()]
    kind, name, other, sql = (_varint(13 + 2 * len(text)) for text in texts)
    types = kind + name + other + b"\x01" + sql
    return bytes([1 + len(types)]) + types + b"".join(texts[:3]) + bytes([layout.roots[table]]) + texts[3]


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value >> 7 | 0x80, value & 0x7F])


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────


def _leaves(pages: Pages, table: str, claims: Claims, findings: Findings) -> Iterator[Visit]:
    for visit in walk(pages, table, ONE_LOG.roots[table], claims, findings):
        if visit.page.kind == "leaf":
            yield visit


def _entries(pages: Pages, claims: Claims, findings: Findings) -> Iterator[EntryRow]:
    """Yield the entries in order; a cell that cannot be read is named by the entry it must hold."""
    for visit in _leaves(pages, "entries", claims, findings):
        for seq, cell in zip(numbers_of(visit), visit.page.cells, strict=True):
            where = f"entry {seq}"
            if cell is None:
                findings.add(where, f"its cell cannot be read ({describe(visit)})", seq=seq, page=visit.number)
                continue
            offset = pages.offset(visit.number, cell.start)
            if cell.key != seq:
                findings.add(where, f"is stored under the number {cell.key}", seq=seq, page=visit.number, offset=offset)
            try:
                columns = columns_of(visit, cell, 3)
                body, leaf = read_blob(visit.data, columns[1]), read_blob(visit.data, columns[2])
                if len(leaf) != _LEAF_HASH:
                    raise RecordError("the row has a leaf hash that is not 32 bytes long")
            except RecordError as error:
                findings.add(where, str(error), seq=seq, page=visit.number, offset=offset)
                continue
            yield EntryRow(seq, body, leaf, where, visit.number, offset, seq)


def _checkpoints(pages: Pages, claims: Claims, findings: Findings) -> Iterator[CheckpointRow]:
    """Yield the checkpoints in order."""
    for visit in _leaves(pages, "checkpoints", claims, findings):
        for cell in visit.page.cells:
            if cell is None:
                continue
            where, offset = f"checkpoint {cell.key}", pages.offset(visit.number, cell.start)
            try:
                columns = columns_of(visit, cell, 3)
                note, frontier = read_blob(visit.data, columns[1]), read_blob(visit.data, columns[2])
            except RecordError as error:
                findings.add(where, str(error), page=visit.number, offset=offset)
                continue
            yield CheckpointRow(cell.key, note, frontier, where, visit.number, offset)


# ── where a byte belongs ─────────────────────────────────────────────────────────────────────────────────


def _find(pages: Pages, number: int, findings: Findings) -> Visit | None:
    """Return the visit of page `number`, walking the tables until it comes."""
    claims = Claims(findings)
    if number == 1:
        data = pages.read(1)
        return None if data is None else Visit("sqlite_schema", 1, data, parse_page(data, _SCHEMA_HEADER), None, None)
    for table, root in layout_of(pages.read(1)).roots.items():
        for visit in walk(pages, table, root, claims, findings):
            if visit.number == number:
                return visit
    return None


def _locate_in_freelist(pages: Pages, number: int, at: int) -> Location:
    """Say what byte `at` of a page is for that belongs to no table."""
    findings = Findings()
    for trunk, leaves in walk_freelist(pages, Claims(findings), findings):
        if number in leaves:
            return Location(f"page {number}, a free page (unused)", used=False, page=number)
        if number == trunk and at < 8 + 4 * len(leaves):
            return Location(f"page {number}: freelist", used=True, page=number)
        if number == trunk:
            return Location(f"page {number}, free room (unused)", used=False, page=number)
    return Location(f"page {number}, which belongs to no table or cannot be read", used=True, page=number)


def _locate_in_page(visit: Visit, at: int) -> Location:
    """Say what byte `at` of a page is for."""
    page, name = visit.page, describe(visit)
    if at < page.head:
        return Location(f"{name}: page header", used=True, page=visit.number)
    if at < page.array_end:
        index = (at - page.head) // 2
        return _cell_location(visit, index, f"pointer to cell {index}")
    for index, cell in enumerate(page.cells):
        if cell is not None and cell.start <= at < cell.end:
            return _cell_location(visit, index, f"cell of {_part(visit, cell, at)}")
    for start, end in page.freeblocks:
        if start <= at < start + 4:
            return Location(f"{name}: link of free room", used=True, page=visit.number)
        if start <= at < end:
            return Location(f"page {visit.number}, free room (unused)", used=False, page=visit.number)
    area = "unallocated space" if at < page.content else "stray byte between cells"
    return Location(f"page {visit.number}, {area} (unused)", used=False, page=visit.number)


def _cell_location(visit: Visit, index: int, what: str) -> Location:
    """Name a cell, and the entry in it if there is one."""
    seq = None
    if visit.table == "entries" and visit.page.kind == "leaf":
        numbers = numbers_of(visit)
        seq = numbers[index] if index < len(numbers) else None
    return Location(f"page {visit.number}, {what} ({describe(visit)})", used=True, seq=seq, page=visit.number)


def _part(visit: Visit, cell: Cell, at: int) -> str:
    """Say which row a byte belongs to, and to which column of it."""
    if visit.page.kind == "interior":
        return f"the pages up to {KEY_WORDS[visit.table]} {cell.key}"
    row = _ROW_WORDS.get(visit.table, "row")
    try:
        columns = read_record(visit.data, cell.payload, cell.end)
    except RecordError:
        columns = []
    for name, (_, start, end) in zip(_COLUMN_WORDS.get((visit.table, len(columns)), ()), columns[1:], strict=False):
        if start <= at < end:
            return f"{row} {cell.key} ({name})"
    return f"{row} {cell.key} (lengths and key)"


_ROW_WORDS = {
    "entries": "entry",
    "outcomes": "the outcome of intent",
    "checkpoints": "checkpoint",
    "places": "place",
    "logs": "log",
}
_COLUMN_WORDS = {
    ("entries", 3): ("body", "leaf hash"),
    ("entries", 4): ("place", "body", "hashes"),
    ("outcomes", 2): ("outcome",),
    ("places", 2): ("entry",),
    ("checkpoints", 3): ("note", "frontier"),
    ("checkpoints", 2): ("note",),
    ("logs", 2): ("tenant",),
}
