"""A schema in the part of JSON Schema that a provider's strict mode knows.

In: a sound JSON Schema document and the rules of a provider.
Out: a document that keeps to the rules, and a loss for each place that had to change.
A keyword that the provider does not know becomes a sentence of the description, so that the model still reads
it; ALTAR itself checks the arguments against the whole schema as ever.
Names of properties are never taken for keywords, and what stands in a default or an example is never read.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from altar.adm.defect import pointer
from altar.adm.formats.format import Loss
from altar.adm.formats.references import by_place, changed, found

MAX_NOTE: Final = 200
"""What a keyword held is written into the description up to this many characters."""

MAX_UNROLLED: Final = 2
"""How often a schema that refers to itself is written out where references may not go in a circle."""

MAX_WRITTEN_OUT: Final = 500
"""How many references of one schema are written out; the others become any plain value."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What a provider's strict mode takes.

    `keywords` stand as they are at any place.
    `formats` are the values of `format` that it knows.
    `min_items` are the values of `minItems` that it knows; None stands for all.
    `requires_all`: every property is required, and null stands for leaving it out.
    `recursion`: a schema may refer to itself.
    """

    title: str
    keywords: frozenset[str]
    formats: frozenset[str]
    min_items: frozenset[int] | None = None
    requires_all: bool = False
    recursion: bool = True


def narrowed(schema: Mapping[str, Any], rules: Rules) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """Return the schema of an object within the rules, and the losses with their places in the schema."""
    alone, places = by_place({name: held for name, held in schema.items() if name != "$id"})
    why = f"{rules.title} takes references by place only"
    losses = [Loss(f"{path}/$ref", "written as a pointer", why) for path in places]
    losses += [Loss("/$id", "left out", why)] if "$id" in schema else []
    if "$ref" in alone:
        losses.append(Loss("", "written out", f"{rules.title} takes no reference at the root"))
        target = found(alone, alone.pop("$ref"))
        alone = {**(target if isinstance(target, Mapping) else {}), **alone}
    return _Narrowing(alone, rules, losses).node(alone, ""), tuple(losses)


def moved(schema: Mapping[str, Any], names: Collection[str], *, why: str) -> tuple[dict[str, Any], tuple[Loss, ...]]:
    """Return a schema whose keywords `names` have moved from its root into its description, and the losses."""
    gone = {name: held for name, held in schema.items() if name in names}
    if not gone:
        return dict(schema), ()
    rest = {name: held for name, held in schema.items() if name not in names}
    losses = [Loss(pointer(name), "moved to the description", why) for name in gone]
    losses.append(Loss("/description", "tells what was moved", why))
    return _described(rest, gone), tuple(losses)


_ANYTHING: Final = ("string", "number", "boolean", "null")
_ALTERNATIVES: Final = ("anyOf", "oneOf")
_PLACES: Final = ("$defs", "definitions")
_SAYS_WHAT: Final = frozenset({"type", "enum", "const", "anyOf", "$ref"})
_OF_OBJECTS: Final = frozenset({"properties", "required", "additionalProperties"})
_OF_ARRAYS: Final = frozenset({"items", "prefixItems"})
_TOGETHER: Final = _OF_OBJECTS | _OF_ARRAYS | {"anyOf", "oneOf", "allOf"}
_SILENT: Final = frozenset({"$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "$comment", "$schema"})
"""Keywords that tell a model nothing."""


class _Narrowing:
    """One schema on its way; `root` is where its references are looked up."""

    def __init__(
        self,
        root: Mapping[str, Any],
        rules: Rules,
        losses: list[Loss],
        *,
        outer: _Narrowing | None = None,
        entering: str | None = None,
    ) -> None:
        self.root = root
        self.rules = rules
        self.losses = losses
        self.entered: tuple[str, ...] = () if outer is None else outer.entered
        if entering is not None:
            self.entered = (*self.entered, entering)
        self.left: list[int] = [MAX_WRITTEN_OUT] if outer is None else outer.left
        self.circles: frozenset[str] = frozenset()
        if outer is not None:
            self.circles = outer.circles
        elif not rules.recursion:
            self.circles = _circles(root)

    def node(self, node: Any, path: str) -> dict[str, Any]:
        """Return a subschema within the rules."""
        if not isinstance(node, Mapping):
            self._lose(path, "written as any plain value" if node else "written as null", "takes no bare true or false")
            return _anything() if node else {"type": "null"}
        if "$ref" in node:
            return self._reference(node, path)
        written: dict[str, Any] = {}
        notes: dict[str, Any] = {}
        for name, held in node.items():
            self._keyword(name, held, node, path, written, notes)
        self._alternatives(node, path, written, notes)
        self._kind(node, path, written)
        self._array(node, path, written)
        self._object(node, path, written)
        if path and _SAYS_WHAT.isdisjoint(written):
            written |= _anything()
            self._lose(path + "/anyOf", "written as any plain value", "wants every place to have a type")
        for name in notes:
            self._lose(path + pointer(name), "moved to the description", "does not take it at this place")
        if notes:
            self._lose(path + "/description", "tells what was moved", "does not take it at this place")
        return _described(written, notes)

    def _keyword(
        self, name: str, held: Any, node: Mapping[str, Any], path: str, written: dict[str, Any], notes: dict[str, Any]
    ) -> None:
        """Take one keyword over, or note it; those that hang together have their own methods."""
        rules = self.rules
        if name in _TOGETHER:
            return
        if name in _PLACES:
            kept = self._definitions(name, held, path)
            written |= {name: kept} if kept or not held else {}
        elif name in _SILENT:
            self._lose(path + pointer(name), "left out", "does not know the keyword")
        elif name in {"enum", "const"}:
            plain = all(_is_plain(item) for item in (held if name == "enum" else [held]))
            (written if plain and path else notes)[name] = held
        elif name == "format":
            (written if held in rules.formats else notes)[name] = held
        elif name == "minItems":
            (written if rules.min_items is None or held in rules.min_items else notes)[name] = held
        elif name in rules.keywords:
            written[name] = held
        else:
            notes[name] = held

    def _alternatives(self, node: Mapping[str, Any], path: str, written: dict[str, Any], notes: dict[str, Any]) -> None:
        """Write `oneOf`, and `allOf` with one entry, as `anyOf`; at the root, where none is taken, note them."""
        for name in (*_ALTERNATIVES, "allOf"):
            if name not in node:
                continue
            if not path or "anyOf" in written or (name == "allOf" and len(node[name]) > 1):
                notes[name] = node[name]
            elif name == "anyOf":
                written[name] = [self.node(item, path + pointer(name, i)) for i, item in enumerate(node[name])]
            else:
                written["anyOf"] = [self._quiet().node(item, path) for item in node[name]]
                self._lose(path + pointer(name), "written as anyOf", f"has no {name}")
                self._lose(path + "/anyOf", f"holds what {name} held", f"has no {name}")

    def _kind(self, node: Mapping[str, Any], path: str, written: dict[str, Any]) -> None:
        """Say the type of a place that only its keywords tell."""
        if not _SAYS_WHAT.isdisjoint(written):
            return
        for kind, keywords in (("object", _OF_OBJECTS), ("array", _OF_ARRAYS)):
            if not keywords.isdisjoint(node):
                written["type"] = kind
                self._lose(path + "/type", f"written as {kind}", "wants every place to have a type")
                return

    def _array(self, node: Mapping[str, Any], path: str, written: dict[str, Any]) -> None:
        """Give each array its `items`; the places of a tuple become alternatives."""
        if "array" not in _types(written):
            for name in _OF_ARRAYS & node.keys():
                self._lose(path + pointer(name), "left out", "takes it beside the type array only")
        elif "prefixItems" in node:
            kinds = [*node["prefixItems"], *([node["items"]] if isinstance(node.get("items"), Mapping) else [])]
            each = [self._quiet().node(item, path + "/items") for item in kinds]
            options = [item for index, item in enumerate(each) if item not in each[:index]]
            written["items"] = options[0] if len(options) == 1 else {"anyOf": options}
            self._lose(path + "/prefixItems", "written as items", "has no tuples")
            self._lose(path + "/items", "holds what the places of the tuple held", "has no tuples")
        elif "items" in node:
            written["items"] = self.node(node["items"], path + "/items")
        else:
            written["items"] = _anything()
            self._lose(path + "/items", "written as any plain value", "wants every array to have items")

    def _object(self, node: Mapping[str, Any], path: str, written: dict[str, Any]) -> None:
        """Close each object, and require what the rules want required."""
        if "object" not in _types(written):
            for name in _OF_OBJECTS & node.keys():
                self._lose(path + pointer(name), "left out", "takes it beside the type object only")
            return
        properties = node.get("properties", {})
        if "properties" not in node:
            self._lose(path + "/properties", "written as an object without members", "has no maps")
        if node.get("additionalProperties") is not False:
            self._lose(path + "/additionalProperties", "written as false", "wants every object closed")
        source = [name for name in node.get("required", ()) if name in properties]
        required = source
        if self.rules.requires_all:
            required = source + [name for name in properties if name not in source]
        if required != node.get("required", []) or ("required" not in node and self.rules.requires_all):
            self._lose(path + "/required", "names every property", "wants every property required")
        written["properties"] = {
            name: self._property(held, path + pointer("properties", name), is_optional=name not in source)
            for name, held in properties.items()
            if name in required or not self._is_cut(held)
        }
        if required or "required" in node or self.rules.requires_all:
            written["required"] = required
        written["additionalProperties"] = False

    def _property(self, held: Any, path: str, *, is_optional: bool) -> dict[str, Any]:
        """Return a property; an optional one must admit null where every property is required."""
        is_asked = is_optional and self.rules.requires_all and isinstance(held, Mapping)
        if not is_asked or admits_null(held, self.root):
            return self.node(held, path)
        why = "wants every property required; null stands for leaving it out"
        if "const" in held or "$ref" in held:
            self._lose(path, "admits null", why)
            return {"anyOf": [self._quiet().node(held, path), {"type": "null"}]}
        written = self.node(held, path)
        for name, null in (("enum", None), ("type", "null"), ("anyOf", {"type": "null"})):
            held_there = written.get(name, [])
            there = held_there if isinstance(held_there, list) else [held_there]
            if there and null not in there:
                written[name] = [*there, null]
                self._lose(path + pointer(name), "admits null", why)
        return written

    def _reference(self, node: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Keep a reference to a definition, alone at its place; write any other out."""
        reference = node["$ref"]
        held = found(self.root, reference)
        is_kept = reference not in self.circles and (reference == "#" or _is_definition(reference))
        if is_kept and node.keys() == {"$ref"}:
            return {"$ref": reference}
        rest = {name: other for name, other in node.items() if name != "$ref"}
        texts = {name: other for name, other in rest.items() if name in {"title", "description"}}
        notes = {name: other for name, other in rest.items() if name not in texts}
        if is_kept:
            self._lose(path, "written as the only choice of anyOf", "takes a reference only alone at its place")
            return _described({"anyOf": [{"$ref": reference}], **texts}, notes)
        self._lose(path, "written out", "takes references only to definitions, and not in a circle")
        self.left[0] -= 1
        if not isinstance(held, Mapping) or self._is_cut(node) or self.left[0] < 0:
            return _described(_anything() | texts, notes)
        inner = self._quiet(entering=reference).node({**held, **texts}, path or "/")
        return _described(inner, notes)

    def _is_cut(self, node: Any) -> bool:
        """Tell whether a schema would only lead deeper into a circle that has been written out."""
        reference = node.get("$ref") if isinstance(node, Mapping) else None
        return reference is not None and self.entered.count(reference) >= MAX_UNROLLED

    def _definitions(self, name: str, held: Mapping[str, Any], path: str) -> dict[str, Any]:
        """Return the definitions, without those that are written out where they are used."""
        kept: dict[str, Any] = {}
        for key, item in held.items():
            if f"#{path}{pointer(name, key)}" in self.circles:
                self._lose(path + pointer(name, key), "written out where it is used", "takes no circles")
            else:
                kept[key] = self.node(item, path + pointer(name, key))
        return kept

    def _quiet(self, *, entering: str | None = None) -> _Narrowing:
        """Return one for a part whose whole place is already reported."""
        return _Narrowing(self.root, self.rules, [], outer=self, entering=entering)

    def _lose(self, path: str, what: str, why: str) -> None:
        self.losses.append(Loss(path, what, f"{self.rules.title} {why}"))


