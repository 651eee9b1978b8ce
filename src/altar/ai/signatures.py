"""A signature of DSPy as a contract: its input fields are the parameters, its output fields the result.

In: a module, or a signature as text, as a class or as a mapping of fields.
Out: a :class:`FunctionDeclaration` and the binder that turns checked JSON into the types of the fields.
What cannot be a contract (a type nobody can write as JSON, a name that means something else to DSPy) is refused.
"""

from __future__ import annotations

import inspect
import re
import types
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from altar.adm.declaration import Annotations, FunctionDeclaration
from altar.adm.errors import DeclarationError
from altar.adm.schema import Schema
from altar.later.context import ToolContext
from altar.later.extras import loaded
from altar.later.introspection.binder import Binder, Writer
from altar.later.introspection.introspect import declare

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["CONTEXT", "Fields", "declared", "fields_of", "public_signature", "signature_from"]

CONTEXT = "_altar_context"
"""The parameter that takes the context of a call; no field of DSPy begins with an underscore."""

_MOST_FIELDS = 100
_LONGEST_SHOWN = 100
_TAKEN = ("config", "demos", "lm", "new_signature", "prediction", "self", "signature")
"""What a predictor of DSPy takes as a word to itself, and never as an input."""
_TAKEN_ANYWHERE = frozenset({"fields", "input_fields", "instructions", "output_fields", "signature"})
"""What a signature of DSPy is asked for itself."""
_WHAT = "A DSPy program as a tool"
_SHORT = {
    "Audio": "Sound: base64 data and its format.",
    "File": "A file: base64 data URI, or the id that a provider gave it.",
    "History": "The turns of a conversation so far, each with the fields of the signature.",
    "Image": "An image, by an https address or a data URI.",
    "ToolCalls": "Calls of tools that a model asks for.",
}


