"""What makes the steps of a pipeline: each function takes words and gives a frozen step; nothing runs here.

All of them take ``name`` (made up where it is not given), ``timeout`` in seconds, ``retry`` as a number of attempts or
a :class:`Retry`, ``fallback`` and ``compensate`` as steps of their own.
What is wrong is a DeclarationError INVALID_PIPELINE.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from altar.adm.errors import DeclarationError
from altar.adm.formats.names import fitting
from altar.adm.near import nearest
from altar.adm.reader import NAME, NAME_RULE
from altar.ai.pipelines.steps import (
    BranchStep,
    Fields,
    MapStep,
    ParallelStep,
    PipelineStep,
    Retry,
    Step,
    ToolStep,
    TransformStep,
)
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.ai.pipelines.shape import Shape

__all__ = [
    "as_step",
    "branch",
    "map",
    "module",
    "numbered",
    "parallel",
    "refused",
    "seconds_of",
    "sub",
    "tool",
    "transform",
]

_MOST_AT_A_TIME = 1000
_LONGEST = 64


class Options(TypedDict, total=False):
    """What every step may be given beside what it does."""

    name: str | None
    timeout: float | timedelta | None
    retry: int | Retry | None
    fallback: Step | None
    compensate: Step | None


def tool(
    which: str | ToolFunction[..., Any],
    arguments: Fields | None = None,
    /,
    *,
    inputs: Mapping[str, str] | None = None,
    output: str | None = None,
    **options: Unpack[Options],
) -> ToolStep:
    """A call of a tool, which is named (``name`` or ``name@range``) or given itself.

    A parameter takes its value of ``arguments``, else the field that ``inputs`` names for it, else the field of its own
    name if there is one, else its default.
    Each member of a result that is an object becomes a field; ``output`` names one field for the whole result instead,
    and a result that is no object is a field of the step's name without it.
    """
    if isinstance(which, ToolFunction):
        asked, made = f"{which.name}@{which.version}", which
    elif _is_named(which):
        asked, made = which, None
    else:
        raise refused(
            f"{_subject(which)} names no tool of a pipeline",
            "give a name such as 'search_web' or 'search_web@^1', or a function with @altar.tool",
        )
    return ToolStep(
        tool=asked,
        arguments=dict(_mapping(arguments, f"The arguments of {asked!r}", text=False)),
        inputs=dict(_mapping(inputs, f"The inputs of {asked!r}")),
        output=None if output is None else _field(output, asked),
        made=made,
        **_common(options, asked.partition("@")[0]),
    )


def module(
    which: Any,
    /,
    *,
    kind: str = "Predict",
    lm: Any = None,
    arguments: Fields | None = None,
    inputs: Mapping[str, str] | None = None,
    output: str | None = None,
    version: str = "1.0.0",
    register: bool = True,
    **options: Unpack[Options],
) -> ToolStep:
    """A call of a module of DSPy, which becomes a tool: a signature as text, a ``dspy.Module``, or a tool made of one.

    ``kind`` is the module that is made of a signature, by its name in DSPy, such as ``ChainOfThought``.
    ``lm`` is its language model, as :func:`altar.ai.tool_from_module` takes it.
    To ask a model is no work that must not be done twice: the tool of a ``Predict`` or a ``ChainOfThought`` that is
    made here says that it is idempotent.
    Raises as that does, and ENVIRONMENT_ERROR without the extra ``dspy``.
    """
    made, program = which, None
    if not isinstance(which, ToolFunction):
        from altar.ai.pipelines.modules import tool_of_module

        made, program = tool_of_module(
            which, kind=kind, lm=lm, name=options.get("name"), version=version, register=register
        )
    step = tool(made, arguments, inputs=inputs, output=output, **options)
    return replace(step, program=program)


def parallel(*steps: Any, concurrency: int | None = None, **named: Any) -> ParallelStep:
    """Steps that run at the same time and see the same fields; ``field=step`` puts a whole result into that field.

    ``name``, ``timeout``, ``retry``, ``fallback`` and ``compensate`` are those of the step itself, as everywhere.
    """
    options: Options = {}
    for word in _WORDS & named.keys():
        options[word] = named.pop(word)  # type: ignore[literal-required]  # the words are those of Options
    found = [_step(each, "parallel") for each in steps]
    found += [_into(_step(each, "parallel"), field) for field, each in named.items()]
    if not found:
        raise refused("A parallel step has no steps", "give it some: parallel(tool('a'), tool('b'))")
    most = None if concurrency is None else _concurrency(concurrency, "A parallel step")
    return ParallelStep(steps=numbered(found), concurrency=most, **_common(options, "parallel"))


def map(  # noqa: A001 - the word that everybody knows for it, and seldom imported by itself
    step: Any,
    /,
    *,
    over: str,
    item: str,
    output: str,
    concurrency: int = 8,
    **options: Unpack[Options],
) -> MapStep:
    """One step for each value of the list in the field ``over``; the results are the list ``output``, in its order.

    The step finds its value in the field ``item``; what it gives is the whole result of a tool, or the object of its
    fields for any other step.
    """
    return MapStep(
        step=_step(step, "map"),
        over=_field(over, "map"),
        item=_field(item, "map"),
        output=_field(output, "map"),
        concurrency=_concurrency(concurrency, f"The map to {output!r}"),
        **_common(options, output),
    )


def branch(
    on: str | Callable[[Fields], Any],
    cases: Mapping[str, str | Shape],
    /,
    *,
    default: str | Shape | None = None,
    **options: Unpack[Options],
) -> BranchStep:
    """Go on in one of several pipelines, by the value of a field or by what a function of the fields returns.

    ``cases`` gives for each value the name of a pipeline, or a pipeline; ``default`` is for every other value.
    """
    _require_no_tool(on, "A branch")
    if not (isinstance(on, str) or callable(on)):
        raise refused(f"A branch depends on {_shown(on)}", "give the name of a field, or a function of the fields")
    made: dict[str, Shape] = {}
    chosen = {_text(case, "A case"): _pipeline(to, made) for case, to in _mapping(cases, "Cases", text=False).items()}
    if not chosen:
        raise refused("A branch has no cases", "give a pipeline for each value: {'billing': 'billing_steps'}")
    called = on if isinstance(on, str) else _called(on, "branch")
    return BranchStep(
        on=on,
        cases=chosen,
        default=None if default is None else _pipeline(default, made),
        made=made,
        **_common(options, called),
    )


def sub(pipeline: str | Shape, /, **options: Unpack[Options]) -> PipelineStep:
    """The steps of a named pipeline, or of one that is given itself, in this place."""
    made: dict[str, Shape] = {}
    called = _pipeline(pipeline, made)
    return PipelineStep(pipeline=called, made=made, **_common(options, called))


def transform(
    function: Callable[..., Any],
    /,
    *,
    takes: Iterable[str] | None = None,
    gives: Iterable[str] | None = None,
    **options: Unpack[Options],
) -> TransformStep:
    """A plain function of fields: ``takes`` are its arguments in their order, ``gives`` what it returns.

    Without them it takes the fields that its parameters name, and gives one of its own name.
    Of several fields that it gives it must return a mapping.
    It is no call: it runs here, quickly, and must do nothing to the world, so it has no ``timeout`` and no ``retry``.
    """
    _require_no_tool(function, "A transform")
    if not callable(function):
        raise refused(f"A transform is {_shown(function)}", "give a function of the fields that it takes")
    called = _called(function, "transform")
    if inspect.iscoroutinefunction(function):
        raise refused(f"The transform {called!r} is a coroutine function", "make it a tool, which may wait")
    if "output" in options:
        raise refused(
            f"The transform {called!r} is given 'output', and names its fields by `gives`", "write gives=['x']"
        )
    for word in ("timeout", "retry"):
        if options.get(word) is not None:
            raise refused(
                f"The transform {called!r} is given {word!r}, and is a plain function, which is neither stopped nor "
                "tried again",
                "make it a tool with @altar.tool, which may be",
            )
    if gives is None and called == "transform":
        raise refused(
            "A transform does not say which field it gives, and its function has no name", "write gives=['name']"
        )
    return TransformStep(
        function=function,
        takes=_parameters(function) if takes is None else _fields(takes, called),
        gives=(called,) if gives is None else _fields(gives, called),
        **_common(options, called),
    )


def refused(message: str, hint: str) -> DeclarationError:
    """The error for a pipeline that cannot be."""
    return DeclarationError("INVALID_PIPELINE", message, ran="no", hint=hint)


def seconds_of(value: object, what: str) -> float | None:
    """A time that somebody gave in seconds or as a timedelta; raises INVALID_PIPELINE for none that can pass."""
    if value is None:
        return None
    seconds = value.total_seconds() if isinstance(value, timedelta) else value
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise refused(f"The timeout of {what} is {_shown(value)}", "give seconds: timeout=2.5")
    if not (math.isfinite(seconds) and seconds > 0):
        raise refused(
            f"The timeout of {what} is {value!r}, and must be more than nothing and less than for ever",
            "give seconds: timeout=2.5",
        )
    return float(seconds)


def numbered(steps: Iterable[Step]) -> tuple[Step, ...]:
    """The steps with names that differ: a second one that nobody named is ``search_web_2``.

    Raises INVALID_PIPELINE for two that were given the same name.
    """
    listed = list(steps)
    given: set[str] = set()
    for step in listed:
        if step.is_named and step.name in given:
            raise refused(f"Two steps are called {step.name!r}", "give one of them another name=…")
        if step.is_named:
            given.add(step.name)
    found = []
    taken = set(given)
    counts: dict[str, int] = {}
    for step in listed:
        called, count = step.name, counts.get(step.name, 1)
        while not step.is_named and called in taken:
            count += 1
            ending = f"_{count}"
            called = step.name[: _LONGEST - len(ending)] + ending
        counts[step.name] = count  # all below it are taken
        taken.add(called)
        found.append(step if called == step.name else replace(step, name=called))
    return tuple(found)


def as_step(given: object, what: str) -> Step:
    """A step, or the one that a tool or a pipeline means by itself; raises INVALID_PIPELINE for anything else."""
    return _step(given, what)


# ---------------------------------------------------------------------------------------------------------- inside

_WORDS = frozenset(Options.__annotations__)


def _common(options: Options, called: str) -> dict[str, Any]:
    """The members that all steps have."""
    name = options.get("name")
    if name is not None and not _is_name(name):
        raise refused(f"The name {_shown(name)} of a step is not {NAME_RULE}", "choose another name=…")
    shown = repr(name or called)
    for unknown in sorted(options.keys() - _WORDS):
        near = nearest(unknown, _WORDS)
        raise refused(
            f"The step {shown} is given {unknown!r}, which is no option of it",
            f"did you mean {near!r}?" if near else f"every step takes {', '.join(sorted(_WORDS))}",
        )
    return {
        "name": name or fitting(called),
        "is_named": name is not None,
        "timeout": seconds_of(options.get("timeout"), f"the step {shown}"),
        "retry": _retry(options.get("retry"), shown),
        "fallback": _beside(options.get("fallback"), f"the fallback of {shown}"),
        "compensate": _beside(options.get("compensate"), f"the compensation of {shown}"),
    }


def _require_no_tool(given: object, what: str) -> None:
    """Refuse a tool where a plain function is meant: called so, it would be neither authorized nor recorded."""
    if isinstance(given, ToolFunction):
        raise refused(
            f"{what} calls plain functions, and {given.name!r} is a tool",
            "make it a step before, tool(…), and go by a field that it gives",
        )


def _called(function: Callable[..., Any], otherwise: str) -> str:
    """The name of a function; of a lambda, what its step is."""
    name = getattr(function, "__name__", otherwise)
    return name if isinstance(name, str) and NAME.fullmatch(name) else otherwise


def _is_named(which: object) -> bool:
    return isinstance(which, str) and bool(which.partition("@")[0])


def _is_name(name: object) -> bool:
    return isinstance(name, str) and NAME.fullmatch(name) is not None


def _retry(given: object, shown: str) -> Retry:
    if given is None:
        return _ONCE
    if isinstance(given, Retry):
        return given
    if isinstance(given, int) and not isinstance(given, bool):
        return Retry(attempts=given)
    raise refused(f"The retry of the step {shown} is {_shown(given)}", "give a number of attempts, or a Retry(…)")


_ONCE = Retry(attempts=1)


def _beside(given: object, what: str) -> Step | None:
    return None if given is None else _step(given, what)


def _step(given: object, what: str) -> Step:
    from altar.ai.pipelines.shape import Shape

    if isinstance(given, Step):
        return given
    if isinstance(given, ToolFunction):
        return tool(given)
    if isinstance(given, Shape):
        return sub(given)
    if callable(given):
        called = _called(given, "function")
        raise refused(
            f"The function {called!r} is no step of {what}",
            f"declare it with @altar.tool, or write transform({called}) for a plain function of fields",
        )
    raise refused(
        f"{_subject(given)} is no step of {what}",
        "write tool('name'), module('question -> answer'), parallel(…), map(…), branch(…), sub(…) or transform(…)",
    )


def _into(step: Step, field: str) -> Step:
    """The same step with its whole result in one field, and called so unless somebody named it."""
    field = _field(field, "parallel")
    named: dict[str, Any] = {} if step.is_named or not NAME.fullmatch(field) else {"name": field, "is_named": True}
    if isinstance(step, (ToolStep, MapStep)):
        fallback = step.fallback
        if isinstance(fallback, ToolStep) and fallback.output is None:
            fallback = replace(fallback, output=field)
        return replace(step, output=field, fallback=fallback, **named)
    if isinstance(step, TransformStep) and len(step.gives) == 1:
        return replace(step, gives=(field,), **named)
    raise refused(
        f"The step {step.name!r} gives fields of its own, and cannot be put into the field {field!r}",
        f"leave {field}= out: parallel(step, …)",
    )


def _pipeline(given: object, made: dict[str, Shape]) -> str:
    from altar.ai.pipelines.shape import Shape

    if isinstance(given, Shape):
        if made.setdefault(given.name, given) != given:
            raise refused(f"Two pipelines are called {given.name!r}", "give one of them another name")
        return given.name
    return _text(given, "A pipeline")


def _mapping(given: object, what: str, *, text: bool = True) -> Mapping[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping) or not all(isinstance(key, str) for key in given):
        raise refused(f"{what} are {_shown(given)}", "give a mapping with names as its keys")
    if text and not all(isinstance(value, str) for value in given.values()):
        raise refused(f"{what} name fields by something else than text", "write inputs={'parameter': 'field'}")
    return given


def _fields(given: object, what: str) -> tuple[str, ...]:
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise refused(f"The fields of {what!r} are {_shown(given)}", "give a list of names")
    found = tuple(_field(each, what) for each in given)
    if len(set(found)) != len(found):
        raise refused(f"{what!r} names a field twice", "name each field once")
    return found


def _field(given: object, what: str) -> str:
    if not (isinstance(given, str) and 0 < len(given) <= _LONGEST):
        raise refused(f"{_subject(given)} is no name of a field, in {what!r}", "give 1 to 64 characters")
    return given


def _text(given: object, what: str) -> str:
    if not (isinstance(given, str) and given):
        raise refused(f"{what} is {_shown(given)}", "give a name, as text")
    return given


def _concurrency(given: object, what: str) -> int:
    if isinstance(given, bool) or not isinstance(given, int) or not 1 <= given <= _MOST_AT_A_TIME:
        raise refused(
            f"{what} runs {_shown(given)} at a time", f"give concurrency= a number from 1 to {_MOST_AT_A_TIME}"
        )
    return given


def _parameters(function: Callable[..., Any]) -> tuple[str, ...]:
    """The names of the parameters, in their order; one with a default takes its field where there is one."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as unknown:
        raise refused(
            "A transform does not say what it takes", "write takes=['field'] beside the function"
        ) from unknown
    listed = [each for each in parameters if each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)]
    if any(each.kind is each.KEYWORD_ONLY and each.default is each.empty for each in listed):
        raise refused("A transform has parameters that are given by name only", "let it take them in their order")
    return tuple(each.name for each in listed)


def _subject(given: object) -> str:
    """A value at the beginning of a sentence."""
    shown = _shown(given)
    return f"A value {shown}" if shown.startswith("of type ") else shown


def _shown(given: object) -> str:
    shown = repr(given)[:_LONGEST]
    return shown if isinstance(given, (str, int, float, bool, type(None))) else f"of type {type(given).__name__!r}"
