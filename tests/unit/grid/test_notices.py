"""What running tools tell, on its way into frames: coalesced, bounded, never in the way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from altar._proto.altar.grid.v1 import call_pb2, host_pb2
from altar.grid.notices import MOST, MOST_BYTES, Notices, hear
from altar.later.context import LogLine, Progress
from altar.later.invocation import Invocation

Told = Progress | LogLine


class Line:
    """A connection: what is queued for its next frame, and what whoever gets that frame hears."""

    def __init__(self) -> None:
        self.queue: list[Callable[[Any], int]] = []
        self.notices = Notices(self.queue.append)

    def frame(self) -> host_pb2.ConnectResponse:
        frame = host_pb2.ConnectResponse()
        for fill in self.queue:
            assert fill(frame) >= 0
        self.queue.clear()
        return frame

    def heard(self) -> list[Told]:
        told: list[Told] = []
        call = Invocation("tool", b"{}", "c1", tag=1, tell=told.append)
        for notice in self.frame().notices:
            if notice.tag == 1:
                hear(call, notice)
        return told


def progress(done: float, **more: Any) -> Progress:
    return Progress("tool", "c1", done, **more)


async def test_what_is_told_arrives_as_it_was_told() -> None:
    line = Line()
    tell = line.notices.teller(1)

    tell(LogLine("tool", "c1", "began", {"rows": 3, "names": ["ø", None]}))
    tell(progress(0.5, total=2, message="half"))

    assert line.heard() == [
        LogLine("tool", "c1", "began", {"rows": 3, "names": ["ø", None]}),
        progress(0.5, total=2.0, message="half"),
    ]


async def test_of_progress_the_latest_of_each_call_is_kept_and_what_was_told_in_between() -> None:
    line = Line()
    for done in range(1000):
        line.notices.teller(1)(progress(done))
        line.notices.teller(2)(progress(-done))
    line.notices.teller(1)(LogLine("tool", "c1", "nearly"))
    line.notices.teller(1)(progress(1000))

    frame = line.frame()

    told = [(notice.tag, notice.WhichOneof("told"), notice.progress.done) for notice in frame.notices]
    assert told == [(2, "progress", -999), (1, "log_line", 0), (1, "progress", 1000)]


async def test_of_too_many_lines_the_newest_are_kept() -> None:
    line = Line()
    for number in range(MOST + 10):
        line.notices.teller(1)(LogLine("tool", "c1", "line", {"number": number}))

    heard = line.heard()

    numbers = [told.facts["number"] for told in heard if isinstance(told, LogLine)]
    assert numbers == list(range(10, MOST + 10))


@pytest.mark.parametrize(
    ("facts", "arrive"),
    [
        ({"odd": object(), "even": 2}, {"odd": "<object>", "even": 2}),
        ({"text": "half \ud800"}, {"text": "<str>"}),
        ({"much": "x" * MOST_BYTES}, {}),
        ({}, {}),
    ],
    ids=["odd", "surrogate", "large", "none"],
)
async def test_facts_that_cannot_travel_do_not_harm_the_tool(facts: dict[str, Any], arrive: dict[str, Any]) -> None:
    line = Line()

    line.notices.teller(1)(LogLine("tool", "c1", "\ud800" + "m" * 10_000, facts))

    (told,) = line.heard()
    assert isinstance(told, LogLine)
    assert (told.message, told.facts) == ("?" + "m" * 4095, arrive)


async def test_what_is_told_in_a_thread_is_queued_in_the_loop() -> None:
    line = Line()

    await asyncio.to_thread(line.notices.teller(1), progress(1))
    await asyncio.sleep(0)

    assert line.heard() == [progress(1.0)]


async def test_a_host_passes_on_what_has_a_bearable_size_under_the_tag_of_its_caller() -> None:
    line = Line()
    relay = line.notices.relay(1)
    small = call_pb2.CallNotice(tag=77, progress=call_pb2.Progress(done=1))
    large = call_pb2.CallNotice(tag=77, log_line=call_pb2.LogLine(message="x", facts=b'"' + b"x" * 100_000 + b'"'))

    relay(small)
    relay(large)

    assert small.tag == 77
    assert [(notice.tag, notice.progress.done) for notice in line.frame().notices] == [(1, 1.0)]


@pytest.mark.parametrize("facts", [b"", b"no json", b"[1]", b"{}"])
async def test_facts_of_a_host_that_are_none_are_no_facts(facts: bytes) -> None:
    told: list[Told] = []
    call = Invocation("tool", b"{}", "c1", tag=1, tell=told.append)

    hear(call, call_pb2.CallNotice(tag=1, log_line=call_pb2.LogLine(message="said", facts=facts)))
    hear(call, call_pb2.CallNotice(tag=1))

    assert told == [LogLine("tool", "c1", "said", {})]
