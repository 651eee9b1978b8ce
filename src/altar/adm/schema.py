"""`Schema`: what a value must look like.

In: a schema document in ADM's spelling (`from_adm`) or in JSON Schema's (`from_json_schema`).
Out: answers about values (`check`), and the document in either spelling.
JSON Schema 2020-12 is the form inside; it is compiled once, when the schema is made, so that a broken schema
fails where it is declared and never when it is used.
Patterns are searched unanchored by an engine that takes linear time.
References never leave the document, and nothing is ever fetched.
`format` is an annotation, as JSON Schema 2020-12 §7.2.1 has it by default.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from altar.adm.canonical import INT64_MAX, INT64_MIN, canonical, depth_of
from altar.adm.defect import Defect, Kind, pointer
from altar.adm.effort import Effort, pattern_defects, regex_options
from altar.adm.errors import AltarError, DeclarationError, ValidationError
from altar.adm.findings import PLAIN, Wording, findings
from altar.adm.reader import Mode, Version
from altar.adm.references import all_at_once, fan_out, is_circular, reference_defects
from altar.adm.vocabulary import MANY, MAX_SCHEMA_BYTES, NAMED, ONE, Spelling, defects_of, respell, subschemas

if TYPE_CHECKING:
    import jsonschema_rs

_JSON_DEPTH: Final = 200
"""A schema 64 levels deep takes up to three levels of JSON for each, besides its payload."""


class Schema:
    """A sound schema; immutable, and equal to every schema with the same canonical document."""

    __slots__ = ("_bytes", "_document", "_effort", "_is_free", "_is_valid", "_recurses", "_validator")

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Compile a sound JSON Schema document; use `from_json_schema` or `from_adm` for one from outside."""
        self._document = dict(document)
        self._bytes = canonical(self._document, max_depth=_JSON_DEPTH)
        self._recurses = b'"$ref"' in self._bytes or b'"$dynamicRef"' in self._bytes
        self._effort = Effort.of(self._document, self._bytes, recurses=self._recurses)
        self._is_free = self._effort.is_free
        self._validator = _compile(self._document)
        self._is_valid = self._validator.is_valid

    @classmethod
    def from_json_schema(
        cls,
        doc: Mapping[str, Any] | bool,  # noqa: FBT001 - `true` is a document of JSON Schema
        *,
        mode: Mode = "strict",
    ) -> Self:
        """Return the schema of a JSON Schema 2020-12 document (lower-case type names).

        The documents `true` and `false` become `{}` and `{"not": {}}`, as a schema of the ADM is an object.
        `mode="lenient"` keeps unknown keywords instead of refusing them, and a `default` that does not fit.
        Raises INVALID_DECLARATION with the path of the first defect.
        """
        return cls._read(doc, "json_schema", "1.1", mode)

    @classmethod
    def from_adm(cls, doc: Mapping[str, Any], *, version: Version = "1.1", mode: Mode = "strict") -> Self:
        """Return the schema of an ADM document (upper-case type names), read as ADM 1.0 or 1.1.

        `mode="lenient"` is for documents of peers: unknown keywords are kept instead of refused.
        Raises INVALID_DECLARATION with the path of the first defect.
        """
        return cls._read(doc, "adm", version, mode)

    @property
    def json_schema(self) -> dict[str, Any]:
        """A copy of the schema as a JSON Schema 2020-12 document."""
        return copy.deepcopy(self._document)

    @property
    def root_type(self) -> Any:
        """The `type` at the root: a name, a list of names, or None where any type will do."""
        return self._document.get("type")

    def to_adm(self) -> dict[str, Any]:
        """Return the schema as ADM writes it, with upper-case type names."""
        return respell(copy.deepcopy(self._document), to="adm")

    def closed(self) -> Schema:
        """Return the schema that also refuses undeclared members at its root.

        That is this one where it has no `properties`, or says itself what else it takes (ADM decision D3).
        """
        document = self._document
        if "properties" not in document or not _SAYS_WHAT_ELSE.isdisjoint(document):
            return self
        word = "additionalProperties" if _COMBINES.isdisjoint(document) else "unevaluatedProperties"
        return Schema({**document, word: False})

    def check(self, value: object, *, at: str = "", code: str = "INVALID_TOOL_ARGS") -> None:
        """Return if `value` fits; otherwise raise ValidationError with `code`.

        The error's path is `at` and then the JSON Pointer of the first defect; its message names that defect
        and says how many more there are, and `defects` holds them all.
        """
        found = self.defects(value)
        if found:
            raise ValidationError.from_defects(code, [defect.under(at) for defect in found])

    def accepts(self, value: object) -> bool:
        """Tell whether `value` fits; a value that is not JSON, or too costly to check, does not."""
        if not self._is_free and self._effort.refusal(value) is not None:
            return False
        try:
            return self._is_valid(value)
        except (ValueError, RecursionError):
            return False

    @property
    def accepts_json(self) -> Callable[[object], bool]:
        """What tells quickest whether a value fits that was read from JSON text within the limits of ALTAR."""
        return self._is_valid if self._is_free else self.accepts

    def defects(self, value: object, *, wording: Wording = PLAIN) -> list[Defect]:
        """Return everything that is wrong with `value`; nothing if it fits."""
        if self.accepts(value):
            return []
        refusal = None if self._is_free else self._effort.refusal(value)
        if refusal is not None:
            return [Defect("", "RANGE", f"{wording.root} {refusal}")]
        if self._recurses and self._is_hard_to_explain(value):
            return [Defect("", "TYPE", f"{wording.root} cannot be what the schema asks for, at a place deep inside")]
        is_easy = self._is_free or self._effort.is_easy(value)
        return findings(self._validator, value, wording, document=self._document, thorough=is_easy)

    def __eq__(self, other: object) -> bool:
        """Compare canonical documents."""
        return isinstance(other, Schema) and self._bytes == other._bytes

    def __hash__(self) -> int:
        """Hash the canonical document."""
        return hash(self._bytes)

    def __repr__(self) -> str:
        """Show the canonical document."""
        return f"Schema({self._bytes.decode('utf-8')})"

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle by document, and compile again."""
        return (Schema, (self._document,))

    def _is_hard_to_explain(self, value: object) -> bool:
        """Tell whether alternatives that refer to themselves would multiply with every level of `value`."""
        return is_circular(self._document) and bool(fan_out(self._document) ** depth_of(value) > _MAX_ALTERNATIVES)

    @classmethod
    def _read(cls, doc: object, spelling: Spelling, version: Version, mode: Mode) -> Self:
        schema, found = read_schema(doc, spelling=spelling, version=version, mode=mode)
        if schema is None:
            raise DeclarationError.from_defects("INVALID_DECLARATION", found)
        return cls._of(schema)

    @classmethod
    def _of(cls, schema: Schema) -> Self:
        made = cls.__new__(cls)
        for name in Schema.__slots__:
            setattr(made, name, getattr(schema, name))
        return made


def read_schema(
    document: object, *, spelling: Spelling = "adm", version: Version = "1.1", mode: Mode = "strict"
) -> tuple[Schema | None, list[Defect]]:
    """Return the schema of a document, or None and everything that is wrong with the document."""
    if isinstance(document, bool) and spelling == "json_schema":
        document = {} if document else {"not": {}}
    try:
        written = canonical(document, max_depth=_JSON_DEPTH)  # type: ignore[arg-type]  # that is the question
    except AltarError as error:
        found = defects_of(document, spelling=spelling, version=version, mode=mode)
        return None, found or [Defect(error.path, "TYPE", error.message)]
    if len(written) > MAX_SCHEMA_BYTES:
        return None, [Defect("", "LENGTH", f"The schema has {len(written)} bytes; the limit is {MAX_SCHEMA_BYTES}")]
    found = defects_of(document, spelling=spelling, version=version, mode=mode)
    owned: dict[str, Any] = {} if found else orjson.loads(orjson.dumps(document))
    if not found and b'"$' in written:
        found = reference_defects(owned)
    if not found and b'"pattern' in written:
        found = pattern_defects(owned)
    if found:
        return None, found
    respelt = respell(owned, to="json_schema")
    try:
        schema = Schema(respelt)
    except DeclarationError as error:
        return None, list(error.defects)
    found = _wrong_defaults(respelt) if mode == "strict" else []
    return (None, found) if found else (schema, [])


_MAX_ALTERNATIVES: Final = 64
_SAYS_WHAT_ELSE: Final = frozenset({"additionalProperties", "unevaluatedProperties", "patternProperties"})
_COMBINES: Final = frozenset({"allOf", "anyOf", "oneOf", "$ref", "$dynamicRef", "if", "dependentSchemas"})


def _compile(document: dict[str, Any]) -> jsonschema_rs.Validator:
    import jsonschema_rs  # heavy: it comes with the first declaration

    try:
        return jsonschema_rs.Draft202012Validator(_with_int64(document), pattern_options=regex_options(), offline=True)
    except jsonschema_rs.ValidationError as error:
        place = pointer(*error.instance_path)
        kind = _META_KINDS.get(error.kind.name, "KEYWORD")
        message = f"The schema is not sound: {error.message}"
        raise DeclarationError.from_defects("INVALID_DECLARATION", [Defect(place, kind, message)]) from None
    except (ValueError, jsonschema_rs.ReferencingError) as error:
        found = Defect("", "REFERENCE", "The schema cannot be compiled")
        raise DeclarationError(
            "INVALID_DECLARATION", found.message, detail=str(error), path="", defects=(found,)
        ) from error


_META_KINDS: Final[Mapping[str, Kind]] = {
    "type": "TYPE",
    "minimum": "RANGE",
    "exclusiveMinimum": "RANGE",
    "uniqueItems": "DUPLICATE",
    "minItems": "LENGTH",
}


def _with_int64(node: Any) -> Any:
    """Return a copy in which every integer is bounded by int64, as ADM's INTEGER is."""
    if not isinstance(node, Mapping):
        return node
    bounded: dict[str, Any] = {}
    for name, held in node.items():
        if name in ONE:
            bounded[name] = _with_int64(held)
        elif name in MANY:
            bounded[name] = [_with_int64(item) for item in held]
        elif name in NAMED:
            bounded[name] = {key: _with_int64(item) for key, item in held.items()}
        else:
            bounded[name] = held
    types = node.get("type")
    types = types if isinstance(types, list) else [types]
    if "integer" in types and "number" not in types:
        bounded["minimum"] = _tighter(node.get("minimum"), INT64_MIN, max)
        bounded["maximum"] = _tighter(node.get("maximum"), INT64_MAX, min)
    return bounded


