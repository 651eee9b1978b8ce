"""The local source: what a function returned or raised, as an outcome; and sources found by their address."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

import altar
from altar._proto.altar.adm.v1 import adm_pb2
from altar.adm.canonical import canonical
from altar.adm.errors import AltarError
from altar.grid import wire
from altar.later.invocation import Invocation, Outcome, Work, late
from altar.later.source import LocalSource, Request, open_source
from altar.later.workplace import CallerThread
from tests.unit.later.doubles import Answers, call


def double(n: int) -> int:
    """Twice."""
    if n == 0:
        raise ValueError("the secret")
    if n == 1:
        raise altar.AuthorizationError("PERMISSION_DENIED", "not for you", ran="no")
    if n == 2:
        time.sleep(0.005)
    return 2 * n


async def triple(n: int) -> int:
    """Three times."""
    return 3 * n


async def block(n: int) -> int:
    """Hold up the loop, and so the timer that would have ended it."""
    time.sleep(0.005)  # noqa: ASYNC251 - the mistake this is about
    return n


def refuse(n: int) -> int:
    """Raise an error that was put together without care."""
    error = CARELESS[n]()
    raise error


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


class Empty(altar.ExecutionError):
    def __init__(self) -> None:
        """Set nothing at all."""


def careless(message: Any = "words", **parts: Any) -> AltarError:
    error = altar.ExecutionError("DEPENDENCY_UNAVAILABLE", "words", ran="no")
    error.message = message
    for name, value in parts.items():
        setattr(error, name, value)
    return error


CARELESS: list[Any] = [
    Empty,
    Unreadable,
    lambda: careless(message="half \ud800 pair", hint="\udfff", path="/\ud800"),
    lambda: careless(message=ValueError("no text"), hint=7, path=3),
    lambda: careless(message="x" * 5000, hint="y" * 5000, path="/" * 5000),
    lambda: careless(message="", hint="", retry_after=timedelta(0)),
    lambda: careless(message=None, retry_after=timedelta(seconds=-5)),
    lambda: careless(retry_after=timedelta.max),
    lambda: careless(retry_after=timedelta(milliseconds=1, microseconds=999)),
    lambda: careless(retry_after="soon"),
    lambda: careless(code="OF_ITS_OWN"),
]
BLOCK = altar.tool(block, register=False)
REFUSE = altar.tool(refuse, register=False)
DOUBLE = altar.tool(double, register=False)
TRIPLE = altar.tool(triple, register=False)


class Here(CallerThread):
    """Runs coroutines to their end, too."""

    def run_async(self, invocation: Invocation, work: Work) -> None:
        asyncio.run(work)


def outcome(tool: object, n: Any, **more: Any) -> Outcome:
    answers = Answers()
    invocation = call(arguments=canonical({"n": n}), contract=tool, **more)
    LocalSource(Here()).run(invocation, answers)
    ((_, found),) = answers.given
    return found


def test_a_value_comes_back_as_canonical_json() -> None:
    assert outcome(DOUBLE, 4) == Outcome(b"8")
    assert outcome(TRIPLE, 4) == Outcome(b"12")


def test_what_is_raised_is_named_and_its_text_is_for_the_log() -> None:
    error = outcome(DOUBLE, 0).error

    assert error is not None
    assert (error.code, error.message, error.ran) == (
        "TOOL_EXECUTION_FAILED",
        "The tool failed with ValueError",
        "yes",
    )
    assert error.detail == "ValueError: the secret"


@pytest.mark.parametrize("n", range(len(CARELESS)))
def test_whatever_is_in_an_error_it_is_told_in_the_same_words_here_and_over_a_wire(n: int) -> None:
    here = outcome(REFUSE, n).error
    assert here is not None
    sent = adm_pb2.ErrorObject()
    wire.error_to_wire(sent, here)

    there = wire.error_from_wire(sent)

    assert told_of(there) == told_of(here)
    assert here.ran == "yes"
    for text in filter(None, (here.message, here.hint, here.path)):
        assert len(text) <= 4096
        assert text.encode().decode() == text


@pytest.mark.parametrize("n", [0, 1, 9, 10])
def test_an_error_that_cannot_be_read_is_named_by_its_class(n: int) -> None:
    error = outcome(REFUSE, n).error

    assert error is not None
    kind = ("Empty", "Unreadable", "ExecutionError", "ExecutionError")[(0, 1, 9, 10).index(n)]
    assert (error.code, error.message) == ("TOOL_EXECUTION_FAILED", f"The tool failed with {kind}")


def test_a_time_to_wait_is_never_negative_and_never_longer_than_a_wire_can_say() -> None:
    waits = [error.retry_after for n in (6, 7, 8) if (error := outcome(REFUSE, n).error) is not None]

    assert [None, timedelta(milliseconds=2**32 - 1), timedelta(milliseconds=1)] == waits


def told_of(error: AltarError) -> tuple[Any, ...]:
    return type(error), error.code, error.message, error.hint, error.path, error.ran, error.retry_after


def test_an_error_meant_for_the_caller_keeps_its_words_and_says_that_the_tool_ran() -> None:
    error = outcome(DOUBLE, 1).error

    assert error is not None
    assert (error.code, error.message, error.ran) == ("PERMISSION_DENIED", "not for you", "yes")


@pytest.mark.parametrize("tool", [DOUBLE, TRIPLE])
def test_a_call_that_is_late_before_it_begins_does_not_run(tool: object) -> None:
    error = outcome(tool, 0, deadline=time.monotonic()).error

    assert error is not None
    assert (error.code, error.ran) == ("TIMEOUT", "no")
    assert error.message == "'known' had not begun when its time was up"


def test_a_value_that_comes_too_late_is_a_timeout() -> None:
    for tool in (DOUBLE, BLOCK):
        error = outcome(tool, 2, deadline=time.monotonic() + 0.002).error
        assert error is not None
        assert (error.code, error.ran) == ("TIMEOUT", "yes")


def test_the_words_of_a_timeout_say_whether_it_began() -> None:
    assert "had not ended" in late(call(), ran="yes").message
    assert "had not begun" in late(call(), ran="no").message
    assert "had not ended" in late(call(), ran="unknown").message


def test_arguments_that_cannot_be_bound_are_raised_and_nothing_runs() -> None:
    with pytest.raises(altar.ValidationError) as refused:
        outcome(DOUBLE, "x")
    assert refused.value.ran == "no"


@pytest.mark.parametrize("address", ["mesh://host:1", "", "https://host", "latr:"])
def test_an_address_nobody_provides_is_refused(address: str) -> None:
    with pytest.raises(altar.ConfigurationError, match="has no known scheme") as refused:
        open_source(Request(address))
    assert refused.value.code == "INVALID_CONFIG"
