"""Hypothesis strategies for declarations, schemas, calls and results; any test may use them.

Every declaration is sound: ADM 1.1 with the vocabulary of JSON Schema 2020-12, recursion, and members whose
names are those of keywords.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st

from altar.adm.call import ErrorObject, FunctionCall, ResultStatus, ToolResult
from altar.adm.declaration import ANNOTATIONS, FunctionDeclaration
from altar.adm.reader import NAME
from altar.adm.schema import Schema

TRAPS = ("title", "default", "enum", "const", "$ref", "type", "properties", "required", "description", "items", "name")
"""Names of members that are also words of JSON Schema."""

PLACES: tuple[tuple[str, ...], ...] = (
    (),
    ("#/$defs/node",),
    ("#/$defs/node", "#/$defs/a~1b", "#"),
    ("#/$defs/node", "#/$defs/a~1b", "#here"),
)
"""The references that the schemas of one document may hold."""

FORMATS = ("date-time", "date", "uuid", "email", "uri", "ipv4", "int32", "byte", "made-up")

texts = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)
descriptions = texts.filter(lambda text: bool(text.strip()))
names = st.one_of(st.sampled_from(("get_weather", "a", "_", "A-b_9")), st.from_regex(NAME, fullmatch=True))
property_names = st.one_of(
    st.sampled_from(TRAPS), st.sampled_from(("city", "unit", "n", "a b", "é", "x/y~z")), texts.filter(bool)
)
integers = st.integers(-(2**63), 2**63 - 1)
scalars = st.one_of(st.none(), st.booleans(), integers, st.floats(allow_nan=False, allow_infinity=False), texts)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(texts, values, max_size=3)
maybe_objects = st.one_of(st.none(), objects)
flags = st.sets(st.sampled_from(ANNOTATIONS))
versions = st.sampled_from(("1.0.0", "0.1.0", "2.3.4", "1.0.0-rc.1", "1.2.3+build.7"))
extensions = st.dictionaries(
    st.sampled_from(("x_owner", "vendor_acme_tier", "later_hint", "_metadata")), values, max_size=2
)


@cache
def schemas(*, places: tuple[str, ...] = ()) -> st.SearchStrategy[Any]:
    """Schemas in JSON Schema's spelling; `places` are the references that they may hold."""
    leaves = st.one_of(_strings(), _numbers(), _plain(), _choices(), *([_references(places)] if places else []))
    return st.recursive(
        leaves, lambda below: st.one_of(_objects(below), _arrays(below), _combined(below)), max_leaves=5
    )


@cache
def parameters() -> st.SearchStrategy[dict[str, Any]]:
    """The schema of an object, sometimes with definitions that refer to each other."""
    return st.one_of(*[_parameters(places) for places in PLACES])


@cache
def returns() -> st.SearchStrategy[dict[str, Any]]:
    """The schema of a result, of an object or of anything else."""
    below = schemas(places=PLACES[1])
    node = _objects(below)
    others = st.builds(lambda one, held: one | {"$defs": {"node": held}}, below.filter(_is_object), node)
    return st.one_of(parameters(), others)


@st.composite
def declarations(draw: st.DrawFn) -> FunctionDeclaration:
    """Whole declarations, with and without everything that is optional."""
    document: dict[str, Any] = {
        "name": draw(names),
        "description": draw(descriptions),
        "parameters": Schema.from_json_schema(draw(parameters()), mode="lenient").to_adm(),
    }
    if draw(st.booleans()):
        document["returns"] = Schema.from_json_schema(draw(returns()), mode="lenient").to_adm()
    document["annotations"] = dict.fromkeys(draw(flags), True) | draw(extensions)
    document["version"] = draw(versions)
    document["metadata"] = draw(objects)
    return FunctionDeclaration.from_adm(document | draw(extensions))


call_ids = st.one_of(st.sampled_from(("call_1", "toolu_01")), st.from_regex(r"[!-~]{1,40}", fullmatch=True))


def calls() -> st.SearchStrategy[FunctionCall]:
    """Calls with any arguments."""
    return st.builds(FunctionCall, call_ids, names, objects, extensions)


contents = st.one_of(
    values, st.sampled_from(("5", "null", '"a"', "{}", " 1", {"error": {"message": "m"}}, {"error": 1}))
)
errors = st.builds(
    ErrorObject,
    message=st.one_of(descriptions, st.sampled_from(("5", "null", '{"message":"m"}'))),
    type=st.sampled_from((None, "TIMEOUT", "made_up")),
    details=st.one_of(st.none(), objects),
    field_path=st.sampled_from((None, "/city")),
    retry_after_ms=st.sampled_from((None, 0, 250)),
    ran=st.sampled_from((None, "no", "yes", "unknown")),
    hint=st.one_of(st.none(), descriptions),
    extensions=extensions,
)


@st.composite
def results(draw: st.DrawFn, *, call: FunctionCall) -> ToolResult:
    """Results of a call, good and bad."""
    usage, metadata, others = draw(st.tuples(maybe_objects, maybe_objects, extensions))
    if draw(st.booleans()):
        status, content, error = ResultStatus.SUCCESS, draw(contents), None
    else:
        status, content, error = ResultStatus.ERROR, None, draw(errors)
    return ToolResult(call.call_id, call.name, status, content, error, usage, metadata, others)


