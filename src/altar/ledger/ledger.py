"""What was decided and done, committed together.

Callers hand over entries from any thread; one writer thread makes them durable.
All commits that wait when the previous transaction ended share the next one, so a busy host syncs seldom.
With an empty queue a commit is written at once.
Whatever could not be synced is never reported as durable, and after the first failure everything is refused.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

from altar.adm.errors import AltarError, ConfigurationError, ExecutionError
from altar.ledger.claims import RecordedClaim, recorded_claims
from altar.ledger.commits import Batch, Commit, EntriesRefusedError, Then
from altar.ledger.entry import Entry, Intent, Outcome, Start, Stop, entry_members
from altar.ledger.log import (
    Checkpoint,
    Frontier,
    NoteSignature,
    checkpoint_text,
    leaf_hash,
    parse_note,
    signed_note,
)
from altar.ledger.result_store import ResultStore, results_path
from altar.ledger.session_store import SessionStore
from altar.ledger.signer import Signer, is_signed_by
from altar.ledger.sqlite import Connection, EntryRow, SqliteStore, StoredCheckpoint, connect_sqlite, damaged

__all__ = ["EntriesRefusedError", "Ledger", "Then"]

_log = logging.getLogger(__name__)


class Ledger:
    """The log of one host: `open` it, `commit` entries, `close` it."""

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
    ) -> Ledger:
        """Open the log at `path`, or begin a new one, and record that this host started.

        `origin` names the log; `host` and `software` stand in its start entry.
        `wall_ms` gives the time in milliseconds since 1970.
        `on_failure` is called once, when nothing can be written any more.
        `deliver` runs a function where answers are wanted, such as `loop.call_soon_threadsafe`;
        without it they come in the writer's thread.
        Every intent that a crash left without outcome gets OUTCOME_UNKNOWN first.
        Raises `ConfigurationError`: LOG_DAMAGED when the log is not what its newest checkpoint states,
        ENVIRONMENT_ERROR when it is in use, INVALID_CONFIG when it has another origin or key.
        """
        store = SqliteStore(path, connect=connect)
        try:
            ledger = cls(
                store,
                signer=signer,
                origin=origin,
                wall_ms=wall_ms,
                on_failure=on_failure,
                deliver=deliver or _run,
                checkpoint_every=checkpoint_every,
            )
            ledger._begin(host=host, software=software)
        except BaseException:
            store.close()
            raise
        return ledger

    def __init__(
        self,
        store: SqliteStore,
        *,
        signer: Signer,
        origin: str,
        wall_ms: Callable[[], int],
        on_failure: Callable[[AltarError], None],
        deliver: Callable[[Callable[[], None]], None],
        checkpoint_every: timedelta,
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
        self._signer = signer
        self._on_failure = on_failure
        self._deliver = deliver
        self._checkpoint_seconds = checkpoint_every.total_seconds()
        self._frontier = Frontier()
        self._signed_size = 0
        self._signed_at = 0.0
        self._open_intents: dict[int, str] = {}
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
        """Give the key with which anyone can verify this log's checkpoints."""
        return self._signer.vkey

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
        """Give the calls under idempotency keys from position `floor` on, in order, before any call is taken."""
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
        for beside in (self._sessions, self._results):
            if beside is not None:
                beside.close()
        if self._failure is None:
            try:
                self._write_bodies([*self._unknown_outcomes(), Stop(epoch=self.epoch)], sign=True)
            except Exception as error:  # noqa: BLE001 - whatever it is, the log ends without a stop entry
                self._fail(error)
        self._store.close()

    def _begin(self, *, host: str, software: str) -> None:
        """Load and check what is there, recover, record the start, and let the writer begin."""
        self._load()
        self._recover()
        self.epoch += 1
        start = Start(
            epoch=self.epoch,
            host=host,
            log=self.origin,
            software=software,
            sqlite=self._store.sqlite_version(),
        )
        try:
            self._write_bodies([*self._unknown_outcomes(), start], sign=True)
        except Exception as error:
            raise _unavailable("its start could not be written", detail=repr(error)) from error
        self._writer.start()

    def _load(self) -> None:
        """Bring the tree up to the last entry, from the newest checkpoint once that is proved genuine."""
        stored = self._store.newest_checkpoint()
        if stored is None:
            if self._store.size():
                raise damaged(self._store.path, "it has entries but no checkpoint")
            return
        self._frontier = self._proved_frontier(stored)
        self._signed_size = stored.size
        for row in self._store.entries_from(stored.size):
            if row.seq != self._frontier.size:
                raise damaged(self._store.path, f"entry {self._frontier.size} is missing")
            self._check_leaf(row)
            self._frontier.append(row.leaf)
        self.size = self._frontier.size
        if self._store.size() != self.size:
            raise damaged(
                self._store.path,
                f"its checkpoint covers {stored.size} entries, {self._store.size()} are there",
            )

    def _proved_frontier(self, stored: StoredCheckpoint) -> Frontier:
        """Give the tree's right edge of a checkpoint after checking origin, signature and root."""
        path = self._store.path
        try:
            text, checkpoint, signatures = parse_note(stored.note)
            frontier = Frontier.from_bytes(stored.size, stored.frontier)
        except ValueError as error:
            raise damaged(path, f"checkpoint {stored.size} is malformed", detail=str(error)) from error
        own = [signature for signature in signatures if signature.key_id.hex() == _key_id(self.vkey)]
        if checkpoint.origin != self.origin or not own:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The ledger {path!r} is the log {checkpoint.origin!r} signed by {signatures[0].name!r}, "
                f"not {self.origin!r} signed by {self._signer.name!r} with this key",
                hint="open it with the origin and the key it was begun with, or begin a new ledger",
            )
        if not is_signed_by(self.vkey, text, own[0].signature):
            raise damaged(path, f"the signature of checkpoint {stored.size} is wrong")
        if checkpoint.size != stored.size or checkpoint.root != frontier.root():
            raise damaged(path, f"checkpoint {stored.size} states another tree than the one stored with it")
        return frontier

    def _recover(self) -> None:
        """Find the last epoch, and the intents since its start that have no outcome."""
        if not self.size:
            return
        answered: set[int] = set()
        for row in self._store.entries_backwards():
            if not any(kind in row.body for kind in _KINDS_TO_READ):
                continue
            self._check_leaf(row)
            try:
                members = entry_members(row.body)
                if members["kind"] == "outcome":
                    answered.add(int(members["intent"]))
                elif members["kind"] == "intent" and row.seq not in answered:
                    self._open_intents[row.seq] = str(members["invocation"])
                elif members["kind"] in {"start", "stop"}:
                    self.epoch = int(members["epoch"])
                    break
            except (ValueError, KeyError) as error:
                raise damaged(self._store.path, f"entry {row.seq} is malformed", detail=str(error)) from error
            answered.discard(row.seq)
        if not self.epoch:
            raise damaged(self._store.path, "it has no start entry")
        for seq in self._open_intents:
            if self._store.has_outcome(seq):
                raise damaged(self._store.path, f"the outcome of entry {seq} is missing")

    def _check_leaf(self, row: EntryRow) -> None:
        if leaf_hash(row.body) != row.leaf:
            raise damaged(self._store.path, f"entry {row.seq} is not what its leaf hash says")

    def _unknown_outcomes(self) -> list[Outcome]:
        """Give an outcome for every intent that nobody will answer any more."""
        return [
            Outcome(
                intent=seq,
                invocation=invocation,
                status="ERROR",
                code="OUTCOME_UNKNOWN",
                ran="unknown",
                result="",
                runtime="",
                attempts=0,
            )
            for seq, invocation in sorted(self._open_intents.items())
        ]

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
        if self._failure is None and self.size > self._signed_size:
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
            unsigned = batch.next_seq - self._signed_size
            due = not commits or time.monotonic() - self._signed_at >= self._checkpoint_seconds
            self._store_batch(batch, sign=unsigned >= _CHECKPOINT_ENTRIES or (unsigned > 0 and due))
        except Exception as error:  # noqa: BLE001 - whatever it is, nothing of this transaction may count as written
            self._fail(error)
            self._answer(commits, failed=True)
        else:
            self._answer(commits, failed=False)

    def _write_bodies(self, entries: Iterable[Outcome | Start | Stop], *, sign: bool) -> None:
        """Write entries of the ledger's own in one transaction."""
        batch = Batch(first=self.size, time_ms=self.wall_ms())
        for entry in entries:
            if isinstance(entry, Outcome):
                batch.outcomes.append((entry.intent, batch.next_seq))
                del self._open_intents[entry.intent]
            batch.bodies.append(entry.encode(batch.time_ms))
        self._store_batch(batch, sign=sign)

    def _encode(self, commit: Commit, batch: Batch) -> None:
        """Put a commit's entries into the batch, leaving out those that contradict the log."""
        bodies, time_ms, open_intents = batch.bodies, batch.time_ms, self._open_intents
        commit.first = batch.next_seq
        seqs = commit.seqs
        for position, entry in enumerate(commit.entries):
            seq = batch.first + len(bodies)
            if isinstance(entry, Outcome):
                intent = entry.intent
                if -position <= intent < 0:
                    intent = seqs[position + intent]
                if open_intents.get(intent) != entry.invocation:
                    seqs.append(-1)
                    commit.refused += 1
                    continue
                bodies.append(entry.encode(time_ms, intent=intent))
                batch.outcomes.append((intent, seq))
                del open_intents[intent]
            else:
                bodies.append(entry.encode(time_ms))
                if isinstance(entry, Intent):
                    open_intents[seq] = entry.invocation
            seqs.append(seq)

    def _store_batch(self, batch: Batch, *, sign: bool) -> None:
        """Hash, sign when asked, and write one transaction; then the new size holds."""
        leaves = [leaf_hash(body) for body in batch.bodies]
        self._frontier.extend(leaves)
        checkpoint = self._signed_checkpoint() if sign else None
        if not leaves and checkpoint is None:
            return
        rows = [
            EntryRow(seq, body, leaf)
            for seq, (body, leaf) in enumerate(zip(batch.bodies, leaves, strict=True), batch.first)
        ]
        began = time.monotonic()
        self._store.append(rows, outcomes=batch.outcomes, checkpoint=checkpoint)
        if self.on_stored is not None:
            self.on_stored(time.monotonic() - began)
        self.size = self._frontier.size
        self.entries_written += len(rows)
        self.commits += 1
        if checkpoint is not None:
            self._signed_size = checkpoint.size
            self._signed_at = time.monotonic()

    def _signed_checkpoint(self) -> StoredCheckpoint:
        text = checkpoint_text(Checkpoint(self.origin, self._frontier.size, self._frontier.root()))
        key_id, signature = self._signer.sign(text)
        note = signed_note(text, NoteSignature(self._signer.name, key_id, signature))
        return StoredCheckpoint(self._frontier.size, note, self._frontier.to_bytes())

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
# Inside a JSON string every quote is escaped, so these bytes can only be the member itself.
_KINDS_TO_READ = (b'"kind":"intent"', b'"kind":"outcome"', b'"kind":"start"', b'"kind":"stop"')


def _run(function: Callable[[], None]) -> None:
    function()


def _key_id(vkey: str) -> str:
    return vkey.split("+", 2)[1]


def _unavailable(what: str, *, detail: str | None = None) -> ExecutionError:
    return ExecutionError(
        "LOG_UNAVAILABLE",
        f"The audit log takes no more entries: {what}",
        hint="nothing is called without a record; see the host's log for the cause",
        detail=detail,
        ran="no",
    )
