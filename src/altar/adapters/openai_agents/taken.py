"""A function tool of the OpenAI Agents SDK as a tool of ALTAR.

A ``FunctionTool`` comes in; a :class:`ToolFunction` goes out that invokes it.
The SDK turns most failures into a text for the model, which nobody could tell from a result: here they stay failures,
in the words of the tool's own formatter if it has one.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from agents import FunctionTool
from agents.exceptions import ModelBehaviorError
from agents.tool import (
    default_tool_error_function,
    resolve_function_tool_failure_error_function,
    set_function_tool_failure_error_function,
)
from agents.tool_context import ToolContext as RunContext

from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, DeclarationError, ExecutionError, ValidationError
from altar.adm.formats import CALL_FORMATS
from altar.adm.schema import Schema
from altar.later.context import ToolContext
from altar.later.imported import imported
from altar.later.imported_text import require_no_orders
from altar.later.imported_values import plain
from altar.later.tool import ToolFunction

__all__ = ["taken"]


def taken(
    tool: Any, *, name: str | None, version: str, context: Any, adopted: Collection[str], register: bool
) -> ToolFunction[..., Any]:
    """The tool of ALTAR for a function tool; see :func:`altar.adapters.openai_agents.from_openai_agents`."""
    if not isinstance(tool, FunctionTool):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"A value of the type {type(tool).__name__!r} is not a function tool of the Agents SDK",
            hint="give a FunctionTool; a function becomes one by agents.function_tool",
        )
    _require_nothing_of_a_run(tool)
    declaration = _declaration(tool, name=name, version=version)
    origin = f"openai-agents:{tool.name}"
    require_no_orders(declaration, origin=origin, adopted=adopted)
    return imported(declaration, _Call(tool, context).awaited, origin=origin, register=register)


def _require_nothing_of_a_run(tool: Any) -> None:
    """Refuse what a run of the SDK would check before the tool is invoked: here nobody would."""
    for what, held in (
        ("guardrails", tool.tool_input_guardrails or tool.tool_output_guardrails),
        ("needs_approval", tool.needs_approval is not False),
    ):
        if held:
            raise DeclarationError(
                "INVALID_DECLARATION",
                f"{tool.name!r} has {what}, which only a run of the Agents SDK heeds",
                hint="give a copy without, and say the same by a policy of the host",
            )


def _declaration(tool: Any, *, name: str | None, version: str) -> FunctionDeclaration:
    function = {
        "name": name or tool.name,
        "description": tool.description,
        "parameters": tool.params_json_schema,
        **({"strict": True} if tool.strict_json_schema else {}),
    }
    declaration = CALL_FORMATS["openai"].read({"type": "function", "function": function}).declaration
    returns = tool.output_json_schema
    seconds = tool.timeout_seconds
    return replace(
        declaration,
        version=version,
        returns=None if returns is None else Schema.from_json_schema(returns, mode="lenient"),
        metadata={
            "framework": "openai-agents",
            **({} if seconds is None else {"timeout_ms": max(1, round(seconds * 1000))}),
        },
    )


class _Call:
    """Invokes a tool."""

    def __init__(self, tool: Any, context: Any) -> None:
        self._tool = copy.copy(tool)
        self._context = context
        found = resolve_function_tool_failure_error_function(tool)
        self._formatter = None if found is default_tool_error_function else found
        set_function_tool_failure_error_function(self._tool, None)

    async def awaited(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        """What the tool gave, as JSON."""
        text = canonical(plain(arguments)).decode("utf-8")
        run = RunContext(
            context=self._context,
            tool_name=self._tool.name,
            tool_call_id=context.call_id,
            tool_arguments=text,
        )
        try:
            return plain(await self._tool.on_invoke_tool(run, text), without_none=True)
        except ModelBehaviorError as refused:
            raise ValidationError(
                "INVALID_TOOL_ARGS",
                f"{self._tool.name!r} does not accept these arguments",
                detail=str(refused),
            ) from refused
        except Exception as failed:
            if self._formatter is None or isinstance(failed, AltarError):
                raise
            words = self._formatter(run, failed)
            if inspect.isawaitable(words):
                words = await words
            raise ExecutionError("TOOL_EXECUTION_FAILED", str(words), ran="yes") from failed
