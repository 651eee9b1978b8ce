"""A call as an approver is shown it: rendered by the host from what it keeps, and never by who asked.

What the contract marks as secret is masked: a member with ``writeOnly``, or of the format ``password``; and so is a
text whose name says it to be one.
Characters that cannot be seen, or that turn the direction of text, are written as escapes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from altar.later.app_records import means_secret

__all__ = ["MASKED", "rendered"]

MASKED = "[masked]"
_DEEPEST = 16


def rendered(arguments: bytes, schema: Mapping[str, Any] | None) -> str:
    """The arguments (JSON) as text for a person; ``schema`` are the parameters of the contract."""
    value = json.loads(arguments)
    shown = _masked(value, (schema or {},), schema or {}, 0)
    return "".join(map(_visible, json.dumps(shown, ensure_ascii=False, indent=2, sort_keys=True)))


def _masked(value: Any, schemas: Iterable[Mapping[str, Any]], root: Mapping[str, Any], depth: int) -> Any:
    parts = [part for schema in schemas for part in _parts(schema, root, 0)]
    if depth > _DEEPEST or any(part.get("writeOnly") is True or part.get("format") == "password" for part in parts):
        return MASKED
    if isinstance(value, dict):
        return {
            name: MASKED
            if isinstance(held, str) and means_secret(name)
            else _masked(held, [found for part in parts for found in _of(part, name)], root, depth + 1)
            for name, held in value.items()
        }
    if isinstance(value, list):
        items = [part["items"] for part in parts if isinstance(part.get("items"), dict)]
        return [_masked(held, items, root, depth + 1) for held in value]
    return value


def _parts(schema: Mapping[str, Any], root: Mapping[str, Any], depth: int) -> Iterator[Mapping[str, Any]]:
    """A schema, what it refers to in its own document, and its alternatives."""
    if depth > _DEEPEST:
        return
    yield schema
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference.startswith("#/"):
        found: Any = root
        for step in reference[2:].split("/"):
            found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        if isinstance(found, dict):
            yield from _parts(found, root, depth + 1)
    for word in ("allOf", "anyOf", "oneOf"):
        for each in schema.get(word) or ():
            if isinstance(each, dict):
                yield from _parts(each, root, depth + 1)


def _of(schema: Mapping[str, Any], name: str) -> Iterator[Mapping[str, Any]]:
    properties, more = schema.get("properties"), schema.get("additionalProperties")
    if isinstance(properties, dict) and isinstance(properties.get(name), dict):
        yield properties[name]
    elif isinstance(more, dict):
        yield more


def _visible(letter: str) -> str:
    return letter if letter.isprintable() or letter == "\n" else f"\\u{{{ord(letter):x}}}"
