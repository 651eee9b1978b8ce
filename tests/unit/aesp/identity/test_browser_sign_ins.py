"""Sign-ins under way are bounded, and at the bound only they lose theirs who began most; on both databases."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from altar.aesp.identity import browser_sign_ins
from altar.aesp.identity.browser_sign_ins import BrowserSignIns
from altar.aesp.store.database import Store
from altar.aesp.tenants import Tenants
from tests.unit.aesp.identity.world import Clock

ALICE = "198.51.100.7"


@pytest_asyncio.fixture
async def under_way(store_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BrowserSignIns]:
    monkeypatch.setattr(browser_sign_ins, "MOST_OF_ONE", 5)
    monkeypatch.setattr(browser_sign_ins, "MOST_UNDER_WAY", 20)
    store, clock = Store.open(store_url), Clock()
    await Tenants(store, clock=clock).create("acme")

    def now() -> float:
        clock.at += 0.01
        return clock.at

    yield BrowserSignIns(store, tenant="acme", provider="corp", now=now)
    store.close()


async def begun(under_way: BrowserSignIns, address: str, number: int = 0) -> str:
    word = under_way.word_of(address)
    await under_way.keep(word, {"number": number}, seconds=600)
    return word


async def test_one_network_loses_its_oldest_and_nobody_elses(under_way: BrowserSignIns) -> None:
    alice = await begun(under_way, ALICE)

    words = [await begun(under_way, f"2001:db8::{number:x}", number) for number in range(8)]

    assert [None] * 3 == [await under_way.take(word) for word in words[:3]]
    assert [{"number": number} for number in range(3, 8)] == [await under_way.take(word) for word in words[3:]]
    assert {"number": 0} == await under_way.take(alice)


async def test_many_networks_do_not_block_a_tenant_nor_end_the_sign_in_of_one_person(
    under_way: BrowserSignIns,
) -> None:
    alice = await begun(under_way, ALICE)
    await under_way.keep("a-code-of-bob", {"login": "bob"}, seconds=60)

    for network in range(7):
        for number in range(5):
            await begun(under_way, f"203.0.113.{network}", number)
    carol = await begun(under_way, "198.51.100.8", 8)

    assert [{"number": 0}, {"number": 8}] == [await under_way.take(alice), await under_way.take(carol)]
    assert {"login": "bob"} == await under_way.take("a-code-of-bob")


async def test_a_word_is_good_once_and_for_its_own_network_only(under_way: BrowserSignIns) -> None:
    word = await begun(under_way, ALICE)
    tag, _, rest = under_way.word_of("203.0.113.1").partition(".")
    del rest

    assert await under_way.take(f"{tag}.{word.partition('.')[2]}") is None
    assert {"number": 0} == await under_way.take(word)
    assert await under_way.take(word) is None
