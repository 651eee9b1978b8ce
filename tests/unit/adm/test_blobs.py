"""Large bytes beside JSON: references, the places where they may stand, and what is refused."""

from __future__ import annotations

import base64
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.adm.blobs import (
    BLOB_BYTES,
    MAX_BLOBS,
    Beside,
    Blob,
    Places,
    base64_text,
    bytes_in,
    bytes_of,
    result_beside,
    size_beside,
    size_with_text,
    with_text,
)
from altar.adm.canonical import canonical
from altar.adm.errors import TransportError, ValidationError
from altar.adm.schema import Schema

BYTES: dict[str, Any] = {"type": "string", "contentEncoding": "base64"}
IMAGE = Blob("/image", b"\x00\xff" * 5000)


def places(schema: dict[str, Any]) -> Places:
    found = Places.of(Schema(schema))
    assert found is not None
    return found


def of_object(**members: Any) -> dict[str, Any]:
    return {"type": "object", "properties": members}


# --------------------------------------------------------------------------------------------------------- what is told


@given(st.binary(max_size=64))
def test_text_and_bytes_are_each_others_only_form(data: bytes) -> None:
    text = base64_text(data)

    assert text == base64.b64encode(data).decode()
    assert bytes_of(text) == data


@pytest.mark.parametrize("text", ["A", "A===", "AA=", "AAA", "AA\n==", "A-==", "QR==", "QQA=B", "é===", "QQ==QQ=="])
def test_another_spelling_of_bytes_is_not_taken_for_them(text: str) -> None:
    assert bytes_of(text) is None


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_text_put_back_is_what_the_json_would_have_been(parts: list[bytes]) -> None:
    blobs = [Blob(f"/parts/{index}", part) for index, part in enumerate(parts)]
    value: dict[str, Any] = {"parts": [blob.reference for blob in blobs], "n": 1}

    written = with_text(canonical(value), blobs)

    assert written == canonical({"parts": [base64_text(part) for part in parts], "n": 1})
    assert written == canonical(Beside(value, blobs).as_text())


@given(st.binary(min_size=1, max_size=100))
def test_the_size_with_text_is_foretold(data: bytes) -> None:
    blob = Blob("/~1", data)
    text = canonical({"/": blob.reference})

    assert size_with_text(text, [blob]) == len(with_text(text, [blob]))
    assert size_beside([blob]) == len(data) + 3


def test_a_whole_value_is_a_blob_with_an_empty_pointer() -> None:
    blob = Blob("", b"all of it")

    assert Beside(blob.reference, [blob]).as_bytes() == b"all of it"
    assert with_text(canonical(blob.reference), [blob]) == b'"%s"' % base64.b64encode(b"all of it")


def test_a_value_is_given_bare_with_bytes_and_with_references_in_turn() -> None:
    beside = Beside({"image": IMAGE.reference, "n": 1}, [IMAGE])

    assert beside.bare() == {"image": "", "n": 1}
    assert beside.as_bytes() == {"image": IMAGE.data, "n": 1}
    assert orjson.loads(beside.written()) == {"image": IMAGE.reference, "n": 1}
    assert beside.blobs == (IMAGE,)


def test_a_blob_never_shows_its_bytes() -> None:
    assert repr(Blob("/a", b"secret")) == "Blob('/a', 6 bytes)"


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("value", "blob", "why"),
    [
        ({"image": {**IMAGE.reference, "size": 9999}}, IMAGE, "its reference says 9999"),
        ({"image": {**IMAGE.reference, "size": True}}, Blob("/image", b"x"), "something else"),
        ({"image": {**IMAGE.reference, "more": 1}}, IMAGE, "does not refer to one"),
        ({"image": IMAGE.reference}, Blob("/image", IMAGE.data[:-1] + b"!"), "does not have the SHA-256"),
        ({"image": "text"}, IMAGE, "does not refer to one"),
        ({"image": None}, IMAGE, "does not refer to one"),
        ({}, IMAGE, "not there"),
        ([], Blob("/0", b""), "not there"),
        ([IMAGE.reference], Blob("/00", IMAGE.data), "not there"),
        ([IMAGE.reference], Blob("/-1", IMAGE.data), "not there"),
        ([IMAGE.reference], Blob("/²", IMAGE.data), "not there"),
        ({"image": IMAGE.reference}, Blob("image", IMAGE.data), "no JSON Pointer"),
        ({"image": IMAGE.reference}, Blob("/image/$blob", IMAGE.data), "does not refer to one"),
    ],
)
def test_a_blob_that_is_not_what_its_place_refers_to_is_refused(value: Any, blob: Blob, why: str) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        Beside(value, [blob])

    assert (refused.value.code, refused.value.path, refused.value.ran) == ("MALFORMED_REQUEST", blob.path, "no")


