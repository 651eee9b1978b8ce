"""Schemas: what is refused when declared, what is checked when used, and the two spellings."""

from __future__ import annotations

import copy
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from altar.adm.errors import AltarError, DeclarationError, ValidationError
from altar.adm.schema import Schema
from altar.adm.vocabulary import MAX_SCHEMA_BYTES

PERSON: dict[str, Any] = {
    "type": "OBJECT",
    "properties": {
        "name": {"type": "STRING", "minLength": 1},
        "age": {"type": ["INTEGER", "NULL"], "minimum": 0},
        "tags": {"type": "ARRAY", "items": {"type": "STRING", "enum": ["OBJECT", "x"]}},
        "best": {"$ref": "#/$defs/Friend"},
        "type": {"anyOf": [{"type": "STRING"}, {"const": {"type": "STRING"}}]},
    },
    "required": ["name"],
    "$defs": {"Friend": {"type": "OBJECT", "properties": {"best": {"$ref": "#/$defs/Friend"}}}},
}

leaves = st.sampled_from(
    [
        {"type": "string"},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "integer", "minimum": -3, "maximum": 3},
        {"type": "number"},
        {"type": ["boolean", "null"]},
        {"const": {"type": "object"}},
        {},
    ]
)
schemas = st.recursive(
    leaves,
    lambda inner: (
        inner.map(lambda items: {"type": "array", "items": items})
        | st.dictionaries(st.sampled_from("abc"), inner, max_size=3).map(
            lambda properties: {
                "type": "object",
                "properties": properties,
                "required": sorted(properties)[:1],
            }
        )
        | st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
    ),
    max_leaves=6,
)
scalars = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-5, 5) | st.sampled_from("abc")
instances = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)


@given(schemas)
def test_a_round_trip_through_adm_keeps_the_schema(document: dict[str, Any]) -> None:
    schema = Schema.from_json_schema(document)

    again = Schema.from_adm(schema.to_adm())

    assert schema == again
    assert document == again.json_schema


@given(schemas, instances)
def test_check_agrees_with_json_schema(document: dict[str, Any], value: Any) -> None:
    schema = Schema.from_json_schema(document)

    expected = jsonschema_rs.Draft202012Validator(document).is_valid(value)

    assert expected == schema.accepts(value)
    assert expected == (schema.defects(value) == [])


def test_type_names_are_upper_case_in_adm_and_payload_is_left_alone() -> None:
    schema = Schema.from_adm(PERSON)

    assert PERSON == schema.to_adm()
    assert ["integer", "null"] == schema.json_schema["properties"]["age"]["type"]
    assert ["OBJECT", "x"] == schema.json_schema["properties"]["tags"]["items"]["enum"]
    assert {"type": "STRING"} == schema.json_schema["properties"]["type"]["anyOf"][1]["const"]


def test_a_schema_keeps_its_own_document() -> None:
    document = copy.deepcopy(PERSON)
    schema = Schema.from_adm(document)

    document["properties"]["name"]["type"] = "INTEGER"
    schema.json_schema["properties"].clear()

    assert PERSON == schema.to_adm()


def test_schemas_with_the_same_canonical_document_are_equal() -> None:
    one = Schema.from_adm({"type": "NUMBER", "minimum": 1})
    other = Schema.from_json_schema({"minimum": 1.0, "type": "number"})

    assert one == other
    assert hash(one) == hash(other)
    assert one != Schema.from_adm({"type": "NUMBER"})
    assert one == copy.deepcopy(one)


def test_an_error_names_the_first_defect_and_how_many_more_there_are() -> None:
    schema = Schema.from_adm(PERSON)

    with pytest.raises(ValidationError) as caught:
        schema.check({"age": "7", "tags": ["x", "y"]}, at="/args", code="SCHEMA_VIOLATION")

    error = caught.value
    assert ("SCHEMA_VIOLATION", "/args/name") == (error.code, error.path)
    assert "The value at `name` is missing (and 2 more)" == error.message
    assert ["/args/name", "/args/age", "/args/tags/1"] == [defect.path for defect in error.defects]


