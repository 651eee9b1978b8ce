"""References inside one document: addresses, anchors and pointers, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from altar.adm.errors import DeclarationError
from altar.adm.schema import Schema

TEXT = {"type": "STRING"}


@pytest.mark.parametrize(
    "document",
    [
        {"$ref": "#/$defs/a", "$defs": {"a": TEXT}},
        {"$ref": "#a", "$defs": {"x": {"$anchor": "a", **TEXT}}},
        {"$ref": "a", "$defs": {"x": {"$id": "a", **TEXT}}},
        {"$ref": "a#/$defs/b", "$defs": {"x": {"$id": "a", "$defs": {"b": TEXT}}}},
        {"$ref": "a#b", "$defs": {"x": {"$id": "a", "items": {"$anchor": "b", **TEXT}}}},
        {"$id": "https://e.x/s/", "$ref": "https://e.x/s/a", "$defs": {"x": {"$id": "a", **TEXT}}},
        {"$id": "https://e.x/s", "$ref": "s#/$defs/x", "$defs": {"x": TEXT}},
        {"$id": "urn:example:s", "$ref": "urn:example:s#/$defs/x", "$defs": {"x": TEXT}},
        {"$ref": "#/$defs/a%25b~1c~0d", "$defs": {"a%b/c~d": TEXT}},
        {"$ref": "#/$defs/x", "$defs": {"x": {"$ref": "#/$defs/y"}, "y": TEXT}},
        {"allOf": [{"$id": "inner", "$ref": "#/$defs/x", "$defs": {"x": TEXT}}]},
    ],
)
def test_a_reference_is_followed_inside_the_document(document: dict[str, Any]) -> None:
    schema = Schema.from_adm(document)

    assert [True, False] == [schema.accepts("text"), schema.accepts(1)]
    assert schema == Schema.from_adm(schema.to_adm())


@pytest.mark.parametrize(
    ("document", "path", "words"),
    [
        ({"$ref": "#/$defs/b", "$defs": {"a": {}}}, "/$ref", "'#/$defs/b' names no schema in this document"),
        ({"$ref": "#a"}, "/$ref", "names no schema in this document"),
        ({"$ref": "#/properties", "properties": {}}, "/$ref", "names no schema in this document"),
        ({"items": {"$ref": "https://e.x/s"}}, "/items/$ref", "'https://e.x/s' leaves the document"),
        ({"$ref": "https://json-schema.org/draft/2020-12/schema"}, "/$ref", "leaves the document"),
        ({"$dynamicRef": "other#a"}, "/$dynamicRef", "leaves the document"),
        ({"$ref": "//["}, "/$ref", "leaves the document"),
        ({"properties": {"a": {"$id": "//["}}}, "/properties/a/$id", "is no address"),
        ({"anyOf": [{"$id": "a"}, {"$id": "a"}]}, "/anyOf/1/$id", "is given to more than one subschema"),
        ({"anyOf": [{"$anchor": "a"}, {"$dynamicAnchor": "a"}]}, "/anyOf/1/$dynamicAnchor", "more than once"),
        ({"$ref": "#"}, "", "refers to itself without end"),
        ({"$defs": {"a": {"not": {"$ref": "#/$defs/a"}}}}, "/$defs/a", "refers to itself without end"),
        ({"properties": {"a": {"anyOf": [{"$ref": "#/properties/a"}]}}}, "/properties/a", "without end"),
    ],
)
def test_a_reference_that_cannot_be_followed_is_refused_with_its_place(
    document: dict[str, Any], path: str, words: str
) -> None:
    with pytest.raises(DeclarationError) as caught:
        Schema.from_adm(document)

    assert path == caught.value.path
    assert words in caught.value.message


def test_one_anchor_may_stand_in_two_resources() -> None:
    inner = {"$id": "inner", "$ref": "#a", "$defs": {"x": {"$anchor": "a", "type": "INTEGER"}}}
    schema = Schema.from_adm({"items": inner, "$ref": "#a", "$defs": {"x": {"$anchor": "a", "type": "ARRAY"}}})

    assert [True, False, False] == [schema.accepts(value) for value in ([1], ["x"], 1)]


def test_a_dynamic_reference_means_the_outermost_anchor_of_its_name() -> None:
    tree = {
        "$id": "tree",
        "$dynamicAnchor": "node",
        "type": "OBJECT",
        "properties": {"children": {"type": "ARRAY", "items": {"$dynamicRef": "#node"}}},
    }
    strict = {"$id": "strict", "$dynamicAnchor": "node", "$ref": "tree", "unevaluatedProperties": False}
    schema = Schema.from_adm({**strict, "$defs": {"tree": tree}})

    assert schema.accepts({"children": [{"children": []}]})
    assert not schema.accepts({"children": [{"kids": []}]})


def test_a_wrong_default_is_found_behind_any_address() -> None:
    document = {
        "$id": "https://e.x/s",
        "properties": {"a%b": {"$id": "inner", "items": {"type": "INTEGER", "default": "x"}}, "c": {"default": 1}},
        "$defs": {"d": {"$ref": "inner", "default": ["x"]}},
    }

    with pytest.raises(DeclarationError) as caught:
        Schema.from_adm(document)

    assert ["/properties/a%b/items/default", "/$defs/d/default/0"] == [defect.path for defect in caught.value.defects]


@pytest.mark.parametrize(("document", "takes"), [(True, True), (False, False)])
def test_a_boolean_document_becomes_an_object_as_the_adm_has_it(document: bool, takes: bool) -> None:
    schema = Schema.from_json_schema(document)

    assert takes is schema.accepts({"any": "value"})
    assert schema == Schema.from_adm(schema.to_adm())
    with pytest.raises(DeclarationError, match="must be an object"):
        Schema.from_adm(document)  # type: ignore[arg-type]  # that is the question


def test_the_dialect_of_a_subschema_changes_nothing_either() -> None:
    inner = {"$id": "a", "$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{"type": "integer"}]}

    schema = Schema.from_json_schema({"$ref": "a", "$defs": {"a": inner}})

    assert not schema.accepts(["x"])
    assert "$schema" not in schema.json_schema["$defs"]["a"]