def test_two_blobs_for_one_place_are_one_too_many() -> None:
    with pytest.raises(ValidationError, match="does not refer to one"):
        Beside({"image": IMAGE.reference}, [IMAGE, IMAGE])


def test_more_blobs_than_a_value_may_have_are_refused_before_they_are_looked_at() -> None:
    with pytest.raises(ValidationError, match=f"the limit is {MAX_BLOBS}"):
        Beside({}, [IMAGE] * (MAX_BLOBS + 1))


def test_a_result_with_a_wrong_blob_breaks_the_protocol_and_ran() -> None:
    with pytest.raises(TransportError) as broken:
        result_beside("", [Blob("", b"x")])

    assert (broken.value.code, broken.value.ran) == ("PROTOCOL_VIOLATION", "yes")


# ------------------------------------------------------------------------------------------------- where they may stand


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (BYTES, ""),
        (of_object(a=BYTES), "/a"),
        (of_object(a={**BYTES, "description": "an image", "contentMediaType": "image/png"}), "/a"),
        (of_object(a={"anyOf": [BYTES, {"type": "null"}], "default": None}), "/a"),
        (of_object(a={"type": ["string", "null"], "contentEncoding": "base64"}), "/a"),
        (of_object(a={"type": "array", "items": BYTES}), "/a/7"),
        ({"type": "array", "prefixItems": [{"type": "integer"}, BYTES]}, "/1"),
        ({"type": "object", "additionalProperties": BYTES}, "/a~1b"),
        ({"$defs": {"M": of_object(d=BYTES)}, "type": "array", "items": {"$ref": "#/$defs/M"}}, "/0/d"),
        (
            {"$defs": {"T": of_object(d=BYTES, next={"$ref": "#/$defs/T"})}, "$ref": "#/$defs/T"},
            "/next/next/next/d",
        ),
    ],
)
def test_a_blob_may_stand_where_the_schema_says_bytes(schema: dict[str, Any], path: str) -> None:
    assert places(schema).admits(path)


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        (of_object(a=BYTES), ""),
        (of_object(a=BYTES), "/b"),
        (of_object(a=BYTES), "/a/0"),
        (of_object(a={**BYTES, "maxLength": 10_000}), "/a"),
        (of_object(a={**BYTES, "pattern": "^A"}), "/a"),
        (of_object(a={**BYTES, "enum": ["QQ=="]}), "/a"),
        (of_object(a={"type": "string", "contentEncoding": "base32"}), "/a"),
        (of_object(a={"anyOf": [BYTES, {"type": "object"}]}), "/a"),
        (of_object(a={"anyOf": [BYTES, {"type": "string"}]}), "/a"),
        (of_object(a={"allOf": [BYTES]}), "/a"),
        (of_object(a={"type": "array", "items": BYTES, "uniqueItems": True}), "/a/0"),
        (of_object(a={"type": "array", "items": BYTES, "contains": {"minLength": 3}}), "/a/0"),
        (of_object(a={"type": "array", "items": BYTES}), "/a/x"),
        ({"type": "array", "prefixItems": [BYTES]}, "/1"),
        ({"type": "object", "patternProperties": {"a": {}}, "properties": {"a": BYTES}}, "/a"),
        ({"$defs": {"a/b": BYTES, "x": BYTES}, "properties": {"a": {"$ref": "#/$defs/a~1b"}}, "type": "object"}, "/a"),
        ({"$id": "https://example.org/x", "type": "object", "properties": {"a": BYTES}}, "/a"),
    ],
)
def test_a_blob_may_not_stand_where_anything_else_is_said(schema: dict[str, Any], path: str) -> None:
    assert not places(schema).admits(path)


