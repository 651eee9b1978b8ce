"""Declarations, calls and results in the forms of others: model providers, MCP, OpenAPI, JSON Schema.

In: a declaration of ADM, or a document that somebody else wrote.
Out: the other one, and a list of what was lost on the way, which is empty where the format holds everything.
`FORMATS` is the table of formats by name; `CALL_FORMATS` those that also have calls and results.
No document hides a copy of its source: what is read back is what the provider's own tools keep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from altar.adm.formats.anthropic import Anthropic, AnthropicStrict
from altar.adm.formats.format import CallFormat, Format, Loss, Read, Written
from altar.adm.formats.gemini import Gemini
from altar.adm.formats.json_schema import JsonSchema
from altar.adm.formats.mcp import Mcp
from altar.adm.formats.openai import OpenAI, OpenAIStrict
from altar.adm.formats.openapi import OpenApi

__all__ = ["CALL_FORMATS", "FORMATS", "OPENAPI", "CallFormat", "Format", "Loss", "Read", "Written"]

OPENAPI: Final = OpenApi()
"""The format that also writes and reads one document of many functions."""

CALL_FORMATS: Final[Mapping[str, CallFormat]] = {
    format.name: format for format in (OpenAI(), OpenAIStrict(), Anthropic(), AnthropicStrict(), Gemini(), Mcp())
}
"""The formats that have calls and results, by name."""

FORMATS: Final[Mapping[str, Format]] = {"json_schema": JsonSchema(), **CALL_FORMATS, "openapi": OPENAPI}
"""Every format, by name."""
