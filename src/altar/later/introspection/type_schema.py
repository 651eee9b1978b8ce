"""From the types of annotations to JSON Schema, and why some have none.

In: annotations that :mod:`altar.later.introspection.annotation` made readable.
Out: pydantic adapters, JSON Schema documents in our dialect, and the words for what cannot be written as JSON.
"""

from __future__ import annotations

import contextlib
import functools
import re
import types
import warnings
from collections.abc import Mapping
from enum import Enum, Flag
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

from altar.adm.vocabulary import subschemas
from altar.later.introspection.docstring import marks
from altar.later.introspection.settled import is_settled
from altar.later.introspection.strictness import nodes

if TYPE_CHECKING:
    import pydantic
    from pydantic.json_schema import GenerateJsonSchema

__all__ = ["adapter_of", "adapter_of_members", "is_native", "reason", "schema_of_members", "written_form"]

_NATIVE = frozenset({str, int, float, bool, type(None), list, dict, tuple, Any, object})
_QUALIFIED = re.compile(r"\b(?:\w+\.|<locals>\.)+")
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_INTEGER_KEY = r"^-?(0|[1-9][0-9]*)$"
_NO_KEYS = frozenset(
    "none list tuple set frozenset deque generator dict ordered-dict counter frozendict model dataclass typed-dict"
    " nullable call".split()
)
"""Types of which no value can be told from a text, as the key of an object must be."""
_SCALARS = (str, int, float, bool, type(None))
_JSON_HINT = "use text, numbers, lists, dicts, dataclasses or pydantic models"


def adapter_of(annotation: Any, names: Mapping[str, Any]) -> pydantic.TypeAdapter[Any]:
    """An adapter for a list of one value: a list takes a configuration, and a class with its own does not.

    `names` are further names that annotations inside of the type may use.
    """
    if is_settled(annotation):
        with contextlib.suppress(NameError):  # a class that waits for another one, which `names` may hold
            return _settled_adapter(repr(annotation), annotation)
    return _adapter_of(annotation, names)


@functools.lru_cache(maxsize=1024)
def _settled_adapter(_key: str, annotation: Any) -> pydantic.TypeAdapter[Any]:
    """Made once: every other function returns text. Alternatives in another order are equal, and are not the same."""
    return _adapter_of(annotation, {})


def _adapter_of(annotation: Any, names: Mapping[str, Any]) -> pydantic.TypeAdapter[Any]:
    from pydantic import ConfigDict

    config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
    of_one: Any = list[annotation]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an alias has no effect here, where there is no name
        return _complete(of_one, config, names)


def written_form(annotation: Any, names: Mapping[str, Any]) -> tuple[pydantic.TypeAdapter[Any], dict[str, Any]]:
    """What writes values of an annotation, and the JSON Schema of what it writes, whose own members may be changed.

    `names` are further names that annotations inside of the type may use.
    """
    if is_settled(annotation):
        key = repr(annotation)
        with contextlib.suppress(NameError):
            return _settled_adapter(key, annotation), dict(_settled_schema(key, annotation))
    adapter = _adapter_of(annotation, names)
    return adapter, schema_of(adapter)


@functools.lru_cache(maxsize=1024)
def _settled_schema(key: str, annotation: Any) -> dict[str, Any]:
    return schema_of(_settled_adapter(key, annotation))


def adapter_of_members(
    required: Mapping[str, Any], optional: Mapping[str, Any], names: Mapping[str, Any], *, others: Any = None
) -> pydantic.TypeAdapter[Any]:
    """An adapter for an object with these members, closed unless `others` is the type of further ones.

    `names` are further names that annotations inside of their types may use.
    """
    import typing_extensions
    from pydantic import ConfigDict

    make: Any = typing_extensions.TypedDict
    may_lack: Any = typing_extensions.NotRequired
    fields = {**required, **{name: may_lack[annotation] for name, annotation in optional.items()}}
    shape = make("Arguments", fields) if others is None else make("Arguments", fields, extra_items=others)
    shape.__pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    closed: Any = Annotated[shape, _Closed()] if others is None else shape
    return _complete(closed, None, names)


def _complete(kind: Any, config: Any, names: Mapping[str, Any]) -> pydantic.TypeAdapter[Any]:
    """An adapter, made again with `names` when a name in an annotation was not found without them."""
    from pydantic import TypeAdapter

    adapter = TypeAdapter(kind, config=config)
    if not adapter.pydantic_complete:
        adapter.rebuild(force=True, _types_namespace=names)
    return adapter


class _Closed:
    """Refuses what is not a parameter, among the arguments themselves and not in what lies inside them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Close the object that `source` describes."""
        schema = handler(source)
        handler.resolve_ref_schema(schema)["extra_behavior"] = "forbid"
        return schema


