"""Documents that others wrote: what is read, what is refused, and what comes back when they are written again."""

from __future__ import annotations

from typing import Any

import pytest

from altar.adm.errors import DeclarationError
from altar.adm.formats import FORMATS, OPENAPI
from altar.adm.formats.names import fitting
from altar.adm.reader import NAME

EMPTY: dict[str, Any] = {"type": "object", "properties": {}}
MCP_TOOL: dict[str, Any] = {
    "name": "files.read",
    "title": "Read a file",
    "description": "Return the text of a file.",
    "inputSchema": {"type": "object", "properties": {"path": {"type": "string", "x-mcp-header": "Path"}}},
    "outputSchema": {"type": "object", "properties": {"text": {"type": "string"}}},
    "icons": [{"src": "https://files.example/read.png", "sizes": ["48x48"]}],
    "annotations": {
        "title": "Reads",
        "readOnlyHint": True,
        "destructiveHint": False,
        "idempotentHint": True,
        "openWorldHint": False,
    },
    "_meta": {"example.com/tier": "gold"},
}
FOREIGN: list[tuple[str, dict[str, Any]]] = [
    ("mcp", MCP_TOOL),
    (
        "openai",
        {"type": "function", "function": {"name": "1st", "description": "Do.", "parameters": EMPTY, "strict": True}},
    ),
    (
        "anthropic",
        {
            "name": "read",
            "description": "Read.",
            "input_schema": EMPTY,
            "cache_control": {"type": "ephemeral"},
            "input_examples": [{}],
        },
    ),
    (
        "gemini",
        {"name": "a:b", "description": "Do.", "parametersJsonSchema": EMPTY, "behavior": "NON_BLOCKING"},
    ),
]


@pytest.mark.parametrize(("format", "document"), FOREIGN, ids=[name for name, _ in FOREIGN])
def test_what_only_the_format_knows_comes_back_when_it_is_written_again(format: str, document: dict[str, Any]) -> None:
    read = FORMATS[format].read(document)

    written = FORMATS[format].write(read.declaration)

    assert document == written.document
    assert () == written.losses
    assert () == read.losses


def test_a_name_that_adm_does_not_allow_is_replaced_and_kept() -> None:
    declaration = FORMATS["mcp"].read(MCP_TOOL).declaration

    assert "files_read_7c37ee4e"[:11] == declaration.name[:11]
    assert NAME.fullmatch(declaration.name)
    assert "files.read" == declaration.extensions["x_mcp"]["name"]
    assert declaration.name == FORMATS["openai"].write(declaration).document["function"]["name"]


@pytest.mark.parametrize("name", ["a.b", "a/b", "1", "é", "", "-", "x" * 200, "a b", "_" * 65, "\ud800"])
def test_every_name_can_be_made_to_fit_and_stays_apart_from_others(name: str) -> None:
    assert NAME.fullmatch(fitting(name))
    assert fitting(name) == fitting(name)
    assert fitting(name) != fitting(name + ".")


def test_a_name_that_fits_is_left_alone() -> None:
    assert "get-weather_2" == fitting("get-weather_2")


def test_absent_hints_of_mcp_mean_what_they_mean_there() -> None:
    tool = {"name": "a", "description": "A.", "inputSchema": EMPTY}

    silent = FORMATS["mcp"].read(tool).declaration.annotations
    reader = FORMATS["mcp"].read(tool | {"annotations": {"readOnlyHint": True}}).declaration.annotations

    assert {"destructive": True, "open_world": True} == silent.to_adm()
    assert {"read_only": True, "open_world": True} == reader.to_adm()


def test_our_tool_says_every_hint_as_mcp_would_take_silence_for_harm() -> None:
    declaration = (
        FORMATS["openai"].read({"type": "function", "function": {"name": "a", "description": "A."}}).declaration
    )

    hints = FORMATS["mcp"].write(declaration).document["annotations"]

    expected = {"readOnlyHint": False, "destructiveHint": False, "idempotentHint": False, "openWorldHint": False}
    assert expected == hints


def test_a_tool_without_a_description_gets_one_and_that_is_reported() -> None:
    read = FORMATS["mcp"].read({"name": "a.b", "inputSchema": EMPTY})
    titled = FORMATS["mcp"].read({"name": "a", "title": "Does a", "inputSchema": EMPTY})

    assert "The tool a.b, of which no description is known." == read.declaration.description
    assert [("/description", "made up from the name")] == [(loss.path, loss.what) for loss in read.losses]
    assert "Does a" == titled.declaration.description
    assert ["taken from the title"] == [loss.what for loss in titled.losses]


