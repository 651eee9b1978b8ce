"""The local source: what a function returned or raised, as an outcome; and sources found by their address."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import altar
from altar.adm.canonical import canonical
from altar.later.invocation import Invocation, Outcome, Work
from altar.later.source import LocalSource, Request, late, open_source
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


BLOCK = altar.tool(block, register=False)
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
