"""Bundles looked at within bounds: how many at once, for how long, and what becomes of those that nobody waits for."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.adm.schema import Schema
from altar.aesp.policy.examining import Examination
from altar.aesp.policy.policy import Bundle, read_bundle
from altar.aesp.service.examining import MAX_WAITING, Examiner
from altar.grid.manifests.manifest import HostContract

BUNDLE = read_bundle(
    """
name = "b"

[[policies]]
name = "asks"
tools = ["pay"]
condition = "args.amount > 100"
effect = "REQUIRE_APPROVAL"
approvers = ["finance"]
"""
)
PAY = HostContract(
    FunctionDeclaration(
        "pay", "Pays.", Schema.from_json_schema({"type": "object", "properties": {"amount": {"type": "number"}}})
    )
)


class Held:
    """Who holds a role; the answer waits until it is let go, in the thread that looks at a bundle."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self.go = threading.Event()
        self.at_once = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, _tenant: str, _role: str) -> int:
        with self._lock:
            self.at_once += 1
            self.most = max(self.most, self.at_once)
        self.asked.release()
        assert self.go.wait(30)
        with self._lock:
            self.at_once -= 1
        return 1

    async def begun(self) -> None:
        """Wait until a thread is at work."""
        assert await asyncio.to_thread(self.asked.acquire, timeout=30)


def looking(held: Callable[[str, str], int], *, seconds: float = 30.0) -> Examiner:
    return Examiner(contracts=lambda: [PAY], holders=held, seconds=seconds)


async def code_of(look: Callable[..., object], tenant: str, bundle: Bundle = BUNDLE) -> tuple[str, str]:
    with pytest.raises(AltarError) as refused:
        await look(tenant, bundle, against=None)  # type: ignore[misc]  # both methods give a coroutine
    assert refused.value.ran == "no"
    return refused.value.code, refused.value.message


async def test_a_tenant_has_one_question_at_a_time_and_another_one_is_answered_after_it() -> None:
    held = Held()
    examiner = looking(held)

    async with asyncio.TaskGroup() as group:
        first = group.create_task(examiner.ask("acme", BUNDLE, against=None))
        await held.begun()
        assert ("RATE_LIMIT_EXCEEDED", "The tenant 'acme' has a bundle looked at already") == await code_of(
            examiner.ask, "acme"
        )
        second = group.create_task(examiner.ask("rival", BUNDLE, against=None))
        await asyncio.sleep(0)
        held.go.set()

    assert first.result().wrong == second.result().wrong == ()
    assert held.most == 1
    assert (await examiner.ask("acme", BUNDLE, against=None)).wrong == ()


async def test_a_change_does_not_wait_for_questions() -> None:
    held = Held()
    examiner = looking(held)

    async with asyncio.TaskGroup() as group:
        group.create_task(examiner.ask("acme", BUNDLE, against=None))
        await held.begun()
        group.create_task(examiner.change("acme", BUNDLE, against=None))
        await held.begun()
        held.go.set()

    assert held.most == 2


async def test_no_more_than_so_many_wait() -> None:
    held = Held()
    examiner = looking(held)

    async with asyncio.TaskGroup() as group:
        waiting = [group.create_task(examiner.change("acme", BUNDLE, against=None)) for _ in range(MAX_WAITING)]
        await held.begun()
        assert (await code_of(examiner.change, "acme"))[0] == "RATE_LIMIT_EXCEEDED"
        held.go.set()

    assert len(waiting) == sum(isinstance(each.result(), Examination) for each in waiting)
    assert held.most == 1


async def test_a_bundle_that_takes_longer_than_a_host_gives_is_refused_and_the_next_one_is_looked_at() -> None:
    examiner = looking(lambda _tenant, _role: 1, seconds=0.0)

    for look in (examiner.ask, examiner.change):
        code, message = await code_of(look, "acme")
        assert code == "INVALID_POLICY"
        assert message == "The host looks at a bundle for 0 s at most, and this one takes longer"


async def test_who_leaves_lets_it_stop_and_nobody_else_is_let_in_before_it_has() -> None:
    held = Held()
    examiner = looking(held)
    left = asyncio.get_running_loop().create_task(examiner.ask("acme", BUNDLE, against=None))
    await held.begun()

    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left

    assert (await code_of(examiner.ask, "acme"))[0] == "RATE_LIMIT_EXCEEDED"  # the thread is at work still
    held.go.set()
    assert (await examiner.ask("rival", BUNDLE, against=None)).wrong == ()
    assert held.most == 1
