"""The contract of a tool as a step of a pipeline sees it: parameters that take fields, a result that gives fields."""

from __future__ import annotations

from typing import Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.schema import Schema, fits_plainly
from altar.ai.pipelines import refusals
from altar.ai.pipelines.flaws import Flaw
from altar.ai.pipelines.forms import ANYTHING, Form
from altar.ai.pipelines.steps import ToolStep

__all__ = ["Contract"]


class Contract:
    """What a declaration says, read once.

    ``parameters`` and ``members`` are forms by name; ``required`` are the parameters without a default.
    ``returns`` is the form of the whole result, ``promised`` are its members that are always there.
    """

    def __init__(self, declaration: FunctionDeclaration) -> None:
        document = declaration.parameters.json_schema
        defs = document.get("$defs", {})
        self.declaration = declaration
        self.document = document
        self.parameters = {
            name: Form(one, defs) if isinstance(one, dict) else ANYTHING
            for name, one in document.get("properties", {}).items()
        }
        self.required = frozenset(document.get("required", ()))
        self.is_open = "additionalProperties" in document and document["additionalProperties"] is not False
        self.is_open = self.is_open or not _PLAIN.isdisjoint(document)
        returns = None if declaration.returns is None else declaration.returns.json_schema
        self.promised = frozenset((returns or {}).get("required", ()))
        self.returns = ANYTHING if returns is None else Form(returns, returns.get("$defs", {}))

    def fields(self, output: str | None, name: str) -> tuple[dict[str, tuple[Form, bool]], bool]:
        """The fields that a result gives, and whether there are others that only a run will show.

        With the form of each stands whether it is always there.
        ``output`` takes the whole result; so does ``name``, where the result is no object.
        """
        types = self.returns.types
        if output is not None or "object" not in types:
            return {output or name: (self.returns, True)}, False
        if types != {"object"}:
            return {}, True
        held = {each: (form, each in self.promised) for each, form in self.returns.own_members.items()}
        return held, self.returns.members is None

    def flaws(self, pipeline: str, path: str, step: ToolStep) -> list[Flaw]:
        """Where a step names a parameter that is not there, gives it twice, or fixes it to what never fits."""
        found = []
        for word, named in (("arguments", step.arguments), ("inputs", step.inputs)):
            unknown = [] if self.is_open else [one for one in named if one not in self.parameters]
            found += [refusals.no_parameter(pipeline, path, self.declaration, one, word) for one in unknown]
        for parameter, name in step.inputs.items():
            if parameter in step.arguments:
                found.append(refusals.both_ways(pipeline, path, parameter, name))
        return [*found, *self._unfit_values(pipeline, path, step)]

    def _unfit_values(self, pipeline: str, path: str, step: ToolStep) -> list[Flaw]:
        hard = {
            name: value
            for name, value in step.arguments.items()
            if name in self.parameters and not fits_plainly(value, self.parameters[name].schema)
        }
        if not hard:
            return []
        kept = {key: held for key, held in self.document.items() if key in {"$defs", "type"}}
        properties: dict[str, Any] = {name: self.document["properties"][name] for name in hard}
        found = Schema({**kept, "properties": properties}).defects(hard)
        return [refusals.unfit_argument(pipeline, path, self.declaration, one) for one in found]


_PLAIN = frozenset({"patternProperties", "unevaluatedProperties", "allOf", "anyOf", "oneOf", "$ref", "if"})
