"""What is wrong with a value, in words that its author or a model can act on.

In: a compiled schema, and a value that does not fit it.
Out: defects, each with the place in the value, its kind and one sentence.
This runs only after a check has failed, so it may take its time.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from altar.adm.canonical import INT64_MAX, INT64_MIN, canonical, is_within_depth
from altar.adm.defect import Defect, Kind, pointer, quoted
from altar.adm.errors import AltarError

if TYPE_CHECKING:
    import jsonschema_rs

MAX_EXPLAINED: Final = 400
"""What is said about several alternatives is cut after this many characters."""

MAX_FINDINGS: Final = 100
"""So many errors of one value are looked at; the first of them makes the message."""
_SMALL: Final = 2_000

_MAX_NAME: Final = 64
_MAX_NAMES: Final = 200


@dataclass(frozen=True, slots=True)
class Wording:
    """How the value is called in messages, and whether its content may be quoted."""

    root: str = "The value"
    member: str = "The value at"
    quote: bool = True

    def subject(self, path: Sequence[str | int]) -> str:
        """Return the name of a place: `Argument `days[0].from`` or the name of the whole."""
        if not path:
            return self.root
        name = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
        return f"{self.member} `{name.removeprefix('.')}`"


PLAIN: Final = Wording()
"""The wording for a value of which nothing is known."""


def findings(
    validator: jsonschema_rs.Validator, value: object, wording: Wording, *, document: Mapping[str, Any]
) -> list[Defect]:
    """Return every defect of `value`: missing members first, then unknown ones, then wrong values.

    `document` is what the validator was compiled from; near misses of its names are suggested.
    """
    try:
        errors = _errors(validator, value) if is_within_depth(value) else []
    except (ValueError, RecursionError):
        errors = []
    if not errors or any(error.instance is None for error in errors):
        found = _not_json(value)  # the validator shows NaN as null
        if found:
            return found
    found = [defect for error in errors for defect in _defects(error, wording)]
    order = {"REQUIRED": 0, "UNKNOWN_FIELD": 1}
    found = sorted(dict.fromkeys(found), key=lambda defect: order.get(defect.category, 2))
    return [_with_near_miss(defect, document) for defect in found] or [
        Defect("", "TYPE", f"{wording.root} does not fit the schema")
    ]


def _errors(validator: jsonschema_rs.Validator, value: object) -> list[jsonschema_rs.ValidationError]:
    """What is wrong: everything in a value of human size, the first thing in a larger one.

    The validator finds all errors before it gives the first, and each holds a copy of its part of the value.
    """
    if _is_small(value):
        return list(islice(validator.iter_errors(value), MAX_FINDINGS))
    import jsonschema_rs

    try:
        validator.validate(value)
    except jsonschema_rs.ValidationError as first:
        return [first]
    return []


def _is_small(value: object) -> bool:
    left, waiting = _SMALL, [value]
    while waiting and left > 0:
        part = waiting.pop()
        inside = part.values() if isinstance(part, dict) else part if isinstance(part, (list, tuple)) else ()
        left -= 1 + len(inside)
        if left > 0:
            waiting.extend(inside)
    return left > 0


def _not_json(value: object) -> list[Defect]:
    """Say where a value stops being JSON; nothing if it is JSON."""
    try:
        canonical(value)  # type: ignore[arg-type]  # whether it is JSON is the question
    except AltarError as error:
        return list(error.defects)
    return []


def _with_near_miss(defect: Defect, document: Mapping[str, Any]) -> Defect:
    """Add the declared name that an undeclared one at the root was perhaps meant to be."""
    name = (defect.path or "").removeprefix("/")
    if defect.category != "UNKNOWN_FIELD" or "/" in name:
        return defect
    known = list(document.get("properties", ()))
    if len(name) > _MAX_NAME or len(known) > _MAX_NAMES:
        return defect  # comparing takes time
    near = difflib.get_close_matches(name, known, n=1)
    return replace(defect, message=f"{defect.message}; did you mean `{near[0]}`?") if near else defect


def _defects(error: jsonschema_rs.ValidationError, wording: Wording) -> Iterable[Defect]:
    path = list(error.instance_path)
    name = error.kind.name
    if name in {"anyOf", "oneOf"}:
        return _alternatives(error, path, wording)
    if name == "required":
        missing = [*path, error.kind.property]  # type: ignore[attr-defined]  # by its name
        return [Defect(pointer(*missing), "REQUIRED", f"{wording.subject(missing)} is missing")]
    if name in {"additionalProperties", "unevaluatedProperties"}:
        return _unknown(error, path, wording)
    if name == "propertyNames":
        message = f"{wording.subject(path)} has a member whose name is not allowed"
        return [Defect(pointer(*path), "PATTERN", message)]
    kind, write = _PHRASES.get(name, _OTHER)
    phrase = write(error, wording)
    return [Defect(pointer(*path), kind, f"{wording.subject(path)} {phrase}")]


def _unknown(error: jsonschema_rs.ValidationError, path: list[str | int], wording: Wording) -> Iterable[Defect]:
    for name in islice(error.kind.unexpected, MAX_FINDINGS):  # type: ignore[attr-defined]  # by its name
        place = [*path, name]
        yield Defect(pointer(*place), "UNKNOWN_FIELD", f"{wording.subject(place)} is not declared")


def _alternatives(error: jsonschema_rs.ValidationError, path: list[str | int], wording: Wording) -> Iterable[Defect]:
    """Explain the one alternative that was meant, or name the types that all of them together allow."""
    kind: Any = error.kind
    branches: list[list[jsonschema_rs.ValidationError]] = kind.context
    if type(kind).__name__.endswith("OneOfMultipleValid"):
        message = f"{wording.subject(path)} fits more than one of the forms of which it may have one"
        return [Defect(pointer(*path), "MISMATCH", message)]
    meant = [branch for branch in branches if not any(_of_other_kind(item, path) for item in branch)]
    if len(meant) == 1:
        return [defect for item in meant[0] for defect in _defects(item, wording)]
    if meant:
        leading = [item for branch in meant for item in branch[:1]]
        first = [defect.message for item in leading for defect in _defects(item, wording)]
        text = "; or ".join(first)
        text = text if len(text) <= MAX_EXPLAINED else f"{text[:MAX_EXPLAINED]}…"
        message = f"{wording.subject(path)} fits none of {len(branches)} forms: {text}"
        return [Defect(pointer(*path), "TYPE", message)]
    types = [name for branch in branches for item in branch for name in getattr(item.kind, "types", ())]
    options = [text for branch in branches for item in branch for text in _options(item, path)]
    wanted = _either([*(_WITH_ARTICLE.get(name, name) for name in dict.fromkeys(types)), *options])
    phrase = f"must be {wanted}, not {_type_of(error.instance, wording)}"
    if options:
        phrase = f"{_is(error, wording)} but must be {wanted}" if wording.quote else f"must be {wanted}"
    return [Defect(pointer(*path), "ENUM" if options else "TYPE", f"{wording.subject(path)} {phrase}")]


def _of_other_kind(error: jsonschema_rs.ValidationError, path: list[str | int]) -> bool:
    return error.kind.name in {"type", "enum", "const"} and list(error.instance_path) == path


def _options(error: jsonschema_rs.ValidationError, path: list[str | int]) -> list[str]:
    if list(error.instance_path) != path:
        return []
    parts = error.kind.as_dict()
    if error.kind.name == "enum":
        return [quoted(option) for option in parts["options"]]
    return [quoted(parts["expected_value"])] if error.kind.name == "const" else []


_Write = Callable[["jsonschema_rs.ValidationError", Wording], str]


def _type(error: jsonschema_rs.ValidationError, wording: Wording) -> str:
    names: list[str] = error.kind.types  # type: ignore[attr-defined]  # by its name
    wanted = _either([_WITH_ARTICLE.get(name, name) for name in names])
    return f"must be {wanted}, not {_type_of(error.instance, wording)}"


def _enum(error: jsonschema_rs.ValidationError, wording: Wording) -> str:
    parts = error.kind.as_dict()
    options = parts.get("options", [parts.get("expected_value")])
    wanted = ", ".join(quoted(option) for option in options)
    phrase = f"must be one of {wanted}" if len(options) > 1 else f"must be {wanted}"
    return f"{_is(error, wording)} but {phrase}" if wording.quote else phrase


def _bound(words: str) -> _Write:
    def write(error: jsonschema_rs.ValidationError, wording: Wording) -> str:
        limit: Any = error.kind.limit  # type: ignore[attr-defined]  # by its name
        if limit in {INT64_MIN, INT64_MAX}:
            return "must be an integer of at most 64 bits"
        phrase = f"must be {words} {limit}"
        return f"{_is(error, wording)} but {phrase}" if wording.quote else phrase

    return write


def _count(words: str, unit: str) -> _Write:
    def write(error: jsonschema_rs.ValidationError, _: Wording) -> str:
        limit: int = error.kind.limit  # type: ignore[attr-defined]  # by its name
        has = len(error.instance) if isinstance(error.instance, str | list | dict) else 0
        return f"has {has} {unit} but must have {words} {limit}"

    return write


def _pattern(error: jsonschema_rs.ValidationError, wording: Wording) -> str:
    phrase = f"must match the pattern {error.kind.pattern!r}"  # type: ignore[attr-defined]  # by its name
    return f"{_is(error, wording)} but {phrase}" if wording.quote else phrase


def _multiple(error: jsonschema_rs.ValidationError, wording: Wording) -> str:
    phrase = f"must be a multiple of {error.kind.multiple_of}"  # type: ignore[attr-defined]  # by its name
    return f"{_is(error, wording)} but {phrase}" if wording.quote else phrase


def _fixed(text: str) -> _Write:
    return lambda _error, _wording: text


def _is(error: jsonschema_rs.ValidationError, _: Wording) -> str:
    return f"is {quoted(error.instance)}"


_OTHER: Final[tuple[Kind, _Write]] = ("KEYWORD", lambda error, _: f"breaks the rule `{error.kind.name}`")

_PHRASES: Final[Mapping[str, tuple[Kind, _Write]]] = {
    "type": ("TYPE", _type),
    "enum": ("ENUM", _enum),
    "const": ("ENUM", _enum),
    "minimum": ("RANGE", _bound("at least")),
    "maximum": ("RANGE", _bound("at most")),
    "exclusiveMinimum": ("RANGE", _bound("greater than")),
    "exclusiveMaximum": ("RANGE", _bound("less than")),
    "multipleOf": ("RANGE", _multiple),
    "minLength": ("LENGTH", _count("at least", "characters")),
    "maxLength": ("LENGTH", _count("at most", "characters")),
    "minItems": ("LENGTH", _count("at least", "items")),
    "maxItems": ("LENGTH", _count("at most", "items")),
    "minProperties": ("LENGTH", _count("at least", "members")),
    "maxProperties": ("LENGTH", _count("at most", "members")),
    "contains": ("LENGTH", _fixed("does not hold the items that it must hold")),
    "unevaluatedItems": ("LENGTH", _fixed("has more items than are declared")),
    "additionalItems": ("LENGTH", _fixed("has more items than are declared")),
    "pattern": ("PATTERN", _pattern),
    "uniqueItems": ("DUPLICATE", _fixed("must not hold the same item twice")),
    "not": ("FORBIDDEN", _fixed("has a form that is excluded")),
    "falseSchema": ("FORBIDDEN", _fixed("is not allowed here")),
}

_WITH_ARTICLE: Final[Mapping[str, str]] = {
    "string": "a string",
    "number": "a number",
    "integer": "an integer",
    "boolean": "a boolean",
    "array": "an array",
    "object": "an object",
    "null": "null",
}


def _type_of(value: object, wording: Wording) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        fraction = isinstance(value, float) and not value.is_integer()
        if fraction:
            return f"the fraction {value!r}" if wording.quote else "a fraction"
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "an array" if isinstance(value, list | tuple) else "an object"


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
