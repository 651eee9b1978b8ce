"""The log as the writer keeps it: an SQLite database, read page by page without SQLite.

`check_database` feeds a `LogCheck` from the file and checks everything that is not the log itself: the file
header,
the schema, the trees of pages, and the table of outcomes.
Every byte that means something is compared with something else, so that a change of any one is found.
`locate_in_database` says what a byte of the file is for.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from altar.verify.log import NO_INTENT, OPEN, UNKNOWN, CheckpointRow, EntryRow, LogCheck
from altar.verify.notes import Checkpoint, Key
from altar.verify.report import Findings, Location
from altar.verify.sqlite_pages import (
    PAGE,
    Cell,
    Pages,
    RecordError,
    parse_page,
    read_blob,
    read_integer,
    read_record,
)
from altar.verify.tables import KEY_WORDS, Claims, Visit, describe, walk, walk_freelist

MAGIC = b"SQLite format 3\x00"
ROOTS = {"entries": 2, "outcomes": 3, "checkpoints": 4}
"""Where the tree of each table begins: the tables are made in this order in an empty file."""

SCHEMA = {
    "entries": "CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, leaf BLOB NOT NULL)",
    "outcomes": "CREATE TABLE outcomes (intent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "checkpoints": ("CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note BLOB NOT NULL, frontier BLOB NOT NULL)"),
}

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
) -> LogCheck:
    """Check the database at `path` and return the finished check of its log; OSError if it cannot be read."""
    with Pages(path, findings) as pages:
        claims = Claims(findings)
        _check_schema(pages, findings)
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
        _check_outcomes(pages, claims, findings, log)
        for _ in walk_freelist(pages, claims, findings):
            pass
        claims.tell_unclaimed(pages.count)
        _check_header(pages, findings, log.sqlite_versions)
        if pages.wal is not None and pages.wal.frames == 0 and pages.count == 0:
            findings.add("write-ahead log: header", "holds no committed transaction, and the file is empty", offset=0)
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
            _, name, _ = _HEADER[bisect_right(_HEADER_STARTS, at) - 1]
            return Location(f"page 1: file header, {name}", used=True, page=1)
        visit = _find(pages, number, findings)
        if visit is None or visit.page.kind == "none":
            return _locate_in_freelist(pages, number, at)
        return _locate_in_page(visit, at)


# ── the file header ──────────────────────────────────────────────────────────────────────────────────────

_HEADER: tuple[tuple[int, str, bytes | None], ...] = (
    (0, "magic", MAGIC),
    (16, "page size", PAGE.to_bytes(2, "big")),
    (18, "versions", None),
    (20, "reserved bytes per page", b"\x00"),
    (21, "payload fractions", b"\x40\x20\x20"),
    (24, "change counter", None),
    (28, "page count", None),
    (32, "freelist", None),
    (40, "schema cookie", b"\x00\x00\x00\x03"),
    (44, "schema format", b"\x00\x00\x00\x04"),
    (48, "cache size", bytes(4)),
    (52, "auto-vacuum", bytes(4)),
    (56, "text encoding", b"\x00\x00\x00\x01"),
    (60, "user version", b"\x00\x00\x00\x01"),
    (64, "incremental vacuum", bytes(4)),
    (68, "application id", b"ALTR"),
    (72, "reserved", bytes(20)),
    (92, "version-valid-for", None),
    (96, "SQLite version", None),
    (100, "", None),
)
_HEADER_STARTS = [start for start, _, _ in _HEADER[:-1]]


def _check_header(pages: Pages, findings: Findings, versions: set[int]) -> None:
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
    for (start, name, fixed), (end, _, _) in pairwise(_HEADER):
        value = data[start:end]
        if value not in ({fixed} if fixed is not None else wanted[name]):
            due = " or ".join(sorted(each.hex() for each in ({fixed} if fixed is not None else wanted[name]) if each))
            what = f"is {value.hex()}, and should be {due or 'named by a start entry'}"
            findings.add(f"page 1: file header, {name}", what, page=1, offset=pages.offset(1, start))


# ── the schema ───────────────────────────────────────────────────────────────────────────────────────────


def _check_schema(pages: Pages, findings: Findings) -> None:
    """Page 1 holds three rows, to the byte."""
    data = pages.read(1)
    if data is None:
        findings.add("page 1", "is not in the file: it is empty or cut off", page=1, offset=0)
        return
    page = parse_page(data, _SCHEMA_HEADER)
    visit = Visit("sqlite_schema", 1, data, page, None, None)
    for what, at in page.defects:
        findings.add(describe(visit), what, page=1, offset=pages.offset(1, at))
    rows = [(cell.key, data[cell.payload : cell.end]) if cell is not None else None for cell in page.cells]
    due = [(index, _schema_row(table)) for index, table in enumerate(SCHEMA, start=1)]
    for index, (table, row) in enumerate(zip(SCHEMA, due, strict=True)):
        if page.kind != "leaf" or index >= len(rows) or rows[index] != row:
            findings.add(describe(visit), f"does not define table {table!r} as the format does", page=1)
    if len(rows) > len(due):
        findings.add(describe(visit), f"defines {len(rows)} things, not {len(due)}", page=1)


def _schema_row(table: str) -> bytes:
    """Return the row of sqlite_schema for `table`, as SQLite writes it."""
    texts = [b"table", table.encode(), table.encode(), SCHEMA[table].encode()]
    kind, name, other, sql = (_varint(13 + 2 * len(text)) for text in texts)
    types = kind + name + other + b"\x01" + sql
    return bytes([1 + len(types)]) + types + b"".join(texts[:3]) + bytes([ROOTS[table]]) + texts[3]


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value >> 7 | 0x80, value & 0x7F])


# ── the tables ───────────────────────────────────────────────────────────────────────────────────────────


def _leaves(pages: Pages, table: str, claims: Claims, findings: Findings) -> Iterator[Visit]:
    for visit in walk(pages, table, ROOTS[table], claims, findings):
        if visit.page.kind == "leaf":
            yield visit


def _entries(pages: Pages, claims: Claims, findings: Findings) -> Iterator[EntryRow]:
    """Yield the entries in order; a cell that cannot be read is named by the entry it must hold."""
    for visit in _leaves(pages, "entries", claims, findings):
        for seq, cell in zip(_numbers(visit), visit.page.cells, strict=True):
            where = f"entry {seq}"
            if cell is None:
                findings.add(where, f"its cell cannot be read ({describe(visit)})", seq=seq, page=visit.number)
                continue
            offset = pages.offset(visit.number, cell.start)
            if cell.key != seq:
                findings.add(where, f"is stored under the number {cell.key}", seq=seq, page=visit.number, offset=offset)
            try:
                columns = _columns(visit.data, cell, 3)
                body, leaf = read_blob(visit.data, columns[1]), read_blob(visit.data, columns[2])
                if len(leaf) != _LEAF_HASH:
                    raise RecordError("the row has a leaf hash that is not 32 bytes long")
            except RecordError as error:
                findings.add(where, str(error), seq=seq, page=visit.number, offset=offset)
                continue
            yield EntryRow(seq, body, leaf, where, visit.number, offset)


def _numbers(visit: Visit) -> list[int]:
    """Return the number of each entry on a leaf.

    That is its key, as long as the keys go up within the bounds of the leaf.
    If they do not, one of them is damaged: then the others vote, because entries on a leaf are consecutive.
    """
    cells = visit.page.cells
    keys = [cell.key for cell in cells if cell is not None]
    low = -1 if visit.low is None else visit.low
    upward = all(a < b for a, b in pairwise([low, *keys]))
    if len(keys) == len(cells) and upward and (visit.high is None or not keys or keys[-1] <= visit.high):
        return keys
    votes = Counter(cell.key - index for index, cell in enumerate(cells) if cell is not None)
    votes[low + 1] += 1
    first = votes.most_common(1)[0][0]
    return list(range(first, first + len(cells)))


def _checkpoints(pages: Pages, claims: Claims, findings: Findings) -> Iterator[CheckpointRow]:
    """Yield the checkpoints in order."""
    for visit in _leaves(pages, "checkpoints", claims, findings):
        for cell in visit.page.cells:
            if cell is None:
                continue
            where, offset = f"checkpoint {cell.key}", pages.offset(visit.number, cell.start)
            try:
                columns = _columns(visit.data, cell, 3)
                note, frontier = read_blob(visit.data, columns[1]), read_blob(visit.data, columns[2])
            except RecordError as error:
                findings.add(where, str(error), page=visit.number, offset=offset)
                continue
            yield CheckpointRow(cell.key, note, frontier, where, visit.number, offset)


def _check_outcomes(pages: Pages, claims: Claims, findings: Findings, log: LogCheck) -> None:
    """The table of outcomes says what the entries say, row by row."""
    due = log.outcome_of
    at = 0
    for visit in _leaves(pages, "outcomes", claims, findings):
        for cell in visit.page.cells:
            if cell is None:
                continue
            offset = pages.offset(visit.number, cell.start)
            where = f"outcome row of intent {cell.key}"
            try:
                seq = read_integer(visit.data, _columns(visit.data, cell, 2)[1])
            except RecordError as error:
                findings.add(where, str(error), page=visit.number, offset=offset)
                at = max(at, cell.key + 1) if cell.key < len(due) else at
                continue
            if not _same_outcome(log, cell.key, seq):
                findings.add(
                    where,
                    f"names entry {seq}, which the entries do not bear out",
                    page=visit.number,
                    offset=offset,
                )
            if at <= cell.key < len(due):
                _tell_rows_missing(log, at, cell.key, findings)
                at = cell.key + 1
    _tell_rows_missing(log, at, len(due), findings)


def _same_outcome(log: LogCheck, intent: int, seq: int) -> bool:
    """Whether the entries say that `seq` is the outcome of `intent`, or cannot be read where they should."""
    due = log.outcome_of
    if not 0 <= intent < len(due) or not 0 <= seq < len(due):
        return False
    if due[intent] in {UNKNOWN, seq}:
        return True
    return due[intent] == OPEN and due[seq] == UNKNOWN


def _tell_rows_missing(log: LogCheck, first: int, after: int, findings: Findings) -> None:
    """Note the intents in a range that have an outcome among the entries but no row."""
    missing = [intent for intent in range(first, after) if log.outcome_of[intent] > NO_INTENT]
    if missing:
        name = f"outcome rows of intents {missing[0]}–{missing[-1]}"
        findings.add(name, f"{len(missing)} rows are missing", seq=None)


def _columns(data: bytes, cell: Cell, count: int) -> list[tuple[int, int, int]]:
    """Return the columns of a row, the first of which is the key and therefore stored as nothing."""
    columns = read_record(data, cell.payload, cell.end)
    if len(columns) != count or columns[0][0] != 0:
        raise RecordError(f"the row has not the {count} columns of its table")
    return columns


# ── where a byte belongs ─────────────────────────────────────────────────────────────────────────────────


def _find(pages: Pages, number: int, findings: Findings) -> Visit | None:
    """Return the visit of page `number`, walking the tables until it comes."""
    claims = Claims(findings)
    if number == 1:
        data = pages.read(1)
        return None if data is None else Visit("sqlite_schema", 1, data, parse_page(data, _SCHEMA_HEADER), None, None)
    for table, root in ROOTS.items():
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
        numbers = _numbers(visit)
        seq = numbers[index] if index < len(numbers) else None
    return Location(f"page {visit.number}, {what} ({describe(visit)})", used=True, seq=seq, page=visit.number)


def _part(visit: Visit, cell: Cell, at: int) -> str:
    """Say which row a byte belongs to, and to which column of it."""
    if visit.page.kind == "interior":
        return f"the pages up to {KEY_WORDS[visit.table]} {cell.key}"
    row = {"entries": "entry", "outcomes": "the outcome of intent", "checkpoints": "checkpoint"}.get(visit.table, "row")
    names = {"entries": ("body", "leaf hash"), "outcomes": ("outcome",), "checkpoints": ("note", "frontier")}
    try:
        columns = read_record(visit.data, cell.payload, cell.end)
    except RecordError:
        columns = []
    for name, (_, start, end) in zip(names.get(visit.table, ()), columns[1:], strict=False):
        if start <= at < end:
            return f"{row} {cell.key} ({name})"
    return f"{row} {cell.key} (lengths and key)"
