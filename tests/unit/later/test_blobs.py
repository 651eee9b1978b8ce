"""Large bytes of calls and results in this process: beside the JSON, and the same for function and caller."""

from __future__ import annotations

import base64
import copy
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

import pytest
from pydantic import AfterValidator, Field

import altar
from altar.adm import blobs
from altar.adm.blobs import BLOB_BYTES, MAX_BLOBS, Blob
from altar.adm.canonical import canonical, digest
from altar.later.invocation import Invocation, Outcome
from altar.later.json_form import ARGUMENTS

LARGE = os.urandom(3 * BLOB_BYTES)
SMALL = b"small"


@dataclass
class Image:
    """A picture."""

    name: str
    data: bytes


def _even(data: bytes) -> bytes:
    if len(data) % 2:
        raise ValueError("must be even")
    return data


@altar.tool
def joined(first: bytes, second: bytes | None = None, *parts: bytes, times: float = 1.0) -> bytes:
    """Join bytes."""
    given = [first, second or b"", *parts]
    assert all(type(part) is bytes for part in given)
    assert type(times) is float
    return b"".join(given) * int(times)


@altar.tool
def judged(data: Annotated[bytes, Field(max_length=BLOB_BYTES), AfterValidator(_even)]) -> int:
    """Measure bytes that are even, and not too many."""
    return len(data)


@altar.tool
def renamed(image: Image, more: list[Image] | None = None) -> dict[str, Image]:
    """Name images anew."""
    assert type(image.data) is bytes
    return {each.name: Image(each.name.upper(), each.data) for each in [image, *(more or [])]}


@altar.tool
def anything(value: Any) -> Any:
    """Give back what came."""
    return value


@pytest.fixture
def session() -> Iterator[altar.SyncSession]:
    with altar.session([joined, judged, renamed, anything]) as opened:
        yield opened


# ------------------------------------------------------------------------------------------------ arguments and results


def test_large_bytes_arrive_as_bytes_and_are_given_back_as_bytes_and_as_text(session: altar.SyncSession) -> None:
    result = session.call("joined", first=LARGE)

    assert result.unwrap() == base64.b64encode(LARGE).decode()
    assert result.bytes_at() is result.blobs[""]
    assert result.bytes_at() == LARGE


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_whatever_holds_bytes_counts_as_bytes(session: altar.SyncSession, kind: type) -> None:
    assert session.call("joined", first=kind(LARGE)).bytes_at() == LARGE


def test_large_and_small_bytes_and_text_stand_side_by_side(session: altar.SyncSession) -> None:
    text = base64.b64encode(LARGE).decode()
    result = session.call("joined", first=LARGE, second=SMALL, parts=[LARGE, text, SMALL], times=2)

    assert result.bytes_at() == (LARGE + SMALL + LARGE + LARGE + SMALL) * 2


def test_nothing_is_beside_a_small_result(session: altar.SyncSession) -> None:
    result = session.call("joined", first=SMALL)

    assert result.blobs == {}
    assert result.bytes_at() == SMALL


def test_bytes_inside_of_models_travel_beside_in_both_directions(session: altar.SyncSession) -> None:
    result = session.call("renamed", image=Image("a/b", LARGE), more=[{"name": "c", "data": LARGE[::-1]}])

    assert result.error is None
    assert result.blobs == {"/a~1b/data": LARGE, "/c/data": LARGE[::-1]}
    assert result.bytes_at("/c/data") == LARGE[::-1]
    assert result.unwrap()["a/b"] == {"name": "A/B", "data": base64.b64encode(LARGE).decode()}


def test_bytes_where_the_contract_does_not_say_so_are_text_as_ever(session: altar.SyncSession) -> None:
    result = session.call("anything", value={"deep": [LARGE]})

    assert result.unwrap() == {"deep": [base64.b64encode(LARGE).decode()]}
    assert result.blobs == {}
    assert result.bytes_at("/deep/0") == LARGE


def test_what_looks_like_a_reference_is_data(session: altar.SyncSession) -> None:
    looks = Blob("", LARGE).reference

    assert session.call("anything", value=looks).unwrap() == looks
    assert session.call("anything", value=[LARGE, looks]).unwrap()[1] == looks
    error = session.call("joined", first=looks).error
    assert error is not None
    assert (error.type, error.field_path) == ("INVALID_TOOL_ARGS", "/first")


@pytest.mark.parametrize(("size", "why"), [(BLOB_BYTES + 2, "at most 4096"), (BLOB_BYTES, None)])
def test_a_type_of_the_users_own_judges_the_bytes_and_no_stand_in(
    session: altar.SyncSession, size: int, why: str | None
) -> None:
    result = session.call("judged", data=b"x" * size)

    if why is None:
        assert result.unwrap() == size
    else:
        assert result.error is not None
        assert result.error.type == "INVALID_TOOL_ARGS"
        assert result.error.field_path == "/data"


def test_bytes_in_a_set_or_a_key_are_text() -> None:
    written, large = ARGUMENTS.write_beside({"set": {LARGE}, "keys": {LARGE: 1}, "plain": LARGE})

    assert [blob.path for blob in large] == ["/plain"]
    assert written.count(base64.b64encode(LARGE)) == 2


