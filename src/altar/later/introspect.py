"""From a Python function to its contract, and from JSON to the function's own types and back.

:func:`declare` takes a function and gives its FunctionDeclaration with a :class:`Binder`.
What cannot be a tool is refused with a DeclarationError that names the parameter and says how to mend it.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import types
import typing
import warnings
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, cast, get_args, get_origin

from altar.adm.canonical import canonical
from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.errors import AltarError, DeclarationError
from altar.adm.schema import Schema
from altar.adm.vocabulary import subschemas
from altar.later.docstring import Documentation, described, documentation, marks, underlying

if TYPE_CHECKING:
    import pydantic

__all__ = ["Binder", "declare"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")  # ADM §4.2: the grammar of a function's name
_ABSENT = inspect.Parameter.empty
_NATIVE = frozenset({str, int, float, bool, type(None), list, dict, tuple, Any, object})
_YIELDING = frozenset({abc.Generator, abc.AsyncGenerator, abc.Iterator, abc.AsyncIterator, abc.AsyncIterable})
_AWAITED = frozenset({abc.Awaitable, abc.Coroutine})
_KINDS: dict[type, str] = {str: "string", list: "array", dict: "object"}
_STANDARD_BASE64 = str.maketrans("-_", "+/")
_QUALIFIED = re.compile(r"\b(?:\w+\.|<locals>\.)+")
_DECIMAL = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$"


def declare(
    function: Callable[..., Any],
    *,
    name: str | None = None,
    description: str | None = None,
    version: str = "1.0.0",
    annotations: Annotations | None = None,
    metadata: Mapping[str, Any] | None = None,
    namespace: Mapping[str, Any] | None = None,
) -> tuple[FunctionDeclaration, Binder]:
    """Read the signature and the docstring of `function`; give its contract and the binder for its types.

    `name` and `description` default to the function's own name and the summary of its docstring.
    `namespace` holds further names that its annotations may use, such as those local to where it was defined.
    Raises DeclarationError, with a hint, for whatever cannot be a tool.
    """
    name = _name(function, name)
    _refuse_kind(function, name)
    hints = _hints(function, name, namespace)
    documented = documentation(function)
    text = _description(name, description, documented)
    parameters = tuple(_parameters(function, name, hints, documented))
    reader, accepted = _arguments(name, parameters)
    writer, returned = _result(name, hints["return"], documented.returns) if "return" in hints else (None, None)
    declaration = FunctionDeclaration(
        name=name,
        description=text,
        parameters=_schema(f"The parameters of {name!r}", accepted),
        returns=None if returned is None else _schema(f"The result of {name!r}", returned),
        version=version,
        annotations=annotations or Annotations(),
        metadata=dict(metadata or {}),
    )
    positional = {each.name: each.default for each in parameters if each.positional_only}
    return declaration, Binder(reader, positional, writer, returned)


class Binder:
    """Turns JSON arguments into the types of the annotations, and the result into JSON values.

    `native` says that the annotated result is made of JSON's own types only, and needs no turning.
    """

    __slots__ = ("_positional", "_read", "_returned", "_write", "native")

    def __init__(
        self,
        reader: pydantic.TypeAdapter[Any],
        positional: Mapping[str, Any],
        writer: pydantic.TypeAdapter[Any] | None,
        returned: Mapping[str, Any] | None,
    ) -> None:
        """Keep the compiled forms; `positional` holds defaults, `returned` the schema of the result."""
        self._read = reader.validator.validate_json
        self._positional = positional
        self._write = None if writer is None else writer.serializer.to_python
        self._returned = returned if returned is not None and _needs_finish(returned) else None
        self.native = writer is None

    def bind(self, arguments: bytes) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The positional and the named arguments for a JSON object, without what is left to defaults.

        Raises what pydantic, or a validator of the user's own, raises for a value it refuses.
        """
        named: dict[str, Any] = self._read(arguments)
        if not self._positional:
            return (), named
        return tuple(named.pop(name, default) for name, default in self._positional.items()), named

    def plain(self, value: Any) -> Any:
        """The JSON value that the annotated result type gives for `value`; sets are in a fixed order.

        Raises what pydantic raises for a value it cannot write.
        """
        if self._write is None:
            return value
        written = self._write([value], mode="json", by_alias=True, warnings=False)[0]
        return written if self._returned is None else _finish(written, self._returned, self._returned)


# ----------------------------------------------------------------------------------- what is refused


