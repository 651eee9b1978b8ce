"""What breaks callers: every keyword in both directions, and the sum over a manifest."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.schema import Schema
from altar.grid.manifests.manifest_diff import Change, changes_between
from altar.grid.manifests.narrowing import reasons_against

STRING, INTEGER, NUMBER = {"type": "string"}, {"type": "integer"}, {"type": "number"}


def object_of(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


WIDER_AND_NARROWER: list[tuple[str, dict[str, Any], dict[str, Any], str]] = [
    # what, the wider schema, the narrower one, the reason against going from the wider to the narrower
    ("type", {"type": ["string", "null"]}, STRING, "does not take null any more"),
    ("integer in number", NUMBER, INTEGER, "does not take number any more"),
    ("any", {}, STRING, "any more"),
    ("enum", {"enum": ["a", "b", "c"]}, {"enum": ["a"]}, 'does not take "b", "c" any more'),
    ("enum of a type", STRING, {"type": "string", "enum": ["a"]}, 'takes only "a" now'),
    ("const", {"enum": [1, 2]}, {"const": 1}, "does not take 2 any more"),
    ("boolean", {"type": "boolean"}, {"const": True}, "does not take false any more"),
    ("minimum", INTEGER, {"type": "integer", "minimum": 0}, "must be at least 0 now"),
    ("a higher minimum", {"type": "integer", "minimum": 0}, {"type": "integer", "minimum": 5}, "at least 5"),
    ("maximum", NUMBER, {"type": "number", "maximum": 9}, "must be at most 9 now"),
    ("exclusive", {"type": "number", "minimum": 0}, {"type": "number", "exclusiveMinimum": 0}, "must be above 0 now"),
    ("multiples", {"type": "integer", "multipleOf": 2}, {"type": "integer", "multipleOf": 4}, "multiple of 4"),
    ("length", {"type": "string", "maxLength": 9}, {"type": "string", "maxLength": 5}, "has maxLength 5 now"),
    ("least length", STRING, {"type": "string", "minLength": 1}, "has minLength 1 now"),
    ("pattern", STRING, {"type": "string", "pattern": "^a"}, "must match '^a' now"),
    ("items", {"type": "array"}, {"type": "array", "items": STRING}, "any more"),
    ("number of items", {"type": "array"}, {"type": "array", "maxItems": 3}, "has maxItems 3 now"),
    ("unique", {"type": "array"}, {"type": "array", "uniqueItems": True}, "must not hold an item twice now"),
    ("required", object_of(a=STRING), object_of(("a",), a=STRING), "is required now"),
    ("property", object_of(a=NUMBER), object_of(a=INTEGER), "does not take number any more"),
    ("a closed object", object_of(), {"type": "object", "additionalProperties": False}, "is not taken any more"),
    ("a removed property", object_of(a=STRING) | {"additionalProperties": False},
     object_of() | {"additionalProperties": False}, "is not taken any more"),
    ("alternatives", {"anyOf": [STRING, INTEGER]}, STRING, "does not take integer any more"),
    ("alternatives of objects", {"anyOf": [object_of(a=STRING), STRING]},
     {"anyOf": [object_of(("a",), a=STRING), STRING]},
     "fits none of the alternatives"),
    ("all of", STRING, {"allOf": [STRING, {"maxLength": 3}]}, "has maxLength 3 now"),
    ("a reference", {"$ref": "#/$defs/n", "$defs": {"n": NUMBER}}, {"$ref": "#/$defs/n", "$defs": {"n": INTEGER}},
     "does not take number any more"),
]  # fmt: skip


@pytest.mark.parametrize(("wider", "narrower", "reason"), [one[1:] for one in WIDER_AND_NARROWER], ids=lambda one: "")
def test_narrowing_is_found_and_widening_is_not(wider: dict[str, Any], narrower: dict[str, Any], reason: str) -> None:
    found = reasons_against(wider, narrower)

    assert reason in " | ".join(one.what for one in found)
    assert [] == [one for one in found if one.unclear]
    assert [] == reasons_against(narrower, wider)
    assert [] == reasons_against(wider, wider)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "^ab?"}),
        ({"type": "array", "prefixItems": [STRING]}, {"type": "array", "prefixItems": [INTEGER]}),
        (STRING, {"not": {"const": "a"}}),
        ({"type": "object"}, {"type": "object", "patternProperties": {"^a": STRING}}),
        ({"oneOf": [STRING, INTEGER]}, {"oneOf": [STRING, {"type": "integer", "minimum": 0}]}),
        ({"type": "object"}, {"if": {"required": ["a"]}, "then": {"required": ["b"]}}),
    ],
)
def test_what_cannot_be_judged_is_said_and_not_passed(old: dict[str, Any], new: dict[str, Any]) -> None:
    found = reasons_against(old, new)

    assert found
    assert all(one.unclear for one in found)
    assert [] == reasons_against(new, new)


def test_a_schema_that_refers_to_itself_is_compared() -> None:
    def tree(**more: Any) -> dict[str, Any]:
        node = object_of(value=INTEGER | more, children={"type": "array", "items": {"$ref": "#/$defs/node"}})
        return {"$ref": "#/$defs/node", "$defs": {"node": node}}

    assert [] == reasons_against(tree(minimum=0), tree())
    assert ["/value"] == [one.path for one in reasons_against(tree(), tree(minimum=0))]


def test_the_place_of_a_reason_is_a_pointer() -> None:
    def nested(kind: dict[str, Any]) -> dict[str, Any]:
        return object_of(a={"type": "array", "items": {"type": "object", "properties": {"b/c": kind}}})

    assert ["/a/*/b~1c"] == [one.path for one in reasons_against(nested(NUMBER), nested(INTEGER))]


def test_words_for_people_change_nothing() -> None:
    old = STRING | {"description": "One.", "default": "a", "format": "date"}

    assert [] == reasons_against(old, STRING | {"title": "Other", "examples": ["b"]})


def test_a_comparison_without_end_is_given_up_and_said() -> None:
    schema: dict[str, Any] = STRING
    other: dict[str, Any] = {"type": "string", "maxLength": 1}
    for _ in range(7):
        schema = {"anyOf": [object_of(a=schema, b=STRING), object_of(a=schema), object_of(c=schema)]}
        other = {"anyOf": [object_of(a=other, b=STRING), object_of(a=other), object_of(c=other)]}

    assert any(one.unclear for one in reasons_against(schema, other))


_leaf = st.sampled_from(
    [
        {"type": "integer"},
        {"type": "integer", "minimum": 1},
        {"type": "integer", "maximum": 3},
        {"type": "number", "exclusiveMinimum": 0},
        {"enum": [1, "a"]},
        {"type": ["integer", "string"]},
        {"type": "string", "minLength": 1},
        {"type": "boolean"},
        {"const": None},
        {},
    ]
)
_schemas = st.one_of(
    _leaf,
    st.builds(lambda one, two: {"anyOf": [one, two]}, _leaf, _leaf),
    st.builds(lambda one: {"type": "array", "items": one, "maxItems": 2}, _leaf),
    st.builds(lambda one, needed: object_of(("a",) if needed else (), a=one), _leaf, st.booleans()),
    st.builds(lambda one: object_of(a=one) | {"additionalProperties": False}, _leaf),
)
_scalars = st.sampled_from([0, 1, 2, 4, 0.5, "", "a", "bb", True, None])
_values = st.one_of(_scalars, st.lists(_scalars, max_size=3), st.dictionaries(st.sampled_from("ab"), _scalars))


@settings(max_examples=200, deadline=None)
@given(_schemas, _schemas, st.lists(_values, max_size=12))
def test_where_no_reason_is_found_no_value_is_lost(old: dict[str, Any], new: dict[str, Any], values: list[Any]) -> None:
    if reasons_against(old, new):
        return
    was, now = Schema.from_json_schema(old), Schema.from_json_schema(new)

    assert [] == [value for value in values if was.accepts(value) and not now.accepts(value)]


# ------------------------------------------------------------------------------------------------------ manifests


def function(
    version: str = "1.0.0",
    *,
    parameters: dict[str, Any] | None = None,
    returns: dict[str, Any] | None = None,
    description: str = "Does it.",
    **annotations: bool,
) -> FunctionDeclaration:
    return FunctionDeclaration(
        "price",
        description,
        Schema.from_json_schema(parameters or object_of(("item",), item=STRING)),
        Schema.from_json_schema(returns) if returns is not None else None,
        version,
        Annotations(**annotations),  # type: ignore[arg-type]  # booleans, by name
    )


def only_change(old: FunctionDeclaration, new: FunctionDeclaration) -> Change:
    (change,) = changes_between([old], [new])
    kept, *others = change.findings
    assert kept.breaks
    assert "keeps its version" in kept.what
    return replace(change, findings=tuple(others))


def test_manifests_that_say_the_same_have_no_changes() -> None:
    assert [] == changes_between([function()], [function()])


def test_a_new_tool_breaks_nobody_and_what_it_says_of_itself_is_shown() -> None:
    (change,) = changes_between([], [function(read_only=True)])

    assert ("added", "", "1.0.0", False) == (change.kind, change.before, change.after, change.breaks)
    assert ["says that it is read_only, which counts from here on"] == [one.what for one in change.findings]


def test_a_removed_tool_and_a_removed_version_break_callers() -> None:
    gone = changes_between([function()], [])
    older = changes_between([function(), function("1.1.0")], [function("1.1.0")])

    assert [("removed", True)] == [(one.kind, one.breaks) for one in gone]
    assert [("removed", "1.0.0", True)] == [(one.kind, one.before, one.breaks) for one in older]


def test_an_argument_that_is_required_now_breaks_callers_and_one_that_may_be_left_out_does_not() -> None:
    more = object_of(("item", "count"), item=STRING, count=INTEGER)
    optional = object_of(("item",), item=STRING, count=INTEGER)

    required = only_change(function(), function(parameters=more))
    added = only_change(function(), function(parameters=optional))

    assert required.breaks
    assert ("arguments", "/count", "is required now") in [(one.place, one.path, one.what) for one in required.findings]
    assert not added.breaks
    assert ("arguments", "/count", "is taken now") in [(one.place, one.path, one.what) for one in added.findings]


def test_an_argument_that_is_gone_breaks_callers_because_a_host_takes_no_other() -> None:
    change = only_change(
        function(parameters=object_of(item=STRING, count=INTEGER)), function(parameters=object_of(item=STRING))
    )

    assert [("/count", True)] == [(one.path, one.breaks) for one in change.findings if one.place == "arguments"]


@pytest.mark.parametrize(
    ("was", "now", "breaks"),
    [
        (INTEGER, NUMBER, True),
        (NUMBER, INTEGER, False),
        (INTEGER, None, True),
        (None, INTEGER, False),
        (object_of(("a",), a=STRING), object_of(a=STRING), True),
        (object_of(a=STRING), object_of(("a",), a=STRING), False),
    ],
)
def test_a_result_may_be_narrowed_and_not_widened(was: Any, now: Any, *, breaks: bool) -> None:
    change = only_change(function(returns=was), function(returns=now))

    assert breaks == change.breaks


def test_another_version_that_callers_get_by_themselves_is_compared_with_the_one_they_had() -> None:
    newer = function("2.0.0", parameters=object_of(("sku",), sku=STRING))

    changes = changes_between([function()], [function(), newer])

    assert [("added", "", "2.0.0", False), ("changed", "1.0.0", "2.0.0", True)] == [
        (one.kind, one.before, one.after, one.breaks) for one in changes
    ]


def test_what_may_not_be_repeated_any_more_breaks_callers_and_words_do_not() -> None:
    once = only_change(function(idempotent=True), function())
    words = only_change(function(), function(description="Does it well.", deprecated=True))

    assert once.breaks
    assert not words.breaks
    assert {"is deprecated now", "has another description"} <= {one.what for one in words.findings}


def test_what_cannot_be_judged_counts_as_breaking() -> None:
    was = function(parameters=object_of(item={"type": "string", "pattern": "^a"}))
    now = function(parameters=object_of(item={"type": "string", "pattern": "^b"}))

    change = only_change(was, now)

    assert change.breaks
    assert [True] == [one.unclear for one in change.findings if one.breaks]


def test_what_a_contract_allows_beside_its_schemas_is_told() -> None:
    quiet, allowing = function(), replace(function(), metadata={"altar.local_dispatch": True})

    change = only_change(quiet, allowing)
    (added,) = changes_between([], [allowing])

    assert ["says altar.local_dispatch = true now"] == [one.what for one in change.findings]
    assert "says altar.local_dispatch = true, which counts from here on" in [one.what for one in added.findings]
    assert ["says no altar.local_dispatch any more"] == [one.what for one in only_change(allowing, quiet).findings]
