"""The fronts of variables over sources that do what no good source does."""

from __future__ import annotations

import asyncio
import gc
import threading
from contextlib import asynccontextmanager
from typing import Any

import pytest

import altar
from altar.adm.errors import AltarError
from altar.later import session_variables
from altar.later.session import Options, Session
from altar.later.source import LocalSource, Request
from altar.later.variable_table import Watcher
from altar.later.variables import LocalVariables, SyncVariables, Then, Variables, at_once
from altar.later.workplace import CallerThread


class Lifetime:
    """A session that lives as long as the test says."""

    left = 100.0

    def touch(self) -> None:
        if self.left <= 0:
            raise altar.AuthorizationError("SESSION_EXPIRED", "The session has expired", ran="no")


class Silent:
    """A source that never answers."""

    session_id = "session-0"

    def __init__(self) -> None:
        self.thens: list[Then] = []

    def ask(self, _request: Any, then: Then) -> None:
        self.thens.append(then)

    def watch(self, watcher: Watcher) -> None:
        pass

    def unwatch(self, watcher: Watcher) -> None:
        pass

    def patience(self) -> None:
        pass


def local() -> tuple[LocalVariables, Variables]:
    source = LocalVariables(Lifetime(), session_id="session-0")
    return source, Variables(source, timeout=5, guard=lambda: None)


async def test_an_answer_that_does_not_come_is_a_timeout_that_says_whether_something_may_have_changed() -> None:
    variables = Variables(Silent(), timeout=0, guard=lambda: None)

    ran = []
    for asked in (variables.get("a"), variables.set("a", 1), variables.delete("a"), variables.update({})):
        with pytest.raises(AltarError) as raised:
            await asked
        ran.append((raised.value.code, raised.value.ran))

    assert ran == [("TIMEOUT", "no"), ("TIMEOUT", "unknown"), ("TIMEOUT", "unknown"), ("TIMEOUT", "unknown")]


async def test_an_answer_that_comes_too_late_harms_nobody() -> None:
    source = Silent()
    with pytest.raises(AltarError):
        await Variables(source, timeout=0, guard=lambda: None).get("a")

    source.thens[0]((), None)


def test_without_a_loop_nothing_is_waited_for() -> None:
    front = SyncVariables(Variables(Silent(), timeout=5, guard=lambda: None), run=at_once, wait=asyncio.run)

    with pytest.raises(RuntimeError):
        front.get("a")


def test_threads_that_count_with_conditional_sets_lose_no_count() -> None:
    _, variables = local()
    front = SyncVariables(variables, run=at_once, wait=asyncio.run)
    front.declare("n", int, value=0)

    def count() -> None:
        times = 200
        while times:
            now = front.get("n")
            try:
                front.set("n", now.value + 1, expected_version=now.version)
            except altar.ValidationError:
                continue
            times -= 1

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (front.get("n").value, front.get("n").version) == (800, 801)


async def test_a_watch_in_one_thread_sees_what_another_thread_sets() -> None:
    _, variables = local()
    front = SyncVariables(variables, run=at_once, wait=asyncio.run)
    front.declare("n", int, value=0)

    async with asyncio.timeout(30):
        watch = variables.watch("n")
        setting = threading.Thread(target=lambda: [front.set("n", number) for number in range(1, 500)])
        setting.start()
        async for variable in watch:
            if variable.value == 499:
                break
        setting.join()


async def test_a_watch_that_nobody_holds_is_forgotten() -> None:
    source, variables = local()
    watch = variables.watch()
    assert len(source._watchers) == 1

    del watch
    gc.collect()

    assert len(source._watchers) == 0


async def test_a_watch_ends_when_the_time_of_its_session_is_over() -> None:
    lifetime = Lifetime()
    watch = Variables(LocalVariables(lifetime, session_id="s"), timeout=5, guard=lambda: None).watch()
    lifetime.left = 0

    with pytest.raises(altar.AuthorizationError, match="expired"):
        await anext(watch)


def test_a_session_that_is_not_open_or_is_closed_has_no_variables() -> None:
    grid = Session(Options(source="grid://127.0.0.1:1"))
    with pytest.raises(altar.ValidationError, match="not open"):
        _ = grid.variables

    session = Session(Options())
    with session as opened:
        variables = opened.variables
    for use in (lambda: opened.variables, lambda: session.session_id, variables.list):
        with pytest.raises(altar.ValidationError) as raised:
            use()
        assert raised.value.code == "INVALID_SESSION"


async def test_a_source_that_keeps_no_variables_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    @asynccontextmanager
    async def opened(_request: Request) -> Any:
        yield Session(Options()).asker.tools, LocalSource(CallerThread())

    monkeypatch.setattr("altar.later.session.open_source", opened)
    async with Session(Options(source="other://x:1")) as session:
        with pytest.raises(altar.ConfigurationError) as raised:
            session_variables.variable_source(session.asker)

    assert (raised.value.code, raised.value.message) == (
        "FEATURE_UNAVAILABLE",
        "The source 'other://x:1' keeps no variables",
    )


async def test_sessions_with_other_options_share_their_variables() -> None:
    async with Session(Options()) as session:
        await session.variables.declare("a", int, value=1)

        assert (await session.options(timeout=5).variables.get("a")).value == 1
        assert session.options(timeout=5).session_id == session.session_id
