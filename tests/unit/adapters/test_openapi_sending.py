"""Arguments as parts of a request, by the table of styles in the OpenAPI specification (3.1.1, "Style Examples")."""

from __future__ import annotations

from typing import Any

import pytest

import altar
from altar.adapters.openapi.documents import as_3_1
from altar.adapters.openapi.sending import Body, Parameter, Sending

EMPTY, BLUE = "", "blue"
ARRAY = ["blue", "black", "brown"]
OBJECT = {"R": 100, "G": 200, "B": 150}

STYLES = [
    ("path", "matrix", False, BLUE, ";color=blue"),
    ("path", "matrix", False, ARRAY, ";color=blue,black,brown"),
    ("path", "matrix", False, OBJECT, ";color=R,100,G,200,B,150"),
    ("path", "matrix", True, ARRAY, ";color=blue;color=black;color=brown"),
    ("path", "matrix", True, OBJECT, ";R=100;G=200;B=150"),
    ("path", "label", False, BLUE, ".blue"),
    ("path", "label", False, ARRAY, ".blue,black,brown"),
    ("path", "label", False, OBJECT, ".R,100,G,200,B,150"),
    ("path", "label", True, ARRAY, ".blue.black.brown"),
    ("path", "label", True, OBJECT, ".R=100.G=200.B=150"),
    ("path", "simple", False, ARRAY, "blue,black,brown"),
    ("path", "simple", False, OBJECT, "R,100,G,200,B,150"),
    ("path", "simple", True, OBJECT, "R=100,G=200,B=150"),
    ("query", "form", False, EMPTY, "color="),
    ("query", "form", False, BLUE, "color=blue"),
    ("query", "form", False, ARRAY, "color=blue,black,brown"),
    ("query", "form", False, OBJECT, "color=R,100,G,200,B,150"),
    ("query", "form", True, ARRAY, "color=blue&color=black&color=brown"),
    ("query", "form", True, OBJECT, "R=100&G=200&B=150"),
    ("query", "spaceDelimited", False, ARRAY, "color=blue%20black%20brown"),
    ("query", "spaceDelimited", False, OBJECT, "color=R%20100%20G%20200%20B%20150"),
    ("query", "pipeDelimited", False, ARRAY, "color=blue%7Cblack%7Cbrown"),
    ("query", "pipeDelimited", False, OBJECT, "color=R%7C100%7CG%7C200%7CB%7C150"),
    ("query", "deepObject", True, OBJECT, "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"),
    ("header", "simple", False, ARRAY, "blue,black,brown"),
    ("header", "simple", True, OBJECT, "R=100,G=200,B=150"),
    ("cookie", "form", False, BLUE, "color=blue"),
]


@pytest.mark.parametrize(("place", "style", "explode", "value", "expected"), STYLES)
def test_a_parameter_is_written_in_its_style(place: str, style: str, explode: bool, value: Any, expected: str) -> None:
    parameter = Parameter("color", "color", place, style, explode)
    sending = Sending("get", "/x/{color}" if place == "path" else "/x", (parameter,), None)

    request = sending.request({"color": value})

    held = {
        "path": request.target.removeprefix("/x/"),
        "query": request.target.removeprefix("/x?"),
        "header": request.headers.get("color"),
        "cookie": request.headers.get("cookie"),
    }
    assert expected == held[place]


@pytest.mark.parametrize("value", ["a&b=c", "a b", "ä", "../x", "%2e"])
def test_what_has_a_meaning_in_a_query_is_escaped(value: str) -> None:
    sending = Sending("get", "/x", (Parameter("q", "q", "query", "form", explode=True),), None)

    assert value == dict(altar_query(sending.request({"q": value}).target))["q"]


def altar_query(target: str) -> list[tuple[str, str]]:
    from urllib.parse import parse_qsl

    return parse_qsl(target.partition("?")[2], keep_blank_values=True, strict_parsing=True)


