"""Python types for the members of a JSON Schema, as a signature of DSPy wants them.

In: the schema of an object.
Out: for each member an annotation, whether it must be given, and its default.
What a type of Python cannot say is left to the session, which checks against the schema itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, create_model

__all__ = ["Member", "members_of"]

_PLAIN: Final[Mapping[str, Any]] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": None,
    "array": list[Any],
    "object": dict[str, Any],
}

_BOUNDS: Final = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "pattern": "pattern",
    "minItems": "min_length",
    "maxItems": "max_length",
}

_MOST_NESTED: Final = 8


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its type in Python, its description, and what it is when it is not given."""

    name: str
    annotation: Any
    description: str
    required: bool
    default: Any = None


def members_of(schema: Mapping[str, Any]) -> list[Member]:
    """The members of an object's schema, in their order."""
    definitions = schema.get("$defs", {})
    required = schema.get("required", ())
    found = []
    for name, each in schema.get("properties", {}).items():
        annotation = _annotation(each, definitions, ())
        if name not in required and "default" not in each:
            annotation = annotation | None if annotation is not Any else Any
        found.append(Member(name, annotation, str(each.get("description", "")), name in required, each.get("default")))
    return found


def _annotation(schema: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if not isinstance(schema, Mapping) or len(inside) > _MOST_NESTED:
        return Any
    reference = schema.get("$ref")
    if isinstance(reference, str):
        if reference in inside:
            return Any  # a type that holds itself
        return _annotation(definitions.get(reference.removeprefix("#/$defs/")), definitions, (*inside, reference))
    if "enum" in schema:
        return _literal(schema["enum"])
    if "const" in schema:
        return _literal([schema["const"]])
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return _either(_annotation(each, definitions, inside) for each in schema[word])
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return _either(_annotation({**schema, "type": kind}, definitions, inside) for kind in kinds)
    if kinds == "array":
        return _bounded(list[_annotation(schema.get("items"), definitions, inside)], schema)  # type: ignore[misc]  # a type made here
    if kinds == "object":
        return _object(schema, definitions, inside)
    return _bounded(_PLAIN.get(str(kinds), Any), schema)


def _literal(values: list[Any]) -> Any:
    """One of these values, where Python has a type for that."""
    if all(isinstance(each, (str, int, bool, type(None))) for each in values) and values:
        return Literal[tuple(values)]
    return Any


def _either(annotations: Any) -> Any:
    whole: Any = None
    found = list(annotations)
    if Any in found or not found:
        return Any
    for index, each in enumerate(found):
        whole = each if index == 0 else whole | each
    return whole


def _bounded(annotation: Any, schema: Mapping[str, Any]) -> Any:
    bounds = {ours: schema[theirs] for theirs, ours in _BOUNDS.items() if theirs in schema}
    return Annotated[annotation, Field(**bounds)] if bounds and annotation is not None else annotation


def _object(schema: Mapping[str, Any], definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    """A model of its members, or a mapping where there are none, or their names are not Python's."""
    properties = schema.get("properties")
    if not properties:
        values = schema.get("additionalProperties")
        return dict[str, _annotation(values, definitions, inside)] if isinstance(values, Mapping) else dict[str, Any]  # type: ignore[misc]  # a type made here
    if not all(name.isidentifier() and not name.startswith("_") and not hasattr(_Plain, name) for name in properties):
        return dict[str, Any]
    required = schema.get("required", ())
    fields: dict[str, Any] = {}
    for name, each in properties.items():
        annotation = _annotation(each, definitions, (*inside, ""))
        said = {"description": each["description"]} if isinstance(each, Mapping) and "description" in each else {}
        if name in required:
            fields[name] = (annotation, Field(**said))
        else:
            fields[name] = (annotation if annotation is Any else annotation | None, Field(default=None, **said))
    title = str(schema.get("title") or "Object")
    return create_model(title if title.isidentifier() else "Object", __config__=ConfigDict(extra="allow"), **fields)


_Plain: Final = create_model("Plain")
