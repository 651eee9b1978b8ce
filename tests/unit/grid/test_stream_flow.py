"""A stream from function to reader, through a host, whatever the order in which the parties come to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError
from altar.grid.client_streams import ReceivedStream
from altar.grid.host.host_streams import HostStream, HostStreams
from altar.grid.manifests.manifest import HostContract
from altar.grid.runtime.runtime_streams import SentChunks
from altar.grid.stream_window import Window, first_of
from altar.later.chunks import Chunks
from altar.later.invocation import Invocation, Outcome

Fill = Callable[[Any], int]


class Values:
    """The part of a frame that holds values: the messages that were put into it."""

    def __init__(self) -> None:
        self.messages: list[tuple[int, list[bytes]]] = []
        self.stream_chunks = self

    def add(self, *, tag: int, index: int, payloads: list[bytes]) -> None:
        assert tag == 1
        self.messages.append((index, payloads))


class Wire:
    """One direction of a connection: what is queued, and what a frame of it holds."""

    def __init__(self) -> None:
        self.queue: list[Fill] = []

    def frame(self) -> list[tuple[int, list[bytes]]]:
        values = Values()
        queue = list(self.queue)
        self.queue.clear()
        for fill in queue:
            fill(values)
        return values.messages


def contract(returns: dict[str, Any]) -> HostContract:
    document = {
        "name": "streamed",
        "description": "Stream.",
        "parameters": {"type": "OBJECT", "properties": {}, "required": []},
        "returns": returns,
    }
    return HostContract(FunctionDeclaration.from_adm(document, mode="lenient"))


TEXTS = contract({"type": "ARRAY", "items": {"type": "STRING"}})


@dataclass
class Ended:
    """The outcomes that a host's streams ended with before their time."""

    outcomes: list[Outcome] = field(default_factory=list)
    now: float = 0.0

    def streams(self, *, limit: int = 10**6, idle: float = 60) -> HostStreams:
        return HostStreams(
            limit=limit, idle=idle, end=lambda _, outcome: self.outcomes.append(outcome), clock=lambda: self.now
        )


class Scene:
    """Runtime, host and client of one stream, and the wires between them."""

    def __init__(self, *, limit: int = 10**6) -> None:
        self.ended = Ended()
        self.to_host, self.to_client = Wire(), Wire()
        self.to_runtime: list[tuple[int, int]] = []
        self.grants: list[tuple[int, int]] = []
        self.read = Chunks()
        self.received = ReceivedStream(self.read, lambda chunks, size: self.grants.append((chunks, size)))
        self.read.open(TEXTS)
        call = Invocation("streamed", b"{}", "c1", tag=1)
        self.streams = self.ended.streams(limit=limit)
        self.streams.begin(call, *self.received.window(), self.to_client.queue.append)
        self.relay: HostStream = call.chunks
        self.call = call
        self.relay.open(TEXTS)
        self.relay.sent_to(lambda chunks, size: self.to_runtime.append((chunks, size)))
        chunks, size = self.relay.window()
        self.made = SentChunks(1, chunks, size, self.to_host.queue.append, limit=10**6)
        self.made.open(TEXTS)

    def carry(self, *, who: str) -> None:
        """One frame, or all credit, on one of the ways."""
        if who == "host":
            for index, values in self.to_host.frame():
                self.streams.arrived(self.call, index, values)
        elif who == "client":
            for index, values in self.to_client.frame():
                self.received.arrived(index, values)
        elif who == "credit":
            for chunks, size in self.grants:
                self.relay.grant(chunks, size)
            self.grants.clear()
        else:
            for chunks, size in self.to_runtime:
                self.made.grant(chunks, size)
            self.to_runtime.clear()


SIZES = st.lists(st.sampled_from([0, 5, 300, 70_000]), max_size=12).flatmap(
    lambda some: st.sampled_from([some, some * 2, [0, *some[:2]] * 200, [600_000, *some]])
)
WAYS = ("others", "host", "client", "credit", "runtime")