@pytest.mark.parametrize(
    ("document", "value", "message"),
    [
        ({"type": "integer"}, "3", "The value must be an integer, not a string"),
        ({"type": "integer"}, 2.5, "The value must be an integer, not the fraction 2.5"),
        ({"type": "integer"}, True, "The value must be an integer, not a boolean"),
        ({"type": "integer"}, 2**63, "The value must be an integer of at most 64 bits"),
        ({"type": ["string", "null"]}, 3, "The value must be null or a string, not a number"),
        ({"enum": ["c", "f"]}, "k", "The value is 'k' but must be one of 'c', 'f'"),
        ({"enum": [True, None]}, "k", "The value is 'k' but must be one of true, null"),
        ({"const": 1}, 2, "The value is 2 but must be 1"),
        ({"minimum": 3}, 2, "The value is 2 but must be at least 3"),
        ({"exclusiveMaximum": 3}, 3, "The value is 3 but must be less than 3"),
        ({"multipleOf": 2}, 3, "The value is 3 but must be a multiple of 2"),
        ({"minLength": 3}, "ab", "The value has 2 characters but must have at least 3"),
        ({"maxItems": 1}, [1, 2], "The value has 2 items but must have at most 1"),
        ({"minProperties": 1}, {}, "The value has 0 members but must have at least 1"),
        ({"pattern": "^a"}, "b", "The value is 'b' but must match the pattern '^a'"),
        ({"uniqueItems": True}, [1, 1], "The value must not hold the same item twice"),
        ({"not": {}}, 1, "The value has a form that is excluded"),
        ({"items": False}, [1], "The value at `[0]` is not allowed here"),
        ({"contains": {"const": 1}}, [2], "The value does not hold the items that it must hold"),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}, "The value has a member whose name is not allowed"),
        ({"dependentRequired": {"a": ["b"]}}, {"a": 1}, "The value at `b` is missing"),
        (
            {"properties": {"a": {"items": {"properties": {"b": {"type": "null"}}}}}},
            {"a": [{"b": 1}]},
            "The value at `a[0].b` must be null, not a number",
        ),
        (
            {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "x",
            "The value must be an integer or null, not a string",
        ),
        (
            {"anyOf": [{"type": "integer", "maximum": 3}, {"type": "null"}]},
            7,
            "The value is 7 but must be at most 3",
        ),
        ({"anyOf": [{"const": "a"}, {"const": "b"}]}, "c", "The value is 'c' but must be 'a' or 'b'"),
        (
            {"oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
            {},
            "The value fits none of 2 forms: The value at `a` is missing; or The value at `b` is missing",
        ),
        (
            {"oneOf": [{"type": "integer"}, {"type": "number"}]},
            1,
            "The value fits more than one of the forms of which it may have one",
        ),
        (
            {"properties": {"unit": {}}, "additionalProperties": False},
            {"unti": 1},
            "The value at `unti` is not declared; did you mean `unit`?",
        ),
        (
            {"type": "number"},
            float("nan"),
            "The value cannot be written as JSON: it is or holds nan, which JSON cannot hold",
        ),
        (
            {"properties": {"a": {"type": "string"}}},
            {"a": {1}},
            "The value at /a cannot be written as JSON: it is or holds a set, which is not a JSON value",
        ),
    ],
)
def test_the_message_says_what_to_do(document: dict[str, Any], value: Any, message: str) -> None:
    (first, *_) = Schema.from_json_schema(document).defects(value)

    assert message == first.message


def test_a_long_value_is_cut_in_messages() -> None:
    (defect,) = Schema.from_json_schema({"enum": ["a"]}).defects("x" * 5000)

    assert len(defect.message) < 120


def test_a_value_nested_beyond_any_limit_is_refused_and_nothing_breaks() -> None:
    deep: Any = 1
    for _ in range(100_000):
        deep = [deep]
    schema = Schema.from_adm({"$ref": "#/$defs/N", "$defs": {"N": {"type": "ARRAY", "items": {"$ref": "#/$defs/N"}}}})

    assert not schema.accepts(deep)
    assert schema.defects(deep)


def test_alternatives_that_refer_to_themselves_are_not_explained_level_by_level() -> None:
    branch = {"type": "ARRAY", "items": {"$ref": "#/$defs/N"}, "minItems": 1}
    schema = Schema.from_adm({"$ref": "#/$defs/N", "$defs": {"N": {"anyOf": [branch, branch]}}})
    deep: Any = "x"
    for _ in range(60):
        deep = [deep]

    (defect,) = schema.defects(deep)

    assert "The value cannot be what the schema asks for, at a place deep inside" == defect.message


