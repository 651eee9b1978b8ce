"""A disk whose power can be cut: every write, truncate, sync and delete is recorded in order.

`RecordingDisk` passes everything through to real files and keeps the list of operations.
`surviving_files` then tells what a disk would hold had the power failed after any number of them.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal, cast

import apsw

from altar.ledger.sqlite import Connection

SECTOR = 512


@dataclass(frozen=True, slots=True)
class Operation:
    kind: Literal["open", "write", "truncate", "sync", "delete", "note"]
    file: str
    offset: int = 0
    data: bytes = b""
    note: object = None


class RecordingDisk(apsw.VFS):
    """A file system for SQLite that records; `fail_sync_after` makes each later sync an I/O error."""

    def __init__(self, name: str) -> None:
        super().__init__(name, base="unix")
        self.name = name
        self.operations: list[Operation] = []
        self.syncs_left: int | None = None

    def connect(self, path: str) -> Connection:
        connection = apsw.Connection(path, vfs=self.name)
        list(connection.execute("PRAGMA wal_autocheckpoint = 6"))
        return cast("Connection", connection)

    def note(self, what: object) -> None:
        self.operations.append(Operation("note", "", note=what))

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        return _RecordingFile(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self.operations.append(Operation("delete", Path(filename).name, offset=int(syncdir)))


class _RecordingFile(apsw.VFSFile):
    def __init__(self, disk: RecordingDisk, name: str | apsw.URIFilename | None, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        self._name = Path(path).name if path else ""
        self._disk = disk
        self._record("open")

    def xWrite(self, data: bytes, offset: int) -> None:
        super().xWrite(data, offset)
        self._record("write", offset, bytes(data))

    def xTruncate(self, newsize: int) -> None:
        super().xTruncate(newsize)
        self._record("truncate", newsize)

    def xSync(self, flags: int) -> None:
        if self._disk.syncs_left is not None:
            self._disk.syncs_left -= 1
            if self._disk.syncs_left < 0:
                raise apsw.IOError("the disk is gone")
        super().xSync(flags)
        self._record("sync")

    def _record(self, kind: Literal["open", "write", "truncate", "sync"], offset: int = 0, data: bytes = b"") -> None:
        if self._name:
            self._disk.operations.append(Operation(kind, self._name, offset, data))


@dataclass(slots=True)
class _File:
    durable: bytes | None = None  # None: the folder's entry for it is not durable
    pending: list[Operation] = field(default_factory=list)
    deleted: bool = False


def surviving_files(
    operations: Sequence[Operation],
    *,
    before: Mapping[str, bytes] = MappingProxyType({}),
    chance: random.Random | None = None,
) -> dict[str, bytes]:
    """Tell what the files hold when the power fails right after `operations` on the files `before`.

    Without `chance` everything since the last sync of each file is lost.
    With it, each unsynced sector, truncation and deletion survives or not by chance.
    """
    files = {name: _File(durable=content) for name, content in before.items()}
    for operation in operations:
        if operation.kind == "note":
            continue
        file = files.setdefault(operation.file, _File())
        match operation.kind:
            case "write" | "truncate":
                file.pending.append(operation)
                file.deleted = False
            case "sync":
                new = file.durable is None
                file.durable = _applied(file.durable or b"", file.pending)
                file.pending.clear()
                if new:  # SQLite syncs the folder with the first sync of a new file
                    _settle_folder(files)
            case "delete":
                file.deleted = True
                if operation.offset:
                    _settle_folder(files)
            case _:
                if file.deleted:
                    files[operation.file] = _File()
    share = chance.choice((0.1, 0.5, 0.9)) if chance else 0.0
    survivors = {}
    for name, file in files.items():
        if chance and file.deleted and chance.random() < share:
            continue
        kept = [
            part for operation in file.pending for part in _sectors(operation) if chance and chance.random() < share
        ]
        if file.durable is not None or kept:
            survivors[name] = _applied(file.durable or b"", kept)
    return survivors


def _settle_folder(files: dict[str, _File]) -> None:
    for name in [name for name, file in files.items() if file.deleted]:
        del files[name]


def _sectors(operation: Operation) -> list[Operation]:
    if operation.kind != "write":
        return [operation]
    return [
        Operation("write", operation.file, operation.offset + at, operation.data[at : at + SECTOR])
        for at in range(0, len(operation.data), SECTOR)
    ]


def _applied(content: bytes, operations: Sequence[Operation]) -> bytes:
    image = bytearray(content)
    for operation in operations:
        if operation.kind == "truncate":
            del image[operation.offset :]
        else:
            end = operation.offset + len(operation.data)
            image.extend(bytes(max(0, end - len(image))))
            image[operation.offset : end] = operation.data
    return bytes(image)
