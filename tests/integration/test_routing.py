"""Which of several real runtimes a call goes to: labels, homes of sessions, weighted versions, breakers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

import altar
from altar._proto.altar.grid.v1 import call_pb2, runtime_pb2
from altar.adm.declaration import FunctionDeclaration
from altar.grid import wire
from altar.grid.host.breaker import CONSECUTIVE, OPEN
from altar.later.session import Session
from altar.testing import LocalGrid, until
from tests.integration import fragile_tools, raw, routing_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)

PLAIN = {"region": "eu", "zone": "a"}
GPU = {"region": "eu", "zone": "b", "hardware": "gpu"}


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    with LocalGrid([routing_tools.__file__, fragile_tools.__file__], runtimes=0) as running:
        for number, labels in ((1, PLAIN), (2, GPU)):
            running.start_runtime(number, modules=[routing_tools.__file__], labels=labels, wait=False)
        for runtime in running.runtimes.values():
            runtime.ready()
        yield running
        stop_and_audit(running)


def near(grid: LocalGrid, **labels: str) -> Session:
    """A session that prefers runtimes with these labels."""
    return grid.session(options={**grid.options, "labels": labels})


def value_of(result: altar.ToolResult) -> Any:
    """What a call gave, without a name for its type."""
    return result.unwrap()


# ---------------------------------------------------------------------------------------------------------- labels


async def test_a_contract_that_requires_labels_runs_only_where_they_are(grid: LocalGrid) -> None:
    async with grid.session() as session:
        results = await asyncio.gather(*(session.call("train", seconds=0.01) for _ in range(40)))

    assert {value_of(result) for result in results} == {grid.runtimes[2].pid}


def test_a_contract_that_requires_what_nobody_has_ends_by_its_name(grid: LocalGrid) -> None:
    with grid.session() as session:
        error = session.call("calculate").error

    assert error is not None
    assert (error.type, error.ran) == ("DEPENDENCY_UNAVAILABLE", "no")
    assert error.message == "No runtime with hardware=abacus fulfils 'calculate' at the moment"


@pytest.mark.parametrize(("zone", "number"), [("a", 1), ("b", 2)])
def test_a_session_is_served_by_the_runtime_that_it_prefers(grid: LocalGrid, zone: str, number: int) -> None:
    with near(grid, region="eu", zone=zone) as session:
        assert {value_of(session.call("where")) for _ in range(10)} == {grid.runtimes[number].pid}


def test_a_session_that_prefers_what_nobody_has_is_served_by_all(grid: LocalGrid) -> None:
    with near(grid, region="mars") as session:
        served = {value_of(session.call("where")) for _ in range(10)}

    assert served == {grid.runtimes[1].pid, grid.runtimes[2].pid}


def test_labels_that_are_none_are_refused_when_the_session_is_opened(grid: LocalGrid) -> None:
    with pytest.raises(altar.ValidationError, match="The labels of the session"), near(grid, zone=""):
        pass


def test_a_label_that_is_not_written_as_one_is_refused_when_the_runtime_starts(grid: LocalGrid) -> None:
    with pytest.raises(RuntimeError, match=r"runtime\.labels"):
        grid.start_runtime(9, labels={"zone": ""})
    grid.runtimes.pop(9)


# ----------------------------------------------------------------------------------------------------------- homes


async def test_what_a_session_counts_is_counted_by_one_process(grid: LocalGrid) -> None:
    homes = set()
    for number in range(8):
        async with grid.session() as session:
            results = await asyncio.gather(*(session.call("count_here", what=str(number)) for _ in range(20)))
        counted, by = zip(*map(value_of, results), strict=True)
        assert sorted(counted) == list(range(1, 21))
        assert len(set(by)) == 1
        homes |= set(by)

    assert homes <= {grid.runtimes[1].pid, grid.runtimes[2].pid}


async def test_a_session_moves_when_its_runtime_is_killed(grid: LocalGrid) -> None:
    async with grid.session() as session:
        _, before = value_of(await session.call("count_here", what="moves"))
        number = next(number for number, process in grid.runtimes.items() if process.pid == before)
        await asyncio.to_thread(grid.kill_runtime, number)
        counted, after = value_of(await session.call("count_here", what="moves"))
        again, same = value_of(await session.call("count_here", what="moves"))

        labels = {1: PLAIN, 2: GPU}[number]
        await asyncio.to_thread(grid.start_runtime, number, modules=[routing_tools.__file__], labels=labels)
        third, still = value_of(await session.call("count_here", what="moves"))

    assert after != before
    assert (counted, again, third) == (1, 2, 3)
    assert after == same == still


# ------------------------------------------------------------------------------- where breakers keep calls away


async def test_a_runtime_that_breaks_the_protocol_at_a_tool_gets_no_more_calls_of_it(grid: LocalGrid) -> None:
    digest = FunctionDeclaration.from_adm(fragile_tools.fragile.declaration.to_adm()).digest
    ref = call_pb2.ContractRef(name="fragile", version="1.0.0", digest=wire.digest_to_wire(digest))
    with raw.runtime(grid, "raw-1") as peer:
        raw.announce(peer, "raw-1", [ref])
        async with grid.session() as session:
            for _ in range(CONSECUTIVE):
                calling = asyncio.create_task(session.call("fragile"))
                frame = await asyncio.to_thread(peer.receive, runtime_pb2.AttachResponse, lambda frame: frame.calls)
                answer = call_pb2.ToolResult(tag=frame.calls[0].tag)  # without a status
                peer.send(runtime_pb2.AttachRequest(results=[answer], credits=1))
                error = (await calling).error
                assert error is not None
                assert (error.type, error.ran) == ("PROTOCOL_VIOLATION", "unknown")
            refused = (await session.call("fragile")).error
            other = await session.call("where")

    assert refused is not None
    assert (refused.type, refused.ran) == ("DEPENDENCY_UNAVAILABLE", "no")
    assert refused.retry_after_ms is not None
    assert (OPEN - 10) * 1000 < refused.retry_after_ms <= OPEN * 1000
    assert other.error is None
    opened = [entry for entry in grid.entries() if entry.get("event") == "breaker.opened"]
    assert [(entry["subject"], entry["note"]) for entry in opened] == [("raw-1", "fragile@1.0.0 for 30 s")]


# --------------------------------------------------------------------------------------------------------- versions


@pytest.fixture(scope="module")
def weighted(grid: LocalGrid) -> LocalGrid:
    """The grid once its operator has given each version of ``charge`` half of the sessions."""
    manifest = json.loads(grid.manifest.read_bytes())
    manifest["global_metadata"] = {"altar.weights": json.dumps({"charge": {"1.0.0": 1, "1.1.0": 1}})}
    grid.manifest.write_text(json.dumps(manifest))

    def activated() -> int:
        return sum(entry.get("event") == "manifest.activated" for entry in grid.entries())

    before = activated()
    grid.sign_manifest()
    until(lambda: activated() > before, what="the host takes the weights up")
    return grid


async def test_each_session_uses_one_of_the_weighted_versions_and_the_log_says_why(weighted: LocalGrid) -> None:
    used = {}
    for _ in range(16):
        async with weighted.session() as session:
            versions = {value_of(await session.call("charge")) for _ in range(3)}
            assert len(versions) == 1
            used[session.session_id] = versions.pop()

    assert set(used.values()) == {"1.0.0", "1.1.0"}
    entries = weighted.entries()
    intents = [one for one in entries if one["kind"] == "intent" and one["session"] in used]
    assert len(intents) == 3 * len(used)
    assert all(one["version"] == used[one["session"]] and one["route"] == "weights:1/2" for one in intents)


def test_a_version_that_is_asked_for_is_given_in_every_session(weighted: LocalGrid) -> None:
    for _ in range(4):
        with weighted.session() as session:
            assert [value_of(session.call(f"charge@{version}")) for version in ("1.0.0", "1.1.0", "~1.0")] == [
                "1.0.0",
                "1.1.0",
                "1.0.0",
            ]
