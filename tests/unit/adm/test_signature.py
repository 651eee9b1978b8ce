"""Signatures: what a model needs to write a call, in one bounded line."""

from __future__ import annotations

from typing import Any

import pytest

from altar.adm.signature import MAX_SIGNATURE, Targets, signature_of

CAT: dict[str, Any] = {"type": "object", "properties": {"kind": {"const": "cat"}, "lives": {"type": "integer"}}}
DOG: dict[str, Any] = {"type": "object", "properties": {"kind": {"const": "dog"}}, "required": ["kind"]}


def signature(schema: Any, **definitions: Any) -> str:
    """The signature of a function with one required parameter."""
    return signature_of("f", {"type": "object", "properties": {"p": schema}, "required": ["p"], "$defs": definitions})


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "date-time"}, "f(p: string<date-time>)"),
        ({"type": "string", "contentEncoding": "base64"}, "f(p: string<base64>)"),
        ({"type": "string", "format": "a b\n"}, "f(p: string)"),
        (
            {"type": "array", "items": {"anyOf": [{"$ref": "#/$defs/Cat"}, {"$ref": "#/$defs/Dog"}]}},
            'f(p: ({kind?: "cat", lives?: integer} | {kind: "dog"})[])',
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}, {"type": "string"}], "minItems": 1, "maxItems": 2},
            "f(p: [integer, string?])",
        ),
        (
            {"type": "array", "prefixItems": [{"type": "integer"}], "minItems": 1, "items": {"enum": [1, 2]}},
            "f(p: [integer, ...(1 | 2)[]])",
        ),
        ({"type": "array", "prefixItems": [{"type": "null"}], "items": False}, "f(p: [null?])"),
        ({"enum": list(range(13))}, f"f(p: {' | '.join(map(str, range(12)))} | …)"),
        ({"const": "x" * 100}, f'f(p: "{"x" * 59}…)'),
        ({"properties": {"a b": True}}, 'f(p: {"a b"?: any})'),
    ],
)
def test_the_signature_shows_what_a_value_must_look_like(schema: dict[str, Any], expected: str) -> None:
    assert expected == signature(schema, Cat=CAT, Dog=DOG)


def test_a_type_that_holds_itself_is_shown_once() -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#/$defs/Tree"}}}}

    assert "f(p: {kids?: object[]})" == signature({"$ref": "#/$defs/Tree"}, Tree=tree)


@pytest.mark.parametrize(
    ("reference", "definition"),
    [
        ("#/$defs/a~1b", {"type": "integer"}),
        ("#%2F%24defs%2Fa~1b", {"type": "integer"}),
        ("#here", {"$anchor": "here", "type": "integer"}),
        ("https://example.org/int", {"$id": "https://example.org/int", "type": "integer"}),
        (
            "https://example.org/all#in",
            {"$id": "https://example.org/all", "allOf": [{"$anchor": "in", "type": "integer"}]},
        ),
        ("https://example.org/all#/$defs/in", {"$id": "https://example.org/all", "$defs": {"in": {"type": "integer"}}}),
    ],
)
def test_a_reference_is_followed_by_path_anchor_or_address(reference: str, definition: dict[str, Any]) -> None:
    assert "f(p: integer)" == signature({"$ref": reference}, **{"a/b": definition})


def test_a_reference_is_read_from_where_it_stands() -> None:
    inner = {"$id": "https://example.org/inner", "$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}

    assert "f(p: boolean)" == signature({"$ref": "#/$defs/inner"}, inner=inner, x={"type": "string"})


def test_a_signature_that_would_be_too_long_shows_less_of_its_objects() -> None:
    wide = {"type": "object", "properties": {f"member_{index:03}": CAT for index in range(100)}}

    text = signature(wide)

    assert "f(p: {member_000?: {kind?: " == text[:27]
    assert ", …})" == text[-5:]
    assert len(text) <= MAX_SIGNATURE


def test_parameters_that_have_no_room_are_left_out_at_the_end() -> None:
    properties = {f"parameter_{index:03}": {"type": "string"} for index in range(200)}

    text = signature_of("f", {"properties": properties, "required": ["parameter_150"]})

    assert "f(parameter_150: string, parameter_000?: string, " == text[:49]
    assert ", …)" == text[-4:]
    assert len(text) <= MAX_SIGNATURE


def test_forms_that_multiply_are_not_all_written() -> None:
    steps = {
        f"s{index}": {"anyOf": [{"type": "array", "items": {"$ref": f"#/$defs/s{index + 1}"}}] * 100}
        for index in range(8)
    }

    text = signature({"$ref": "#/$defs/s0"}, **steps, s8={"type": "string"})

    assert len(text) <= MAX_SIGNATURE


def test_what_no_reference_names_is_an_empty_schema() -> None:
    targets = Targets({"$defs": {"a": [1]}})

    assert [{}, {}, {}] == [targets.of({"$ref": to}) for to in ("#/$defs/b", "#nowhere", "https://example.org/")]
    assert {} == targets.at(["$defs", "a", 1])
