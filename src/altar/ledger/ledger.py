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
from contextlib import suppress
from datetime import timedelta
from hashlib import sha256
from itertools import islice

from altar.adm.errors import AltarError
from altar.ledger.claims import RecordedClaim, recorded_claims
from altar.ledger.commits import Batch, Commit, EntriesRefusedError, Then, report, unavailable
from altar.ledger.entry import Entry, Event, Intent, Outcome, Start, Stop
from altar.ledger.files_beside import FilesBeside
from altar.ledger.format1 import sealed_before
from altar.ledger.log_store import LogStore
from altar.ledger.logs import Log, Logs
from altar.ledger.places import DatabaseLog, Place, beside
from altar.ledger.recovery import OpenIntent, begun, continued, forget_again, put_unknown, recovered, store_at
from altar.ledger.result_store import ResultStore
from altar.ledger.rotation import rotation_event, rotations_in
from altar.ledger.session_store import SessionStore
from altar.ledger.signer import Signer, log_vkey
from altar.ledger.sqlite import Connection, connect_sqlite
from altar.ledger.subject_copies import copies_of
from altar.ledger.subjects import Subjects, subjects_path

__all__ = ["EntriesRefusedError", "Ledger", "Then"]

_log = logging.getLogger(__name__)


class Ledger:
    """The logs of one host: `open` them, `commit` entries, `close` them.

    ``size`` and what `commit` tells are places in the order of all commits, whichever log an entry is of.
    """

    @classmethod
    def open(
        cls,
        path: Place,
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
        """Open the logs at `path`, a file or a database, or begin new ones, and record that this host started.

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
        store = store_at(path, signer=signer, origin=origin, host=host, wall_ms=wall_ms, connect=connect)
        ledger = None
        try:
            ledger = cls(
                store,
                place=path if isinstance(path, DatabaseLog) else store.path,
                signer=signer,
                origin=origin,
                wall_ms=wall_ms,
                on_failure=on_failure,
                deliver=deliver or (lambda function: function()),
                checkpoint_every=checkpoint_every,
                per_tenant=per_tenant,
            )
            if pseudonyms:
                copies = copies_of(path)
                ledger.subjects = Subjects(subjects_path(ledger.path), on_failure=on_failure, copies=copies)
            ledger._begin(host=host, software=software)
            if ledger.subjects is not None:
                forget_again(ledger.subjects, ledger.place, ledger.size, ledger.commit)
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
        place: Place,
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
        self.place = place
        self.on_stored: Callable[[float], None] | None = None  # told the seconds of each transaction, by the writer
        self._store = store
        self._files = FilesBeside(self.path, on_failure=on_failure, deliver=deliver)
        self.subjects: Subjects | None = None
        self._signer = signer
        self._following = signer  # the one that signs when all that waits is written
        self._logs = Logs(store, signer=signer, origin=origin)
        self._per_tenant = per_tenant
        self._started_at = 0  # where the newest start stands in the host's own log
        self._about = ("", "", 0)  # host, software and the database's version, for the start of a tenant's log
        self._on_failure = on_failure
        self._deliver = deliver
        self._checkpoint_seconds = checkpoint_every.total_seconds()
        self._grown: dict[Log, None] = {}  # not signed as they are now, the first to grow first
        self._unsigned = 0
        self._signed_at = 0.0
        self._open_intents: dict[int, OpenIntent] = {}
        self._rotations: list[Event] | None = None  # the keys that have followed each other, once they are asked for
        self._sign_all = False  # the transaction that is being made is one after which every log is signed
        self._afterwards: list[Callable[[], None]] = []  # what is done when it is durable
        self._failure: AltarError | None = None
        self._closed = False
        self._gate = threading.Lock()
        self._waiting: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write_until_closed, name="altar-ledger", daemon=True)

    @property
    def path(self) -> str:
        """Give the path to which the endings of the files beside the log are added; without one it is the log's file.

        Where the log itself is, also when that is a database, `place` says.
        """
        return str(beside(self.place))

    @property
    def vkey(self) -> str:
        """Give the key with which anyone can verify the checkpoints of the host's own log."""
        return self._signer.vkey

    def vkey_of(self, tenant: str) -> str:
        """Give the key with which anyone can verify the checkpoints of this tenant's log."""
        return log_vkey(self._signer.vkey, tenant if self._per_tenant else "")

    def size_of(self, tenant: str) -> int:
        """Give how many entries the log of this tenant has, of a ledger that keeps one for each; for any thread."""
        return self._logs.size_of(tenant)

    @property
    def failed(self) -> bool:
        """Tell whether nothing can be written any more."""
        return self._failure is not None

    @property
    def sessions(self) -> SessionStore:
        """Give the store of the host's sessions, beside the log; it is opened at its first use, in one thread."""
        return self._files.sessions()

    @property
    def results(self) -> ResultStore:
        """Give the store of results under idempotency keys, beside the log; it is opened at its first use, as above."""
        return self._files.results(self.size)

    @property
    def has_results(self) -> bool:
        """Tell whether a call under an idempotency key was ever recorded here."""
        return self._files.has_results()

    def claims(self, *, floor: int) -> Iterator[RecordedClaim]:
        """Give the calls under idempotency keys from place `floor` on, in order, before any call is taken."""
        return recorded_claims(self.place, floor=floor)

    def commit(self, entries: Sequence[Entry], then: Then) -> None:
        """Record entries in order; returns at once and may be called from any thread.

        When they are durable, `then(first_seq, None)` is called: they stand at first_seq, first_seq + 1, ….
        When they could not be written, `then(-1, error)` is called with LOG_UNAVAILABLE:
        nobody may rely on any of them being recorded.
        An outcome for an intent that has one already, or that does not exist, is refused alone:
        `then` gets an `EntriesRefusedError` (INTERNAL), which says for each entry where it stands.
        """
        self._put(Commit(entries, then))

    def rotate(self, signer: Signer, then: Then) -> None:
        """Let another key sign from here on; the one before names it in every log, see `rotation`.

        Returns at once; `then(_, None)` is called when all logs have it and are signed by it, else as `commit` does.
        Nothing is lost or held up: it is one more transaction.
        Raises ConfigurationError INVALID_CONFIG for a key of another name, or for the one that signs already.
        """

        def within(batch: Batch) -> None:
            self._rotations = [*self._known_rotations(), event]
            for log in self._logs:
                if log.epoch != self.epoch:
                    self._start(log, batch)
                batch.put(event.encode(batch.time_ms), log)
            self._logs.sign_with(signer)
            self._signer = signer
            self._sign_all = True

        with self._gate:
            event = rotation_event(self._following, signer)
            self._following = signer
            if not self._closed:
                self._waiting.put(Commit((), then, within))
                return
        report(self._deliver, [lambda: then(-1, unavailable("it is closed"))])

    def remove(self, tenant: str, start: int, stop: int, then: Then) -> None:
        """Remove what the entries of a log from `start` to before `stop` say; their hashes stay, so that all verifies.

        What is to be seen by whoever verifies must be committed before: all logs are signed first.
        Entries about the log itself, and about who was forgotten, stay.
        Returns at once; `then` is called as by `commit`, with LOG_UNAVAILABLE too when they could not be removed, after
        which the log goes on. At most 2000 entries at a time, so that no call waits long.
        """

        def empty() -> None:
            log = self._logs.find(tenant)
            try:
                if log is not None:
                    self._store.remove(log.number, start, stop)
            except Exception as error:  # noqa: BLE001 - whatever it is: nothing that was acknowledged is lost by it
                commit.failure = unavailable("old entries could not be removed", detail=repr(error))

        def within(_batch: Batch) -> None:
            self._sign_all = True
            self._afterwards.append(empty)

        commit = Commit((), then, within)
        self._put(commit)

    def removable(self, tenant: str) -> int:
        """Give the position before which a log has nothing that this process still needs; for any thread.

        That is the first intent without outcome, and in the host's own log its newest start.
        """
        log = self._logs.find(tenant)
        if log is None:
            return 0
        waiting = [position for _, of, position in list(self._open_intents.values()) if of is log]
        newest = [self._started_at] if not log.number else []
        return min([log.size, *waiting, *newest])

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
        if self.subjects is not None and self._failure is None:
            with suppress(AltarError):  # it only saves a look at the next start
                self.subjects.note_applied(self.size)
        self._files.close()
        if self.subjects is not None:
            self.subjects.close()
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

    def _put(self, commit: Commit) -> None:
        with self._gate:
            if not self._closed:
                self._waiting.put(commit)
                return
        report(self._deliver, [lambda: commit.then(-1, unavailable("it is closed"))])

    def _known_rotations(self) -> list[Event]:
        """Give the statements by which keys have followed each other; for the writer."""
        if self._rotations is None:
            self._rotations = rotations_in(self._store)
        return self._rotations

    def _begin(self, *, host: str, software: str) -> None:
        """Load and check what is there, recover, record the start, and let the writer begin."""
        self._logs.load()
        self.size = self._store.next_seq()
        # a log in a database outlives the files of the host that wrote it
        self._files.is_stranger = isinstance(self.place, DatabaseLog) and self.size > 0
        self._store.require_own([log.base + log.signed for log in self._logs if log.size > log.signed])
        self.epoch, self._open_intents = recovered(self._store, self._logs)
        before = sealed_before(self.path) if not self.size and isinstance(self.place, str) else None
        if before is not None:
            self.size, self.epoch = before.size, before.epoch
        self.epoch += 1
        for log in self._logs:
            if log.size > log.signed:
                self._grown[log] = None
                self._unsigned += log.size - log.signed
        self._about = (host, software, self._store.database_version())
        try:
            batch = self._closing_batch()
            self._start(self._logs.of(""), batch)
            if before is not None:
                batch.put(continued(before).encode(batch.time_ms), self._logs.of(""))
            self._store_batch(batch, sign=_ALL)
        except Exception as error:
            raise unavailable("its start could not be written", detail=repr(error)) from error
        self._writer.start()

    def _closing_batch(self) -> Batch:
        """Begin a batch with an outcome for every intent that nobody will answer any more."""
        batch = Batch(first=self.size, time_ms=self.wall_ms())
        put_unknown(batch, self._open_intents)
        return batch

    def _start(self, log: Log, batch: Batch) -> None:
        """Begin a log in this epoch."""
        host, software, sqlite = self._about
        start = Start(epoch=self.epoch, host=host, log=log.origin, software=software, sqlite=sqlite)
        if not log.number:
            self._started_at = log.size
        is_new = bool(log.number) and not log.size
        batch.put(start.encode(batch.time_ms), log)
        log.epoch = self.epoch
        if is_new:  # whoever takes the whole log away leaves this behind; and its key may not be the first
            for event in self._known_rotations():
                batch.put(event.encode(batch.time_ms), log)
            batch.put(begun(log).encode(batch.time_ms), self._logs.of(""))

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
                if commit.within is not None:
                    commit.within(batch)
            due = not commits or time.monotonic() - self._signed_at >= self._checkpoint_seconds
            many = self._unsigned + len(batch.bodies) >= max(_CHECKPOINT_ENTRIES, 64 * len(self._grown))
            self._store_batch(batch, sign=_ALL if self._sign_all else _MOST_SIGNED if due or many else 0)
            self._sign_all = False
            while self._afterwards:
                self._afterwards.pop(0)()
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
        failure = unavailable("writing failed", detail=repr(error))
        failure.__cause__ = error
        self._failure = failure
        report(self._deliver, [lambda: self._on_failure(failure)])

    def _answer(self, commits: Sequence[Commit], *, failed: bool) -> None:
        if commits:
            failure = self._failure if failed else None
            report(self._deliver, [commit.answer(failure) for commit in commits])


_CHECKPOINT_ENTRIES = 4096
_MOST_SIGNED = 1024
"""Logs that are signed at one time; the others wait for the next time, the first to grow first."""
_ALL = sys.maxsize
