"""Nulls that stand for leaving an argument out, taken out again.

In: arguments from a provider whose strict mode requires every property, and the schema they were declared by.
Out: the arguments without the nulls that the schema would refuse.
A null that the schema admits stays: nobody can tell whether it was meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from altar.adm.errors import DeclarationError
from altar.adm.formats.narrowing import admits_null
from altar.adm.formats.references import found
from altar.adm.schema import Schema


def without_nulls(value: Any, schema: Mapping[str, Any]) -> Any:
    """Return the value without nulls for optional properties that admit none, at every depth."""
    return _pruned(value, schema, schema)


def _pruned(value: Any, node: Any, root: Mapping[str, Any]) -> Any:
    if not isinstance(node, Mapping) or not isinstance(value, Mapping | list):
        return value
    if "$ref" in node:
        value = _pruned(value, found(root, node["$ref"]), root)
    value = _members(value, node, root) if isinstance(value, Mapping) else _items(value, node, root)
    for part in node.get("allOf", ()):
        value = _pruned(value, part, root)
    for name in ("anyOf", "oneOf"):
        if name in node:
            value = _chosen(value, node[name], root)
    return value


def _members(value: Mapping[str, Any], node: Mapping[str, Any], root: Mapping[str, Any]) -> dict[str, Any]:
    properties = node.get("properties", {})
    required = node.get("required", ())
    return {
        name: _pruned(held, properties.get(name), root)
        for name, held in value.items()
        if held is not None or name not in properties or name in required or admits_null(properties[name], root)
    }


def _items(value: list[Any], node: Mapping[str, Any], root: Mapping[str, Any]) -> list[Any]:
    places = node.get("prefixItems", [])
    return [
        _pruned(item, places[index] if index < len(places) else node.get("items"), root)
        for index, item in enumerate(value)
    ]


def _chosen(value: Any, branches: list[Any], root: Mapping[str, Any]) -> Any:
    """Return the value as the first branch sees it that then accepts it."""
    for branch in branches:
        pruned = _pruned(value, branch, root)
        if pruned != value and _accepts(branch, pruned, root):
            return pruned
        if pruned == value and _accepts(branch, value, root):
            return value
    return value


def _accepts(branch: Any, value: Any, root: Mapping[str, Any]) -> bool:
    if not isinstance(branch, Mapping):
        return bool(branch)
    places = {name: root[name] for name in ("$defs", "definitions") if name in root}
    try:
        return Schema({**places, **branch}).accepts(value)
    except DeclarationError:  # it refers to a place outside the definitions
        return False
