"""Reading the logs of a host, whether it is running or not: entries, checkpoints, and proofs.

`LogReader` opens the database beside its writer, and never writes.
Each answer is one moment of the log; nothing here is proved, but `inclusion` and `consistency` give what others can
check against a signed checkpoint.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from altar.adm.errors import ConfigurationError, ValidationError
from altar.ledger.log import leaf_hash, parse_note
from altar.ledger.log_store import LOG_BITS
from altar.ledger.logs import stored_nodes
from altar.ledger.places import DatabaseLog, Place
from altar.ledger.proofs import Node, consistency_of, inclusion_of, right_edge, stored_at
from altar.ledger.reading import Reading
from altar.ledger.sqlite import APPLICATION_ID, USER_VERSION, damaged, translated

__all__ = ["LogInfo", "LogReader", "Row", "unknown_log"]

_AT_ONCE = 512
TILE_HEIGHT = 8
"""How many levels of the tree a tile of C2SP tlog-tiles spans."""


@dataclass(frozen=True, slots=True)
class LogInfo:
    """One log: its number, its tenant ("" in the host's own), its origin, and how many entries it has now."""

    log: int
    tenant: str
    origin: str
    size: int


class Row(NamedTuple):
    """One entry in the order of all commits: ``seq`` is its place there, ``position`` that in the log of its tenant."""

    seq: int
    tenant: str
    position: int
    body: bytes
    leaf: bytes


class LogReader:
    """The logs in one database; open it with `open`, and use it in a `with`. For one thread at a time."""

    def __init__(self, db: Reading, path: str) -> None:
        """Take an open database; `open` also looks whether it is one of logs."""
        self._db = db
        self.path = path
        self._numbers: dict[str, int] = {}
        self._tenants: dict[int, str] = {}

    @classmethod
    def open(cls, path: Place) -> LogReader:
        """Open the logs at `path`, a file or a database, for reading, from any thread.

        Raises ConfigurationError: ENVIRONMENT_ERROR when there are none, LOG_DAMAGED when they are not intact,
        INVALID_CONFIG for a format that is not read here; ExecutionError LOG_UNAVAILABLE when another program keeps
        the database locked.
        """
        if isinstance(path, DatabaseLog):
            from altar.ledger.postgres import PostgresReading  # only here its driver is needed

            return cls(PostgresReading(path), str(path))
        place = Path(path)
        if not place.is_file():
            raise ConfigurationError("ENVIRONMENT_ERROR", f"There is no ledger at {str(path)!r}")
        address = f"{place.resolve().as_uri()}?mode=ro"
        with translated(str(path)):
            db = sqlite3.connect(address, uri=True, timeout=1, isolation_level=None, check_same_thread=False)
            try:
                (application,) = db.execute("PRAGMA application_id").fetchone()
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if application != APPLICATION_ID:
                    raise damaged(str(path), "it is no ledger")
                if version != USER_VERSION:
                    raise ConfigurationError(
                        "INVALID_CONFIG",
                        f"The ledger {str(path)!r} has format {version}, and format {USER_VERSION} is read here",
                        hint="start its host once, which brings it forward; `altar audit verify` reads both",
                    )
            except BaseException:
                db.close()
                raise
        return cls(db, str(path))

    def close(self) -> None:
        """Let go of the database."""
        self._db.close()

    def __enter__(self) -> Self:
        """Give the reader itself."""
        return self

    def __exit__(self, *_exc: object) -> None:
        """Let go of the database."""
        self.close()

    @contextmanager
    def moment(self) -> Iterator[None]:
        """Let everything that is asked within the `with` be of one moment of the logs."""
        self._ask("BEGIN")
        try:
            self._ask("SELECT 1 FROM logs LIMIT 1")
            yield
        finally:
            self._ask("COMMIT")

    def logs(self) -> list[LogInfo]:
        """Give the logs: the host's own first, then those of tenants in the order in which they were begun."""
        found = []
        for log, tenant in self._ask("SELECT log, tenant FROM logs ORDER BY log"):
            name = self._note_log(log, tenant)
            found.append(LogInfo(log, name, self._origin(log), self._size(log)))
        return found

    def size(self) -> int:
        """Give the ``seq`` that the next entry will get."""
        ((last,),) = self._ask("SELECT max(seq) FROM entries")
        return 0 if last is None else int(last) + 1

    def entries(self, tenant: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes]]:
        """Read the entries of a log from position `start` to before `stop`, in order: position and bytes.

        Those that were removed past their retention are passed over.
        """
        for position, body, _ in self.stored(tenant, start, stop):
            if body:
                yield position, body

    def stored(self, tenant: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        """Read all entries of a log as `entries` does, each with its leaf hash as it is stored.

        The bytes of one that was removed are empty.
        """
        base = self._base(tenant)
        # no position leads out of the log: what is behind its last is the next tenant's
        at, after = base + max(0, start), base + ((1 << LOG_BITS) if stop is None else min(stop, 1 << LOG_BITS))
        while at < after:
            found = self._ask(
                "SELECT p.place, e.body, e.hashes FROM places p CROSS JOIN entries e ON e.seq = p.seq"
                " WHERE p.place >= ? AND p.place < ? ORDER BY p.place LIMIT ?",
                at,
                after,
                _AT_ONCE,
            )
            for place, body, hashes in found:
                yield place - base, body, hashes[:32]
            if len(found) < _AT_ONCE:
                return
            at = found[-1][0] + 1

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Read the entries of all logs from ``seq`` `start` to before `stop`, in the order of their commits.

        Those that were removed past their retention are passed over.
        """
        after = (1 << 63) - 1 if stop is None else stop
        while start < after:
            found = self._ask(
                "SELECT seq, place, body, hashes FROM entries WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?",
                start,
                after,
                _AT_ONCE,
            )
            for seq, place, body, hashes in found:
                log = place >> LOG_BITS
                if not body:
                    continue
                yield Row(seq, self._tenant(log), place - (log << LOG_BITS), body, hashes[:32])
            if len(found) < _AT_ONCE:
                return
            start = found[-1][0] + 1

    def marked(self, marks: Sequence[bytes], start: int = 0) -> Iterator[Row]:
        """Read those entries of all logs from ``seq`` `start` on that hold one of some marks, in the order of commits.

        The database looks for them itself, so that this costs one look at each entry, and no more.
        Raises ConfigurationError LOG_DAMAGED for one that is not what its leaf hash says.
        """
        wanted = " OR ".join("instr(body, ?)" for _ in marks)
        found = self._ask(
            f"SELECT seq, place, body, hashes FROM entries WHERE seq >= ? AND ({wanted}) ORDER BY seq",  # noqa: S608 - marks only
            start,
            *marks,
        )
        for seq, place, body, hashes in found:
            if leaf_hash(body) != hashes[:32]:
                raise damaged(self.path, f"entry {seq} is not what its leaf hash says")
            log = place >> LOG_BITS
            yield Row(seq, self._tenant(log), place - (log << LOG_BITS), body, hashes[:32])

    def checkpoint(self, tenant: str) -> bytes:
        """Give the newest signed checkpoint of a log, as a C2SP signed note.

        Raises ConfigurationError LOG_DAMAGED when it has none.
        """
        base = self._base(tenant)
        found = self._ask(
            "SELECT note FROM checkpoints WHERE place >= ? AND place < ? ORDER BY place DESC LIMIT 1",
            base,
            base + (1 << LOG_BITS),
        )
        if not found:
            raise damaged(self.path, "it has no checkpoint")
        return bytes(found[0][0])

    def checkpoints(self, tenant: str) -> Iterator[tuple[int, bytes]]:
        """Give all signed checkpoints of a log, the smallest first: size and note."""
        base = self._base(tenant)
        at = base
        while True:
            found = self._ask(
                "SELECT place, note FROM checkpoints WHERE place >= ? AND place < ? ORDER BY place LIMIT ?",
                at,
                base + (1 << LOG_BITS),
                _AT_ONCE,
            )
            yield from ((place - base, bytes(note)) for place, note in found)
            if len(found) < _AT_ONCE:
                return
            at = found[-1][0] + 1

    def inclusion(self, tenant: str, position: int, size: int) -> list[bytes]:
        """Prove that the entry at `position` is one of the first `size` of its log (RFC 9162 §2.1.3).

        Raises ValidationError UNKNOWN_RESOURCE when there are not so many.
        """
        with self._missing(tenant, size):
            return inclusion_of(position, size, lambda nodes: self._nodes(tenant, nodes))

    def consistency(self, tenant: str, old: int, new: int) -> list[bytes]:
        """Prove that the first `new` entries of a log begin with the first `old` (RFC 9162 §2.1.4).

        Raises ValidationError UNKNOWN_RESOURCE when there are not so many.
        """
        with self._missing(tenant, new):
            return consistency_of(old, new, lambda nodes: self._nodes(tenant, nodes))

    def edge(self, tenant: str, size: int) -> bytes:
        """Give the roots along the right edge of the tree over the first `size` entries, largest first, 32 bytes each.

        Raises ValidationError UNKNOWN_RESOURCE when there are not so many.
        """
        with self._missing(tenant, size):
            nodes = right_edge(size)
            found = self._nodes(tenant, nodes)
            return b"".join(found[node] for node in nodes)

    def tile(self, tenant: str, level: int, index: int, width: int = 256) -> bytes:
        """Give a tile of C2SP tlog-tiles: `width` hashes of nodes `level` × 8 above the entries, 32 bytes each.

        Raises ValidationError UNKNOWN_RESOURCE when the log has not so many.
        """
        nodes = [(TILE_HEIGHT * level, index * 256 + at) for at in range(width)]
        with self._missing(tenant, 0):
            found = self._nodes(tenant, nodes)
            return b"".join(found[node] for node in nodes)

    def _nodes(self, tenant: str, nodes: Iterable[Node]) -> Mapping[Node, bytes]:
        base, wanted = self._base(tenant), [node for node in nodes if 0 <= stored_at(node) < 1 << LOG_BITS]
        if not wanted:
            return {}
        found = self._ask(
            "SELECT p.place, e.hashes FROM places p CROSS JOIN entries e ON e.seq = p.seq"  # noqa: S608 - marks only
            f" WHERE p.place IN ({','.join('?' * len(wanted))})",
            *(base + stored_at(node) for node in wanted),
        )
        return stored_nodes({place - base: hashes for place, hashes in found}, wanted)

    @contextmanager
    def _missing(self, tenant: str, size: int) -> Iterator[None]:
        """Turn what is asked of more entries than there are into an error that says so."""
        try:
            if size > self._size(self._base(tenant) >> LOG_BITS):
                raise ValueError(f"there are not {size}")
            yield
        except (ValueError, KeyError) as error:
            raise ValidationError("UNKNOWN_RESOURCE", "The log has not so many entries", detail=str(error)) from error

    def _origin(self, log: int) -> str:
        base = log << LOG_BITS
        found = self._ask(
            "SELECT note FROM checkpoints WHERE place >= ? AND place < ? ORDER BY place LIMIT 1",
            base,
            base + (1 << LOG_BITS),
        )
        try:
            return parse_note(found[0][0])[1].origin if found else ""
        except ValueError as error:
            raise damaged(self.path, "a checkpoint is malformed", detail=str(error)) from error

    def _size(self, log: int) -> int:
        base = log << LOG_BITS
        ((last,),) = self._ask(
            "SELECT max(place) FROM places WHERE place >= ? AND place < ?", base, base + (1 << LOG_BITS)
        )
        return 0 if last is None else int(last) - base + 1

    def _base(self, tenant: str) -> int:
        """Give the first place of a tenant's log."""
        if tenant not in self._numbers:
            self._read_logs()
        if tenant not in self._numbers:
            raise unknown_log(tenant)
        return self._numbers[tenant] << LOG_BITS

    def _tenant(self, log: int) -> str:
        if log not in self._tenants:
            self._read_logs()
        if log not in self._tenants:
            raise damaged(self.path, f"there is no log {log}")
        return self._tenants[log]

    def _read_logs(self) -> None:
        for log, tenant in self._ask("SELECT log, tenant FROM logs"):
            self._note_log(log, tenant)

    def _note_log(self, log: int, tenant: bytes) -> str:
        try:
            name = tenant.decode()
        except (UnicodeDecodeError, AttributeError) as error:
            raise damaged(self.path, f"log {log} is not named as it was", detail=str(error)) from error
        self._numbers[name], self._tenants[log] = log, name
        return name

    def _ask(self, sql: str, *parameters: int | bytes) -> list[Any]:
        with translated(self.path):
            return self._db.execute(sql, parameters).fetchall()


def unknown_log(tenant: str) -> ValidationError:
    """Make the error for a tenant that has no log."""
    return ValidationError(
        "UNKNOWN_RESOURCE",
        f"There is no log of the tenant {tenant[:80]!r}",
        ran="no",
        hint="correct the name; the log of a tenant begins with the first entry about it",
    )
