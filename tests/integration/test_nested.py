"""A tool calls a tool across runtimes: in the name of who called it, within its time, and on slots of its own."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.later.session import Session
from altar.testing import PATIENCE, LocalGrid, until
from tests.integration import nested_leaves, nested_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)


CALLERS, LEAVES = nested_tools.__file__, nested_leaves.__file__


@pytest.fixture(scope="module")
def grid() -> Iterator[LocalGrid]:
    """One runtime has the tools that call, another those that are called; each takes two calls at a time."""
    with LocalGrid([CALLERS, LEAVES], runtimes=0, settings={"runtime.concurrency": 2}) as running:
        running.start_runtime(1, modules=[CALLERS], wait=False)
        running.start_runtime(2, modules=[LEAVES], wait=False)
        for runtime in running.runtimes.values():
            runtime.ready()
        yield running
        stop_and_audit(running)


@pytest.fixture(params=["local", "grid"])
def session(request: pytest.FixtureRequest) -> Session:
    if request.param == "local":
        return altar.session(source="later:")
    made: Session = request.getfixturevalue("grid").session()
    return made


@pytest.mark.parametrize("tool", ["plain_caller", "waiting"])
async def test_a_tool_calls_another_and_is_its_parent(grid: LocalGrid, tool: str) -> None:
    async with grid.session() as s:
        result: Any = (await s.call(tool, tool="leaf")).unwrap()

        assert result["inner"]["parent"] == result["id"]
        assert result["inner"]["correlation"] == result["correlation"]
        assert result["inner"]["session"] == s.session_id
        assert result["inner"]["principal"] == "client-1"
        assert 0 < result["inner"]["left"] <= 30
        assert result["inner"]["process"] == grid.runtimes[2].pid != result["process"] == grid.runtimes[1].pid


@pytest.mark.parametrize("tool", ["down", "adown"])
async def test_more_chains_than_slots_do_not_wait_for_each_other(grid: LocalGrid, tool: str) -> None:
    async with asyncio.timeout(PATIENCE), grid.session() as s:
        results = await s.batch([(tool, {"depth": 9})] * 12, concurrency=12)

    assert [result.content for result in results] == [9] * 12


async def test_the_record_names_the_parent_and_the_principal_of_the_client(grid: LocalGrid) -> None:
    async with grid.session() as s:
        outer: Any = (await s.call("waiting", tool="leaf")).unwrap()

    intents = {each["call"]: each for each in grid.entries() if each["kind"] == "intent"}
    parent, child = intents[outer["id"]], intents[outer["inner"]["id"]]
    assert "parent" not in parent
    assert child["parent"] == parent["invocation"]
    for member in ("principal", "tenant", "session", "correlation"):
        assert child[member] == parent[member]


def test_tools_call_tools_through_the_front(grid: LocalGrid) -> None:
    with grid.session() as s:
        result: Any = s.call("plain_caller", tool="leaf").unwrap()

    assert result["inner"]["parent"] == result["id"]


# ---------------------------------------------------------------------------------------- in both rows, the same


@pytest.mark.parametrize("tool", ["fan_out", "fan_out_plain"])
async def test_a_tool_makes_a_batch_of_calls(session: Session, tool: str) -> None:
    async with session as s:
        assert (await s.call(tool, width=40)).unwrap() == [2 * n for n in range(40)]


@pytest.mark.parametrize("tool", ["down", "adown"])
async def test_tools_call_tools_to_a_depth(session: Session, tool: str) -> None:
    async with session as s:
        deepest = await s.call(tool, depth=15)
        deeper = await s.call(tool, depth=16)

    assert deepest.content == 15
    assert deeper.error is not None
    assert deeper.error.type == "POLICY_VIOLATION"
    assert "Tools call tools 16 calls deep, and no deeper: … → " in deeper.error.message


async def test_a_circle_with_the_same_arguments_is_refused_at_once_and_by_name(session: Session) -> None:
    async with session as s:
        result = await s.call("circle")

    assert result.error is not None
    assert result.error.type == "POLICY_VIOLATION"
    assert result.error.message == (
        "'circle' is running already with these arguments, and waits for itself: circle → circle_back → circle"
    )


async def test_a_tool_calls_only_what_its_contract_names(session: Session) -> None:
    async with session as s:
        allowed = await s.call("may_call_leaf", tool="leaf")
        refused = await s.call("may_call_leaf", tool="short_leaf")
        nothing = await s.call("may_call_nothing")

    assert allowed.error is None
    for result, tool in ((refused, "short_leaf"), (nothing, "leaf")):
        assert result.error is not None
        assert result.error.type == "PERMISSION_DENIED"
        assert f"may not call {tool!r}: its contract names the tools that it calls" in result.error.message


@pytest.mark.parametrize(
    ("tool", "arguments", "code", "ran"),
    [
        ("no_such_tool", {}, "UNSUPPORTED_TOOL", "no"),
        ("leaf_double", {"n": "two"}, "INVALID_TOOL_ARGS", "no"),
        ("leaf_double@9", {"n": 2}, "VERSION_MISMATCH", "no"),
    ],
)
async def test_what_cannot_be_called_is_refused_as_a_client_would_be(
    session: Session, tool: str, arguments: dict[str, Any], code: str, ran: str
) -> None:
    async with session as s:
        told = (await s.call("asks", tool=tool, arguments=arguments)).unwrap()

    assert isinstance(told, dict)
    assert (told["code"], told["ran"]) == (code, ran)


async def test_a_session_of_few_tools_offers_no_more_to_the_tools_it_calls(grid: LocalGrid) -> None:
    async with grid.session(tools=["asks"]) as s:
        told = (await s.call("asks", tool="leaf", arguments={})).unwrap()

    assert isinstance(told, dict)
    assert told["code"] == "UNSUPPORTED_TOOL"


async def test_a_nested_call_has_the_limit_of_its_contract_and_no_more_than_its_parent(session: Session) -> None:
    async with session as s:
        own: Any = (await s.call("waiting", tool="short_leaf")).unwrap()
        less: Any = (await s.options(timeout=2).call("waiting", tool="short_leaf")).unwrap()

    assert 2 < own["inner"] <= 5
    assert 0 < less["inner"] <= 2


async def test_a_tool_uses_the_variables_of_the_session_through_the_session_of_its_context(session: Session) -> None:
    async with session as s:
        await s.variables.declare("n", int, value=40)

        assert (await s.call("counts")).unwrap() == 41


@pytest.mark.parametrize("tool", ["sums", "sums_plainly"])
async def test_a_tool_reads_the_stream_of_another(session: Session, tool: str) -> None:
    async with session as s:
        assert (await s.call(tool, upto=5000)).unwrap() == sum(range(5000))


async def test_a_tool_that_reads_no_further_closes_the_generator_of_another(session: Session, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    async with session as s:
        assert (await s.call("reads_some", evidence=str(evidence))).unwrap() == [0, 1, 2]
        await asyncio.to_thread(until, evidence.exists, what="the end of the generator")


async def test_a_tool_hears_what_another_tells(session: Session) -> None:
    async with session as s:
        heard = (await s.call("listens")).unwrap()

    assert heard == ["tells 1.0 of 2.0: half", "tells done {'count': 2}"]


async def test_a_tool_makes_a_call_repeatable_by_a_key(session: Session, tmp_path: Path) -> None:
    evidence = str(tmp_path / "evidence")
    async with session as s:
        assert (await s.call("pays_once", key=evidence[-100:], evidence=evidence)).unwrap() == [1, 1]


async def test_what_a_tool_left_running_is_cancelled_when_it_ends(grid: LocalGrid, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    async with grid.session() as s:
        assert (await s.call("forgets", evidence=str(evidence))).unwrap() == "ended"
        await asyncio.to_thread(until, lambda: evidence.read_text() == "ended", what="the end of what it left running")


async def test_functions_that_outlive_their_calls_keep_their_slots_and_others_are_told_so(
    grid: LocalGrid, tmp_path: Path
) -> None:
    go = tmp_path / "go"

    async def asks(tool: str, **arguments: Any) -> Any:
        return (await s.call("asks", tool=tool, arguments=arguments)).unwrap()

    async with grid.session() as s:
        late = [await asks("outlives", go=str(go)) for _ in range(2)]
        refused = await asks("leaf")
        go.touch()
        async with asyncio.timeout(PATIENCE):
            while "content" not in await asks("leaf"):
                pass

    assert [(each["code"], each["ran"]) for each in late] == [("TIMEOUT", "yes")] * 2
    assert (refused["code"], refused["ran"]) == ("RESOURCE_EXHAUSTED", "no")


# --------------------------------------------------------------------------------- when something goes away


async def test_a_tool_that_changes_nothing_may_call_others_and_the_record_still_names_it(grid: LocalGrid) -> None:
    async with grid.session() as s:
        inner: Any = (await s.call("reads")).unwrap()

    intents = {each["call"]: each for each in grid.entries() if each["kind"] == "intent"}
    assert intents[inner["id"]]["parent"] == intents[inner["parent"]]["invocation"]


async def test_a_tool_that_is_lost_takes_the_calls_it_made_with_it(grid: LocalGrid, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    async with grid.session() as s:
        call = asyncio.create_task(s.call("lets_linger", evidence=str(evidence)))
        await asyncio.to_thread(until, evidence.exists, what="the beginning of the inner tool")
        await asyncio.to_thread(grid.kill_runtime, 1)

        result = await call
        await asyncio.to_thread(until, lambda: evidence.read_text() == "ended", what="the end of the inner tool")
        await asyncio.to_thread(until, lambda: len(outcomes(grid, s.session_id)) == 2, what="both outcomes")
        recorded = outcomes(grid, s.session_id)
    await asyncio.to_thread(grid.start_runtime, 1, modules=[CALLERS])

    assert result.error is not None
    assert (result.error.type, result.error.ran) == ("RUNTIME_CRASH", "unknown")
    assert recorded == {"lets_linger": ("RUNTIME_CRASH", "unknown"), "lingers": ("CANCELLED", "yes")}


async def test_a_runtime_that_leaves_finishes_its_calls_and_what_they_call_on_it(
    grid: LocalGrid, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    leaving = grid.runtimes[1]
    async with grid.session() as s:
        arguments = {"tool": "adown", "arguments": {"depth": 3}, "go": str(go)}
        call = asyncio.create_task(s.call("calls_later", arguments))
        await asyncio.to_thread(until, Path(f"{go}.began").exists, what="the beginning of the tool")
        leaving.send(signal.SIGTERM)
        await asyncio.to_thread(until, lambda: is_draining(grid), what="the drain of the runtime")
        go.touch()

        assert (await call).unwrap() == 3
    assert await asyncio.to_thread(leaving.wait) == 0
    await asyncio.to_thread(grid.start_runtime, 1, modules=[CALLERS])


async def test_a_host_that_leaves_lets_a_tool_make_the_calls_that_it_needs(grid: LocalGrid, tmp_path: Path) -> None:
    assert grid.host is not None
    go = tmp_path / "go"
    attached = {number: len(process.announced) for number, process in grid.runtimes.items()}
    async with grid.session() as s:
        call = asyncio.create_task(s.call("calls_later", tool="leaf", arguments={}, go=str(go)))
        await asyncio.to_thread(until, Path(f"{go}.began").exists, what="the beginning of the tool")
        grid.host.send(signal.SIGTERM)
        await asyncio.to_thread(until, lambda: refuses(grid), what="the drain of the host")
        go.touch()

        result: Any = (await call).unwrap()
    await asyncio.to_thread(grid.restart_host)
    for number, process in grid.runtimes.items():
        await asyncio.to_thread(process.ready, attached[number] + 1)

    assert result["parent"]


def outcomes(grid: LocalGrid, session_id: str) -> dict[str, tuple[str, str]]:
    """How the calls of a session ended, by tool: code and ran."""
    entries = grid.entries()
    of_session = (each for each in entries if each["kind"] == "intent" and each["session"] == session_id)
    tools = {each["invocation"]: each["tool"] for each in of_session}
    ended = (each for each in entries if each["kind"] == "outcome" and each["invocation"] in tools)
    return {tools[each["invocation"]]: (each["code"], each["ran"]) for each in ended}


def is_draining(grid: LocalGrid) -> bool:
    """Whether nobody runs new calls of the tools that call."""
    with grid.session() as session:
        probe = session.options(timeout=0.2).call("down", depth=0)
    return probe.error is not None


def refuses(grid: LocalGrid) -> bool:
    """Whether the host takes no new calls."""
    with grid.session() as session:
        return session.call("leaf_double", n=1).error is not None
