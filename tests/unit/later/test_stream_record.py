"""A stream is recorded: its intent before the first value, one outcome after the last, however it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

import pytest

import altar
from altar.later import workplace
from altar.later.chunks import Chunks
from altar.later.executor import Executor
from altar.later.invocation import Invocation, Outcome
from altar.later.registry import REGISTRY
from altar.later.source import LocalSource
from altar.later.workplace import LoopThreads
from altar.testing import PATIENCE, RecordingGate
from tests.unit.later.doubles import Answers
from tests.unit.later.streaming import Noted, noted

__all__ = ["noted"]  # a fixture

BOTH = pytest.mark.parametrize("tool", ["count", "acount"])


class Recorded:
    """One call through an executor, with everything that its gate saw."""

    def __init__(self, tool: str, **arguments: int) -> None:
        self.gate = RecordingGate()
        self.answers = Answers()
        self.place = LoopThreads()
        self.source = LocalSource(self.place)
        self.executor = Executor(REGISTRY, self.gate, self.source, self.answers)
        text = ",".join(f'"{name}":{value}' for name, value in sorted(arguments.items()))
        self.call = Invocation(tool, f"{{{text}}}".encode(), "c1", chunks=Chunks())

    async def outcome(self) -> Outcome:
        async with asyncio.timeout(PATIENCE):
            while not self.answers.given:  # noqa: ASYNC110 - told from another thread
                await asyncio.sleep(0.001)
        ((_, outcome),) = self.gate.outcomes
        return outcome


@BOTH
async def test_the_intent_comes_before_the_first_value_and_one_outcome_after_the_last(noted: Noted, tool: str) -> None:
    recorded = Recorded(tool, upto=3)
    with pytest.raises(altar.ExecutionError, match="cancelled"):
        recorded.call.chunks.note(b"0")  # nothing passes before the intent
    recorded.executor.execute((recorded.call,))
    assert recorded.gate.intents == [recorded.call]

    taken: list[bytes] = []
    while chunks := await recorded.call.chunks.take(2):
        taken += chunks
    outcome = await recorded.outcome()

    assert taken == [b"0", b"1", b"2"]
    assert outcome.error is None
    assert outcome.streamed is not None
    assert (outcome.streamed.chunks, outcome.streamed.bytes) == (3, 7)
    with pytest.raises(altar.ExecutionError, match="cancelled"):
        recorded.call.chunks.note(b"3")  # nothing passes after the outcome
    recorded.place.close()


@BOTH
async def test_one_outcome_is_recorded_for_a_stream_that_is_left(noted: Noted, tool: str) -> None:
    recorded = Recorded(tool, upto=10**9)
    recorded.executor.execute((recorded.call,))
    assert await recorded.call.chunks.take() == [b"0"]

    recorded.source.cancel(recorded.call)
    outcome = await recorded.outcome()

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.ran) == ("CANCELLED", "yes")
    assert noted.closed.is_set()
    assert len(recorded.gate.outcomes) == 1
    recorded.place.close()


async def test_a_stream_that_still_waits_for_a_thread_never_ran(noted: Noted, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded = Recorded("count", upto=3)
    recorded.place._threads._most = 1
    first = Invocation("held", b"{}", "c0", chunks=Chunks())
    recorded.executor.execute((first, recorded.call))
    await asyncio.to_thread(noted.began.wait, PATIENCE)

    recorded.source.cancel(recorded.call)

    ((answered, outcome),) = recorded.answers.given
    assert answered is recorded.call
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.ran) == ("CANCELLED", "no")
    noted.go.set()
    recorded.place.close()


async def test_an_asynchronous_generator_that_never_ends_is_answered_for(
    noted: Noted, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workplace, "HEED_SECONDS", 0.05)
    free = asyncio.Event()

    @altar.tool
    async def clinging() -> AsyncIterator[int]:
        """Hold on."""
        try:
            yield 1
            noted.began.set()
            await asyncio.Event().wait()
        finally:
            await free.wait()

    caplog.set_level(logging.WARNING)
    recorded = Recorded("clinging")
    recorded.call.deadline = time.monotonic() + 0.1
    recorded.executor.execute((recorded.call,))
    assert await recorded.call.chunks.take() == [b"1"]
    outcome = await recorded.outcome()
    free.set()
    async with asyncio.timeout(PATIENCE):
        while "tool outlived its call" not in caplog.messages:  # noqa: ASYNC110 - logged by a task of its own
            await asyncio.sleep(0.001)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.ran) == ("TIMEOUT", "yes")
    assert len(recorded.gate.outcomes) == 1
    recorded.place.close()


async def test_a_place_that_closes_answers_for_its_streams(noted: Noted) -> None:
    recorded = Recorded("aheld")
    recorded.executor.execute((recorded.call,))
    assert await recorded.call.chunks.take() == [b"1"]

    recorded.place.close()

    assert recorded.answers.error.code == "CANCELLED"
    assert await recorded.call.chunks.take() == []
    async with asyncio.timeout(PATIENCE):
        while not noted.closed.is_set():  # noqa: ASYNC110 - set by a task of its own
            await asyncio.sleep(0.001)
