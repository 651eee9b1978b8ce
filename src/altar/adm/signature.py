"""The signature of a function in one line, for hints and listings.

In: the name and the JSON Schema of the parameters.
Out: text such as `get_weather(city: string, unit: "c" | "f" = "c")`.
The text is for people and models; no program reads it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import unquote, urldefrag, urljoin

import orjson

from altar.adm.vocabulary import below

MAX_OPTIONS: Final = 12
"""So many values of an `enum`, or forms of a union, are written out; then an ellipsis."""

MAX_SIGNATURE: Final = 800
"""A signature that would be longer than this many characters shows less of what its objects hold."""

MAX_VALUE: Final = 60
"""A value in a signature is cut after this many characters of JSON."""

_LADDER: Final = ((4, 400), (3, 400), (2, 400), (2, 12), (2, 4), (2, 2), (2, 1), (1, 12), (1, 4), (0, 0))
"""How many arrays and objects deep, and how many members of each object wide; the first that is short enough."""

_MAX_PARTS: Final = 400
_PLAIN_NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$.-]{0,63}")
_HERE: Final = "https://schema.invalid/"


def signature_of(name: str, parameters: Mapping[str, Any]) -> str:
    """Return the call of a function with its parameters: the required ones in their order, the others by name.

    What its objects hold is shown as deep as `MAX_SIGNATURE` allows; then parameters are left out at the end.
    """
    targets = Targets(parameters)
    written: list[str] = []
    for depth, width in _LADDER:
        written = list(_parameters(parameters, _Types(targets, width), depth))
        text = f"{name}({', '.join(written)})"
        if len(text) <= MAX_SIGNATURE:
            return text
    kept, left = [], MAX_SIGNATURE - len(name) - len("(…)")
    for parameter in written:
        left -= len(parameter) + len(", ")
        if left < 0:
            break
        kept.append(parameter)
    return f"{name}({', '.join([*kept, '…'])})"


class Targets:
    """Where the references of a sound schema document lead: by a path, an anchor or an address (JSON Schema §8.2)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Find the names that the subschemas of `document` give themselves."""
        self._bases: dict[int, str] = {}
        self._known: dict[str, Any] = {_HERE: document}
        waiting: list[tuple[object, str]] = [(document, _HERE)]
        while waiting:
            node, base = waiting.pop()
            if not isinstance(node, Mapping):
                continue
            if "$id" in node:
                base = urljoin(base, str(node["$id"]).removesuffix("#"))
                self._known[base] = node
            for keyword in ("$anchor", "$dynamicAnchor"):
                if keyword in node:
                    self._known[f"{base}#{node[keyword]}"] = node
            self._bases[id(node)] = base
            waiting += [(held, base) for _, held in below("", node)]

    def of(self, node: Mapping[str, Any]) -> object:
        """Return the subschema that the reference of a subschema names; `{}` when nothing is found."""
        address, fragment = urldefrag(str(node.get("$ref", node.get("$dynamicRef"))))
        base = urljoin(self._bases.get(id(node), _HERE), address)
        fragment = unquote(fragment)
        if fragment and not fragment.startswith("/"):
            return self._known.get(f"{base}#{fragment}", {})
        steps = [step.replace("~1", "/").replace("~0", "~") for step in fragment.split("/")[1:]]
        return _at(self._known.get(base, {}), steps)

    def at(self, steps: Sequence[str | int]) -> object:
        """Return what lies at the end of a path from the root of the document; `{}` when nothing does."""
        return _at(self._known[_HERE], steps)

    def followed(self, node: object) -> object:
        """Return the subschema that a reference, and all after it, stands for; any other node as it is."""
        for _ in range(_MAX_PARTS):
            if not (isinstance(node, Mapping) and ("$ref" in node or "$dynamicRef" in node)):
                break
            node = self.of(node)
        return node


def _at(held: object, steps: Sequence[str | int]) -> object:
    for step in map(str, steps):
        if isinstance(held, list):
            held = held[int(step)] if step.isdecimal() and int(step) < len(held) else {}
        else:
            held = held.get(step, {}) if isinstance(held, Mapping) else {}
    return held


def _parameters(parameters: Mapping[str, Any], types: _Types, depth: int) -> Iterator[str]:
    properties: Mapping[str, Any] = parameters.get("properties", {})
    required = parameters.get("required", ())
    for name, schema in _ordered(parameters):
        text = types.text(schema, depth)
        if name in required:
            yield f"{_name(name)}: {text}"
        elif isinstance(schema, Mapping) and "default" in schema:
            yield f"{_name(name)}: {text} = {_json(schema['default'])}"
        else:
            yield f"{_name(name)}?: {text}"
    if parameters.get("additionalProperties", not properties and "properties" not in parameters):
        yield "…"


class _Types:
    """Writes types, objects with the first `width` of their members.

    After `_MAX_PARTS` types it writes an ellipsis, so that no schema takes long.
    """

    def __init__(self, targets: Targets, width: int) -> None:
        self._targets = targets
        self._width = width
        self._open: list[int] = []
        self._left = _MAX_PARTS

    def text(self, schema: object, depth: int) -> str:
        """Return the type that a schema asks for, with what it holds down to `depth` arrays and objects."""
        self._left -= 1
        if self._left < 0:
            return "…"
        if not isinstance(schema, Mapping):
            return "nothing" if schema is False else "any"
        if "const" in schema:
            return _json(schema["const"])
        if "enum" in schema:
            return _union([_json(option) for option in schema["enum"][: MAX_OPTIONS + 1]])
        if "$ref" in schema or "$dynamicRef" in schema:
            return self._referred(schema, depth)
        for name in ("anyOf", "oneOf"):
            if name in schema:
                return _union([self.text(option, depth) for option in schema[name][: MAX_OPTIONS + 1]])
        types = schema.get("type", "object" if "properties" in schema else "any")
        types = types if isinstance(types, list) else [types]
        return _union([self._one_type(kind, schema, depth) for kind in types])

    def _referred(self, schema: Mapping[str, Any], depth: int) -> str:
        target = self._targets.of(schema)
        if id(target) in self._open:  # a type that holds itself
            return self.text(target, 0)
        self._open.append(id(target))
        written = self.text(target, depth)
        self._open.pop()
        return written

    def _one_type(self, kind: str, schema: Mapping[str, Any], depth: int) -> str:
        if kind == "string":
            form = schema.get("format", schema.get("contentEncoding"))
            return f"string<{form[:MAX_VALUE]}>" if isinstance(form, str) and _PLAIN_NAME.fullmatch(form) else kind
        if depth > 0 and kind == "array" and schema.get("prefixItems"):
            return self._tuple(schema, depth - 1)
        if depth > 0 and kind == "array" and isinstance(schema.get("items"), Mapping):
            return _many(self.text(schema["items"], depth - 1))
        if depth > 0 and kind == "object" and schema.get("properties"):
            required = schema.get("required", ())
            members = []
            for index, (name, held) in enumerate(_ordered(schema)):
                if self._left < 0 or index >= self._width:
                    members.append("…")
                    break
                members.append(f"{_name(name)}{'' if name in required else '?'}: {self.text(held, depth - 1)}")
            return f"{{{', '.join(members)}}}"
        return kind

    def _tuple(self, schema: Mapping[str, Any], depth: int) -> str:
        """An array with a type for each place, as `[string, integer?, ...number[]]`."""
        first: list[Any] = schema["prefixItems"]
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        items = []
        for index, held in enumerate(first[:MAX_OPTIONS]):
            text = self.text(held, depth)
            items.append(text if index < least else f"({text})?" if " | " in text else f"{text}?")
        if len(first) > MAX_OPTIONS:
            items.append("…")
        elif schema.get("items") is not False and (most is None or most > len(first)):
            items.append(f"...{_many(self.text(schema.get('items', True), depth))}")
        return f"[{', '.join(items)}]"


def _union(texts: list[str]) -> str:
    texts = texts if len(texts) <= MAX_OPTIONS else [*texts[:MAX_OPTIONS], "…"]
    return " | ".join(dict.fromkeys(texts))


def _many(text: str) -> str:
    return f"({text})[]" if " | " in text else f"{text}[]"


def _ordered(schema: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The properties, the required ones first; canonical JSON keeps no order of members, so theirs says nothing."""
    properties: Mapping[str, Any] = schema.get("properties", {})
    required = [name for name in schema.get("required", ()) if name in properties]
    return [(name, properties[name]) for name in [*required, *sorted(set(properties) - set(required))]]


def _name(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else _json(name)


def _json(value: object) -> str:
    text = orjson.dumps(value).decode("utf-8")
    return text if len(text) <= MAX_VALUE else f"{text[:MAX_VALUE]}…"
