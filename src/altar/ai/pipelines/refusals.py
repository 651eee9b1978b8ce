"""What is said about a pipeline that cannot work: one function for each defect, in the order of ``flow``.

Names come in; the error goes out, which names the step by its path and the pipeline, and hints at what is near.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import Defect, shortened
from altar.adm.errors import DeclarationError
from altar.adm.near import nearest

__all__ = [
    "both_give",
    "both_ways",
    "empty",
    "fallback_without",
    "given_twice",
    "item_is_there",
    "no_argument",
    "no_field",
    "no_output",
    "no_parameter",
    "no_step",
    "no_such_case",
    "nowhere",
    "of_some",
    "output_of_some",
    "refused",
    "ring",
    "same_name",
    "too_many",
    "unfit",
    "unfit_argument",
]

_MOST_NAMED = 8


def refused(message: str, hint: str | None = None, *, path: str | None = None) -> DeclarationError:
    """INVALID_PIPELINE with these words."""
    return DeclarationError("INVALID_PIPELINE", message, hint=hint, path=path)


def empty(pipeline: str, path: str | None, *, of: str | None = None) -> DeclarationError:
    """The pipeline has no steps; or a step at ``path`` has none, or leads to the pipeline ``of``, which has none."""
    if path is None:
        return refused(f"The pipeline {pipeline!r} has no steps", "give it at least one: tool('name of a tool')")
    if of is not None:
        return refused(f"{_step(pipeline, path)} leads to the pipeline {of!r}, which has no steps")
    return refused(f"{_step(pipeline, path)} has nothing to do", "give it at least one step, or leave it out")


def same_name(pipeline: str, name: str, at: str) -> DeclarationError:
    """Two steps of one list have the same name."""
    place = f"{at!r} of {pipeline!r}" if at else repr(pipeline)
    return refused(f"Two steps of {place} are called {name!r}", "give one of them another name=")


def too_many(pipeline: str, most: int, deepest: int) -> DeclarationError:
    """Branches that lead to branches make more steps than anyone follows."""
    return refused(
        f"The pipeline {pipeline!r} has more steps than can be followed: "
        f"at most {most} are, each as often as branches lead to it, and {deepest} inside of each other",
        "let branches come together again before the next one begins",
    )


def no_step(pipeline: str, step: object) -> DeclarationError:
    """Something stands among the steps that is none."""
    return refused(
        f"A value of the type {type(step).__name__!r} stands among the steps of {pipeline!r}",
        "steps are made by tool, module, parallel, map, branch, sub and transform",
    )


def no_field(
    pipeline: str, path: str, name: str, givers: Mapping[str, str], *, later: str | None = None
) -> DeclarationError:
    """A step takes a field by name that is not there; ``givers`` are the fields that are, with who gives them."""
    message = f"{_step(pipeline, path)} takes the field {name!r}, which no step before it gives"
    return refused(message, _later(name, later) or _nearest_field(name, givers) or _fields(givers))


def no_argument(
    pipeline: str, path: str, parameter: str, givers: Mapping[str, str], *, later: str | None = None
) -> DeclarationError:
    """A required parameter has neither an argument nor a field."""
    near = nearest(parameter, givers)
    message = f"{_step(pipeline, path)} needs {parameter!r}, and there is no field of that name"
    if later is not None:
        return refused(message, _later(parameter, later))
    if near is not None:
        hint = f"did you mean the field {near!r}, {_from(givers[near])}? inputs={{{parameter!r}: {near!r}}}"
        return refused(message, hint)
    return refused(message, f"{_fields(givers)}; name one in inputs={{{parameter!r}: …}}, or fix it as an argument")


def of_some(pipeline: str, path: str, name: str, missing: Sequence[str]) -> DeclarationError:
    """A step needs a field that not every way gives."""
    message, hint = _left_out(missing)
    return refused(f"{_step(pipeline, path)} takes the field {name!r}, which {message}", hint)


def unfit(pipeline: str, path: str, parameter: str, name: str, by: str, reason: str) -> DeclarationError:
    """The values of a field can never be those of the parameter."""
    taker = f" for its parameter {parameter!r}" if parameter and parameter != name else ""
    hint = "give it another field by inputs={…}, or let a transform before it make the value that fits"
    return refused(f"{_step(pipeline, path)} takes the field {name!r}{taker}, {_from(by)}: {reason}", hint)


def given_twice(pipeline: str, path: str, by: str, name: str) -> DeclarationError:
    """A step gives a field that is there already, and does not take it."""
    before = f"the step {by!r} gives it already" if by else "it is an input of the pipeline"
    return refused(
        f"{_step(pipeline, path)} gives the field {name!r}, and {before}",
        f"give it another name with output=; only a step that takes {name!r} itself may replace it",
    )


def item_is_there(pipeline: str, path: str, by: str, name: str) -> DeclarationError:
    """The name for one value of a map is that of a field."""
    before = f"the step {by!r} gives it already" if by else "it is an input of the pipeline"
    return refused(
        f"{_step(pipeline, path)} calls one of its values {name!r}, and {before}", "choose another name with item="
    )


def both_give(pipeline: str, one: str, other: str, name: str) -> DeclarationError:
    """Two steps that run at the same time give the same field."""
    return refused(
        f"{_step(pipeline, other)} gives the field {name!r}, and so does {one!r}, which runs at the same time",
        "give each a field of its own: parallel(first=tool(…), second=tool(…))",
    )


def fallback_without(pipeline: str, path: str, fallback: str, name: str, gives: Sequence[str]) -> DeclarationError:
    """What stands in for a step does not give all that the step gives."""
    shown = ", ".join(map(repr, gives[:_MOST_NAMED])) or "nothing"
    return refused(
        f"{_step(pipeline, path)} gives the field {name!r}, and its fallback {fallback!r} gives {shown}",
        "a fallback gives the same fields as the step it stands in for; output= names the field of a whole result",
    )


def no_parameter(pipeline: str, path: str, contract: FunctionDeclaration, parameter: str) -> DeclarationError:
    """A step names a parameter that its tool does not have."""
    near = nearest(parameter, contract.parameters.json_schema.get("properties", {}))
    return refused(
        f"{_step(pipeline, path)} gives {parameter!r}, which is no parameter of {contract.name!r}",
        f"did you mean {near!r}?" if near else contract.signature,
    )


def both_ways(pipeline: str, path: str, parameter: str, name: str) -> DeclarationError:
    """A parameter is fixed and takes a field as well."""
    return refused(
        f"{_step(pipeline, path)} fixes the argument {parameter!r} and takes it from the field {name!r} too",
        "leave out one of the two",
    )


def unfit_argument(pipeline: str, path: str, contract: FunctionDeclaration, defect: Defect) -> DeclarationError:
    """A fixed argument does not fit the contract."""
    name = (defect.path or "").removeprefix("/").partition("/")[0]
    return refused(
        f"{_step(pipeline, path)} fixes {name!r} to a value that never fits: {shortened(defect.message)}",
        contract.signature,
        path=defect.path,
    )


def no_such_case(pipeline: str, path: str, name: str, case: str, choices: Sequence[Any]) -> DeclarationError:
    """A case for a value that the field never has."""
    near = nearest(case, [str(one) for one in choices])
    hint = f"did you mean {near!r}?" if near else None
    shown = ", ".join(map(repr, choices[:_MOST_NAMED])) + (", …" if len(choices) > _MOST_NAMED else "")
    return refused(f"{_step(pipeline, path)} has the case {case!r}, and the field {name!r} is one of {shown}", hint)


def nowhere(pipeline: str, path: str, name: str, pipelines: Iterable[str]) -> DeclarationError:
    """A branch or a sub leads to a pipeline that is not there."""
    known = list(pipelines)
    near = nearest(name, known)
    if near:
        hint = f"did you mean {near!r}?"
    elif known:
        hint = f"pipelines={{…}} has {_several(known)}"
    else:
        hint = f"give its steps: pipelines={{{name!r}: […]}}"
    return refused(f"{_step(pipeline, path)} leads to the pipeline {name!r}, which is not there", hint)


def ring(pipeline: str, path: str, names: Sequence[str]) -> DeclarationError:
    """Pipelines lead into each other without an end."""
    names = names[names.index(names[-1]) :] if names.count(names[-1]) > 1 else [pipeline, names[-1]]
    return refused(
        f"{_step(pipeline, path)} leads back to where it came from: {' → '.join(map(repr, names))}",
        "a pipeline has an end: take one of these steps out, or repeat the work inside of a tool",
    )


def no_output(pipeline: str, name: str, givers: Mapping[str, str]) -> DeclarationError:
    """An output that nothing gives."""
    message = f"The pipeline {pipeline!r} promises the output {name!r}, which no step gives"
    return refused(message, _nearest_field(name, givers) or _fields(givers))


def output_of_some(pipeline: str, name: str, missing: Sequence[str]) -> DeclarationError:
    """An output that not every way gives."""
    message, hint = _left_out(missing)
    return refused(f"The pipeline {pipeline!r} promises the output {name!r}, which {message}", hint)


def _step(pipeline: str, path: str) -> str:
    return f"Step {path!r} of {pipeline!r}"


def _left_out(missing: Sequence[str]) -> tuple[str, str]:
    if missing[0] == "":
        return "is an input that may be left out", "make the input required, or give it a default"
    does = "do" if len(missing) > 1 else "does"
    return f"{_several(missing)} {does} not give", "let every branch give it"


def _from(by: str) -> str:
    return f"which {by!r} gives" if by else "an input of the pipeline"


def _later(name: str, later: str | None) -> str | None:
    return f"{later!r} gives {name!r}, and comes later: put it before" if later else None


def _nearest_field(name: str, givers: Mapping[str, str]) -> str | None:
    near = nearest(name, givers)
    return None if near is None else f"did you mean {near!r}, {_from(givers[near])}?"


def _fields(givers: Mapping[str, str]) -> str:
    return f"the fields there are {_several(list(givers))}" if givers else "there are no fields yet"


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_MOST_NAMED]))
    return shown + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