@dataclass(frozen=True, slots=True)
class Fields:
    """What a signature says: the fields as parameters, the fields of the answer, and its instructions."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    instructions: str


def signature_from(given: object, *, types_by_name: Mapping[str, type] | None = None) -> Any:
    """The class of a signature that is given as text, as a mapping of fields, or as a class.

    ``types_by_name`` are the types that a text may name beside those of Python and DSPy.
    Raises DeclarationError INVALID_DECLARATION for what is no signature, and for a name that no type has.
    """
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    if isinstance(given, type) and issubclass(given, dspy.Signature):
        return given
    if not isinstance(given, str | Mapping):
        raise _refused(
            f"A value of the type {type(given).__name__!r} is no signature",
            "give text such as 'question -> answer', a class of dspy.Signature, or a mapping of fields",
        )
    shown = repr(given)[:200] if isinstance(given, str) else "given as a mapping"
    try:
        return dspy.Signature(given, custom_types=dict(types_by_name or {}))
    except Exception as unread:
        said = str(unread)
        names = re.findall(r"\w+", given) if isinstance(given, str) else list(given)
        taken = next((name for name in names if name in _TAKEN_ANYWHERE), None)
        if taken is not None:
            raise _reserved(taken) from unread
        if said.startswith("Unknown name: "):
            name = said.removeprefix("Unknown name: ")
            raise _refused(
                f"The signature {shown} uses the type {name!r}, and nothing has that name",
                f"give the type itself: types={{{name!r}: {name}}}, or write the signature as a class",
            ) from unread
        formless = re.search(r"pydantic-core schema for <class '(?:\w+\.)*(\w+)'>", said)
        if formless is not None:
            raise _formless(formless.group(1)) from unread
        raise _refused(
            f"The signature {shown} cannot be read: {said.partition(chr(10))[0][:200]}",
            "write names and types as in 'question: str, k: int -> answer: list[str]'",
        ) from unread


def public_signature(module: Any) -> Any | None:
    """The signature that a caller of this module sees; None when the module does not tell.

    That is its own, or that of the one module it wraps, or that of its only predictor, when ``forward`` takes just
    the inputs of that.
    """
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    own = getattr(module, "signature", None)
    if isinstance(own, type) and issubclass(own, dspy.Signature):
        return own
    if type(module).__module__.partition(".")[0] == "dspy":
        for name in ("module", "predict"):
            inner = getattr(module, name, None)
            if isinstance(inner, dspy.Module):
                return public_signature(inner)
        return None
    predictors = module.predictors()
    if len(predictors) != 1:
        return None
    only = predictors[0].signature
    wrapped = [each for _, each in module.named_sub_modules(dspy.ChainOfThought)]
    forward = getattr(type(module), "forward", None) or getattr(type(module), "aforward", None)
    if forward is None or len(wrapped) > 1:
        return None
    taken = [each.name for each in inspect.signature(forward).parameters.values()][1:]
    return only if taken == list(only.input_fields) else None


def fields_of(signature: Any) -> Fields:
    """The fields of a signature, with their descriptions, limits and defaults, as annotations of Python.

    Raises DeclarationError INVALID_DECLARATION for a name that DSPy or pydantic takes for something else, for a
    signature without outputs, and for more than 100 fields.
    """
    name = signature.signature[:_LONGEST_SHOWN]
    if len(signature.fields) > _MOST_FIELDS:
        raise _refused(f"The signature {name!r} has {len(signature.fields)} fields, and the limit is {_MOST_FIELDS}")
    if not signature.output_fields:
        raise _refused(f"The signature {name!r} has no output field", "write what it produces: 'question -> answer'")
    reserved = _TAKEN_ANYWHERE | frozenset(dir(_blank()))
    for field in signature.fields:
        is_input = field in signature.input_fields
        if field in reserved or (is_input and field in _TAKEN):
            raise _reserved(field)
    return Fields(
        {each: _described(each, field) for each, field in signature.input_fields.items()},
        {each: _described(each, field, out=True) for each, field in signature.output_fields.items()},
        signature.instructions,
    )


def declared(
    signature: Any,
    *,
    name: str,
    description: str | None = None,
    version: str = "1.0.0",
    annotations: Annotations | None = None,
    metadata: Mapping[str, Any] | None = None,
    kind: Literal["awaited", "plain", "stream"] = "awaited",
    run: Callable[..., Any] | None = None,
    home: str = "",
) -> tuple[FunctionDeclaration, Binder, Callable[..., Any]]:
    """The contract of a signature, its binder, and the function that is called with the inputs by name.

    ``run`` takes the inputs in one mapping, and the context of the call; it is a coroutine function, a plain one, or
    an asynchronous generator, as ``kind`` says.
    ``home`` is the module that the tool belongs to, as the one that defines a function.
    The instructions of the signature are the description, unless another is given.
    Raises DeclarationError INVALID_DECLARATION, which names the field, for whatever cannot be a contract.
    """
    fields = fields_of(signature)
    called = _function(kind, run)
    parameters = [_parameter(each, signature.input_fields[each], held) for each, held in fields.inputs.items()]
    parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)  # what must be given comes first
    context = inspect.Parameter(CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=ToolContext)
    answer = _answer(fields.outputs)
    if kind == "stream":
        answer = AsyncIterator[answer]  # type: ignore[valid-type]  # a type that is made at run time
    vars(called)["__signature__"] = inspect.Signature([*parameters, context])
    called.__annotations__ = {each.name: each.annotation for each in [*parameters, context]} | {"return": answer}
    called.__name__ = called.__qualname__ = name
    called.__module__ = home or f"dspy:{name}"
    told, binder = declare(
        called,
        name=name,
        description=description or fields.instructions,
        version=version,
        annotations=annotations,
        metadata=metadata,
    )
    binder.result = Writer()  # the normal form of an answer is JSON already
    return _plainly(told), binder, called


# ---------------------------------------------------------------------------------------------------- one field


def _described(name: str, field: Any, *, out: bool = False) -> Any:
    """The annotation of a field, with its limits and its description."""
    from pydantic import Field

    extra = field.json_schema_extra or {}
    text = field.description or extra.get("desc") or ""
    marks = list(field.metadata)
    if text and text != f"${{{name}}}":
        marks.append(Field(description=text))
    annotation = _read_as(field.annotation, out=out)
    return Annotated[(annotation, *marks)] if marks else annotation


def _read_as(annotation: Any, *, out: bool) -> Any:
    """The annotation as a contract has it: what DSPy wraps for a language model is the plain thing for a caller."""
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    kind = annotation if isinstance(annotation, type) and not get_args(annotation) else None
    if kind is not None and issubclass(kind, dspy.Reasoning | dspy.Code):
        return str
    if kind is not None and issubclass(kind, dspy.Tool):
        raise _refused(
            "A field holds tools of DSPy, and functions do not travel in a contract",
            "give the tools to the module when you make it: dspy.ReAct(signature, tools=[…])",
        )
    if kind is not None and issubclass(kind, dspy.Prediction | dspy.Example | dspy.Module):
        raise _formless(kind.__name__)
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is None or origin is Literal or not parts:
        return annotation
    made = tuple(part if isinstance(part, list) or part is ... else _read_as(part, out=out) for part in parts)
    if origin is Annotated:
        return Annotated[(made[0], *annotation.__metadata__)]
    if all(new is old for new, old in zip(made, parts, strict=True)):
        return annotation
    return Union[made] if origin in (Union, types.UnionType) else origin[made]  # noqa: UP007 - made at run time


def _parameter(name: str, field: Any, annotation: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if field.is_required() else field.get_default(call_default_factory=True)
    try:
        return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default)
    except ValueError as unfit:
        raise _refused(f"The field {name!r} cannot be a parameter: {unfit}") from unfit


def _answer(outputs: Mapping[str, Any]) -> Any:
    """The type of the answer: one object that has each output field."""
    from typing_extensions import TypedDict

    return TypedDict("Answer", dict(outputs))  # type: ignore[operator]  # its fields are known at run time only


def _blank() -> Any:
    from pydantic import BaseModel

    return BaseModel


# --------------------------------------------------------------------------------------------------- the contract


def _function(kind: str, run: Callable[..., Any] | None) -> Callable[..., Any]:
    """A function of the kind that is asked for, which hands inputs and context on."""
    runs: Any = run

    async def streamed(**inputs: Any) -> AsyncIterator[Any]:
        async with aclosing(runs(inputs, inputs.pop(CONTEXT))) as items:
            async for item in items:
                yield item

    async def awaited(**inputs: Any) -> Any:
        return await runs(inputs, inputs.pop(CONTEXT))

    def plain(**inputs: Any) -> Any:
        return runs(inputs, inputs.pop(CONTEXT))

    return {"awaited": awaited, "plain": plain, "stream": streamed}[kind]


def _plainly(declaration: FunctionDeclaration) -> FunctionDeclaration:
    """The same without the manuals of DSPy's own types, which stand there for programmers."""
    from dataclasses import replace

    return replace(
        declaration,
        parameters=_short(declaration.parameters),
        returns=None if declaration.returns is None else _short(declaration.returns),
    )


def _short(schema: Schema) -> Schema:
    document = schema.json_schema
    held = [document, *document.get("properties", {}).values(), *document.get("$defs", {}).values()]
    named = [(name, each) for name, each in document.get("$defs", {}).items() if name in _SHORT]
    changed = False
    for name, each in named:
        if "dspy." in each.get("description", "") or name == "History":
            each["description"] = _SHORT[name]
            changed = True
    for each in held:
        if len(each.get("description", "")) > _LONGEST_DESCRIPTION:
            each["description"] = each["description"][: _LONGEST_DESCRIPTION - 1] + "…"
            changed = True
    return Schema.from_json_schema(document) if changed else schema


_LONGEST_DESCRIPTION = 2000


def _formless(kind: str) -> DeclarationError:
    return _refused(
        f"A field has the type {kind!r}, which has no form in JSON that a contract could promise",
        "give the field a type that has one: a pydantic model, a dataclass, or dict[str, str]",
    )


def _reserved(field: str) -> DeclarationError:
    return _refused(
        f"The field {field!r} of a signature has a name that means something else to DSPy",
        f"call it {f'the_{field}'!r}, for example",
    )


def _refused(message: str, hint: str | None = None) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, hint=hint)
