"""The session as an object: opening, closing, options, and what it says when it is used wrongly."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

import altar
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session

MARK: contextvars.ContextVar[str] = contextvars.ContextVar("mark", default="nobody")


@pytest.fixture(autouse=True)
def declared() -> Iterator[None]:
    before = {tool.name: tool for tool in REGISTRY.tools()}
    REGISTRY.clear()

    @altar.tool
    def mark() -> str:
        """The caller's mark."""
        return MARK.get()

    @altar.tool
    def thread() -> int:
        """The thread that runs this."""
        return threading.get_ident()

    @altar.tool
    async def task() -> str:
        """The task that runs this."""
        current = asyncio.current_task()
        return current.get_name() if current else ""

    @altar.tool(timeout=5)
    def limited() -> int:
        """The thread that runs this, which has a limit of its own."""
        return threading.get_ident()

    yield
    REGISTRY.clear()
    for tool in before.values():
        REGISTRY.register(tool)


def test_a_plain_tool_runs_in_the_callers_own_thread() -> None:
    with Session(Options()) as session:
        assert session.call("thread").unwrap() == threading.get_ident()


@pytest.mark.parametrize("timeout", [3, timedelta(seconds=3)])
def test_with_a_limit_it_runs_in_another_thread(timeout: float | timedelta) -> None:
    with Session(Options()) as session:
        assert session.options(timeout=timeout).call("thread").unwrap() != threading.get_ident()
        assert session.call("limited").unwrap() != threading.get_ident()
        assert session.call("thread").unwrap() == threading.get_ident()


async def test_a_coroutine_runs_in_the_callers_own_task() -> None:
    async with Session(Options()) as session:
        task = asyncio.current_task()
        assert task is not None
        assert (await session.call("task")).unwrap() == task.get_name()


async def test_context_variables_reach_a_plain_tool() -> None:
    MARK.set("mine")

    async with Session(Options()) as session:
        assert (await session.call("mark")).unwrap() == "mine"


async def test_a_session_is_opened_once() -> None:
    session = Session(Options())
    async with session:
        with pytest.raises(altar.ValidationError, match="opened once"):
            await session.__aenter__()
    with pytest.raises(altar.ValidationError, match="opened once"):
        await session.__aenter__()


async def test_a_session_with_other_options_is_the_same_session() -> None:
    session = Session(Options())
    quick = session.options(timeout=1)

    async with session:
        assert (await quick.call("mark")).unwrap() == "nobody"
    with pytest.raises(altar.ValidationError, match="not open"):
        await quick.call("mark")


async def test_a_session_that_was_never_opened_is_not_open() -> None:
    with pytest.raises(altar.ValidationError, match="not open") as refused:
        await Session(Options()).call("mark")
    assert refused.value.code == "INVALID_SESSION"


def test_the_tools_of_a_session_are_those_it_asked_for() -> None:
    assert Session(Options(("thread", "mark"))).tools == ["mark", "thread"]
    assert Session(Options()).tools == ["limited", "mark", "task", "thread"]


def test_a_tool_nobody_declared_is_refused_at_once_with_the_nearest_name() -> None:
    with pytest.raises(altar.ValidationError, match="Tool 'marc' is not in this session") as refused:
        Session(Options(("marc",)))
    assert refused.value.hint == "did you mean 'mark'?"


def test_a_call_can_be_an_adm_document() -> None:
    with Session(Options()) as session:
        result = session.call(altar.FunctionCall.from_adm({"call_id": "c-1", "name": "mark", "args": {}}))
        ids = {session.call("mark").call_id for _ in range(50)}

    assert result.to_adm() == {"call_id": "c-1", "name": "mark", "status": "SUCCESS", "content": "nobody"}
    assert len(ids) == 50
    assert all(1 <= len(call_id) <= 128 for call_id in ids)


@pytest.mark.parametrize("ttl", [timedelta(), timedelta(microseconds=1)])
def test_a_session_that_has_expired_refuses(ttl: timedelta) -> None:
    with Session(Options(ttl=ttl)) as session:
        error = session.call("mark").error

    assert error is not None
    assert (error.type, error.ran) == ("SESSION_EXPIRED", "no")


