"""SQLite's write-ahead log, read without SQLite.

`read_wal` returns the pages of all committed transactions in `<database>-wal`, checked by the salts and the
running
checksum that SQLite itself uses.
Bytes after the last committed transaction are no part of the database.
A frame that is broken although a commit of the same generation follows it is damage.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

from .report import Findings, Location

HEADER = 32
FRAME_HEADER = 24
PAGE = 4096
FRAME = FRAME_HEADER + PAGE
MAGIC_LITTLE = b"\x37\x7f\x06\x82"
MAGIC_BIG = b"\x37\x7f\x06\x83"

_VERSION = 3007000


@dataclass(slots=True)
class Wal:
    """The committed content of a write-ahead log.

    `pages` are the newest committed bytes of each page, `count` the size of the database in pages after the
    last
    commit (0 if nothing was committed), `frames` how many frames that took, `tail` how many bytes come
    after them.
    """

    pages: dict[int, bytes] = field(default_factory=dict)
    count: int = 0
    frames: int = 0
    tail: int = 0


def read_wal(path: Path, findings: Findings) -> Wal:
    """Read the write-ahead log at `path`; one whose header never got written holds nothing."""
    data = path.read_bytes()
    wal = Wal(tail=len(data))
    if len(data) < HEADER:
        return wal
    wrong = _check_header(data)
    if wrong:
        if len(data) >= HEADER + FRAME:
            findings.add("write-ahead log: header", wrong, offset=0)
        return wal
    order = "<" if data[:4] == MAGIC_LITTLE else ">"
    sums = _checksum(data[:24], order, (0, 0))
    waiting: dict[int, bytes] = {}
    total = (len(data) - HEADER) // FRAME
    for index in range(total):
        at = HEADER + index * FRAME
        number, commit = struct.unpack_from(">II", data, at)
        if data[at + 8 : at + 16] != data[16:24]:
            _tell_break(data, index, total, findings)
            break
        page = data[at + FRAME_HEADER : at + FRAME]
        sums = _checksum(page, order, _checksum(data[at : at + 8], order, sums))
        if sums != struct.unpack_from(">II", data, at + 16) or not number:
            _tell_break(data, index, total, findings)
            break
        waiting[number] = page
        if commit:
            wal.pages.update(waiting)
            waiting.clear()
            wal.count, wal.frames = commit, index + 1
    wal.tail = len(data) - HEADER - wal.frames * FRAME
    return wal


def locate_in_wal(path: Path, offset: int) -> Location:
    """Say what the byte at `offset` of a write-ahead log belongs to."""
    wal = read_wal(path, Findings())
    if offset < HEADER:
        return Location("write-ahead log: header", used=wal.frames > 0)
    index, at = divmod(offset - HEADER, FRAME)
    with path.open("rb") as file:
        file.seek(HEADER + index * FRAME)
        number = int.from_bytes(file.read(4), "big")
    if index >= wal.frames:
        return Location("write-ahead log: after the last committed transaction (unused)", used=False)
    part = "header" if at < FRAME_HEADER else f"byte {at - FRAME_HEADER} of the page"
    return Location(f"write-ahead log: frame {index} (page {number}), {part}", used=True, page=number)


def _check_header(data: bytes) -> str | None:
    """Return what is wrong with the 32 bytes of the header, or None."""
    if data[:4] not in {MAGIC_LITTLE, MAGIC_BIG}:
        return "does not begin with the magic number, so that nothing of it counts"
    version, size = struct.unpack_from(">II", data, 4)
    if (version, size) != (_VERSION, PAGE):
        return f"is of version {version} with pages of {size} bytes"
    order = "<" if data[:4] == MAGIC_LITTLE else ">"
    if _checksum(data[:24], order, (0, 0)) != struct.unpack_from(">II", data, 24):
        return "does not match its checksum, so that nothing of it counts"
    return None


def _tell_break(data: bytes, index: int, total: int, findings: Findings) -> None:
    """A frame does not follow: the end of the log, or damage if a commit of the same salts comes after it.

    Frames without a commit may be what a killed writer left behind; the next one writes over only some of them.
    """
    salts = data[16:24]
    later = 0
    for number in range(index + 1, total):
        at = HEADER + number * FRAME
        if data[at + 8 : at + 16] == salts and data[at + 4 : at + 8] != bytes(4):
            later = number - index
    if not later:
        return
    at = HEADER + index * FRAME
    page = int.from_bytes(data[at : at + 4], "big")
    findings.add(
        f"write-ahead log: frame {index} (page {page})",
        f"does not match its checksum, so that it and {later} frames after it do not count",
        page=page,
        offset=at,
    )


def _checksum(data: bytes, order: str, sums: tuple[int, int]) -> tuple[int, int]:
    """Carry SQLite's pair of running sums over `data`, taken as 32-bit words."""
    first, second = sums
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for index in range(0, len(words), 2):
        first = first + words[index] + second & 0xFFFFFFFF
        second = second + words[index + 1] + first & 0xFFFFFFFF
    return first, second
