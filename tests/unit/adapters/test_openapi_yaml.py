"""OpenAPI documents in YAML: the same tools as from JSON, and no more than a document may cost."""

from __future__ import annotations

from pathlib import Path

import pytest

import altar
from altar.adapters.openapi import documents, from_openapi

TEXT = """\
openapi: 3.1.0
info: {title: Notes, version: 1}
paths:
  /notes/{id}:
    get:
      operationId: get_note
      summary: Get one note.
      parameters:
        - {name: id, in: path, required: true, schema: {type: string}}
        - {name: country, in: query, schema: {enum: [no, se], type: string}}
      responses:
        200:
          description: The note.
          content: {application/json: {schema: {type: object, properties: {on: {type: boolean}}}}}
"""


def test_a_document_in_yaml_gives_tools_and_no_stays_norway(tmp_path: Path) -> None:
    file = tmp_path / "notes.yaml"
    file.write_text(TEXT)

    (tool,) = from_openapi(file, server="https://notes.example")

    assert "get_note" == tool.name
    assert ["no", "se"] == tool.declaration.parameters.json_schema["properties"]["country"]["enum"]


def test_aliases_that_would_grow_a_document_are_refused() -> None:
    grown = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))

    with pytest.raises(altar.DeclarationError, match=r"neither JSON nor YAML: .* more than 500000 values"):
        from_openapi(grown + TEXT, server="https://notes.example")


def test_a_text_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "MOST_BYTES_OF_YAML", 100)

    with pytest.raises(altar.DeclarationError, match="the limit is 100"):
        from_openapi(TEXT, server="https://notes.example")
