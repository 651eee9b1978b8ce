"""A tool of ALTAR as a ``dspy.Module`` with a typed signature, for a step of a program.

Loaded by :func:`altar.adapters.dspy.to_dspy_module` only: importing this module imports DSPy.
"""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from typing import Any, Self

import dspy
from pydantic import TypeAdapter

from altar.adapters.dspy.typed import Member, members_of
from altar.adm.declaration import FunctionDeclaration
from altar.later.both_ways import BothWays

__all__ = ["ToolModule"]


class ToolModule(dspy.Module):
    """Calls one tool of a session; no language model is asked.

    ``signature`` has the arguments as inputs and the members of the result as outputs, or ``result`` where the tool
    does not promise an object.
    A field that DSPy cannot call by the name of the contract ends in ``_`` here.
    A failed call raises its AltarError.
    """

    def __init__(self, declaration: FunctionDeclaration, ways: BothWays) -> None:
        super().__init__()
        self.declaration = declaration
        self._ways = ways
        self._asked = f"{declaration.name}@{declaration.version}"
        inputs = members_of(declaration.parameters.json_schema)
        outputs = _outputs_of(declaration)
        self._is_object = bool(outputs)
        taken: set[str] = set()
        self._input_names = {_field_name(each.name, taken): each for each in inputs}
        self._output_names = {_field_name(each.name, taken): each for each in outputs or [_result_of(declaration)]}
        self.signature = _signature(declaration, self._input_names, self._output_names)

    def forward(self, **inputs: Any) -> dspy.Prediction:
        """Call the tool and wait for it."""
        return self._prediction(self._ways.call(self._asked, self._arguments(inputs)).unwrap())

    async def aforward(self, **inputs: Any) -> dspy.Prediction:
        """Call the tool and await it."""
        return self._prediction((await self._ways.acall(self._asked, self._arguments(inputs))).unwrap())

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Itself: copies of a program, as optimizers make them, call through the same session."""
        return self

    def _arguments(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The inputs under their names in the contract, without those that are None and need not be given."""
        arguments = {}
        for field, value in inputs.items():
            member = self._input_names.get(field)
            if member is not None and value is None and not member.required:
                continue
            arguments[member.name if member is not None else field] = value
        return arguments

    def _prediction(self, content: Any) -> dspy.Prediction:
        members = content if self._is_object else {_RESULT: content}
        return dspy.Prediction(
            **{
                field: TypeAdapter(member.annotation).validate_python(members.get(member.name))
                for field, member in self._output_names.items()
            }
        )


_RESULT = "result"


def _result_of(declaration: FunctionDeclaration) -> Member:
    """The one output of a tool that gives no object."""
    returns = declaration.returns.json_schema if declaration.returns is not None else {}
    inside = {name: each for name, each in returns.items() if name != "$defs"}
    (member,) = members_of({"properties": {_RESULT: inside}, "required": [_RESULT], "$defs": returns.get("$defs", {})})
    return member


def _outputs_of(declaration: FunctionDeclaration) -> list[Member]:
    """The members of the result; none where the tool promises no object with members."""
    returns = declaration.returns.json_schema if declaration.returns is not None else {}
    return members_of(returns) if returns.get("type") == "object" else []


def _field_name(name: str, taken: set[str]) -> str:
    """A name that a signature can have: not one of its own members, none of Python's words, and not taken."""
    plain = name.replace("-", "_")
    while plain in taken or hasattr(dspy.Signature, plain) or keyword.iskeyword(plain) or plain.startswith("_"):
        plain = (plain.lstrip("_") or "field") + "_"
    taken.add(plain)
    return plain


def _signature(declaration: FunctionDeclaration, inputs: Mapping[str, Member], outputs: Mapping[str, Member]) -> Any:
    fields = {name: (each.annotation, _input(each)) for name, each in inputs.items()}
    return dspy.Signature(
        fields | {name: (each.annotation, dspy.OutputField(**_said(each))) for name, each in outputs.items()},
        declaration.description,
    )


def _input(member: Member) -> Any:
    default = {} if member.required else {"default": member.default}
    return dspy.InputField(**_said(member), **default)


def _said(member: Member) -> dict[str, str]:
    return {"desc": member.description} if member.description else {}