def schema_of(adapter: pydantic.TypeAdapter[Any]) -> dict[str, Any]:
    """The JSON Schema of the one value that an adapter of :func:`adapter_of` writes.

    A definition that is used only there is put in its place.
    """
    _require_form(adapter)
    schema = _untitled(adapter.json_schema(mode="serialization", schema_generator=_generator()))
    value: dict[str, Any] = schema["items"]
    definitions: dict[str, Any] = schema.get("$defs", {})
    key = str(value.get("$ref", "")).removeprefix("#/$defs/")
    if key in definitions and repr(schema).count(repr(f"#/$defs/{key}")) == 1:
        value = {**definitions[key], **{word: given for word, given in value.items() if word != "$ref"}}
        definitions = {other: kept for other, kept in definitions.items() if other != key}
    return {**value, "$defs": definitions} if definitions else value


def schema_of_members(adapter: pydantic.TypeAdapter[Any]) -> dict[str, Any]:
    """The JSON Schema of the object that an adapter of :func:`adapter_of_members` reads."""
    _require_form(adapter)
    return _untitled(adapter.json_schema(mode="validation", schema_generator=_generator()))


def is_native(annotation: Any) -> bool:
    """Is it made of JSON's own types only, so that its values need no turning?"""
    origin = get_origin(annotation)
    if origin is None:
        return annotation is None or any(annotation is known for known in _NATIVE)
    parts = get_args(annotation)
    if origin is Literal:
        return all(type(part) in _NATIVE for part in parts)
    if origin is Annotated:
        return all(isinstance(mark, str) for mark in parts[1:]) and is_native(parts[0])
    if origin is dict:
        return parts[0] is str and is_native(parts[1])
    if origin in (list, tuple, Union, types.UnionType):
        return all(part is Ellipsis or is_native(part) for part in parts)
    return False


def reason(annotation: Any, unfit: Exception) -> tuple[str, str]:
    """Why a type cannot be described, to be read after "Parameter 'x'", and what to write instead."""
    if isinstance(unfit, _NoForm):
        return f"{'holds' if _is_made_of_parts(annotation) else 'is'} {unfit}", unfit.hint
    if "CallableSchema" in str(unfit):
        return "is a function, and a function cannot be sent as JSON", (
            "take a name or a Literal, and choose the function inside"
        )
    inner = get_args(annotation)[0] if marks(annotation) else annotation
    if "Iterator[" in str(inner) or "Generator[" in str(inner) or "AsyncIterable[" in str(inner):
        return "is an iterator, which is used up as it is read", "use a list, or Iterable[…]"
    plain = isinstance(inner, type) and not get_args(inner)
    shown = inner.__name__ if plain else _QUALIFIED.sub("", str(inner))
    if type(unfit).__name__ == "SchemaError":
        return f"has the type {shown!r} with a limit or a pattern that cannot be used", "mend its Field(…)"
    if isinstance(unfit, ImportError):
        return f"has the type {shown!r}, which needs a package that is not installed", str(unfit)
    return f"has the type {shown!r}, which has no form in JSON", _JSON_HINT


# ------------------------------------------------------------------------------- what could be written, and is not


class _NoForm(TypeError):  # noqa: N818 - it is a reason, and becomes a DeclarationError
    """A type that pydantic could write as JSON, and that is refused all the same."""

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def _require_form(adapter: pydantic.TypeAdapter[Any]) -> None:
    """Raise _NoForm for a type that would lose its meaning in JSON, or would give the caller too much power."""
    from pydantic import Secret, SecretBytes, SecretStr

    definitions = {node["ref"]: node for node in nodes(adapter.core_schema) if "ref" in node}
    for node in nodes(adapter.core_schema):
        kind = node["type"]
        if kind in {"complex", "fraction"} or _is_fraction(node):
            raise _NoForm(
                f"a {'complex number' if kind == 'complex' else 'fraction'}, and JSON has no such numbers",
                hint="use a Decimal, or a tuple of two numbers",
            )
        if kind == "is-subclass":
            raise _NoForm(
                "a class, and a class cannot be sent as JSON",
                hint="take a name or a Literal, and choose the class inside",
            )
        if kind == "is-instance" and issubclass(_class(node), (Secret, SecretBytes, SecretStr)):
            raise _NoForm(
                "a secret, and what is sent in a call can be read in its records",
                hint="let the function read the secret itself, where it runs",
            )
        if "function" in node and _named(node) == "import_string":
            raise _NoForm(
                "the name of anything that can be imported, and a caller must not choose what is run",
                hint="take a Literal of the names that may be used",
            )
        if not all(isinstance(value, _SCALARS) for value in _choices(node)):
            raise _NoForm(
                "a choice of values that are neither text nor numbers in JSON",
                hint="choose from text, numbers, true, false and None",
            )
        if "keys_schema" in node and not _can_be_keys(node["keys_schema"], definitions):
            raise _NoForm("a dict with keys that are not text in JSON", hint="use text or numbers, or a list of pairs")


