"""What the values of a field look like, and whether they can ever be what a parameter takes.

A part of a JSON Schema comes in, together with the document that its references are in; a reason goes out, or None.
Only what can never fit is a reason: types of JSON without a common value, choices without a common choice, an object
without a member that is required.
What a schema does not tell may fit, and the contract of the tool decides when it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from altar.adm.near import nearest

__all__ = ["ANYTHING", "Form", "either", "joined", "misfit"]

_TYPES: Final = frozenset({"null", "boolean", "number", "string", "array", "object"})
_DEEPEST: Final = 12
"""So many levels of two schemas are compared; what is below may fit."""


@dataclass(frozen=True, slots=True)
class Form:
    """A JSON Schema for the values of one field, and the ``$defs`` that its references are in."""

    schema: Mapping[str, Any]
    defs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def types(self) -> frozenset[str]:
        """The types of JSON that a value may have; an integer is a number."""
        return _types(self, 0)

    @property
    def choices(self) -> tuple[Any, ...] | None:
        """The only values that there are, None where they are not listed."""
        return _choices(self, 0)

    @property
    def items(self) -> Form:
        """What each value of the list looks like."""
        for one in alternatives(self):
            held = one.schema.get("items")
            if "array" in one.types and isinstance(held, Mapping) and "prefixItems" not in one.schema:
                return Form(held, one.defs)
        return ANYTHING

    @property
    def members(self) -> Mapping[str, Form] | None:
        """The members of the one object that this can only be; None for what may be another thing, or has others."""
        schema = _resolved(self, 0).schema
        if self.types != {"object"} or not schema.get("properties") or _takes_more(schema) or _combines(schema):
            return None
        return self.own_members

    @property
    def own_members(self) -> dict[str, Form]:
        """The members that the schema of an object lists itself; it may have others."""
        plain = _resolved(self, 0)
        held = plain.schema.get("properties")
        if not isinstance(held, Mapping):
            return {}
        return {name: Form(one, plain.defs) if isinstance(one, Mapping) else ANYTHING for name, one in held.items()}


ANYTHING: Final = Form({})
"""Any JSON value."""


def alternatives(form: Form) -> Iterator[Form]:
    """What a value may be, one by one, where the schema says ``anyOf`` or ``oneOf``; else the form alone."""
    return _alternatives(form, 0)


def either(forms: Iterable[Form]) -> Form:
    """The form of values that have one of these forms."""
    unique: list[Form] = []
    for one in forms:
        if one not in unique:
            unique.append(one)
    if len(unique) == 1:
        return unique[0]
    defs: dict[str, Any] = {}
    schemas = [joined(one, defs) for one in unique]
    return Form({"anyOf": schemas}, defs) if all(schemas) else ANYTHING


def misfit(given: Form, taken: Form) -> str | None:
    """Why no value of the form ``given`` is one of the form ``taken``, as the end of a sentence; None if one may be.

    An empty list counts for nothing: a list of texts is no list of numbers.
    """
    return _misfit(given, taken, 0)


def joined(form: Form, defs: dict[str, Any]) -> dict[str, Any]:
    """The schema of a form for a document with the definitions ``defs``, to which those that it uses are added.

    A definition whose name is taken by another one gets a number.
    A schema that refers to another place than a definition becomes ``{}``, which any value fits.
    """
    renamed: dict[str, str] = {}
    held = dict(defs)

    def place(name: str) -> str:
        if name not in renamed:
            free, number = name, 1
            while free in held and held[free] != form.defs[name]:
                number += 1
                free = f"{name}_{number}"
            renamed[name] = free
            if free not in held:
                held[free] = form.defs[name]  # stands here while it is written, so that it may refer to itself
                held[free] = _rewritten(form.defs[name], named)
        return renamed[name]

    def named(reference: str) -> str:
        name = _definition(reference)
        if name is None or name not in form.defs:
            raise _ElsewhereError
        return f"#/$defs/{place(name)}"

    try:
        written = _rewritten(form.schema, named)
    except _ElsewhereError:
        return {}
    defs.update(held)
    return dict(written)


# ------------------------------------------------------------------------------------------------------ one by one


def _misfit(given: Form, taken: Form, depth: int) -> str | None:
    if depth > _DEEPEST:
        return None
    reason: str | None = None
    for mine in _alternatives(given, 0):
        for theirs in _alternatives(taken, 0):
            found = _no_common(mine, theirs, depth)
            if found is None:
                return None
            reason = reason or found
    if reason is not None and given.types.isdisjoint(taken.types):
        return f"it is {_words(given)}, and {_words(taken)} is taken"
    return reason


def _no_common(given: Form, taken: Form, depth: int) -> str | None:
    """Why two forms without alternatives have no value in common."""
    types = given.types & taken.types
    if not types:
        return f"it is {_words(given)}, and {_words(taken)} is taken"
    mine, theirs = given.choices, taken.choices
    if mine is not None and theirs is not None:
        if not any(_same(one, other) for one in mine for other in theirs):
            return f"it is one of {_listed(mine)}, and one of {_listed(theirs)} is taken"
        return None
    if types == {"array"}:
        inside = _misfit(given.items, taken.items, depth + 1)
        return None if inside is None else f"of each of its values: {inside}"
    return _other_object(given, taken, depth) if types == {"object"} else None


def _other_object(given: Form, taken: Form, depth: int) -> str | None:
    """Why no object of one form is an object of the other."""
    members = given.members
    plain = _resolved(taken, 0)
    held = plain.schema.get("properties")
    wanted = held if isinstance(held, Mapping) else {}
    required = plain.schema.get("required")
    for name in required if isinstance(required, list) else ():
        if members is not None and name not in members:
            near = nearest(name, members)
            return f"it has no member {name!r}" + (f", the nearest is {near!r}" if near else "")
    always = _resolved(given, 0).schema.get("required")
    for name in always if isinstance(always, list) and members is not None else ():
        if name in wanted and isinstance(wanted[name], Mapping) and members is not None and name in members:
            inside = _misfit(members[name], Form(wanted[name], plain.defs), depth + 1)
            if inside is not None:
                return f"of its member {name!r}: {inside}"
    return None


def _types(form: Form, depth: int) -> frozenset[str]:
    schema = form.schema
    if depth > _DEEPEST:
        return _TYPES
    found = _TYPES
    said = schema.get("type")
    if isinstance(said, str | list):
        found &= {"number" if one == "integer" else one for one in ([said] if isinstance(said, str) else said)}
    choices = _choices(Form({key: schema[key] for key in ("enum", "const") if key in schema}), depth)
    if choices is not None:
        found &= {_type_of(one) for one in choices}
    if isinstance(schema.get("$ref"), str):
        found &= _types(_referred(form), depth + 1)
    for word in ("anyOf", "oneOf"):
        if isinstance(schema.get(word), list):
            found &= frozenset[str]().union(*(_types(one, depth + 1) for one in _schemas(form, word)))
    for one in _schemas(form, "allOf"):
        found &= _types(one, depth + 1)
    return found


def _choices(form: Form, depth: int) -> tuple[Any, ...] | None:
    schema = form.schema
    if "const" in schema:
        return (schema["const"],)
    if isinstance(schema.get("enum"), list):
        return tuple(schema["enum"])
    if depth > _DEEPEST:
        return None
    if isinstance(schema.get("$ref"), str):
        return _choices(_referred(form), depth + 1)
    for word in ("anyOf", "oneOf"):
        parts = [_choices(one, depth + 1) for one in _schemas(form, word)]
        if parts and all(part is not None for part in parts):
            return tuple(one for part in parts for one in part or ())
    return None


def _alternatives(form: Form, depth: int) -> Iterator[Form]:
    plain = _resolved(form, 0)
    for word in ("anyOf", "oneOf"):
        if isinstance(plain.schema.get(word), list) and depth < _DEEPEST:
            for one in _schemas(plain, word):
                yield from _alternatives(one, depth + 1)
            return
    yield plain


def _resolved(form: Form, depth: int) -> Form:
    """The form that a mere reference leads to."""
    while isinstance(form.schema.get("$ref"), str) and depth < _DEEPEST:
        form, depth = _referred(form), depth + 1
    return form


def _referred(form: Form) -> Form:
    name = _definition(form.schema["$ref"])
    held = None if name is None else form.defs.get(name)
    return Form(held, form.defs) if isinstance(held, Mapping) else ANYTHING


def _definition(reference: str) -> str | None:
    """The name of the definition that a reference leads to, None where it leads elsewhere."""
    name = reference.removeprefix("#/$defs/")
    if name == reference or "/" in name:
        return None
    return name.replace("~1", "/").replace("~0", "~")


def _schemas(form: Form, word: str) -> Iterator[Form]:
    held = form.schema.get(word)
    for one in held if isinstance(held, list) else ():
        yield Form(one, form.defs) if isinstance(one, Mapping) else ANYTHING


def _takes_more(schema: Mapping[str, Any]) -> bool:
    """Whether an object says itself that it has members that are not listed."""
    words = ("additionalProperties", "unevaluatedProperties", "patternProperties")
    return any(word in schema and schema[word] is not False for word in words)


def _combines(schema: Mapping[str, Any]) -> bool:
    return not {"allOf", "anyOf", "oneOf", "if", "dependentSchemas", "$dynamicRef"}.isdisjoint(schema)


def _rewritten(held: Any, named: Callable[[str], str]) -> Any:
    """A part of a schema with its references written anew."""
    if isinstance(held, list):
        return [_rewritten(one, named) for one in held]
    if not isinstance(held, Mapping):
        return held
    if "$dynamicRef" in held or "$id" in held or "$anchor" in held:
        raise _ElsewhereError
    return {
        key: named(one) if key == "$ref" and isinstance(one, str) else _rewritten(one, named)
        for key, one in held.items()
        if key != "$defs"
    }


class _ElsewhereError(Exception):
    """A reference leads to another place than a definition."""


# ------------------------------------------------------------------------------------------------------- in words


def _words(form: Form) -> str:
    names = [_SPOKEN[one] for one in _SPOKEN if one in form.types]
    return " or ".join(names) if 0 < len(names) < len(_SPOKEN) else "any value"


_SPOKEN: Final = {
    "string": "a text",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def _listed(values: tuple[Any, ...]) -> str:
    shown = ", ".join(repr(one)[:40] for one in values[:5])
    return shown + (", …" if len(values) > 5 else "")


def _type_of(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    return "string" if isinstance(value, str) else "array" if isinstance(value, list) else "object"


def _same(one: object, other: object) -> bool:
    return isinstance(one, bool) == isinstance(other, bool) and one == other
