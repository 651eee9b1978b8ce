"""The log as it is handed out: one text file, JSON Lines, strict to the byte.

`check_export` feeds a `LogCheck` from the file and checks the lines around the entries: the first, the
checkpoints, and
the last with the digest of all before it.
The file is read twice, line by line, and never held in memory.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from .entries import EntryError, read_canonical
from .log import CheckpointRow, EntryRow, LogCheck
from .notes import Checkpoint, Key, parse_vkey, vkey_under
from .report import Findings, Location

MAGIC = b'{"altar_audit_export":'

_HEAD_1 = b'{"altar_audit_export":1,'
_OF_ENTRIES = (b'{"entry"', b'{"leaf"')  # one that is there, and one of which only the hash is
_LONGEST_LINE = 64 * 1024
_SMALLEST_ENTRY = 60  # bytes of the shortest line of an entry


@dataclass(frozen=True, slots=True)
class _Line:
    """One line: its number from 1, the offset of its first byte, and its bytes with the line feed."""

    number: int
    offset: int
    data: bytes


@dataclass(slots=True)
class _Frame:
    """What the first reading found: the members of the first line, the checkpoints, the size in bytes."""

    header: dict[str, object] = field(default_factory=dict)
    checkpoints: list[CheckpointRow] = field(default_factory=list)
    size: int = 0


def check_export(
    path: Path,
    findings: Findings,
    *,
    key: Key,
    vkey: str,
    since: Checkpoint | None,
    progress: Callable[[int], None] | None,
) -> LogCheck:
    """Check the export at `path` and return the finished check of its log; OSError if it cannot be read."""
    with path.open("rb") as file:
        frame = _read_frame(file, findings)
        log = LogCheck(
            findings,
            key=key,
            checkpoints=iter(frame.checkpoints),
            most=frame.size // _SMALLEST_ENTRY,
            since=since,
            progress=progress,
            version=2 if frame.header.get("altar_audit_export") == 2 else 1,
        )
        for row in _entries(file, findings):
            log.add(row)
        log.finish()
        if since is not None and log.version > 1:
            log.check_since(since)
    _check_header(frame.header, log, vkey, findings)
    return log


def locate_in_export(path: Path, offset: int) -> Location:
    """Say what the byte at `offset` is for; every byte of an export is used."""
    with path.open("rb") as file:
        for line in _lines(file):
            if line.offset <= offset < line.offset + len(line.data):
                return _locate_in_line(line)
    return Location("after the last line", used=True)


def _lines(file: BinaryIO) -> Iterator[_Line]:
    """Yield the lines of the file; of one that is far too long, in pieces that no reader takes for a line."""
    file.seek(0)
    offset = 0
    number = 0
    whole = True
    while data := file.readline(_LONGEST_LINE):
        number += whole
        yield _Line(number, offset, data)
        offset += len(data)
        whole = data.endswith(b"\n")


def _read_frame(file: BinaryIO, findings: Findings) -> _Frame:
    """Read all lines that are not entries; the entries come in the second reading."""
    frame = _Frame()
    digest = hashlib.sha256()
    newest = _Line(0, 0, b"")
    ended = False
    for line in _lines(file):
        if ended:
            findings.add(f"line {line.number}", "comes after the end", offset=line.offset)
            ended = False
        frame.size += len(line.data)
        newest = line
        if line.number == 1:
            frame.header = _read_header(line, findings)
        elif line.data.startswith(b'{"end"'):
            _check_end(line, digest.hexdigest(), findings)
            ended = True
        elif line.data.startswith(b'{"checkpoint"'):
            _read_checkpoint(line, frame, findings)
        elif not line.data.startswith(_OF_ENTRIES):
            findings.add(f"line {line.number}", "is none of header, entry, checkpoint and end", offset=line.offset)
        elif frame.checkpoints:
            findings.add(f"line {line.number}", "is an entry after a checkpoint", offset=line.offset)
        digest.update(line.data)
    if not ended:
        findings.add(
            f"line {newest.number}",
            "is the last one, and not the end: the file is cut off or empty",
            offset=newest.offset,
        )
    return frame


def _read_header(line: _Line, findings: Findings) -> dict[str, object]:
    """Return the members of the first line, empty if they are not what they should be."""
    types = {"altar_audit_export": int, "origin": str, "size": int, "vkey": str}
    if not line.data.startswith(_HEAD_1):
        types["tenant"] = str
    members = _members(line, types)
    if isinstance(members, str):
        findings.add("line 1", members, offset=0)
        return {}
    if members["altar_audit_export"] not in {1, 2}:
        findings.add("line 1", f"is of format {members['altar_audit_export']}, and 1 and 2 are known", offset=0)
    return members


def _check_header(header: dict[str, object], log: LogCheck, vkey: str, findings: Findings) -> None:
    """The first line states what the rest of the file shows."""
    if not header:
        return
    tenant = quote(str(header.get("tenant", "")), safe="@:")
    behind = f"/{tenant}" if tenant else ""
    given = vkey.strip()
    shown = {"origin": log.origin, "size": len(log.outcome_of)}
    keys = {vkey_under(key, behind) for key in log.keys.keys if key is not log.keys.given}
    if not log.has_foreign_key and header["vkey"] not in keys:
        shown["vkey"] = given if given.split("+", 1)[0].endswith(behind) else vkey_under(parse_vkey(given), behind)
    if behind and not str(log.origin).endswith(behind):
        findings.add("line 1", f"states tenant {header['tenant']!r}, and the log is {log.origin!r}", offset=0)
    for name, due in shown.items():
        if header[name] != due:
            findings.add("line 1", f"states {name} {header[name]!r}, and the rest shows {due!r}", offset=0)


def _check_end(line: _Line, digest: str, findings: Findings) -> None:
    members = _members(line, {"end": str})
    where = f"line {line.number} (end)"
    if isinstance(members, str):
        findings.add(where, members, offset=line.offset)
    elif members["end"] != f"sha256:{digest}":
        findings.add(where, "its digest is not that of the bytes before it", offset=line.offset)


def _read_checkpoint(line: _Line, frame: _Frame, findings: Findings) -> None:
    members = _members(line, {"checkpoint": str, "size": int})
    if isinstance(members, str):
        findings.add(f"line {line.number}", members, offset=line.offset)
        return
    size, note = members["size"], members["checkpoint"]
    where = f"line {line.number} (checkpoint {size})"
    if isinstance(size, int) and isinstance(note, str):
        frame.checkpoints.append(CheckpointRow(size, note.encode(), None, where, None, line.offset))


def _entries(file: BinaryIO, findings: Findings) -> Iterator[EntryRow]:
    """Yield the entries in the order of their lines, each under the number that it must have.

    A number that does not follow is damage if the next line goes on as if it did, else entries are missing.
    """
    due = 0
    waiting: EntryRow | None = None
    for row in _rows(file, findings):
        if waiting is not None:
            yield (settled := _settle(waiting, due, row.seq - 1, findings))
            due = settled.seq + 1
        waiting = row
    if waiting is not None:
        yield _settle(waiting, due, due, findings)


def _settle(row: EntryRow, due: int, before_next: int, findings: Findings) -> EntryRow:
    """Return the row under the number `due` if the row after it says so, else under its own."""
    if row.seq in {due, before_next} or before_next != due:
        return row
    findings.add(row.where, f"is numbered {row.seq}, and {due} was due", seq=due, offset=row.offset)
    return row._replace(seq=due, number=due)


def _rows(file: BinaryIO, findings: Findings) -> Iterator[EntryRow]:
    """Yield the lines of entries as they are."""
    for line in _lines(file):
        if line.number == 1 or not line.data.startswith(_OF_ENTRIES):
            continue
        is_gone = line.data.startswith(_OF_ENTRIES[1])
        members = _members(line, {"leaf": str, "seq": int} if is_gone else {"entry": str, "leaf": str, "seq": int})
        if isinstance(members, str):
            findings.add(f"line {line.number}", members, offset=line.offset)
            continue
        seq = int(str(members["seq"]))
        where = f"line {line.number} (entry {seq})"
        leaf = _leaf(str(members["leaf"]))
        if leaf is None:
            findings.add(where, "its leaf hash is not 32 bytes in base64", seq=seq, offset=line.offset)
            leaf = b""
        if members.get("entry") == "":
            findings.add(where, "is empty", seq=seq, offset=line.offset)
        yield EntryRow(seq, str(members.get("entry", "")).encode(), leaf, where, None, line.offset, seq)


def _leaf(text: str) -> bytes | None:
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    return raw if len(raw) == 32 and base64.b64encode(raw).decode() == text else None


def _members(line: _Line, types: dict[str, type]) -> dict[str, object] | str:
    """Return the members of a line if it is canonical JSON with exactly these; else what is wrong with it."""
    if not line.data.endswith(b"\n"):
        return "does not end in a line feed, or is far too long"
    try:
        value = read_canonical(line.data[:-1])
    except EntryError:
        return "is not canonical JSON"
    if not isinstance(value, dict) or value.keys() != types.keys():
        return f"has not exactly the members {', '.join(types)}"
    for name, kind in types.items():
        if type(value[name]) is not kind:
            return f"has a member {name!r} of the wrong type"
    return value


def _locate_in_line(line: _Line) -> Location:
    name, seq = "", None
    if line.number == 1:
        name = " (header)"
    elif line.data.startswith(_OF_ENTRIES):
        seq = line.number - 2
        name = f" (entry {seq})"
    elif line.data.startswith(b'{"checkpoint"'):
        name = " (checkpoint)"
    elif line.data.startswith(b'{"end"'):
        name = " (end)"
    return Location(f"line {line.number}{name}", used=True, seq=seq)
