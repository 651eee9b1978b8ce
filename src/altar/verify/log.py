"""The checks over a whole log, whatever file it was read from.

`LogCheck` is fed the entries in order, and takes the checkpoints from an iterator as it reaches their sizes.
It checks each entry, the order of starts and stops, that an intent has at most one outcome, and that every
signed
checkpoint states the root which the entries give.
What is wrong goes into `Findings`; what was counted and proved is read from the attributes afterwards.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from .entries import EntryError, Members, Plain, Tree, leaf_hash, read_entry, read_plain
from .keys import ROTATED, KeyChain
from .notes import Checkpoint, ForeignKeyError, Key, NoteError, open_note
from .report import Findings
from .retention import Retention

NO_INTENT = -1
OPEN = -2
UNKNOWN = -3

_TELL_EVERY = 4096


class EntryRow(NamedTuple):
    """One stored entry: its position in the log, its bytes, the leaf hash stored beside it, and where it stands.

    `where` is empty for what is called by its number alone.
    `number` is what the entry is called in findings; in a file of several logs it differs from the position.
    `hashes` are the leaf hash and the nodes of the tree stored beside it, None where the format has no such.
    """

    seq: int
    body: bytes
    leaf: bytes
    where: str
    page: int | None
    offset: int | None
    number: int
    hashes: bytes | None = None


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """One stored checkpoint: the size it is filed under, its note, its frontier, and where it stands."""

    size: int
    note: bytes
    frontier: bytes | None
    where: str
    page: int | None
    offset: int | None


class LogCheck:
    """Checks a log entry by entry; see `add` and `finish`.

    `most` is an upper bound on the number of entries that the file can hold: a greater number is damage,
    not a gap.
    `since` is a checkpoint obtained elsewhere, already found to be signed by the same key, or None.
    """

    def __init__(
        self,
        findings: Findings,
        *,
        key: Key,
        checkpoints: Iterator[CheckpointRow],
        most: int,
        since: Checkpoint | None,
        progress: Callable[[int], None] | None,
        version: int = 1,
        name: str = "log",
    ) -> None:
        """Start before the first entry; `version` is that of the format, `name` what the log is called in findings."""
        self.version = version
        self.name = name
        self.foreign: list[tuple[CheckpointRow, str, bytes | None]] = []  # with the root where each stands
        self.signed = 0
        self.earlier = 0  # checkpoints of keys that came before the one that was given
        self.keys = KeyChain(key)
        self.retention = Retention()
        self.origin: str | None = None
        self.entries = 0
        self.intents = 0
        self.outcomes = 0
        self.open: dict[int, str] = {}
        self.sqlite_versions: set[int] = set()
        self.verified_size = 0
        self.verified_time: int | None = None
        self.since_proved = False
        # For each entry: NO_INTENT, OPEN, UNKNOWN (it could not be read), or the number of its outcome.
        self.outcome_of = array("q")
        self._findings = findings
        self._key = key
        self._most = most
        self._since = since
        self._progress = progress
        self._life = _Life(skipping=version > 1)
        self._unreadable = 0
        self._astray = False
        self._time: int | None = None
        self._tree = Tree()  # over the entries as they are
        self._stored: Tree | None = None  # over the stored leaf hashes, once these differ
        self._whole = True  # no entry was missing so far
        self._checkpoints = checkpoints
        self._next: CheckpointRow | None = None
        self._newest = -1
        self._contradicted: list[CheckpointRow] = []
        self._explained = True
        self._advance()
        self._reach()

    def add(self, row: EntryRow) -> None:
        """Take the next entry; numbers must go up, and a gap is a finding."""
        expected = len(self.outcome_of)
        if not expected <= row.seq <= self._most:
            if not self._astray:  # told once: those behind it have no other chance
                what = f"its number does not follow: {expected} was expected"
                self._findings.add(self.called(row), what, page=row.page, offset=row.offset)
            self._astray = True
            return
        self._astray = False
        if row.seq > expected:
            self._miss(expected, row)
        self.entries += 1
        self._check_entry(row)
        self._reach()
        if self._progress is not None and self.entries % _TELL_EVERY == 0:
            self._progress(self.entries)

    def finish(self) -> None:
        """Check what only the end can show: checkpoints beyond it, open intents, the one from elsewhere."""
        size = len(self.outcome_of)
        if self._next is not None:
            self._findings.add(
                self._next.where,
                f"covers {self._next.size} entries, {size} are there: the end of the log is missing",
                page=self._next.page,
                offset=self._next.offset,
            )
        while self._next is not None:
            self._advance()
        self._tell_contradicted()
        self._check_open()
        self._tell_foreign()
        if self.retention.unexplained(self.verified_size) and not self.has_foreign_key:
            self._findings.add(
                self.name,
                f"{self.retention.removed} entries before {self.retention.end} are gone but for their hashes, "
                "and no signed entry says that they were sealed and removed",
            )
        if self.verified_size == 0 and not self.has_foreign_key:
            self._findings.add(self.name, "no signed checkpoint covers any entry: nothing is proved")
        elif self._life.stopped and self.verified_size < size and not (self._unreadable or self.has_foreign_key):
            self._findings.add(
                self.name,
                f"was stopped in order, but its last {size - self.verified_size} entries are not signed",
            )
        if self._since is not None and self.version == 1:
            self.check_since(self._since)

    @property
    def has_foreign_key(self) -> bool:
        """Whether the log is signed, and by another key only."""
        return bool(self.foreign or self.earlier) and not self.signed

    def _tell_foreign(self) -> None:
        """Checkpoints of another key: all of them mean that the key is not this log's, some of them are damage."""
        if self.has_foreign_key:
            row = self.foreign[0][0] if self.foreign else None
            what = f"{self._key.name!r} with key id {self._key.key_id.hex()} is not the key that signs {self.name}"
            self._findings.add("key", what, page=row.page if row else None, offset=row.offset if row else None)
            return
        for row, wrong, _ in self.foreign:
            self._findings.add(row.where, wrong, page=row.page, offset=row.offset)

    def _check_entry(self, row: EntryRow) -> None:
        """Check one entry by itself and against those before it."""
        is_gone = not row.body and self.version > 1
        leaf = row.leaf if is_gone else leaf_hash(row.body)
        if leaf != row.leaf:
            self._tell(row, "its bytes do not give the leaf hash stored beside them")
            if self._stored is None:
                self._stored = self._tree.copy()
        hashes = self._tree.append(leaf)
        if self._stored is not None:
            hashes = self._stored.append(row.leaf)
        if row.hashes is not None and row.hashes != hashes and self._whole:
            self._tell(row, "the nodes of the tree stored beside it do not belong to the entries")
        if is_gone:
            self.retention.miss(row.seq)
            self.outcome_of.append(UNKNOWN)
            self._life.forget()
            return
        if (plain := self._life.running and read_plain(row.body, self.version)) and self._follow_plain(plain, row.seq):
            return
        self.outcome_of.append(NO_INTENT)
        try:
            entry = read_entry(row.body, self.version)
        except EntryError as error:
            self._tell(row, str(error))
            self._unreadable += 1
            self.outcome_of[-1] = UNKNOWN
            self._life.forget()
            return
        self._time = int(entry["time"])
        misplaced = self._life.follow(entry, row.seq)
        contradiction = self._follow(entry, row.seq, sound=leaf == row.leaf)
        for wrong in (misplaced, contradiction):
            if wrong is not None:
                self._tell(row, wrong)

    def _follow_plain(self, plain: Plain, seq: int) -> bool:
        """Take a plain entry into account as `_follow` does; False, with nothing done, if anything is odd about it."""
        intent, invocation, self._time = plain
        if intent < 0:
            self.intents += 1
            self.outcome_of.append(OPEN)
            self.open[seq] = invocation
            return True
        if self.open.get(intent) != invocation:
            return False
        del self.open[intent]
        self.outcome_of[intent] = seq
        self.outcome_of.append(NO_INTENT)
        self.outcomes += 1
        return True

    def called(self, row: EntryRow) -> str:
        """Name an entry in words."""
        if row.where:
            return row.where
        if row.seq == row.number and self.name == "log":
            return f"entry {row.number}"
        return f"entry {row.number} ({row.seq} of {self.name})"

    def _tell(self, row: EntryRow, what: str) -> None:
        self._findings.add(self.called(row), what, seq=row.number, page=row.page, offset=row.offset)

    def _follow(self, entry: Members, seq: int, *, sound: bool) -> str | None:
        """Take an entry into account; return what contradicts the entries before it, or None."""
        if entry["kind"] == "start":
            self.sqlite_versions.add(int(entry["sqlite"]))
            if self.origin is None and sound:
                self.origin = str(entry["log"])
            if entry["log"] != self.origin and self.origin is not None:
                return f"the start belongs to log {entry['log']!r}, not to {self.origin!r}"
        elif entry["kind"] == "intent":
            self.intents += 1
            self.outcome_of[seq] = OPEN
            self.open[seq] = str(entry["invocation"])
        elif entry["kind"] == "outcome":
            self.outcomes += 1
            return self._close(int(entry["intent"]), str(entry["invocation"]), seq)
        elif "event" in entry:
            about = self.retention.follow(entry, seq)
            return self._rotate(entry) if entry["event"] == ROTATED else about
        return None

    def _rotate(self, entry: Members) -> str | None:
        """Go on with the key that an entry names; checkpoints before may turn out to be of one before the given."""
        is_first = not self.keys.rotations
        wrong = self.keys.rotate(entry, used=self.signed > 0)
        if wrong is None and is_first and self.keys.keys[0].public != self._key.public:
            before, self.foreign = self.foreign, []
            for row, what, root in before:
                self._judge_earlier(row, what, root)
        return wrong

    def _judge_earlier(self, row: CheckpointRow, what: str, root: bytes | None) -> None:
        """Hold a checkpoint against the first key of the log, now that it is known."""
        try:
            signed = open_note(row.note, self.keys.keys[0])
        except ForeignKeyError:
            self.foreign.append((row, what, root))
            return
        except NoteError as error:
            self._findings.add(row.where, str(error), page=row.page, offset=row.offset)
            return
        self.earlier += 1
        if root is not None and (signed.size, signed.root) != (row.size, root):
            self._findings.add(row.where, "does not state the entries before it", page=row.page, offset=row.offset)

    def _close(self, intent: int, invocation: str, seq: int) -> str | None:
        """Note the outcome `seq` of `intent`; return what is wrong with it, or None."""
        if intent >= seq:
            return f"the outcome names intent {intent}, which is not before it"
        state = self.outcome_of[intent]
        if state == UNKNOWN:
            return None
        if state == NO_INTENT:
            return f"the outcome names entry {intent}, which is not an intent"
        if state >= 0:
            return f"a second outcome for intent {intent}; the first is entry {state}"
        self.outcome_of[intent] = seq
        if self.open.pop(intent) != invocation:
            return f"the outcome and its intent {intent} name different invocations"
        return None

    def _miss(self, first: int, row: EntryRow) -> None:
        """Note that the entries from `first` up to before `row` are not there."""
        count = row.seq - first
        name = f"entry {first}" if count == 1 else f"entries {first}–{row.seq - 1}"
        seq = row.number - 1 if count == 1 and row.number == row.seq else None
        if self.name != "log":
            name += f" of {self.name}"
        self._findings.add(name, f"missing before {self.called(row)}", seq=seq, page=row.page, offset=row.offset)
        self._unreadable += count
        self.outcome_of.extend([UNKNOWN] * count)
        self._whole = False
        self._life.forget()

    def _reach(self) -> None:
        """Compare every checkpoint whose size has been reached."""
        size = len(self.outcome_of)
        if self._since is not None and self._since.size == size and self._whole:
            self.since_proved = self._tree.root() == self._since.root
        while self._next is not None and self._next.size <= size:
            row = self._next
            signed = self._read_checkpoint(row)
            if signed is not None and row.size == size and self._whole:
                self._compare(row, signed)
            elif signed is not None:
                self._contradicted.append(row)
                self._explained = False
            self._advance()

    def _read_checkpoint(self, row: CheckpointRow) -> Checkpoint | None:
        """Return what the checkpoint states if its signature and words are right; else None."""
        try:
            signed = open_note(row.note, self.keys.in_force)
        except ForeignKeyError as error:
            is_here = row.size == len(self.outcome_of) and self._whole
            self.foreign.append((row, str(error), self._tree.root() if is_here else None))
            return None
        except NoteError as error:
            self._count_signed()
            self._findings.add(row.where, str(error), page=row.page, offset=row.offset)
            return None
        self._count_signed()
        if self.origin is None:
            self.origin = signed.origin
        if signed.size != row.size:
            wrong = f"is filed under size {row.size}, but was signed for {signed.size}"
        elif signed.origin != self.origin:
            wrong = f"was signed for log {signed.origin!r}, not for {self.origin!r}"
        else:
            return signed
        self._findings.add(row.where, wrong, page=row.page, offset=row.offset)
        return None

    def _count_signed(self) -> None:
        if self.keys.is_trusted:
            self.signed += 1
        else:
            self.earlier += 1

    def _compare(self, row: CheckpointRow, signed: Checkpoint) -> None:
        """Hold a signed root and its frontier against the entries."""
        if self._tree.root() == signed.root:
            if self.keys.is_trusted:  # a key from before the given one proves nothing by itself
                self.verified_size = row.size
                self.verified_time = self._time
            fits = row.frontier is None or row.frontier == self._tree.frontier()
        else:
            explained = self._stored is not None and self._stored.root() == signed.root
            self._explained = self._explained and explained
            self._contradicted.append(row)
            fits = not explained or self._stored is None or row.frontier in {None, self._stored.frontier()}
        if not fits:
            self._findings.add(
                row.where, "its frontier does not belong to its entries", page=row.page, offset=row.offset
            )

    def _tell_contradicted(self) -> None:
        """Sum up the checkpoints that the entries do not bear out, in one finding."""
        if not self._contradicted:
            return
        first = self._contradicted[0]
        more = len(self._contradicted) - 1
        who = (
            f"this signed checkpoint, like {more} more up to {self._contradicted[-1].where},"
            if more
            else "this signed checkpoint"
        )
        if not self._whole:
            what = f"{who} cannot be borne out while entries before are missing"
        elif self._explained:
            what = f"{who} fits the stored leaf hashes, not the entries: these were changed after signing"
        else:
            suspects = f"entries {self.verified_size}–{first.size - 1}"
            what = f"{who} states another root: something in {suspects} was changed"
        self._findings.add(first.where, what, page=first.page, offset=first.offset)

    def _check_open(self) -> None:
        """An intent may stay open only in a run that has not ended, and only as its newest part."""
        if self._unreadable:
            return  # its outcome may be what cannot be read, and that is a finding already
        for seq in self.open:
            if self._life.stopped:
                self._findings.add(
                    self._named(seq),
                    "an intent without outcome, although the log was stopped in order",
                    seq=seq,
                )
            elif seq < self._life.newest_start:
                self._findings.add(self._named(seq), "an intent without outcome from before the newest start", seq=seq)

    def _named(self, seq: int) -> str:
        return f"entry {seq}" if self.name == "log" else f"entry {seq} of {self.name}"

    def check_since(self, since: Checkpoint) -> None:
        """The log must go on from the checkpoint obtained elsewhere."""
        size = len(self.outcome_of)
        if since.origin != self.origin:
            self._findings.add(
                "since", f"the checkpoint obtained elsewhere is for log {since.origin!r}, not {self.origin!r}"
            )
        elif since.size > size:
            self._findings.add(
                "since",
                f"rollback: a checkpoint over {since.size} entries was seen elsewhere, {size} are there",
            )
        elif not self.since_proved and self._whole:
            self._findings.add(
                "since",
                f"fork: a checkpoint seen elsewhere has another root for the first {since.size} entries",
            )
        elif not self.since_proved:
            self._findings.add(
                "since", "the checkpoint obtained elsewhere cannot be compared while entries are missing"
            )

    def _advance(self) -> None:
        """Take the next checkpoint whose size goes up; another one is a finding."""
        for row in self._checkpoints:
            if row.size <= self._newest:
                self._findings.add(
                    row.where, "checkpoints are not in ascending order", page=row.page, offset=row.offset
                )
                continue
            self._newest = row.size
            self._next = row
            return
        self._next = None


