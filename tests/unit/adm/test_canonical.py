"""Strict reading, canonical writing, and the proof that bytes are canonical."""

from __future__ import annotations

import json
import math
import struct
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
import rfc8785
from hypothesis import example, given
from hypothesis import strategies as st

from altar.adm.canonical import canonical, digest, number_text, parse, parse_canonical
from altar.adm.errors import AltarError

SAFE = 2**53 - 1
finite = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | st.integers(-SAFE, SAFE) | finite | st.text()
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


class Colour(Enum):
    RED = "red"


@given(values)
@example({"\U0001f600": 1, "\ufb33": 2, "\ue000": 3})
@example([1e15, 1e16, 1e-3, 9.99e-4, 123456789012345.6, -0.0, 5e-324])
def test_the_canonical_form_is_rfc_8785_inside_53_bits(value: Any) -> None:
    assert rfc8785.dumps(value) == canonical(value)


@given(values)
@example([1e19, 1e20, 6.915770902140965e16])
def test_what_was_written_canonically_is_read_back_and_written_the_same(value: Any) -> None:
    data = canonical(value)

    assert parse(data) == parse_canonical(data)
    assert data == canonical(parse_canonical(data))


@given(st.floats(-SAFE, SAFE) | st.integers(-SAFE, SAFE) | st.text() | st.booleans() | st.none())
def test_a_value_inside_53_bits_comes_back_equal(value: Any) -> None:
    assert {"a": [value]} == parse_canonical(canonical({"a": [value]}))


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_within_int64_are_exact(value: int) -> None:
    assert str(value).encode() == canonical(value)
    assert [value] == parse_canonical(canonical([value]))


@given(finite)
def test_floats_are_written_as_the_oracle_writes_them(value: float) -> None:
    assert rfc8785.dumps(value).decode() == number_text(value)


@pytest.mark.parametrize(
    ("bits", "text"),
    [  # RFC 8785 appendix B
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("ffefffffffffffff", "-1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("c340000000000000", "-9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("44b52d02c7e14af7", "1.0000000000000001e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef4f", "999999999999999900000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("41b3de4355555554", "333333333.33333325"),
        ("41b3de4355555555", "333333333.3333333"),
        ("41b3de4355555556", "333333333.3333334"),
        ("41b3de4355555557", "333333333.33333343"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
        ("43143ff3c1cb0959", "1424953923781206.2"),
    ],
)
def test_the_numbers_of_the_rfc_are_written_as_it_prints_them(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))

    assert text == canonical(value).decode()


def test_members_are_sorted_by_utf_16_code_units_as_in_the_rfc() -> None:
    document = parse(
        r'{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh",'
        r'"1":"One","\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control",'
        r'"\u00f6":"Latin Small Letter O With Diaeresis"}'
    )

    names = list(json.loads(canonical(document)).keys())

    assert ["\r", "1", "\x80", "ö", "€", "\U0001f600", "\ufb33"] == names


def test_a_tuple_is_an_array_and_an_integral_float_an_integer() -> None:
    assert b'{"a":[1,2.5,[]]}' == canonical({"a": (1.0, 2.5, ())})


@pytest.mark.parametrize(
    ("value", "path", "category"),
    [
        (math.nan, "", "RANGE"),
        ({"a": [1, math.inf]}, "/a/1", "RANGE"),
        ({"a/b": 2**63}, "/a~1b", "RANGE"),
        (-(2**63) - 1, "", "RANGE"),
        ({1: 2}, "", "TYPE"),
        ({"a": {1, 2}}, "/a", "TYPE"),
        (b"bytes", "", "TYPE"),
        ([Decimal("1.5")], "/0", "TYPE"),
        ([UUID(int=1)], "/0", "TYPE"),
        ([Colour.RED], "/0", "TYPE"),
        (["ok", "\ud800"], "/1", "PARSE"),
        ({"\udc00": 1}, "", "PARSE"),
    ],
)
def test_what_json_cannot_hold_is_refused_with_its_place(value: Any, path: str, category: str) -> None:
    with pytest.raises(AltarError) as caught:
        canonical(value)

    assert ("SERIALIZATION_ERROR", path) == (caught.value.code, caught.value.path)
    assert category == caught.value.defects[0].category


def test_a_value_that_holds_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)

    with pytest.raises(AltarError, match="nested too deeply"):
        canonical(endless)


def test_the_depth_limit_is_the_same_for_writing_and_reading() -> None:
    deepest: Any = 1
    for _ in range(64):
        deepest = [deepest]

    assert deepest == parse(canonical(deepest))
    with pytest.raises(AltarError):
        canonical([deepest])
    with pytest.raises(AltarError):
        parse(b"[" + canonical(deepest) + b"]")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a":1,"a":1}', "given more than once"),
        ('{"a":{"b":1,"\\u0062":2}}', "given more than once"),
        ("NaN", "not a JSON number"),
        ("[-Infinity]", "not a JSON number"),
        ("1e400", "range of a double"),
        ("9" * 400, "range of a double"),
        ("1" * 100_000, "range of a double"),
        ('"\\ud800"', "lone surrogate"),
        ('{"\\udc00":1}', "lone surrogate"),
        ("\ud800", "lone surrogate"),
        (b'"\xff"', "not UTF-8"),
        (b'"\xed\xa0\x80"', "not UTF-8"),
        ("\ufeff1", "BOM"),
        ("[" * 100_000, "nested deeper"),
        ("[" * 65 + "]" * 65, "nested deeper"),
        ("[1,]", "line 1"),
        ("1 2", "line 1"),
        ("", "line 1"),
        ("01", "line 1"),
        ('"\t"', "line 1"),
    ],
)
def test_text_that_two_readers_could_understand_differently_is_refused(text: bytes | str, reason: str) -> None:
    with pytest.raises(AltarError, match=reason) as caught:
        parse(text)

    assert "MALFORMED_REQUEST" == caught.value.code
    assert (None, "PARSE") == (caught.value.defects[0].path, caught.value.defects[0].category)


