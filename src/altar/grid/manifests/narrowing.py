"""Does every value that fits one schema fit another? A small and honest comparison of JSON Schema documents.

It goes through the two side by side and collects the reasons why a value of the first may not fit the second.
What it cannot judge it says, as a reason that is ``unclear``; it never takes silence for agreement.
Annotations such as descriptions, defaults and formats admit every value and are not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from altar.adm.canonical import canonical
from altar.adm.defect import pointer
from altar.adm.errors import AltarError
from altar.adm.schema import Schema

__all__ = ["Reason", "reasons_against"]

Document = Mapping[str, Any]

MAX_STEPS: Final = 20_000
"""Pairs of schemas that are compared before the rest counts as unclear."""
MAX_REASONS: Final = 100
_BYTES_A_STEP: Final = 1_000


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a value may not fit any more: where, as a JSON Pointer with ``*`` for any item, and what is new there.

    ``unclear`` says that it could not be judged.
    """

    path: str
    what: str
    unclear: bool = False


def reasons_against(old: Document, new: Document) -> list[Reason]:
    """The reasons why a value that fits ``old`` may not fit ``new``; none when every one does.

    Both are JSON Schema documents in lower-case spelling, with their definitions inside.
    """
    comparison = _Comparison(old, new)
    found: dict[Reason, None] = {}
    try:
        for reason in islice(comparison.compare(old, new, ""), MAX_REASONS):
            found.setdefault(reason)
    except RecursionError:
        found[Reason("", "too deep to be compared", unclear=True)] = None
    return list(found)


_ANNOTATIONS: Final = frozenset(
    {
        "$anchor",
        "$comment",
        "$defs",
        "$id",
        "$schema",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "default",
        "definitions",
        "deprecated",
        "description",
        "discriminator",
        "examples",
        "format",
        "readOnly",
        "title",
        "writeOnly",
    }
)
_TYPES: Final = frozenset({"null", "boolean", "integer", "number", "string", "array", "object"})
_LIMITS: Final = (
    # keyword, the types it is about, whether it is an upper bound
    ("minLength", "string", False),
    ("maxLength", "string", True),
    ("minItems", "array", False),
    ("maxItems", "array", True),
    ("minProperties", "object", False),
    ("maxProperties", "object", True),
)
_JUDGED: Final = frozenset(
    {
        "type",
        "enum",
        "const",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "pattern",
        "uniqueItems",
        "items",
        "properties",
        "required",
        "additionalProperties",
        "allOf",
        "anyOf",
        "$ref",
        *(keyword for keyword, _, _ in _LIMITS),
    }
)