class _Life:
    """The starts and stops of a log: epochs go up by one, and nothing comes between a stop and a start.

    With `skipping`, epochs need only go up: a log is begun in those in which it has entries.
    """

    def __init__(self, *, skipping: bool) -> None:
        self._skipping = skipping
        self.stopped = False
        self.newest_start = -1
        self.running: bool | None = False
        self._epoch: int | None = 0

    def follow(self, entry: Members, seq: int) -> str | None:
        """Take an entry into account; return what is wrong with its place, or None."""
        kind, wrong = entry["kind"], None
        if kind == "start":
            if self._skipping and self._epoch is not None and int(entry["epoch"]) <= self._epoch:
                wrong = f"the start opens epoch {entry['epoch']}, and {self._epoch} was before it"
            elif not self._skipping and self._epoch is not None and entry["epoch"] != self._epoch + 1:
                wrong = f"the start opens epoch {entry['epoch']}, and {self._epoch + 1} was due"
            self._epoch, self.running, self.newest_start = int(entry["epoch"]), True, seq
        elif self.running is False:
            wrong = "nothing but a start may come first or follow a stop"
        elif kind == "stop":
            if self._epoch is not None and entry["epoch"] != self._epoch:
                wrong = f"the stop ends epoch {entry['epoch']}, and epoch {self._epoch} is running"
            self.running = False
        else:
            self.running = True
        self.stopped = kind == "stop"
        return wrong

    def forget(self) -> None:
        """Entries could not be read: the next one may be anything."""
        self.running = self._epoch = None
        self.stopped = False