def test_text_beyond_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(AltarError) as caught:
        parse("[1,2,3", max_bytes=5)

    assert "MESSAGE_TOO_LARGE" == caught.value.code


def test_an_integer_beyond_int64_stays_exact_unless_a_double_has_the_same_digits() -> None:
    assert 123456789012345678901234567890 == parse("123456789012345678901234567890")
    assert isinstance(parse("123456789012345678901234567890"), int)
    assert isinstance(parse("100000000000000000000"), float)
    assert isinstance(parse("9223372036854775808"), int)


@pytest.mark.parametrize(
    "data",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b"1.0",
        b"-0",
        b"1E3",
        b'"\\u0061"',
        b'{"a":1,"a":1}',
        b"[1",
        b"",
        b"NaN",
        b"18446744073709551615",
        b"1e+400",
        b'"\xff"',
    ],
)
def test_bytes_that_are_not_in_canonical_form_are_refused(data: bytes) -> None:
    with pytest.raises(AltarError) as caught:
        parse_canonical(data)

    assert "SERIALIZATION_ERROR" == caught.value.code


@given(st.binary(max_size=20) | st.text(max_size=20).map(lambda text: text.encode("utf-8", "replace")))
def test_bytes_are_either_canonical_or_refused(data: bytes) -> None:
    try:
        written = canonical(parse_canonical(data))
    except AltarError:
        written = data

    assert data == written


def test_a_digest_names_its_algorithm() -> None:
    assert "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" == digest(b"")


@pytest.mark.parametrize(
    "data",
    [b'{"a": 1}', b'{"b":1,"a":2}', b"[1.0]", b"[9223372036854775808, 1]", b"[1,]", b"[" * 65 + b"]" * 65],
)
def test_bytes_that_are_refused_are_not_read_a_second_time(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(*_: object, **__: object) -> None:
        pytest.fail("the strict reader, which is slow, was asked")

    monkeypatch.setattr(json, "loads", strict)

    with pytest.raises(AltarError, match="canonical"):
        parse_canonical(data)


def test_an_integral_float_beyond_int64_is_read_back_as_a_float() -> None:
    data = b'{"a":[10000000000000000000,{"b":18446744073709552000}],"c":true}'

    value: Any = parse_canonical(data)

    assert {"a": [1e19, {"b": 2.0**64}], "c": True} == value
    assert (float, bool) == (type(value["a"][0]), type(value["c"]))