@settings(max_examples=60, deadline=None)
@given(sizes=SIZES, order=st.lists(st.sampled_from(WAYS), max_size=60), most=st.integers(1, 400))
def test_every_value_comes_in_order_whatever_the_order_of_frames_and_credit(
    sizes: list[int], order: list[str], most: int
) -> None:
    async def main() -> None:
        scene = Scene()
        values = [b'"' + b"x" * size + b'"' for size in sizes]
        got: list[bytes] = []
        making = asyncio.create_task(_make(scene.made, values))
        reading = asyncio.create_task(_read(scene.read, most, len(values), got))
        rounds = 0
        while not reading.done():
            for who in (*order, *WAYS):
                if who == "others":
                    await asyncio.sleep(0)
                else:
                    scene.carry(who=who)
                assert scene.relay.waiting_bytes <= 512 * 1024 + 600_002
            rounds += 1
            assert rounds <= 20 * len(values) + 20, "nobody can go on"
        await making

        assert got == values
        assert scene.ended.outcomes == []
        sent = scene.made.close(Outcome())
        passed = scene.relay.close(sent)
        assert scene.read.close(passed).streamed == passed.streamed == sent.streamed
        assert passed.error is None

    asyncio.run(main())


async def _read(chunks: Chunks, most: int, count: int, into: list[bytes]) -> None:
    while len(into) < count:
        into += await chunks.take(most)


async def _make(chunks: SentChunks, values: list[bytes]) -> None:
    for value in values:
        await chunks.pass_on(value)


async def test_who_makes_values_from_a_thread_waits_for_credit_and_hears_that_nobody_reads_on() -> None:
    scene = Scene()

    made: list[bytes] = []

    def make() -> None:
        for _ in range(10**6):
            scene.made.give(b'"x"')
            made.append(b'"x"')

    making = asyncio.create_task(asyncio.to_thread(make))
    while len(made) < 256:  # noqa: ASYNC110 - another thread makes them
        await asyncio.sleep(0.001)
    scene.made.leave()

    with pytest.raises(AltarError) as left:
        await making
    assert left.value.code == "CANCELLED"
    assert len(made) == 256
    assert scene.made.was_heard


async def test_the_account_of_a_runtime_is_that_of_the_values_it_has_sent_and_still_sends() -> None:
    scene = Scene()
    await _make(scene.made, [b'"a"', b'"b"'])
    scene.carry(who="host")
    await _make(scene.made, [b'"c"'])

    outcome = scene.made.close(Outcome())
    scene.carry(who="host")

    assert outcome.streamed is not None
    assert outcome.streamed.chunks == 3
    assert scene.relay.close(outcome).error is None


async def test_a_runtime_names_the_place_of_a_value_that_must_not_pass() -> None:
    scene = Scene()
    await _make(scene.made, [b'"a"', b'"b"'])

    with pytest.raises(AltarError) as broken:
        await scene.made.pass_on(b"3")

    assert (broken.value.code, broken.value.path) == ("SCHEMA_VIOLATION", "/2")


# ------------------------------------------------------------------------------------------------------------ windows


def test_a_window_lets_pass_what_was_granted_and_one_value_more_than_its_bytes() -> None:
    window = Window()
    window.granted, window.granted_bytes = 3, 10

    window.take(0, [b"123456789", b"much more than there is left"])

    assert window.is_used_up
    with pytest.raises(AltarError, match="only 3 of 10 bytes were granted"):
        window.take(2, [b"x"])


def test_values_are_taken_until_a_frame_is_full_and_at_least_one() -> None:
    from collections import deque

    waiting = deque([b"x" * 1000, b"y" * 10, b"z" * 10])

    assert first_of(waiting, 100) == [b"x" * 1000]
    assert first_of(waiting, 100) == [b"y" * 10, b"z" * 10]
    assert first_of(waiting, 100) == []


# --------------------------------------------------------------------------------------------------- the host's checks


