"""The strict modes: what they may hold, what becomes of the rest, and what a call says in them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings

from altar.adm.declaration import FunctionDeclaration
from altar.adm.formats import CALL_FORMATS, FORMATS
from altar.adm.schema import Schema
from altar.adm.vocabulary import subschemas
from tests.unit.adm.formats.declarations import TRAPS, declarations

STRICT = {"openai_strict": ("function", "parameters"), "anthropic_strict": ("input_schema",)}


def declared(properties: dict[str, Any], required: tuple[str, ...] = (), **more: Any) -> FunctionDeclaration:
    schema = {"type": "object", "properties": properties, "required": list(required), **more}
    return FunctionDeclaration("act", "Act.", Schema.from_json_schema(schema))


def strict(name: str, declaration: FunctionDeclaration) -> dict[str, Any]:
    document: Any = FORMATS[name].write(declaration).document
    for step in STRICT[name]:
        document = document[step]
    assert isinstance(document, dict)
    return document


@pytest.mark.parametrize("name", STRICT)
@given(declaration=declarations())
@settings(max_examples=60, deadline=None)
def test_every_object_is_closed_and_only_known_keywords_are_left(name: str, declaration: FunctionDeclaration) -> None:
    known = {"type", "enum", "const", "title", "description", "format", "anyOf", "$ref", "$defs", "definitions"}
    known |= {"properties", "required", "additionalProperties", "items", "minItems"}
    known |= {"pattern", "multipleOf", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "maxItems"}

    for path, node in subschemas(strict(name, declaration)):
        assert set(node) <= known, path
        assert not path or {"type", "enum", "const", "anyOf", "$ref"} & set(node), path
        if "object" in node.get("type", []):
            assert node["additionalProperties"] is False
            if name == "openai_strict":
                assert sorted(node["properties"]) == sorted(node["required"])


@pytest.mark.parametrize("name", STRICT)
@given(declaration=declarations())
@settings(max_examples=60, deadline=None)
def test_a_strict_schema_is_one_that_altar_reads(name: str, declaration: FunctionDeclaration) -> None:
    Schema.from_json_schema(strict(name, declaration))


def test_an_optional_argument_admits_null_and_a_constraint_that_is_not_known_is_told() -> None:
    declaration = declared(
        {"city": {"type": "string", "minLength": 2}, "unit": {"enum": ["c", "f"], "default": "c"}}, ("city",)
    )

    properties = strict("openai_strict", declaration)["properties"]

    assert {"type": "string", "description": "(minLength: 2)"} == properties["city"]
    assert {"enum": ["c", "f", None], "description": '(default: "c")'} == properties["unit"]


@pytest.mark.parametrize("name", STRICT)
def test_a_parameter_named_like_a_keyword_is_a_parameter(name: str) -> None:
    properties: dict[str, Any] = {trap: {"type": "string"} for trap in TRAPS}
    value = {"type": "object", "properties": properties, "required": list(TRAPS)}
    declaration = declared({**properties, "inner": value}, (*TRAPS, "inner"))

    written = strict(name, declaration)

    inner = written["properties"]["inner"]
    assert {trap: {"type": "string"} for trap in TRAPS} == inner["properties"]
    assert list(TRAPS) == inner["required"]
    assert {"type": "string"} == written["properties"]["title"] == written["properties"]["required"]
    assert written["additionalProperties"] is inner["additionalProperties"] is False


@pytest.mark.parametrize("name", FORMATS)
def test_what_stands_in_a_default_or_an_enum_is_never_read_as_a_schema(name: str) -> None:
    content = {"$ref": "#/nowhere", "title": "t", "type": "string", "properties": {"a": 1}, "nullable": True}
    declaration = declared(
        {"a": {"type": "object", "default": content}, "b": {"const": content}, "c": {"enum": [content]}}
    )

    text = json.dumps(FORMATS[name].write(declaration).document)

    if name in STRICT:
        assert 3 == text.count("#/nowhere")  # in the words of the description
    else:
        assert 3 == text.count(json.dumps(content))


def test_a_schema_that_refers_to_itself_is_kept_by_openai_and_unrolled_for_anthropic() -> None:
    node = {
        "type": "object",
        "properties": {"next": {"$ref": "#/$defs/node"}, "n": {"type": "integer"}},
        "required": ["n"],
    }
    declaration = declared({"node": {"$ref": "#/$defs/node"}}, ("node",), **{"$defs": {"node": node}})

    assert {"$ref": "#/$defs/node"} == strict("openai_strict", declaration)["properties"]["node"]
    unrolled = strict("anthropic_strict", declaration)
    assert "$ref" not in json.dumps(unrolled)
    assert {"next", "n"} == set(unrolled["properties"]["node"]["properties"])
    assert {"n"} == set(unrolled["properties"]["node"]["properties"]["next"]["properties"])


def test_a_schema_that_branches_into_itself_does_not_grow_without_end() -> None:
    names = [f"d{index}" for index in range(6)]
    places = {
        name: {"type": "object", "properties": {other: {"$ref": f"#/$defs/{other}"} for other in names}}
        for name in names
    }
    declaration = declared({"a": {"$ref": "#/$defs/d0"}}, ("a",), **{"$defs": places})

    assert len(json.dumps(strict("anthropic_strict", declaration))) < 200_000


def test_keywords_that_are_refused_at_the_root_are_told_in_the_description() -> None:
    declaration = declared(
        {"a": {"type": "string"}, "b": {"type": "string"}}, anyOf=[{"required": ["a"]}, {"required": ["b"]}]
    )

    for name in ("openai", "anthropic", *STRICT):
        document = FORMATS[name].write(declaration).document
        schema = document.get("function", {}).get("parameters") or document["input_schema"]
        assert "anyOf" not in schema
        assert '(anyOf: [{"required":["a"]},{"required":["b"]}])' == schema["description"]


def test_a_parameter_whose_name_anthropic_refuses_gets_another_and_calls_find_it() -> None:
    declaration = declared({"é b": {"type": "string"}, "c": {"type": "integer"}}, ("é b",))
    anthropic = CALL_FORMATS["anthropic"]

    schema = anthropic.write(declaration).document["input_schema"]
    renamed = schema["required"][0]
    block = {"type": "tool_use", "id": "t1", "name": "act", "input": {renamed: "x", "c": 1}}
    call = anthropic.read_call(block, declaration=declaration)

    assert renamed.startswith("b_")
    assert {renamed, "c"} == set(schema["properties"])
    assert {"é b": "x", "c": 1} == call.args
    assert block["input"] == anthropic.write_call(call, declaration=declaration).document["input"]


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ({"city": "Oslo", "unit": None, "note": None}, {"city": "Oslo", "note": None}),
        ({"city": None}, {"city": None}),
        ({"city": "a", "at": {"lat": 1, "name": None}}, {"city": "a", "at": {"lat": 1}}),
        ({"city": "a", "stops": [{"lat": 1, "name": None}]}, {"city": "a", "stops": [{"lat": 1}]}),
        ({"city": "a", "either": {"lat": 1, "name": None}}, {"city": "a", "either": {"lat": 1}}),
        ({"city": "a", "either": {"b": 1, "c": None}}, {"city": "a", "either": {"b": 1}}),
        ({"city": "a", "unknown": None}, {"city": "a", "unknown": None}),
    ],
)
def test_nulls_that_stand_for_leaving_out_are_taken_out_of_a_strict_call(
    arguments: dict[str, Any], meant: dict[str, Any]
) -> None:
    place = {
        "type": "object",
        "properties": {"lat": {"type": "number"}, "name": {"type": "string"}},
        "required": ["lat"],
        "additionalProperties": False,
    }
    other = {
        "type": "object",
        "properties": {"b": {"type": "integer"}, "c": {"type": "string"}},
        "required": ["b"],
        "additionalProperties": False,
    }
    declaration = declared(
        {
            "city": {"type": "string"},
            "unit": {"type": "string"},
            "note": {"type": ["string", "null"]},
            "at": {"$ref": "#/$defs/place"},
            "stops": {"type": "array", "items": {"$ref": "#/$defs/place"}},
            "either": {"anyOf": [{"$ref": "#/$defs/place"}, other]},
        },
        ("city",),
        **{"$defs": {"place": place}},
    )
    entry = {"id": "c1", "type": "function", "function": {"name": "act", "arguments": json.dumps(arguments)}}

    assert meant == CALL_FORMATS["openai_strict"].read_call(entry, declaration=declaration).args
    assert arguments == CALL_FORMATS["openai"].read_call(entry, declaration=declaration).args


@pytest.mark.parametrize("name", STRICT)
def test_arguments_that_are_a_reference_at_the_root_are_written_out(name: str) -> None:
    place = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    schema = Schema.from_json_schema({"type": "object", "$ref": "#/$defs/place", "$defs": {"place": place}})
    declaration = FunctionDeclaration("act", "Act.", schema)

    assert {"city": {"type": "string"}} == strict(name, declaration)["properties"]
    assert "" in {loss.path.removeprefix("/parameters") for loss in FORMATS[name].write(declaration).losses}
