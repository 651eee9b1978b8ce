"""Agents as tools of a runtime: their calls go through the host, under the call that asked the agent."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from altar.ai.agents import AgentResult, agent
from altar.ai.agents.agent import Framework
from altar.grid.client.session_admin import administration
from altar.later.session import Session
from altar.testing import LocalGrid, ScriptedLM, ToolUse, until
from tests.integration import agent_tools
from tests.integration.auditing import stop_and_audit

pytestmark = pytest.mark.timeout(180)  # its first test waits for a host, and each framework is loaded once

each_framework = pytest.mark.parametrize("framework", agent_tools.FRAMEWORKS)


SETTINGS = """
[ai]
lm = "scripted:says.json"
"""
SAYS = [{"tool": "agent_counts", "arguments": {"item": "tea"}}, "There is tea."]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalGrid]:
    directory = tmp_path_factory.mktemp("agents")
    (directory / "altar.toml").write_text(SETTINGS)
    (directory / "says.json").write_text(json.dumps(SAYS))
    with LocalGrid([agent_tools.__file__], runtimes=1, directory=directory) as running:
        with running.session(timeout=120) as session:  # in which each framework is loaded
            for framework in agent_tools.FRAMEWORKS:
                session.call(f"clerk_{framework}", prompt="tea").unwrap()
        yield running
        stop_and_audit(running)


def recorded(grid: LocalGrid, session: str) -> list[dict[str, Any]]:
    """What the log has of the calls of a session, in their order."""
    return [each for each in grid.entries() if each["kind"] == "intent" and each["session"] == session]


@each_framework
@pytest.mark.parametrize(
    ("name", "arguments", "way"),
    [
        ("clerk", {"prompt": "tea"}, ["clerk", "agent_counts"]),
        ("chief", {"prompt": "tea"}, ["chief", "clerk", "agent_counts"]),
        ("errand", {"what": "tea"}, ["errand", "clerk", "agent_counts"]),
    ],
)
def test_what_an_agent_calls_is_recorded_below_who_asked_it(
    grid: LocalGrid, framework: str, name: str, arguments: dict[str, Any], way: list[str]
) -> None:
    with grid.session(timeout=120) as session:
        result = session.call(f"{name}_{framework}", arguments)
        session_id = session.session_id

    told = json.loads(result.unwrap()["told"] if name == "errand" else result.unwrap())
    intents = recorded(grid, session_id)
    assert [each if each == "agent_counts" else f"{each}_{framework}" for each in way] == [
        each["tool"] for each in intents
    ]
    assert [None, *[each["invocation"] for each in intents[:-1]]] == [each.get("parent") for each in intents]
    assert {("client-1", session_id)} == {(each["principal"], each["session"]) for each in intents}
    assert 1 == len({each["correlation"] for each in intents})
    assert ("client-1", intents[-2]["call"]) == (told["principal"], told["parent"])
    assert 0 < told["left"] < 120
    assert {"clerk": 2, "chief": 4, "errand": 2}[name] == (result.usage or {})["lm_calls"]


@each_framework
def test_an_agent_without_a_model_asks_that_of_the_settings_of_its_runtime(grid: LocalGrid, framework: str) -> None:
    with grid.session(timeout=120) as session:
        result = session.call(f"keeper_{framework}", prompt="Is there tea?")
        intents = recorded(grid, session.session_id)

    assert "There is tea." == result.unwrap()
    assert [f"keeper_{framework}", "agent_counts"] == [each["tool"] for each in intents]


# ------------------------------------------------------------------------------------------ what ends the outer call


def ended(grid: LocalGrid, session: str) -> dict[str, tuple[str, str]]:
    """How each call of a session ended by the log: code and whether it ran, by tool."""
    tools = {each["invocation"]: each["tool"] for each in recorded(grid, session)}
    return {
        tools[each["invocation"]]: (each["code"], each["ran"])
        for each in grid.entries()
        if each["kind"] == "outcome" and each["invocation"] in tools
    }


@each_framework
async def test_who_leaves_ends_what_the_agents_below_are_doing(grid: LocalGrid, framework: str, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    async with grid.session(timeout=120) as session:
        call = asyncio.create_task(session.call(f"chief_{framework}", prompt=str(evidence)))
        await asyncio.to_thread(until, evidence.exists, what="the beginning of the call below")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await asyncio.to_thread(until, lambda: evidence.read_text() == "ended", what="the end of the call below")
        session_id = session.session_id

    names = {f"chief_{framework}", f"clerk_{framework}", "agent_lingers"}
    await asyncio.to_thread(until, lambda: set(ended(grid, session_id)) == names, what="the record of all three")
    assert {("CANCELLED", "yes")} == set(ended(grid, session_id).values())


async def test_the_deadline_of_the_outer_call_is_that_of_what_the_agents_below_are_doing(
    grid: LocalGrid, tmp_path: Path
) -> None:
    paths = {framework: tmp_path / framework for framework in agent_tools.FRAMEWORKS}

    def is_ended() -> bool:
        return all(path.read_text() == "ended" for path in paths.values())

    async with grid.session() as session:
        short = session.options(timeout=3)
        chiefs = [short.call(f"chief_{framework}", prompt=str(path)) for framework, path in paths.items()]
        results = await asyncio.gather(*chiefs)
        await asyncio.to_thread(until, is_ended, what="the end of the calls below")
        session_id = session.session_id

    names = {"agent_lingers", *(f"{who}_{framework}" for who in ("chief", "clerk") for framework in paths)}
    await asyncio.to_thread(until, lambda: set(ended(grid, session_id)) == names, what="the record of all calls")
    assert ["TIMEOUT", "TIMEOUT"] == [result.error and result.error.type for result in results]
    assert {"TIMEOUT"} <= {code for code, _ in ended(grid, session_id).values()} <= {"TIMEOUT", "CANCELLED"}


# ------------------------------------------------------------------- a host that goes away, a session that is ended


class Waiting:
    """A run under each framework, in one session, that waits in its second call."""

    def __init__(self, folder: Path) -> None:
        self.paths = {framework: folder / framework for framework in agent_tools.FRAMEWORKS}
        self.models: list[ScriptedLM] = []
        self.results: list[AgentResult] = []

    @asynccontextmanager
    async def runs(self, session: Session) -> AsyncIterator[None]:
        """Begin them, and wait for both at the end."""
        runs = [asyncio.create_task(self._run(session, framework)) for framework in self.paths]
        await asyncio.to_thread(until, lambda: all(map(Path.exists, self.paths.values())), what="the calls")
        yield
        self.results = [await each for each in runs]

    async def _run(self, session: Session, framework: Framework) -> AgentResult:
        lingers = ToolUse("agent_lingers", {"evidence": str(self.paths[framework])})
        lm = ScriptedLM([ToolUse("agent_counts", {"item": "tea"}), lingers, "Done."])
        self.models.append(lm)
        tools = ["agent_counts", "agent_lingers"]
        return await agent(model=lm, framework=framework, name="asked", tools=tools).run(session, "How much?")

    def require_ended(self, code: str, ran: str) -> None:
        """Fail unless both ended so, told what ran before, and asked nothing more."""
        for result in self.results:
            assert result.error is not None
            assert (code, ran) == (result.error.type, result.error.ran)
            assert [("agent_counts", "success"), ("agent_lingers", "failed")] == [
                (call.name, call.status) for call in result.tool_calls
            ]
        first, second = self.results
        assert first.error == second.error
        assert [2, 2] == [len(lm.requests) for lm in self.models]


async def test_a_session_that_is_ended_by_somebody_ends_the_run_in_the_same_way_in_both(
    grid: LocalGrid, tmp_path: Path
) -> None:
    waiting = Waiting(tmp_path)
    async with (
        grid.session(timeout=60) as session,
        waiting.runs(session),
        administration(grid.source, grid.client) as admin,
    ):
        await admin.destroy(session.session_id, force=True)

    waiting.require_ended("CANCELLED", "yes")


async def test_a_host_that_goes_away_in_the_middle_ends_the_run_in_the_same_way_in_both(
    grid: LocalGrid, tmp_path: Path
) -> None:
    waiting = Waiting(tmp_path)
    async with grid.session(timeout=60) as session, waiting.runs(session):
        assert grid.host is not None
        await asyncio.to_thread(grid.host.end, signal.SIGKILL)
    await asyncio.to_thread(grid.mend)

    waiting.require_ended("CONNECTION_FAILED", "unknown")
