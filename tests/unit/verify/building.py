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

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN = "altar.local/host-1"
PAGE = 4096
START_TIME = 1_790_000_000_000
DDL = (
    "CREATE TABLE entries (seq INTEGER PRIMARY KEY, body BLOB NOT NULL, leaf BLOB NOT NULL)",
    "CREATE TABLE outcomes (intent INTEGER PRIMARY KEY, seq INTEGER NOT NULL)",
    "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note BLOB NOT NULL, frontier BLOB NOT NULL)",
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

    def put(self, kind: str, **members: str | int) -> int:
        self.clock += 7
        entry: dict[str, str | int] = {"kind": kind, "time": self.clock, "v": 1, **members}
        self.bodies.append(canonical(entry))
        return len(self.bodies) - 1

    def start(self) -> int:
        self.epoch += 1
        return self.put(
            "start",
            epoch=self.epoch,
            host="host-1",
            log=ORIGIN,
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
        self.signed[size] = self.signer.note(ORIGIN, size, root(self.leaves()))
        self.commit()
        return self.signed[size]

    def leaves(self) -> list[bytes]:
        return [leaf_hash(body) for body in self.bodies]


def sample(calls: int, *, seed: int = 1, sign_every: int = 10, stop: bool = True, pad: int = 0) -> Log:
    """Return a log of `calls` calls whose outcomes come in another order, in two runs."""
    rng = random.Random(seed)
    log = Log()
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
    connection = sqlite3.connect(working, isolation_level=None)
    for pragma in (
        "page_size=4096",
        "auto_vacuum=NONE",
        "journal_mode=WAL",
        "synchronous=OFF",
        "secure_delete=OFF",
        f"application_id={0x414C5452}",
        "user_version=1",
    ):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    for ddl in DDL:
        connection.execute(ddl)
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


def free_some_pages(connection: sqlite3.Connection) -> None:
    """Fill a small table of outcomes and empty it again, so that its pages go to the freelist."""
    rows = [(intent, 1_000_000 + intent) for intent in range(100_000, 103_000)]
    connection.executemany("INSERT INTO outcomes VALUES (?, ?)", rows)
    connection.execute("DELETE FROM outcomes WHERE intent >= 100000")


def write_export(log: Log, path: Path) -> Path:
    """Write the log as one export."""
    lines = [canonical({"altar_audit_export": 1, "origin": ORIGIN, "size": len(log.bodies), "vkey": log.signer.vkey})]
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