class _Comparison:
    """One comparison of two documents: their definitions, the pairs of references under way, the steps left."""

    def __init__(self, old: Document, new: Document) -> None:
        self._old = old
        self._new = new
        self._under_way: set[tuple[str, str]] = set()
        self._steps = MAX_STEPS

    def compare(self, old: Any, new: Any, path: str) -> Iterator[Reason]:
        """Why a value of ``old``, at this place, may not fit ``new``."""
        self._steps -= 1
        if self._steps < 0:
            yield Reason(path, "too large to be compared", unclear=True)
            return
        old, new = _as_object(old), _as_object(new)
        if new is None:
            if old is not None:
                yield Reason(path, "is not taken any more")
            return
        if old is None or not new.keys() - _ANNOTATIONS:
            return
        if "$ref" in old or "$ref" in new:
            yield from self._through_references(old, new, path)
            return
        text = _bare(old)
        self._steps -= len(text) // _BYTES_A_STEP
        if text == _bare(new) and not (_refers(old) or _refers(new)):
            return
        values = _values_of(old)
        if values is not None:
            yield from self._each_value(values, new, path)
            return
        yield from self._alternatives(old, new, path)

    def _through_references(self, old: Document, new: Document, path: str) -> Iterator[Reason]:
        key = (_bare(old), _bare(new))
        if key in self._under_way:
            return  # what is being compared already holds as long as nothing speaks against it
        self._under_way.add(key)
        try:
            older, newer = _resolved(old, self._old), _resolved(new, self._new)
            if older is None or newer is None:
                if _text(old) != _text(new) or _definitions(self._old) != _definitions(self._new):
                    yield Reason(path, "refers to a schema in a way that cannot be compared", unclear=True)
                return
            yield from self.compare(older, newer, path)
        finally:
            self._under_way.discard(key)

    def _each_value(self, values: list[Any], new: Document, path: str) -> Iterator[Reason]:
        """A schema of a few values is judged exactly: each is tried."""
        try:
            schema = Schema.from_json_schema({**_with_definitions(self._new), **new}, mode="lenient")
        except AltarError:
            yield Reason(path, "cannot be compared", unclear=True)
            return
        lost = [value for value in values if not schema.accepts(value)]
        if lost:
            yield Reason(path, f"does not take {_listed(lost)} any more")

    def _alternatives(self, old: Document, new: Document, path: str) -> Iterator[Reason]:
        """Each of several alternatives must fit; what is left has one type."""
        for word in ("anyOf", "oneOf"):
            if word in old:
                beside = {key: value for key, value in old.items() if key != word}
                for branch in old[word]:
                    yield from self.compare(_joined(beside, branch), new, path)
                return
        kinds = _types(old)
        if len(kinds) > 1 and len(kinds) < len(_TYPES):
            for kind in sorted(kinds):
                yield from self.compare({**old, "type": kind}, new, path)
            return
        if "allOf" in old and any(
            not list(self.compare(part, new, path))
            for part in (*old["allOf"], {key: value for key, value in old.items() if key != "allOf"})
        ):
            return
        yield from self._conditions(old, new, path)

    def _conditions(self, old: Document, new: Document, path: str) -> Iterator[Reason]:
        """Whether each condition of ``new`` follows from those of ``old``."""
        kinds = _types(old)
        yield from self._kind(kinds, new, path)
        if "enum" in new or "const" in new:
            listed = _listed(new.get("enum", [new.get("const")]))
            yield Reason(path, f"takes only {listed} now")
        yield from _numbers(old, new, path, kinds)
        yield from _limits(old, new, path, kinds)
        if "pattern" in new and "string" in kinds and old.get("pattern") != new["pattern"]:
            yield Reason(path, f"must match {new['pattern']!r} now", unclear="pattern" in old)
        if new.get("uniqueItems") and not old.get("uniqueItems") and "array" in kinds:
            yield Reason(path, "must not hold an item twice now")
        if "array" in kinds and ("items" in new or "prefixItems" in new):
            yield from self._items(old, new, path)
        if "object" in kinds:
            yield from self._members(old, new, path)
        for part in new.get("allOf", ()):
            yield from self.compare(old, part, path)
        if "anyOf" in new:
            yield from self._any_of(old, new["anyOf"], path)
        for word in sorted(new.keys() - _JUDGED - _ANNOTATIONS):
            if not word.startswith("x-") and word != "prefixItems" and old.get(word) != new[word]:
                yield Reason(path, f"has another {word!r}, which cannot be compared", unclear=True)

    def _kind(self, kinds: frozenset[str], new: Document, path: str) -> Iterator[Reason]:
        taken = _types(new)
        lost = [kind for kind in kinds if kind not in taken and not (kind == "integer" and "number" in taken)]
        if lost:
            yield Reason(path, f"does not take {' or '.join(sorted(lost))} any more")

    def _any_of(self, old: Document, branches: list[Any], path: str) -> Iterator[Reason]:
        tried = [list(self.compare(old, branch, path)) for branch in branches]
        if all(tried):
            unclear = any(all(reason.unclear for reason in reasons) for reasons in tried)
            what = "fits none of the alternatives" if len(tried) > 1 else tried[0][0].what
            yield Reason(path, what, unclear=unclear)

    def _items(self, old: Document, new: Document, path: str) -> Iterator[Reason]:
        if "prefixItems" in old or "prefixItems" in new:
            if old.get("prefixItems") != new.get("prefixItems") or old.get("items") != new.get("items"):
                yield Reason(path, "has other items by place, which cannot be compared", unclear=True)
            return
        yield from self.compare(old.get("items", True), new["items"], f"{path}/*")

    def _members(self, old: Document, new: Document, path: str) -> Iterator[Reason]:
        for name in new.get("required", ()):
            if name not in old.get("required", ()):
                yield Reason(path + pointer(name), "is required now")
        older, newer = old.get("properties", {}), new.get("properties", {})
        others_old, others_new = old.get("additionalProperties", True), new.get("additionalProperties", True)
        by_pattern = "patternProperties" in old  # which may take what `properties` does not name
        for name in (*older, *(name for name in newer if name not in older)):
            was = older.get(name, True if by_pattern else others_old)
            yield from self.compare(was, newer.get(name, others_new), path + pointer(name))
        alike = old.get("patternProperties") == new.get("patternProperties")
        yield from self.compare(others_old if alike or not by_pattern else True, others_new, f"{path}/*")


def _as_object(schema: Any) -> dict[str, Any] | None:
    """A schema as an object; None for the one that takes nothing."""
    if isinstance(schema, bool):
        return {} if schema else None
    return None if _text(schema) == '{"not":{}}' else dict(schema)


