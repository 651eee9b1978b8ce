"""The promotion promise: what a caller sees does not depend on where the tool runs.

Every test here runs six times: on each row of the plugin for pytest (in this process, in this process under permits of
a host, and on a grid), awaited and through the synchronous front.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import altar
from altar.later.session import Options, Session
from altar.testing import Row, until
from tests.integration import tools
from tests.integration.auditing import stop_and_audit

pytestmark = [pytest.mark.timeout(180), pytest.mark.altar(tools="tests.integration.tools")]

CANARY = "hunter2-canary"
MIB = 1024 * 1024


class Caller:
    """A session on one of the rows, called in one way."""

    def __init__(self, call: Callable[..., altar.ToolResult], tools: list[str]) -> None:
        self._call = call
        self.tools = tools

    def __call__(self, name: str | altar.FunctionCall, /, **arguments: Any) -> altar.ToolResult:
        return self._call(name, None, arguments)

    def within(self, seconds: float, name: str, /, **arguments: Any) -> altar.ToolResult:
        return self._call(name, seconds, arguments)


@pytest.fixture(scope="module")
def row(altar_row: Row) -> Iterator[Row]:
    yield altar_row
    if altar_row.grid is not None:
        for log in (file.read_text() for file in altar_row.grid.directory.glob("host*.log")):
            assert CANARY not in log
        stop_and_audit(altar_row.grid)
        assert CANARY not in altar_row.grid.export().read_text()
        if altar_row.name == "governed":
            reported = [entry for entry in altar_row.grid.entries() if "reported" in entry]
            assert len(reported) > 100, "the calls of this row run where they are made"


@pytest.fixture(scope="module", params=["awaited", "front"])
def caller(request: pytest.FixtureRequest, row: Row) -> Iterator[Caller]:
    session = row.session()
    with _front(session) if request.param == "front" else _awaited(session) as made:
        yield made


@contextmanager
def _front(session: Session) -> Iterator[Caller]:
    with session as opened:
        yield Caller(
            lambda name, seconds, arguments: (opened if seconds is None else opened.options(timeout=seconds)).call(
                name, **arguments
            ),
            opened.tools,
        )


@contextmanager
def _awaited(session: Session) -> Iterator[Caller]:
    with asyncio.Runner() as runner:
        runner.run(session.__aenter__())

        def call(name: Any, seconds: float | None, arguments: Any) -> altar.ToolResult:
            chosen = session if seconds is None else session.options(timeout=seconds)
            return runner.run(chosen.call(name, **arguments))

        try:
            yield Caller(call, session.tools)
        finally:
            runner.run(session.__aexit__(None, None, None))


def told(result: altar.ToolResult) -> tuple[str | None, str, str | None, str | None]:
    """Code, message, path and `ran` of a failed call."""
    assert result.status is altar.ResultStatus.ERROR, result
    assert result.content is None
    error = result.error
    assert error is not None
    return error.type, error.message, error.field_path, error.ran


# ----------------------------------------------------------------------------------------------------- what succeeds


@pytest.mark.parametrize(
    ("name", "arguments", "content"),
    [
        ("add", {"a": 1}, 2),
        ("add", {"a": 1, "b": 2}, 3),
        ("add", {"a": 1.0}, 2),
        ("add_async", {"a": 1, "b": 2}, 3),
        ("nothing", {}, None),
        ("echo", {"value": {"b": [1, {"c": None}], "a": "ø😀"}}, {"a": "ø😀", "b": [1, {"c": None}]}),
        ("echo", {"value": (1, (2, 3))}, [1, [2, 3]]),
        ("echo", {"value": {3, 1, 2}}, [1, 2, 3]),
        ("echo", {"value": None}, None),
        ("echo", {"value": 2**63 - 1}, 2**63 - 1),
        ("echo", {"value": -(2**63)}, -(2**63)),
        ("echo", {"value": 2**53 + 1}, 2**53 + 1),
        ("echo", {"value": 0.1}, 0.1),
        ("fit", {"kind": "set"}, [1, 2, 3]),
        ("fit", {"kind": "tuple"}, [1, [2, 3]]),
        ("fit", {"kind": "one"}, 1),
        ("fit", {"kind": "minus_zero"}, 0),
        ("fit", {"kind": "none"}, None),
        ("fit", {"kind": "bytes"}, "YWx0YXI="),
        ("fit", {"kind": "enum"}, "SUCCESS"),
        ("fit", {"kind": "empty"}, {}),
        ("move", {"point": {"x": 1}, "by": {"x": 1, "y": 2}}, {"x": 2, "y": 2}),
        ("move", {"point": tools.Point(1), "by": tools.Point(2, 3)}, {"x": 3, "y": 3}),
        ("order", {"orders": [tools.Order(item="a", count=2)]}, [{"item": "a", "count": 4}]),
        ("order", {"orders": [], "notes": {"n": {"x": 1}}}, []),
        ("length", {"text": "x" * (4 * MIB - 64)}, 4 * MIB - 64),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_right_call_is_answered(caller: Caller, name: str, arguments: dict[str, Any], content: Any) -> None:
    result = caller(name, **arguments)

    assert (result.status, result.name, result.error) == (altar.ResultStatus.SUCCESS, name, None)
    assert result.unwrap() == content
    assert type(result.content) is type(content)


def test_the_call_id_of_the_caller_comes_back(caller: Caller) -> None:
    result = caller(altar.FunctionCall("my call/1", "add", {"a": 1}))

    assert (result.call_id, result.name, result.content) == ("my call/1", "add", 2)


def test_every_call_has_an_id_of_its_own(caller: Caller) -> None:
    assert len({caller("nothing").call_id for _ in range(20)}) == 20


def test_values_nested_as_deep_as_allowed_pass(caller: Caller) -> None:
    deep: Any = 0
    for _ in range(63):
        deep = [deep]

    assert caller("echo", value=deep).unwrap() == deep


def test_the_arguments_of_the_caller_are_not_touched(caller: Caller) -> None:
    arguments = {"items": [1, 2], "options": {"list": [3]}}
    before = copy.deepcopy(arguments)

    result = caller("mutate", **arguments)

    assert arguments == before
    assert result.content == {
        "items": [1, 2, 99],
        "options": {"list": [], "more": [1, 2, 99]},
    }


def test_the_session_lists_its_tools_by_name(caller: Caller) -> None:
    declared = {tool.name for tool in _declared_here()}

    assert caller.tools == sorted(caller.tools)
    assert declared == set(caller.tools)


# ------------------------------------------------------------------------------------------------- what is wrong use


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("add", {}, ("INVALID_TOOL_ARGS", "Argument `a` is missing", "/a", "no")),
        ("add", {"a": 1, "c": 2}, ("INVALID_TOOL_ARGS", "Argument `c` is not declared", "/c", "no")),
        ("add", {"a": "x"}, ("INVALID_TOOL_ARGS", "Argument `a` must be an integer, not a string", "/a", "no")),
        ("add", {"a": True}, ("INVALID_TOOL_ARGS", "Argument `a` must be an integer, not a boolean", "/a", "no")),
        (
            "add_async",
            {"a": None},
            ("INVALID_TOOL_ARGS", "Argument `a` must be an integer, not null", "/a", "no"),
        ),
        (
            "move",
            {"point": {"x": "q"}, "by": {"x": 1}},
            ("INVALID_TOOL_ARGS", "Argument `point.x` must be an integer, not a string", "/point/x", "no"),
        ),
        (
            "order",
            {"orders": [{"item": "a", "count": 0}]},
            (
                "INVALID_TOOL_ARGS",
                "Argument `orders[0].count` is 0 but must be greater than 0",
                "/orders/0/count",
                "no",
            ),
        ),
        (
            "order",
            {"orders": [{"item": "forbidden", "count": 1}]},
            ("INVALID_TOOL_ARGS", "Argument `orders[0].item`: that is not for sale", "/orders/0/item", "no"),
        ),
        ("ad", {"a": 1}, ("UNSUPPORTED_TOOL", "Tool 'ad' is not in this session", None, "no")),
        ("", {}, ("UNSUPPORTED_TOOL", "Tool '' is not in this session", None, "no")),
        (
            "echo",
            {"value": 2**63},
            (
                "SERIALIZATION_ERROR",
                "The argument at '/value', of the Python type 'int', is outside the range of 64 bits",
                "/value",
                "no",
            ),
        ),
        (
            "echo",
            {"value": [float("nan")]},
            (
                "SERIALIZATION_ERROR",
                "The argument at '/value/0', of the Python type 'float', is not a finite number",
                "/value/0",
                "no",
            ),
        ),
        (
            "echo",
            {"value": object()},
            (
                "SERIALIZATION_ERROR",
                "The argument at '/value', of the Python type 'object', cannot be written as JSON",
                "/value",
                "no",
            ),
        ),
        (
            "length",
            {"text": "x" * (4 * MIB)},
            ("MESSAGE_TOO_LARGE", "The arguments are 4194315 bytes and the limit is 4194304", None, "no"),
        ),
    ],
    ids=lambda value: str(value)[:30],
)
def test_wrong_use_is_answered_in_the_same_words(
    caller: Caller, name: str, arguments: dict[str, Any], expected: tuple[str, str, str | None, str]
) -> None:
    assert told(caller(name, **arguments)) == expected
    assert caller("add", a=1).content == 2


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("ad", r"did you mean 'add'\?"),
        ("zzz", r"there is add, add_async, [a-z_]+(, [a-z_]+){5} and \d+ more"),
    ],
)
def test_an_unknown_tool_is_answered_with_the_nearest_name_or_with_some(caller: Caller, name: str, hint: str) -> None:
    error = caller(name).error

    assert error is not None
    assert re.fullmatch(hint, error.hint or ""), error.hint


@pytest.mark.parametrize("call_id", ["", " ", "x" * 129, "zwölf", "a\nb"])
def test_a_call_id_that_is_none_is_refused(caller: Caller, call_id: str) -> None:
    expected = ("MALFORMED_REQUEST", "The call_id must be 1 to 128 printable ASCII characters", "/call_id", "no")

    assert told(caller(altar.FunctionCall(call_id, "add", {"a": 1}))) == expected


def test_a_value_nested_too_deeply_is_refused_before_it_is_sent(caller: Caller) -> None:
    deep: Any = 0
    for _ in range(64):
        deep = [deep]

    code, message, path, ran = told(caller("echo", value=deep))

    assert (code, path, ran) == ("SERIALIZATION_ERROR", "/value" + "/0" * 63, "no")
    assert message.endswith("of the Python type 'list', is nested deeper than 64")


# ---------------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("name", ["fail", "fail_async"])
def test_what_a_tool_raises_is_named_and_its_text_is_not_told(caller: Caller, name: str) -> None:
    result = caller(name, secret=CANARY)

    assert told(result) == ("TOOL_EXECUTION_FAILED", "The tool failed with RuntimeError", None, "yes")
    assert CANARY not in repr(result)
    with pytest.raises(altar.ExecutionError) as raised:
        result.unwrap()
    assert CANARY not in repr(raised.value.__dict__)


def test_an_altar_error_that_a_tool_raises_reaches_the_caller_in_its_own_words(caller: Caller) -> None:
    result = caller("refuse", city="Oslo")

    assert told(result) == (
        "DEPENDENCY_UNAVAILABLE",
        "The weather of 'Oslo' is not known today",
        "/city",
        "yes",
    )
    assert result.error is not None
    assert result.error.hint == "ask tomorrow"


@pytest.mark.parametrize("name", ["leave", "leave_async"])
@pytest.mark.parametrize(
    ("how", "kind"),
    [
        ("exit", "SystemExit"),
        ("generator", "GeneratorExit"),
        ("base", "BaseException"),
        ("timeout", "TimeoutError"),
    ],
)
def test_what_is_no_exception_is_a_failure_of_the_tool_too(caller: Caller, name: str, how: str, kind: str) -> None:
    assert told(caller(name, how=how)) == ("TOOL_EXECUTION_FAILED", f"The tool failed with {kind}", None, "yes")
    assert caller("add_async", a=1).content == 2


def test_a_coroutine_that_interrupts_itself_has_failed(caller: Caller) -> None:
    expected = ("TOOL_EXECUTION_FAILED", "The tool failed with KeyboardInterrupt", None, "yes")

    assert told(caller("leave_async", how="interrupt")) == expected


def test_a_coroutine_that_cancels_itself_is_answered_and_cancels_nobody_else(caller: Caller) -> None:
    assert told(caller("leave_async", how="cancel")) == ("CANCELLED", "The call was cancelled", None, "yes")
    assert caller("add_async", a=1).content == 2


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "'float', is not a finite number"),
        ("infinity", "'float', is not a finite number"),
        ("socket", "'socket', cannot be written as JSON"),
        ("bignum", "'int', is outside the range of 64 bits"),
        ("bytes_key", "'tuple', is used as a key, and a key is text"),
        ("surrogate", "'str', holds half of a surrogate pair"),
    ],
)
def test_a_result_that_json_cannot_hold_is_named_by_place_and_type(caller: Caller, kind: str, reason: str) -> None:
    expected = ("SERIALIZATION_ERROR", f"The result at '/here', of the Python type {reason}", "/here", "yes")

    assert told(caller("unfit", kind=kind)) == expected


@pytest.mark.parametrize("kind", ["cycle", "deep"])
def test_a_result_without_end_is_refused(caller: Caller, kind: str) -> None:
    code, _, path, ran = told(caller("unfit", kind=kind))

    assert (code, ran) == ("SERIALIZATION_ERROR", "yes")
    assert path is not None
    assert path.startswith("/here/0")


def test_a_result_that_breaks_its_contract_is_not_passed_on(caller: Caller) -> None:
    expected = ("SCHEMA_VIOLATION", "The result must be an integer, not a string", None, "yes")

    assert told(caller("breaks_its_promise")) == expected


def test_a_result_that_is_too_large_is_answered_with_its_size(caller: Caller) -> None:
    expected = (
        "MESSAGE_TOO_LARGE",
        "The contents of the result are 4195330 bytes and the limit is 4194304",
        None,
        "yes",
    )

    assert told(caller("repeat", text="x" * 1024, times=4097)) == expected
    assert caller("add", a=1).content == 2


@pytest.mark.parametrize("name", ["hang", "hang_async"])
def test_a_tool_that_outlives_its_own_limit_is_a_timeout(caller: Caller, name: str, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"

    result = caller(name, evidence=str(evidence))

    assert told(result) == ("TIMEOUT", f"'{name}' had not ended when its time was up", None, "yes")
    (tmp_path / "evidence.go").touch()
    ended = "began" if name == "hang" else "cancelled"
    until(lambda: evidence.read_text() == ended, what=f"{name} was {ended}")


def test_the_time_the_caller_gives_reaches_the_function(caller: Caller, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"

    result = caller.within(0.6, "witness", evidence=str(evidence))

    assert told(result) == ("TIMEOUT", "'witness' had not ended when its time was up", None, "yes")
    until(lambda: evidence.read_text() == "cancelled", what="the coroutine was cancelled")


def test_a_coroutine_that_ignores_its_deadline_is_late_all_the_same(caller: Caller, tmp_path: Path) -> None:
    result = caller.within(0.6, "stubborn", evidence=str(tmp_path / "evidence"))

    assert told(result) == ("TIMEOUT", "'stubborn' had not ended when its time was up", None, "yes")


def test_a_call_that_has_no_time_at_all_does_not_run(caller: Caller) -> None:
    expected = ("TIMEOUT", "'add' had not begun when its time was up", None, "no")

    assert told(caller.within(1e-9, "add", a=1)) == expected


# ------------------------------------------------------------------------------------------------------- cancellation


async def test_cancelling_the_caller_cancels_the_function(row: Row, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    session = row.session()

    async with session as opened:
        call = asyncio.create_task(opened.call("witness", evidence=str(evidence)))
        await asyncio.to_thread(until, evidence.exists, what="the function began")
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert (await opened.call("add", a=1)).content == 2

    await asyncio.to_thread(until, lambda: evidence.read_text() == "cancelled", what="it was cancelled")


async def test_the_callers_own_timeout_ends_the_call(row: Row, tmp_path: Path) -> None:
    evidence = tmp_path / "evidence"
    session = row.session()

    async with session as opened:
        call = asyncio.create_task(opened.call("witness", evidence=str(evidence)))
        await asyncio.to_thread(until, evidence.exists, what="the function began")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await call

    await asyncio.to_thread(until, lambda: evidence.read_text() == "cancelled", what="it was cancelled")


async def test_many_calls_at_once_are_each_answered_with_their_own_result(row: Row) -> None:
    session = row.session()

    async with session as opened:
        names = ["add", "add_async"]
        results = await asyncio.gather(*(opened.call(names[n % 2], a=n, b=n) for n in range(200)))

    assert [result.content for result in results] == [2 * n for n in range(200)]


def test_threads_may_share_the_synchronous_front(row: Row) -> None:
    session = row.session()

    with session as front, ThreadPoolExecutor(8) as pool:
        names = ["add", "add_async"]
        results = list(pool.map(lambda n: front.call(names[n % 2], a=n, b=n), range(100)))

    assert [result.content for result in results] == [2 * n for n in range(100)]


# ----------------------------------------------------------------------------------------------------- the session


@pytest.mark.parametrize("how", ["awaited", "front"])
def test_a_session_may_call_what_it_was_opened_with_and_nothing_else(row: Row, how: str) -> None:
    session = row.session(("add", "echo"))

    with _front(session) if how == "front" else _awaited(session) as caller:
        assert caller.tools == ["add", "echo"]
        assert caller("add", a=1).content == 2
        expected = ("UNSUPPORTED_TOOL", "Tool 'nothing' is not in this session", None, "no")
        assert told(caller("nothing")) == expected


@pytest.mark.parametrize("how", ["awaited", "front"])
def test_a_session_that_is_closed_refuses_in_the_same_words(row: Row, how: str) -> None:
    session = row.session()
    with asyncio.Runner() as runner:
        if how == "front":
            with session as front:
                assert front.call("add", a=1).content == 2
                assert front.call("add_async", a=1).content == 2
            close: Callable[[], altar.ToolResult] = lambda: front.call("add", a=1)  # noqa: E731
        else:
            runner.run(session.__aenter__())
            runner.run(session.__aexit__(None, None, None))
            close = lambda: runner.run(session.call("add", a=1))  # noqa: E731

        with pytest.raises(altar.ValidationError, match=r"^This session is not open") as refused:
            close()

    assert (refused.value.code, refused.value.ran) == ("INVALID_SESSION", "no")


def test_a_person_who_interrupts_a_local_plain_tool_interrupts_the_program() -> None:
    with Session(Options()) as front, pytest.raises(KeyboardInterrupt):
        front.call("leave", how="interrupt")


def test_what_a_local_tool_raised_is_in_the_log_of_its_process(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="altar.later"), Session(Options()) as front:
        front.call("fail", secret="s3")

    raised = next(record for record in caplog.records if record.message == "tool failed")
    assert (raised.levelname, raised.__dict__["tool"]) == ("WARNING", "fail")
    assert raised.exc_info is not None
    assert "cannot connect with password s3" in str(raised.exc_info[1])


def _declared_here() -> list[altar.ToolFunction[..., Any]]:
    return [held for held in vars(tools).values() if isinstance(held, altar.ToolFunction)]
