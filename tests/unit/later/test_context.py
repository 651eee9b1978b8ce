"""What a tool may know and do while it runs: its context is filled in, tells its caller, and ends with the call."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

import altar
import altar.testing
from altar.later.context import MOST_WAITING, Listener, LogLine, Mailbox, Progress, ToolContext
from altar.later.invocation import Invocation
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session
from altar.later.source import LocalSource
from altar.later.workplace import CallerThread
from altar.testing import PATIENCE
from tests.unit.later.doubles import Answers


@dataclass
class Kept:
    """Contexts that a tool kept beyond its call, and a way to hold one."""

    contexts: list[ToolContext] = field(default_factory=list)
    began: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    seen: list[Any] = field(default_factory=list)


@pytest.fixture(autouse=True)
def kept() -> Iterator[Kept]:
    kept = Kept()
    before = REGISTRY.tools()
    REGISTRY.clear()

    @altar.tool
    def plain(context: ToolContext) -> dict[str, Any]:
        """Say what is known."""
        kept.contexts.append(context)
        return known(context)

    @altar.tool
    async def waiting(context: ToolContext | None = None) -> dict[str, Any]:
        """Say what is known."""
        assert context is not None
        kept.contexts.append(context)
        return known(context)

    @altar.tool
    def steps(many: int, context: ToolContext) -> Iterator[int]:
        """Tell of each step."""
        kept.contexts.append(context)
        for number in range(many):
            context.progress(number + 1, many, "a step")
            yield number

    @altar.tool
    async def asteps(many: int, context: ToolContext) -> AsyncIterator[int]:
        """Tell of each step."""
        kept.contexts.append(context)
        for number in range(many):
            context.progress(number + 1, many, "a step")
            yield number

    @altar.tool
    def told(many: int, context: ToolContext) -> int:
        """Tell how far it is, and a line."""
        for number in range(many):
            context.progress(number + 1, many)
        context.log("counted", many=many)
        return many

    @altar.tool
    async def atold(many: int, context: ToolContext) -> int:
        """Tell how far it is, and a line."""
        for number in range(many):
            context.progress(number + 1, many)
        context.log("counted", many=many)
        return many

    @altar.tool
    def until_cancelled(context: ToolContext) -> None:
        """Go on until nobody waits."""
        kept.began.set()
        while True:
            try:
                context.check_cancelled()
            except altar.ExecutionError as stopped:
                kept.seen.append((stopped.code, context.cancelled))
                kept.go.set()
                raise
            time.sleep(0.001)

    yield kept
    kept.go.set()
    REGISTRY.clear()
    for tool in before:
        REGISTRY.register(tool)


def known(context: ToolContext) -> dict[str, Any]:
    left = context.deadline
    return {
        "call": context.call_id,
        "correlation": context.correlation_id,
        "session": context.session_id,
        "principal": context.principal,
        "parent": context.parent_id,
        "left": None if left is None else left.total_seconds(),
        "cancelled": context.cancelled,
    }


# --------------------------------------------------------------------------------------------------------- facts


def test_a_context_is_no_part_of_the_contract() -> None:
    for name in ("plain", "waiting"):
        tool = REGISTRY.get(name)
        assert tool is not None
        assert tool.context == "context"
        assert tool.declaration.to_adm()["parameters"]["properties"] == {}


@pytest.mark.parametrize("tool", ["plain", "waiting"])
def test_a_tool_knows_of_its_call(tool: str) -> None:
    with Session(Options(principal="ann", timeout=timedelta(seconds=20))) as session:
        first, second = session.call(tool), session.call(tool)

    said: Any = first.content
    assert said["call"] == first.call_id
    assert (said["principal"], said["parent"], said["cancelled"]) == ("ann", None, False)
    assert 0 < said["left"] <= 20
    again: Any = second.content
    assert (said["correlation"], said["session"]) == (again["correlation"], again["session"])
    assert said["session"].startswith("local-")


def test_a_context_cannot_be_given_as_an_argument() -> None:
    with Session(Options()) as session:
        refused = session.call("plain", context={"principal": "root"})

    assert refused.error is not None
    assert (refused.error.type, refused.error.field_path) == ("INVALID_TOOL_ARGS", "/context")


@pytest.mark.parametrize("tool", ["plain", "waiting", "steps", "asteps"])
def test_a_context_that_is_kept_refuses_after_the_call(tool: str, kept: Kept) -> None:
    arguments = {"many": 1} if "steps" in tool else {}
    with Session(Options()) as session:
        assert session.call(tool, **arguments).status == "SUCCESS"
        (context,) = kept.contexts
        for use in (
            lambda: context.progress(1),
            lambda: context.log("late"),
            lambda: context.session,
            lambda: context.sync.call("plain"),
            lambda: asyncio.run(_called(context)),
        ):
            with pytest.raises(altar.ValidationError, match="has ended, and its context with it") as refused:
                use()
            assert refused.value.code == "INVALID_SESSION"


async def _called(context: ToolContext) -> None:
    await context.call("plain")


async def test_the_session_of_a_context_that_is_kept_refuses_too(kept: Kept) -> None:
    inside: list[Any] = []

    @altar.tool
    async def keeper(context: ToolContext) -> None:
        """Keep the sessions."""
        inside.extend([context.session, context.sync])

    async with Session(Options()) as session:
        await session.call("keeper")
        with pytest.raises(altar.ValidationError, match="has ended"):
            await inside[0].call("plain")
        with pytest.raises(altar.ValidationError, match="has ended"):
            await asyncio.to_thread(inside[1].call, "plain")


def test_a_context_says_no_more_than_its_call_when_it_is_shown(kept: Kept) -> None:
    with Session(Options()) as session:
        result = session.call("plain")

    assert repr(kept.contexts[0]) == f"<context of 'plain', call {result.call_id!r}>"


# ------------------------------------------------------------------------------------------------ to stop in time


async def test_a_plain_function_sees_that_its_caller_has_left(kept: Kept) -> None:
    async with Session(Options()) as session:
        calling = asyncio.create_task(session.call("until_cancelled"))
        await asyncio.to_thread(kept.began.wait, PATIENCE)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await asyncio.to_thread(kept.go.wait, PATIENCE)

    assert kept.seen == [("CANCELLED", True)]


async def test_a_plain_function_sees_that_its_time_is_up(kept: Kept) -> None:
    async with Session(Options()) as session:
        result = await session.options(timeout=0.05).call("until_cancelled")
        assert await asyncio.to_thread(kept.go.wait, PATIENCE)

    assert result.error is not None
    assert result.error.type == "TIMEOUT"
    assert kept.seen == [("TIMEOUT", True)]


def test_a_function_in_its_callers_thread_sees_that_too(kept: Kept) -> None:
    with Session(Options(default_timeout=timedelta(seconds=0.05))) as session:
        result = session.call("until_cancelled")

    assert result.error is not None
    assert result.error.type == "TIMEOUT"
    assert kept.seen == [("TIMEOUT", True)]


async def test_a_call_inside_of_a_call_sees_that_the_outer_caller_has_left(kept: Kept) -> None:
    @altar.tool
    def outer(context: ToolContext) -> None:
        """Call on."""
        context.sync.call("until_cancelled")

    async with Session(Options()) as session:
        calling = asyncio.create_task(session.call("outer"))
        await asyncio.to_thread(kept.began.wait, PATIENCE)
        calling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await calling
        assert await asyncio.to_thread(kept.go.wait, PATIENCE)

    assert kept.seen == [("CANCELLED", True)]


# --------------------------------------------------------------------------------------------- to tell on the way


@pytest.mark.parametrize("tool", ["told", "atold"])
@pytest.mark.parametrize("timeout", [None, 20.0])
def test_a_listener_hears_in_the_thread_that_calls_and_before_the_result(tool: str, timeout: float | None) -> None:
    heard: list[Any] = []
    threads = set()

    def hear(told: Progress | LogLine) -> None:
        threads.add(threading.get_ident())
        heard.append(told)

    with Session(Options()) as session:
        listening = session.options(on_progress=hear, on_log=hear, timeout=timeout)
        result = listening.call(tool, many=5)

    assert threads == {threading.get_ident()}
    assert heard[-2:] == [
        Progress(tool, result.call_id, 5, 5, None),
        LogLine(tool, result.call_id, "counted", {"many": 5}),
    ]


@pytest.mark.parametrize("tool", ["told", "atold"])
async def test_a_listener_hears_in_the_loop_and_before_the_result(tool: str) -> None:
    heard: list[Any] = []
    threads = set()

    def hear(told: Progress | LogLine) -> None:
        threads.add(threading.get_ident())
        heard.append(told)

    async with Session(Options()) as session:
        result = await session.options(on_progress=hear, on_log=hear).call(tool, many=5)

    assert threads == {threading.get_ident()}
    assert heard[-2:] == [
        Progress(tool, result.call_id, 5, 5, None),
        LogLine(tool, result.call_id, "counted", {"many": 5}),
    ]


@pytest.mark.parametrize("tool", ["steps", "asteps"])
def test_a_stream_tells_as_well(tool: str) -> None:
    heard: list[Progress] = []
    with Session(Options()) as session:
        stream = session.options(on_progress=heard.append).stream(tool, many=3)
        assert list(stream) == [0, 1, 2]

    assert heard[-1] == Progress(tool, stream.result.call_id, 3, 3, "a step")


@pytest.mark.parametrize("tool", ["steps", "asteps"])
async def test_a_stream_in_a_loop_tells_as_well(tool: str) -> None:
    heard: list[Progress] = []
    async with Session(Options()) as session:
        stream = session.options(on_progress=heard.append).stream(tool, many=3)
        assert [value async for value in stream] == [0, 1, 2]

    assert heard[-1] == Progress(tool, stream.result.call_id, 3, 3, "a step")


@pytest.mark.parametrize("tool", ["told", "atold"])
def test_a_listener_that_fails_harms_no_call(tool: str, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Progress) -> None:
        raise OSError("deaf")

    with Session(Options()) as session:
        assert session.options(on_progress=fail).call(tool, many=2).content == 2

    assert "listener failed" in caplog.messages


async def test_options_that_are_not_given_stay_as_they_are() -> None:
    heard: list[Any] = []
    async with Session(Options()) as session:
        both = session.options(on_progress=heard.append).options(on_log=heard.append).options(timeout=20)
        await both.call("atold", many=1)
        left: Any = (await both.options(on_log=heard.append).call("waiting")).content

    assert [type(each) for each in heard] == [Progress, LogLine]
    assert left["left"] <= 20


def test_a_slow_listener_hears_the_latest_progress_and_no_endless_queue() -> None:
    errands: list[Any] = []
    heard: list[Any] = []
    mailbox = Mailbox(Listener(heard.append, heard.append), errands.append)

    for number in range(10_000):
        mailbox.tell(Progress("tool", "c", number))
    for number in range(2 * MOST_WAITING):
        mailbox.tell(LogLine("tool", "c", "line", {"number": number}))
    (errand,) = errands
    errand()

    assert len(heard) == MOST_WAITING
    assert heard[-1] == LogLine("tool", "c", "line", {"number": 2 * MOST_WAITING - 1})
    mailbox.tell(Progress("tool", "c", 1))
    mailbox.tell(Progress("tool", "d", 1))
    mailbox.tell(Progress("tool", "d", 2))
    errands[1]()
    assert [(told.call_id, told.done) for told in heard[MOST_WAITING:]] == [("c", 1), ("d", 2)]


def test_what_a_tool_logs_is_a_phrase_with_facts_and_the_ids_of_its_call(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "altar.tool")
    with Session(Options()) as session:
        result = session.call("told", many=3)

    (record,) = [each for each in caplog.records if each.name == "altar.tool"]
    assert record.getMessage() == "counted"
    facts = vars(record)
    assert (facts["tool"], facts["call"], facts["facts"]) == ("told", result.call_id, {"many": 3})
    assert facts["correlation"].startswith("client-")


def test_facts_may_have_any_name(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "altar.tool")
    altar.testing.context().log("odd", name="n", msg="m", args=1, message="x", self=2)

    assert vars(caplog.records[0])["facts"] == {"name": "n", "msg": "m", "args": 1, "message": "x", "self": 2}


# -------------------------------------------------------------------------------------------- without a session


def test_a_function_is_called_directly_with_a_context_of_the_test() -> None:
    def shorten(text: str, context: ToolContext) -> str:
        """Shorten."""
        context.progress(1, 2)
        context.log("shortening")
        return text[:1] if not context.cancelled else ""

    tool = altar.tool(shorten, register=False)
    context = altar.testing.context("shorten", timeout=20)

    assert tool("long", context=context) == "l"
    assert context.told == [
        Progress("shorten", context.call_id, 1, 2, None),
        LogLine("shorten", context.call_id, "shortening"),
    ]
    assert context.deadline is not None
    context.cancel()
    assert tool("long", context=context) == ""
    with pytest.raises(altar.ExecutionError, match="cancelled"):
        context.check_cancelled()


def test_a_context_of_a_test_without_a_limit_has_none_and_calls_nobody() -> None:
    context = altar.testing.context()

    assert context.deadline is None
    context.check_cancelled()
    with pytest.raises(altar.ConfigurationError, match="cannot call other tools where it runs") as refused:
        _ = context.session
    assert refused.value.code == "FEATURE_UNAVAILABLE"


def test_where_there_is_no_session_a_tool_calls_no_other() -> None:
    @altar.tool
    def calls(context: ToolContext) -> str:
        """Call on."""
        try:
            return str(context.sync.call("plain").status)
        except altar.ConfigurationError as refused:
            return refused.code

    answers = Answers()
    source = LocalSource(CallerThread())
    call = Invocation("calls", b"{}", "c1", session_id="s-7")
    call.contract = REGISTRY.get("calls")

    source.run(call, answers)

    assert [outcome.content for outcome in answers.outcomes] == [b'"FEATURE_UNAVAILABLE"']
