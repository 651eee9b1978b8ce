"""What a run begins with, as the JSON Schema of an object: from types of Python, from schemas, or from a text.

The values of a run are held against it in the words of any tool's arguments.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping
from typing import Any, get_origin

import orjson

from altar.adm.canonical import canonical
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, DeclarationError
from altar.adm.schema import Schema
from altar.ai.pipelines.making import refused
from altar.later.introspection.introspect import declare
from altar.later.json_form import ARGUMENTS

__all__ = ["checked_inputs", "schema_of_inputs"]

_NAMED = {"str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "Any": Any, "None": None}
_HINT = "write inputs={'topic': str, 'limit': {'type': 'integer'}}, or inputs='topic: str, limit: int = 10'"


def schema_of_inputs(inputs: object, name: str) -> dict[str, Any] | None:
    """The JSON Schema of an object with these inputs; None when nobody named any.

    A type of Python, a JSON Schema or an ADM schema stands for each; a schema may say a ``default``.
    Raises DeclarationError INVALID_PIPELINE for anything else.
    """
    if inputs is None:
        return None
    defaults: dict[str, Any] = {}
    if isinstance(inputs, str):
        inputs, defaults = _read(inputs, name)
    if not isinstance(inputs, Mapping) or not all(isinstance(key, str) and key for key in inputs):
        raise refused(f"The inputs of {name!r} are of type {type(inputs).__name__!r}", _HINT)
    defs: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for key, given in inputs.items():
        schema = dict(_one(given, key, name))
        for each, held in schema.pop("$defs", {}).items():
            if defs.setdefault(each, held) != held:
                raise refused(f"Two types in the inputs of {name!r} are called {each!r}", "rename one of them")
        properties[key] = {**schema, "default": defaults[key]} if key in defaults else schema
    required = [key for key, schema in properties.items() if "default" not in schema]
    document = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {**document, "$defs": defs} if defs else document


def checked_inputs(declaration: FunctionDeclaration, given: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of a run as JSON values, with the defaults that are left out.

    ``declaration`` is that of the pipeline as a tool.
    Raises ValidationError INVALID_TOOL_ARGS, or SERIALIZATION_ERROR, for what does not fit.
    """
    values: dict[str, Any] = orjson.loads(ARGUMENTS.write(dict(given)))
    declaration.check_arguments(values)
    for name, schema in declaration.parameters.json_schema.get("properties", {}).items():
        if name not in values and isinstance(schema, Mapping) and "default" in schema:
            values[name] = orjson.loads(canonical(schema["default"]))
    return values


# ---------------------------------------------------------------------------------------------------------- inside


def _one(given: object, key: str, name: str) -> Mapping[str, Any]:
    """The JSON Schema of one input."""
    try:
        if isinstance(given, Mapping):
            document = dict(given)
            kind = document.get("type")
            if isinstance(kind, str) and kind.isupper():
                return Schema.from_adm(document).json_schema
            Schema.from_json_schema(document)
            return document
        return _of_type(given, key)
    except AltarError as unfit:
        raise refused(f"The input {key!r} of {name!r} has no schema: {unfit.message}", _HINT) from unfit


def _of_type(given: Any, key: str) -> Mapping[str, Any]:
    def takes(**_: Any) -> None:
        """Take it."""

    parameter = inspect.Parameter("value", inspect.Parameter.KEYWORD_ONLY, annotation=given)
    vars(takes)["__signature__"] = inspect.Signature([parameter], return_annotation=None)
    takes.__annotations__ = {"value": given, "return": None}
    if not (given is None or given is Any or isinstance(given, type) or get_origin(given) is not None):
        raise DeclarationError("INVALID_PIPELINE", f"a value of type {type(given).__name__!r} is no type", ran="no")
    declaration, _ = declare(takes, name="inputs", description=f"Takes {key}.")
    document = declaration.parameters.json_schema
    schema = dict(document["properties"]["value"])
    return {**schema, "$defs": document["$defs"]} if "$defs" in document else schema


def _read(text: str, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Types and defaults of ``topic: str, limit: int = 10``; nothing in it is evaluated."""
    try:
        tree = ast.parse(f"def inputs(*, {text}): ...", mode="exec").body[0]
    except SyntaxError as unread:
        raise refused(f"The inputs {text[:100]!r} of {name!r} cannot be read", _HINT) from unread
    if not isinstance(tree, ast.FunctionDef) or tree.args.kwarg or tree.args.args or not tree.args.kwonlyargs:
        raise refused(f"The inputs {text[:100]!r} of {name!r} cannot be read", _HINT)
    types: dict[str, Any] = {}
    defaults: dict[str, Any] = {}
    for argument, default in zip(tree.args.kwonlyargs, tree.args.kw_defaults, strict=True):
        types[argument.arg] = str if argument.annotation is None else _type(argument.annotation, text, name)
        if default is not None:
            try:
                defaults[argument.arg] = ast.literal_eval(default)
            except ValueError as unread:
                raise refused(f"The default of {argument.arg!r} in {name!r} is no value", _HINT) from unread
    return types, defaults


def _type(node: ast.expr, text: str, name: str) -> Any:
    match node:
        case ast.Name(id=known) if known in _NAMED:
            return _NAMED[known]
        case ast.Constant(value=None):
            return None
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _type(left, text, name) | _type(right, text, name)
        case ast.Subscript(value=ast.Name(id="list"), slice=inner):
            return list[_type(inner, text, name)]  # type: ignore[misc]  # made at run time
        case ast.Subscript(value=ast.Name(id="dict"), slice=ast.Tuple(elts=[ast.Name(id="str"), inner])):
            return dict[str, _type(inner, text, name)]  # type: ignore[misc]  # made at run time
        case _:
            raise refused(f"The inputs {text[:100]!r} of {name!r} name a type that no text can name", _HINT)
