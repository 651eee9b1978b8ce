"""What the answer of an agent is to be: a text, or a value with a schema that the model hands in by a tool.

A type, a model of pydantic or a JSON Schema comes in.
Out comes the contract of the tool ``submit``, which a language model is offered in the same words under each framework,
and what its arguments are read as.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import AltarError, DeclarationError, ValidationError
from altar.adm.schema import Schema

__all__ = ["SUBMIT", "OutputForm", "output_form"]

SUBMIT: Final = "submit"
"""The name of the tool by which a model hands in an answer that has a schema."""

_RESULT: Final = "result"
_HAND_IN: Final = "Hand in the final answer; call it once, at the end."


@dataclass(frozen=True, slots=True)
class OutputForm:
    """What is handed in: the contract of ``submit``, and how its arguments become the output.

    What is no object is the one argument ``result``.
    """

    declaration: FunctionDeclaration
    is_wrapped: bool
    reader: Any = None

    @property
    def schema(self) -> dict[str, Any]:
        """The JSON Schema of the arguments."""
        return dict(self.declaration.parameters.json_schema)

    def read(self, arguments: Mapping[str, Any], *, checked: bool = True) -> Any:
        """The output that the arguments stand for; without ``checked`` as the model gave it, in JSON.

        Raises ValidationError INVALID_TOOL_ARGS, in words for the model.
        """
        if not checked:
            return arguments.get(_RESULT) if self.is_wrapped else dict(arguments)
        self.declaration.check_arguments(dict(arguments))
        held = arguments[_RESULT] if self.is_wrapped else dict(arguments)
        return held if self.reader is None else self._validated(held)

    @property
    def returns(self) -> dict[str, Any]:
        """The JSON Schema of the output itself."""
        if not self.is_wrapped:
            return self.schema
        root = self.schema
        definitions = {"$defs": root["$defs"]} if "$defs" in root else {}
        return {**root["properties"][_RESULT], **definitions}

    def plain(self, output: Any) -> Any:
        """The output as JSON."""
        return output if self.reader is None else self.reader.dump_python(output, mode="json", by_alias=True)

    def _validated(self, held: Any) -> Any:
        """The value of the type; what only its own code can tell is said in its words."""
        from pydantic import ValidationError as Unfit

        try:
            return self.reader.validate_python(held, strict=False)
        except Unfit as unfit:
            first = unfit.errors(include_url=False, include_context=False, include_input=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValidationError(
                "INVALID_TOOL_ARGS",
                f"The answer does not fit{f' at {place!r}' if place else ''}: {first['msg']}",
                ran="no",
            ) from unfit


def output_form(output: Any) -> OutputForm | None:
    """The form of what was asked for; None for a text.

    Raises DeclarationError INVALID_DECLARATION for what has no schema.
    """
    if output is None or output is str:
        return None
    reader, schema = _schema_of(output)
    schema.pop("title", None)
    about = f"{schema.pop('description', '')}\n\n{_HAND_IN}".strip()
    wrapped = schema.get("type") != "object"
    if wrapped:
        definitions = {"$defs": schema.pop("$defs")} if "$defs" in schema else {}
        schema = {"type": "object", "properties": {_RESULT: schema}, "required": [_RESULT]} | definitions
    try:
        parameters = Schema.from_json_schema(schema)
        declaration = FunctionDeclaration(SUBMIT, about, parameters)
    except AltarError as refused:
        raise _no_form(output, refused.message) from refused
    return OutputForm(declaration, wrapped, reader)


def _schema_of(output: Any) -> tuple[Any, dict[str, Any]]:
    if isinstance(output, Schema):
        return None, dict(output.json_schema)
    if isinstance(output, Mapping):
        return None, dict(output)
    if inspect.isroutine(output):
        raise _no_form(output, "it is a function")
    from pydantic import PydanticUserError, TypeAdapter
    from pydantic.errors import PydanticSchemaGenerationError

    try:
        reader = TypeAdapter(output)
        return reader, reader.json_schema()
    except (PydanticUserError, PydanticSchemaGenerationError, TypeError, NameError) as refused:
        raise _no_form(output, type(refused).__name__) from refused


def _no_form(output: Any, why: str) -> DeclarationError:
    return DeclarationError(
        "INVALID_DECLARATION",
        f"{output!r:.100} cannot be the output of an agent: {why}",
        ran="no",
        hint="give a type such as list[str], a model of pydantic, a JSON Schema, or None for a text",
    )
