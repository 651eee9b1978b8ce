"""References inside a schema, when the schema moves to another place of a larger document.

In: a schema, the place its references count from now, and the place they are to count from.
Out: a copy with the references changed and nothing else: members of a property called `$ref`, defaults and
examples stay what they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import unquote

from altar.adm.vocabulary import MANY, NAMED, ONE, subschemas


def rebased(schema: Mapping[str, Any], *, old: str, new: str) -> dict[str, Any]:
    """Return a copy in which references to `old` or below point to `new` or below; both begin with `#`.

    References by anchor stay, as they do not depend on a place.
    """
    copy: dict[str, Any] = changed(schema, lambda one: _moved(one, old, new))
    return copy


def changed(schema: Any, change: Callable[[str], str]) -> Any:
    """Return a copy in which each reference is what `change` makes of it.

    A schema with an `$id` is a resource of its own: its references count from itself wherever it lies, and stay.
    """
    if not isinstance(schema, Mapping) or "$id" in schema:
        return schema
    copy: dict[str, Any] = {}
    for name, held in schema.items():
        if name in {"$ref", "$dynamicRef"} and isinstance(held, str):
            copy[name] = change(held)
        elif name in ONE:
            copy[name] = changed(held, change)
        elif name in MANY and isinstance(held, list):
            copy[name] = [changed(item, change) for item in held]
        elif name in NAMED and isinstance(held, Mapping):
            copy[name] = {key: changed(item, change) for key, item in held.items()}
        else:
            copy[name] = held
    return copy


def by_place(schema: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a copy in which references by anchor are references by JSON Pointer, and the places of these."""
    anchors = {f"#{node[word]}": path for path, node in subschemas(schema) for word in _ANCHORS & node.keys()}
    places = [path for path, node in subschemas(schema) if node.get("$ref") in anchors]
    copy: dict[str, Any] = dict(schema)
    if places:
        copy = changed(schema, lambda reference: f"#{anchors[reference]}" if reference in anchors else reference)
    return copy, places


def found(root: Mapping[str, Any], reference: str) -> Any:
    """Return the schema that a reference by JSON Pointer leads to; None when it leads nowhere."""
    if reference == "#":
        return root
    if not reference.startswith("#/"):
        return None
    place: Any = root
    for step in unquote(reference[2:]).split("/"):
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, Mapping) and name in place:
            place = place[name]
        elif isinstance(place, list) and name.isdigit() and int(name) < len(place):
            place = place[int(name)]
        else:
            return None
    return place


_ANCHORS: Final = frozenset({"$anchor", "$dynamicAnchor"})


def _moved(reference: str, old: str, new: str) -> str:
    if reference == old or reference.startswith(f"{old}/"):
        return new + reference[len(old) :]
    return reference
