"""Which optimizer of DSPy compiles a program, with what it is made, and what it needs for that.

A name, a class or an instance comes in with options, an optimizer goes out that has all it needs; what it lacks is said
before a language model is asked for the first time, for requests cost money.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import Parameter, signature
from typing import Any, Final

from altar.adm.errors import ValidationError
from altar.adm.near import nearest
from altar.ai.configuration import configured
from altar.ai.discovery import discover, entry_of
from altar.later.extras import loaded

__all__ = ["Chosen", "choose", "in_its_words"]


@dataclass(frozen=True, slots=True)
class Chosen:
    """An optimizer with what it is made with, and what its ``compile`` is given."""

    name: str
    maker: Any
    made_with: Mapping[str, Any]
    compiled_with: Mapping[str, Any]
    instance: Any = None

    def compile(self, program: Any) -> Any:
        """The program that it makes of this one; asks language models, and takes its time."""
        with in_its_words(self.name):
            optimizer = self.instance if self.instance is not None else self.maker(**self.made_with)
            return optimizer.compile(program, **self.compiled_with)

    def asking(self, default: Any, model_of: Callable[[str, Any], Any]) -> Chosen:
        """The same, whose options that are language models have been put through ``model_of(option, value)``.

        An optimizer that cannot do without a model of its own, and was given none, asks the ``default``.
        """
        held = dict(self.made_with)
        if self.instance is not None:  # made already: what it asks can be looked at, and no longer be chosen
            held = {name: getattr(self.instance, name, None) for name in (*_MODELS, "teacher_settings")}
        elif self.name == "GEPA" and held.get("instruction_proposer") is None:
            held["reflection_lm"] = held.get("reflection_lm") or default
        for name in held.keys() & _MODELS:
            if held[name] is not None and held[name] is not default:
                held[name] = model_of(name, held[name])
        teaching = held.get("teacher_settings")
        if isinstance(teaching, dict) and teaching.get("lm") is not None:
            held["teacher_settings"] = teaching | {"lm": model_of("teacher_settings", teaching["lm"])}
        return self if self.instance is not None else replace(self, made_with=held)

    @property
    def parts(self) -> list[Any]:
        """What of it decides about the result."""
        return [self.name, self.maker, dict(self.made_with), dict(self.compiled_with), self.instance]


def choose(optimizer: Any, options: dict[str, Any]) -> Chosen:
    """The optimizer, with the options given to whichever of its two parts takes them; first to the making of it.

    Raises ValidationError UNKNOWN_RESOURCE for a name that DSPy does not have, INVALID_TOOL_ARGS for an option that it
    does not take or one that it lacks, ConfigurationError ENVIRONMENT_ERROR for a package that it needs.
    """
    instance = None
    if isinstance(optimizer, str) or optimizer is None:
        name, maker = _named(optimizer)
    elif isinstance(optimizer, type):
        name, maker = optimizer.__name__, optimizer
    else:
        name, maker, instance = type(optimizer).__name__, type(optimizer), optimizer
    if not callable(getattr(maker, "compile", None)):
        raise _wrong(f"{name!r} is no optimizer: it does not compile", "name one of DSPy's, such as 'BootstrapFewShot'")
    making = {} if instance is not None else _takes(maker.__init__)
    compiling = _takes(maker.compile)
    if "student" not in compiling:
        raise _wrong(f"{name!r} does not compile one program", "use it by itself, with what it takes")
    made_with = {each: value for each, value in options.items() if each in making}
    twice = {"trainset"}  # what both take: a set of examples is for both, all else for the making
    compiled_with = {
        each: value for each, value in options.items() if each in compiling.keys() - (making.keys() - twice)
    }
    _require_known(name, options.keys() - {"metric", "trainset"}, {*making, *compiling})
    if made_with.get("metric", ...) is None and making["metric"].default is not Parameter.empty:
        del made_with["metric"]
    given = made_with | compiled_with
    needed = [each for each, said in {**compiling, **making}.items() if said.default is Parameter.empty]
    for each in [*needed, *(() if instance is not None else _NEEDED.get(name, ()))]:
        if each != "student" and given.get(each) is None:
            raise _wrong(f"The optimizer {name!r} needs {each!r}", f"give it: compiled(program, …, {each}=…)")
    if name in _PACKAGES:
        loaded(_PACKAGES[name], extra="optimizers", what=f"The optimizer {name!r}")
    return Chosen(name, maker, made_with, compiled_with, instance)


@contextmanager
def in_its_words(name: str) -> Iterator[None]:
    """What an optimizer refuses itself, in its words: INVALID_TOOL_ARGS, and not a failed assertion in its code."""
    try:
        yield
    except (AssertionError, TypeError, ValueError) as refused:
        words = " ".join(str(refused).split())
        if not words or not _is_of_optimizers(refused):
            raise
        raise _wrong(
            f"The optimizer {name!r} does not take that: {words if len(words) <= _LONGEST else words[:_LONGEST] + '…'}",
            _HINTS.get(name, "its page in DSPy's documentation says what it takes"),
        ) from refused


_MODELS: Final = frozenset({"prompt_model", "reflection_lm", "task_model"})
"""Options of optimizers that are language models."""

_NEEDED: Final[Mapping[str, tuple[str, ...]]] = {"COPRO": ("metric",)}
"""What an optimizer cannot do without, though it does not say so."""

_PACKAGES: Final[Mapping[str, str]] = {
    "BootstrapFewShotWithOptuna": "optuna",
    "KNNFewShot": "numpy",
    "MIPROv2": "optuna",
    "SIMBA": "numpy",
}
"""Packages that DSPy leaves out, and an optimizer misses only after it has asked; the extra ``optimizers`` has them."""

_HINTS: Final[Mapping[str, str]] = {
    "COPRO": "give breadth=2 or more",
    "GEPA": "give one budget, auto='light', max_full_evals=… or max_metric_calls=…, and a metric that takes"
    " (gold, pred, trace, pred_name, pred_trace)",
    "MIPROv2": "give auto='light', 'medium' or 'heavy', or auto=None with num_candidates=…, num_trials=… and"
    " minibatch=False",
    "SIMBA": "give as many examples as bsize=… says, 32 without it",
}
"""What to give each optimizer that often is given too little."""

_LONGEST: Final = 300
"""Most characters of an optimizer's words."""

