"""A ``dspy.Tool`` as a tool of ALTAR: its contract from what it says of its arguments, its calls through itself.

Loaded by :func:`altar.adapters.dspy.from_dspy` only, when DSPy is there: importing this module imports pydantic.
"""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from typing import Any, get_type_hints

from pydantic import PydanticUserError, TypeAdapter

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, DeclarationError
from altar.adm.formats.names import fitting
from altar.adm.formats.openai import OpenAI
from altar.adm.schema import Schema
from altar.later.context import ToolContext
from altar.later.imported import imported
from altar.later.imported_text import require_no_orders
from altar.later.tool import ToolFunction

__all__ = ["imported_tool"]


def imported_tool(
    tool: Any,
    *,
    name: str | None,
    version: str,
    description: str | None,
    adopted: Collection[str],
    register: bool,
) -> ToolFunction[..., Any]:
    """The tool of ALTAR that calls this ``dspy.Tool``; one that came from ALTAR keeps its contract."""
    own = getattr(tool, "declaration", None)
    declaration = own if isinstance(own, FunctionDeclaration) else _declaration(tool, name, version, description)
    if declaration is not own:
        require_no_orders(declaration, origin=f"dspy:{tool.name}", adopted=adopted)
    kind = tool.func if inspect.isroutine(tool.func) else type(tool.func).__call__

    async def awaited(arguments: Mapping[str, Any], _context: ToolContext) -> Any:
        return await tool.acall(**arguments)

    def called(arguments: Mapping[str, Any], _context: ToolContext) -> Any:
        return tool(**arguments)

    function = awaited if inspect.iscoroutinefunction(kind) else called
    return imported(declaration, function, origin=f"dspy:{tool.name}", register=register)


def _declaration(tool: Any, name: str | None, version: str, description: str | None) -> FunctionDeclaration:
    said = description or (tool.desc or "").strip()
    if not said:
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"The tool {tool.name!r} of DSPy has no description",
            ran="no",
            hint="give it a docstring, dspy.Tool(..., desc=...), or from_dspy(..., description=...)",
        )
    document = tool.format_as_litellm_function_call()["function"]
    starred = _starred(tool.func)
    properties = {key: _typed(each) for key, each in document["parameters"]["properties"].items() if key not in starred}
    parameters = {
        "type": "object",
        "properties": properties,
        "required": [key for key in document["parameters"]["required"] if key not in starred],
    }
    chosen = name or fitting(tool.name)
    read = OpenAI().read({"name": chosen, "description": said, "parameters": parameters}).declaration
    return FunctionDeclaration(
        read.name,
        read.description,
        read.parameters,
        returns=_returns(tool.func),
        version=version,
        annotations=read.annotations,
        metadata={**read.metadata, "framework": "dspy"},
    )


def _starred(function: Any) -> set[str]:
    """The names of ``*args`` and ``**kwargs``, which DSPy lists as arguments that must be given."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return set()
    return {each.name for each in parameters if each.kind in {each.VAR_POSITIONAL, each.VAR_KEYWORD}}


def _typed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A schema without ``"type": "Any"``, as DSPy writes what it does not know."""
    return {key: each for key, each in schema.items() if (key, each) != ("type", "Any")}


def _returns(function: Any) -> Schema | None:
    """What a function says that it returns; None where it does not say, or says what has no schema."""
    try:
        annotation = get_type_hints(function if inspect.isroutine(function) else type(function).__call__).get("return")
    except (NameError, TypeError):
        return None
    if annotation is None or annotation is Any or annotation is type(None):
        return None
    try:
        return Schema.from_json_schema(TypeAdapter(annotation).json_schema(mode="serialization"))
    except (PydanticUserError, AltarError):
        return None
