"""Who guesses is slowed down by all hosts together, and nobody can lock out others; on both databases."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from sqlalchemy import func, select

from altar.adm.errors import AuthorizationError
from altar.aesp.identity import lockout
from altar.aesp.identity.lockout import Asker, Lockout, network_of
from altar.aesp.store.database import Store
from altar.aesp.store.tables import sign_in_tries
from altar.aesp.tenants import Tenants
from tests.unit.aesp.identity.world import Clock

MALLORY, ALICE = "203.0.113.66", "198.51.100.7"


class Scene:
    """A store, and as many hosts on it as a test makes."""

    def __init__(self, url: str) -> None:
        self.store = Store.open(url)
        self.clock = Clock()

    def host(self) -> Lockout:
        return Lockout(self.store, clock=self.clock, now=self.clock)

    async def rows(self) -> int:
        asked = select(func.count()).select_from(sign_in_tries)
        return await self.store.run(lambda c: int(c.execute(asked).scalar_one()), tenant=None, reads=True)


@pytest_asyncio.fixture
async def scene(store_url: str) -> AsyncIterator[Scene]:
    made = Scene(store_url)
    await Tenants(made.store, clock=made.clock).create("acme")
    yield made
    made.store.close()


def alice(network: str = ALICE) -> Asker:
    return Asker("acme", "alice", network)


async def waits(host: Lockout, asker: Asker) -> float:
    """For how many seconds a host lets somebody wait; 0 when it does not."""
    try:
        await host.require(asker)
    except AuthorizationError as refused:
        return refused.retry_after.total_seconds() if refused.retry_after is not None else -1.0
    return 0.0


async def test_failures_at_the_same_moment_are_all_counted_by_two_hosts(scene: Scene) -> None:
    hosts, most = [scene.host(), scene.host()], select(func.max(sign_in_tries.c.failures))

    tries = [host.failed(Asker("acme", f"name-{number}", MALLORY)) for number in range(10) for host in hosts]
    await asyncio.gather(*tries)

    assert 20 == await scene.store.run(lambda c: int(c.execute(most).scalar_one()), tenant=None, reads=True)


async def fail(host: Lockout, asker: Asker, times: int) -> None:
    for _ in range(times):
        await host.failed(asker)


async def test_two_hosts_count_together_and_a_restart_forgets_nothing(scene: Scene) -> None:
    first, second = scene.host(), scene.host()

    await fail(first, alice(MALLORY), 3)
    await fail(second, alice(MALLORY), 2)

    assert [1.0, 1.0, 1.0] == [await waits(each, alice(MALLORY)) for each in (first, second, scene.host())]


async def test_who_guesses_the_password_of_somebody_does_not_lock_them_out(scene: Scene) -> None:
    host = scene.host()

    await fail(host, alice(MALLORY), 30)

    assert 300.0 == await waits(host, alice(MALLORY))
    assert 0.0 == await waits(host, alice())


async def test_an_attacker_with_many_networks_waits_and_a_network_that_signed_in_before_does_not(scene: Scene) -> None:
    host = scene.host()
    await host.succeeded(alice())

    for number in range(50):
        await host.failed(alice(f"192.0.2.{number}"))

    assert 1.0 == await waits(scene.host(), alice("192.0.2.200"))
    assert 0.0 == await waits(scene.host(), alice())
    scene.clock.at += 31 * 24 * 3600
    for number in range(50):
        await host.failed(alice(f"192.0.2.{number}"))
    assert 1.0 == await waits(scene.host(), alice())


async def test_an_office_goes_on_when_one_of_it_errs_and_not_when_it_tries_many_names(scene: Scene) -> None:
    host = scene.host()
    await fail(host, alice(), 5)
    assert 0.0 == await waits(host, Asker("acme", "bob", ALICE))

    for number in range(15):
        await host.failed(Asker("acme", f"name-{number}", ALICE))

    assert 1.0 == await waits(scene.host(), Asker("acme", "bob", ALICE))


async def test_a_success_forgets_what_the_name_failed_from_there_and_nothing_of_the_network(scene: Scene) -> None:
    host = scene.host()
    await fail(host, alice(), 4)
    for number in range(16):
        await host.failed(Asker("acme", f"name-{number}", ALICE))

    await host.succeeded(alice())

    assert 1.0 == await waits(scene.host(), Asker("acme", "bob", ALICE))
    scene.clock.at += 2
    await host.failed(alice())
    assert 2.0 == await waits(host, alice())  # by the network's count, not by that of the name


async def test_an_hour_without_a_failure_forgets(scene: Scene) -> None:
    await fail(scene.host(), alice(MALLORY), 9)
    scene.clock.at += 3600

    assert 0.0 == await waits(scene.host(), alice(MALLORY))
    await fail(scene.host(), alice(MALLORY), 1)
    assert 0.0 == await waits(scene.host(), alice(MALLORY))


async def test_a_tenant_that_does_not_exist_is_counted_on_the_host_alone(scene: Scene) -> None:
    host = scene.host()

    await fail(host, Asker("nowhere", "alice", MALLORY), 5)

    assert 1.0 == await waits(host, Asker("nowhere", "alice", MALLORY))
    assert 0 == await scene.rows()


async def test_the_store_keeps_no_more_than_its_limit_and_known_networks_last(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lockout, "_MOST_ROWS", 40)
    monkeypatch.setattr(lockout, "_EVICTED", 20)
    host = scene.host()
    await host.succeeded(alice())

    for number in range(60):
        scene.clock.at += 1
        await host.failed(Asker("acme", f"name-{number}", f"192.0.2.{number}"))

    assert 43 > await scene.rows()
    for number in range(50):
        await scene.host().failed(alice(f"192.0.2.{number}"))
    assert 0.0 == await waits(scene.host(), alice())


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::9]", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix:", "unix:"),
        ("", ""),
    ],
)
def test_a_network_is_an_address_or_the_first_half_of_one(address: str, network: str) -> None:
    assert network == network_of(address)