def test_a_chain_is_explained_to_its_end_however_long() -> None:
    node = {
        "type": "OBJECT",
        "properties": {
            "v": {"type": "INTEGER"},
            "next": {"anyOf": [{"$ref": "#/$defs/N"}, {"type": "NULL"}]},
        },
    }
    schema = Schema.from_adm({"$ref": "#/$defs/N", "$defs": {"N": node}})
    chain: Any = {"v": "x", "next": None}
    for _ in range(40):
        chain = {"v": 1, "next": chain}

    (defect,) = schema.defects(chain)

    assert "/next" * 40 + "/v" == defect.path


def test_combinations_that_multiply_at_one_place_are_refused() -> None:
    definitions: dict[str, Any] = {
        f"n{level}": {"allOf": [{"$ref": f"#/$defs/n{level + 1}"}] * 2} for level in range(20)
    }
    definitions["n20"] = {}

    with pytest.raises(DeclarationError, match="combines too many"):
        Schema.from_adm({"$ref": "#/$defs/n0", "$defs": definitions})


def test_a_schema_beyond_the_limits_is_refused() -> None:
    with pytest.raises(DeclarationError, match="limit is"):
        Schema.from_adm({"type": "STRING", "description": "x" * MAX_SCHEMA_BYTES})
    with pytest.raises(DeclarationError, match="10000 subschemas"):
        Schema.from_adm({"anyOf": [{"const": index} for index in range(10_000)]})


def test_a_document_that_holds_itself_is_refused() -> None:
    document: dict[str, Any] = {"type": "ARRAY"}
    document["items"] = document

    with pytest.raises(DeclarationError):
        Schema.from_adm(document)


def test_a_document_with_what_is_not_json_is_refused_with_its_place() -> None:
    with pytest.raises(DeclarationError) as caught:
        Schema.from_json_schema({"properties": {"a": {"default": {1, 2}}}})

    assert "/properties/a/default" == caught.value.path


def test_the_dialect_is_read_and_forgotten_because_the_form_inside_is_2020_12() -> None:
    schema = Schema.from_json_schema({"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"})

    assert {"type": "string"} == schema.json_schema


def test_nullable_is_written_as_a_type() -> None:
    schema = Schema.from_adm({"type": "STRING", "enum": ["a"], "nullable": True})

    assert {"type": ["STRING", "NULL"], "enum": ["a", None]} == schema.to_adm()
    assert Schema.from_adm({"type": "STRING"}) == Schema.from_adm({"type": "STRING", "nullable": False})


@pytest.mark.parametrize(
    ("document", "word"),
    [
        ({"type": "object", "properties": {}}, "additionalProperties"),
        ({"type": "object", "properties": {}, "allOf": [{"properties": {"a": {}}}]}, "unevaluatedProperties"),
    ],
)
def test_a_closed_schema_refuses_what_is_not_declared(document: dict[str, Any], word: str) -> None:
    closed = Schema.from_json_schema(document).closed()

    assert closed.json_schema[word] is False
    assert not closed.accepts({"b": 1})
    assert closed.accepts({"a": 1} if "allOf" in document else {})


@pytest.mark.parametrize(
    "document",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": True},
        {"type": "object", "properties": {}, "patternProperties": {"^x": {}}},
    ],
)
def test_a_schema_that_says_what_else_it_takes_stays_as_it_is(document: dict[str, Any]) -> None:
    schema = Schema.from_json_schema(document)

    assert schema is schema.closed()


def test_a_lenient_reader_keeps_what_it_does_not_know() -> None:
    document = {"type": "STRING", "x_a": 1, "someday": {"type": "OBJECT"}}

    assert document == Schema.from_adm(document, mode="lenient").to_adm()
    with pytest.raises(AltarError, match="`someday` is not a keyword"):
        Schema.from_adm(document)


def test_a_union_of_many_models_that_do_not_hold_themselves_is_explained() -> None:
    forms = [f"Form{number}" for number in range(12)]
    members = {name: {"properties": {"kind": {"const": name}}, "required": ["kind"]} for name in forms}
    schema = Schema.from_json_schema(
        {
            "type": "object",
            "properties": {"it": {"anyOf": [{"$ref": f"#/$defs/{name}"} for name in forms]}},
            "$defs": members,
        }
    )

    (defect,) = schema.defects({"it": {"kind": "Form99"}})

    assert "/it/kind" == defect.path
    assert "'Form3'" in defect.message or '"Form3"' in defect.message
