"""The journal of a caller: what ran in its own process, on its own disk, until its host has it in the log.

One file for each session that runs tools itself, of one JSON line for each thing that happened, each with a check that
covers the lines before it:

- ``journal``: whose file it is, and for which host;
- ``began``: a call is about to run; durable before it does, with room on the disk kept for its end;
- ``ended``: how it ended; durable before its caller is answered;
- ``disputed``: the host refused the report, and somebody has to look.

The file is deleted when the host has recorded every line of it, and kept as ``….disputed`` when it refused one.
What a process leaves behind when it is killed is shipped by the next session of the same principal.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import orjson

from altar.adm.errors import Ran
from altar.grid.reports import FallbackCall, Report

__all__ = ["Began", "Call", "Ended", "JournalFile", "JournalRead", "left_over", "read_journal"]

ROTATED_AT: Final = 1024 * 1024
"""Bytes after which new calls go to a new file."""
MOST_BYTES: Final = 64 * 1024 * 1024
"""A larger file is no journal of ours, and is not read."""
MOST_FILES: Final = 1_024
"""Files of a directory that are looked at."""

DISPUTED: Final = ".disputed"
"""The ending of a file that somebody has to look at."""

_LINE = re.compile(rb'\{"check":"([0-9a-f]{32})","record":(\{.*\})\}')
_KEPT_FOR_AN_END = 640
"""Bytes on the disk that are kept for the last words on each call that runs."""
_STEP = 64 * 1024


@dataclass(frozen=True, slots=True)
class Began:
    """A call that is about to run. ``invocation`` is its permit; ``contract`` and ``arguments`` are digests.

    Without a permit the call asked nobody, because no host could be reached; ``session`` is the one it belongs to.
    """

    position: int
    invocation: str
    call: str
    tool: str
    version: str
    contract: str
    arguments: str
    session: str
    correlation: str
    time: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How the call at that position ended; ``result`` is a digest, or empty. ``time`` is milliseconds since 1970."""

    position: int
    status: Literal["SUCCESS", "ERROR"]
    code: str
    ran: Ran
    result: str
    time: int


@dataclass(slots=True)
class Call:
    """What a journal says of one call; without an end its process was killed while it ran."""

    began: Began
    ended: Ended | None = None
    disputed: str = ""

    def report(self, journal: str) -> Report:
        """What the host is told of it; of a call without an end, that nobody knows."""
        began = self.began
        ended = self.ended or Ended(began.position, "ERROR", "OUTCOME_UNKNOWN", "unknown", "", began.time)
        fallback = None
        if not began.invocation:
            fallback = FallbackCall(
                began.tool, began.version, began.contract, began.arguments, began.session, began.correlation
            )
        return Report(
            permit=began.invocation,
            call_id=began.call,
            status=ended.status,
            code=ended.code,
            ran=ended.ran,
            result=ended.result,
            began_ms=began.time,
            ended_ms=max(began.time, ended.time),
            journal=journal,
            position=began.position,
            fallback=fallback,
        )


@dataclass(slots=True)
class JournalRead:
    """What is in a file: whose it is, its calls by position, and what is wrong with it, empty when nothing is.

    ``size`` is how many of its bytes hold, and ``check`` covers them.
    """

    path: Path
    journal: str = ""
    principal: str = ""
    target: str = ""
    calls: dict[int, Call] = field(default_factory=dict)
    damaged: str = ""
    size: int = 0
    check: str = ""


