"""`altar approvals history` in words, and what who approves a second time is told."""

from __future__ import annotations

from typing import Any

import pytest

from altar.aesp.governance.refusals import twice
from altar.aesp.governance.requests import CONTRACT, Need, Request, State
from altar.cli.approvals import said_of


def event(name: str, data: str = "", who: str = "acme/ann") -> dict[str, Any]:
    return {
        "event": f"approval.{name}",
        "approval_id": "approval-1",
        "principal_id": who,
        "time_ms": "1700000000000",
        "resource": "tools/pay",
        "data": data,
    }


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (
            event("requested", '{"asked":"hmac-sha256:00","expires":1700003600000,"version":"1.0.0"}'),
            "acme/ann asked for pay 1.0.0, to be decided by 2023-11-14T23:13:20Z",
        ),
        (event("decided", '{"approve":true,"reason":"","seen":"hmac-sha256:00"}'), "acme/ann approved pay"),
        (event("decided", '{"approve":true,"reason":"by\\u001b phone"}'), "acme/ann approved pay: by? phone"),
        (event("decided", '{"approve":false,"reason":"no"}'), "acme/ann refused pay: no"),
        (event("decided", '{"approve":1}'), "acme/ann refused pay"),
        (event("consumed"), "acme/ann used it for pay"),
        (event("released"), "pay did not run, so it is good again"),
        (event("withdrawn", who=""), "somebody took it back"),
        (event("expired", who=""), "it expired before it was used"),
        (event("something", "no JSON"), "something pay"),
    ],
)
def test_what_happened_to_a_request_is_said_in_words_and_without_digests(said: dict[str, Any], words: str) -> None:
    assert words == said_of(said)


@pytest.mark.parametrize(
    ("state", "counted", "hint"),
    [
        (State.PENDING, (1, 0), "it waits for 2 other people: `altar approvals show approval-1` says in which role"),
        (State.PENDING, (1, 1), "it waits for 1 other person: `altar approvals show approval-1` says in which role"),
        (
            State.APPROVED,
            (2, 2),
            "nobody else has to: whoever asked can make the call now, with session.resume('approval-1')",
        ),
        (State.CONSUMED, (2, 2), "it is CONSUMED by now: `altar approvals show approval-1`"),
    ],
)
def test_who_approves_a_second_time_is_told_who_is_still_missing(
    state: State, counted: tuple[int, ...], hint: str
) -> None:
    needs = (Need("large", "d", ("boss",), 1), Need(CONTRACT, "d", (), 2))
    request = Request("approval-1", "acme", "acme/ann", "pay", "1.0.0", "", "", "", needs, 0, 0)

    assert hint == twice(request, state, counted).hint
