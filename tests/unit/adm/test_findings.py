"""What a value is told that fits none of the forms of a union."""

from __future__ import annotations

from typing import Any

import pytest

from altar.adm.findings import Wording
from altar.adm.schema import Schema


def form(kind: object, member: str) -> dict[str, Any]:
    """A form of a union with a tag and one integer."""
    properties = {"kind": {"const": kind}, member: {"type": "integer"}}
    return {"type": "object", "properties": properties, "required": ["kind", member]}


BY_CONST: dict[str, Any] = {"anyOf": [form("a", "x"), form("b", "y"), form("c", "z")]}
BY_ENUM: dict[str, Any] = {
    "anyOf": [
        {
            "type": "object",
            "properties": {"kind": {"enum": kinds}, name: {"type": "integer"}},
            "required": ["kind", name],
        }
        for kinds, name in ((["a"], "x"), (["b"], "y"), (["c"], "z"))
    ]
}
DISCRIMINATED: dict[str, Any] = {
    "oneOf": [{"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, {"$ref": "#/$defs/C"}],
    "discriminator": {
        "propertyName": "kind",
        "mapping": {"a": "#/$defs/A", "b": "#/$defs/B", "c": "#/$defs/C"},
    },
    "$defs": {"A": form("a", "x"), "B": form("b", "y"), "C": form("c", "z")},
}


def told(document: dict[str, Any], value: object) -> list[tuple[str | None, str, str]]:
    """What a value is told, defect by defect."""
    found = Schema.from_json_schema(document).defects(value)
    return [(defect.path, defect.category, defect.message) for defect in found]


@pytest.mark.parametrize("document", [BY_CONST, BY_ENUM, DISCRIMINATED])
@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"kind": "a"}, ("/x", "REQUIRED", "The value at `x` is missing")),
        ({"kind": "b", "y": "q"}, ("/y", "TYPE", "The value at `y` must be an integer, not a string")),
        ({"kind": "d", "x": 1}, ("/kind", "ENUM", "The value at `kind` is 'd' but must be one of 'a', 'b', 'c'")),
        ({"kind": {}}, ("/kind", "ENUM", "The value at `kind` is an object but must be one of 'a', 'b', 'c'")),
        ({"x": 1}, ("/kind", "REQUIRED", "The value at `kind` is missing; it must be one of 'a', 'b', 'c'")),
        (1, ("", "TYPE", "The value must be an object, not a number")),
    ],
)
def test_the_form_that_the_tag_names_is_the_one_that_is_explained(
    document: dict[str, Any], value: object, expected: tuple[str, str, str]
) -> None:
    assert [expected] == told(document, value)


def test_the_tag_of_a_union_inside_of_another_is_found_too() -> None:
    document = {"anyOf": [{"type": "array", "items": {"anyOf": [BY_CONST, {"type": "null"}]}}, {"type": "string"}]}

    assert [("/0/x", "REQUIRED", "The value at `[0].x` is missing")] == told(document, [{"kind": "a"}])
    assert [("/0", "TYPE", "The value at `[0]` must be an object or null, not a string")] == told(document, ["a"])
    assert [("", "TYPE", "The value must be an array or a string, not a number")] == told(document, 1)


def test_true_is_another_tag_than_one() -> None:
    document = {"anyOf": [form(1, "x"), form(True, "y")]}

    assert "The value at `y` is missing" == told(document, {"kind": True})[0][2]
    assert "The value at `x` is missing" == told(document, {"kind": 1.0})[0][2]


def test_a_form_that_takes_any_tag_stays_possible() -> None:
    free = {"type": "object", "properties": {"kind": {"type": "string"}, "w": {}}, "required": ["kind", "w"]}
    document = {"anyOf": [form("a", "x"), form("b", "y"), free]}

    assert [("/w", "REQUIRED", "The value at `w` is missing")] == told(document, {"kind": "z"})


def test_a_discriminator_that_names_other_forms_is_not_followed() -> None:
    document = {**DISCRIMINATED, "discriminator": {"propertyName": "kind", "mapping": {"a": "#/$defs/B"}}}

    assert [("/x", "REQUIRED", "The value at `x` is missing")] == told(document, {"kind": "a"})


def test_what_every_form_finds_wrong_is_said_once() -> None:
    document = {
        "anyOf": [
            {"type": "object", "properties": {"id": {}, name: {}}, "required": ["id", name]} for name in ("x", "y")
        ]
    }

    assert [("/id", "REQUIRED", "The value at `id` is missing")] == told(document, {})


def test_many_tags_are_not_all_listed() -> None:
    document = {"anyOf": [form(index, f"x{index}") for index in range(20)]}

    message = told(document, {"kind": -1})[0][2]

    assert f"The value at `kind` is -1 but must be one of {', '.join(map(str, range(12)))}, …" == message


def test_a_tag_is_not_quoted_where_values_are_not() -> None:
    (defect,) = Schema.from_json_schema(BY_CONST).defects({"kind": "secret"}, wording=Wording(quote=False))

    assert "The value at `kind` must be one of 'a', 'b', 'c'" == defect.message
