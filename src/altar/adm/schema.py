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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

import orjson

from altar.adm.canonical import INT64_MAX, INT64_MIN, canonical, depth_of, is_within_depth
from altar.adm.defect import Defect, Kind, pointer
from altar.adm.errors import AltarError, DeclarationError, ValidationError
from altar.adm.findings import PLAIN, Wording, findings
from altar.adm.reader import Mode, Version
from altar.adm.vocabulary import MANY, MAX_SCHEMA_BYTES, NAMED, ONE, Spelling, defects_of, fan_out, respell, subschemas

if TYPE_CHECKING:
    import jsonschema_rs

_JSON_DEPTH: Final = 200
"""A schema 64 levels deep takes up to three levels of JSON for each, besides its payload."""


class Schema:
    """A sound schema; immutable, and equal to every schema with the same canonical document."""

    __slots__ = ("_bytes", "_document", "_is_valid", "_recurses", "_validator")

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Compile a sound JSON Schema document; use `from_json_schema` or `from_adm` for one from outside."""
        self._document = dict(document)
        self._bytes = canonical(self._document, max_depth=_JSON_DEPTH)
        self._recurses = b'"$ref"' in self._bytes or b'"$dynamicRef"' in self._bytes
        self._validator = _compile(self._document)
        self._is_valid = self._validator.is_valid

    @classmethod
    def from_json_schema(cls, doc: Mapping[str, Any], *, mode: Mode = "strict") -> Self:
        """Return the schema of a JSON Schema 2020-12 document (lower-case type names).

        `mode="lenient"` keeps unknown keywords instead of refusing them.
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
        """Tell whether `value` fits; a value that is not JSON, or nested beyond 64 levels, need not."""
        if self._recurses and not is_within_depth(value):
            return False  # the engine would follow the value down until the stack of the process ends
        try:
            return self._is_valid(value)
        except (ValueError, RecursionError):
            return False

    def defects(self, value: object, *, wording: Wording = PLAIN) -> list[Defect]:
        """Return everything that is wrong with `value`; nothing if it fits."""
        if self.accepts(value):
            return []
        if self._recurses and is_within_depth(value) and self._is_hard_to_explain(value):
            return [Defect("", "TYPE", f"{wording.root} does not fit the schema at some place deep inside")]
        return findings(self._validator, value, wording, document=self._document)

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
        return bool(fan_out(self._document) ** depth_of(value) > _MAX_ALTERNATIVES)

    @classmethod
    def _read(cls, doc: Mapping[str, Any], spelling: Spelling, version: Version, mode: Mode) -> Self:
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
    try:
        size = len(canonical(document, max_depth=_JSON_DEPTH))  # type: ignore[arg-type]  # that is the question
    except AltarError as error:
        found = defects_of(document, spelling=spelling, version=version, mode=mode)
        return None, found or [Defect(error.path, "TYPE", error.message)]
    if size > MAX_SCHEMA_BYTES:
        return None, [Defect("", "LENGTH", f"The schema has {size} bytes; the limit is {MAX_SCHEMA_BYTES}")]
    found = defects_of(document, spelling=spelling, version=version, mode=mode)
    if found:
        return None, found
    owned: dict[str, Any] = orjson.loads(orjson.dumps(document))
    owned.pop("$schema", None)  # the form inside is 2020-12, whatever the document called itself
    try:
        schema = Schema(respell(owned, to="json_schema"))
    except DeclarationError as error:
        return None, list(error.defects)
    found = _wrong_defaults(schema)
    return (None, found) if found else (schema, [])


_MAX_ALTERNATIVES: Final = 64
_SAYS_WHAT_ELSE: Final = frozenset({"additionalProperties", "unevaluatedProperties", "patternProperties"})
_COMBINES: Final = frozenset({"allOf", "anyOf", "oneOf", "$ref", "$dynamicRef", "if", "dependentSchemas"})


def _compile(document: dict[str, Any]) -> jsonschema_rs.Validator:
    import jsonschema_rs  # heavy: it comes with the first declaration

    try:
        return jsonschema_rs.Draft202012Validator(
            _with_int64(document), pattern_options=jsonschema_rs.RegexOptions(), offline=True
        )
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


def _wrong_defaults(schema: Schema) -> list[Defect]:
    """Return a defect for each `default` that its own schema refuses (ADM decision D36)."""
    document = schema.json_schema
    places = [(path, node["default"]) for path, node in subschemas(document) if "default" in node]
    if not places:
        return []
    import jsonschema_rs

    validators = jsonschema_rs.validator_map_for(
        _with_int64(document), pattern_options=jsonschema_rs.RegexOptions(), offline=True
    )
    found: list[Defect] = []
    for path, default in places:
        validator = validators.get(f"#{path}")
        if validator is not None and not validator.is_valid(default):
            first = findings(validator, default, _DEFAULT, document={})[0]
            found.append(first.under(f"{path}/default"))
    return found


_DEFAULT: Final = Wording(root="The default", member="The default's member")