def _bare(schema: Document) -> str:
    return _text({key: value for key, value in schema.items() if key not in _ANNOTATIONS})


def _text(schema: Any) -> str:
    return canonical(schema, max_depth=200).decode()


def _refers(schema: Document) -> bool:
    return '"$ref"' in _text(schema) or '"$dynamicRef"' in _text(schema)


def _definitions(root: Document) -> str:
    return _text(_with_definitions(root))


def _with_definitions(root: Document) -> dict[str, Any]:
    return {word: root[word] for word in ("$defs", "definitions") if word in root}


def _resolved(schema: Document, root: Document) -> Any:
    """What a schema refers to inside its document; None when that is not a plain pointer with nothing beside it."""
    if "$ref" not in schema:
        return schema
    address = schema["$ref"]
    if schema.keys() - _ANNOTATIONS - {"$ref"} or not isinstance(address, str) or not address.startswith("#"):
        return None
    at: Any = root
    for step in filter(None, address[1:].split("/")):
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(at, Mapping) or name not in at:
            return None
        at = at[name]
    return at


def _values_of(schema: Document) -> list[Any] | None:
    """All values of a schema that admits only a few; None for any other. Some of them may not fit it."""
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    if schema.get("type") == "boolean":
        return [True, False]
    return [None] if schema.get("type") == "null" else None


def _joined(beside: Document, branch: Any) -> Any:
    """A branch together with what stands beside its ``anyOf``; a value of it fits both."""
    if isinstance(branch, bool) or not beside.keys() - _ANNOTATIONS:
        return branch
    clashing = (beside.keys() & branch.keys()) - _ANNOTATIONS
    return {"allOf": [beside, branch]} if clashing or "$ref" in branch else {**beside, **branch}


def _types(schema: Document) -> frozenset[str]:
    said = schema.get("type")
    return _TYPES if said is None else frozenset([said] if isinstance(said, str) else said)


def _numbers(old: Document, new: Document, path: str, kinds: frozenset[str]) -> Iterator[Reason]:
    if not kinds & {"integer", "number"}:
        return
    whole = "number" not in kinds
    lowest_old, lowest_new = _lowest(old, whole=whole), _lowest(new, whole=whole)
    if lowest_new > lowest_old:
        yield Reason(path, f"must be {_bound(new, 'minimum', 'exclusiveMinimum', 'at least', 'above')} now")
    highest_old, highest_new = _highest(old, whole=whole), _highest(new, whole=whole)
    if highest_new < highest_old:
        yield Reason(path, f"must be {_bound(new, 'maximum', 'exclusiveMaximum', 'at most', 'below')} now")
    step = new.get("multipleOf")
    if step is not None and old.get("multipleOf") != step and not (whole and step == 1):
        before = old.get("multipleOf")
        follows = isinstance(before, int) and isinstance(step, int) and before % step == 0
        if not follows:
            yield Reason(path, f"must be a multiple of {step} now", unclear=isinstance(before, float))


_Edge = tuple[float, int]


def _lowest(schema: Document, *, whole: bool) -> _Edge:
    edges: list[_Edge] = [(-math.inf, 0)]
    if "minimum" in schema:
        edges.append((schema["minimum"], 0))
    if "exclusiveMinimum" in schema:
        edge = schema["exclusiveMinimum"]
        edges.append((edge + 1, 0) if whole and isinstance(edge, int) else (edge, 1))
    return max(edges)


def _highest(schema: Document, *, whole: bool) -> _Edge:
    edges: list[_Edge] = [(math.inf, 0)]
    if "maximum" in schema:
        edges.append((schema["maximum"], 0))
    if "exclusiveMaximum" in schema:
        edge = schema["exclusiveMaximum"]
        edges.append((edge - 1, 0) if whole and isinstance(edge, int) else (edge, -1))
    return min(edges)


def _bound(schema: Document, edge: str, open_edge: str, word: str, open_word: str) -> str:
    return f"{open_word} {schema[open_edge]}" if open_edge in schema else f"{word} {schema.get(edge)}"


def _limits(old: Document, new: Document, path: str, kinds: frozenset[str]) -> Iterator[Reason]:
    for keyword, kind, upper in _LIMITS:
        if keyword not in new or kind not in kinds:
            continue
        before = old.get(keyword, math.inf if upper else 0)
        if (new[keyword] < before) if upper else (new[keyword] > before):
            yield Reason(path, f"has {keyword} {new[keyword]} now")


def _listed(values: list[Any]) -> str:
    shown = ", ".join(_text(value)[:40] for value in values[:5])
    return shown + (f" and {len(values) - 5} more" if len(values) > 5 else "")
