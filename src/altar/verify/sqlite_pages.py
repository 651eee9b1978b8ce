"""Pages of an SQLite database, read without SQLite.

`Pages` gives the bytes of each page as SQLite would see them: the newest committed frame of the write-ahead
log, else
the main file.
`parse_page` takes a page of a table's b-tree apart and accounts for every byte of it.
`read_record` takes a row apart.
The numbers are those of the published file format (https://www.sqlite.org/fileformat2.html).
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, NamedTuple, Self

from .report import Findings
from .wal import read_wal

PAGE = 4096
LARGEST_PAYLOAD = PAGE - 35
"""A longer row would spill into overflow pages; the format forbids such rows."""

LOCK_PAGE = 0x40000000 // PAGE + 1
"""The page that holds SQLite's lock bytes: never used, wherever a file is longer than 1 GiB."""

_INTERIOR = 0x05
_LEAF = 0x0D


class RecordError(ValueError):
    """The bytes are not a row in SQLite's one spelling of it; the message says why."""


class Cell(NamedTuple):
    """One cell: it spans `start`–`end` in its page, and has a key, and a payload or a child page."""

    start: int
    end: int
    key: int
    payload: int
    child: int


@dataclass(slots=True)
class Page:
    """One page taken apart; offsets are counted from the start of the page.

    `cells` stand in the order of their keys, None for one that cannot be read.
    `freeblocks` are the (start, end) of free room whose first four bytes link and size it.
    `defects` are (what, offset) of all that does not add up.
    """

    kind: Literal["leaf", "interior", "none"]
    head: int = 0
    array_end: int = 0
    content: int = 0
    right: int = 0
    cells: list[Cell | None] = field(default_factory=list)
    freeblocks: list[tuple[int, int]] = field(default_factory=list)
    defects: list[tuple[str, int]] = field(default_factory=list)


class Pages:
    """The pages of a database file together with its write-ahead log; use it in a `with`."""

    def __init__(self, path: Path, findings: Findings) -> None:
        """Open `path`, and read the frames of `<path>-wal` if there is one; OSError if there is no file."""
        wal_path = path.with_name(path.name + "-wal")
        self.wal = read_wal(wal_path, findings) if wal_path.exists() else None
        self._file = path.open("rb")
        self.file_size = self._file.seek(0, 2)
        self.in_wal: dict[int, bytes] = self.wal.pages if self.wal is not None else {}
        self.count = self.file_size // PAGE
        if self.wal is not None and self.wal.count:
            self.count = self.wal.count
        if not self.in_wal and self.file_size % PAGE:
            whole = self.file_size - self.file_size % PAGE
            findings.add(
                f"page {whole // PAGE + 1}",
                f"the file ends within it: {self.file_size} bytes are no whole pages",
                page=whole // PAGE + 1,
                offset=whole,
            )
        elif self.in_wal and self.file_size > self.count * PAGE:
            findings.add(
                f"page {self.count + 1}",
                f"the file goes on after its last page, {self.count}",
                page=self.count + 1,
                offset=self.count * PAGE,
            )

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._file.close()

    def read(self, number: int) -> bytes | None:
        """Return the 4096 bytes of page `number` (from 1), or None if there is no such page."""
        if not 1 <= number <= self.count:
            return None
        if number in self.in_wal:
            return self.in_wal[number]
        self._file.seek((number - 1) * PAGE)
        data = self._file.read(PAGE)
        return data if len(data) == PAGE else None

    def offset(self, number: int, at: int = 0) -> int | None:
        """Return where byte `at` of page `number` is in the main file; None if the page is in the WAL."""
        return None if number in self.in_wal else (number - 1) * PAGE + at


def parse_page(data: bytes, start: int = 0) -> Page:
    """Take a b-tree page apart; its header begins at `start` (100 on page 1, else 0).

    Nothing is raised: what does not add up is listed in `defects`, and what can be read all the same is
    returned.
    """
    kind = data[start]
    if kind not in {_INTERIOR, _LEAF}:
        return Page(
            "none",
            defects=[(f"its type is {kind:#04x}, neither a leaf nor an interior page of a table", start)],
        )
    page = Page("leaf", head=start + 8) if kind == _LEAF else Page("interior", head=start + 12)
    freeblock, count, page.content, fragments = struct.unpack_from(">HHHB", data, start + 1)
    page.array_end = page.head + 2 * count
    if not page.array_end <= page.content <= PAGE:
        page.defects.append((f"{count} cells and a content area from {page.content} on do not fit in", start + 3))
        if page.array_end > PAGE:
            return page
    if kind == _INTERIOR:
        page.right = int.from_bytes(data[start + 8 : start + 12], "big")
    read = _leaf_cell if kind == _LEAF else _interior_cell
    for index, at in enumerate(struct.unpack_from(f">{count}H", data, page.head)):
        cell = read(data, at) if page.content <= at < PAGE else None
        if cell is None:
            page.defects.append((f"cell {index} cannot be read at {at}", page.head + 2 * index))
        page.cells.append(cell)
    _follow_freeblocks(data, freeblock, page)
    if None not in page.cells:
        _account(page, fragments, start)
    return page