def _name(function: Callable[..., Any], name: str | None) -> str:
    if inspect.isclass(function):
        raise _refused(
            f"{function.__name__!r} is a class, and a tool is a function",
            hint="write a function that makes and uses the object",
        )
    if name is None:
        name = getattr(underlying(function), "__name__", "")
        if name == "__call__" or not _NAME.fullmatch(name):
            raise _refused(f"{name!r} is no name for a tool", hint="give it one: altar.tool(…, name='…')")
    if not _NAME.fullmatch(name):
        near = re.sub(r"[^A-Za-z0-9_-]+", "_", name).strip("_")[:64]
        raise _refused(
            f"The tool name {name!r} is not allowed: it takes up to 64 letters, digits, '_' and '-', "
            "and begins with a letter or '_'",
            hint=f"for example {near!r}" if _NAME.fullmatch(near) else "for example 'get_weather'",
        )
    return name


def _refuse_kind(function: Callable[..., Any], name: str) -> None:
    inner = underlying(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        raise _refused(
            f"{name!r} is a generator, and a tool gives one result",
            hint="collect what it yields and return a list",
        )


def _hints(function: Callable[..., Any], name: str, namespace: Mapping[str, Any] | None) -> dict[str, Any]:
    read = functools.partial(typing.get_type_hints, underlying(function), include_extras=True)
    try:
        try:
            return read()
        except NameError:
            return read(localns=dict(namespace or {}))
    except NameError as unknown:
        raise _refused(
            f"{name!r} uses the name {unknown.name!r} in an annotation, and nothing has that name",
            hint=f"define or import {unknown.name!r} before the function, and not only under TYPE_CHECKING",
        ) from unknown
    except (AttributeError, SyntaxError, TypeError) as unread:
        raise _refused(f"The annotations of {name!r} cannot be read: {unread}") from unread


def _description(name: str, description: str | None, documented: Documentation) -> str:
    text = documented.summary if description is None else description
    if not text.strip():
        raise _refused(
            f"{name!r} has no description, and a model chooses tools by their descriptions",
            hint="write a docstring, or @altar.tool(description='…')",
        )
    return text


@dataclass(frozen=True, slots=True)
class _Parameter:
    name: str
    alias: str
    annotation: Any
    default: Any
    positional_only: bool


def _parameters(
    function: Callable[..., Any], name: str, hints: Mapping[str, Any], documented: Documentation
) -> Iterator[_Parameter]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as unknown:
        raise _refused(f"The signature of {name!r} cannot be read", hint="wrap it in a function") from unknown
    for index, parameter in enumerate(signature.parameters.values()):
        if index == 0 and parameter.name in {"self", "cls"} and parameter.name not in hints:
            raise _refused(
                f"{name!r} is a method without its object",
                hint="declare the method of an object: altar.tool(thing.method)",
            )
        _refuse_parameter(parameter, name, hints)
        annotation = hints[parameter.name]
        yield _Parameter(
            name=parameter.name,
            alias=_alias(parameter.name, name, annotation),
            annotation=described(annotation, documented.parameters.get(parameter.name)),
            default=parameter.default,
            positional_only=parameter.kind is parameter.POSITIONAL_ONLY,
        )


def _refuse_parameter(parameter: inspect.Parameter, name: str, hints: Mapping[str, Any]) -> None:
    if parameter.kind is parameter.VAR_POSITIONAL:
        raise _refused(
            f"{name!r} takes any number of arguments (*{parameter.name}), and a contract names each",
            hint=f"take a list: {parameter.name}: list[…]",
        )
    if parameter.kind is parameter.VAR_KEYWORD:
        raise _refused(
            f"{name!r} takes arguments of any name (**{parameter.name}), and a contract names each",
            hint=f"take a mapping: {parameter.name}: dict[str, …]",
        )
    if parameter.name not in hints:
        raise _refused(
            f"Parameter {parameter.name!r} of {name!r} has no type",
            hint=f"annotate it, for example {parameter.name}: str",
        )
    if type(parameter.default).__name__ == "FieldInfo":
        raise _refused(
            f"Parameter {parameter.name!r} of {name!r} has pydantic's Field(…) as its default value",
            hint=f"write {parameter.name}: Annotated[…, Field(…)], and the default after it",
        )


def _alias(parameter: str, name: str, annotation: Any) -> str:
    """The name of a parameter in JSON: its own, or the one that `Field(alias=…)` gives."""
    from pydantic.fields import FieldInfo

    given = [mark.validation_alias or mark.alias for mark in marks(annotation) if isinstance(mark, FieldInfo)]
    alias = next((alias for alias in given if alias is not None), parameter)
    if not isinstance(alias, str):
        raise _refused(f"Parameter {parameter!r} of {name!r} has more than one alias", hint="give it one name")
    return alias


# ------------------------------------------------------------------------------ types to JSON Schema


def _arguments(name: str, parameters: tuple[_Parameter, ...]) -> tuple[pydantic.TypeAdapter[Any], dict[str, Any]]:
    """The reader and the schema of a function's arguments as one JSON object."""
    try:
        adapter = _object(parameters)
        schema = _untitled(adapter.json_schema(mode="validation", schema_generator=_generator()))
    except Exception as unfit:  # noqa: BLE001 - whatever a type raises
        raise _blamed(name, parameters, unfit) from None  # its words say it; a page of traceback does not
    schema = {  # ADM D3: the root is closed whenever `properties` is present
        "type": "object",
        "properties": schema.get("properties", {}),
        "required": schema.get("required", []),
        **({"$defs": schema["$defs"]} if "$defs" in schema else {}),
    }
    for parameter in parameters:
        if parameter.default is not _ABSENT:
            _add_default(name, parameter, schema)
    return adapter, schema


def _object(parameters: tuple[_Parameter, ...]) -> pydantic.TypeAdapter[Any]:
    """An adapter for a closed object with one member per parameter; a default makes a member optional."""
    import typing_extensions
    from pydantic import ConfigDict, TypeAdapter

    make: Any = typing_extensions.TypedDict
    optional: Any = typing_extensions.NotRequired
    fields = {
        each.name: each.annotation if each.default is _ABSENT else optional[each.annotation] for each in parameters
    }
    shape = make("Arguments", fields)
    shape.__pydantic_config__ = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    closed: Any = Annotated[shape, _Closed()]
    return TypeAdapter(closed)


class _Closed:
    """Refuses what is not a parameter, among the arguments themselves and not in what lies inside them."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Close the object that `source` describes."""
        schema = handler(source)
        handler.resolve_ref_schema(schema)["extra_behavior"] = "forbid"
        return schema


def _add_default(name: str, parameter: _Parameter, schema: dict[str, Any]) -> None:
    """Write the default into the schema, once it is known to satisfy it (ADM D36)."""
    described = schema["properties"][parameter.alias]
    described.pop("default", None)
    adapter = _one(parameter.annotation)
    try:
        written = adapter.dump_python([parameter.default], mode="json", by_alias=True, warnings=False)
        check = {**described, "$defs": schema.get("$defs", {})}
        default = _finish(written[0], check, check)
        Schema.from_json_schema(check).check(default)
    except (AltarError, ValueError, TypeError) as unfit:
        with contextlib.suppress(ValueError):
            adapter.validate_python([parameter.default], strict=True)
            return  # right in Python, only not to be shown in JSON
        raise _refused(
            f"The default of parameter {parameter.name!r} of {name!r} does not fit its type",
            hint=f"write {parameter.name}: … | None = None" if parameter.default is None else None,
        ) from unfit
    described["default"] = default


def _result(name: str, annotation: Any, documented: str) -> tuple[pydantic.TypeAdapter[Any] | None, dict[str, Any]]:
    """The writer (None when there is nothing to turn) and the schema of a function's result."""
    origin = get_origin(annotation) or annotation
    if origin in _YIELDING:
        raise _refused(f"{name!r} returns an iterator, and a tool gives one result", hint="return a list")
    if origin in _AWAITED:
        raise _refused(f"{name!r} returns something to be awaited", hint="declare it with `async def`")
    try:
        adapter = _one(annotation)
        schema = _root(_untitled(adapter.json_schema(mode="serialization", schema_generator=_generator())))
    except Exception as unfit:  # noqa: BLE001 - whatever a type raises
        reason, hint = _reason(annotation, unfit)
        raise _refused(f"The result of {name!r} {reason}", hint=hint, detail=str(unfit)) from None
    if documented and "description" not in schema:
        schema["description"] = documented
    return (None if _is_native(annotation) else adapter), schema


def _one(annotation: Any) -> pydantic.TypeAdapter[Any]:
    """An adapter for a list of one value: a list takes a configuration, and a class with its own does not."""
    from pydantic import ConfigDict, TypeAdapter

    config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
    of_one: Any = list[annotation]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that an alias has no effect here, where there is no name
        return TypeAdapter(of_one, config=config)


def _root(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of the one value, with a definition that is used only there put in its place."""
    value: dict[str, Any] = schema["items"]
    definitions: dict[str, Any] = schema.get("$defs", {})
    key = str(value.get("$ref", "")).removeprefix("#/$defs/")
    if key in definitions and repr(schema).count(repr(f"#/$defs/{key}")) == 1:
        value = {**definitions[key], **{word: given for word, given in value.items() if word != "$ref"}}
        definitions = {other: kept for other, kept in definitions.items() if other != key}
    return {**value, "$defs": definitions} if definitions else value


def _is_native(annotation: Any) -> bool:
    """Is it made of JSON's own types only, so that its values need no turning?"""
    origin = get_origin(annotation)
    if origin is None:
        return annotation is None or any(annotation is known for known in _NATIVE)
    parts = get_args(annotation)
    if origin is Literal:
        return all(type(part) in _NATIVE for part in parts)
    if origin is Annotated:
        return all(isinstance(mark, str) for mark in parts[1:]) and _is_native(parts[0])
    if origin is dict:
        return parts[0] is str and _is_native(parts[1])
    if origin in (list, tuple, Union, types.UnionType):
        return all(part is Ellipsis or _is_native(part) for part in parts)
    return False


def _schema(what: str, document: dict[str, Any]) -> Schema:
    try:
        return Schema.from_json_schema(document)
    except DeclarationError as refused:
        raise _refused(
            f"{what} cannot be a contract: {refused.message} (at {refused.path})", hint=refused.hint
        ) from refused


@functools.cache
def _generator() -> type[pydantic.json_schema.GenerateJsonSchema]:
    """Our dialect of JSON Schema: no titles, base64 for bytes, decimals without look-ahead."""
    from pydantic.json_schema import GenerateJsonSchema

    class Generator(GenerateJsonSchema):
        def field_title_should_be_set(self, schema: Any) -> bool:
            return False

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

        def emit_warning(self, kind: Any, detail: str) -> None:
            """Say nothing: a default that cannot be shown is left out."""

    return Generator


def _untitled(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema without titles; a property called title, and what stands in a default, are left alone."""
    for _, node in subschemas(schema):
        cast("dict[str, Any]", node).pop("title", None)
    return schema


def _needs_finish(schema: Mapping[str, Any]) -> bool:
    text = repr(schema)
    return "'uniqueItems': True" in text or "'contentEncoding': 'base64'" in text


def _finish(value: Any, schema: Mapping[str, Any], root: Mapping[str, Any]) -> Any:
    """What pydantic leaves open: sets in the order of their canonical bytes, base64 in the usual alphabet."""
    schema = _resolved(schema, root)
    branches = [*schema.get("anyOf", ()), *schema.get("oneOf", ())]
    fitting = [branch for branch in branches if _admits(branch, value, root)]
    if len(fitting) == 1:
        return _finish(value, fitting[0], root)
    if isinstance(value, str) and schema.get("contentEncoding") == "base64":
        return value.translate(_STANDARD_BASE64)
    if isinstance(value, list):
        first = schema.get("prefixItems", ())
        rest = schema.get("items") or {}
        items = [_finish(item, first[i] if i < len(first) else rest, root) for i, item in enumerate(value)]
        return sorted(items, key=canonical) if schema.get("uniqueItems") else items
    if isinstance(value, dict):
        named, rest = schema.get("properties", {}), schema.get("additionalProperties")
        rest = rest if isinstance(rest, dict) else {}
        return {key: _finish(item, named.get(key, rest), root) for key, item in value.items()}
    return value


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "")
    found: Mapping[str, Any] = root.get("$defs", {}).get(reference.removeprefix("#/$defs/"), schema)
    return found


def _admits(schema: Mapping[str, Any], value: Any, root: Mapping[str, Any]) -> bool:
    kind = _KINDS.get(type(value))
    return kind is not None and _resolved(schema, root).get("type", kind) == kind


# --------------------------------------------------------------------------------- why it is refused


def _blamed(name: str, parameters: tuple[_Parameter, ...], failed: Exception) -> DeclarationError:
    """Which parameter made the declaration fail, and why."""
    for parameter in parameters:
        try:
            _object((parameter,)).json_schema(schema_generator=_generator())
        except Exception as unfit:  # noqa: BLE001 - whatever the type raises is the reason
            reason, hint = _reason(parameter.annotation, unfit)
            return _refused(f"Parameter {parameter.name!r} of {name!r} {reason}", hint=hint)
    return _refused(f"The parameters of {name!r} cannot be described together", detail=str(failed))


def _reason(annotation: Any, unfit: Exception) -> tuple[str, str]:
    """Why a type cannot be described, and what to write instead."""
    if "CallableSchema" in str(unfit):
        return "is a function, and a function cannot be sent as JSON", (
            "take a name or a Literal, and choose the function inside"
        )
    inner = get_args(annotation)[0] if marks(annotation) else annotation
    plain = isinstance(inner, type) and not get_args(inner)
    shown = inner.__name__ if plain else _QUALIFIED.sub("", str(inner))
    if getattr(unfit, "code", None) == "typed-dict-version":
        return f"has the type {shown!r}, a TypedDict of the module typing", (
            "before Python 3.12, import TypedDict from typing_extensions"
        )
    if type(unfit).__name__ == "SchemaError":
        return f"has the type {shown!r} with a limit or a pattern that cannot be used", "mend its Field(…)"
    return f"has the type {shown!r}, which has no form in JSON", (
        "use text, numbers, lists, dicts, dataclasses or pydantic models"
    )


def _refused(message: str, *, hint: str | None = None, detail: str | None = None) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, hint=hint, detail=detail)