def test_null_and_absent_arguments_are_not_sent() -> None:
    sending = Sending("get", "/x", (Parameter("q", "q", "query", "form", explode=True),), Body("body"))

    request = sending.request({"q": None})

    assert ("/x", b"", False) == (request.target, request.content, "content-type" in request.headers)


def test_a_part_of_the_path_must_have_a_value() -> None:
    sending = Sending("get", "/x/{id}", (Parameter("id", "id", "path", "simple", explode=False),), None)

    with pytest.raises(altar.ValidationError, match="must have a value"):
        sending.request({"id": None})


def test_a_form_in_parts_keeps_names_and_files_apart() -> None:
    body = Body(None, "multipart/form-data", {"file": {"contentType": "image/png"}})

    request = Sending("post", "/x", (), body).request({'na"me\r\n': "v", "file": "iVBORw==", "more": {"a": 1}})

    mark = request.headers["content-type"].partition("boundary=")[2].encode()
    parts = request.content.split(b"--" + mark)
    assert b'\r\nContent-Disposition: form-data; name="na%22me%0D%0A"\r\n\r\nv\r\n' == parts[1]
    assert b'name="file"; filename="file"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n' == parts[2].partition(b"; ")[2]
    assert parts[3].endswith(b'Content-Type: application/json\r\n\r\n{"a":1}\r\n')
    assert b"--\r\n" == parts[4]


def test_bytes_and_text_are_sent_as_they_are() -> None:
    picture = Sending("post", "/x", (), Body("body", "image/png")).request({"body": "iVBORw=="})
    text = Sending("post", "/x", (), Body("body", "text/plain")).request({"body": "déjà"})

    assert (b"\x89PNG", "image/png") == (picture.content, picture.headers["content-type"])
    assert ("déjà".encode(), "text/plain; charset=utf-8") == (text.content, text.headers["content-type"])


# --------------------------------------------------------------------------------------------------------- OpenAPI 3.0

DIFFERENCES = [
    ({"type": "string", "nullable": True}, {"type": ["string", "null"]}),
    ({"type": "string", "enum": ["a"], "nullable": True}, {"type": ["string", "null"], "enum": ["a", None]}),
    (
        {"allOf": [{"$ref": "#/components/schemas/A"}], "nullable": True, "description": "An A."},
        {"description": "An A.", "anyOf": [{"allOf": [{"$ref": "#/components/schemas/A"}]}, {"type": "null"}]},
    ),
    ({"type": "integer", "minimum": 1, "exclusiveMinimum": True}, {"type": "integer", "exclusiveMinimum": 1}),
    ({"type": "integer", "maximum": 1, "exclusiveMaximum": False}, {"type": "integer", "maximum": 1}),
    ({"$ref": "#/components/schemas/A", "nullable": True}, {"$ref": "#/components/schemas/A"}),
    ({"type": "string", "format": "byte"}, {"type": "string", "contentEncoding": "base64"}),
    ({"type": "string", "example": "a"}, {"type": "string", "examples": ["a"]}),
    (
        {"properties": {"example": {"nullable": True, "type": "null"}}},
        {"properties": {"example": {"type": "null"}}},
    ),
]


@pytest.mark.parametrize(("old", "new"), DIFFERENCES)
def test_a_schema_of_openapi_3_0_is_written_anew(old: dict[str, Any], new: dict[str, Any]) -> None:
    document = {"openapi": "3.0.4", "paths": {}, "components": {"schemas": {"B": old}}}

    assert new == as_3_1(document)["components"]["schemas"]["B"]


def test_what_only_looks_like_a_schema_stays() -> None:
    example = {"schema": {"nullable": True}}
    document = {
        "openapi": "3.0.4",
        "paths": {},
        "components": {"examples": {"one": {"value": 1}}},
        "x": {"example": example},
    }

    assert {**document, "openapi": "3.1.1"} == as_3_1(document)