class JournalFile:
    """One journal that is being written. For one thread; every method blocks until the disk has what it says.

    Each raises OSError when the disk takes it not; the file is then as it was before.
    """

    def __init__(self, directory: Path, *, principal: str, target: str) -> None:
        """Take the names; nothing is written before the first call begins."""
        self.name = secrets.token_hex(16)
        self.path = directory / f"{self.name}.jsonl"
        self._header = {"journal": self.name, "kind": "journal", "principal": principal, "target": target, "v": 1}
        self._file = -1
        self._size = 0
        self._room = 0
        self._check = ""
        self._head = (0, "")

    @classmethod
    def resume(cls, read: JournalRead, file: int) -> JournalFile:
        """Go on with a file that was left behind; ``file`` is its descriptor, with the lock."""
        made = cls(read.path.parent, principal=read.principal, target=read.target)
        made.name, made.path = read.journal, read.path
        made._file, made._size, made._room, made._check = file, read.size, read.size, read.check
        return made

    @property
    def size(self) -> int:
        """How many bytes have been written."""
        return self._size

    def write(self, began: Sequence[Began] = (), ended: Sequence[Ended] = (), *, open_calls: int = 0) -> None:
        """Calls are about to run, and others have ended; room is kept for the ends of ``open_calls``."""
        if self._file < 0:
            self._create()
        lines = [{"kind": "began", **asdict(call)} for call in began]
        lines += [{"kind": "ended", **asdict(call)} for call in ended]
        self._append(lines, keep=open_calls * _KEPT_FOR_AN_END)

    def clear(self) -> None:
        """Forget all calls, each of which the host has recorded; should that be lost, they are sent once more."""
        if self._file >= 0:
            os.ftruncate(self._file, self._head[0])
            self._size, self._check = self._head
            self._room = self._size

    def dispute(self, position: int, code: str) -> None:
        """The host refused to record the call at that position."""
        self._append([{"kind": "disputed", "position": position, "code": code}], keep=0)

    def close(self, *, answered: bool, disputed: bool) -> None:
        """Let go of the file: delete it when all of it was ``answered``, unless something is ``disputed``."""
        if self._file < 0:
            return
        if answered and disputed:
            self.path.rename(self.path.with_suffix(DISPUTED))
        elif answered:
            self.path.unlink(missing_ok=True)
        os.close(self._file)  # and with it the lock
        self._file = -1

    def _create(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._file = file
            self._append([self._header], keep=0)
            self._head = (self._size, self._check)
            _sync_directory(self.path.parent)
        except OSError:
            self._file = -1
            self.path.unlink(missing_ok=True)
            os.close(file)
            raise

    def _append(self, records: Iterable[dict[str, Any]], *, keep: int) -> None:
        check, lines = self._check, []
        for record in records:
            body = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
            check = _checked(check, body)
            lines.append(b'{"check":"%s","record":%s}\n' % (check.encode(), body))
        data = b"".join(lines)
        needed = self._size + len(data) + keep
        if needed > self._room:
            room = -(-needed // _STEP) * _STEP if keep else needed
            os.posix_fallocate(self._file, 0, room)
            self._room = room
        written = 0
        while written < len(data):
            written += os.pwrite(self._file, data[written:], self._size + written)
        os.fsync(self._file)
        self._size, self._check = self._size + len(data), check


def read_journal(path: Path) -> JournalRead:
    """What a journal says, up to the first line that does not hold.

    A last line that was cut off by the end of its process is no damage: what it says had not happened yet.
    Raises OSError when it cannot be read.
    """
    with path.open("rb") as file:
        data = file.read(MOST_BYTES + 1)
    read = JournalRead(path)
    if len(data) > MOST_BYTES:
        read.damaged = f"it has more than {MOST_BYTES} bytes"
        return read
    lines = data.rstrip(b"\0").splitlines(keepends=True)
    for number, line in enumerate(lines, 1):
        wrong = _take(read, line)
        if wrong:
            cut_off = number == len(lines) and not line.endswith(b"\n")
            read.damaged = "" if cut_off else f"line {number} {wrong}"
            break
        read.size += len(line)
    return read


def left_over(directory: Path, *, principal: str, target: str = "") -> Iterator[tuple[JournalRead, int]]:
    """The journals of that principal that no process holds any more, each with its locked descriptor.

    With a ``target`` only those for that host.
    Whoever takes one ends it with :meth:`JournalFile.close`.
    """
    for path in sorted(directory.glob("*.jsonl"))[:MOST_FILES]:
        try:
            file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            read = read_journal(path)
        except OSError:  # its process is alive, or it has just been shipped
            os.close(file)
            continue
        if read.principal == principal and (not target or read.target == target):
            yield read, file
        else:
            os.close(file)


def _take(read: JournalRead, line: bytes) -> str:
    """Add one line to what was read; what is wrong with it, or nothing."""
    found = _LINE.fullmatch(line.removesuffix(b"\n"))
    if found is None or not line.endswith(b"\n"):
        return "is not a line of a journal"
    check = _checked(read.check, found[2])
    if check != found[1].decode():
        return "is not as it was written"
    try:
        _understand(read, orjson.loads(found[2]))
    except (ValueError, TypeError, KeyError):
        return "says nothing that a journal says"
    read.check = check
    return ""


def _understand(read: JournalRead, record: dict[str, Any]) -> None:
    kind = record.pop("kind")
    if kind == "journal" and record.pop("v") == 1:
        read.journal, read.principal, read.target = record["journal"], record["principal"], record["target"]
    elif kind == "began":
        began = Began(**record)
        read.calls[began.position] = Call(began)
    elif kind == "ended":
        ended = Ended(**record)
        read.calls[ended.position].ended = ended
    elif kind == "disputed":
        read.calls[record["position"]].disputed = record["code"]
    else:
        raise ValueError(kind)


def _checked(before: str, body: bytes) -> str:
    return hashlib.sha256(before.encode() + body).hexdigest()[:32]


def _sync_directory(directory: Path) -> None:
    handle = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
