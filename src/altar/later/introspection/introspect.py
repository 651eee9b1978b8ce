"""Reading a function: its signature, its annotations and its docstring become its contract.

:func:`declare` takes a function and gives its FunctionDeclaration, with a
:class:`~altar.later.introspection.binder.Binder`.
What cannot be a tool is refused with a DeclarationError that names the parameter and says how to mend it.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections import abc
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args, get_origin

from altar.adm.canonical import written_plainly
from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.defect import python_value
from altar.adm.errors import AltarError, DeclarationError
from altar.adm.schema import Schema, fits_plainly
from altar.later.introspection.annotation import hints_of, readable
from altar.later.introspection.binder import Binder, LateReader, Positional, Writer, in_order
from altar.later.introspection.direct import direct_by
from altar.later.introspection.docstring import (
    Documentation,
    described,
    description_of,
    documentation,
    marks,
    underlying,
)
from altar.later.introspection.injected import context_of
from altar.later.introspection.member import members_of, together
from altar.later.introspection.type_schema import (
    adapter_of,
    adapter_of_members,
    is_native,
    reason,
    schema_of_members,
    written_form,
)
from altar.later.introspection.yielding import Yields, is_awaited, yields

if TYPE_CHECKING:
    import pydantic

__all__ = ["declare"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")  # ADM §4.2: the grammar of a function's name
_ABSENT = inspect.Parameter.empty
_AWAITED = frozenset({abc.Awaitable, abc.Coroutine})


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
    names = dict(namespace or {})
    hints = _hints(function, name, names)
    yielded = yields(function, name, hints)
    documented = documentation(function)
    text = _description(name, description, documented)
    signature = _signature(function, name)
    context = context_of(signature, name, hints)
    parameters = tuple(_parameters(signature, name, hints, names, documented, context))
    reader, accepted = _arguments(name, parameters, names, context)
    result, item, returned = _results(name, hints, yielded, names, documented)
    declaration = FunctionDeclaration(
        name=name,
        description=text,
        parameters=_schema(f"The parameters of {name!r}", accepted),
        returns=None if returned is None else _promise(f"The result of {name!r}", returned),
        version=version,
        annotations=annotations or Annotations(),
        metadata={**(metadata or {}), **({"streaming": True} if yielded is not None else {})},
    )
    binder = Binder(
        reader,
        positional=_positional(parameters),
        result=result,
        item=item,
        context=context,
        streams=yielded is not None,
        is_async=is_awaited(function) if yielded is None else yielded.awaited,
    )
    return declaration, binder


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


def _hints(function: Callable[..., Any], name: str, names: dict[str, Any]) -> dict[str, Any]:
    """The annotations as types; adds to `names` what was found for a name that only a type checker knows."""
    try:
        try:
            return hints_of(underlying(function), names)
        except NameError as unknown:
            if unknown.name != "ToolContext":
                raise
            from altar.later.context import ToolContext  # often imported under TYPE_CHECKING only

            names["ToolContext"] = ToolContext
            return hints_of(underlying(function), names)
    except NameError as unknown:
        only_result = getattr(underlying(function), "__annotations__", {}).keys() == {"return"}
        what = f"The result of {name!r}" if only_result else repr(name)
        raise _refused(
            f"{what} uses the name {unknown.name!r} in an annotation, and nothing has that name",
            hint=f"define or import {unknown.name!r} first, and not only under TYPE_CHECKING",
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


def _signature(function: Callable[..., Any], name: str) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError) as unknown:
        raise _refused(f"The signature of {name!r} cannot be read", hint="wrap it in a function") from unknown


# ------------------------------------------------------------------------------------------------------ parameters


@dataclass(frozen=True, slots=True)
class _Parameter:
    """One member of the arguments; `kind` is how the function takes it, and "named" stands for a key of `**options`."""

    name: str
    alias: str
    annotation: Any
    default: Any
    kind: Literal["only", "either", "named", "rest", "others"]
    text: str | None = None

    @property
    def described(self) -> Any:
        """The annotation, with the description that pydantic is to write beside it."""
        return described(self.annotation, self.text)


_KINDS: dict[Any, Literal["only", "either", "named", "rest", "others"]] = {
    inspect.Parameter.POSITIONAL_ONLY: "only",
    inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
    inspect.Parameter.KEYWORD_ONLY: "named",
    inspect.Parameter.VAR_POSITIONAL: "rest",
    inspect.Parameter.VAR_KEYWORD: "others",
}


def _parameters(
    signature: inspect.Signature,
    name: str,
    hints: Mapping[str, Any],
    names: Mapping[str, Any],
    documented: Documentation,
    context: str | None,
) -> Iterator[_Parameter]:
    for index, parameter in enumerate(signature.parameters.values()):
        if index == 0 and parameter.name in {"self", "cls"} and parameter.name not in hints:
            raise _refused(
                f"{name!r} is a method without its object",
                hint="declare the method of an object: altar.tool(thing.method)",
            )
        if parameter.name == context:
            continue
        _refuse_parameter(parameter, name, hints)
        said = documented.parameters.get(parameter.name)
        yield from _members(parameter, name, readable(hints[parameter.name], names), names, said)


def _members(
    parameter: inspect.Parameter, name: str, annotation: Any, names: Mapping[str, Any], said: str | None
) -> Iterator[_Parameter]:
    """The members of the arguments that one parameter stands for: itself, or the keys that `**options` names."""
    kind, default = _KINDS[parameter.kind], parameter.default
    if kind == "others" and str(get_origin(annotation)).endswith(".Unpack"):
        yield from _unpacked(name, get_args(annotation)[0], names)
        return
    if kind == "rest":
        annotation, default = list[annotation], ()
    yield _Parameter(
        name=parameter.name,
        alias=_alias(parameter.name, name, annotation),
        annotation=annotation,
        default=default,
        kind=kind,
        text=description_of(annotation, said),
    )


def _unpacked(name: str, options: Any, names: Mapping[str, Any]) -> Iterator[_Parameter]:
    """The members of a TypedDict after `**options: Unpack[…]`."""
    required: frozenset[str] = options.__required_keys__
    for key, hint in hints_of(options, names).items():
        qualifier = getattr(get_origin(hint), "_name", "")
        needed = qualifier == "Required" or (qualifier != "NotRequired" and key in required)
        annotation = get_args(hint)[0] if qualifier in {"Required", "NotRequired", "ReadOnly"} else hint
        yield _Parameter(
            name=key,
            alias=_alias(key, name, annotation),
            annotation=readable(annotation, names),
            default=_ABSENT if needed else _LEFT_OUT,
            kind="named",
        )


_LEFT_OUT: Any = object()
"""The default of a key that may be left out, and then has no value at all."""


def _refuse_parameter(parameter: inspect.Parameter, name: str, hints: Mapping[str, Any]) -> None:
    if parameter.name not in hints:
        if parameter.kind is parameter.VAR_POSITIONAL:
            raise _refused(
                f"{name!r} takes any number of arguments (*{parameter.name}) without a type",
                hint=f"annotate it, *{parameter.name}: str, or take a list: {parameter.name}: list[…]",
            )
        if parameter.kind is parameter.VAR_KEYWORD:
            raise _refused(
                f"{name!r} takes arguments of any name (**{parameter.name}) without a type",
                hint=f"annotate it, **{parameter.name}: str, or take a mapping: {parameter.name}: dict[str, …]",
            )
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
    if not marks(annotation):
        return parameter
    from pydantic.fields import FieldInfo

    given = [mark.validation_alias or mark.alias for mark in marks(annotation) if isinstance(mark, FieldInfo)]
    alias = next((alias for alias in given if alias is not None), parameter)
    if not isinstance(alias, str):
        raise _refused(f"Parameter {parameter!r} of {name!r} has more than one alias", hint="give it one name")
    return alias


def _positional(parameters: tuple[_Parameter, ...]) -> Positional | None:
    """What must be passed by position; None when everything can be passed by name."""
    only = {each.name: each.default for each in parameters if each.kind == "only"}
    rest = next((each.name for each in parameters if each.kind == "rest"), None)
    if not only and rest is None:
        return None
    before = {each.name: each.default for each in parameters if each.kind == "either"}
    return Positional(only, before if rest is not None else {}, rest)


# ------------------------------------------------------------------------------------------- types to JSON Schema


def _arguments(
    name: str, parameters: tuple[_Parameter, ...], names: Mapping[str, Any], context: str | None
) -> tuple[LateReader | pydantic.TypeAdapter[Any], dict[str, Any]]:
    """The reader and the schema of a function's arguments as one JSON object."""
    reader: LateReader | pydantic.TypeAdapter[Any]
    found = _known_arguments(parameters)
    if found is not None:
        reader, schema = found
    else:
        try:
            reader = _adapter(parameters, names)
            schema = schema_of_members(reader)
        except Exception as unfit:  # noqa: BLE001 - whatever a type raises
            raise _blamed(name, parameters, names, unfit) from None  # its words say it; a page of traceback does not
    schema = {  # ADM D3: the root is closed whenever `properties` is present
        "type": "object",
        "properties": schema.get("properties", {}),
        "required": schema.get("required", []),
        **_others(parameters, context, schema.get("additionalProperties")),
        **({"$defs": schema["$defs"]} if "$defs" in schema else {}),
    }
    for parameter in parameters:
        if parameter.default is not _ABSENT and parameter.default is not _LEFT_OUT:
            _add_default(name, parameter, names, schema)
    return reader, schema


