"""The auditor's program: does this log hold what was once signed, all of it and unaltered?

In comes a log, either the database that the writer keeps or an export of it, and the public half of the key
that signs
its checkpoints.
Out comes a `Report` that says what was proved, and names every damaged entry, page or line.
Nothing here is shared with the writer, and no other part of ALTAR is imported: the standard library reads
the files
(SQLite's own library is not trusted with that), and `cryptography` checks the signatures.
The formats are described in docs/reference/audit-format.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Literal

from altar.verify import database, export, wal
from altar.verify.log import LogCheck
from altar.verify.notes import Checkpoint, Key, NoteError, open_note, parse_vkey
from altar.verify.report import Finding, Findings, Location, Report

__all__ = ["Finding", "Location", "Report", "locate", "verify"]

_READINGS = 3


def verify(
    path: str | PathLike[str],
    *,
    vkey: str,
    since: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check the log at `path` and say what was proved.

    `path` is a database (`ledger.db`, with its `-wal` beside it if the writer was killed) or an export;
    which of the
    two is seen from its content.
    `vkey` is the verifier key in the form "<name>+<key id>+<base64>", from a source you trust.
    `since` is the text of a signed checkpoint obtained elsewhere: the log must go on from it.
    `progress` is called now and then with the number of entries checked so far.

    A file that is changed meanwhile is read again, three times at most.
    Whatever the file holds, the answer is a report, never an exception.
    Raises ValueError if `vkey` is not a verifier key or `since` is not signed by it, OSError if the file
    cannot be read.
    """
    key = parse_vkey(vkey)
    elsewhere = _open_since(since, key)
    file = Path(path)
    kind = _kind(file)
    for _ in range(_READINGS):
        findings = Findings()
        before = database.fingerprint(file)
        if kind == "database":
            log = database.check_database(file, findings, key=key, since=elsewhere, progress=progress)
        else:
            log = export.check_export(file, findings, key=key, vkey=vkey, since=elsewhere, progress=progress)
        if not findings or before == database.fingerprint(file):
            break
    else:
        findings.add("file", "was changed while it was read: verify an export, or a copy that nobody writes")
    size = len(log.outcome_of)
    return Report(
        ok=not findings,
        kind=kind,
        origin=log.origin or "",
        entries=log.entries,
        intents=log.intents,
        outcomes=log.outcomes,
        open_intents=len(log.open),
        verified_size=log.verified_size,
        verified_time=log.verified_time,
        unsigned_tail=size - log.verified_size,
        findings=findings.all(),
        statement=_statement(log, findings, key, elsewhere),
    )


def locate(path: str | PathLike[str], offset: int) -> Location:
    """Say what the byte at `offset` of a log's file is for, and whether it is used at all.

    The file may be a database, its write-ahead log, or an export.

    Raises ValueError if the file has no such byte, OSError if it cannot be read.
    """
    file = Path(path)
    size = file.stat().st_size
    if not 0 <= offset < size:
        raise ValueError(f"there is no byte {offset} in {file.name!r}, which has {size}")
    with file.open("rb") as opened:
        magic = opened.read(4)
    if magic in {wal.MAGIC_LITTLE, wal.MAGIC_BIG}:
        return wal.locate_in_wal(file, offset)
    if _kind(file) == "database":
        return database.locate_in_database(file, offset)
    return export.locate_in_export(file, offset)


def _open_since(since: str | None, key: Key) -> Checkpoint | None:
    if since is None:
        return None
    try:
        return open_note(since.encode("utf-8", "surrogatepass"), key, strict=False)
    except NoteError as error:
        raise ValueError(f"the checkpoint obtained elsewhere proves nothing: {error}") from error


def _kind(file: Path) -> Literal["database", "export"]:
    """Tell the two forms apart by their first bytes, even if some of these are damaged."""
    with file.open("rb") as opened:
        first = opened.read(len(export.MAGIC))
    like_database = sum(a == b for a, b in zip(first, database.MAGIC, strict=False))
    like_export = sum(a == b for a, b in zip(first, export.MAGIC, strict=False))
    return "export" if like_export > like_database else "database"


def _statement(log: LogCheck, findings: Findings, key: Key, since: Checkpoint | None) -> str:
    """Say in a few sentences what was proved and what was not."""
    said: list[str] = []
    if findings:
        said.append(f"Damaged: {len(findings)} finding{'s' if len(findings) > 1 else ''}.")
    if log.verified_size:
        said.append(
            f"The first {log.verified_size} entries are complete and unaltered, by a checkpoint signed with "
            f"{key.name!r}{_until(log.verified_time)}."
        )
    else:
        said.append("No entry is proved by a signed checkpoint.")
    tail = len(log.outcome_of) - log.verified_size
    if tail:
        said.append(f"The {tail} entries after them are not proved by any signature.")
    if since is None:
        said.append(
            "That the log was not rolled back or forked is proved only against a checkpoint obtained "
            "elsewhere, and none was given."
        )
    elif log.since_proved:
        said.append(f"The log goes on from the checkpoint over {since.size} entries obtained elsewhere.")
    else:
        said.append(f"It is not proved that the log goes on from the checkpoint over {since.size} entries given.")
    return " ".join(said)


def _until(time: int | None) -> str:
    if time is None:
        return ""
    try:
        moment = datetime.fromtimestamp(time / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"; the last of them is of {moment.isoformat(timespec='seconds')}"
