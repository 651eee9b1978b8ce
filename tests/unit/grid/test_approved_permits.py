"""Approved calls that run where they are made: a permit for each approval, once, whatever is asked and reported."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from altar.later.invocation import Invocation
from tests.unit.grid.test_permits import Place, failure
from tests.unit.ledger.samples import open_ledger, signer_in

HANDLE = "approval-1"


@dataclass
class Verdict:
    """What a check of approvals leaves on a call."""

    bundle: str = "sha256:" + "c" * 64
    verdict: str = "approved"
    approval: str = HANDLE
    facts: str = ""


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    loop = asyncio.get_running_loop()

    def deliver(answer: Callable[[], None]) -> None:
        loop.call_soon_threadsafe(answer)

    ledger = open_ledger(tmp_path / "ledger.db", signer_in(tmp_path), deliver=deliver)
    made = Place(ledger, tmp_path / "ledger.db", close=timedelta(seconds=60))
    approve(made)
    yield made
    await asyncio.to_thread(made.ledger.close)


def approve(place: Place) -> None:
    """Put a check before the gate that finds the calls under the handle approved."""

    def decide(invocation: Invocation) -> None:
        if invocation.call_id == HANDLE:
            invocation.verdict = Verdict()
        place.host.gate.authorize(invocation)

    place.host.permits._decide = decide


async def asked(place: Place, key: str = HANDLE) -> tuple[str, str]:
    """Ask for a permit under a key: its id, or the code of why there is none."""
    call = Invocation("here", b'{"n":1}', key, principal="alice", reply_to=place.answers, once=True)
    count = len(place.answers.given)
    place.host.authorize([call])
    await place.settled(lambda: len(place.answers.given) > count)
    outcome = place.answers.given[-1][1]
    return ("", outcome.error.code) if outcome.error is not None else (call.invocation_id, "")


async def test_an_approved_call_has_one_permit_while_it_runs_and_none_afterwards(place: Place) -> None:
    permit, _ = await asked(place)

    meanwhile = await asked(place)
    reported = await place.report(permit, call_id=HANDLE)
    afterwards = await asked(place)

    assert permit
    assert reported is None
    assert [("", "IDEMPOTENCY_CONFLICT")] * 2 == [meanwhile, afterwards]
    (intent,) = place.recorded("intent")
    assert ("caller", "once", "approved", HANDLE) == tuple(intent[m] for m in ("where", "key", "verdict", "approval"))
    assert 0 == place.host.permits._held.total()


@pytest.mark.parametrize(
    ("said", "again"),
    [
        (failure("TIMEOUT", "no"), True),
        (failure("TIMEOUT", "unknown"), False),
        (failure("TOOL_EXECUTION_FAILED", "yes"), False),
    ],
)
async def test_only_a_call_that_did_not_run_gives_its_approval_back(
    place: Place, said: dict[str, Any], again: bool
) -> None:
    permit, _ = await asked(place)
    await place.report(permit, call_id=HANDLE, **said)

    second, code = await asked(place)

    assert (again, "" if again else "IDEMPOTENCY_CONFLICT") == (bool(second), code)
    assert len(place.recorded("outcome")) == 1


async def test_a_permit_that_nobody_closes_is_not_given_again(place: Place) -> None:
    permit, _ = await asked(place)
    place.clock.advance(61)
    place.host.permits.sweep()

    assert permit
    assert ("", "IDEMPOTENCY_CONFLICT") == await asked(place)


async def test_another_key_than_the_handle_of_an_approval_gets_no_permit(place: Place) -> None:
    codes = [(await asked(place, key))[1] for key in ("order-17", "approval-2")]

    assert ["FEATURE_UNAVAILABLE"] * 2 == codes
    assert [] == place.recorded("intent")
