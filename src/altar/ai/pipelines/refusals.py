"""What is said about a pipeline that cannot work: one function for each flaw, in the order of ``flow``.

Names come in; the flaw goes out, which names the step by its path and the pipeline, and hints at what is near.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.defect import Defect, Kind, pointer, shortened
from altar.adm.near import nearest
from altar.ai.pipelines.flaws import Flaw

__all__ = [
    "both_give",
    "both_ways",
    "case_left_out",
    "fallback_without",
    "given_twice",
    "item_is_there",
    "item_not_taken",
    "no_argument",
    "no_field",
    "no_output",
    "no_parameter",
    "no_such_case",
    "no_tool",
    "no_version",
    "nowhere",
    "of_some",
    "output_of_some",
    "ring",
    "same_name",
    "too_many",
    "unfit",
    "unfit_argument",
]

_MOST_NAMED = 8


def same_name(pipeline: str, name: str, at: str) -> Flaw:
    """Two steps of one list have the same name."""
    place = f"{at!r} of {pipeline!r}" if at else repr(pipeline)
    message = f"Two steps of {place} are called {name!r}"
    return Flaw(None, "DUPLICATE", message, step=at, field=name, hint="give one of them another name=")


def too_many(pipeline: str, most: int, deepest: int) -> Flaw:
    """Branches that lead to branches make more steps than anyone follows."""
    return Flaw(
        None,
        "RANGE",
        f"The pipeline {pipeline!r} has more steps than can be followed: "
        f"at most {most} are, each as often as branches lead to it, and {deepest} inside of each other",
        hint="let branches come together again before the next one begins",
    )


def no_tool(pipeline: str, path: str, name: str, known: Iterable[str]) -> Flaw:
    """A step calls a tool that is not among those that there are."""
    names = sorted(known)
    near = nearest(name, names) or ""
    hint = f"did you mean {near!r}?" if near else f"the tools there are {_several(names)}" if names else ""
    words = f"calls the tool {name!r}, which is not there"
    return _of_step(pipeline, path, words, "REFERENCE", hint=hint, field=name, nearest=near)


def no_version(pipeline: str, path: str, asked: str, there: str) -> Flaw:
    """A step calls a tool in a version that is not there; ``there`` is one that is."""
    words = f"calls {asked!r}, and no version that is there fits"
    hint = f"{asked.partition('@')[0]!r} is there in version {there}"
    return _of_step(pipeline, path, words, "VERSION", hint=hint, field=asked, nearest=there)


def no_field(pipeline: str, path: str, name: str, givers: Mapping[str, str], *, later: str | None = None) -> Flaw:
    """A step takes a field by name that is not there; ``givers`` are the fields that are, with who gives them."""
    near = nearest(name, givers) or ""
    hint = _later(name, later) or _nearest_field(near, givers) or _fields(givers)
    words = f"takes the field {name!r}, which no step before it gives"
    return _of_step(pipeline, path, words, "REQUIRED", hint=hint, field=name, nearest="" if later else near)


def no_argument(
    pipeline: str, path: str, parameter: str, givers: Mapping[str, str], *, later: str | None = None
) -> Flaw:
    """A required parameter has neither an argument nor a field."""
    near = nearest(parameter, givers) or ""
    words = f"needs {parameter!r}, and there is no field of that name"
    if later is not None:
        return _of_step(pipeline, path, words, "REQUIRED", hint=_later(parameter, later), field=parameter)
    if near:
        hint = f"did you mean the field {near!r}, {_from(givers[near])}? inputs={{{parameter!r}: {near!r}}}"
    else:
        hint = f"{_fields(givers)}; name one in inputs={{{parameter!r}: …}}, or fix it as an argument"
    return _of_step(pipeline, path, words, "REQUIRED", hint=hint, field=parameter, nearest=near)


def of_some(pipeline: str, path: str, name: str, missing: Sequence[str]) -> Flaw:
    """A step needs a field that not every way gives."""
    left_out, hint = _left_out(missing)
    return _of_step(pipeline, path, f"takes the field {name!r}, which {left_out}", "REQUIRED", hint=hint, field=name)


def unfit(pipeline: str, path: str, parameter: str, name: str, by: str, reason: str, *, is_text: bool = False) -> Flaw:
    """The values of a field can never be those of the parameter.

    ``is_text``: the field is a text only because a signature does not say its type.
    """
    taker = f" for its parameter {parameter!r}" if parameter and parameter != name else ""
    hint = "give it another field by inputs={…}, or let a transform before it make the value that fits"
    if is_text:
        hint = f"an output without a type is a text: say the type in the signature, such as '… -> {name}: list[str]'"
    words = f"takes the field {name!r}{taker}, {_from(by)}: {reason}"
    return _of_step(pipeline, path, words, "MISMATCH", hint=hint, field=name)


def given_twice(pipeline: str, path: str, by: str, name: str) -> Flaw:
    """A step gives a field that is there already, and does not take it."""
    words = f"gives the field {name!r}, and {_before(by)}"
    hint = f"give it another name with output=; only a step that takes {name!r} itself may replace it"
    return _of_step(pipeline, path, words, "DUPLICATE", hint=hint, field=name)


def item_is_there(pipeline: str, path: str, by: str, name: str) -> Flaw:
    """The name for one value of a map is that of a field."""
    words = f"calls one of its values {name!r}, and {_before(by)}"
    return _of_step(pipeline, path, words, "DUPLICATE", hint="choose another name with item=", field=name)


def item_not_taken(pipeline: str, path: str, parameter: str, item: str) -> Flaw:
    """The step of a map needs a parameter, and takes no field of the name that one value has."""
    words = f"needs {parameter!r}, and each of the values is called {item!r}, which it does not take"
    hint = f"write item={parameter!r}, or inputs={{{parameter!r}: {item!r}}}"
    return _of_step(pipeline, path, words, "REQUIRED", hint=hint, field=parameter, nearest=item)


def both_give(pipeline: str, one: str, other: str, name: str) -> Flaw:
    """Two steps that run at the same time give the same field."""
    words = f"gives the field {name!r}, and so does {one!r}, which runs at the same time"
    hint = "give each a field of its own: parallel(first=tool(…), second=tool(…))"
    return _of_step(pipeline, other, words, "DUPLICATE", hint=hint, field=name)


def fallback_without(pipeline: str, path: str, fallback: str, name: str, gives: Sequence[str]) -> Flaw:
    """What stands in for a step does not give all that the step gives."""
    shown = ", ".join(map(repr, gives[:_MOST_NAMED])) or "nothing"
    words = f"gives the field {name!r}, and its fallback {fallback!r} gives {shown}"
    hint = "a fallback gives the same fields as the step it stands in for; output= names the field of a whole result"
    return _of_step(pipeline, path, words, "REQUIRED", hint=hint, field=name)


def no_parameter(pipeline: str, path: str, contract: FunctionDeclaration, parameter: str, word: str) -> Flaw:
    """A step names, in its ``arguments`` or ``inputs`` (``word``), a parameter that its tool does not have."""
    near = nearest(parameter, contract.parameters.json_schema.get("properties", {})) or ""
    words = f"gives {parameter!r}, which is no parameter of {contract.name!r}"
    hint = f"did you mean {near!r}?" if near else contract.signature
    at = pointer(word, parameter)
    return _of_step(pipeline, path, words, "UNKNOWN_FIELD", hint=hint, field=parameter, nearest=near, at=at)


def both_ways(pipeline: str, path: str, parameter: str, name: str) -> Flaw:
    """A parameter is fixed and takes a field as well."""
    words = f"fixes the argument {parameter!r} and takes it from the field {name!r} too"
    at = pointer("inputs", parameter)
    return _of_step(pipeline, path, words, "DUPLICATE", hint="leave out one of the two", field=parameter, at=at)


def unfit_argument(pipeline: str, path: str, contract: FunctionDeclaration, defect: Defect) -> Flaw:
    """A fixed argument does not fit the contract."""
    name = (defect.path or "").removeprefix("/").partition("/")[0]
    words = f"fixes {name!r} to a value that never fits: {shortened(defect.message)}"
    return _of_step(
        pipeline, path, words, defect.category, hint=contract.signature, field=name, at=f"/arguments{defect.path or ''}"
    )


def no_such_case(pipeline: str, path: str, name: str, case: str, choices: Sequence[Any]) -> Flaw:
    """A case for a value that the field never has."""
    near = nearest(case, [str(one) for one in choices]) or ""
    hint = f"did you mean {near!r}?" if near else ""
    shown = ", ".join(map(repr, choices[:_MOST_NAMED])) + (", …" if len(choices) > _MOST_NAMED else "")
    words = f"has the case {case!r}, and the field {name!r} is one of {shown}"
    return _of_step(pipeline, path, words, "ENUM", hint=hint, field=case, nearest=near)


def case_left_out(pipeline: str, path: str, name: str, left_out: Sequence[Any]) -> Flaw:
    """Values that a field has, and no way goes on from."""
    values = "the value" if len(left_out) == 1 else "the values"
    words = f"has no case for {values} {_several(left_out)} of the field {name!r}, and no default"
    hint = "add a case, or say where every other value goes on: default='name'"
    return _of_step(pipeline, path, words, "ENUM", hint=hint, field=name)


def nowhere(pipeline: str, path: str, name: str, pipelines: Iterable[str]) -> Flaw:
    """A branch or a sub leads to a pipeline that is not there."""
    known = list(pipelines)
    near = nearest(name, known) or ""
    if near:
        hint = f"did you mean {near!r}?"
    elif known:
        hint = f"pipelines={{…}} has {_several(known)}"
    else:
        hint = f"give its steps: pipelines={{{name!r}: […]}}"
    words = f"leads to the pipeline {name!r}, which is not there"
    return _of_step(pipeline, path, words, "REFERENCE", hint=hint, field=name, nearest=near)


def ring(pipeline: str, path: str, names: Sequence[str]) -> Flaw:
    """Pipelines lead into each other without an end."""
    names = names[names.index(names[-1]) :] if names.count(names[-1]) > 1 else [pipeline, names[-1]]
    words = f"leads back to where it came from: {' → '.join(map(repr, names))}"
    hint = "a pipeline has an end: take one of these steps out, or repeat the work inside of a tool"
    return _of_step(pipeline, path, words, "REFERENCE", hint=hint, field=names[-1])


def no_output(pipeline: str, name: str, givers: Mapping[str, str]) -> Flaw:
    """An output that nothing gives."""
    near = nearest(name, givers) or ""
    return _of_output(
        pipeline, name, "no step gives", hint=_nearest_field(near, givers) or _fields(givers), nearest=near
    )


def output_of_some(pipeline: str, name: str, missing: Sequence[str]) -> Flaw:
    """An output that not every way gives."""
    left_out, hint = _left_out(missing)
    return _of_output(pipeline, name, left_out, hint=hint)


# --------------------------------------------------------------------------------------------------------- in words


def _of_step(
    pipeline: str,
    path: str,
    words: str,
    category: Kind,
    *,
    hint: str | None = None,
    field: str = "",
    nearest: str = "",
    at: str | None = None,
) -> Flaw:
    """The flaw of the step at ``path``; ``at`` is the place inside of it."""
    message = f"Step {path!r} of {pipeline!r} {words}"
    return Flaw(at, category, message, step=path, field=field, nearest=nearest, hint=hint or "")


def _of_output(pipeline: str, name: str, words: str, *, hint: str, nearest: str = "") -> Flaw:
    message = f"The pipeline {pipeline!r} promises the output {name!r}, which {words}"
    return Flaw("/outputs", "REQUIRED", message, field=name, nearest=nearest, hint=hint)


def _before(by: str) -> str:
    return f"the step {by!r} gives it already" if by else "it is an input of the pipeline"


def _left_out(missing: Sequence[str]) -> tuple[str, str]:
    if missing[0] == "":
        return "is an input that may be left out", "make the input required, or give it a default"
    does = "do" if len(missing) > 1 else "does"
    return f"{_several(missing)} {does} not give", "let every branch give it"


def _from(by: str) -> str:
    return f"which {by!r} gives" if by else "an input of the pipeline"


def _later(name: str, later: str | None) -> str | None:
    return f"{later!r} gives {name!r}, and comes later: put it before" if later else None


def _nearest_field(near: str, givers: Mapping[str, str]) -> str | None:
    return f"did you mean {near!r}, {_from(givers[near])}?" if near else None


def _fields(givers: Mapping[str, str]) -> str:
    return f"the fields there are {_several(list(givers))}" if givers else "there are no fields yet"


def _several(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_MOST_NAMED]))
    return shown + (f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else "")
