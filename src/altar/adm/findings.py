"""What is wrong with a value, in words that its author or a model can act on.

In: a compiled schema, and a value that does not fit it.
Out: defects, each with the place in the value, its kind and one sentence.
This runs only after a check has failed, so it may take its time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from altar.adm.canonical import INT64_MAX, INT64_MIN, canonical, is_within_depth
from altar.adm.defect import Defect, Kind, pointer, quoted
from altar.adm.errors import AltarError
from altar.adm.near import nearest
from altar.adm.signature import MAX_OPTIONS, Targets

if TYPE_CHECKING:
    import jsonschema_rs

MAX_EXPLAINED: Final = 400
"""What is said about several alternatives is cut after this many characters."""

MAX_FINDINGS: Final = 100
"""So many errors of one value are looked at; the first of them makes the message."""

MAX_COMMON: Final = 20
"""So many errors of each form of a union are compared with those of the others."""

_SMALL: Final = 2_000


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
    validator: jsonschema_rs.Validator,
    value: object,
    wording: Wording,
    *,
    document: Mapping[str, Any],
    thorough: bool = True,
) -> list[Defect]:
    """Return every defect of `value`: missing members first, then unknown ones, then wrong values.

    Unless `thorough`, and for a value of more than human size, that is only the first.
    `document` is what the validator was compiled from; near misses of its names are suggested.
    """
    try:
        errors = _errors(validator, value, thorough=thorough) if is_within_depth(value) else []
    except (ValueError, RecursionError):
        errors = []
    if not errors or any(error.instance is None for error in errors):
        found = _not_json(value)  # the validator shows NaN as null
        if found:
            return found
    forms = _Forms(document)
    found = [defect for error in errors for defect in _defects(error, wording, forms)]
    order = {"REQUIRED": 0, "UNKNOWN_FIELD": 1}
    found = sorted(dict.fromkeys(found), key=lambda defect: order.get(defect.category, 2))
    return [_with_near_miss(defect, document) for defect in found] or [
        Defect("", "TYPE", f"{wording.root} does not fit the schema")
    ]


def _errors(
    validator: jsonschema_rs.Validator, value: object, *, thorough: bool
) -> list[jsonschema_rs.ValidationError]:
    """What is wrong: everything in a value of human size, the first thing in a larger one.

    The validator finds all errors before it gives the first, and each holds a copy of its part of the value.
    """
    if thorough and _is_small(value):
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
    near = nearest(name, document.get("properties", ()))
    return replace(defect, message=f"{defect.message}; did you mean `{near}`?") if near else defect


def _defects(error: jsonschema_rs.ValidationError, wording: Wording, forms: _Forms) -> Iterable[Defect]:
    path = list(error.instance_path)
    name = error.kind.name
    if name in {"anyOf", "oneOf"}:
        return _alternatives(error, path, wording, forms)
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


def _alternatives(
    error: jsonschema_rs.ValidationError, path: list[str | int], wording: Wording, forms: _Forms
) -> Iterable[Defect]:
    """Explain the one alternative that was meant, or name the types that all of them together allow."""
    kind: Any = error.kind
    if type(kind).__name__.endswith("OneOfMultipleValid"):
        message = f"{wording.subject(path)} fits more than one of the forms of which it may have one"
        return [Defect(pointer(*path), "MISMATCH", message)]
    branches: list[list[jsonschema_rs.ValidationError]] = kind.context
    meant = [index for index, branch in enumerate(branches) if not _is_of_other_kind(branch, path)]
    if not meant:
        return [_of_no_type(error, branches, path, wording)]
    value: Any = error.instance
    tag = forms.tag(error, meant) if isinstance(value, dict) and len(meant) > 1 else None
    if tag is not None:
        said = _untagged(value, tag, path, wording)
        if said is not None:
            return [said]
        meant = tag.meant(value, meant)
    if len(meant) == 1:
        return [defect for item in branches[meant[0]] for defect in _defects(item, wording, forms)]
    common = _common([branches[index] for index in meant], wording, forms)
    if common:
        return common
    leading = [item for index in meant for item in branches[index][:1]]
    first = dict.fromkeys(defect.message for item in leading for defect in _defects(item, wording, forms))
    text = "; or ".join(first)
    text = text if len(text) <= MAX_EXPLAINED else f"{text[:MAX_EXPLAINED]}…"
    return [Defect(pointer(*path), "TYPE", f"{wording.subject(path)} fits none of {len(branches)} forms: {text}")]


def _untagged(value: Mapping[str, Any], tag: _Tag, path: list[str | int], wording: Wording) -> Defect | None:
    """Return what is wrong with the member that tells the forms apart; None when it names one, or need not be there."""
    place = [*path, tag.member]
    options = list(tag.forms)
    wanted = ", ".join(quoted(option) for _, option in options[:MAX_OPTIONS])
    wanted = f"{wanted}, …" if len(options) > MAX_OPTIONS else wanted
    wanted = f"must be one of {wanted}" if len(options) > 1 else f"must be {wanted}"
    if tag.member not in value:
        message = f"{wording.subject(place)} is missing; it {wanted}"
        return Defect(pointer(*place), "REQUIRED", message) if tag.is_required else None
    given = value[tag.member]
    if tag.open or _key(given) in tag.forms:
        return None
    phrase = f"is {quoted(given)} but {wanted}" if wording.quote else wanted
    return Defect(pointer(*place), "ENUM", f"{wording.subject(place)} {phrase}")


def _common(branches: list[list[jsonschema_rs.ValidationError]], wording: Wording, forms: _Forms) -> list[Defect]:
    """Return what each of several forms finds wrong, so that it must be mended whichever of them is meant."""
    found: list[list[Defect]] = []
    for branch in branches:
        plain = [item for item in branch[:MAX_COMMON] if item.kind.name not in _UNIONS]
        found.append([defect for item in plain for defect in _defects(item, wording, forms)])
    return [defect for defect in dict.fromkeys(found[0]) if all(defect in each for each in found[1:])]


def _of_no_type(
    error: jsonschema_rs.ValidationError,
    branches: list[list[jsonschema_rs.ValidationError]],
    path: list[str | int],
    wording: Wording,
) -> Defect:
    """Say which types and values the forms allow, when the value has the type of none of them."""
    leaves = [leaf for branch in branches for item in branch for leaf in _leaves(item)]
    types = [name for leaf in leaves for name in getattr(leaf.kind, "types", ())]
    options = dict.fromkeys(text for leaf in leaves for text in _options(leaf, path))
    wanted = _either([*(_WITH_ARTICLE.get(name, name) for name in dict.fromkeys(types)), *options])
    phrase = f"must be {wanted}, not {_type_of(error.instance, wording)}"
    if options:
        phrase = f"{_is(error, wording)} but must be {wanted}" if wording.quote else f"must be {wanted}"
    return Defect(pointer(*path), "ENUM" if options else "TYPE", f"{wording.subject(path)} {phrase}")


def _is_of_other_kind(branch: list[jsonschema_rs.ValidationError], path: list[str | int]) -> bool:
    """Tell whether a form, or every form inside of it, asks for a type or a value that this one is not."""
    for item in branch:
        if list(item.instance_path) != path:
            continue
        if item.kind.name in {"type", "enum", "const"}:
            return True
        if item.kind.name in _UNIONS and all(_is_of_other_kind(inner, path) for inner in _context(item)):
            return True
    return False


def _leaves(error: jsonschema_rs.ValidationError) -> Iterable[jsonschema_rs.ValidationError]:
    if error.kind.name not in _UNIONS:
        return [error]
    return [leaf for branch in _context(error) for item in branch for leaf in _leaves(item)]


def _context(error: jsonschema_rs.ValidationError) -> list[list[jsonschema_rs.ValidationError]]:
    """The errors of each form; one form without any when the value fits too many of them."""
    kind: Any = error.kind
    return [[]] if type(kind).__name__.endswith("OneOfMultipleValid") else list(kind.context)


_UNIONS: Final = frozenset({"anyOf", "oneOf"})


@dataclass(frozen=True, slots=True)
class _Tag:
    """A member whose value says which form of a union is meant: `forms` gives the branches for each value.

    `open` holds the branches that take any value of it; in `is_required` no branch can do without it.
    """

    member: str
    forms: Mapping[tuple[bool, Any], frozenset[int]]
    open: frozenset[int]
    is_required: bool

    def meant(self, value: Mapping[str, Any], among: list[int]) -> list[int]:
        """Return those branches that the value names; all when it names none."""
        if self.member not in value:
            return among
        named = self.open | self.forms.get(_key(value[self.member]), frozenset())
        return [index for index in among if index in named] or among


class _Forms:
    """The unions of a document, and the members that tell their forms apart."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        self._known: dict[tuple[object, ...], _Tag | None] = {}

    def tag(self, error: jsonschema_rs.ValidationError, among: list[int]) -> _Tag | None:
        """Return the member that tells apart the branches `among` of the union that failed; None when none does."""
        key = (*error.schema_path, None, *among)
        if key not in self._known:
            self._known[key] = self._tag(error.schema_path, among)
        return self._known[key]

    @cached_property
    def _targets(self) -> Targets:
        return Targets(self._document)

    def _tag(self, path: Sequence[str | int], among: list[int]) -> _Tag | None:
        node = self._targets.at(path[:-1])
        branches = node.get(str(path[-1])) if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or not isinstance(branches, list):
            return None  # the path is not one from the root
        kept = {index: branches[index] for index in among if index < len(branches)}
        return self._discriminated(node, branches) or self._told_apart(kept)

    def _discriminated(self, node: Mapping[str, Any], branches: list[Any]) -> _Tag | None:
        """The tag that `discriminator` names, as OpenAPI has it, when its mapping leads to every branch."""
        given = node.get("discriminator")
        if not isinstance(given, Mapping) or not isinstance(given.get("propertyName"), str):
            return None
        mapping = given.get("mapping")
        if not isinstance(mapping, Mapping) or not all(isinstance(target, str) for target in mapping.values()):
            return None
        places = {
            branch["$ref"]: index
            for index, branch in enumerate(branches)
            if isinstance(branch, Mapping) and isinstance(branch.get("$ref"), str)
        }
        if set(mapping.values()) != places.keys() or len(places) != len(branches):
            return None
        forms = {_key(value): frozenset({places[target]}) for value, target in mapping.items()}
        return _Tag(given["propertyName"], forms, frozenset(), is_required=True)

    def _told_apart(self, branches: Mapping[int, Any]) -> _Tag | None:
        """The tag that is a `const`, or an `enum`, of its own in most branches."""
        holders: dict[str, dict[int, tuple[list[tuple[bool, Any]], bool]]] = {}
        for index, branch in branches.items():
            for member, fixed in self._fixed(branch).items():
                holders.setdefault(member, {})[index] = fixed
        best: _Tag | None = None
        for member, held in holders.items():
            forms: dict[tuple[bool, Any], frozenset[int]] = {}
            for index, (values, _) in held.items():
                forms.update({value: forms.get(value, frozenset()) | {index} for value in values})
            if len(held) == 1 or any(len(found) > 1 for found in forms.values()):
                continue  # it does not tell them apart
            others = frozenset(branches.keys() - held.keys())
            if best is None or len(others) < len(best.open):
                needed = not others and all(is_required for _, is_required in held.values())
                best = _Tag(member, forms, others, is_required=needed)
        return best

    def _fixed(self, branch: object) -> dict[str, tuple[list[tuple[bool, Any]], bool]]:
        """The members of a branch that may have only certain plain values: these, and whether it is required."""
        node = self._targets.followed(branch)
        properties = node.get("properties") if isinstance(node, Mapping) else None
        if not isinstance(node, Mapping) or not isinstance(properties, Mapping):
            return {}
        required = node.get("required", ())
        found = {}
        for name, described in properties.items():
            held = self._targets.followed(described)
            if not isinstance(held, Mapping):
                continue
            values = [held["const"]] if "const" in held else held.get("enum", [])
            if values and not any(isinstance(value, dict | list) for value in values):
                found[name] = ([_key(value) for value in values], name in required)
        return found


def _key(value: object) -> tuple[bool, Any]:
    """A plain JSON value as JSON compares it: 1 is 1.0, and not true; an array or object is like no plain value."""
    if isinstance(value, dict | list | tuple):
        return True, None
    return isinstance(value, bool), value


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