def _known_arguments(parameters: tuple[_Parameter, ...]) -> tuple[LateReader, dict[str, Any]] | None:
    """The same, put together from members that were described before; None where pydantic has to look at them all."""
    if any(each.kind == "others" for each in parameters):
        return None
    needed = [each for each in parameters if each.default is _ABSENT]
    ordered = [*needed, *(each for each in parameters if each.default is not _ABSENT)]
    try:
        members = members_of({each.name: each.annotation for each in ordered})
    except Exception:  # noqa: BLE001 - it fails again where all is looked at, and there it is said whose fault it is
        return None
    if members is None:
        return None
    texts = {each.name: each.text for each in parameters if each.text is not None}
    schema = together(members, texts, required=[each.name for each in needed])
    if schema is None:
        return None
    turned = {name: member.turn for name, member in members.items() if member.turn is not None}
    is_direct = all(member.is_direct for member in members.values())
    return LateReader(lambda: _adapter(parameters, {}), direct_by(turned) if is_direct else None), schema


def _adapter(parameters: tuple[_Parameter, ...], names: Mapping[str, Any]) -> pydantic.TypeAdapter[Any]:
    members = [each for each in parameters if each.kind != "others"]
    return adapter_of_members(
        {each.name: each.described for each in members if each.default is _ABSENT},
        {each.name: each.described for each in members if each.default is not _ABSENT},
        names,
        others=next((each.described for each in parameters if each.kind == "others"), None),
    )


