"""Tools of Pydantic-AI as ALTAR tools: the contract from their schema, and their own validation and function.

In: a tool, or a toolset of functions. Out: tools that are checked, recorded and governed like every other.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pydantic_core
from pydantic import ValidationError as Unfit
from pydantic_ai import RunContext, RunUsage, Tool
from pydantic_ai.exceptions import ApprovalRequired, CallDeferred, ModelRetry, ToolFailed
from pydantic_ai.messages import ToolReturn
from pydantic_ai.models.test import TestModel
from pydantic_ai.toolsets import FunctionToolset

from altar.adm.canonical import canonical
from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.errors import ConfigurationError, DeclarationError, ExecutionError
from altar.adm.formats import CALL_FORMATS
from altar.later.context import ToolContext
from altar.later.governance import governance_of
from altar.later.imported import imported
from altar.later.imported_text import require_no_orders
from altar.later.registry import REGISTRY
from altar.later.tool import ToolFunction

__all__ = ["bring"]


def bring(
    tool: Any, *, deps: Any, model: Any, governed: bool, adopted: Collection[str], register: bool
) -> list[ToolFunction[..., Any]]:
    """The tools of a toolset, or the one; a plain function is what the framework makes of it."""
    if isinstance(tool, FunctionToolset):
        tools = list(tool.tools.values())
    elif isinstance(tool, Tool):
        tools = [tool]
    elif callable(tool):
        tools = [Tool(tool)]
    else:
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"A value of the type {type(tool).__name__!r} is no tool of Pydantic-AI",
            hint="give a pydantic_ai.Tool, a FunctionToolset, or a function",
        )
    made = [_one(each, deps=deps, model=model, governed=governed, adopted=adopted) for each in tools]
    for taken in made if register else ():  # all of them, or none
        REGISTRY.register(taken)
    return made


def _one(tool: Any, *, deps: Any, model: Any, governed: bool, adopted: Collection[str]) -> ToolFunction[..., Any]:
    declaration, origin = _declaration(tool, governed=governed), f"pydantic-ai:{tool.name}"
    require_no_orders(declaration, origin=origin, adopted=adopted)
    schema = tool.function_schema

    async def run(arguments: Mapping[str, Any], context: ToolContext) -> Any:
        ctx = RunContext(
            deps=deps,
            model=model or TestModel(),
            usage=RunUsage(),
            tool_name=tool.name,
            tool_call_id=context.call_id,
            tool_call_approved=governed,
        )
        try:
            values = schema.validator.validate_json(canonical(dict(arguments)))
            if tool.args_validator is not None:
                refused = tool.args_validator(ctx, **values)
                if hasattr(refused, "__await__"):
                    await refused
            given = await schema.call(values, ctx)
        except (ModelRetry, ToolFailed) as failed:
            hint = "correct the arguments and call again" if isinstance(failed, ModelRetry) else None
            raise ExecutionError("TOOL_EXECUTION_FAILED", failed.message, hint=hint) from failed
        except Unfit as failed:
            first = failed.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ExecutionError(
                "TOOL_EXECUTION_FAILED", f"The argument {place!r} was refused: {first['msg']}"
            ) from failed
        except (ApprovalRequired, CallDeferred) as deferred:
            raise ConfigurationError(
                "FEATURE_UNAVAILABLE",
                f"{tool.name!r} wants to wait for somebody outside of the call, which its framework alone can do",
                ran="unknown",
                hint="let the contract ask: from_pydantic_ai(Tool(…, requires_approval=True), governed=True)",
            ) from deferred
        _count(ctx.usage, context)
        value = given.return_value if isinstance(given, ToolReturn) else given
        return pydantic_core.to_jsonable_python(value, bytes_mode="base64")

    return imported(declaration, run, origin=origin)


def _declaration(tool: Any, *, governed: bool) -> FunctionDeclaration:
    """The contract of a tool: its schema as it stands, and approval where its framework would ask for it."""
    if tool.requires_approval and not governed:
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"{tool.name!r} requires approval, which a function of its own cannot ask for",
            hint="governed=True puts that into its contract, for a host of the tier ADVANCED",
        )
    defined = tool.tool_def
    document: dict[str, Any] = {
        "name": defined.name,
        "description": defined.description or defined.name,
        "inputSchema": defined.parameters_json_schema,
    }
    returns = defined.return_schema
    if returns:
        wrapped = {"type": "object", "properties": {"result": returns}, "required": ["result"]}
        defs = {name: returns.pop(name) for name in ("$defs",) if name in (returns := dict(returns))}
        document |= {
            "outputSchema": {**wrapped, "properties": {"result": returns}, **defs},
            "_meta": {"altar/wrapped-result": True},
        }
    read = CALL_FORMATS["mcp"].read(document).declaration
    asked = governance_of(
        read.name,
        {"requires_approval": True} if tool.requires_approval else None,
        required_roles=(),
        required_permissions=(),
        classification="",
    )
    metadata = {"framework": "pydantic-ai", **asked}
    return replace(read, annotations=Annotations(stateful=bool(defined.sequential)), metadata=metadata, extensions={})


def _count(usage: Any, context: ToolContext) -> None:
    """Tell what the function's own agents took."""
    numbers = {
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cached_tokens": usage.cache_read_tokens,
        "lm_calls": usage.requests,
    }
    taken = {name: number for name, number in numbers.items() if number}
    if taken:
        context.used(**taken)
