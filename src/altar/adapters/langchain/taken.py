"""A tool of LangChain as a tool of ALTAR.

A ``BaseTool`` comes in; a :class:`ToolFunction` goes out that invokes it, awaited where the tool has a coroutine.
What LangChain tells about a failure in words meant for a model stays those words; every other exception is what a
function of ALTAR raises, and only its type is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import ToolMessage
from langchain_core.messages.tool import ToolOutputMixin
from langchain_core.tools import BaseTool, InjectedToolCallId, StructuredTool, Tool, ToolException
from pydantic import BaseModel, ValidationError

from altar.adapters.langchain.exported import AltarTool
from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import Defect
from altar.adm.errors import AltarError, DeclarationError, ExecutionError
from altar.adm.errors import ValidationError as Refused
from altar.adm.formats import FORMATS
from altar.adm.schema import Schema
from altar.later.context import ToolContext
from altar.later.imported import imported
from altar.later.imported_text import require_no_orders
from altar.later.imported_values import plain
from altar.later.tool import ToolFunction

__all__ = ["taken"]

_CALL_ID = "tool_call_id"
_CONTENT_AND_ARTIFACT = Schema.from_adm(
    {
        "type": "OBJECT",
        "properties": {
            "content": {"description": "What a model is to read."},
            "artifact": {"description": "What the tool made, for programs."},
        },
        "required": ["content"],
    }
)


def taken(
    tool: Any,
    *,
    name: str | None,
    version: str,
    injected: dict[str, Any],
    adopted: Collection[str],
    register: bool,
) -> ToolFunction[..., Any]:
    """The tool of ALTAR for a tool of LangChain; see :func:`altar.adapters.langchain.from_langchain`."""
    if not isinstance(tool, BaseTool):
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"A value of the type {type(tool).__name__!r} is not a tool of LangChain",
            hint="give a BaseTool; a function becomes one by langchain_core.tools.tool",
        )
    hidden, ids = _hidden(tool), _ids(tool)
    ids &= hidden
    _require_values(tool, hidden - ids, injected)
    declaration = _declaration(tool, name=name, version=version)
    origin = f"langchain:{tool.name}"
    require_no_orders(declaration, origin=origin, adopted=adopted)
    call = _Call(tool, injected=injected, whole=bool(ids) or tool.response_format == "content_and_artifact")
    function = call.awaited if _has_coroutine(tool) else call.called
    return imported(declaration, function, origin=origin, register=register)


# ------------------------------------------------------------------------------------------------------- the contract


def _declaration(tool: Any, *, name: str | None, version: str) -> FunctionDeclaration:
    """The contract of a tool; that of a tool which ALTAR exported is the one it was exported with."""
    if isinstance(tool, AltarTool) and name is None:
        return tool.contract
    shown = tool.tool_call_schema
    schema = dict(shown) if isinstance(shown, dict) else _schema_of(shown)
    schema["title"] = name or tool.name
    schema["description"] = tool.description
    declaration = FORMATS["json_schema"].read(schema).declaration
    keeps_both = tool.response_format == "content_and_artifact"
    return replace(
        declaration,
        version=version,
        returns=_CONTENT_AND_ARTIFACT if keeps_both else None,
        metadata={"framework": "langchain", "tool_class": type(tool).__name__},
    )


def _schema_of(model: Any) -> dict[str, Any]:
    """The JSON Schema of a pydantic model, of either generation."""
    made: dict[str, Any] = model.model_json_schema() if issubclass(model, BaseModel) else model.schema()
    return made


def _hidden(tool: Any) -> set[str]:
    """The arguments that LangChain does not show to a model and wants to be given."""
    shown = tool.tool_call_schema
    if isinstance(shown, dict):
        return set(tool._injected_args_keys)  # noqa: SLF001 - LangChain has no public name for them
    seen = set(_schema_of(shown).get("properties", {}))
    whole = tool.get_input_schema()
    fields = whole.model_fields if issubclass(whole, BaseModel) else whole.__fields__
    return {field for field in fields if field not in seen} | set(tool._injected_args_keys)  # noqa: SLF001 - as above


def _ids(tool: Any) -> set[str]:
    """Those of the hidden arguments that LangChain fills in with the id of the call."""
    whole = tool.get_input_schema()
    fields = whole.model_fields if issubclass(whole, BaseModel) else {}
    return {_CALL_ID} | {
        name
        for name, field in fields.items()
        if any(one is InjectedToolCallId or isinstance(one, InjectedToolCallId) for one in field.metadata)
    }


def _require_values(tool: Any, hidden: set[str], injected: Mapping[str, Any]) -> None:
    missing = sorted(hidden - injected.keys())
    if missing:
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"{tool.name!r} hides arguments from models, and nobody gives {', '.join(map(repr, missing))}",
            hint=f"give their values: from_langchain(…, injected={{{missing[0]!r}: …}})",
        )


def _has_coroutine(tool: Any) -> bool:
    if isinstance(tool, StructuredTool | Tool):
        return tool.coroutine is not None
    return type(tool)._arun is not BaseTool._arun  # noqa: SLF001 - how LangChain itself tells


# ----------------------------------------------------------------------------------------------------------- the call


class _Told(BaseCallbackHandler):
    """Passes the custom events of a tool on to whoever listens to the call."""

    def __init__(self, context: ToolContext) -> None:
        self._context = context

    def on_custom_event(self, name: str, data: Any, **_: Any) -> None:
        """An event that the tool dispatched."""
        facts = data if isinstance(data, Mapping) else {"data": data}
        self._context.log(name, **{str(key): held for key, held in facts.items()})


class _Call:
    """Invokes a tool; ``whole`` asks for a ToolMessage, which some tools need or give more by."""

    def __init__(self, tool: Any, *, injected: dict[str, Any], whole: bool) -> None:
        self._tool = tool.model_copy(update={"handle_tool_error": False, "handle_validation_error": False})
        self._on_error = tool.handle_tool_error
        self._injected = injected
        self._whole = whole
        schema = tool.args_schema
        self._model = schema.__name__ if isinstance(schema, type) else ""

    def called(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        with self._in_our_words():
            return self._result(self._tool.invoke(self._input(arguments, context), _config(context)))

    async def awaited(self, arguments: Mapping[str, Any], context: ToolContext) -> Any:
        with self._in_our_words():
            return self._result(await self._tool.ainvoke(self._input(arguments, context), _config(context)))

    @contextmanager
    def _in_our_words(self) -> Iterator[None]:
        """What LangChain raises for a caller, as our errors; everything else stays what it is."""
        try:
            yield
        except ValidationError as refused:
            if refused.title != self._model:  # of its own work, and no word for a caller
                raise
            raise _not_accepted(refused) from refused
        except ToolException as failed:
            raise self._error(failed) from failed

    def _input(self, arguments: Mapping[str, Any], context: ToolContext) -> dict[str, Any]:
        given = {**plain(arguments), **self._injected}
        if not self._whole:
            return given
        return {"type": "tool_call", "id": context.call_id, "name": self._tool.name, "args": given}

    def _result(self, output: Any) -> Any:
        """What a tool gave, as JSON: a message that says it failed is an error."""
        if isinstance(output, ToolMessage):
            if output.status == "error":
                raise _failed(str(output.text))
            if self._tool.response_format != "content_and_artifact":
                return plain(output.content)
            return {"content": plain(output.content), "artifact": plain(output.artifact)}
        if isinstance(output, ToolOutputMixin):
            raise ExecutionError(
                "DATA_PROCESSING_ERROR",
                f"{self._tool.name!r} gave a {type(output).__name__}, which only a graph of LangGraph can carry out",
                ran="yes",
                hint="call it inside of its graph, or make the graph a tool",
            )
        return plain(output)

    def _error(self, failed: ToolException) -> AltarError:
        if isinstance(self._on_error, str):
            return _failed(self._on_error)
        if callable(self._on_error):
            return _failed(str(self._on_error(failed)))
        return _failed(str(failed))


def _config(context: ToolContext) -> dict[str, Any]:
    ids = {"altar_call_id": context.call_id, "altar_correlation_id": context.correlation_id}
    return {"callbacks": [_Told(context)], "metadata": ids}


def _failed(words: str) -> AltarError:
    return ExecutionError("TOOL_EXECUTION_FAILED", words or "The tool failed and said no reason", ran="yes")


def _not_accepted(failed: ValidationError) -> AltarError:
    """What pydantic says of arguments that the schema let through, without the values."""
    defects = [
        Defect("".join(f"/{step}" for step in one["loc"]), "MISMATCH", f"Argument {one['loc']}: {one['msg']}")
        for one in failed.errors(include_url=False, include_input=False, include_context=False)[:20]
    ]
    return Refused.from_defects("INVALID_TOOL_ARGS", defects or [Defect("", "MISMATCH", str(failed.title))])
