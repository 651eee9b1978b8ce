"""What the ledger costs: durable entries, CPU for each call, verification, and proofs in a long log.

The real ledger is used: commitments under the salt of each call, leaf hashes, the trees of 100 tenants, idempotency
claims on each tenth call, checkpoints once a second, and a sync to the disk for each transaction.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from altar.adm.canonical import digest
from altar.adm.errors import AltarError
from altar.ledger import FileSigner, Intent, Ledger, Outcome, write_export
from altar.ledger.places import DatabaseLog, Place
from altar.ledger.reader import LogReader
from altar.ledger.subjects import Subjects, commitment
from altar.testing.postgres import LocalPostgres, programs_of_postgres
from altar.verify import verify

__all__ = ["measure"]

TENANTS = [f"tenant-{number}" for number in range(100)]
ARGUMENTS = b'{"city":"Oslo","days":3,"units":"metric"}'
RESULT = b'{"high":4.5,"low":-1.25,"sky":"overcast"}'
CONTRACT = "sha256:" + "5a" * 32
IN_FLIGHT = 1024
"""Calls whose entries are under way at once, as of a host with that many callers."""
FRAME = 64
"""Calls that arrive together and share one commit."""

Figure = tuple[str, str, str, list[float]]


@dataclass(slots=True)
class _Made:
    """A call: its two entries, and when the second was durable."""

    number: int
    salt: bytes
    intent: Intent


def measure(rounds: int, *, calls: int = 100_000, long: int = 1_000_000) -> Iterator[Figure]:
    """Give (name, unit, kind, figures) of each measurement."""
    written: list[float] = []
    cpu: list[float] = []
    verified: list[float] = []
    exported: list[float] = []
    for _ in range(rounds):
        with tempfile.TemporaryDirectory(prefix="altar-bench-") as folder:
            ledger, rate, cost = _write(Path(folder), calls)
            written.append(rate)
            cpu.append(cost)
            verified.append(_verify(Path(ledger.path), ledger.vkey))
            out = Path(folder) / "log.jsonl"
            with out.open("wb") as file:
                write_export(ledger.path, file, vkey=ledger.vkey, tenant=TENANTS[0])
            exported.append(_verify(out, ledger.vkey))
    yield "ledger, 100 tenants, commitments: durable entries", "/s", "throughput", written
    yield "ledger: CPU for the entries of one call", "µs", "cpu", cpu
    yield "verify, database of 100 tenants: entries", "/s", "throughput", verified
    yield "verify, export of one tenant: entries", "/s", "throughput", exported
    yield from _on_postgres(rounds, calls)
    with tempfile.TemporaryDirectory(prefix="altar-bench-") as folder:
        inclusion, consistency = _prove(Path(folder), long)
    yield f"inclusion proof, log of {long:,} entries", "ms", "latency", inclusion
    yield f"consistency proof, log of {long:,} entries", "ms", "latency", consistency


def _write(folder: Path, calls: int, place: Place | None = None) -> tuple[Ledger, float, float]:
    """Carry so many calls through a ledger; give it closed, entries a second, and CPU in µs a call."""
    signer = FileSigner.create(folder / "key.pem", name="altar.local/bench")
    ledger = Ledger.open(
        place or folder / "ledger.db",
        signer=signer,
        origin="altar.local/bench",
        host="bench",
        software="bench",
        wall_ms=lambda: time.time_ns() // 1_000_000,
        on_failure=_fail,
        per_tenant=True,
        pseudonyms=True,
    )
    subjects = ledger.subjects
    assert subjects is not None
    known = subjects
    for number in range(1000):
        subjects.of(TENANTS[number % 100], f"{TENANTS[number % 100]}/user-{number}")
    frames = threading.Semaphore(IN_FLIGHT // FRAME)

    def intents(first: int) -> None:
        made = [_made(known, number) for number in range(first, first + FRAME)]
        ledger.commit([each.intent for each in made], lambda seq, error: outcomes(made, seq, error))

    def outcomes(made: list[_Made], seq: int, error: AltarError | None) -> None:
        assert error is None, error
        answers = [_outcome(each, seq + at) for at, each in enumerate(made)]
        ledger.commit(answers, lambda _seq, error: frames.release() if error is None else _fail(error))

    began, spent = time.perf_counter(), time.process_time()
    for first in range(0, calls, FRAME):
        frames.acquire()
        intents(first)
    for _ in range(IN_FLIGHT // FRAME):
        frames.acquire()
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    ledger.close()
    return ledger, 2 * calls / seconds, cpu / calls * 1e6


def _on_postgres(rounds: int, calls: int) -> Iterator[Figure]:
    """Measure the same on a PostgreSQL of this machine that syncs each commit; nothing where none is installed."""
    if programs_of_postgres() is None:
        return
    written: list[float] = []
    cpu: list[float] = []
    with LocalPostgres(durable=True) as server:
        for _ in range(rounds):
            with tempfile.TemporaryDirectory(prefix="altar-bench-") as folder:
                files = Path(folder) / "ledger.db"
                place = DatabaseLog(server.create_database(), "altar.local/bench", files, key=os.urandom(32))
                _, rate, cost = _write(Path(folder), calls, place)
                server.drop_database(place.url)
            written.append(rate)
            cpu.append(cost)
    yield "ledger on PostgreSQL, 100 tenants, commitments: durable entries", "/s", "throughput", written
    yield "ledger on PostgreSQL: CPU of the host for the entries of one call", "µs", "cpu", cpu


def _made(subjects: Subjects, number: int) -> _Made:
    tenant = TENANTS[number % 100]
    subject = subjects.of(tenant, f"{tenant}/user-{number % 1000}")
    invocation = f"bench-1-{number}"
    salt = subject.salt(invocation)
    intent = Intent(
        invocation=invocation,
        call=f"call-{number}",
        tool="get_weather",
        version="1.0.0",
        contract=CONTRACT,
        arguments=commitment(salt, digest(ARGUMENTS)),
        principal=subject.pseudonym,
        tenant=tenant,
        session="session-1",
        correlation=f"c-{number}",
        key="" if number % 10 else "once",
    )
    return _Made(number, salt, intent)


def _outcome(made: _Made, seq: int) -> Outcome:
    return Outcome(
        intent=seq,
        invocation=made.intent.invocation,
        status="SUCCESS",
        code="",
        ran="yes",
        result=commitment(made.salt, digest(RESULT)),
        runtime="runtime-1",
        attempts=1,
    )


def _verify(path: Path, vkey: str) -> float:
    began = time.process_time()
    report = verify(path, vkey=vkey)
    assert report.ok, report.findings
    return report.entries / (time.process_time() - began)


def _prove(folder: Path, size: int) -> tuple[list[float], list[float]]:
    """Time proofs at random places of one long log, in milliseconds."""
    signer = FileSigner.create(folder / "key.pem", name="altar.local/bench")
    ledger = Ledger.open(
        folder / "ledger.db",
        signer=signer,
        origin="altar.local/bench",
        host="bench",
        software="bench",
        wall_ms=lambda: 0,
        on_failure=_fail,
    )
    room = threading.Semaphore(4)
    entries = [_outcome_free(number) for number in range(4096)]
    for _ in range(0, size, len(entries)):
        room.acquire()
        ledger.commit(entries, lambda _seq, _error: room.release())
    ledger.close()
    rng = random.Random(1)
    with LogReader.open(ledger.path) as reader:
        (log,) = reader.logs()
        inclusion = [_timed(lambda: reader.inclusion("", rng.randrange(log.size), log.size)) for _ in range(500)]
        consistency = [_timed(lambda: reader.consistency("", rng.randrange(1, log.size), log.size)) for _ in range(500)]
    return [statistics.median(inclusion)], [statistics.median(consistency)]


def _outcome_free(number: int) -> Intent:
    """An intent of its own; the ledger closes it at the end."""
    return Intent(
        invocation=f"i-{number}",
        call="c",
        tool="t",
        version="1.0.0",
        contract=CONTRACT,
        arguments=CONTRACT,
        principal="p",
        tenant="",
        session="s",
        correlation="c",
    )


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return (time.perf_counter() - began) * 1000


def _fail(error: AltarError) -> None:
    raise error