_STARS: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _named(optimizer: str | None) -> tuple[str, Any]:
    name = configured().default_optimizer if optimizer is None else optimizer
    entry = entry_of(name) or entry_of(f"teleprompt.{name}")
    if entry is not None and entry[0].kind == "optimizer":
        return entry[0].name, entry[1]
    near = nearest(name, [row.name for row in discover(kind="optimizer")])
    said = "`altar dspy discover --kind optimizer` lists what there is"
    where = "" if optimizer is not None else ", which `ai.default_optimizer` names"
    raise ValidationError(
        "UNKNOWN_RESOURCE",
        f"DSPy has no optimizer {name[:100]!r}{where}",
        ran="no",
        hint=f"did you mean {near!r}?" if near else said,
    )


def _takes(function: Any) -> dict[str, Parameter]:
    """The parameters of a function by name, without ``self`` and those that take whatever is left."""
    found = list(signature(function).parameters.items())[1:]
    return {name: each for name, each in found if each.kind not in _STARS}


def _require_known(name: str, given: Iterable[str], known: set[str]) -> None:
    """Raise INVALID_TOOL_ARGS for an option that an optimizer does not take."""
    for each in sorted(set(given) - known):
        near = nearest(each, sorted(known))
        hint = f"did you mean {near!r}?" if near else f"it takes {', '.join(sorted(known - {'student'}))}"
        raise _wrong(f"The optimizer {name!r} takes no option {each[:100]!r}", hint)


def _is_of_optimizers(refused: BaseException) -> bool:
    """Whether an optimizer of DSPy raised this itself, and nothing that it called."""
    trace = refused.__traceback__
    module = ""
    while trace is not None:
        module, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return module.startswith("dspy.teleprompt.")


def _wrong(message: str, hint: str) -> ValidationError:
    return ValidationError("INVALID_TOOL_ARGS", message, ran="no", hint=hint)