def admits_null(schema: Any, root: Mapping[str, Any], *, depth: int = 8) -> bool:
    """Tell whether null surely fits a schema; False where that would take more than a look."""
    if not isinstance(schema, Mapping):
        return bool(schema)
    if "type" in schema and "null" not in _types(schema):
        return False
    if "const" in schema and schema["const"] is not None:
        return False
    if "enum" in schema and None not in schema["enum"]:
        return False
    if "$ref" in schema and (depth == 0 or not admits_null(found(root, schema["$ref"]), root, depth=depth - 1)):
        return False
    if not {"allOf", "not", "if", "$dynamicRef"}.isdisjoint(schema):
        return False
    fitting = {
        name: sum(admits_null(item, root, depth=depth) for item in schema[name])
        for name in _ALTERNATIVES
        if name in schema
    }
    return fitting.get("anyOf", 1) >= 1 and fitting.get("oneOf", 1) == 1


def _described(schema: dict[str, Any], notes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a schema whose description also tells what `notes` say."""
    if not notes:
        return schema
    told = "; ".join(f"{name}: {_short(held)}" for name, held in notes.items())
    before = schema.get("description")
    return schema | {"description": f"{before}\n\n({told})" if before else f"({told})"}


def _short(held: Any) -> str:
    text = json.dumps(held, ensure_ascii=False, separators=(",", ":"))
    return text if len(text) <= MAX_NOTE else f"{text[:MAX_NOTE]}…"


def _anything() -> dict[str, Any]:
    return {"anyOf": [{"type": name} for name in _ANYTHING]}


def _is_plain(value: Any) -> bool:
    return not isinstance(value, Mapping | list | tuple)


def _types(node: Mapping[str, Any]) -> list[str]:
    held = node.get("type", [])
    return held if isinstance(held, list) else [held]


def _is_definition(reference: str) -> bool:
    parts = reference.split("/")
    return len(parts) == 3 and parts[0] == "#" and parts[1] in _PLACES


def _circles(root: Mapping[str, Any]) -> frozenset[str]:
    """Return the references that lead back to themselves; a reference to the root always does."""
    leads: dict[str, set[str]] = {}
    waiting = list(_references(root))
    while waiting:
        reference = waiting.pop()
        if reference not in leads:
            leads[reference] = set(_references(found(root, reference)))
            waiting += leads[reference]
    return frozenset(one for one in leads if one == "#" or one in _reachable(one, leads))


def _reachable(start: str, leads: Mapping[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    waiting = list(leads[start])
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += leads[one]
    return seen


def _references(schema: Any) -> Iterable[str]:
    held: set[str] = set()

    def note(reference: str) -> str:
        held.add(reference)
        return reference

    changed(schema, note)
    return held
