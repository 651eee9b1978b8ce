"""What was decided and done, committed together.

Callers hand over entries from any thread; one writer thread makes them durable.
All commits that wait when the previous transaction ended share the next one, so a busy host syncs seldom.
With an empty queue a commit is written at once.
Whatever could not be synced is never reported as durable, and after the first failure everything is refused.
"""

from __future__ import annotations

import logging
import queue
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from hashlib import sha256
from itertools import islice
from pathlib import Path

from altar.adm.canonical import canonical
from altar.adm.errors import AltarError, ExecutionError
from altar.ledger.claims import RecordedClaim, recorded_claims
from altar.ledger.commits import Batch, Commit, EntriesRefusedError, Then
from altar.ledger.entry import Entry, Event, Intent, Outcome, Start, Stop, entry_members
from altar.ledger.format1 import Sealed, seal_format1, sealed_before
from altar.ledger.log import leaf_hash
from altar.ledger.logs import Log, Logs
from altar.ledger.result_store import ResultStore, results_path
from altar.ledger.session_store import SessionStore
from altar.ledger.signer import Signer, log_vkey
from altar.ledger.sqlite import Connection, LogStore, SqliteStore, connect_sqlite, damaged
from altar.ledger.subjects import Subjects, subjects_path

__all__ = ["EntriesRefusedError", "Ledger", "Then"]

_log = logging.getLogger(__name__)


_Open = tuple[str, Log, int]
"""An intent that waits for its outcome: its invocation, its log, and its position there."""


