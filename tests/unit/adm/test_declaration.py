"""Declarations and their containers: reading, writing, digests, and the checks of arguments and results."""

from __future__ import annotations

import json
from typing import Any

import pytest

from altar.adm.canonical import canonical, parse
from altar.adm.declaration import (
    MAX_DOCUMENT_DEPTH,
    Annotations,
    FunctionDeclaration,
    Tool,
    ToolContract,
    ToolManifest,
)
from altar.adm.errors import DeclarationError, ValidationError
from altar.adm.schema import Schema

WEATHER: dict[str, Any] = {
    "name": "get_weather",
    "description": "Tell the weather.",
    "parameters": {
        "type": "OBJECT",
        "properties": {
            "city": {"type": "STRING"},
            "unit": {"type": "STRING", "enum": ["c", "f"], "default": "c"},
            "days": {"type": "INTEGER"},
        },
        "required": ["city"],
    },
    "returns": {"type": "OBJECT", "properties": {"sky": {"type": "STRING"}}, "required": ["sky"]},
    "version": "1.2.0",
    "annotations": {"read_only": True, "x_note": "n"},
    "metadata": {"team": "ops", "tier": None},
    "x_owner": "ops",
}
SIGNATURE = 'get_weather(city: string, days?: integer, unit: "c" | "f" = "c")'


def test_a_declaration_survives_a_round_trip_with_its_extensions() -> None:
    declaration = FunctionDeclaration.from_adm(WEATHER)

    assert WEATHER == declaration.to_adm()
    assert declaration == FunctionDeclaration.from_adm(declaration.to_adm())
    assert {"x_owner": "ops"} == declaration.extensions


def test_a_lenient_reader_keeps_unknown_members_and_so_the_digest() -> None:
    document = {**WEATHER, "someday": {"a": [1]}, "annotations": {"read_only": True, "pure": 1}}

    declaration = FunctionDeclaration.from_adm(document, mode="lenient")

    assert document == declaration.to_adm()
    with pytest.raises(DeclarationError) as caught:
        FunctionDeclaration.from_adm(document)
    assert "/annotations/pure" == caught.value.path


def test_what_has_its_default_value_is_left_out() -> None:
    short = {name: WEATHER[name] for name in ("name", "description", "parameters")}
    long = {**short, "version": "1.0.0", "annotations": {"read_only": False}, "metadata": {}}

    assert short == FunctionDeclaration.from_adm(long).to_adm()
    assert FunctionDeclaration.from_adm(short).digest == FunctionDeclaration.from_adm(long).digest


def test_the_digest_does_not_depend_on_the_order_of_members_and_changes_with_any_of_them() -> None:
    declaration = FunctionDeclaration.from_adm(WEATHER)
    turned = FunctionDeclaration.from_adm(dict(reversed(list(WEATHER.items()))))
    other = FunctionDeclaration.from_adm({**WEATHER, "version": "1.2.1"})

    assert declaration.digest == turned.digest
    assert declaration.digest != other.digest
    assert declaration.digest.startswith("sha256:")


def test_the_old_names_of_annotations_are_read_and_the_new_ones_written() -> None:
    document = {name: WEATHER[name] for name in ("name", "description", "parameters")}

    declaration = FunctionDeclaration.from_adm({**document, "is_read_only": True, "is_stateful": True})

    assert Annotations(read_only=True, stateful=True) == declaration.annotations
    assert {"read_only": True, "stateful": True} == declaration.to_adm()["annotations"]


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"name": "has space"}, "/name"),
        ({"name": "leg\n"}, "/name"),
        ({"description": " \t"}, "/description"),
        ({"version": "1.2"}, "/version"),
        ({"parameters": Schema.from_adm({"type": "STRING"})}, "/parameters/type"),
        ({"parameters": Schema.from_adm({})}, "/parameters/type"),
    ],
)
def test_a_declaration_made_from_parts_is_sound_or_refused(part: dict[str, Any], path: str) -> None:
    parts: dict[str, Any] = {
        "name": "f",
        "description": "d",
        "parameters": Schema.from_adm({"type": "OBJECT"}),
    }

    with pytest.raises(DeclarationError) as caught:
        FunctionDeclaration(**{**parts, **part})

    assert ("INVALID_DECLARATION", path) == (caught.value.code, caught.value.path)