def read_record(data: bytes, start: int, end: int) -> list[tuple[int, int, int]]:
    """Return (serial type, start, end) of each column of the row in `data[start:end]`.

    The row must fill these bytes exactly, in the shortest varints; RecordError otherwise.
    """
    size, at = (data[start], start + 1) if data[start] < 0x80 else read_varint(data, start)
    body = start + size
    if body > end:
        raise RecordError(_said("has a header longer than itself"))
    columns: list[tuple[int, int, int]] = []
    value = body
    while at < body:
        serial = data[at]
        if serial < 0x80:
            at += 1
        elif serial > 0x80 and data[at + 1] < 0x80:
            serial = (serial & 0x7F) << 7 | data[at + 1]
            at += 2
        else:
            serial, at = read_varint(data, at)
        length = (serial - 12) // 2 if serial >= 12 else _LENGTHS[serial] if serial < 10 else _length(serial)
        columns.append((serial, value, value + length))
        value += length
    if at != body or value != end:
        raise RecordError(_said("has columns that do not add up to its length"))
    return columns


def read_integer(data: bytes, column: tuple[int, int, int]) -> int:
    """Return the integer of a column; RecordError if it is none, or not in its shortest form."""
    serial, start, end = column
    if serial in {8, 9}:
        return serial - 8
    value = int.from_bytes(data[start:end], "big", signed=True)
    bound = _LARGER_THAN.get(serial)
    if bound is None or -bound <= value < bound or value in {0, 1}:
        raise RecordError(_said("has no integer, or not its shortest form, where one is due"))
    return value


def read_blob(data: bytes, column: tuple[int, int, int]) -> bytes:
    """Return the bytes of a blob column; RecordError if it is none."""
    serial, start, end = column
    if serial < 12 or serial % 2:
        raise RecordError(_said("has no blob where one is due"))
    return data[start:end]


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return (value, offset after it) of the varint at `at`; RecordError if it is not the shortest."""
    try:
        byte = data[at]
        if byte < 0x80:
            return byte, at + 1
        if byte == 0x80:
            raise RecordError(_said("has a number with a needless byte"))
        value = 0
        for index in range(at, at + 8):
            byte = data[index]
            value = value << 7 | byte & 0x7F
            if byte < 0x80:
                return value, index + 1
        return value << 8 | data[at + 8], at + 9
    except IndexError as error:
        raise RecordError(_said("runs out of the page")) from error


def _leaf_cell(data: bytes, at: int) -> Cell | None:
    if at < PAGE - 8:  # the lengths and keys of nearly all rows, without calls
        size, key_at = data[at], at + 1
        if size > 0x80 and data[key_at] < 0x80:
            size, key_at = (size & 0x7F) << 7 | data[key_at], key_at + 1
        key, payload = data[key_at], key_at + 1
        if key > 0x80:
            key &= 0x7F
            while data[payload] >= 0x80 and payload < key_at + 3:
                key = key << 7 | data[payload] & 0x7F
                payload += 1
            key = key << 7 | data[payload]
            payload += 1
        if size < 0x80 << 7 and data[key_at] != 0x80 and data[payload - 1] < 0x80 and data[at] != 0x80:
            end = payload + size
            return None if size > LARGEST_PAYLOAD or end > PAGE else Cell(at, end, key, payload, 0)
    try:
        size, key_at = read_varint(data, at)
        key, payload = read_varint(data, key_at)
    except RecordError:
        return None
    end = payload + size
    if size > LARGEST_PAYLOAD or end > PAGE:
        return None
    return Cell(at, end, key if key < 2**63 else key - 2**64, payload, 0)


def _interior_cell(data: bytes, at: int) -> Cell | None:
    if at + 5 > PAGE:
        return None
    try:
        key, end = read_varint(data, at + 4)
    except RecordError:
        return None
    return Cell(at, end, key if key < 2**63 else key - 2**64, end, int.from_bytes(data[at : at + 4], "big"))


def _follow_freeblocks(data: bytes, at: int, page: Page) -> None:
    """List the free blocks; their chain goes up and stays within the content area."""
    last = page.content - 1
    while at:
        if not last < at <= PAGE - 4:
            page.defects.append((f"its chain of free blocks leads to {at}", 1))
            return
        following, size = struct.unpack_from(">HH", data, at)
        if size < 4 or at + size > PAGE:
            page.defects.append((f"the free block at {at} claims {size} bytes", at))
            return
        page.freeblocks.append((at, at + size))
        last, at = at, following


def _account(page: Page, fragments: int, start: int) -> None:
    """Cells and free blocks must fill the content area, but for as many stray bytes as the header counts."""
    spans: Sequence[tuple[int, int]] = sorted(
        [(cell.start, cell.end) for cell in page.cells if cell is not None] + page.freeblocks
    )
    at, stray = page.content, 0
    for first, end in spans:
        if first < at:
            page.defects.append((f"what lies at {first} overlaps what is before it", first))
            return
        stray += first - at
        at = end
    stray += PAGE - at
    if stray != fragments:
        page.defects.append(
            (f"{stray} bytes of its content belong to nothing, and its header counts {fragments}", start + 5)
        )


_LENGTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
"""Bytes of a column by its serial type, up to the two reserved ones."""


def _length(serial: int) -> int:
    if serial >= 12:
        return (serial - 12) // 2
    if serial >= len(_LENGTHS):
        raise RecordError(_said(f"has a column of the reserved type {serial}"))
    return _LENGTHS[serial]


_LARGER_THAN = {1: 0, 2: 1 << 7, 3: 1 << 15, 4: 1 << 23, 5: 1 << 31, 6: 1 << 47}
"""By serial type: an integer below this would have been stored in a shorter form."""


def _said(what: str) -> str:
    return f"the row {what}"
