"""What a user is answered about streams, contexts and batches, word for word."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

import altar
import altar.testing
from altar.later.invocation import MAX_MESSAGE_BYTES
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


async def test_a_stream_from_a_grid(told: Told) -> None:
    from altar.later.asking import Asker
    from altar.later.stream import stream_invocation

    asker = Asker.of(Options(source="grid://127.0.0.1:7443"))
    with pytest.raises(altar.AltarError) as raised:
        stream_invocation(asker, "streamed", {})
    told("stream_from_a_grid", of_error(raised.value))
