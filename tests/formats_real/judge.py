"""Holds documents against the client libraries of those who defined their form.

Runs in an environment of its own, as these libraries do not go together with ours.
In: one JSON object per line: `format`, `kind` (tool, call, result) and `document`.
Out: one JSON object per line: `defects`, and `kept`, the document as the library itself passes it on.
"""

from __future__ import annotations

import copy
import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

Document = dict[str, Any]
Answer = tuple[list[str], Any]


def openai_tool(document: Document) -> Answer:
    from openai.types.chat import ChatCompletionFunctionToolParam

    kept = _adapted(ChatCompletionFunctionToolParam, document)
    if not document["function"].get("strict"):
        return [], kept
    from openai.lib._pydantic import _ensure_strict_json_schema

    parameters = document["function"]["parameters"]
    copied = copy.deepcopy(parameters)
    strict = _ensure_strict_json_schema(copied, path=(), root=copied)
    same = _in_one_order(strict) == _in_one_order(parameters)
    return ([] if same else [f"OpenAI's library would make it {json.dumps(strict)}"]), kept


def openai_call(document: Document) -> Answer:
    from openai.types.chat import ChatCompletionMessageFunctionToolCall

    return [], _model(ChatCompletionMessageFunctionToolCall, document)


def openai_result(document: Document) -> Answer:
    from openai.types.chat import ChatCompletionToolMessageParam

    return [], _adapted(ChatCompletionToolMessageParam, document)


def anthropic_tool(document: Document) -> Answer:
    from anthropic.types import ToolParam

    kept = _adapted(ToolParam, document)
    if not document.get("strict") or _has_type_list(document["input_schema"]):
        return [], kept  # their helper knows no list of types, which their interface takes
    from anthropic import transform_schema

    schema = document["input_schema"]
    strict = transform_schema(copy.deepcopy(schema))
    same = strict == _without_types_of_choices(schema)
    return ([] if same else [f"Anthropic's library would make it {json.dumps(strict)}"]), kept


def anthropic_call(document: Document) -> Answer:
    from anthropic.types import ToolUseBlock

    return [], _model(ToolUseBlock, document)


def anthropic_result(document: Document) -> Answer:
    from anthropic.types import ToolResultBlockParam

    return [], _adapted(ToolResultBlockParam, document)


def gemini_tool(document: Document) -> Answer:
    from google.genai.types import FunctionDeclaration

    return [], _model(FunctionDeclaration, document)


def gemini_part(document: Document) -> Answer:
    from google.genai.types import Part

    return [], _model(Part, document)


def mcp_tool(document: Document) -> Answer:
    import mcp_types
    from mcp.shared.tool_name_validation import validate_tool_name
    from mcp_types import _v2025_11_25, _v2026_07_28

    for revision in (_v2025_11_25, _v2026_07_28):
        revision.Tool.model_validate(document)
    wrong = [] if validate_tool_name(document["name"]).is_valid else ["the name is against SEP-986"]
    return wrong, _model(mcp_types.Tool, document)


def mcp_call(document: Document) -> Answer:
    import mcp_types

    return [], _model(mcp_types.CallToolRequestParams, document)


def mcp_result(document: Document) -> Answer:
    import mcp_types
    from mcp_types import _v2025_11_25, _v2026_07_28

    for revision in (_v2025_11_25, _v2026_07_28):
        revision.CallToolResult.model_validate(document)
    return [], _model(mcp_types.CallToolResult, document)


def mcp_session(document: Document) -> Answer:
    """Serve one tool from memory, list it and call it with a real client, which checks the result."""
    import anyio
    import mcp_types
    from mcp.client.client import Client
    from mcp.server import Server

    async def listed(_context: Any, _params: Any) -> Any:
        return mcp_types.ListToolsResult(tools=[mcp_types.Tool.model_validate(document["tool"])])

    async def called(_context: Any, _params: Any) -> Any:
        return mcp_types.CallToolResult.model_validate(document["result"])

    async def play() -> Any:
        async with Client(Server("judge", on_list_tools=listed, on_call_tool=called)) as client:
            tools = (await client.list_tools()).tools
            result = await client.call_tool(tools[0].name, document["arguments"])
            return {"tool": _dumped(tools[0]), "result": _dumped(result)}

    return [], anyio.run(play)


def openapi_tool(document: Document) -> Answer:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    return [str(error.message) for error in OpenAPIV31SpecValidator(document).iter_errors()], document


JUDGES: dict[tuple[str, str], Callable[[Document], Answer]] = {
    ("openai", "tool"): openai_tool,
    ("openai", "call"): openai_call,
    ("openai", "result"): openai_result,
    ("openai_strict", "tool"): openai_tool,
    ("openai_strict", "call"): openai_call,
    ("openai_strict", "result"): openai_result,
    ("anthropic", "tool"): anthropic_tool,
    ("anthropic", "call"): anthropic_call,
    ("anthropic", "result"): anthropic_result,
    ("anthropic_strict", "tool"): anthropic_tool,
    ("anthropic_strict", "call"): anthropic_call,
    ("anthropic_strict", "result"): anthropic_result,
    ("gemini", "tool"): gemini_tool,
    ("gemini", "call"): gemini_part,
    ("gemini", "result"): gemini_part,
    ("mcp", "tool"): mcp_tool,
    ("mcp", "call"): mcp_call,
    ("mcp", "result"): mcp_result,
    ("mcp", "session"): mcp_session,
    ("openapi", "tool"): openapi_tool,
}


def main() -> None:
    """Answer line by line until the input ends."""
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            defects, kept = JUDGES[asked["format"], asked["kind"]](asked["document"])
        except Exception as error:
            defects, kept = [f"{type(error).__name__}: {error}"], None
        sys.stdout.write(json.dumps({"defects": defects, "kept": kept}) + "\n")
        sys.stdout.flush()


def _adapted(kind: Any, document: Document) -> Any:
    """Return what is left of a document when it has passed a typed dictionary of the library."""
    import pydantic

    return pydantic.TypeAdapter(kind).validate_python(document)


def _model(kind: Any, document: Document) -> Any:
    return _dumped(kind.model_validate(document))


def _dumped(model: Any) -> Any:
    return model.model_dump(mode="json", by_alias=True, exclude_none=True)


def _in_one_order(schema: Any) -> Any:
    """Sort what `required` names; its order says nothing."""
    if isinstance(schema, list):
        return [_in_one_order(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {k: sorted(v) if k == "required" and isinstance(v, list) else _in_one_order(v) for k, v in schema.items()}


def _has_type_list(schema: Any) -> bool:
    if isinstance(schema, dict):
        return isinstance(schema.get("type"), list) or any(_has_type_list(one) for one in schema.values())
    return isinstance(schema, list) and any(_has_type_list(one) for one in schema)


def _without_types_of_choices(schema: Any) -> Any:
    """Leave out the type beside an enum or a const, as their helper does."""
    if isinstance(schema, list):
        return [_without_types_of_choices(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    is_choice = isinstance(schema.get("enum"), list) or "const" in schema
    kept = {k: v for k, v in schema.items() if not (is_choice and k == "type" and isinstance(v, str))}
    held = kept.get("properties")
    return {k: _without_types_of_choices(v) if k not in {"enum", "const"} else v for k, v in kept.items()} | (
        {"properties": {k: _without_types_of_choices(v) for k, v in held.items()}} if isinstance(held, dict) else {}
    )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    main()
