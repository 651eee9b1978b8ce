"""Plain functions in a pipeline: what a transform gives for the fields of a run, and the value that a branch asks for.

They are given copies, so that nothing they do to a list changes a field, and what they return is made JSON.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from altar.adm.errors import DeclarationError, ValidationError
from altar.ai.pipelines.steps import BranchStep, TransformStep
from altar.later.json_form import RESULT

__all__ = ["case_of", "transformed"]


def transformed(step: TransformStep, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields that the function of a step gives; one that is not there is left to its parameter's default.

    Raises what the function raises, SERIALIZATION_ERROR for what JSON cannot hold, and SCHEMA_VIOLATION for a result
    without the fields that were promised.
    """
    if not callable(step.function):
        raise DeclarationError("INVALID_PIPELINE", f"there is no function {step.function!r} here", ran="no")
    in_order: list[Any] = []
    named: dict[str, Any] = {}
    for place, name in enumerate(step.takes):
        if name in fields and len(in_order) == place:
            in_order.append(_own(fields[name]))
        elif name in fields:
            named[name] = _own(fields[name])
    made = step.function(*in_order, **named)
    if len(step.gives) == 1:
        return {step.gives[0]: _json(made)}
    missing = step.gives if not isinstance(made, Mapping) else [name for name in step.gives if name not in made]
    if missing:
        what = (
            "what its function returned" if isinstance(made, Mapping) else f"the {type(made).__name__} that it returned"
        )
        wanted = ", ".join(f"{name!r}: …" for name in step.gives[:_MOST_NAMED])
        raise ValidationError(
            "SCHEMA_VIOLATION",
            f"{what} has no {missing[0]!r}",
            ran="yes",
            hint=f"it gives {len(step.gives)} fields, so return {{{wanted}}}",
        )
    return {name: _json(made[name]) for name in step.gives}


def case_of(step: BranchStep, fields: Mapping[str, Any]) -> str:
    """The value that a branch depends on, as text; JSON for what is no text. Raises what its function raises."""
    value = fields.get(step.on) if isinstance(step.on, str) else step.on(_own(dict(fields)))
    return value if isinstance(value, str) else RESULT.write(value).decode()


_MOST_NAMED = 8


def _own(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value)) if isinstance(value, (dict, list)) else value


def _json(value: Any) -> Any:
    return orjson.loads(RESULT.write(value))
