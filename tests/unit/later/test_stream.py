"""A stream gives values as they come, and holds each to the contract."""

from __future__ import annotations

import threading

import pytest

import altar
from altar.later.chunks import Chunks
from altar.later.invocation import MAX_MESSAGE_BYTES, Invocation, Outcome
from altar.later.session import Options, Session
from tests.unit.later.streaming import Noted, metadata, noted, read, read_here

__all__ = ["noted"]  # a fixture

BOTH = pytest.mark.parametrize("tool", ["count", "acount"])


@BOTH
async def test_the_values_come_in_order_and_the_result_has_their_digest(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.stream(tool, upto=40)
        values = [value async for value in stream]
        whole = await session.call(tool, upto=40)

    assert values == list(range(40)) == whole.content
    listed = "[" + ",".join(map(str, range(40))) + "]"
    assert stream.result.status == "SUCCESS"
    assert stream.result.content is None
    assert stream.result.metadata == metadata(listed, 40)


@BOTH
def test_without_a_loop_too(noted: Noted, tool: str) -> None:
    with Session(Options()) as session:
        stream = session.stream(tool, upto=40)
        values = list(stream)

    assert values == list(range(40))
    assert stream.result.metadata == metadata("[" + ",".join(map(str, range(40))) + "]", 40)


@BOTH
async def test_a_stream_of_nothing_ends_well(noted: Noted, tool: str) -> None:
    async with Session(Options()) as session:
        stream = session.stream(tool, upto=0)
        assert [value async for value in stream] == []
        assert (await session.call(tool, upto=0)).content == []

    assert stream.result.metadata == metadata("[]", 0)


@pytest.mark.parametrize(("tool", "value"), [("one", 1), ("aone", None)])
async def test_a_tool_that_does_not_stream_gives_one_value(noted: Noted, tool: str, value: object) -> None:
    async with Session(Options()) as session:
        stream = session.stream(tool)
        assert [each async for each in stream] == [value]

    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 1


@pytest.mark.parametrize(("tool", "value"), [("one", 1), ("aone", None)])
def test_without_a_loop_it_gives_one_value_too(noted: Noted, tool: str, value: object) -> None:
    with Session(Options()) as session:
        stream = session.stream(tool)
        assert list(stream) == [value]

    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 1


def test_a_plain_generator_runs_in_its_readers_thread_and_never_ahead(noted: Noted) -> None:
    with Session(Options()) as session:
        reader = iter(session.stream("count", upto=1000))
        assert noted.made == 0
        assert (next(reader), next(reader)) == (0, 1)

        assert noted.made == 2
        assert noted.thread == threading.get_ident()
        del reader
        assert noted.closed.is_set()


@BOTH
async def test_a_failure_comes_after_the_values_before_it(noted: Noted, tool: str) -> None:
    values: list[int] = []
    async with Session(Options()) as session:
        stream = session.stream(tool, upto=9, stop_at=3)
        with pytest.raises(altar.ExecutionError, match="The tool failed with ValueError") as failed:
            await read(stream, values)

    assert values == [0, 1, 2]
    assert (failed.value.code, failed.value.ran) == ("TOOL_EXECUTION_FAILED", "yes")
    assert stream.result.error is not None
    assert stream.result.error.type == "TOOL_EXECUTION_FAILED"
    assert stream.result.metadata == metadata("[0,1,2]", 3)


@BOTH
def test_a_failure_without_a_loop(noted: Noted, tool: str) -> None:
    values: list[int] = []
    with Session(Options()) as session:
        stream = session.stream(tool, upto=9, stop_at=3)
        with pytest.raises(altar.ExecutionError, match="ValueError"):
            read_here(stream, values)

    assert values == [0, 1, 2]
    assert stream.result.metadata == metadata("[0,1,2]", 3)


@pytest.mark.parametrize("tool", ["odd", "aodd"])
async def test_a_value_that_was_not_promised_is_never_given_out(noted: Noted, tool: str) -> None:
    values: list[int] = []
    async with Session(Options()) as session:
        stream = session.stream(tool, values=[1, 2, "three", 4])
        with pytest.raises(altar.AltarError) as broken:
            await read(stream, values)

    assert values == [1, 2]
    assert broken.value.ran == "yes"
    assert noted.closed.is_set()
    assert stream.result.metadata is not None
    assert stream.result.metadata["chunks"] == 2


async def test_each_value_is_held_against_the_contract_and_named_by_its_place(noted: Noted) -> None:
    class Promised:
        version, digest = "1.0.0", ""

        def check(self, arguments: bytes) -> None:
            """Anything."""

        def check_result(self, content: bytes) -> None:
            if content == b'["one"]':
                message = "The result's member `[0]/deep` is no number"
                raise altar.ValidationError("SCHEMA_VIOLATION", message, path="/0/deep", ran="yes")

        def check_beside(self, invocation: Invocation) -> None:
            """Anything."""

        def check_result_beside(self, outcome: Outcome) -> None:
            """Anything."""

    chunks = Chunks()
    chunks.open(Promised())
    chunks.note(b"0")

    with pytest.raises(altar.ValidationError, match=r"member `\[1\]/deep` is no number") as broken:
        chunks.note(b'"one"')
    assert (broken.value.path, broken.value.ran) == ("/1/deep", "yes")


async def test_a_value_larger_than_a_message_is_refused(noted: Noted) -> None:
    async with Session(Options()) as session:
        stream = session.stream("texts", sizes=[1, MAX_MESSAGE_BYTES - 1])
        with pytest.raises(altar.TransportError) as refused:
            async for _ in stream:
                pass

    assert (refused.value.code, refused.value.ran) == ("MESSAGE_TOO_LARGE", "yes")
    assert stream.result.metadata == metadata('["x"]', 1)


async def test_values_may_be_more_than_a_message_in_all(noted: Noted) -> None:
    size = MAX_MESSAGE_BYTES // 2
    async with Session(Options()) as session:
        lengths = [len(value) async for value in session.stream("texts", sizes=[size] * 3)]
        whole = await session.call("texts", sizes=[size] * 9)

    assert lengths == [size] * 3
    assert whole.error is not None
    assert (whole.error.type, whole.error.ran) == ("MESSAGE_TOO_LARGE", "yes")
    assert noted.made < 3 + 9
    assert noted.closed.is_set()


async def test_arguments_that_do_not_fit_fail_the_reading_before_anything_runs(noted: Noted) -> None:
    async with Session(Options()) as session:
        stream = session.stream("count", upto="many")
        with pytest.raises(altar.ValidationError) as refused:
            async for _ in stream:
                pass

    assert (refused.value.code, refused.value.ran) == ("INVALID_TOOL_ARGS", "no")
    assert noted.made == 0


def test_arguments_that_cannot_be_written_fail_the_reading(noted: Noted) -> None:
    with Session(Options()) as session:
        for name in ("count", "acount"):
            stream = session.stream(name, upto=object())
            with pytest.raises(altar.TransportError):
                list(stream)
            assert stream.result.error is not None
            assert stream.result.error.type == "SERIALIZATION_ERROR"


def test_an_unknown_tool_fails_the_reading(noted: Noted) -> None:
    with Session(Options()) as session, pytest.raises(altar.ValidationError, match="not in this session"):
        list(session.stream("cuont", upto=1))