def _parameters(places: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    below = schemas(places=places)
    root = st.builds(
        lambda one, more: one | more,
        _objects(below),
        st.one_of(
            st.just({}), st.just({}), _some(title=texts, description=texts), _some(anyOf=_several(), allOf=_several())
        ),
    )
    root = st.builds(
        lambda one, more: one | more, root, st.sampled_from(({}, {}, {}, {"$id": "https://tools.example/s"}))
    )
    if not places:
        return root
    named = {"$anchor": "here"} if "#here" in places else {}
    definitions = {"node": _objects(below).map(lambda one: one | named)} | (
        {"a/b": st.one_of(_strings(), _arrays(below))} if len(places) > 1 else {}
    )
    return st.builds(lambda one, held: one | {"$defs": held}, root, st.fixed_dictionaries(definitions))


def _several() -> st.SearchStrategy[list[Any]]:
    return st.lists(_objects(_plain()), min_size=1, max_size=2)


def _is_object(schema: object) -> bool:
    return isinstance(schema, dict)


def _some(**keywords: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keywords)


def _annotated(schema: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    notes = _some(title=texts, description=texts, examples=st.lists(values, max_size=1), deprecated=st.booleans())
    return st.builds(lambda one, more: one | more, schema, notes)


def _strings() -> st.SearchStrategy[dict[str, Any]]:
    small = st.integers(0, 9)
    keywords = _some(
        minLength=small, maxLength=small, pattern=st.sampled_from(("^a", "[0-9]+$")), format=st.sampled_from(FORMATS)
    )
    return _annotated(keywords.map(lambda one: {"type": "string"} | one))


def _numbers() -> st.SearchStrategy[dict[str, Any]]:
    number = st.one_of(st.integers(-9, 9), st.sampled_from((0.5, -2.25)))
    keywords = _some(minimum=number, exclusiveMaximum=number, multipleOf=st.sampled_from((1, 5, 0.5)))
    return _annotated(
        st.builds(lambda one, kind: {"type": kind} | one, keywords, st.sampled_from(("integer", "number")))
    )


def _plain() -> st.SearchStrategy[Any]:
    kinds = ("string", "number", "integer", "boolean", "null")
    several = st.lists(st.sampled_from(kinds), min_size=1, max_size=3, unique=True)
    defaults = st.sampled_from(
        (
            {"type": "string", "default": "c"},
            {"type": "boolean", "default": False},
            {"type": ["string", "null"], "default": None},
        )
    )
    return st.one_of(
        several.map(lambda one: {"type": one}), defaults, st.booleans(), st.just({}), _some(description=texts)
    )


def _choices() -> st.SearchStrategy[dict[str, Any]]:
    words = st.lists(texts, min_size=1, max_size=3, unique=True).map(lambda one: {"type": "string", "enum": one})
    mixed = st.sampled_from(({"enum": ["a", 1, None]}, {"enum": [[1], {"a": 1}]}, {"type": "integer", "enum": [1, 2]}))
    return _annotated(st.one_of(words, mixed, values.map(lambda one: {"const": one})))


def _references(places: tuple[str, ...]) -> st.SearchStrategy[dict[str, Any]]:
    bare = st.sampled_from([{"$ref": place} for place in places])
    return st.one_of(bare, st.builds(lambda one, text: one | {"description": text}, bare, texts))


def _objects(below: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    more = _some(
        additionalProperties=st.one_of(st.booleans(), below),
        patternProperties=st.just({"^x-": {"type": "string"}}),
        propertyNames=st.just({"maxLength": 9}),
        minProperties=st.integers(0, 2),
        dependentRequired=st.just({"city": ["unit"]}),
    )
    flags = st.one_of(st.none(), st.lists(st.booleans(), min_size=3, max_size=3))
    properties = st.one_of(st.none(), st.dictionaries(property_names, below, max_size=3))
    return st.builds(_object, properties, flags, st.one_of(*[st.just({})] * 3, more))


def _object(properties: dict[str, Any] | None, flags: list[bool] | None, more: dict[str, Any]) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "object"}
    if properties is not None:
        schema["properties"] = properties
    if properties and flags is not None:
        schema["required"] = [name for name, flag in zip(reversed(properties), flags, strict=False) if flag]
    return schema | more


def _arrays(below: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    more = _some(
        items=below,
        prefixItems=st.lists(below, min_size=1, max_size=2),
        minItems=st.integers(0, 3),
        maxItems=st.integers(3, 5),
        uniqueItems=st.booleans(),
        contains=below,
    )
    return more.map(lambda held: {"type": "array"} | held)


def _combined(below: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    several = st.lists(below, min_size=1, max_size=2)
    one = st.sampled_from(("anyOf", "oneOf", "allOf"))
    kept = st.builds(lambda name, held: {name: held}, one, several)
    ruled = below.map(lambda held: {"type": "object", "not": held, "if": held, "then": held})
    return _annotated(st.one_of(kept, ruled))
