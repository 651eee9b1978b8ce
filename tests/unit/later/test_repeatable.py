"""Idempotency keys in a session of this process."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import altar
from altar.adm.call import FunctionCall
from altar.adm.errors import AltarError
from altar.later import repeatable

RUNS: list[str] = []


@altar.tool
def pay_here(name: str) -> int:
    """Pay.

    Args:
        name: what for
    """
    RUNS.append(name)
    return len(RUNS)


@altar.tool
async def pay_slowly(name: str) -> str:
    """Pay, when it is time.

    Args:
        name: what for
    """
    RUNS.append(name)
    await asyncio.sleep(600 if name == "never" else 0)
    return name


@altar.tool
def pay_twice(context: altar.ToolContext) -> str | None:
    """Pay inside of a payment, under the same key.

    Args:
        context: what tools are called through
    """
    inner = context.sync.options(idempotency_key="loop").call("pay_twice")
    return inner.error.type if inner.error is not None else None


@altar.tool
def pay_inside(context: altar.ToolContext) -> int:
    """Pay inside of a payment, each time anew.

    Args:
        context: what tools are called through
    """
    return sum(bool(context.sync.call("pay_here", name=name).unwrap()) for name in ("a", "b"))


@pytest.fixture(autouse=True)
def _no_runs() -> None:
    RUNS.clear()


def test_a_key_runs_once_in_the_thread_of_its_caller() -> None:
    with altar.session([pay_here]) as s:
        once = s.options(idempotency_key="order-1")
        first, second = once.call("pay_here", name="a"), once.call("pay_here", name="a")
        other = once.call("pay_here", name="b")

    assert ["a"] == RUNS
    assert 1 == first.unwrap() == second.unwrap()
    assert (None, {"replayed": True}) == (first.metadata, second.metadata)
    assert other.error is not None
    assert ("IDEMPOTENCY_CONFLICT", "no") == (other.error.type, other.error.ran)


async def test_many_who_ask_at_once_share_one_run() -> None:
    async with altar.session([pay_slowly]) as s:
        once = s.options(idempotency_key="order-2")
        results = await asyncio.gather(*(once.call("pay_slowly", name="a") for _ in range(20)))

    assert ["a"] == RUNS
    assert ["a"] * 20 == [result.unwrap() for result in results]
    assert 19 == sum(result.metadata == {"replayed": True} for result in results)


def test_many_threads_share_one_run() -> None:
    started = threading.Barrier(8)
    with altar.session([pay_here]) as s, ThreadPoolExecutor(8) as threads:
        once = s.options(idempotency_key="order-3")

        def ask(_: int) -> int:
            started.wait()
            return int(once.call("pay_here", name="a").unwrap())

        assert [1] * 8 == list(threads.map(ask, range(8)))

    assert ["a"] == RUNS


async def test_who_is_cancelled_leaves_alone_and_the_last_one_ends_the_run() -> None:
    async with altar.session([pay_slowly]) as s:
        once = s.options(idempotency_key="order-4")
        first, second = (asyncio.create_task(once.call("pay_slowly", name="never")) for _ in range(2))
        while not RUNS:  # noqa: ASYNC110 - until the tool runs
            await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert not second.done()
        second.cancel()
        await asyncio.wait([second])
        after = await once.call("pay_slowly", name="never")

    assert ["never"] == RUNS
    assert after.error is not None
    assert "CANCELLED" == after.error.type


async def test_what_did_not_run_frees_the_key() -> None:
    async with altar.session([pay_here]) as s:
        once = s.options(idempotency_key="order-5")
        refused = await once.call("pay_here", name=5)
        assert refused.error is not None
        assert 1 == (await once.call("pay_here", name="a")).unwrap()


def test_a_call_inside_does_not_wait_for_the_call_that_waits_for_it() -> None:
    with altar.session([pay_twice]) as s:
        assert s.options(idempotency_key="loop").call("pay_twice").unwrap() in {
            "IDEMPOTENCY_CONFLICT",
            "POLICY_VIOLATION",
        }


def test_calls_inside_do_not_have_the_key_of_the_call_around_them() -> None:
    with altar.session([pay_inside, pay_here]) as s:
        assert 2 == s.options(idempotency_key="order-6").call("pay_inside").unwrap()

    assert ["a", "b"] == RUNS


async def test_a_stream_cannot_have_a_key() -> None:
    async with altar.session([pay_here]) as s:
        with pytest.raises(AltarError, match="cannot have an idempotency key") as refused:
            await s.options(idempotency_key="order-7").stream("pay_here", name="a").take()

    assert ("FEATURE_UNAVAILABLE", []) == (refused.value.code, RUNS)


@pytest.mark.parametrize("key", ["", " ", "a" * 129, "ä", "\n"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with altar.session([pay_here]) as s, pytest.raises(AltarError, match="The idempotency key is"):
        s.options(idempotency_key=key)


def test_a_call_with_an_id_of_its_own_takes_no_key() -> None:
    with altar.session([pay_here]) as s:
        result = s.options(idempotency_key="order-8").call(FunctionCall("c-1", "pay_here", {"name": "a"}))

    assert result.error is not None
    assert ("MALFORMED_REQUEST", []) == (result.error.type, RUNS)


def test_a_session_keeps_so_many_keys_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeatable, "MOST_KEYS", 1)
    with altar.session([pay_here]) as s:
        s.options(idempotency_key="order-9").call("pay_here", name="a")
        full = s.options(idempotency_key="order-10").call("pay_here", name="a")

    assert full.error is not None
    assert ("RESOURCE_EXHAUSTED", "no", ["a"]) == (full.error.type, full.error.ran, RUNS)