class Ledger:
    """The logs of one host: `open` them, `commit` entries, `close` them.

    ``size`` and what `commit` tells are places in the order of all commits, whichever log an entry is of.
    """

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        signer: Signer,
        origin: str,
        host: str,
        software: str,
        wall_ms: Callable[[], int],
        on_failure: Callable[[AltarError], None],
        deliver: Callable[[Callable[[], None]], None] | None = None,
        connect: Callable[[str], Connection] = connect_sqlite,
        checkpoint_every: timedelta = timedelta(seconds=1),
        per_tenant: bool = False,
        pseudonyms: bool = False,
    ) -> Ledger:
        """Open the logs at `path`, or begin new ones, and record that this host started.

        `origin` names the host's own log; `host` and `software` stand in its start entry.
        `wall_ms` gives the time in milliseconds since 1970.
        `on_failure` is called once, when nothing can be written any more.
        `deliver` runs a function where answers are wanted, such as `loop.call_soon_threadsafe`;
        without it they come in the writer's thread.
        `per_tenant` keeps a log for each tenant; else all entries are in the host's own.
        `pseudonyms` says that principals are not to be named in them: `subjects` is there then.
        Every intent that a crash left without outcome gets OUTCOME_UNKNOWN first.
        A log of format 1 is ended and kept as ``<path>.v1``, and goes on in a new file.
        Raises `ConfigurationError`: LOG_DAMAGED when the log is not what its newest checkpoint states,
        ENVIRONMENT_ERROR when it is in use, INVALID_CONFIG when it has another origin or key.
        """
        seal_format1(path, signer=signer, origin=origin, wall_ms=wall_ms)
        store = SqliteStore(path, connect=connect)
        ledger = None
        try:
            ledger = cls(
                store,
                signer=signer,
                origin=origin,
                wall_ms=wall_ms,
                on_failure=on_failure,
                deliver=deliver or _run,
                checkpoint_every=checkpoint_every,
                per_tenant=per_tenant,
            )
            if pseudonyms:
                ledger.subjects = Subjects(subjects_path(store.path), on_failure=on_failure)
            ledger._begin(host=host, software=software)
        except BaseException:
            if ledger is not None and ledger.subjects is not None:
                ledger.subjects.close()
            store.close()
            raise
        return ledger

    def __init__(
        self,
        store: LogStore,
        *,
        signer: Signer,
        origin: str,
        wall_ms: Callable[[], int],
        on_failure: Callable[[AltarError], None],
        deliver: Callable[[Callable[[], None]], None],
        checkpoint_every: timedelta,
        per_tenant: bool = False,
    ) -> None:
        """Take the collaborators; use `open`, which also recovers and starts the log."""
        self.origin = origin
        self.epoch = 0
        self.size = 0
        self.commits = 0
        self.entries_written = 0
        self.wall_ms = wall_ms
        self.on_stored: Callable[[float], None] | None = None  # told the seconds of each transaction, by the writer
        self._store = store
        self._sessions: SessionStore | None = None
        self._results: ResultStore | None = None
        self.subjects: Subjects | None = None
        self._signer = signer
        self._logs = Logs(store, signer=signer, origin=origin)
        self._per_tenant = per_tenant
        self._about = ("", "", 0)  # host, software and SQLite's version, for the start of a tenant's log
        self._on_failure = on_failure
        self._deliver = deliver
        self._checkpoint_seconds = checkpoint_every.total_seconds()
        self._grown: dict[Log, None] = {}  # not signed as they are now, the first to grow first
        self._unsigned = 0
        self._signed_at = 0.0
        self._open_intents: dict[int, _Open] = {}
        self._failure: AltarError | None = None
        self._closed = False
        self._gate = threading.Lock()
        self._waiting: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_until_closed, name="altar-ledger", daemon=True)

    @property
    def path(self) -> str:
        """Give the file that the log is in."""
        return self._store.path

    @property
    def vkey(self) -> str:
        """Give the key with which anyone can verify the checkpoints of the host's own log."""
        return self._signer.vkey

    def vkey_of(self, tenant: str) -> str:
        """Give the key with which anyone can verify the checkpoints of this tenant's log."""
        return log_vkey(self._signer.vkey, tenant if self._per_tenant else "")

    @property
    def failed(self) -> bool:
        """Tell whether nothing can be written any more."""
        return self._failure is not None

    @property
    def sessions(self) -> SessionStore:
        """Give the store of the host's sessions, beside the log; it is opened at its first use, in one thread."""
        if self._sessions is None:
            path = f"{self._store.path}.sessions"
            self._sessions = SessionStore(path, on_failure=self._on_failure, deliver=self._deliver)
        return self._sessions

    @property
    def results(self) -> ResultStore:
        """Give the store of results under idempotency keys, beside the log; it is opened at its first use, as above."""
        if self._results is None:
            store = ResultStore(results_path(self._store.path), on_failure=self._on_failure, deliver=self._deliver)
            try:
                store.begin(self.size)
            except BaseException:
                store.close()
                raise
            self._results = store
        return self._results

    @property
    def has_results(self) -> bool:
        """Tell whether a call under an idempotency key was ever recorded here."""
        return self._results is not None or results_path(self._store.path).exists()

    def claims(self, *, floor: int) -> Iterator[RecordedClaim]:
        """Give the calls under idempotency keys from place `floor` on, in order, before any call is taken."""
        return recorded_claims(self._store.path, floor=floor)

    def commit(self, entries: Sequence[Entry], then: Then) -> None:
        """Record entries in order; returns at once and may be called from any thread.

        When they are durable, `then(first_seq, None)` is called: they stand at first_seq, first_seq + 1, ….
        When they could not be written, `then(-1, error)` is called with LOG_UNAVAILABLE:
        nobody may rely on any of them being recorded.
        An outcome for an intent that has one already, or that does not exist, is refused alone:
        `then` gets an `EntriesRefusedError` (INTERNAL), which says for each entry where it stands.
        """
        with self._gate:
            if not self._closed:
                self._waiting.put(Commit(entries, then))
                return
        self._report([lambda: then(-1, _unavailable("it is closed"))])

    def close(self) -> None:
        """Write what waits, close intents without outcome as OUTCOME_UNKNOWN, sign, and let go of the file.

        Blocks until done; calling it again does nothing.
        """
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._waiting.put(None)
        self._writer.join()
        for beside in (self._sessions, self._results, self.subjects):
            if beside is not None:
                beside.close()
        if self._failure is None:
            try:
                batch = self._closing_batch()
                for log in self._logs:
                    if log.epoch == self.epoch:
                        batch.put(Stop(epoch=self.epoch).encode(batch.time_ms), log)
                self._store_batch(batch, sign=_ALL)
            except Exception as error:  # noqa: BLE001 - whatever it is, the log ends without a stop entry
                self._fail(error)
        self._store.close()

    def _begin(self, *, host: str, software: str) -> None:
        """Load and check what is there, recover, record the start, and let the writer begin."""
        self._logs.load()
        self.size = self._store.next_seq()
        self._recover()
        before = sealed_before(self._store.path) if not self.size else None
        if before is not None:
            self.size, self.epoch = before.size, before.epoch
        self.epoch += 1
        for log in self._logs:
            if log.size > log.signed:
                self._grown[log] = None
                self._unsigned += log.size - log.signed
        self._about = (host, software, self._store.sqlite_version())
        try:
            batch = self._closing_batch()
            self._start(self._logs.of(""), batch)
            if before is not None:
                batch.put(_continued(before).encode(batch.time_ms), self._logs.of(""))
            self._store_batch(batch, sign=_ALL)
        except Exception as error:
            raise _unavailable("its start could not be written", detail=repr(error)) from error
        self._writer.start()

    def _recover(self) -> None:
        """Find the last epoch, and the intents since its start that have no outcome."""
        if not self.size:
            return
        answered: set[int] = set()
        for row in self._store.entries_backwards():
            if not any(kind in row.body for kind in _KINDS_TO_READ):
                continue
            if leaf_hash(row.body) != row.hashes[:32]:
                raise damaged(self._store.path, f"entry {row.seq} is not what its leaf hash says")
            log = self._logs.at(row.place)
            try:
                members = entry_members(row.body)
                if members["kind"] == "outcome":
                    answered.add(log.base + int(members["intent"]))
                elif members["kind"] == "intent" and row.place not in answered:
                    self._open_intents[row.seq] = (str(members["invocation"]), log, row.place - log.base)
                elif members["kind"] in {"start", "stop"} and not log.number:
                    self.epoch = int(members["epoch"])
                    break
            except (ValueError, KeyError) as error:
                raise damaged(self._store.path, f"entry {row.seq} is malformed", detail=str(error)) from error
            answered.discard(row.place)
        if not self.epoch:
            raise damaged(self._store.path, "it has no start entry")
        for seq in self._open_intents:
            if self._store.has_outcome(seq):
                raise damaged(self._store.path, f"the outcome of entry {seq} is missing")

    def _closing_batch(self) -> Batch:
        """Begin a batch with an outcome for every intent that nobody will answer any more."""
        batch = Batch(first=self.size, time_ms=self.wall_ms())
        for seq, (invocation, log, position) in sorted(self._open_intents.items(), key=lambda each: each[0]):
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
        self._open_intents.clear()
        return batch

    def _start(self, log: Log, batch: Batch) -> None:
        """Begin a log in this epoch."""
        host, software, sqlite = self._about
        start = Start(epoch=self.epoch, host=host, log=log.origin, software=software, sqlite=sqlite)
        batch.put(start.encode(batch.time_ms), log)
        log.epoch = self.epoch

    def _write_until_closed(self) -> None:
        """Run in the writer's thread: write what waits, and sign in time when nothing more comes."""
        ending = False
        while not ending:
            commits, ending = self._next_commits()
            if self._failure is not None:
                self._answer(commits, failed=True)
            elif commits or not ending:
                self._write_transaction(commits)

    def _next_commits(self) -> tuple[list[Commit], bool]:
        """Wait for work and take all there is; an empty list means that a signature is due."""
        patience = None
        if self._failure is None and self._grown:
            patience = max(0.0, self._signed_at + self._checkpoint_seconds - time.monotonic())
        commits: list[Commit] = []
        try:
            item = self._waiting.get(timeout=patience)
            while item is not None:
                commits.append(item)
                item = self._waiting.get_nowait()
        except queue.Empty:
            return commits, False
        return commits, True

    def _write_transaction(self, commits: list[Commit]) -> None:
        try:
            batch = Batch(first=self.size, time_ms=self.wall_ms())
            for commit in commits:
                self._encode(commit, batch)
            due = not commits or time.monotonic() - self._signed_at >= self._checkpoint_seconds
            many = self._unsigned + len(batch.bodies) >= max(_CHECKPOINT_ENTRIES, 64 * len(self._grown))
            self._store_batch(batch, sign=_MOST_SIGNED if due or many else 0)
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing of this transaction may count as written
            self._fail(error)
            self._answer(commits, failed=True)
        else:
            self._answer(commits, failed=False)

    def _encode(self, commit: Commit, batch: Batch) -> None:
        """Put a commit's entries into the batch, leaving out those that contradict the log."""
        time_ms, open_intents, own = batch.time_ms, self._open_intents, self._logs.of("")
        if self._per_tenant:
            self._start_logs(commit.entries, batch)
        bodies, logs, of = batch.bodies, batch.logs, self._logs.of
        seq = commit.first = batch.next_seq
        seqs = commit.seqs
        for entry in commit.entries:
            if isinstance(entry, Outcome):
                intent = entry.intent
                if -len(seqs) <= intent < 0:
                    intent = seqs[intent]
                waiting = open_intents.get(intent)
                if waiting is None or waiting[0] != entry.invocation:
                    seqs.append(-1)
                    commit.refused += 1
                    continue
                _, log, position = waiting
                batch.outcomes.append((intent, seq))
                bodies.append(entry.encode(time_ms, intent=position))
                del open_intents[intent]
            else:
                log = of(entry.tenant) if self._per_tenant else own
                if isinstance(entry, Intent):
                    open_intents[seq] = (entry.invocation, log, log.size)
                bodies.append(entry.encode(time_ms))
            logs.append(log)
            log.size += 1
            seqs.append(seq)
            seq += 1

    def _start_logs(self, entries: Sequence[Entry], batch: Batch) -> None:
        """Begin the logs that get their first entries of this epoch, before the commit they are in."""
        for entry in entries:
            if not isinstance(entry, Outcome):
                log = self._logs.of(entry.tenant)
                if log.epoch != self.epoch:
                    self._start(log, batch)

    def _store_batch(self, batch: Batch, *, sign: int) -> None:
        """Hash, sign as many logs as are asked for, and write one transaction; then the new size holds."""
        rows = []
        seq = batch.first
        for body, log in zip(batch.bodies, batch.logs, strict=True):
            frontier = log.frontier
            place = log.base | frontier.size
            rows.append((seq, place, body, frontier.push(sha256(b"\x00" + body).digest())))
            seq += 1
        self._grown.update(dict.fromkeys(batch.logs))
        new = [log for log in dict.fromkeys(batch.logs) if not log.stored]
        signed = list(dict.fromkeys([*new, *islice(self._grown, sign)]))  # no log is ever there without a signature
        if not rows and not signed:
            return
        checkpoints = [self._logs.signed_checkpoint(log) for log in signed]
        began = time.monotonic()
        self._store.append(rows, outcomes=batch.outcomes, checkpoints=checkpoints, logs=self._logs.new_rows(new))
        if self.on_stored is not None:
            self.on_stored(time.monotonic() - began)
        for log in new:
            log.stored = True
        self.size = batch.next_seq
        self.entries_written += len(rows)
        self.commits += 1
        self._unsigned += len(rows)
        self._note_signed(signed, in_time=sign > 0)

    def _note_signed(self, signed: Sequence[Log], *, in_time: bool) -> None:
        """Note what is signed now; new logs alone, signed as they begin, put off the next signature of no other."""
        for log in signed:
            self._unsigned -= log.frontier.size - log.signed
            log.signed = log.frontier.size
            del self._grown[log]
        if signed and in_time:
            self._signed_at = time.monotonic()

    def _fail(self, error: Exception) -> None:
        """Refuse everything from now on, and say so once."""
        failure = _unavailable("writing failed", detail=repr(error))
        failure.__cause__ = error
        self._failure = failure
        self._report([lambda: self._on_failure(failure)])

    def _answer(self, commits: Sequence[Commit], *, failed: bool) -> None:
        if commits:
            failure = self._failure if failed else None
            self._report([commit.answer(failure) for commit in commits])

    def _report(self, callbacks: Sequence[Callable[[], None]]) -> None:
        """Deliver the answers of one transaction together; a listener's fault is not the log's."""

        def run_all() -> None:
            for callback in callbacks:
                try:
                    callback()
                except Exception:  # noqa: BLE001 - one listener's mistake must not silence the others
                    _log.exception("a ledger callback failed")

        try:
            self._deliver(run_all)
        except Exception:  # noqa: BLE001 - the listeners are gone, such as a loop that ended; entries are safe
            _log.exception("ledger answers could not be delivered")


_CHECKPOINT_ENTRIES = 4096
_MOST_SIGNED = 1024
"""Logs that are signed at one time; the others wait for the next time, the first to grow first."""
_ALL = sys.maxsize
# Inside a JSON string every quote is escaped, so these bytes can only be the member itself.
_KINDS_TO_READ = (b'"kind":"intent"', b'"kind":"outcome"', b'"kind":"start"', b'"kind":"stop"')


def _run(function: Callable[[], None]) -> None:
    function()


def _continued(before: Sealed) -> Event:
    """The event with which a log goes on from a file of format 1: what that file came to, as it was signed."""
    said = canonical({"entries": before.size, "file": before.file, "format": 1, "root": before.root})
    return Event(event="log.continued", subject=before.origin, data=said.decode())


def _unavailable(what: str, *, detail: str | None = None) -> ExecutionError:
    return ExecutionError(
        "LOG_UNAVAILABLE",
        f"The audit log takes no more entries: {what}",
        hint="nothing is called without a record; see the host's log for the cause",
        detail=detail,
        ran="no",
    )
