"""The normal form of what a DSPy module answers: its output fields by name, as JSON values and nothing else.

In: a module and what it returned, which is a Prediction, a mapping, or a single value.
Out: one JSON object, the same for the same answer wherever the module ran.
A registry maps each type of module to its normal form; a tool may have one of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeVar

import orjson

from altar.adm.errors import DeclarationError
from altar.later.json_form import RESULT

__all__ = ["Transformer", "normal", "transformer_of", "transforms"]

Transformer = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Takes the members of an answer as the module gave them, and gives those that count, under their normal names."""

_Made = TypeVar("_Made", bound=Transformer)

_TRANSFORMERS: dict[str, Transformer] = {}


def transforms(*types: str) -> Callable[[_Made], _Made]:
    """Register a function as the normal form of these types of module, by the name of their class.

    It counts for subclasses too, unless they have one of their own.
    Raises DeclarationError INVALID_DECLARATION for a type that has one: give ``transform`` to the tool instead.
    """

    def registered(function: _Made) -> _Made:
        for name in types:
            if name in _TRANSFORMERS:
                raise DeclarationError(
                    "INVALID_DECLARATION",
                    f"modules of the type {name!r} have a normal form already",
                    hint="give the tool a transform of its own: tool_from_module(module, transform=...)",
                )
            _TRANSFORMERS[name] = function
        return function

    return registered


def transformer_of(module: object) -> Transformer:
    """The normal form of a module's type: that of the nearest class that has one, else all members as they are."""
    for each in type(module).__mro__:
        if each.__name__ in _TRANSFORMERS:
            return _TRANSFORMERS[each.__name__]
    return _as_it_is


def normal(
    module: object,
    prediction: object,
    *,
    fields: Collection[str] | None = None,
    transform: Transformer | None = None,
) -> dict[str, Any]:
    """The output fields of an answer by name, with JSON values only.

    ``fields`` are the names that the contract promises: what else the module told (a trajectory, the history of its
    calls) stays here; without it, all that the type's normal form keeps.
    ``transform`` takes the place of the normal form of the module's type.
    Raises SERIALIZATION_ERROR with the place of a value that JSON cannot hold.
    """
    members = (transform or transformer_of(module))(_members(prediction, fields))
    if fields is not None:
        members = {name: members[name] for name in fields if name in members}
    plain: dict[str, Any] = orjson.loads(RESULT.write({name: _content(each) for name, each in members.items()}))
    return plain


def _members(prediction: object, fields: Collection[str] | None) -> Mapping[str, Any]:
    """What an answer holds by name; a single value is the one output field, or ``answer``."""
    if isinstance(prediction, Mapping):
        return _first(prediction)
    items = getattr(prediction, "items", None)  # a Prediction: the first of its completions
    if callable(items):
        return _first(dict(items()))
    shaped = getattr(prediction, "model_dump", None)
    if callable(shaped) and fields is not None and set(type(prediction).model_fields) >= set(fields):  # type: ignore[attr-defined]  # a pydantic model
        return {name: getattr(prediction, name) for name in fields}
    (name,) = fields if fields is not None and len(fields) == 1 else ("answer",)
    return {name: prediction}


def _first(members: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first of several completions, where an answer is nothing but a list of them."""
    completions = members.get("completions")
    if set(members) == {"completions"} and isinstance(completions, list) and completions:
        first = completions[0]
        return first if isinstance(first, Mapping) else dict(first.items())
    return members


_PLAIN = frozenset({str, int, float, bool, type(None)})


def _content(value: object) -> object:
    """A value without the marks that DSPy's own types put around themselves for a language model."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, (list, tuple)):
        return [_content(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _content(each) for name, each in value.items()}
    if not any(each.__module__.startswith("dspy.adapters.types.") for each in type(value).__mro__):
        return value
    if isinstance(text := getattr(value, "content", None), str):  # dspy.Reasoning
        return text
    if isinstance(text := getattr(value, "code", None), str):  # dspy.Code
        return text
    declared = getattr(type(value), "model_fields", None) or ()
    return {name: _content(getattr(value, name)) for name in declared}


def _as_it_is(members: Mapping[str, Any]) -> Mapping[str, Any]:
    return members


@transforms("ChainOfThought", "MultiChainComparison")
def _reasoned(members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answers with a reasoning, which older programs and comparisons call their rationale."""
    if "rationale" not in members or "reasoning" in members:
        return members
    return {"reasoning" if name == "rationale" else name: each for name, each in members.items()}


@transforms("ReAct", "ReActV2", "CodeAct", "RLM", "ProgramOfThought", "Avatar")
def _concluded(members: Mapping[str, Any]) -> Mapping[str, Any]:
    """Answers of modules that work in steps, without the steps."""
    steps = {"trajectory", "final_reasoning", "history", "actions"}
    return {name: each for name, each in members.items() if name not in steps}
