"""What it takes to try a bundle of policies on a recorded log of a million calls.

The log is a real one, with an intent and an outcome for each call; facts are recorded as the check of policies does.
In `few` calls of 1,000 amounts and 8 roles repeat, as calls do; in `distinct` every call has an amount of its own and
the bundle also reads the time and counts calls of the day, so that nothing can be decided twice.
The manifest has the contract that was called, as it mostly does.
In `unknown` it has not, so that the types of arguments only show in each call.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.schema import Schema
from altar.aesp.audit.opening import open_records
from altar.aesp.policy.policy import Bundle, read_bundle
from altar.aesp.policy.recorded_calls import calls_in
from altar.aesp.policy.replay import Replay, Replayed, tool_of
from altar.grid.manifests.manifest import HostContract
from altar.ledger import FileSigner, Intent, Ledger, Outcome

__all__ = ["measure"]

TENANT = "acme"
FRAME = 512
_DIGEST = "sha256:" + "5a" * 32
_ROLES = ("payer", "viewer", "developer", "operator", "auditor", "clerk", "boss", "guest")
_POLICIES = [
    ('args.amount > 900 && !("boss" in principal.roles)', "DENY", ""),
    ('args.amount > 800 && request.environment == "production"', "AUDIT", ""),
    ('args.amount > 950 && principal.kind == "user"', "REQUIRE_APPROVAL", 'approvers = ["boss"]'),
    ('"guest" in principal.roles', "AUDIT", ""),
    ("args.amount < 0", "DENY", ""),
]
_MOVING = [
    ("principal.daily_invocations > 5000", "DENY", ""),
    ("time.getHours() < 6 && args.amount > 999", "DENY", ""),
]
Figure = tuple[str, str, str, list[float]]


def measure(rounds: int, *, calls: int = 1_000_000) -> Iterator[Figure]:
    """Give (name, unit, kind, figures) of each measurement."""
    for kind, share in (("few", 1), ("distinct", 10), ("unknown", 10)):
        size = calls // share
        with tempfile.TemporaryDirectory(prefix="altar-bench-") as folder:
            place = _written(Path(folder), size, distinct=kind != "few")
            bundle = _bundle([*_POLICIES, *(_MOVING if kind != "few" else [])])
            contract = None if kind == "unknown" else _contract()
            taken = []
            for _ in range(rounds):
                seconds, found = _replayed(place, bundle, contract)
                assert size == found.calls == found.same + found.changed, found
                taken.append(seconds)
        yield f"policy_replay: {size} recorded calls, {kind} facts", "s", "latency", taken


def _replayed(place: Path, bundle: Bundle, contract: HostContract | None) -> tuple[float, Replayed]:
    began = time.perf_counter()
    with closing(open_records(place).reader) as reader:
        trial = Replay(bundle, tool_of=tool_of(bundle, lambda _name, _version: contract))
        for call in calls_in(reader.entries(TENANT)):
            trial.take(call)
    return time.perf_counter() - began, trial.result()


def _contract() -> HostContract:
    schema = {"type": "object", "properties": {"amount": {"type": "number"}}, "required": ["amount"]}
    return HostContract(FunctionDeclaration("pay", "Pays.", Schema.from_json_schema(schema)))


def _bundle(policies: list[tuple[str, str, str]]) -> Bundle:
    text = ['name = "tried"\nrecord = ["args.amount"]']
    text += [
        f'[[policies]]\nname = "p{number}"\ncondition = \'{condition}\'\neffect = "{effect}"\n{more}'
        for number, (condition, effect, more) in enumerate(policies)
    ]
    return read_bundle("\n".join(text))


def _written(folder: Path, calls: int, *, distinct: bool) -> Path:
    """Write a log of so many calls; give its place."""
    ledger = Ledger.open(
        folder / "ledger.db",
        signer=FileSigner.create(folder / "key.pem", name="altar.local/bench"),
        origin="altar.local/bench",
        host="bench",
        software="bench",
        wall_ms=lambda: time.time_ns() // 1_000_000,
        on_failure=_fail,
        per_tenant=True,
    )
    room = threading.Semaphore(8)

    def settled(first: int, made: list[Intent]) -> None:
        outcomes = [_outcome(first + at, each) for at, each in enumerate(made)]
        ledger.commit(outcomes, lambda _seq, error: room.release() if error is None else _fail(error))

    for first in range(0, calls, FRAME):
        made = [_intent(number, distinct=distinct) for number in range(first, min(first + FRAME, calls))]
        room.acquire()
        ledger.commit(made, lambda seq, error, made=made: settled(seq, made) if error is None else _fail(error))  # type: ignore[misc]  # mypy infers no lambda with a default
    for _ in range(8):
        room.acquire()
    ledger.close()
    return folder / "ledger.db"


def _intent(number: int, *, distinct: bool) -> Intent:
    facts = {
        "args.amount": number / 1000 if distinct else number % 1000,
        "request.environment": "production",
        "request.principal.kind": "user",
        "request.principal.roles": [_ROLES[number % 8]],
    }
    return Intent(
        invocation=f"invocation-{number:012}",
        call=f"call-{number:012}",
        tool="pay",
        version="1.0.0",
        contract=_DIGEST,
        arguments=_DIGEST,
        principal=f"p-{number % 1000:016x}",
        tenant=TENANT,
        session="session-1",
        correlation=f"correlation-{number:012}",
        policy=_DIGEST,
        verdict="allow",
        facts=canonical(facts).decode(),
    )


def _outcome(seq: int, intent: Intent) -> Outcome:
    return Outcome(
        intent=seq,
        invocation=intent.invocation,
        status="SUCCESS",
        code="",
        ran="yes",
        result=_DIGEST,
        runtime="runtime-1",
        attempts=1,
    )


def _fail(error: Exception) -> None:
    raise error
