"""Compiling a program of DSPy, and evaluating one: as configured, and not twice with the same things.

A program, examples and a metric come in, a program of the same shape goes out that an optimizer of DSPy has improved.
The optimizer is DSPy's own, unchanged; what is here says which one, which language model it asks and in which way, and
whether the same compilation has been done before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, Final

from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.adm.near import nearest
from altar.ai.compiled_programs import CompiledPrograms, is_only_state, key_of
from altar.ai.configuration import configured
from altar.ai.discovery import discover, entry_of
from altar.ai.fingerprints import Untold
from altar.ai.lm.as_tool import LM_TOOL, SessionModel
from altar.later.extras import loaded
from altar.later.front import SyncSession

if TYPE_CHECKING:
    from altar.later.session import Session

__all__ = ["Compilation", "OnProgress", "compilation", "compiled", "evaluated"]

OnProgress = Callable[[int, int | None], object]
"""Is told how many requests a language model has answered, and how many there will be: None, for nobody knows."""

_WHAT = "Compiling a program of DSPy"


@dataclass(frozen=True, slots=True)
class Compilation:
    """A compiled program, and how it came about.

    ``is_cached`` says that it was read and nobody was asked; ``requests`` is how often a language model was.
    ``key`` is that of the compilation, "" where it has none; ``not_kept`` says why it was not kept, "" where it was.
    """

    program: Any
    optimizer: str
    is_cached: bool = False
    requests: int = 0
    key: str = ""
    not_kept: str = ""


def compiled(program: Any, /, **arguments: Any) -> Any:
    """The program that an optimizer of DSPy makes of this one: the ``program`` of :func:`compilation`."""
    return compilation(program, **arguments).program


def compilation(
    program: Any,
    /,
    *,
    trainset: Sequence[Any],
    metric: Callable[..., Any] | None = None,
    optimizer: Any = None,
    lm: Any = None,
    session: Session | SyncSession | None = None,
    through: str = LM_TOOL,
    cache: bool | None = None,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Compilation:
    """Compile a program of DSPy with a set of examples, or read what came of it the last time.

    ``optimizer`` is the name of one of DSPy's, its class, or one that is made; without it, the one that is configured.
    ``options`` are those of the optimizer and of its ``compile``, such as ``max_bootstrapped_demos=2`` or ``valset``.
    ``lm`` is the language model: a ``dspy.LM``, or what :func:`altar.ai.language_model` takes; without it, that of
    ``dspy.context``, else that of the process.
    With ``session`` and ``ai.distributed_optimization`` each request to it is a call of the tool ``through`` in that
    session; a call that is refused there ends the compilation with that error.
    ``cache`` says whether a program that was compiled with the same things is read, and this one kept; without it, as
    configured. Nothing is kept of a compilation in which a request failed.
    ``on_progress`` is told how far it is, in whichever thread that happens.
    It waits: in a coroutine, say ``await asyncio.to_thread(compilation, …)``.
    Raises ValidationError UNKNOWN_RESOURCE for an optimizer that DSPy does not have, INVALID_TOOL_ARGS for an option
    that it does not take, and what the optimizer itself raises.
    """
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    if not isinstance(program, dspy.Module):
        raise _wrong(f"A value of the type {type(program).__name__!r} is no program of DSPy", "give a dspy.Module")
    examples = list(trainset)
    chosen = _chosen(optimizer, {**options, "trainset": examples, "metric": metric})
    asked = _Asked(lm, session, through, on_progress)
    with asked.context() as model:
        key, reason = (
            _key(program, examples, metric, chosen, model, asked) if _wanted(cache=cache) else ("", "not wanted")
        )
        kept = _store() if key else None
        if key and kept is None:
            reason = "there is no directory for it: set `ai.compiled_programs`"
        if kept is not None:
            known = program.reset_copy()
            if kept.load(known, key):
                return Compilation(_as_compiled(known, program), chosen.name, is_cached=True, key=key)
        made = chosen.compile(program)
        asked.require_answers()
    if kept is not None:
        reason = _kept(kept, key, made, program, asked)
    return Compilation(_as_compiled(made, program), chosen.name, requests=asked.requests, key=key, not_kept=reason)


def evaluated(
    program: Any,
    /,
    *,
    devset: Sequence[Any],
    metric: Callable[..., Any],
    lm: Any = None,
    session: Session | SyncSession | None = None,
    through: str = LM_TOOL,
    on_progress: OnProgress | None = None,
    **options: Any,
) -> Any:
    """What DSPy's ``Evaluate`` finds: an ``EvaluationResult`` with the score, and each example with its own.

    ``options`` are those of ``dspy.Evaluate``, such as ``num_threads``; the others are as for :func:`compilation`.
    """
    dspy = loaded("dspy", extra="dspy", what="Evaluating a program of DSPy")
    asked = _Asked(lm, session, through, on_progress)
    with asked.context():
        result = dspy.Evaluate(devset=list(devset), metric=metric, **options)(program)
        asked.require_answers()
    return result


# ------------------------------------------------------------------------------------------------- which optimizer


@dataclass(frozen=True, slots=True)
class _Chosen:
    """An optimizer with what it is made with, and what its ``compile`` is given."""

    name: str
    maker: Any
    made_with: dict[str, Any]
    compiled_with: dict[str, Any]
    instance: Any = None

    def compile(self, program: Any) -> Any:
        optimizer = self.instance if self.instance is not None else self.maker(**self.made_with)
        return optimizer.compile(program, **self.compiled_with)

    @property
    def parts(self) -> list[Any]:
        """What of it decides about the result."""
        return [self.name, self.maker, self.made_with, self.compiled_with, self.instance]


def _chosen(optimizer: Any, options: dict[str, Any]) -> _Chosen:
    """The optimizer, with the options given to whichever of its two parts takes them; first to the making of it."""
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
    for each, said in {**compiling, **making}.items():
        if said.default is Parameter.empty and each != "student" and given.get(each) is None:
            raise _wrong(f"The optimizer {name!r} needs {each!r}", f"give it: compiled(program, …, {each}=…)")
    return _Chosen(name, maker, made_with, compiled_with, instance)


def _require_known(name: str, given: Iterable[str], known: set[str]) -> None:
    """Raise INVALID_TOOL_ARGS for an option that an optimizer does not take."""
    for each in sorted(set(given) - known):
        near = nearest(each, sorted(known))
        hint = f"did you mean {near!r}?" if near else f"it takes {', '.join(sorted(known - {'student'}))}"
        raise _wrong(f"The optimizer {name!r} takes no option {each[:100]!r}", hint)


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


_STARS: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


def _takes(function: Any) -> dict[str, Parameter]:
    """The parameters of a function by name, without ``self`` and those that take whatever is left."""
    found = list(signature(function).parameters.items())[1:]
    return {name: each for name, each in found if each.kind not in _STARS}


# -------------------------------------------------------------------------------------------------- who is asked


@dataclass(slots=True)
class _Asked:
    """The language model while a program is compiled: which one, in which way, and what became of its requests."""

    lm: Any
    session: Session | SyncSession | None
    through: str
    on_progress: OnProgress | None
    requests: int = 0
    failed: int = 0
    model: SessionModel | None = None
    where: list[str] = field(default_factory=list)

    @contextmanager
    def context(self) -> Iterator[Any]:
        """A context of DSPy in which the language model is asked; gives it, None where the program has its own."""
        import dspy

        lm = self._found(dspy)
        callbacks = [*dspy.settings.callbacks, _counter(self)]
        with dspy.context(callbacks=callbacks, **({} if lm is None else {"lm": lm})):
            try:
                yield lm
            except Exception as raised:
                if self.model is not None and self.model.refused is not None:
                    raise self.model.refused from raised
                raise

    def require_answers(self) -> None:
        """Raise the error with which a call was refused: what came of it is no result of the optimizer."""
        if self.model is not None and self.model.refused is not None:
            raise self.model.refused

    def told(self, *, failed: bool) -> None:
        """Count a request that has ended."""
        self.requests += 1
        self.failed += failed
        if self.on_progress is not None:
            self.on_progress(self.requests, None)

    def _found(self, dspy: Any) -> Any:
        from altar.ai.lm.configure import current, language_model
        from altar.ai.lm.engine import dspy_lm

        if self.session is not None and configured().distributed_optimization:
            self.model = SessionModel(self.session, self.through, stops=True)
            here = self.session.underneath if isinstance(self.session, SyncSession) else self.session
            self.where = [str(here.asker.options.source), self.model.digest]
            return dspy_lm(self.model)
        if isinstance(self.lm, str):
            return language_model(self.lm)
        found = self.lm if self.lm is not None else dspy.settings.lm or current()
        if found is None:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                "There is no language model to compile or evaluate with",
                ran="no",
                hint="give one: lm=…, or set `ai.lm` and open a session",
            )
        return found


def _counter(asked: _Asked) -> Any:
    """A callback of DSPy that tells each request that has ended."""
    from dspy.utils.callback import BaseCallback

    class Counter(BaseCallback):
        def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
            asked.told(failed=exception is not None)

    return Counter()


# ----------------------------------------------------------------------------------------------------- what is kept


def _wanted(*, cache: bool | None) -> bool:
    return configured().cache_compiled_programs if cache is None else cache


def _store() -> CompiledPrograms | None:
    directory = configured().compiled_programs
    return None if directory is None else CompiledPrograms(directory)


def _key(program: Any, examples: list[Any], metric: Any, chosen: _Chosen, model: Any, asked: _Asked) -> tuple[str, str]:
    """The key of a compilation, and why it has none."""
    import dspy

    from altar import __version__

    adapter = dspy.settings.adapter
    versions = [dspy.__version__, __version__, sys.implementation.cache_tag]
    settings = configured()
    try:
        key = key_of(
            program=program,
            trainset=examples,
            metric=metric,
            optimizer=chosen.parts,
            lm=[model, asked.where],
            adapter=adapter,
            versions=versions,
            answers=[settings.result_validation, settings.retry_on_validation_error],
        )
    except (Untold, AltarError) as untold:
        return "", f"something that decides about the result cannot be told: {untold}"
    return key, ""


def _kept(store: CompiledPrograms, key: str, made: Any, program: Any, asked: _Asked) -> str:
    """Keep a compiled program; why it is not kept, "" when it is."""
    if asked.failed:
        return f"{asked.failed} requests to the language model failed"
    if not is_only_state(made, program):
        return "its optimizer changes more than its instructions and demonstrations"
    try:
        return "" if store.keep(made, key) else "it could not be written"
    except AltarError as unfit:
        return f"its state cannot be told: {unfit.message}"


def _as_compiled(made: Any, program: Any) -> Any:
    """The compiled program, whose predictors ask whom they asked before: optimizers forget that, or do not."""
    before = dict(program.named_parameters()) if isinstance(made, type(program)) else {}
    for place, each in made.named_parameters() if before else ():
        if each.lm is None and place in before:
            each.lm = before[place].lm
    made._compiled = True  # noqa: SLF001 - as an optimizer of DSPy marks what it made
    return made


def _wrong(message: str, hint: str) -> ValidationError:
    return ValidationError("INVALID_TOOL_ARGS", message, ran="no", hint=hint)