def _is_made_of_parts(annotation: Any) -> bool:
    """Does the annotation name a type that holds others, so that one of them is to blame?"""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_made_of_parts(parts[0])
    if origin in (Union, types.UnionType):
        return any(_is_made_of_parts(part) for part in parts)
    if origin in (type, dict, Literal):
        return False
    return bool(parts) or any(hasattr(annotation, mark) for mark in _MARKS_OF_PARTS)


_MARKS_OF_PARTS = ("__dataclass_fields__", "__pydantic_fields__", "__required_keys__", "_fields", "__value__")


def _choices(node: Mapping[str, Any]) -> list[Any]:
    """The values of a Literal or of an Enum."""
    kind = node["type"]
    chosen = node["expected"] if kind == "literal" else node["members"] if kind == "enum" else ()
    return [value.value if isinstance(value, Enum) else value for value in chosen]


def _is_fraction(node: Mapping[str, Any]) -> bool:
    return node["type"] == "is-instance" and _class(node).__module__ == "fractions"


def _class(node: Mapping[str, Any]) -> type:
    held = node["cls"]
    return held if isinstance(held, type) else object


def _named(node: Mapping[str, Any]) -> str:
    return str(getattr(node["function"]["function"], "__name__", ""))


def _can_be_keys(keys: Mapping[str, Any], definitions: Mapping[str, Mapping[str, Any]]) -> bool:
    """Can every value of such keys be told from a text?"""
    kind = keys["type"]
    if kind == "definition-ref":
        return _can_be_keys(definitions.get(keys["schema_ref"], {"type": "any"}), definitions)
    if kind == "literal":
        return all(isinstance(value, str) for value in keys["expected"])
    if kind == "union":
        choices = (each[0] if isinstance(each, tuple) else each for each in keys["choices"])
        return all(_can_be_keys(each, definitions) for each in choices)
    return kind not in _NO_KEYS


# --------------------------------------------------------------------------------------------------- our dialect


@functools.cache
def _generator() -> type[GenerateJsonSchema]:
    """Our dialect of JSON Schema: no titles, base64 for bytes, decimals without look-ahead, and what really arrives."""
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

        def field_is_present(self, field: Any) -> bool:
            """Leave out what a dataclass is not made with, and what it does not keep."""
            made_with = field.get("init", True)
            kept = not field.get("init_only", False)
            return super().field_is_present(field) and (made_with if self.mode == "validation" else kept)

        def bytes_schema(self, schema: Any) -> dict[str, Any]:
            written = super().bytes_schema(schema)
            if written.get("format") != "base64url":
                return written  # a model that chose its own way to write bytes
            return {"type": "string", "contentEncoding": "base64"}

        def decimal_schema(self, schema: Any) -> dict[str, Any]:
            text = {"type": "string", "pattern": _DECIMAL}
            if self.mode == "serialization":
                return text
            return {"anyOf": [super().decimal_schema(schema)["anyOf"][0], text]}

        def enum_schema(self, schema: Any) -> dict[str, Any]:
            written = super().enum_schema(schema)
            return _flags(schema["cls"], written) if issubclass(schema["cls"], Flag) else written

        def dict_schema(self, schema: Any) -> dict[str, Any]:
            written = super().dict_schema(schema)
            if schema.get("keys_schema", {}).get("type") == "int":
                written["propertyNames"] = {"pattern": _INTEGER_KEY}
            return written

        def emit_warning(self, kind: Any, detail: str) -> None:
            """Say nothing: a default that cannot be shown is left out."""

    return Generator


def _flags(kind: type[Flag], written: dict[str, Any]) -> dict[str, Any]:
    """The sum of any members of a Flag."""
    sums = ", ".join(f"{member.name} = {member.value}" for member in kind)
    said = written.get("description")
    every = 0
    for member in kind:
        every |= member.value
    return {
        "type": "integer",
        "minimum": 0,
        "maximum": every,
        "description": f"{said} The sum of any of {sums}" if said else f"The sum of any of {sums}",
    }


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without titles; a property called title, and what stands in a default, are left alone.

    Keys that are members of an Enum of numbers are the texts of these numbers.
    """
    definitions = schema.get("$defs", {})
    for _, node in subschemas(schema):
        changed = cast("dict[str, Any]", node)
        changed.pop("title", None)
        named = changed.get("propertyNames", {})
        values = definitions.get(str(named.get("$ref", "")).removeprefix("#/$defs/"), {}).get("enum", ())
        if any(not isinstance(value, str) for value in values):
            changed["propertyNames"] = {"enum": [str(value) for value in values]}
    return schema
