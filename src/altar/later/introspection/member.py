"""Members of the arguments that are described once: what `str` or a model becomes is the same in every function.

In: the annotations of parameters.
Out: a `Member` for each, its JSON Schema and what binds it; and `together`, the schema of all arguments.
Of each settled annotation pydantic is asked once, together with those that are as new as it is.
A class that is changed after that keeps the form it had.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from altar.later.introspection.direct import Turn, turn_of
from altar.later.introspection.settled import is_settled
from altar.later.introspection.strictness import nodes
from altar.later.introspection.strictness import reader as strict_reader
from altar.later.introspection.type_schema import adapter_of_members, schema_of_members

__all__ = ["Member", "members_of", "together"]

_Key = tuple[str, Any]
"""What an annotation looks like, and itself: alternatives in another order are equal, and are not the same."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of the arguments, as it is among any others; its parts are shared and must not be changed.

    `definitions` are the classes it refers to, by their names in the schema, and `classes` what pydantic calls them.
    `turn` makes the Python value of a JSON value that the schema accepted, None where that is the value already;
    it counts only if the member `is_direct`.
    """

    schema: Mapping[str, Any]
    definitions: Mapping[str, Any]
    classes: frozenset[str]
    turn: Turn | None
    is_direct: bool


def members_of(annotations: Mapping[str, Any]) -> dict[str, Member] | None:
    """Return the members that annotations stand for, by the same names.

    None where the form of one depends on what is around it.
    Raises what pydantic raises for a type that has no form.
    """
    if not all(map(is_settled, annotations.values())):
        return None
    keys: dict[str, _Key] = {name: (repr(annotation), annotation) for name, annotation in annotations.items()}
    found = {key: _KNOWN[key] for key in keys.values() if key in _KNOWN}
    new = [key for key in dict.fromkeys(keys.values()) if key not in found]
    if new:
        made = _described([annotation for _, annotation in new])
        if made is None:
            return None
        found.update(zip(new, made, strict=True))
        if len(_KNOWN) < _MOST_KNOWN:
            _KNOWN.update(found)
    return {name: found[key] for name, key in keys.items()}


def together(
    members: Mapping[str, Member], texts: Mapping[str, str], *, required: Iterable[str]
) -> dict[str, Any] | None:
    """Return the JSON Schema of an object with these members, of which some have a description in `texts`.

    None where two classes would have the same name, and pydantic has to find others for them.
    """
    definitions: dict[str, Any] = {}
    for member in members.values():
        definitions.update(member.definitions)
    if len(definitions) != len(frozenset[str]().union(*(member.classes for member in members.values()))):
        return None
    properties: dict[str, Any] = {}
    for name, member in members.items():
        said = {"description": texts[name]} if name in texts else {}
        properties[name] = dict(sorted({**member.schema, **said}.items()))
    schema = {"properties": properties, "required": list(required)}
    return {**schema, "$defs": dict(sorted(definitions.items()))} if definitions else schema


_KNOWN: Final[dict[_Key, Member]] = {}
_MOST_KNOWN: Final = 1024


def _described(annotations: list[Any]) -> list[Member] | None:
    """Ask pydantic for these members at once; None where it cannot be told what belongs to which of them."""
    adapter = adapter_of_members({f"part_{index}": each for index, each in enumerate(annotations)}, {}, {})
    core: Mapping[str, Any] = adapter.core_schema
    schema = schema_of_members(adapter)
    whole = core["schema"] if core["type"] == "definitions" else core
    apart = {node["ref"]: node for node in core.get("definitions", ())}
    named: Mapping[str, Any] = schema.get("$defs", {})
    if any("__" in name for name in named):
        return None  # it may have been lengthened, to tell it from another one
    made: list[Member] = []
    for name, field in whole["fields"].items():
        definitions = _definitions(schema["properties"][name], named)
        classes = _classes(field, apart)
        if len(definitions) != len(classes):
            return None  # one that has no name, or that nobody refers to
        is_direct, turn = turn_of(field)
        made.append(Member(schema["properties"][name], definitions, classes, turn, is_direct))
    if not all(member.is_direct for member in made):
        strict_reader(adapter.core_schema)  # fails here if ever, and not at the first call
    return made


def _definitions(schema: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the definitions that a schema refers to, and those that these refer to."""
    found: dict[str, Any] = {}
    waiting: list[Any] = [schema] if named else []
    while waiting:
        text = repr(waiting.pop())
        new = {name: held for name, held in named.items() if name not in found and repr(f"#/$defs/{name}") in text}
        found.update(new)
        waiting += new.values()
    return found


def _classes(field: Mapping[str, Any], apart: Mapping[str, Mapping[str, Any]]) -> frozenset[str]:
    """What pydantic calls the classes in a field; those that are used more than once stand `apart`."""
    found: set[str] = set()
    waiting: list[Mapping[str, Any]] = [field]
    while waiting:
        for node in nodes(waiting.pop()):
            called = node.get("schema_ref") if node["type"] == "definition-ref" else None
            if called is not None and called not in found:
                waiting.append(apart[called])
            found.update(each for each in (called, node.get("ref")) if each is not None)
    return frozenset(found)
