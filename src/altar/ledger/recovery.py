"""What a host finds when it opens its logs again: what a crash left open, and who came back that was forgotten."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from altar.adm.canonical import canonical
from altar.ledger.commits import Batch, Then
from altar.ledger.entry import Entry, Event, Outcome, entry_members
from altar.ledger.format1 import Sealed, seal_format1
from altar.ledger.log import leaf_hash
from altar.ledger.log_store import LogStore
from altar.ledger.logs import Log, Logs
from altar.ledger.places import DatabaseLog, Place
from altar.ledger.reader import LogReader
from altar.ledger.signer import Signer
from altar.ledger.sqlite import Connection, SqliteStore, damaged
from altar.ledger.subjects import Subjects

__all__ = ["OpenIntent", "begun", "continued", "forget_again", "put_unknown", "recovered", "store_at"]

_log = logging.getLogger(__name__)

OpenIntent = tuple[str, Log, int]
"""An intent that waits for its outcome: its invocation, its log, and its position there."""


def store_at(
    path: Place,
    *,
    signer: Signer,
    origin: str,
    host: str,
    wall_ms: Callable[[], int],
    connect: Callable[[str], Connection],
) -> LogStore:
    """Open the rows of the logs at `path`; a file of format 1 is ended first, see `Ledger.open`."""
    if isinstance(path, DatabaseLog):
        from altar.ledger.postgres import PostgresStore  # only here its driver is needed

        return PostgresStore(path, name=f"altar host {host}")
    seal_format1(path, signer=signer, origin=origin, wall_ms=wall_ms)
    return SqliteStore(path, connect=connect)


def recovered(store: LogStore, logs: Logs) -> tuple[int, dict[int, OpenIntent]]:
    """Find the last epoch, and the intents since its start that have no outcome, by their ``seq``; 0 in a new log.

    Raises ConfigurationError LOG_DAMAGED when the entries since that start are not what was written.
    """
    if not store.next_seq():
        return 0, {}
    epoch = 0
    waiting: dict[int, OpenIntent] = {}
    answered: set[int] = set()
    for row in store.entries_backwards():
        if not any(kind in row.body for kind in _KINDS_TO_READ):
            continue
        if leaf_hash(row.body) != row.hashes[:32]:
            raise damaged(store.path, f"entry {row.seq} is not what its leaf hash says")
        log = logs.at(row.place)
        try:
            members = entry_members(row.body)
            if members["kind"] == "outcome":
                answered.add(log.base + int(members["intent"]))
            elif members["kind"] == "intent" and row.place not in answered:
                waiting[row.seq] = (str(members["invocation"]), log, row.place - log.base)
            elif members["kind"] in {"start", "stop"} and not log.number:
                epoch = int(members["epoch"])
                break
        except (ValueError, KeyError) as error:
            raise damaged(store.path, f"entry {row.seq} is malformed", detail=str(error)) from error
        answered.discard(row.place)
    if not epoch:
        raise damaged(store.path, "it has no start entry")
    for seq in waiting:
        if store.has_outcome(seq):
            raise damaged(store.path, f"the outcome of entry {seq} is missing")
    return epoch, waiting


def put_unknown(batch: Batch, waiting: dict[int, OpenIntent]) -> None:
    """Put an outcome into a batch for every intent that nobody will answer any more; none waits then."""
    for seq, (invocation, log, position) in sorted(waiting.items(), key=lambda each: each[0]):
        unknown = Outcome(
            intent=seq,
            invocation=invocation,
            status="ERROR",
            code="OUTCOME_UNKNOWN",
            ran="unknown",
            result="",
            runtime="",
            attempts=0,
        )
        batch.outcomes.append((seq, batch.next_seq))
        batch.put(unknown.encode(batch.time_ms, intent=position), log)
    waiting.clear()


def forget_again(subjects: Subjects, place: Place, size: int, commit: Callable[[Sequence[Entry], Then], None]) -> None:
    """Destroy again whoever was forgotten and is there, which an older copy of the pseudonyms brings about.

    `size` is that of the logs at `place`; `commit` records what is done.
    """
    floor = subjects.applied()
    if floor < size:
        with LogReader.open(place) as reader:
            said = {str(entry_members(row.body)["subject"]) for row in reader.marked([_FORGOTTEN], floor)}
        for pseudonym in sorted(said):
            found = subjects.name_of(pseudonym)
            if found is not None:
                _log.critical("somebody who was forgotten was there again", extra={"pseudonym": pseudonym})
                note = "was there again, and was destroyed again"
                event = Event(event="admin.subject_forgotten", subject=pseudonym, note=note, tenant=found[0])
                commit([event], lambda _seq, _error: None)
                subjects.destroy(*found)
    subjects.note_applied(size)


def begun(log: Log) -> Event:
    """The event by which the host's own log says that a tenant's log was begun."""
    return Event(event="log.begun", subject=log.origin, data=canonical({"log": log.number}).decode())


def continued(before: Sealed) -> Event:
    """The event with which a log goes on from a file of format 1: what that file came to, as it was signed."""
    said = canonical({"entries": before.size, "file": before.file, "format": 1, "root": before.root})
    return Event(event="log.continued", subject=before.origin, data=said.decode())


_FORGOTTEN = b'"event":"admin.subject_forgotten"'
# Inside a JSON string every quote is escaped, so these bytes can only be the member itself.
_KINDS_TO_READ = (b'"kind":"intent"', b'"kind":"outcome"', b'"kind":"start"', b'"kind":"stop"')
