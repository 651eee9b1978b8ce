"""The logs of one host while it writes them: the host's own, and one for each tenant.

Each is a Merkle tree of its own with signed checkpoints of its own; what is kept here is its right edge.
`Logs` reads them from the store at a start, proves that each is what its newest checkpoint states, and makes new ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from altar.adm.errors import ConfigurationError
from altar.ledger.log import Checkpoint, Frontier, NoteSignature, checkpoint_text, leaf_hash, parse_note, signed_note
from altar.ledger.log_store import LOG_BITS, EntryRow, LogStore, StoredCheckpoint, StoredLog
from altar.ledger.proofs import Node, node_at, right_edge, stored_at
from altar.ledger.signer import Signer, is_signed_by, key_id_of, log_vkey, public_key_of
from altar.ledger.sqlite import damaged

__all__ = ["Log", "Logs", "log_origin"]


@dataclass(slots=True, eq=False)
class Log:
    """One log as its writer has it.

    ``base`` is the place of its first entry; ``size`` counts the entries that were taken, ``frontier`` those written.
    ``signed`` is how many of them the newest checkpoint covers, ``epoch`` in which of the host's epochs it was begun
    with a start; 0 when that is not the running one.
    """

    number: int
    tenant: str
    origin: str
    size: int = 0
    signed: int = 0
    epoch: int = 0
    stored: bool = False
    frontier: Frontier = field(default_factory=Frontier)

    base: int = field(init=False)

    def __post_init__(self) -> None:
        """Work out the place of its first entry."""
        self.base = self.number << LOG_BITS


class Logs:
    """All logs of a host by the name of their tenant; "" is the host's own."""

    def __init__(self, store: LogStore, *, signer: Signer, origin: str) -> None:
        """Take the collaborators; `load` reads what is there."""
        self._store = store
        self._signer = signer
        self._origin = origin
        self._public = public_key_of(signer.vkey)
        self._by_tenant: dict[str, Log] = {}
        self._by_number: list[Log] = []

    def __iter__(self) -> Iterator[Log]:
        """Give them in the order in which they were begun."""
        return iter(self._by_number)

    def of(self, tenant: str) -> Log:
        """Give the log of a tenant; its first use begins it."""
        log = self._by_tenant.get(tenant)
        return self._begun(tenant) if log is None else log

    def find(self, tenant: str) -> Log | None:
        """Give the log of a tenant if it was begun. For any thread."""
        return self._by_tenant.get(tenant)

    def size_of(self, tenant: str) -> int:
        """Give how many entries a tenant's log has; 0 where none was begun. For any thread."""
        log = self._by_tenant.get(tenant)
        return 0 if log is None else log.size

    def at(self, place: int) -> Log:
        """Give the log that a place is in; LOG_DAMAGED when there is none."""
        number = place >> LOG_BITS
        if not 0 <= number < len(self._by_number):
            raise damaged(self._store.path, f"there is no log {number}")
        return self._by_number[number]

    def load(self) -> None:
        """Read all logs, each brought up to its last entry from its newest checkpoint, once that is proved genuine.

        Raises ConfigurationError: LOG_DAMAGED when one of them is not what its checkpoint states, INVALID_CONFIG when
        it was begun with another origin or key.
        """
        for number, stored in enumerate(self._store.logs()):
            if stored.log != number or (stored.tenant == "") != (number == 0) or stored.tenant in self._by_tenant:
                raise damaged(self._store.path, f"log {number} is not named as it was")
            log = self._begun(stored.tenant)
            log.stored = True
            self._bring_up(log)
        due, there = sum(log.size for log in self), self._store.next_seq() - self._store.first_seq()
        if due != there:
            raise damaged(self._store.path, f"its logs have {due} entries, {there} are there")
        self._check_stop()

    def sign_with(self, signer: Signer) -> None:
        """Sign with another key from here on."""
        self._signer = signer
        self._public = public_key_of(signer.vkey)

    def signed_checkpoint(self, log: Log) -> StoredCheckpoint:
        """Sign what a log is now."""
        text = checkpoint_text(Checkpoint(log.origin, log.frontier.size, log.frontier.root()))
        name = log_origin(self._signer.name, log.tenant)
        key_id, signature = self._signer.sign(text)
        if log.tenant:
            key_id = key_id_of(name, self._public)
        note = signed_note(text, NoteSignature(name, key_id, signature))
        return StoredCheckpoint(log.number, log.frontier.size, note)

    def new_rows(self, logs: Iterable[Log]) -> list[StoredLog]:
        """Give the rows of those that the store does not have yet."""
        return [StoredLog(log.number, log.tenant) for log in logs if not log.stored]

    def _check_stop(self) -> None:
        """A host that stops signs all of its logs together with its stop: whatever comes after that is not its own."""
        for log in self:
            if log.size > log.signed:
                signed = self._by_number[0].signed
                last = next(self._store.entries_of(0, signed - 1), None)
                if last is None or b'"kind":"stop"' in last.body:
                    raise damaged(self._store.path, f"{named(log)} goes on after the host was stopped in order")

    def _begun(self, tenant: str) -> Log:
        log = Log(len(self._by_number), tenant, log_origin(self._origin, tenant))
        self._by_tenant[tenant] = log
        self._by_number.append(log)
        return log

    def _bring_up(self, log: Log) -> None:
        """Prove the newest checkpoint, and put the entries after it onto the tree."""
        path, number = self._store.path, log.number
        stored, size = self._store.newest_checkpoint(number), self._store.size_of(number)
        if stored is None:  # a log is signed in the transaction that begins it
            raise damaged(path, f"{named(log)} has entries but no checkpoint" if number else _NO_CHECKPOINT)
        log.frontier = self._proved(log, stored, size)
        log.signed = stored.size
        for row in self._store.entries_of(number, log.signed):
            self._put(log, row)
        log.size = log.frontier.size
        if log.size != size:
            raise damaged(path, f"{named(log)} ends at entry {log.size}, and {size} are there")

    def _put(self, log: Log, row: EntryRow) -> None:
        position = row.place - log.base
        if position != log.frontier.size:
            raise damaged(self._store.path, f"entry {log.frontier.size} of {named(log)} is missing")
        if log.frontier.push(leaf_hash(row.body)) != row.hashes:
            raise damaged(self._store.path, f"entry {row.seq} is not what its leaf hash says")

    def _proved(self, log: Log, stored: StoredCheckpoint, size: int) -> Frontier:
        """Give the tree's right edge at a checkpoint after checking origin, signature and root."""
        path = self._store.path
        try:
            text, checkpoint, signatures = parse_note(stored.note)
        except ValueError as error:
            raise damaged(path, f"checkpoint {stored.size} is malformed", detail=str(error)) from error
        vkey = log_vkey(self._signer.vkey, log.tenant)
        own = [signature for signature in signatures if signature.key_id.hex() == vkey.split("+", 2)[1]]
        if checkpoint.origin != log.origin or not own:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The ledger {path!r} is the log {checkpoint.origin!r} signed by {signatures[0].name!r}, "
                f"not {log.origin!r} signed by {log_origin(self._signer.name, log.tenant)!r} with this key",
                hint="open it with the origin and the key it was begun with, or begin a new ledger",
            )
        if not is_signed_by(vkey, text, own[0].signature):
            raise damaged(path, f"the signature of checkpoint {stored.size} is wrong")
        if size < stored.size:
            raise damaged(path, f"its checkpoint covers {stored.size} entries, {size} are there")
        frontier = self._frontier_at(log, stored.size)
        if checkpoint.size != stored.size or checkpoint.root != frontier.root():
            raise damaged(path, f"checkpoint {stored.size} states another tree than the one stored with it")
        return frontier

    def _frontier_at(self, log: Log, size: int) -> Frontier:
        edge = right_edge(size)
        nodes = stored_nodes(self._store.hashes_at(log.number, [stored_at(node) for node in edge]), edge)
        if len(nodes) < len(edge) or any(len(each) != 32 for each in nodes.values()):
            raise damaged(self._store.path, f"the tree of {named(log)} is not stored whole")
        return Frontier.from_bytes(size, b"".join(nodes[node] for node in edge))


_NO_CHECKPOINT = "it has entries but no checkpoint"


def log_origin(origin: str, tenant: str) -> str:
    """Give the name of a tenant's log: that of the host's own, and the tenant's behind it."""
    return f"{origin}/{quote(tenant, safe='@:')}" if tenant else origin


def stored_nodes(hashes: Mapping[int, bytes], nodes: Iterable[Node]) -> dict[Node, bytes]:
    """Pick nodes out of what is stored beside entries; those that are not there are left out."""
    return {node: node_at(hashes[at], node[0]) for node in nodes if (at := stored_at(node)) in hashes}


def named(log: Log) -> str:
    """Name a log in words."""
    return f"the log of {log.tenant!r}" if log.tenant else "the host's log"
