"""The words of a schema: which keywords there are, what each may hold, and what a document gets wrong.

In: a schema document as ADM writes it (upper-case type names) or as JSON Schema does (lower-case).
Out: the defects of the document, and the same document in the other spelling.
ADM 1.0 has six keywords and six types; ADM 1.1 has all of JSON Schema 2020-12.
Nothing here looks at values: that is `altar.adm.findings`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from altar.adm.canonical import JsonValue, canonical
from altar.adm.defect import Defect, pointer, quoted
from altar.adm.errors import AltarError
from altar.adm.reader import Mode, Version, is_extension

Spelling = Literal["adm", "json_schema"]

MAX_SCHEMA_DEPTH: Final = 64
MAX_SCHEMA_NODES: Final = 10_000
MAX_SCHEMA_BYTES: Final = 256 * 1024
MAX_PATHS: Final = 16 * 1024 * 1024
"""How long the JSON Pointers of all subschemas may be together, in characters."""

TYPES_1_0: Final = ("STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT")
TYPES: Final = (*TYPES_1_0, "NULL")

ONE: Final = frozenset(
    "items additionalProperties propertyNames contains not if then else unevaluatedItems"
    " unevaluatedProperties contentSchema".split()
)
"""Keywords that hold one schema."""

MANY: Final = frozenset("allOf anyOf oneOf prefixItems".split())
"""Keywords that hold a list of schemas."""

NAMED: Final = frozenset("properties patternProperties dependentSchemas $defs definitions".split())
"""Keywords that hold schemas by name."""

_FOR_TYPES: Final[Mapping[str, frozenset[str]]] = {
    **dict.fromkeys(
        "minLength maxLength pattern contentEncoding contentMediaType contentSchema".split(),
        frozenset({"STRING"}),
    ),
    **dict.fromkeys(
        "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf".split(),
        frozenset({"NUMBER", "INTEGER"}),
    ),
    **dict.fromkeys(
        "items prefixItems contains minContains maxContains minItems maxItems uniqueItems unevaluatedItems".split(),
        frozenset({"ARRAY"}),
    ),
    **dict.fromkeys(
        "properties required additionalProperties patternProperties propertyNames minProperties"
        " maxProperties dependentRequired dependentSchemas unevaluatedProperties".split(),
        frozenset({"OBJECT"}),
    ),
    "format": frozenset({"STRING", "NUMBER", "INTEGER"}),
}

_KEYWORDS_1_0: Final = frozenset("type description properties required items enum".split())
_ANNOTATIONS: Final = frozenset(
    "title description default examples deprecated readOnly writeOnly discriminator nullable $comment".split()
)
_CORE: Final = frozenset("type enum const $ref $anchor $dynamicRef $dynamicAnchor $id $schema".split())
_KEYWORDS: Final = _CORE | _ANNOTATIONS | ONE | MANY | NAMED | frozenset(_FOR_TYPES)
_TEXT: Final = frozenset(
    "description title format pattern $comment $ref $dynamicRef $anchor $dynamicAnchor $id $schema".split()
)
_PAYLOAD: Final = frozenset("default const examples enum".split())
_OPENS_REQUIRED: Final = frozenset(
    "allOf anyOf oneOf $ref $dynamicRef patternProperties additionalProperties if dependentSchemas".split()
)


def defects_of(document: object, *, spelling: Spelling, version: Version = "1.1", mode: Mode) -> list[Defect]:
    """Return everything that is wrong with a schema document, apart from patterns and references.

    The paths lead from the root of the schema.
    """
    found: list[Defect] = []
    paths = 0
    for nodes, (path, node, depth) in enumerate(_nodes(document), start=1):
        paths += len(path)
        if depth > MAX_SCHEMA_DEPTH or nodes > MAX_SCHEMA_NODES:
            limit = f"{MAX_SCHEMA_DEPTH} levels deep and {MAX_SCHEMA_NODES} subschemas in all"
            return [*found, Defect(path, "RANGE", f"The schema is larger than {limit}")]
        if paths > MAX_PATHS:
            return [*found, Defect("", "RANGE", "The names on the way to the subschemas are too long together")]
        found += _Node(path, node, spelling, version, mode).defects()
    return found


def respell(document: Mapping[str, Any], *, to: Spelling) -> dict[str, Any]:
    """Return a copy of a sound schema document with its type names written as `to` asks.

    On the way to JSON Schema, `nullable` becomes the type "null".
    """
    written: dict[str, Any] = {}
    for name, held in document.items():
        if name in ONE and isinstance(held, Mapping):
            written[name] = respell(held, to=to)
        elif name in MANY:
            written[name] = [respell(item, to=to) if isinstance(item, Mapping) else item for item in held]
        elif name in NAMED:
            written[name] = {
                key: respell(item, to=to) if isinstance(item, Mapping) else item for key, item in held.items()
            }
        elif name == "type":
            written[name] = _respell_type(held, to)
        elif name == "$schema" and to == "json_schema":
            continue  # the form inside is 2020-12, whatever the document called itself
        else:
            written[name] = held
    if to == "json_schema" and written.pop("nullable", False) is True:
        _admit_null(written)
    return written


def subschemas(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the JSON Pointer and the content of each object schema of a sound document, the root first."""
    for path, node, _ in _nodes(document):
        if type(node) is dict or isinstance(node, Mapping):
            yield path, node


