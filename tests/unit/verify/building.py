"""Logs made from the published format alone: neither the writer's code nor the verifier's is used here."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import shutil
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "altar.local/host-1"
PAGE = 4096
START_TIME = 1_790_000_000_000
DDL = (
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, leaf BLOB NOT NULL)",
    "CREATE TABLE outcomes (intent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note BLOB NOT NULL, frontier BLOB NOT NULL)",
)


DDL_2 = (
    "CREATE TABLE logs (log INTEGER PRIMARY KEY, tenant BLOB NOT NULL)",
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, place INTEGER NOT NULL, body BLOB NOT NULL, hashes BLOB NOT NULL)",
    "CREATE TABLE places (place INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE outcomes (intent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE checkpoints (place INTEGER PRIMARY KEY, note BLOB NOT NULL)",
)


class Signer:
    """An Ed25519 key with the name of a log."""

    def __init__(self, seed: bytes = b"k" * 32, name: str = ORIGIN) -> None:
        self.name = name
        self._private = Ed25519PrivateKey.from_private_bytes(seed)
        raw = b"\x01" + self._private.public_key().public_bytes_raw()
        self.key_id = hashlib.sha256(name.encode() + b"\n" + raw).digest()[:4]
        self.vkey = f"{name}+{self.key_id.hex()}+{base64.b64encode(raw).decode()}"

    def note(self, origin: str, size: int, root: bytes) -> bytes:
        text = f"{origin}\n{size}\n{base64.b64encode(root).decode()}\n"
        signature = base64.b64encode(self.key_id + self._private.sign(text.encode())).decode()
        return f"{text}\n— {self.name} {signature}\n".encode()


@dataclass
class Log:
    """A log in memory: leaves, outcomes by intent, notes by size, and how commits were batched."""

    signer: Signer = field(default_factory=Signer)
    bodies: list[bytes] = field(default_factory=list)
    outcomes: dict[int, int] = field(default_factory=dict)
    signed: dict[int, bytes] = field(default_factory=dict)
    batches: list[int] = field(default_factory=list)
    invocations: dict[int, str] = field(default_factory=dict)
    epoch: int = 0
    clock: int = START_TIME
    version: int = 1
    tenant: str = ""

    @property
    def origin(self) -> str:
        return f"{ORIGIN}/{quote(self.tenant, safe='@:')}" if self.tenant else ORIGIN

    def put(self, kind: str, **members: str | int) -> int:
        self.clock += 7
        entry: dict[str, str | int] = {"kind": kind, "time": self.clock, "v": self.version, **members}
        self.bodies.append(canonical(entry))
        return len(self.bodies) - 1

    def start(self) -> int:
        self.epoch += 1
        return self.put(
            "start",
            epoch=self.epoch,
            host="host-1",
            log=self.origin,
            software="altar 0.1.0",
            sqlite=sqlite3.sqlite_version_info[0] * 1_000_000
            + sqlite3.sqlite_version_info[1] * 1000
            + sqlite3.sqlite_version_info[2],
        )

    def stop(self) -> int:
        return self.put("stop", epoch=self.epoch)

    def intent(self, note: str = "") -> int:
        seq = len(self.bodies)
        self.invocations[seq] = f"inv-{seq:08d}"
        return self.put(
            "intent",
            arguments=digest(f"arguments {seq}"),
            call=f"call-{seq}",
            contract=digest("contract"),
            correlation=f"corr-{seq}",
            invocation=self.invocations[seq],
            principal=f"user:ärger{note}",
            session=f"session-{seq % 7}",
            tenant="acme",
            tool="get_weather",
            version="1.0.0",
        )

    def outcome(self, intent: int, *, code: str = "", invocation: str | None = None, row: bool = True) -> int:
        seq = self.put(
            "outcome",
            attempts=1,
            code=code,
            intent=intent,
            invocation=invocation or self.invocations[intent],
            ran="yes" if not code else "unknown",
            result=digest(f"result {intent}") if not code else "",
            runtime="runtime-1",
            status="ERROR" if code else "SUCCESS",
        )
        if row:
            self.outcomes[intent] = seq
        return seq

    def event(self) -> int:
        return self.put("event", event="session.opened", subject="session-1", note='a "quoted" line\nand é')

    def commit(self) -> None:
        self.batches.append(len(self.bodies))

    def sign(self) -> bytes:
        size = len(self.bodies)
        self.signed[size] = self.signer.note(self.origin, size, root(self.leaves()))
        self.commit()
        return self.signed[size]

    def leaves(self) -> list[bytes]:
        return [leaf_hash(body) for body in self.bodies]


def sample(
    calls: int,
    *,
    seed: int = 1,
    sign_every: int = 10,
    stop: bool = True,
    pad: int = 0,
    version: int = 1,
    tenant: str = "",
) -> Log:
    """Return a log of `calls` calls whose outcomes come in another order, in two runs."""
    rng = random.Random(seed)
    log = Log(
        version=version, tenant=tenant, signer=Signer(name=f"{ORIGIN}/{quote(tenant, safe='@:')}" if tenant else ORIGIN)
    )
    waiting: list[int] = []
    log.start()
    log.sign()
    for number in range(calls):
        waiting.append(log.intent("x" * rng.randint(0, pad)))
        if len(waiting) > 5:
            log.outcome(waiting.pop(rng.randrange(len(waiting))), code="TIMEOUT" if rng.random() < 0.2 else "")
        if number % 3 == 0:
            log.commit()
        if number % sign_every == sign_every - 1:
            log.sign()
        if number == calls // 2:
            log.start()  # killed here: the next run closes what was open
            for intent in waiting:
                log.outcome(intent, code="OUTCOME_UNKNOWN")
            waiting.clear()
            log.event()
            log.sign()
    if stop:
        for intent in waiting:
            log.outcome(intent)
        log.stop()
        log.sign()
    return log


def write_database(
    log: Log,
    path: Path,
    *,
    keep_wal: bool = False,
    meddle: Callable[[sqlite3.Connection], object] | None = None,
) -> Path:
    """Write the log as its writer would: batch by batch, each in one transaction.

    With `keep_wal` the files are taken as a kill would leave them.
    `meddle` may change rows before the file is closed.
    """
    working = path.with_name("working-" + path.name) if keep_wal else path
    connection = _new_database(working, DDL, version=1)
    by_outcome = {seq: intent for intent, seq in log.outcomes.items()}
    leaves, first = log.leaves(), 0
    for end in sorted({*log.batches, len(log.bodies)}):
        connection.execute("BEGIN IMMEDIATE")
        for seq in range(first, end):
            connection.execute("INSERT INTO entries VALUES (?, ?, ?)", (seq, log.bodies[seq], leaves[seq]))
            if seq in by_outcome:
                connection.execute("INSERT INTO outcomes VALUES (?, ?)", (by_outcome[seq], seq))
        if end in log.signed:
            row = (end, log.signed[end], frontier(leaves[:end]))
            connection.execute("INSERT OR IGNORE INTO checkpoints VALUES (?, ?, ?)", row)
        connection.execute("COMMIT")
        first = end
    if meddle is not None:
        meddle(connection)
    if keep_wal:
        shutil.copy(working, path)
        shutil.copy(f"{working}-wal", f"{path}-wal")
    connection.close()
    return path


def many(calls: int, *, stop: bool = True, pad: int = 0) -> list[Log]:
    """Return the logs of a host with two tenants, one of which has a name that has to be quoted."""
    names = ("", "acme", "zo\u00eb+co")
    return [
        sample(calls if name else calls // 4, seed=number, stop=stop, pad=pad, version=2, tenant=name)
        for number, name in enumerate(names)
    ]


def write_logs(
    logs: list[Log],
    path: Path,
    *,
    first: int = 0,
    seed: int = 1,
    meddle: Callable[[sqlite3.Connection], object] | None = None,
) -> Path:
    """Write logs of format 2 as their writer would, mixed in an order of commits that begins with number `first`."""
    rng = random.Random(seed)
    connection = _new_database(path, DDL_2, version=2)
    connection.executemany("INSERT INTO logs VALUES (?, ?)", [(at, log.tenant.encode()) for at, log in enumerate(logs)])
    done, seqs, seq = [0] * len(logs), [dict[int, int]() for _ in logs], first
    while any(done[at] < len(log.bodies) for at, log in enumerate(logs)):
        connection.execute("BEGIN IMMEDIATE")
        for _ in range(rng.randint(1, 30)):
            ready = [at for at, log in enumerate(logs) if done[at] < len(log.bodies)]
            if not ready:
                break
            at = rng.choice(ready)
            log, position = logs[at], done[at]
            seqs[at][position] = seq
            leaves = log.leaves()[: position + 1]
            place = at << 40 | position
            connection.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?)", (seq, place, log.bodies[position], stored(leaves))
            )
            connection.execute("INSERT INTO places VALUES (?, ?)", (place, seq))
            for intent, outcome in log.outcomes.items():
                if outcome == position:
                    connection.execute("INSERT INTO outcomes VALUES (?, ?)", (seqs[at][intent], seq))
            done[at], seq = position + 1, seq + 1
            if done[at] in log.signed:
                connection.execute("INSERT INTO checkpoints VALUES (?, ?)", (at << 40 | done[at], log.signed[done[at]]))
        connection.execute("COMMIT")
    if meddle is not None:
        meddle(connection)
    connection.close()
    return path


def stored(leaves: list[bytes]) -> bytes:
    """What stands beside the last of these leaves: itself, and the roots of the full subtrees that it completes."""
    found, size = b"", len(leaves)
    for level in range(size.bit_length()):
        if size % (1 << level):
            break
        found += root(leaves[size - (1 << level) :])
    return found


def _new_database(path: Path, ddl: tuple[str, ...], *, version: int) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in (
        "page_size=4096",
        "auto_vacuum=NONE",
        "journal_mode=WAL",
        "synchronous=OFF",
        "secure_delete=OFF",
        f"application_id={0x414C5452}",
        f"user_version={version}",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    for each in ddl:
        connection.execute(each)
    return connection


def free_some_pages(connection: sqlite3.Connection) -> None:
    """Fill a small table of outcomes and empty it again, so that its pages go to the freelist."""
    rows = [(intent, 1_000_000 + intent) for intent in range(100_000, 103_000)]
    connection.executemany("INSERT INTO outcomes VALUES (?, ?)", rows)
    connection.execute("DELETE FROM outcomes WHERE intent >= 100000")


def write_export(log: Log, path: Path) -> Path:
    """Write the log as one export."""
    head: dict[str, str | int] = {
        "altar_audit_export": log.version,
        "origin": log.origin,
        "size": len(log.bodies),
        "vkey": log.signer.vkey,
    }
    lines = [canonical(head | ({"tenant": log.tenant} if log.version > 1 else {}))]
    for seq, body in enumerate(log.bodies):
        leaf = base64.b64encode(leaf_hash(body)).decode()
        lines.append(canonical({"entry": body.decode(), "leaf": leaf, "seq": seq}))
    lines += [canonical({"checkpoint": note.decode(), "size": size}) for size, note in sorted(log.signed.items())]
    text = b"".join(line + b"\n" for line in lines)
    path.write_bytes(text + canonical({"end": "sha256:" + hashlib.sha256(text).hexdigest()}) + b"\n")
    return path


def canonical(value: Mapping[str, str | int]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def leaf_hash(body: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + body).digest()


def root(leaves: list[bytes]) -> bytes:
    """RFC 9162 §2.1.1, word for word."""
    if not leaves:
        return hashlib.sha256().digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\x01" + root(leaves[:split]) + root(leaves[split:])).digest()


def frontier(leaves: list[bytes]) -> bytes:
    """The roots of the full subtrees from left to right."""
    found, at = b"", 0
    for bit in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> bit & 1:
            found += root(leaves[at : at + (1 << bit)])
            at += 1 << bit
    return found