def test_no_more_bytes_are_beside_than_one_value_may_have() -> None:
    written, large = ARGUMENTS.write_beside([b"x" * BLOB_BYTES] * (MAX_BLOBS + 1))

    assert len(large) == MAX_BLOBS
    assert written.count(base64.b64encode(b"x" * BLOB_BYTES)) == 1


def test_the_limit_counts_what_is_beside(session: altar.SyncSession) -> None:
    many = session.call("joined", first=b"x" * (4 * 1024 * 1024))
    twice = session.call("joined", first=b"x" * (3 * 1024 * 1024), times=2)

    assert many.error is not None
    assert twice.error is not None
    assert (many.error.type, many.error.ran) == ("MESSAGE_TOO_LARGE", "no")
    assert (twice.error.type, twice.error.ran) == ("MESSAGE_TOO_LARGE", "yes")
    assert "4194" in many.error.message
    assert "6291" in twice.error.message


async def test_a_stream_of_one_value_gives_it_as_text() -> None:
    async with altar.session([joined]) as opened:
        stream = opened.stream("joined", first=LARGE)
        values = [value async for value in stream]

    text = base64.b64encode(LARGE).decode()
    assert values == [text]
    assert stream.result.metadata is not None
    assert stream.result.metadata["digest"] == digest(canonical([text]))


def test_a_result_under_an_idempotency_key_is_given_again_with_its_bytes(session: altar.SyncSession) -> None:
    keyed = session.options(idempotency_key="once")

    first, again = keyed.call("joined", first=LARGE), keyed.call("joined", first=LARGE)
    other = keyed.call("joined", first=LARGE[::-1])

    assert again.metadata == {"replayed": True}
    assert first.bytes_at() == again.bytes_at() == LARGE
    assert other.error is not None
    assert other.error.type == "IDEMPOTENCY_CONFLICT"


# ----------------------------------------------------------------------------------------------------------- the record


def test_the_record_commits_to_the_bytes() -> None:
    call = _call("joined", {"first": LARGE})

    joined.check_beside(call)

    assert call.blobs == (Blob("/first", LARGE),)
    assert call.arguments == b'{"first":{"$blob":"%s","size":%d}}' % (digest(LARGE).encode(), len(LARGE))
    assert call.size == len(call.arguments) + len(LARGE) + len("/first")
    assert call.text == canonical({"first": base64.b64encode(LARGE).decode()})


def test_the_record_of_what_is_no_bytes_by_contract_has_the_text() -> None:
    call = _call("anything", {"value": [LARGE, 1e21]})

    anything.check_beside(call)

    assert call.blobs is None
    assert call.arguments == canonical({"value": [base64.b64encode(LARGE).decode(), 1e21]})


def test_a_result_that_is_not_what_it_refers_to_is_not_passed_on() -> None:
    wrong = Outcome(canonical(Blob("", LARGE).reference), blobs=(Blob("", LARGE[::-1]),))

    with pytest.raises(altar.TransportError) as broken:
        joined.check_result_beside(wrong)

    assert (broken.value.code, broken.value.ran) == ("PROTOCOL_VIOLATION", "yes")


def test_a_result_with_blobs_is_held_against_what_was_promised() -> None:
    wrong = Outcome(canonical({"a": {"name": 1, "data": Blob("", LARGE).reference}}), blobs=(Blob("/a/data", LARGE),))

    with pytest.raises(altar.ValidationError) as broken:
        renamed.check_result_beside(wrong)

    assert (broken.value.code, broken.value.path, broken.value.ran) == ("SCHEMA_VIOLATION", "/a/name", "yes")


def _call(tool: str, arguments: dict[str, Any]) -> Invocation:
    """An invocation as a session makes it."""
    written, large = ARGUMENTS.write_beside(arguments)
    return Invocation(tool, written, blobs=large)


# ---------------------------------------------------------------------------------------------------------- the result


def test_text_is_made_once_and_only_for_who_asks(session: altar.SyncSession, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def text(data: bytes) -> str:
        made.append(len(data))
        return "text"

    monkeypatch.setattr(blobs, "base64_text", text)

    result = session.call("joined", first=LARGE)
    taken = result.bytes_at()
    before = list(made)
    told = [result.unwrap(), result.content, result.text]

    assert taken == LARGE
    assert before == []
    assert (told, made) == (["text"] * 3, [len(LARGE)])


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one)), replace])
def test_a_result_with_bytes_is_a_value_like_any_other(
    session: altar.SyncSession, again: Callable[[altar.ToolResult], altar.ToolResult]
) -> None:
    result = session.call("joined", first=LARGE)
    content = base64.b64encode(LARGE).decode()

    same = again(result)

    assert same == result == altar.ToolResult(result.call_id, "joined", altar.ResultStatus.SUCCESS, content)
    assert same.bytes_at() == LARGE
    assert same.to_adm()["content"] == content
    assert not hasattr(same, "anything_else")


def test_the_bytes_of_what_failed_are_its_error(session: altar.SyncSession) -> None:
    with pytest.raises(altar.ValidationError):
        session.call("joined", first=1).bytes_at()
