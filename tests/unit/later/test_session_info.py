"""What a session of this process says of itself, and how it is extended: in the same words as one on a grid."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

import altar
from altar.later.contracts import Contracts
from altar.later.registry import SessionTools
from altar.later.session import Options, Session
from altar.testing import FakeClock


def test_a_session_says_what_it_is() -> None:
    before = datetime.now(UTC)

    with altar.session(source="later:", ttl=60) as session:
        session.variables.declare("n", int, value=1)
        info = session.describe()
        session_id = session.session_id

    assert (session_id, timedelta(seconds=60), (), None, 1, 1) == (
        info.session_id,
        info.ttl,
        info.tools,
        info.calls,
        info.variables,
        info.connections,
    )
    assert info.created is not None
    assert before <= info.created <= datetime.now(UTC)
    assert timedelta() < info.left <= info.ttl


async def test_a_session_in_a_loop_says_it_too_and_lives_as_long_as_it_was_told_to() -> None:
    async with altar.session(source="later:") as session:
        assert timedelta(hours=1) == (await session.describe()).ttl
        assert timedelta(minutes=2) == (await session.extend(timedelta(minutes=2))).ttl
        assert timedelta(minutes=2) == (await session.extend()).ttl


def test_an_extended_session_expires_when_that_time_is_over_and_not_before() -> None:
    clock = FakeClock()
    tools = SessionTools(Contracts(), ttl=timedelta(seconds=10), clock=clock)
    clock.advance(9)

    tools.extend(timedelta(seconds=20))

    clock.advance(19)
    tools.touch()
    assert (timedelta(seconds=20), 20) == (tools.ttl, tools.left)
    clock.advance(20)
    with pytest.raises(altar.AuthorizationError, match="has expired"):
        tools.touch()


def test_a_session_that_is_over_is_neither_described_nor_extended() -> None:
    with altar.session(source="later:", ttl=0) as session:
        for over in (session.describe, session.extend):
            with pytest.raises(altar.AuthorizationError) as refused:
                over()
            assert "SESSION_EXPIRED" == refused.value.code


def test_a_session_that_is_closed_is_neither_described_nor_extended() -> None:
    with altar.session(source="later:") as session:
        pass

    for closed in (session.describe, session.extend):
        with pytest.raises(altar.ValidationError, match="not open"):
            closed()


@pytest.mark.parametrize("ttl", [-1, math.inf, math.nan, timedelta(seconds=-1)])
def test_a_time_that_is_none_is_refused(ttl: float | timedelta) -> None:
    with (
        altar.session(source="later:") as session,
        pytest.raises(altar.ConfigurationError, match="neither negative nor endless"),
    ):
        session.extend(ttl)


async def test_a_session_of_a_grid_that_is_not_open_says_so() -> None:
    with pytest.raises(altar.ValidationError, match="not open"):
        await Session(Options(source="grid://127.0.0.1:1")).describe()