def test_a_default_that_its_own_schema_refuses_and_an_unknown_keyword_are_kept() -> None:
    schema = {
        "type": "object",
        "properties": {"default": {"type": "string", "default": None}, "when": {"type": "string", "x-when": 1}},
    }

    read = FORMATS["anthropic"].read({"name": "a", "description": "A.", "input_schema": schema})

    assert schema == read.declaration.parameters.json_schema
    assert () == read.losses


def test_arguments_without_a_type_are_those_of_an_object() -> None:
    document = {"name": "a", "description": "A.", "input_schema": {"properties": {"x": {"type": "string"}}}}

    read = FORMATS["anthropic"].read(document)

    assert "object" == read.declaration.parameters.json_schema["type"]
    assert ["/input_schema/type"] == [loss.path for loss in read.losses]


def test_the_flat_form_of_the_responses_api_is_read() -> None:
    flat = {"type": "function", "name": "a", "description": "A.", "parameters": EMPTY}

    assert "a" == FORMATS["openai"].read(flat).declaration.name


def test_gemini_s_own_schema_is_read_in_both_spellings() -> None:
    schema = {
        "type": "OBJECT",
        "property_ordering": ["b", "a"],
        "properties": {
            "a": {"type": "STRING", "nullable": True, "min_length": "2", "format": "enum", "enum": ["xx", "yy"]},
            "b": {"anyOf": [{"type": "INTEGER"}, {"type": "ARRAY", "items": {"ref": "#/defs/N"}}], "example": 3},
        },
        "defs": {"N": {"type": "NUMBER", "title": None}},
        "required": ["b"],
    }

    declaration = FORMATS["gemini"].read({"name": "a", "description": "A.", "parameters": schema}).declaration

    held = declaration.parameters.json_schema
    assert ["b", "a"] == list(held["properties"])
    a = {"type": ["string", "null"], "minLength": 2, "format": "enum", "enum": ["xx", "yy", None]}
    assert a == held["properties"]["a"]
    choices = [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/N"}}]
    assert {"anyOf": choices, "examples": [3]} == held["properties"]["b"]
    assert {"N": {"type": "number"}} == held["$defs"]


def test_what_fastmcp_wraps_is_unwrapped() -> None:
    schema = {
        "type": "object",
        "properties": {"result": {"type": "array", "items": {"$ref": "#/$defs/N"}}},
        "required": ["result"],
        "$defs": {"N": {"type": "number"}},
        "x-fastmcp-wrap-result": True,
    }
    tool = {"name": "a", "description": "A.", "inputSchema": EMPTY, "outputSchema": schema}

    returns = FORMATS["mcp"].read(tool).declaration.returns

    assert returns is not None
    expected = {"type": "array", "items": {"$ref": "#/$defs/N"}, "$defs": {"N": {"type": "number"}}}
    assert expected == returns.json_schema


@pytest.mark.parametrize(
    ("format", "document", "path", "words"),
    [
        ("openai", [], "", "must be an object, not an array"),
        ("openai", {"type": "web_search"}, "/type", "has the type 'function', not 'web_search'"),
        ("openai", {"type": "function", "function": {"description": "A."}}, "/function/name", "needs a name"),
        ("anthropic", {"type": "bash_20250124", "name": "bash"}, "/type", "a tool of Anthropic's own"),
        ("anthropic", {"name": "a"}, "/input_schema", "must be an object, not null"),
        ("mcp", {"name": "a", "inputSchema": {"type": "string"}}, "/parameters/type", "must have the type OBJECT"),
        (
            "mcp",
            {"name": "a", "inputSchema": {"type": "object", "properties": {"x": {"$ref": "https://e.example/s"}}}},
            "/inputSchema/properties/x/$ref",
            "leaves the document",
        ),
        ("mcp", {"name": "a", "inputSchema": EMPTY, "_meta": {"altar/version": "one"}}, "/version", "not a version"),
        (
            "mcp",
            {"name": "a", "inputSchema": EMPTY, "_meta": {"altar/extensions": {"name": "other"}}},
            "/_meta/name",
            "cannot be an extension",
        ),
        ("mcp", {"name": "a", "inputSchema": EMPTY, "_meta": {"altar/extensions": 1}}, "/_meta", "must be an object"),
        (
            "gemini",
            {"name": "a", "parameters": {"type": "OBJECT"}, "parametersJsonSchema": EMPTY},
            "/parameters",
            "exclude each other",
        ),
        ("openapi", {"openapi": "3.0.3", "paths": {}}, "/openapi", "OpenAPI 3.1 is read"),
        ("openapi", {"openapi": "3.1.0", "paths": {}}, "/paths", "has 0 operations, not one"),
        ("json_schema", {"type": "object"}, "/title", "needs a name, not null"),
    ],
)
def test_what_is_no_tool_is_refused_with_its_place(format: str, document: Any, path: str, words: str) -> None:
    with pytest.raises(DeclarationError) as caught:
        FORMATS[format].read(document)

    assert "INVALID_DECLARATION" == caught.value.code
    assert path == caught.value.path
    assert words in caught.value.message


def test_a_kept_name_that_is_not_ours_to_give_is_not_written() -> None:
    document = {"name": "harmless", "description": "A.", "inputSchema": EMPTY, "_meta": {}}
    declaration = FORMATS["mcp"].read(document).declaration
    forged = type(declaration).from_adm(declaration.to_adm() | {"x_mcp": {"name": "delete_all", "inputSchema": {}}})

    written = FORMATS["mcp"].write(forged)

    assert "harmless" == written.document["name"]
    assert EMPTY == written.document["inputSchema"]
    assert {"/x_mcp/name", "/x_mcp/inputSchema"} == {loss.path for loss in written.losses}


SHOP: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Shop", "version": "1"},
    "paths": {
        "/items/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "getItem",
                "summary": "Get an item.",
                "tags": ["items"],
                "parameters": [
                    {"name": "lang", "in": "query", "description": "Language.", "schema": {"type": "string"}},
                ],
                "responses": {
                    "200": {
                        "description": "The item.",
                        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}},
                    },
                    "404": {"description": "There is none."},
                },
            },
            "put": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}},
                },
                "responses": {"200": {"description": "Done."}},
            },
        },
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}},
        "schemas": {
            "Item": {
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "parts": {"type": "array", "items": {"$ref": "#/components/schemas/Item"}},
                    "price": {"$ref": "#/components/schemas/Price"},
                },
            },
            "Price": {"type": "object", "properties": {"cents": {"type": "integer"}}},
        },
    },
}


