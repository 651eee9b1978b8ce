"""The tools that the conformance kit of MCP asks a server for, as far as a session can offer them.

Names and results are those of the kit.
"""

from __future__ import annotations

import asyncio
import base64
from typing import Annotated, Any

from pydantic import Field

import altar

PNG = base64.b64decode("iVBORw0KGgo=")
WAV = b"RIFF$\x00\x00\x00WAVEfmt "

Picture = Annotated[bytes, Field(json_schema_extra={"contentMediaType": "image/png"})]
Sound = Annotated[bytes, Field(json_schema_extra={"contentMediaType": "audio/wav"})]


@altar.tool(name="test_simple_text")
def simple_text() -> str:
    """Say a sentence."""
    return "This is a simple text response for testing."


@altar.tool(name="test_image_content")
def image_content() -> Picture:
    """Draw a picture."""
    return PNG


@altar.tool(name="test_audio_content")
def audio_content() -> Sound:
    """Make a sound."""
    return WAV


@altar.tool(name="test_embedded_resource")
def embedded_resource():  # type: ignore[no-untyped-def]  # noqa: ANN201 - blocks go out where nothing is promised
    """Give a resource."""
    return [_resource("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


@altar.tool(name="test_multiple_content_types")
def multiple_content_types():  # type: ignore[no-untyped-def]  # noqa: ANN201 - likewise
    """Give a text, a picture and a resource."""
    return [
        {"type": "text", "text": "Multiple content types test:"},
        {"type": "image", "data": base64.b64encode(PNG).decode(), "mimeType": "image/png"},
        _resource("test://mixed-content-resource", "application/json", '{"test":"data","value":123}'),
    ]


@altar.tool(name="test_error_handling")
def error_handling() -> str:
    """Fail."""
    raise RuntimeError("This tool intentionally returns an error for testing")


@altar.tool(name="test_tool_with_progress")
async def tool_with_progress(context: altar.ToolContext) -> str:
    """Tell how far it is."""
    for done in (0, 50, 100):
        context.progress(done, 100, "on its way")
        await asyncio.sleep(0.05)
    return "done"


def _resource(uri: str, kind: str, text: str) -> dict[str, Any]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": kind, "text": text}}