async def test_a_caller_that_is_cancelled_while_a_plain_tool_runs_is_let_go() -> None:
    began, go = threading.Event(), threading.Event()

    @altar.tool(name="held")
    def held() -> None:
        """Wait."""
        began.set()
        go.wait(20)

    async with Session(Options()) as session:
        call = asyncio.create_task(session.call("held"))
        await asyncio.to_thread(began.wait, 20)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        go.set()


async def test_a_cancellation_that_a_tool_made_up_is_its_outcome_whatever_its_caller_has_been_through() -> None:
    @altar.tool
    async def makes_it_up() -> None:
        """Raise what only a caller may."""
        raise asyncio.CancelledError

    async def call_after_a_cancellation(session: Session) -> altar.ToolResult:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):  # and no `uncancel`, as most programs write it
            await asyncio.sleep(0)
        return await session.call("makes_it_up")

    async with Session(Options()) as session:
        results = [await session.call("makes_it_up"), await asyncio.create_task(call_after_a_cancellation(session))]

    assert [result.error.type for result in results if result.error] == ["CANCELLED", "CANCELLED"]


async def test_a_session_is_refused_in_another_event_loop() -> None:
    async with Session(Options()) as session:
        with pytest.raises(altar.ConfigurationError, match="another event loop") as refused:
            await asyncio.to_thread(lambda: asyncio.run(session.call("mark")))

        assert (refused.value.code, refused.value.ran) == ("INCOMPATIBLE_MODE", "no")
        assert (await session.call("mark")).unwrap() == "nobody"


@pytest.mark.parametrize("seconds", [math.inf, -math.inf, math.nan, 1e300, -1, "3", timedelta(seconds=-1)])
def test_a_time_that_cannot_be_waited_for_is_refused_by_its_name(seconds: Any) -> None:
    wrong_uses: list[Callable[[], Session]] = [
        lambda: Session(Options()).options(timeout=seconds),
        lambda: altar.session(timeout=seconds, source="later:"),
        lambda: altar.session(ttl=seconds, source="later:"),
    ]
    for use in wrong_uses:
        with pytest.raises(altar.ConfigurationError, match=r"The (timeout|ttl) is .* nor endless") as refused:
            use()
        assert refused.value.code == "INVALID_CONFIG"


FORKING = """
import os
import signal
import altar

@altar.tool
def one() -> int:
    "One."
    return 1

@altar.tool
async def other() -> int:
    "One, in the loop."
    return 1

def in_a_child(ask):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)  # ends a child that waits for a thread it does not have
        os.write(writing, ask().encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    return os.read(reading, 1000).decode()

def refusal(session, name):
    try:
        return session.call(name).call_id
    except altar.AltarError as refused:
        return f"{refused.code} {refused.ran}: {refused}"
"""


def _forking(*lines: str) -> list[str]:
    program = FORKING + "\n".join(lines)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.splitlines()


def test_a_session_is_refused_in_a_forked_child_and_goes_on_in_its_parent() -> None:
    told = _forking(
        "with altar.session() as s:",
        "    s.call('other').unwrap()",
        "    print(in_a_child(lambda: refusal(s, 'one')))",
        "    print(in_a_child(lambda: refusal(s.options(timeout=5), 'other')))",
        "    print(s.call('one').unwrap(), s.call('other').unwrap())",
    )

    assert told == ["INVALID_SESSION no: This session was opened in another process"] * 2 + ["1 1"]


def test_a_forked_child_that_leaves_the_block_ends_and_closes_nothing_of_its_parent() -> None:
    told = _forking(
        "with altar.session() as s:",
        "    s.call('other').unwrap()",
        "    child = os.fork()",
        "    signal.alarm(0 if child else 20)",
        "    if child:",
        "        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), s.call('other').unwrap(), flush=True)",
    )

    assert told == ["0 1"]


def test_a_session_made_before_a_fork_and_opened_after_it_gives_other_call_ids_in_each_process() -> None:
    told = _forking(
        "made = altar.session()",
        "def first():",
        "    with made as s:",
        "        return s.call('one').call_id",
        "print(in_a_child(first))",
        "print(in_a_child(first))",
        "print(first())",
    )

    assert len(set(told)) == 3