def below(path: str, node: object) -> Iterator[tuple[str, object]]:
    """Yield path and content of each subschema that a subschema at `path` holds directly, whatever it is."""
    if type(node) is not dict and not isinstance(node, Mapping):  # the first question is quick, and mostly enough
        return
    for name, held in node.items():
        if name in ONE:
            yield f"{path}/{name}", held
        elif name in MANY and isinstance(held, list | tuple):
            for index, item in enumerate(held):
                yield f"{path}/{name}/{index}", item
        elif name in NAMED and isinstance(held, Mapping):
            for key, item in held.items():
                yield f"{path}/{name}{pointer(key)}", item


def _nodes(document: object) -> Iterator[tuple[str, object, int]]:
    """Yield path, content and depth of each subschema, in document order, whatever it holds."""
    yield "", document, 1
    ways = [below("", document)]
    while ways:
        step = next(ways[-1], None)
        if step is None:
            ways.pop()
            continue
        yield (*step, len(ways) + 1)
        ways.append(below(*step))


class _Node:
    """One subschema under examination: `defects()` asks each question in turn."""

    def __init__(self, path: str, node: object, spelling: Spelling, version: Version, mode: Mode) -> None:
        self.path = path
        self.node = node
        self.spelling = spelling
        self.version = version
        self.strict = mode == "strict"
        self.found: list[Defect] = []
        self.types: tuple[str, ...] | None = None

    def defects(self) -> list[Defect]:
        """Return what is wrong with this subschema itself, not with those below it."""
        node = self.node
        if isinstance(node, bool) and self.version != "1.0" and self.path:
            return []
        if node is None:
            return [Defect(self.path, "NULL", "A schema cannot be null")]
        if not isinstance(node, Mapping):
            return [Defect(self.path, "TYPE", f"A schema must be an object, not {quoted(node)}")]
        self._type(node)
        for name, held in node.items():
            if not isinstance(name, str):
                self._say((), "TYPE", f"The key {quoted(name)} of a schema is not text")
            else:
                self._member(name, held)
        if self.version == "1.0" and self.types == ("ARRAY",) and "items" not in node:
            self._say(("items",), "REQUIRED", "An ARRAY needs `items`")
        if "required" in node:
            self._required(node)
        if "enum" in node:
            self._enum(node["enum"])
        return self.found

    def _say(self, steps: tuple[str | int, ...], kind: Any, message: str) -> None:
        self.found.append(Defect(self.path + pointer(*steps), kind, message))

    def _type(self, node: Mapping[str, Any]) -> None:
        if "type" not in node:
            if self.version == "1.0":
                self._say(("type",), "REQUIRED", "A schema needs a `type`")
            return
        held = node["type"]
        known: tuple[str, ...] = TYPES_1_0 if self.version == "1.0" else TYPES
        if self.spelling == "json_schema":
            known = tuple(name.lower() for name in known)
        names = held if isinstance(held, list) and self.version != "1.0" else [held]
        if isinstance(held, list) and not held:
            self._say(("type",), "LENGTH", "The list of types is empty")
        seen: set[str] = set()
        for index, name in enumerate(names):
            steps = ("type", index) if names is held else ("type",)
            if name is None:
                self._say(steps, "NULL", "`type` cannot be null")
            elif not isinstance(name, str):
                self._say(steps, "TYPE", f"`type` must be text, not {quoted(name)}")
            elif name not in known:
                self._say(steps, "ENUM", f"The type {quoted(name)} is none of {', '.join(known)}")
            elif name in seen:
                self._say(steps, "DUPLICATE", f"The type {quoted(name)} is given more than once")
            if isinstance(name, str):
                seen.add(name)
        if not self.found:
            self.types = tuple(name.upper() for name in names)

    def _member(self, name: str, held: object) -> None:
        if not self._known(name):
            return
        if held is None and name not in _PAYLOAD:
            if name != "type":
                self._say((name,), "NULL", f"`{name}` cannot be null; leave it out instead")
            return
        self._fits_type(name)
        if name in _TEXT and not isinstance(held, str):
            self._say((name,), "TYPE", f"`{name}` must be text, not {quoted(held)}")
        elif name in NAMED:
            self._named(name, held)
        elif name in MANY:
            self._many(name, held)
        else:
            self._single(name, held)

    def _single(self, name: str, held: object) -> None:
        if name == "nullable" and not isinstance(held, bool):
            self._say((name,), "TYPE", f"`nullable` must be true or false, not {quoted(held)}")
        elif name == "$schema" and not str(held).startswith(_DIALECTS):
            self._say((name,), "KEYWORD", f"The dialect {quoted(held)} is not JSON Schema")

    def _known(self, name: str) -> bool:
        if name in (_KEYWORDS_1_0 if self.version == "1.0" else _KEYWORDS):
            return True
        if self.strict and not is_extension(name):
            self._say((name,), "UNKNOWN_FIELD", f"`{name}` is not a keyword of ADM {self.version}")
        return False

    def _fits_type(self, name: str) -> None:
        """Refuse a keyword that has no meaning for the declared type; D12: do not ignore a constraint."""
        wanted = _FOR_TYPES.get(name)
        if name == "enum" and self.version == "1.0":
            wanted = frozenset({"STRING"})
        if wanted and self.types and self.strict and wanted.isdisjoint(self.types):
            names = " or ".join(sorted(wanted))
            self._say((name,), "KEYWORD", f"`{name}` belongs to {names}, not to {' or '.join(self.types)}")

    def _named(self, name: str, held: object) -> None:
        if not isinstance(held, Mapping):
            self._say((name,), "TYPE", f"`{name}` must be an object of schemas, not {quoted(held)}")
            return
        for key in held:
            if not isinstance(key, str):
                self._say((name,), "TYPE", f"The key {quoted(key)} of `{name}` is not text")
            elif not key and name == "properties":
                self._say((name, key), "LENGTH", "The name of a property is empty")

    def _many(self, name: str, held: object) -> None:
        if not isinstance(held, list):
            self._say((name,), "TYPE", f"`{name}` must be a list of schemas")
        elif not held:
            self._say((name,), "LENGTH", f"`{name}` must hold at least one schema")

    def _required(self, node: Mapping[str, Any]) -> None:
        names = node["required"]
        if names is None:
            return
        if not isinstance(names, list):
            self._say(("required",), "TYPE", f"`required` must be a list of names, not {quoted(names)}")
            return
        properties = node.get("properties")
        declared = properties if isinstance(properties, Mapping) else {}
        closed = self.strict and _OPENS_REQUIRED.isdisjoint(node)
        closed = closed and ("properties" in node or self.types is not None)
        seen: set[str] = set()
        for index, name in enumerate(names):
            steps = ("required", index)
            if not isinstance(name, str):
                self._say(steps, "NULL" if name is None else "TYPE", f"A required name is text, not {quoted(name)}")
            elif name in seen:
                self._say(steps, "DUPLICATE", f"`required` names {quoted(name)} more than once")
            elif closed and name not in declared:
                self._say(steps, "REFERENCE", f"`required` names {quoted(name)}, which is not in `properties`")
            if isinstance(name, str):
                seen.add(name)

    def _enum(self, held: object) -> None:
        if any(defect.path == self.path + "/enum" for defect in self.found):
            return
        if held is None:
            self._say(("enum",), "NULL", "`enum` cannot be null; leave it out instead")
            return
        if not isinstance(held, list):
            self._say(("enum",), "TYPE", f"`enum` must be a list of values, not {quoted(held)}")
            return
        if not held:
            self._say(("enum",), "LENGTH", "`enum` must hold at least one value")
        seen: set[bytes] = set()
        for index, item in enumerate(held):
            try:
                key = canonical(item)
            except AltarError as error:
                self.found += [defect.under(self.path + pointer("enum", index)) for defect in error.defects]
                continue
            if key in seen:
                self._say(("enum", index), "DUPLICATE", f"`enum` holds {quoted(item)} more than once")
            elif self.types and not self._admits(item):
                self._say(("enum", index), "TYPE", f"`enum` holds {quoted(item)}, which is not {self._wanted()}")
            seen.add(key)

    def _admits(self, item: JsonValue) -> bool:
        nullable = isinstance(self.node, Mapping) and self.node.get("nullable") is True
        return (nullable and item is None) or any(_IS[name](item) for name in self.types or ())

    def _wanted(self) -> str:
        return " or ".join(self.types or ())


_DIALECTS: Final = ("http://json-schema.org/", "https://json-schema.org/")

_IS: Final[Mapping[str, Callable[[JsonValue], bool]]] = {
    "STRING": lambda item: isinstance(item, str),
    "NUMBER": lambda item: isinstance(item, int | float) and not isinstance(item, bool),
    "INTEGER": lambda item: (
        not isinstance(item, bool) and (isinstance(item, int) or (isinstance(item, float) and item.is_integer()))
    ),
    "BOOLEAN": lambda item: isinstance(item, bool),
    "ARRAY": lambda item: isinstance(item, list | tuple),
    "OBJECT": lambda item: isinstance(item, Mapping),
    "NULL": lambda item: item is None,
}


def _respell_type(held: Any, to: Spelling) -> Any:
    change = str.lower if to == "json_schema" else str.upper
    return [change(name) for name in held] if isinstance(held, list) else change(held)


def _admit_null(node: dict[str, Any]) -> None:
    """Write what `nullable: true` means in JSON Schema."""
    if "type" in node:
        types = node["type"] if isinstance(node["type"], list) else [node["type"]]
        node["type"] = types if "null" in types else [*types, "null"]
    if "enum" in node and None not in node["enum"]:
        node["enum"] = [*node["enum"], None]