def _others(parameters: tuple[_Parameter, ...], context: str | None, others: Any) -> dict[str, Any]:
    """What a schema says of arguments of any name: their type, and the names that mean something else already."""
    if not any(each.kind == "others" for each in parameters):
        return {}
    taken = [each.name for each in parameters if each.name != each.alias] + ([] if context is None else [context])
    names = {"propertyNames": {"not": {"enum": taken}}} if taken else {}
    return {"additionalProperties": others, **names}


def _add_default(name: str, parameter: _Parameter, names: Mapping[str, Any], schema: dict[str, Any]) -> None:
    """Write the default into the schema, once it is known to satisfy it (ADM D36)."""
    described = schema["properties"][parameter.alias]
    described.pop("default", None)
    if (
        _is_unturned(parameter.annotation)
        and fits_plainly(parameter.default, described)
        and written_plainly(parameter.default) is not None
    ):
        described["default"] = parameter.default
        return
    adapter = adapter_of(parameter.annotation, names)
    try:
        written = adapter.dump_python([parameter.default], mode="json", by_alias=True, warnings=False)
        check = {**described, "$defs": schema.get("$defs", {})}
        default = in_order(written[0], check, check)
        Schema(check).check(default)  # that it is sound is seen with the rest
    except (AltarError, ValueError, TypeError) as unfit:
        with contextlib.suppress(ValueError):
            adapter.validate_python([parameter.default], strict=True)
            return  # right in Python, only not to be shown in JSON
        raise _refused(
            f"The default {python_value(parameter.default)} of parameter {parameter.name!r} of {name!r} "
            "does not fit its type",
            hint=f"write {parameter.name}: … | None = None" if parameter.default is None else _of_default(unfit),
        ) from unfit
    described["default"] = default