@pytest.mark.parametrize(
    ("arguments", "path", "message"),
    [
        ({}, "/city", "Argument `city` is missing"),
        ({"city": "Oslo", "unit": "k"}, "/unit", "Argument `unit` is 'k' but must be one of 'c', 'f'"),
        ({"city": "Oslo", "days": "3"}, "/days", "Argument `days` must be an integer, not a string"),
        ({"city": "Oslo", "dyas": 3}, "/dyas", "Argument `dyas` is not declared; did you mean `days`?"),
        ({"ctiy": 3}, "/city", "Argument `city` is missing (and 1 more)"),
        ([], "", "The arguments must be an object, not an array"),
        (None, "", "The arguments must be an object, not null"),
    ],
)
def test_wrong_arguments_are_explained_so_that_a_model_can_act(arguments: Any, path: str, message: str) -> None:
    declaration = FunctionDeclaration.from_adm(WEATHER)

    with pytest.raises(ValidationError) as caught:
        declaration.check_arguments(arguments)

    error = caught.value
    assert ("INVALID_TOOL_ARGS", path, message, "no") == (error.code, error.path, error.message, error.ran)
    assert SIGNATURE == error.hint


def test_arguments_that_fit_pass() -> None:
    declaration = FunctionDeclaration.from_adm(WEATHER)

    declaration.check_arguments({"city": "Oslo", "days": 3.0})


def test_a_wrong_result_has_run_and_is_not_quoted() -> None:
    declaration = FunctionDeclaration.from_adm(
        {
            **WEATHER,
            "returns": {"type": "OBJECT", "properties": {"sky": {"type": "STRING", "enum": ["blue"]}}},
        }
    )

    with pytest.raises(ValidationError) as caught:
        declaration.check_result({"sky": "secret"})

    error = caught.value
    assert ("SCHEMA_VIOLATION", "/sky", "yes") == (error.code, error.path, error.ran)
    assert "The result's member `sky` must be 'blue'" == error.message


def test_any_result_passes_where_none_is_declared() -> None:
    declaration = FunctionDeclaration("f", "d", Schema.from_adm({"type": "OBJECT"}))

    declaration.check_result(object())


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"type": "OBJECT", "properties": {}}, "f()"),
        ({"type": "OBJECT"}, "f(…)"),
        (
            {
                "type": "OBJECT",
                "properties": {
                    "grid": {"type": "ARRAY", "items": {"type": "ARRAY", "items": {"type": "NUMBER"}}},
                    "any": True,
                },
            },
            "f(any?: any, grid?: number[][])",
        ),
        (
            {
                "type": "OBJECT",
                "properties": {
                    "later": {"type": ["INTEGER", "NULL"], "default": None},
                    "where": {"$ref": "#/$defs/Place"},
                    "tags": {"type": "ARRAY", "items": {"anyOf": [{"type": "STRING"}, {"const": 1}]}},
                },
                "required": ["where"],
                "additionalProperties": True,
                "$defs": {
                    "Place": {
                        "type": "OBJECT",
                        "properties": {"lat": {"type": "NUMBER"}, "in": {"$ref": "#/$defs/Place"}},
                        "required": ["lat"],
                    }
                },
            },
            "f(where: {lat: number, in?: object}, later: integer | null = null, tags?: (string | 1)[], …)",
        ),
    ],
)
def test_the_signature_is_one_line_with_the_required_parameters_first(
    parameters: dict[str, Any], expected: str
) -> None:
    declaration = FunctionDeclaration("f", "d", Schema.from_adm(parameters))

    assert expected == declaration.signature


