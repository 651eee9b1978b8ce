"""The signature of a function in one line, for hints and listings.

In: the name and the JSON Schema of the parameters.
Out: text such as `get_weather(city: string, unit: "c" | "f" = "c")`.
The text is for people and models; no program reads it back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

MAX_OPTIONS: Final = 12
"""So many values of an `enum` are written out; then an ellipsis."""

_MAX_DEPTH: Final = 3


def signature_of(name: str, parameters: Mapping[str, Any]) -> str:
    """Return the call of a function with its parameters: the required ones in their order, the others by name."""
    properties: Mapping[str, Any] = parameters.get("properties", {})
    required = parameters.get("required", ())
    written = [
        _parameter(parameter, held, parameter in required, parameters) for parameter, held in _ordered(parameters)
    ]
    if parameters.get("additionalProperties", not properties and "properties" not in parameters):
        written.append("…")
    return f"{name}({', '.join(written)})"


def type_text(schema: object, root: Mapping[str, Any], *, depth: int = _MAX_DEPTH) -> str:
    """Return the type that a schema asks for, with references looked up in `root`."""
    if not isinstance(schema, Mapping):
        return "nothing" if schema is False else "any"
    if "const" in schema:
        return _json(schema["const"])
    if "enum" in schema:
        options = [_json(option) for option in schema["enum"][:MAX_OPTIONS]]
        return " | ".join(options if len(schema["enum"]) <= MAX_OPTIONS else [*options, "…"])
    if "$ref" in schema:
        target = _target(schema["$ref"], root)
        return "object" if depth == 0 else type_text(target, root, depth=depth - 1)
    for name in ("anyOf", "oneOf"):
        if name in schema:
            texts = [type_text(option, root, depth=max(depth - 1, 0)) for option in schema[name]]
            return " | ".join(dict.fromkeys(texts))
    types = schema.get("type", "any")
    types = types if isinstance(types, list) else [types]
    return " | ".join(_one_type(kind, schema, root, depth) for kind in types)


def _parameter(name: str, schema: object, required: bool, root: Mapping[str, Any]) -> str:  # noqa: FBT001 - private
    text = f"{name}: {type_text(schema, root)}"
    if required:
        return text
    if isinstance(schema, Mapping) and "default" in schema:
        return f"{text} = {_json(schema['default'])}"
    return f"{name}?: {text.removeprefix(name + ': ')}"


def _one_type(kind: str, schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> str:
    if kind == "array" and isinstance(schema.get("items"), Mapping) and depth > 0:
        text = type_text(schema["items"], root, depth=depth - 1)
        return f"({text})[]" if " | " in text else f"{text}[]"
    if kind == "object" and schema.get("properties") and depth > 0:
        required = schema.get("required", ())
        members = [
            f"{name}{'' if name in required else '?'}: {type_text(held, root, depth=depth - 1)}"
            for name, held in _ordered(schema)
        ]
        return f"{{{', '.join(members)}}}"
    return kind


def _ordered(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The properties, the required ones first; canonical JSON keeps no order of members, so theirs says nothing."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = [name for name in schema.get("required", ()) if name in properties]
    return [(name, properties[name]) for name in [*required, *sorted(set(properties) - set(required))]]


def _target(reference: object, root: Mapping[str, Any]) -> object:
    held: Any = root
    for step in str(reference).removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        held = held.get(name, {}) if isinstance(held, Mapping) else {}
    return held


def _json(value: object) -> str:
    return orjson.dumps(value).decode("utf-8")