def test_a_foreign_operation_is_read_with_its_parameters_its_body_and_what_they_refer_to() -> None:
    get, put = OPENAPI.read_all(SHOP)

    parameters = get.declaration.parameters.json_schema
    assert ("getItem", "Get an item.") == (get.declaration.name, get.declaration.description)
    assert {"id": {"type": "integer"}, "lang": {"type": "string", "description": "Language."}} == parameters[
        "properties"
    ]
    assert ["id"] == parameters["required"]
    assert get.declaration.returns is not None
    returns = get.declaration.returns.json_schema
    assert {"$ref": "#"} == returns["properties"]["parts"]["items"]
    assert {"$ref": "#/$defs/Price"} == returns["properties"]["price"]
    assert {"Price"} == set(returns["$defs"])

    body = put.declaration.parameters.json_schema
    assert ["id", "body"] == body["required"]
    assert {"type": "array", "items": {"$ref": "#/$defs/Item"}} == body["$defs"]["Item"]["properties"]["parts"]


def test_a_foreign_operation_is_written_where_it_was_found() -> None:
    reads = OPENAPI.read_all(SHOP)

    document = OPENAPI.write_all([read.declaration for read in reads], title="Shop").document

    item = document["paths"]["/items/{id}"]
    assert {"get", "put"} == set(item)
    assert [("id", "path", True), ("lang", "query", False)] == [
        (one["name"], one["in"], one["required"]) for one in item["get"]["parameters"]
    ]
    assert ["items"] == item["get"]["tags"]
    assert "requestBody" not in item["get"]
    assert item["put"]["requestBody"]["required"] is True
    again = OPENAPI.read_all(document)
    assert [read.declaration.name for read in reads] == [read.declaration.name for read in again]
    for one, other in zip(reads, again, strict=True):
        for value in ({"id": 1}, {"id": "x"}, {"id": 1, "lang": 2}, {"id": 1, "body": {"parts": [{"price": 1}]}}):
            assert one.declaration.arguments.accepts(value) == other.declaration.arguments.accepts(value)


def test_two_functions_with_one_name_do_not_go_into_one_document() -> None:
    one = OPENAPI.read_all(SHOP)[0].declaration

    with pytest.raises(DeclarationError, match=r"Two functions are written as GET /items/\{id\}"):
        OPENAPI.write_all([one, one], title="Twice")