@pytest.mark.parametrize(
    ("returns", "values", "passed"),
    [
        ({"type": "ARRAY", "items": {"type": "INTEGER"}}, [b"1", b"2", b'"x"'], 2),
        ({"type": "ARRAY", "items": {"type": "INTEGER"}, "maxItems": 1}, [b"1", b"2"], 2),
        ({"type": "ARRAY", "items": {"type": "INTEGER"}, "uniqueItems": True}, [b"1", b"1"], 2),
        ({"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": 2}, [b"1", b"2"], 0),
        ({"type": "ARRAY", "items": {"type": "NUMBER"}}, [b"1.5", b"1e+300", b"1.0"], 2),
        ({"type": "ARRAY", "items": {"type": "STRING"}}, ['"\U0001f600"'.encode(), b'"a"', b'"\\u0061"'], 2),
        ({"type": "ARRAY", "items": {"type": "OBJECT"}}, [b'{"a":1,"b":2}', b'{"b":1,"a":2}'], 1),
    ],
    ids=["type", "most", "unique", "least", "numbers", "texts", "members"],
)
async def test_values_that_come_together_are_checked_as_if_each_had_come_alone(
    returns: dict[str, Any], values: list[bytes], passed: int
) -> None:
    def came(*frames: list[bytes]) -> tuple[int, str | None, str | None]:
        ended = Ended()
        call = Invocation("streamed", b"{}", "c1", tag=1)
        ended.streams().begin(call, 100, 10_000, lambda _: None)
        call.chunks.open(contract(returns))
        call.chunks.window()
        for index, frame in enumerate(frames):
            try:
                call.chunks.arrived(index, frame)
            except AltarError as broken:
                return call.chunks.came, broken.code, broken.path
        return call.chunks.came, None, None

    together = came(values)

    assert together == came(*([value] for value in values))
    assert together[0] == passed


async def test_a_stream_that_moves_is_left_alone_and_one_that_stands_still_is_ended() -> None:
    ended = Ended()
    streams = ended.streams(idle=10)
    call = Invocation("streamed", b"{}", "c1", tag=1)
    streams.begin(call, 1, 1, lambda _: None)
    call.chunks.open(TEXTS)
    ended.now = 100.0
    streams.sweep()
    assert ended.outcomes == []  # it has no runtime yet

    call.chunks.sent_to(lambda chunks, size: None)
    call.chunks.window()
    for ended.now in (105.0, 114.0):
        streams.sweep()
        assert ended.outcomes == []
    ended.now = 115.0
    streams.sweep()

    (outcome,) = ended.outcomes
    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.ran) == ("TIMEOUT", "unknown")


async def test_a_call_that_is_sent_again_is_granted_anew_what_its_asker_let_come() -> None:
    scene = Scene()
    scene.relay.grant(5, 100)
    again: list[tuple[int, int]] = []

    scene.relay.sent_to(lambda chunks, size: again.append((chunks, size)))
    scene.relay.grant(1, 1)
    assert again == []  # it has not left yet

    assert scene.relay.window() == (256 + 6, 512 * 1024 + 101)
    scene.relay.grant(2, 2)
    assert again == [(2, 2)]


async def test_values_that_come_after_their_reader_has_left_are_dropped_and_its_success_is_none() -> None:
    scene = Scene()
    await _make(scene.made, [b'"a"'])
    scene.carry(who="host")
    scene.relay.leave()
    await _make(scene.made, [b'"b"'])
    scene.carry(who="host")

    outcome = scene.relay.close(scene.made.close(Outcome()))

    assert scene.relay.waiting_bytes == 0
    assert outcome.error is not None
    assert outcome.streamed is not None
    assert (outcome.error.code, outcome.streamed.chunks) == ("CANCELLED", 1)


async def test_a_client_that_got_other_values_than_its_host_sent_does_not_take_them_for_a_success() -> None:
    scene = Scene()
    await _make(scene.made, [b'"a"', b'"b"'])
    sent = scene.made.close(Outcome())
    scene.received.arrived(0, [b'"a"'])

    outcome = scene.read.close(sent)

    assert outcome.error is not None
    assert (outcome.error.code, outcome.error.ran) == ("PROTOCOL_VIOLATION", "yes")


async def test_a_host_that_sends_more_than_was_granted_is_not_believed() -> None:
    scene = Scene()

    with pytest.raises(AltarError, match="257 values") as broken:
        scene.received.arrived(0, [b"1"] * 257)

    assert broken.value.code == "PROTOCOL_VIOLATION"
