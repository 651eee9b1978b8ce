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

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Literal

from . import database, export, layout, wal
from .log import LogCheck
from .notes import Checkpoint, ForeignKeyError, Key, NoteError, open_note, parse_vkey, read_unsigned
from .report import Finding, Findings, Location, LogReport, Report
from .witnesses import check_cosignature

__all__ = ["Finding", "Location", "LogReport", "Report", "locate", "verify"]

_READINGS = 3
_NAMED = 8
"""Logs that are spoken of one by one where there is nothing else to say; `Report.logs` has all of them."""


def verify(
    path: str | PathLike[str],
    *,
    vkey: str,
    since: str | None = None,
    witnesses: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Check the log at `path` and say what was proved.

    `path` is a database (`ledger.db`, with its `-wal` beside it if the writer was killed) or an export;
    which of the
    two is seen from its content.
    `vkey` is the verifier key in the form "<name>+<key id>+<base64>", from a source you trust.
    `since` is the text of a signed checkpoint obtained elsewhere: the log must go on from it.
    `witnesses` are the verifier keys of witnesses (C2SP) that must each have cosigned that checkpoint; then it need not
    come from a source you trust.
    `progress` is called now and then with the number of entries checked so far.

    A file that is changed meanwhile is read again, three times at most.
    Whatever the file holds, the answer is a report, never an exception.
    Raises ValueError if `vkey` is not a verifier key, or `since` is not signed by it and by all witnesses, OSError if
    the file cannot be read.
    """
    key = parse_vkey(vkey)
    elsewhere = _open_since(since, key)
    cosigned = _cosignatures(since, witnesses)
    file = Path(path)
    kind = _kind(file)
    for _ in range(_READINGS):
        findings = Findings()
        before = database.fingerprint(file)
        if kind == "database":
            logs = database.check_database(file, findings, key=key, since=elsewhere, progress=progress)
        else:
            logs = [export.check_export(file, findings, key=key, vkey=vkey, since=elsewhere, progress=progress)]
        if not findings or before == database.fingerprint(file):
            break
    else:
        findings.add("file", "was changed while it was read: verify an export, or a copy that nobody writes")
    if since is not None:
        _require_signed(since, key, logs)
    each = tuple(_report(log) for log in logs)
    return Report(
        ok=not findings,
        kind=kind,
        origin=each[0].origin,
        entries=sum(log.entries for log in each),
        intents=sum(log.intents for log in each),
        outcomes=sum(log.outcomes for log in each),
        open_intents=sum(log.open_intents for log in each),
        verified_size=sum(log.verified_size for log in each),
        verified_time=max((log.verified_time for log in each if log.verified_time is not None), default=None),
        unsigned_tail=sum(log.unsigned_tail for log in each),
        findings=findings.all(),
        statement=" ".join([_statement(logs, findings, key, elsewhere), *cosigned]),
        logs=each,
        foreign_key=all(log.has_foreign_key for log in logs),
        removed=sum(log.removed for log in each),
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
    note = since.encode("utf-8", "surrogatepass")
    try:
        return open_note(note, key, strict=False)
    except ForeignKeyError:
        return read_unsigned(note)  # by another key of this log, perhaps: that is known when the log has been read
    except NoteError as error:
        raise ValueError(f"the checkpoint obtained elsewhere proves nothing: {error}") from error


def _require_signed(since: str, key: Key, logs: list[LogCheck]) -> None:
    """Raise ValueError unless the given key has signed the checkpoint, or one that it is joined to in a log here."""
    note, problem = since.encode("utf-8", "surrogatepass"), NoteError("it is not signed")
    joined = [each for log in logs if log.keys.is_trusted for each in log.keys.keys]
    for each in (key, *joined):
        try:
            open_note(note, each, strict=False)
        except NoteError as error:
            problem = error if each is key else problem
        else:
            return
    raise ValueError(f"the checkpoint obtained elsewhere proves nothing: {problem}") from problem


def _cosignatures(since: str | None, witnesses: Sequence[str]) -> list[str]:
    """Say who has cosigned the checkpoint obtained elsewhere; ValueError unless all of them have."""
    if witnesses and since is None:
        raise ValueError("a witness proves something only with the checkpoint that it cosigned")
    made = [check_cosignature((since or "").encode("utf-8", "surrogatepass"), vkey) for vkey in witnesses]
    return [
        f"That checkpoint was cosigned by the witness {each.witness!r}{_until(each.time * 1000, ' at')}."
        for each in made
    ]


def _kind(file: Path) -> Literal["database", "export"]:
    """Tell the two forms apart by their first bytes, even if some of these are damaged."""
    with file.open("rb") as opened:
        first = opened.read(len(export.MAGIC))
    like_database = sum(a == b for a, b in zip(first, layout.MAGIC, strict=False))
    like_export = sum(a == b for a, b in zip(first, export.MAGIC, strict=False))
    return "export" if like_export > like_database else "database"


def _report(log: LogCheck) -> LogReport:
    """Sum up the check of one log."""
    return LogReport(
        origin=log.origin or "",
        entries=log.entries,
        intents=log.intents,
        outcomes=log.outcomes,
        open_intents=len(log.open),
        verified_size=log.verified_size,
        verified_time=log.verified_time,
        unsigned_tail=len(log.outcome_of) - log.verified_size,
        since_proved=log.since_proved,
        removed=log.retention.removed,
        rotations=log.keys.rotations,
    )


def _statement(logs: list[LogCheck], findings: Findings, key: Key, since: Checkpoint | None) -> str:
    """Say in a few sentences what was proved and what was not."""
    said: list[str] = []
    if all(log.has_foreign_key for log in logs):
        said.append(f"Nothing was judged: {key.name!r} with key id {key.key_id.hex()} is not the key of this log.")
    elif findings:
        said.append(f"Damaged: {len(findings)} finding{'s' if len(findings) > 1 else ''}.")
    if len(logs) > 1:
        said.append(f"There are {len(logs)} logs.")
    if len(logs) > _NAMED and not findings and all(len(log.outcome_of) == log.verified_size for log in logs):
        said.append(f"All their entries are complete and unaltered, by checkpoints signed with {key.name!r}.")
    else:
        spoken = logs if len(logs) <= _NAMED else [log for log in logs if len(log.outcome_of) != log.verified_size]
        for log in spoken[:_NAMED]:
            said += _said_of(log, key, named=len(logs) > 1)
        whole, more = len(logs) - len(spoken), max(0, len(spoken) - _NAMED)
        if whole:
            said.append(f"All entries of {whole} more logs are proved so, up to their ends.")
        if more:
            said.append(f"{more} more logs are not proved up to their ends.")
    said += _changes(logs)
    if since is None:
        said.append(
            "That the log was not rolled back or forked is proved only against a checkpoint obtained "
            "elsewhere, and none was given."
        )
    elif proved := [log for log in logs if log.since_proved]:
        which = "The log" if len(logs) == 1 else f"The log {proved[0].origin!r}"
        said.append(f"{which} goes on from the checkpoint over {since.size} entries obtained elsewhere.")
        if len(logs) > 1:
            said.append("That the other logs here were not rolled back or forked is not proved.")
    else:
        said.append(f"It is not proved that the log goes on from the checkpoint over {since.size} entries given.")
    return " ".join(said)


def _changes(logs: list[LogCheck]) -> Iterator[str]:
    """Say which keys have followed each other, and what was removed."""
    judged = [log for log in logs if not log.has_foreign_key]
    most = max(judged, key=lambda log: log.keys.rotations, default=None)
    if most is not None and most.keys.rotations:
        times = "once" if most.keys.rotations == 1 else f"{most.keys.rotations} times"
        chain = " → ".join(key.key_id.hex() for key in most.keys.keys)
        yield f"The signing key was changed {times}, and each key named the next one: {chain}."
    removed = sum(log.retention.removed for log in judged)
    if removed:
        yield (
            f"What {removed} of the entries said was removed by policy: that they were there, where they stood and "
            "unaltered, is proved by their hashes; what they said is in the sealed archives that the log names."
        )


def _said_of(log: LogCheck, key: Key, *, named: bool) -> Iterator[str]:
    """Say of one log up to where it is proved."""
    of = f" of {log.origin!r}" if named else ""
    if log.verified_size:
        yield (
            f"The first {log.verified_size} entries{of} are complete and unaltered, by a checkpoint signed with "
            f"{key.name!r}{_until(log.verified_time)}."
        )
    elif not log.has_foreign_key:
        yield f"No entry{of} is proved by a signed checkpoint."
    tail = len(log.outcome_of) - log.verified_size
    if tail and not log.has_foreign_key:
        yield f"The {tail} entries after them are not proved by any signature."


def _until(time: int | None, words: str = "; the last of them is of") -> str:
    if time is None:
        return ""
    try:
        moment = datetime.fromtimestamp(time / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return ""
    return f"{words} {moment.isoformat(timespec='seconds')}"
