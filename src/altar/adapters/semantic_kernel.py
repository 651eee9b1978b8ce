"""Functions of Semantic Kernel as ALTAR tools, and the tools of a session as a plugin of a kernel.

Semantic Kernel 1.45 wants mcp 1 and pydantic below 2.14, so it lives in an environment of its own: a runtime there
serves its functions on a grid (`altar runtime --tools`), and any other environment calls them.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, ValidationError
from altar.adm.formats.names import fitting
from altar.adm.formats.references import rebased
from altar.adm.schema import Schema
from altar.later.context import ToolContext
from altar.later.extras import loaded
from altar.later.imported import imported
from altar.later.imported_text import require_no_orders
from altar.later.introspection.introspect import declare
from altar.later.registry import REGISTRY
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from semantic_kernel import Kernel
    from semantic_kernel.functions import KernelFunction, KernelPlugin

    from altar.later.session import Session

__all__ = ["approval_filter", "from_semantic_kernel", "to_semantic_kernel"]

_EXTRA = "semantic-kernel"
_HANDED_IN = frozenset({"kernel", "service", "execution_settings", "arguments"})
"""Parameters that Semantic Kernel fills by itself."""


# ------------------------------------------------------------------------------------------ Semantic Kernel → ALTAR


def from_semantic_kernel(
    kernel: Kernel,
    *,
    plugins: Iterable[str] = (),
    version: str = "1.0.0",
    adopted: Collection[str] = (),
    register: bool = False,
) -> list[ToolFunction[..., Any]]:
    """The functions of a kernel as tools called `plugin-function`, all of them or those of the ``plugins`` named.

    A method's contract comes from its own signature, which keeps what Semantic Kernel's metadata loses (literals,
    dates, null, constraints); that of a prompt, and of a method that is handed a kernel or a service, from metadata.
    A call passes the kernel's filters; what a function raises is told as TOOL_EXECUTION_FAILED.
    ``adopted`` are digests of contracts whose texts a person has read, where they look as if they gave orders.
    ``register`` puts them into the registry of this process, which a runtime serves.
    Raises ConfigurationError ENVIRONMENT_ERROR without the extra `semantic-kernel`, ValidationError UNSUPPORTED_TOOL
    for a plugin that is not there, and DeclarationError for a signature that no contract can hold, or texts that give
    orders.
    """
    _framework()
    wanted = list(plugins) or sorted(kernel.plugins)
    for missing in [name for name in wanted if name not in kernel.plugins]:
        raise ValidationError(
            "UNSUPPORTED_TOOL",
            f"The kernel has no plugin {missing!r}",
            hint=f"it has: {', '.join(sorted(kernel.plugins)) or 'none'}",
        )
    functions = [function for name in wanted for function in kernel.plugins[name]]
    made = [_tool_of(function, kernel, version=version) for function in functions]
    for tool in made:
        require_no_orders(tool.declaration, origin=tool.function.__module__, adopted=adopted)
    for tool in made if register else ():  # all of them, or none
        REGISTRY.register(tool)
    return made


def _tool_of(function: KernelFunction, kernel: Kernel, *, version: str) -> ToolFunction[..., Any]:
    named = function.fully_qualified_name
    method = None if function.is_prompt else getattr(function, "method", None)
    if method is not None and _HANDED_IN.isdisjoint(parameter.name or "" for parameter in function.parameters):
        return _tool_of_method(method, function, kernel, version=version)

    async def call(arguments: Mapping[str, Any], _context: ToolContext) -> Any:
        value = await _invoked(function, kernel, arguments)
        return "".join(map(str, value)) if function.is_prompt and isinstance(value, list) else _plain(value)

    given = [parameter for parameter in function.parameters if method is None or parameter.name not in _HANDED_IN]
    schema = {
        "type": "object",
        "properties": {str(each.name): _of_parameter(each) for each in given},
        "required": [str(each.name) for each in given if each.is_required],
    }
    declaration = FunctionDeclaration(
        fitting(named),
        _description(function),
        Schema.from_json_schema(schema),
        Schema.from_json_schema({"type": "string"}) if method is None else None,
        version=version,
        metadata=_metadata(function),
    )
    return imported(declaration, call, origin=f"semantic_kernel:{named}")


def _tool_of_method(
    method: Callable[..., Any], function: KernelFunction, kernel: Kernel, *, version: str
) -> ToolFunction[..., Any]:
    """The tool of a method: values reach it in the types of its annotations, as the contract has read them."""
    declaration, binder = declare(
        method,
        name=fitting(function.fully_qualified_name),
        description=_description(function),
        version=version,
        metadata=_metadata(function),
    )
    read_already = [each.model_copy(update={"type_object": None}) for each in function.parameters]
    alike = _framework().functions.KernelFunctionFromMethod(
        method=method, plugin_name=function.plugin_name, parameters=read_already
    )

    async def awaited(**arguments: Any) -> Any:
        return await _invoked(alike, kernel, arguments)

    async def iterated(**arguments: Any) -> AsyncIterator[Any]:
        async for value in alike.invoke_stream(kernel, _framework().functions.KernelArguments(**arguments)):
            yield value

    called = iterated if binder.streams else awaited
    called.__name__ = called.__qualname__ = declaration.name
    called.__module__ = f"semantic_kernel:{function.fully_qualified_name}"
    binder.is_async = True
    return ToolFunction(called, declaration=declaration, binder=binder)


async def _invoked(function: KernelFunction, kernel: Kernel, arguments: Mapping[str, Any]) -> Any:
    """The value of a function, through the filters of its kernel. Raises what the function itself raised."""
    try:
        result = await function.invoke(kernel, _framework().functions.KernelArguments(**arguments))
    except Exception as raised:
        theirs = type(raised).__module__.startswith("semantic_kernel.")
        raise (raised.__cause__ if theirs and raised.__cause__ is not None else raised) from raised
    return None if result is None else result.value


def _description(function: KernelFunction) -> str:
    return function.description or f"The function {function.fully_qualified_name} of a kernel."


def _metadata(function: KernelFunction) -> dict[str, Any]:
    return {"framework": "semantic_kernel", "function": function.fully_qualified_name}


def _of_parameter(parameter: Any) -> dict[str, Any]:
    schema = dict(parameter.schema_data or {})
    if schema.get("type") == "object" and "properties" not in schema:
        del schema["type"]  # what it writes for a type that it does not know
    if parameter.description:
        schema["description"] = parameter.description
    return schema


def _plain(value: Any) -> Any:
    from pydantic_core import to_jsonable_python

    return to_jsonable_python(value)


# ------------------------------------------------------------------------------------------ ALTAR → Semantic Kernel


def to_semantic_kernel(
    session: Session, *, plugin: str = "altar", names: Iterable[str] | None = None, description: str = ""
) -> KernelPlugin:
    """The tools of a session as one plugin, for ``kernel.add_plugin``: all of them, or those ``names``.

    A function gives what its tool gave; its result's ``metadata`` has the id of the call, and its usage where known.
    What fails is raised as FunctionExecutionException in words that a model can read, which is what a kernel tells a
    model that called by itself; a call that a person must approve gives those words as its value instead, and
    `metadata["approval"]`, the handle for `Session.resume`.
    Streams give the values one by one. Text is read as JSON where the tool wants no text, as templates write it.
    Raises ConfigurationError ENVIRONMENT_ERROR without the extra, ValidationError UNSUPPORTED_TOOL for a name that the
    session does not have.
    """
    made = [_function_of(session, name, plugin) for name in (session.tools if names is None else names)]
    kernel_plugin: KernelPlugin = _framework().functions.KernelPlugin(
        name=plugin, description=description or "Tools behind a contract", functions=made
    )
    return kernel_plugin


def approval_filter() -> Callable[..., Awaitable[None]]:
    """A filter that ends a kernel's own loop of calls when one waits for approval.

    ``kernel.add_filter(FilterTypes.AUTO_FUNCTION_INVOCATION, approval_filter())``; without it the model is told that
    the call waits, and goes on.
    """

    async def end_when_waiting(context: Any, next: Callable[[Any], Awaitable[None]]) -> None:  # noqa: A002 - its name
        await next(context)
        result = context.function_result
        context.terminate = context.terminate or bool(result is not None and result.metadata.get("approval"))

    return end_when_waiting


def _function_of(session: Session, name: str, plugin: str) -> KernelFunction:
    declaration = session.declaration(name)
    if declaration is None:
        raise ValidationError(
            "UNSUPPORTED_TOOL", f"The session has no tool {name!r}", ran="no", hint="open it with this tool"
        )
    functions = _framework().functions
    described = functions.KernelFunctionMetadata(
        name=declaration.name,
        plugin_name=plugin,
        description=declaration.description,
        is_prompt=False,
        is_asynchronous=True,
        parameters=_parameters(declaration),
        return_parameter=_returned(declaration),
        additional_properties={"version": declaration.version, "digest": declaration.digest},
    )
    function: KernelFunction = _class_of_functions()(metadata=described, session=session, declaration=declaration)
    return function


def _parameters(declaration: FunctionDeclaration) -> list[Any]:
    """One for each argument, with a schema that stands alone: its references lead to definitions of its own."""
    schema = declaration.parameters.json_schema
    definitions = {word: schema[word] for word in ("$defs", "definitions") if word in schema}
    made = []
    for name, held in schema.get("properties", {}).items():
        alone = dict(held) if isinstance(held, Mapping) else {}
        for word, defined in definitions.items():
            alone = {**alone, word: defined}
            alone = rebased(alone, old=f"#/{word}", new=f"#/properties/{name}/{word}")
        made.append(
            _framework().functions.KernelParameterMetadata(
                name=name,
                description=str(alone.get("description", "")),
                default_value=alone.get("default"),
                type_=str(alone.get("type", "object")),
                is_required=name in schema.get("required", ()),
                schema_data=alone,
            )
        )
    return made


def _returned(declaration: FunctionDeclaration) -> Any:
    schema = {} if declaration.returns is None else declaration.returns.json_schema
    return _framework().functions.KernelParameterMetadata(
        name="return",
        description=str(schema.get("description", "")),
        type_=str(schema.get("type", "object")),
        is_required=True,
        schema_data=dict(schema),
    )


@cache
def _class_of_functions() -> Any:
    """The class of the functions made here; made when Semantic Kernel is there."""
    framework = _framework()
    failed = loaded("semantic_kernel.exceptions", extra=_EXTRA, what="Semantic Kernel").FunctionExecutionException

    base: Any = framework.functions.KernelFunction

    class AltarFunction(base):
        """A tool of a session."""

        session: Any
        declaration: Any

        async def _invoke_internal(self, context: Any) -> None:
            result = await self.session.call(self.name, self._arguments(context))
            told = {"call_id": result.call_id, **({"usage": dict(result.usage)} if result.usage else {})}
            if result.error is None:
                value = result.content
            elif result.error.type == "APPROVAL_PENDING":
                value, told["approval"] = result.error.text, result.error.handle
            else:
                raise failed(result.error.text) from result.error.to_error()
            context.result = framework.functions.FunctionResult(function=self.metadata, value=value, metadata=told)

        async def _invoke_internal_stream(self, context: Any) -> None:
            values = self.session.stream(self.name, self._arguments(context))
            context.result = framework.functions.FunctionResult(function=self.metadata, value=_told(values, failed))

        def _arguments(self, context: Any) -> dict[str, Any]:
            schemas = self.declaration.parameters.json_schema.get("properties", {})
            given = {name: context.arguments[name] for name in schemas if name in context.arguments}
            return {name: _read(value, schemas[name]) for name, value in given.items()}

    return AltarFunction


async def _told(values: Any, failed: type[Exception]) -> Any:
    try:
        async for value in values:
            yield value
    except AltarError as error:
        raise failed(str(error)) from error


def _read(value: Any, schema: Any) -> Any:
    """A value as it is, but text that a template wrote for what is no text as the JSON that it may be."""
    kinds = schema.get("type") if isinstance(schema, Mapping) else None
    if not isinstance(value, str) or not isinstance(kinds, str) or kinds == "string":
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _framework() -> Any:
    framework = loaded("semantic_kernel", extra=_EXTRA, what="Semantic Kernel")
    loaded("semantic_kernel.functions", extra=_EXTRA, what="Semantic Kernel")
    return framework
