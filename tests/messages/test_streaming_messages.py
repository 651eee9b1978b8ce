"""What a user is answered about streams, contexts and batches, word for word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import altar
import altar.testing
from altar.grid.client_streams import ReceivedStream
from altar.grid.host.host_streams import HostStreams
from altar.grid.manifests.manifest import HostContract
from altar.later.chunks import Chunks, account_of
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation, Outcome
from altar.later.registry import REGISTRY
from altar.later.session import Options, Session, SyncSession
from tests.messages.conftest import Told


@pytest.fixture(scope="module", autouse=True)
def declared() -> Iterator[None]:
    before = REGISTRY.tools()

    @altar.tool
    def streamed(values: list[Any]) -> Iterator[int]:
        """Yield what was given, whatever was promised."""
        yield from values

    @altar.tool
    def streamed_texts(sizes: list[int]) -> Iterator[str]:
        """Yield texts of these sizes."""
        for size in sizes:
            yield "x" * size

    @altar.tool
    def fails_on_its_way() -> Iterator[int]:
        """Yield, and fail."""
        yield 1
        raise KeyError("secret")

    @altar.tool
    def circle(context: altar.ToolContext) -> str:
        """Call itself."""
        return str(context.sync.call("circle").unwrap())

    @altar.tool
    def deeper(depth: int, context: altar.ToolContext) -> str:
        """Call itself one deeper."""
        return str(context.sync.call("deeper", depth=depth + 1).unwrap())

    @altar.tool(calls=["deeper"])
    def bound(context: altar.ToolContext) -> str:
        """Call what it may not."""
        return str(context.sync.call("circle").unwrap())

    yield
    REGISTRY.clear()
    for tool in before:
        REGISTRY.register(tool)


def of_error(error: altar.AltarError) -> str:
    """An error as it is stored."""
    parts = {"code": error.code, "message": error.message, "hint": error.hint, "path": error.path, "ran": error.ran}
    return "".join(f"{name}: {value}\n" for name, value in parts.items() if value is not None)


def twice_read(session: SyncSession) -> None:
    stream = session.stream("streamed", values=[1])
    list(stream)
    list(stream)


def left_early(session: SyncSession) -> None:
    stream = session.stream("streamed", values=[1, 2, 3])
    for _ in stream:
        break
    stream.result.unwrap()


USES: dict[str, Callable[[SyncSession], object]] = {
    "stream_read_twice": twice_read,
    "stream_left_early": left_early,
    "stream_asked_for_its_result_too_early": lambda session: session.stream("streamed", values=[]).result,
    "stream_with_a_value_that_breaks_its_contract": lambda session: list(session.stream("streamed", values=[1, "2"])),
    "stream_with_an_oversized_value": lambda session: list(session.stream("streamed_texts", sizes=[MAX_MESSAGE_BYTES])),
    "stream_that_fails_on_its_way": lambda session: list(session.stream("fails_on_its_way")),
    "stream_collected_to_an_oversized_list": lambda session: session.call(
        "streamed_texts", sizes=[MAX_MESSAGE_BYTES // 2] * 3
    ).unwrap(),
    "tools_that_call_each_other_in_a_circle": lambda session: session.call("circle").unwrap(),
    "tools_that_call_each_other_too_deep": lambda session: session.call("deeper", depth=0).unwrap(),
    "tool_that_calls_what_its_contract_does_not_name": lambda session: session.call("bound").unwrap(),
    "batch_of_what_is_no_call": lambda session: session.batch(["streamed"]),  # type: ignore[list-item]  # the mistake
    "batch_of_no_concurrency": lambda session: session.batch([], concurrency=0),
}


@pytest.mark.parametrize("use", USES)
def test_a_wrong_use_is_answered_in_these_words(use: str, told: Told) -> None:
    with Session(Options()) as session, pytest.raises(altar.AltarError) as raised:
        USES[use](session)
    told(use, of_error(raised.value))


def test_a_context_after_its_call(told: Told) -> None:
    context = altar.testing.context()
    context.end()
    with pytest.raises(altar.AltarError) as raised:
        context.progress(1)
    told("context_after_its_call", of_error(raised.value))


def test_a_context_without_a_session(told: Told) -> None:
    with pytest.raises(altar.AltarError) as raised:
        _ = altar.testing.context("resize").sync
    told("context_without_a_session", of_error(raised.value))


@pytest.mark.parametrize("who", ["nobody_reads", "brings_nothing"])
def test_a_stream_on_a_grid_that_stands_still(told: Told, who: str) -> None:
    now = 0.0
    ended: list[Outcome] = []
    streams = HostStreams(limit=100, idle=60, end=lambda _, outcome: ended.append(outcome), clock=lambda: now)
    call = Invocation("streamed", b"{}", "c1", tag=1)
    streams.begin(call, 1, 100, lambda _: None)
    contract = HostContract(REGISTRY.find(Invocation("streamed", b"{}")).declaration)
    call.chunks.open(contract)
    call.chunks.sent_to(lambda chunks, size: None)
    call.chunks.window()
    if who == "nobody_reads":
        call.chunks.arrived(0, [b"1"])
    streams.sweep()
    now = 60.0
    streams.sweep()

    (outcome,) = ended
    assert outcome.error is not None
    told(f"stream_that_{who}", of_error(outcome.error))


def test_a_stream_on_a_grid_whose_values_are_not_those_that_were_sent(told: Told) -> None:
    chunks = Chunks()
    received = ReceivedStream(chunks, lambda chunks, size: None)
    chunks.open(REGISTRY.find(Invocation("streamed", b"{}")))
    received.window()
    received.arrived(0, [b"1"])

    error = chunks.close(Outcome(streamed=account_of([b"1", b"2"]))).error

    assert error is not None
    told("stream_that_lost_a_value", of_error(error))


@pytest.mark.parametrize(("index", "values", "what"), [(2, 1, "has_a_gap"), (0, 300, "came_without_being_granted")])
def test_a_stream_on_a_grid_that_breaks_the_protocol(told: Told, index: int, values: int, what: str) -> None:
    received = ReceivedStream(Chunks(), lambda chunks, size: None)
    received.window()

    with pytest.raises(altar.AltarError) as raised:
        received.arrived(index, [b"1"] * values)
    told(f"stream_that_{what}", of_error(raised.value))