def test_a_schema_without_bytes_has_no_places() -> None:
    assert Places.of(Schema(of_object(a={"type": "string"}))) is None
    assert Places.of(None) is None


def test_a_blob_in_another_place_becomes_text_and_the_others_stay() -> None:
    other = Blob("/other", b"anything")
    beside = Beside({"image": IMAGE.reference, "other": other.reference}, [IMAGE, other])

    assert beside.settle(places(of_object(image=BYTES, other={"type": "string"})))
    assert beside.blobs == (IMAGE,)
    assert orjson.loads(beside.written()) == {"image": IMAGE.reference, "other": base64_text(b"anything")}


def test_without_places_every_blob_becomes_text() -> None:
    beside = Beside({"image": IMAGE.reference}, [IMAGE])

    assert beside.settle(None)
    assert beside.blobs == ()
    assert beside.bare() == {"image": base64_text(IMAGE.data)}


# ------------------------------------------------------------------------------------------------------------ taken out


def test_large_bytes_are_taken_out_of_text_and_small_ones_and_others_are_left() -> None:
    large, small = base64_text(IMAGE.data), base64_text(b"x" * (BLOB_BYTES - 1))
    odd = large[:-2] + "R="  # no base64 text of anything
    known = places(of_object(a=BYTES, b=BYTES, c={"type": "string"}, d={"type": "array", "items": BYTES}, e=BYTES))

    value, blobs = known.take_out({"a": large, "b": small, "c": large, "d": ["", large], "e": odd})

    assert [blob.path for blob in blobs] == ["/a", "/d/1"]
    assert value == {"a": blobs[0].reference, "b": small, "c": large, "d": ["", blobs[1].reference], "e": odd}
    assert {blob.data for blob in blobs} == {IMAGE.data}


@given(st.dictionaries(st.text(max_size=3), st.tuples(st.binary(max_size=4), st.integers(-2, 2)), max_size=4))
def test_what_is_taken_out_can_be_put_back(drawn: dict[str, tuple[bytes, int]]) -> None:
    members = {name: data.ljust(BLOB_BYTES + more, b"\xfe") for name, (data, more) in drawn.items()}
    written = canonical({name: base64_text(data) for name, data in members.items()})

    value, blobs = places({"type": "object", "additionalProperties": BYTES}).take_out(orjson.loads(written))

    assert len(blobs) == sum(len(data) >= BLOB_BYTES for data in members.values())
    assert with_text(canonical(value), blobs) == written


def test_no_more_is_taken_out_than_one_value_may_have() -> None:
    many = [base64_text(b"x" * BLOB_BYTES)] * (MAX_BLOBS + 1)

    value, blobs = places({"type": "array", "items": BYTES}).take_out(many)

    assert len(blobs) == MAX_BLOBS
    assert value[-1] == base64_text(b"x" * BLOB_BYTES)


# ----------------------------------------------------------------------------------------------------- read by a caller


@pytest.mark.parametrize("text", ["-_8=", "+/8=", "-_8", "+/8"])
def test_bytes_are_read_in_any_spelling(text: str) -> None:
    assert bytes_in({"a": [text]}, "/a/0") == b"\xfb\xff"


@pytest.mark.parametrize(("value", "path"), [({"a": 1}, "/a"), ({"a": "*"}, "/a"), ({}, "/a"), ("QQ==", "/0")])
def test_what_is_no_bytes_is_said_to_be_none(value: Any, path: str) -> None:
    with pytest.raises(ValidationError) as refused:
        bytes_in(value, path)

    assert (refused.value.code, refused.value.path) == ("MALFORMED_REQUEST", path)