def test_a_tool_finds_its_functions_by_exact_name() -> None:
    tool = Tool.from_adm({"function_declarations": [WEATHER], "x_a": 1})

    found = tool.find("get_weather")

    assert found is not None
    assert found.name == "get_weather"
    assert tool.find("Get_weather") is None
    assert {"function_declarations": [WEATHER], "x_a": 1} == tool.to_adm()


def test_a_manifest_survives_a_round_trip_through_canonical_bytes() -> None:
    contract = {
        "name": "weather",
        "description": "Weather.",
        "version": "2.0.0",
        "function_declarations": [WEATHER],
        "vendor_acme_tier": 2,
    }
    document = {"manifest_version": "1.0.0", "contracts": [contract], "global_metadata": {"owner": "ops"}}

    manifest = ToolManifest.from_adm(document)

    assert document == manifest.to_adm()
    assert document == parse(canonical(manifest.to_adm(), max_depth=200), max_depth=MAX_DOCUMENT_DEPTH)
    assert ToolContract.from_adm(contract) == manifest.contracts[0]


def test_the_error_of_a_container_names_the_failing_declaration() -> None:
    document = {"manifest_version": "1.0.0", "contracts": [{"name": "a", "description": "d"}]}
    bad = json.loads(json.dumps(WEATHER).replace("INTEGER", "INT"))
    document["contracts"][0]["function_declarations"] = [WEATHER, {**bad, "name": "g"}]  # type: ignore[index]  # test data

    with pytest.raises(DeclarationError) as caught:
        ToolManifest.from_adm(document)

    place = "/contracts/0/function_declarations/1/parameters/properties/days/type"
    assert place == caught.value.path
    assert "'INT'" in caught.value.message


def test_a_contract_and_a_manifest_hold_several_versions_of_a_name() -> None:
    newer = {**WEATHER, "version": "2.0.0"}
    early = {**WEATHER, "version": "3.0.0-rc.1"}
    contract = {"name": "weather", "description": "Weather.", "function_declarations": [WEATHER, newer]}
    again = {"name": "weather", "description": "Weather.", "version": "2.0.0", "function_declarations": [early]}
    document = {"manifest_version": "1.1.0", "contracts": [contract, again]}

    assert document == ToolManifest.from_adm(document).to_adm()


@pytest.mark.parametrize(
    ("one", "other", "second"),
    [("1.0.0", "1.0.0", "b"), ("1.1.0+a", "1.1.0+b", "b"), ("2.0.0-rc.1", "2.0.0-rc.1+x", "weather")],
)
def test_one_version_of_a_name_is_declared_once_in_a_manifest(one: str, other: str, second: str) -> None:
    contracts = [
        {"name": name, "description": "d", "version": version, "function_declarations": [{**WEATHER, "version": held}]}
        for name, version, held in [("weather", "1.0.0", one), (second, "2.0.0", other)]
    ]

    with pytest.raises(DeclarationError, match="is already declared by the contract 'weather'") as caught:
        ToolManifest.from_adm({"manifest_version": "1.1.0", "contracts": contracts})
    assert caught.value.path == "/contracts/1/function_declarations/0/name"


def test_one_version_of_a_name_is_declared_once_in_a_contract() -> None:
    held = [{**WEATHER, "version": version} for version in ("1.1.0+a", "1.2.0", "1.1.0+b")]

    with pytest.raises(DeclarationError, match="is declared more than once") as caught:
        ToolContract.from_adm({"name": "weather", "description": "d", "function_declarations": held})
    assert caught.value.path == "/function_declarations/2/name"


def test_functions_that_are_offered_together_differ_in_name_whatever_their_version() -> None:
    held = [WEATHER, {**WEATHER, "version": "2.0.0"}]

    with pytest.raises(DeclarationError, match="is declared more than once"):
        Tool.from_adm({"function_declarations": held})


def test_a_version_of_any_length_is_no_version() -> None:
    with pytest.raises(DeclarationError) as caught:
        FunctionDeclaration.from_adm({**WEATHER, "version": "1.0." + "9" * 5000})
    assert caught.value.path == "/version"