def _of_default(unfit: Exception) -> str:
    said = unfit.message if isinstance(unfit, AltarError) else ""
    return f"change the default or the type: {said[:1].lower()}{said[1:]}" if said else "change the default or the type"


def _is_unturned(annotation: Any) -> bool:
    """Is a value of it written as it is, with no more than a description beside it?"""
    if get_origin(annotation) is not Annotated:
        return is_native(annotation)
    inner, *beside = get_args(annotation)
    return is_native(inner) and all(type(mark).__name__ == "FieldInfo" and not mark.metadata for mark in beside)


def _results(
    name: str, hints: Mapping[str, Any], yielded: Yields | None, names: Mapping[str, Any], documented: Documentation
) -> tuple[Writer, Writer | None, dict[str, Any] | None]:
    """The writers of a result and of one value of a stream, and the schema of the result."""
    if yielded is not None:
        of_one: Any = readable(yielded.item, names)
        item, _ = _result(name, of_one, names, "")
        result, whole = _result(name, list[of_one], names, documented.returns)
        if documented.yields:
            whole["items"] = {"description": documented.yields, **whole["items"]}
        return result, item, whole
    if "return" not in hints:
        return Writer(), None, None
    annotation = hints["return"]
    if (get_origin(annotation) or annotation) in _AWAITED:
        raise _refused(f"{name!r} returns something to be awaited", hint="declare it with `async def`")
    result, whole = _result(name, readable(annotation, names), names, documented.returns)
    return result, None, whole


def _result(name: str, annotation: Any, names: Mapping[str, Any], documented: str) -> tuple[Writer, dict[str, Any]]:
    """The writer and the schema of values of one annotation."""
    try:
        adapter, schema = written_form(annotation, names)
    except Exception as unfit:  # noqa: BLE001 - whatever a type raises
        why, hint = reason(annotation, unfit)
        raise _refused(f"The result of {name!r} {why}", hint=hint, detail=str(unfit)) from None
    if documented and "description" not in schema:
        schema["description"] = documented
    return Writer(None if is_native(annotation) else adapter, schema), schema


def _promise(what: str, document: dict[str, Any]) -> Schema:
    """The schema of a result, made once: many functions return the same type, and a schema never changes."""
    key = repr(document)
    if key in _PROMISES:
        return _PROMISES[key]
    schema = _schema(what, document)
    if len(_PROMISES) < _MOST_PROMISES:
        _PROMISES[key] = schema
    return schema


_PROMISES: dict[str, Schema] = {}
_MOST_PROMISES = 1024


def _schema(what: str, document: dict[str, Any]) -> Schema:
    try:
        return Schema.from_json_schema(document)
    except DeclarationError as refused:
        raise _refused(
            f"{what} cannot be a contract: {refused.message} (at {refused.path})", hint=refused.hint
        ) from refused


# --------------------------------------------------------------------------------- why it is refused


def _blamed(
    name: str, parameters: tuple[_Parameter, ...], names: Mapping[str, Any], failed: Exception
) -> DeclarationError:
    """Which parameter made the declaration fail, and why."""
    for parameter in parameters:
        try:
            schema_of_members(_adapter((parameter,), names))
        except Exception as unfit:  # noqa: BLE001 - whatever the type raises is the reason
            why, hint = reason(parameter.annotation, unfit)
            return _refused(f"Parameter {parameter.name!r} of {name!r} {why}", hint=hint)
    return _refused(f"The parameters of {name!r} cannot be described together", detail=str(failed))


def _refused(message: str, *, hint: str | None = None, detail: str | None = None) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, hint=hint, detail=detail)
