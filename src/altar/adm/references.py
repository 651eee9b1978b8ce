"""References inside one schema document: where each leads, and how much work they make of one place.

In: a document whose single subschemas are sound, in either spelling.
Out: the defects of its references, and the figures that bound the work of a check.
A reference is resolved as JSON Schema 2020-12 §8.2 has it: `$id` opens a resource with an address of its own,
`$anchor` and `$dynamicAnchor` name a place in it, and a fragment that begins with a slash is a JSON Pointer.
What a document does not hold itself is never fetched, so a reference to it is a defect.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote, unquote, urldefrag, urljoin

from altar.adm.defect import Defect, pointer, quoted
from altar.adm.vocabulary import MANY, ONE, below

MAX_SAME_PLACE: Final = 10_000
"""How many subschemas one value may have to pass at one place, references followed."""

MAX_HEIGHT: Final = 64
"""How many subschemas may stand for one another at one place, each inside the one before, references followed."""

MAX_ADDRESS: Final = 1_000
"""The longest address that `$id` may give a subschema, in characters, with the addresses around it."""

_HERE: Final = "https://schema.invalid/"
"""The address of a document that gives itself none."""

_AROUND: Final = "https://around.invalid/"

_SAME_PLACE: Final = frozenset("allOf anyOf oneOf not if then else dependentSchemas".split())
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")
_REFERENCES: Final = ("$ref", "$dynamicRef")
_INTO: Final = {
    "array": frozenset("items prefixItems contains unevaluatedItems".split()),
    "object": frozenset("properties patternProperties additionalProperties unevaluatedProperties".split()),
}


def reference_defects(document: Mapping[str, Any]) -> list[Defect]:
    """Return a defect if references lead nowhere, go in a circle, or combine without measure at one place."""
    graph = _Graph(document)
    if graph.found:
        return graph.found
    for path, node in graph.nodes.items():
        for name in _REFERENCES:
            if name in node and graph.target(path, node[name]) is None:
                return [Defect(path + pointer(name), "REFERENCE", graph.complaint(path, node[name]))]
    for path in graph.nodes:
        try:
            if graph.cost(path) > MAX_SAME_PLACE:
                return [Defect(path, "RANGE", "The schema combines too many subschemas at one place")]
        except _CircleError:
            return [Defect(path, "REFERENCE", "The schema refers to itself without end")]
        except _HeightError:
            message = f"The schema nests more than {MAX_HEIGHT} subschemas at one place"
            return [Defect(path, "RANGE", message)]
    return []


def fan_out(document: Mapping[str, Any]) -> int:
    """Return how many subschemas of a sound document at most look into the same array or object.

    With more than one, explaining a defect below takes time that grows with each level of nesting.
    """
    graph = _Graph(document)
    return max((graph.lookers(path, kind) for path in graph.nodes for kind in ("array", "object")), default=0)


def is_circular(document: Mapping[str, Any]) -> bool:
    """Tell whether a subschema of a sound document comes back to itself, so that it describes values of any depth."""
    graph = _Graph(document)
    done: set[str] = set()
    entered: set[str] = set()
    waiting = [("", False)]
    while waiting:
        path, is_left = waiting.pop()
        if is_left:
            entered.remove(path)
            done.add(path)
            continue
        if path in entered:
            return True
        if path not in done and path in graph.nodes:
            entered.add(path)
            waiting.append((path, True))
            waiting += [(place, False) for place in graph.following(path)]
    return False


def width_and_height(document: Mapping[str, Any]) -> tuple[int, int]:
    """Return how many subschemas of a sound document one value has to pass at one place, and how deep they nest there.

    Both are those of the place where they are most.
    """
    graph = _Graph(document)
    costs = [graph.cost(path) for path in graph.nodes]
    return max(costs, default=0), max(graph.heights.values(), default=0)


def all_at_once(document: Mapping[str, Any], paths: Sequence[str]) -> dict[str, Any]:
    """Return a schema for an array whose items belong, one by one, to the subschemas of a sound document at `paths`."""
    graph = _Graph(document)
    places = [{"$ref": graph.address(path)} for path in paths]
    held = {**document, "$id": graph.bases[""]}
    return {"$id": _AROUND, "prefixItems": places, "$defs": {"document": held}}


class _CircleError(Exception):
    """A subschema stands for itself."""


class _HeightError(Exception):
    """Too many subschemas stand for one another."""


class _Graph:
    """The subschemas of a document, and which of them a value has to pass at one and the same place."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.nodes: dict[str, Mapping[str, Any]] = {}
        self.found: list[Defect] = []
        self.costs: dict[str, int] = {}
        self.heights: dict[str, int] = {}
        self.entered: set[str] = set()
        self.looking: dict[tuple[str, str], int] = {}
        self.plain: set[str] = set()
        self.bases: dict[str, str] = {}
        self.resources: dict[str, str] = {_HERE: ""}
        self.anchors: dict[tuple[str, str], str] = {}
        self.dynamic: dict[str, list[str]] = {}
        waiting: list[tuple[str, object, str]] = [("", document, _HERE)]
        while waiting and not self.found:
            path, node, base = waiting.pop()
            if not isinstance(node, Mapping):
                self.plain.add(path)
                continue
            self.nodes[path] = node
            base = self._opened(path, node, base)
            self.bases[path] = base
            self._name(path, node, base)
            waiting += reversed([(place, held, base) for place, held in below(path, node)])

    def target(self, path: str, reference: str) -> str | None:
        """Return the path of the subschema that a reference at `path` names, or None."""
        address, fragment = urldefrag(reference)
        base = _joined(self.bases[path], address)
        root = None if base is None else self.resources.get(base)
        if base is None or root is None:
            return None
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            return self.anchors.get((base, fragment))
        place = root + fragment
        return place if place in self.nodes or place in self.plain else None

    def complaint(self, path: str, reference: str) -> str:
        """Return what is wrong with a reference that leads nowhere."""
        base = _joined(self.bases[path], urldefrag(reference)[0])
        if base in self.resources:
            return f"The reference {quoted(reference)} names no schema in this document"
        return f"The reference {quoted(reference)} leaves the document"

    def cost(self, path: str) -> int:
        """Return how many subschemas one value has to pass here; raise when that has no end or nests too deep."""
        if path in self.costs or path not in self.nodes:
            return self.costs.get(path, 1)
        if path in self.entered:
            raise _CircleError(path)
        if len(self.entered) > MAX_HEIGHT:
            raise _HeightError(path)
        self.entered.add(path)
        total, height = 1, 0
        for places in self._same_place(path):
            dearest = 0
            for place in places:
                dearest = max(dearest, self.cost(place))
                height = max(height, self.heights.get(place, 1))
            total = min(total + dearest, MAX_SAME_PLACE + 1)
        self.entered.remove(path)
        if height >= MAX_HEIGHT:
            raise _HeightError(path)
        self.costs[path], self.heights[path] = total, height + 1
        return total

    def following(self, path: str) -> Iterator[str]:
        """Yield the subschemas that this one holds or refers to."""
        node = self.nodes[path]
        yield from (place for place, _ in below(path, node))
        if "$ref" in node:
            yield self.target(path, node["$ref"]) or ""
        if "$dynamicRef" in node:
            yield from self._dynamic_targets(path, node["$dynamicRef"])

    def lookers(self, path: str, kind: str) -> int:
        """Return how many subschemas at this place look into an array, or into an object."""
        known = self.looking.get((path, kind))
        if known is not None or path not in self.nodes:
            return known or 0
        node = self.nodes[path]
        types = node.get("type", kind)
        own = kind in types if isinstance(types, list) else kind == types
        total = int(own and not _INTO[kind].isdisjoint(node))
        for places in self._same_place(path) if own else ():
            most = 0
            for place in places:
                most = max(most, self.lookers(place, kind))
            total += most
        self.looking[path, kind] = min(total, MAX_SAME_PLACE)
        return self.looking[path, kind]

    def address(self, path: str) -> str:
        """Return an absolute reference to a subschema."""
        base = self.bases[path]
        return f"{base}#{quote(path[len(self.resources[base]) :], safe='/~')}"

    def _opened(self, path: str, node: Mapping[str, Any], base: str) -> str:
        """Return the address of the resource that a subschema opens, or the one it stands in."""
        if "$id" not in node:
            return base
        own = _joined(base, str(node["$id"]).removesuffix("#"))
        if own is None or len(own) > MAX_ADDRESS:
            message = f"`$id` is {quoted(node['$id'])}, which is no address of at most {MAX_ADDRESS} characters"
            self.found.append(Defect(f"{path}/$id", "PATTERN", message))
            return base
        if self.resources.get(own, path) != path:
            message = f"The address {quoted(own)} is given to more than one subschema"
            self.found.append(Defect(f"{path}/$id", "DUPLICATE", message))
        self.resources[own] = path
        return own

    def _name(self, path: str, node: Mapping[str, Any], base: str) -> None:
        for keyword in _ANCHORS:
            if keyword not in node:
                continue
            name = str(node[keyword])
            if self.anchors.setdefault((base, name), path) != path:
                message = f"The anchor {quoted(name)} is given more than once"
                self.found.append(Defect(path + pointer(keyword), "DUPLICATE", message))
            if keyword == "$dynamicAnchor":
                self.dynamic.setdefault(name, []).append(path)

    def _same_place(self, path: str) -> Iterator[list[str]]:
        """Yield what a value at this place has to pass too; of one list it passes one."""
        node = self.nodes[path]
        if "$ref" in node:
            yield [self.target(path, node["$ref"]) or ""]
        if "$dynamicRef" in node:
            yield self._dynamic_targets(path, node["$dynamicRef"])
        for name in sorted(_SAME_PLACE & node.keys()):
            held = node[name]
            if name in ONE:
                yield [path + pointer(name)]
            elif name in MANY:
                yield from ([path + pointer(name, index)] for index in range(len(held)))
            else:
                yield from ([path + pointer(name, key)] for key in held)

    def _dynamic_targets(self, path: str, reference: str) -> list[str]:
        """Return all places that a dynamic reference may mean: which it is depends on the way to it (§8.2.3.2)."""
        first = self.target(path, reference) or ""
        same = self.dynamic.get(unquote(urldefrag(reference)[1]), [])
        return same if first in same else [first]


def _joined(base: str, address: str) -> str | None:
    """Return an address as seen from `base` (RFC 3986 §5), or None if it is none."""
    try:
        return urljoin(base, address)
    except ValueError:
        return None