def _tighter(own: Any, limit: int, choose: Any) -> Any:
    is_number = isinstance(own, int | float) and not isinstance(own, bool)
    return choose(own, limit) if is_number else limit if own is None else own


def _wrong_defaults(document: Mapping[str, Any]) -> list[Defect]:
    """Return a defect for each `default` that its own schema refuses (ADM decision D36)."""
    given = [(path, node) for path, node in subschemas(document) if "default" in node]
    places = [(path, node["default"]) for path, node in given if not fits_plainly(node["default"], node)]
    if not places:
        return []
    judge = Schema(all_at_once(document, [path for path, _ in places]))
    found: dict[str, Defect] = {}
    for defect in judge.defects([default for _, default in places], wording=_DEFAULT):
        index, _, rest = (defect.path or "/0").removeprefix("/").partition("/")
        path = f"{places[int(index)][0]}/default"
        found.setdefault(path, Defect(f"{path}/{rest}" if rest else path, defect.category, defect.message))
    return list(found.values())


def fits_plainly(value: Any, node: Any) -> bool:
    """Tell whether a value fits a sound schema for reasons that need no compiling.

    True is sure; False says nothing.
    """
    if not isinstance(node, dict):
        return False
    words = node.keys() - _FOR_READERS
    if words == {"anyOf"}:
        return any(fits_plainly(value, branch) for branch in node["anyOf"])
    if words == {"type", "items"}:
        return node["type"] == "array" and value == [] and type(value) is list
    if words == {"type", "enum"} and not any(type(one) is type(value) and one == value for one in node["enum"]):
        return False
    if words not in ({"type"}, {"type", "enum"}) or not isinstance(node["type"], str):
        return False
    return type(value) in _EXACT_TYPES.get(node["type"], ())


_FOR_READERS: Final = frozenset({"default", "description", "title", "examples", "deprecated"})
_EXACT_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
}
_DEFAULT: Final = Wording(root="The default", member="The default's member")
