"""Compiling a program of DSPy, and evaluating one: as configured, and not twice with the same things.

A program, examples and a metric come in, a program of the same shape goes out that an optimizer of DSPy has improved.
The optimizer is DSPy's own, unchanged; what is here says which one, which language model it asks and in which way, and
whether the same compilation has been done before.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from altar.adm.errors import AltarError, ConfigurationError, ValidationError
from altar.ai.compiled_programs import CompiledPrograms, is_only_state, key_of
from altar.ai.configuration import configured
from altar.ai.fingerprints import Untold
from altar.ai.lm.as_tool import LM_TOOL, SessionModel
from altar.ai.optimizers import Chosen, choose
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
    One that is a language model, such as ``prompt_model`` or ``reflection_lm``, may be given as ``lm`` is.
    ``lm`` is the language model: a ``dspy.LM``, or what :func:`altar.ai.language_model` takes; without it, that of
    ``dspy.context``, else that of the process.
    With ``session`` and ``ai.distributed_optimization`` each request to it is a call of the tool ``through`` in that
    session; a call that is refused there ends the compilation with that error. An option that is a language model then
    names a tool of the session too, and a model that would be asked past the session is refused.
    ``cache`` says whether a program that was compiled with the same things is read, and this one kept; without it, as
    configured. Nothing is kept of a compilation in which a request failed.
    ``on_progress`` is told how far it is, in whichever thread that happens.
    It waits: in a coroutine, say ``await asyncio.to_thread(compilation, …)``.
    Raises ValidationError UNKNOWN_RESOURCE for an optimizer that DSPy does not have, INVALID_TOOL_ARGS for an option
    that it does not take or what it refuses itself, ConfigurationError ENVIRONMENT_ERROR for a package that it misses.
    """
    dspy = loaded("dspy", extra="dspy", what=_WHAT)
    if not isinstance(program, dspy.Module):
        raise _wrong(f"A value of the type {type(program).__name__!r} is no program of DSPy", "give a dspy.Module")
    examples = list(trainset)
    chosen = choose(optimizer, {**options, "trainset": examples, "metric": metric})
    asked = _Asked(lm, session, through, on_progress)
    with asked.context() as model:
        teachers = options.get("teacher")
        asked.require_governed(program, *(teachers if isinstance(teachers, list | tuple) else [teachers]))
        chosen = chosen.asking(model, asked.model_of)
        key, reason = "", "not wanted"
        if _wanted(cache=cache):
            key, reason = _key(program, examples, metric, chosen, model)
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
        asked.require_governed(program)
        result = dspy.Evaluate(devset=list(devset), metric=metric, **options)(program)
        asked.require_answers()
    return result


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
    asking: list[tuple[SessionModel, AltarError | None]] = field(default_factory=list)
    counting: threading.RLock = field(default_factory=threading.RLock)

    @property
    def is_distributed(self) -> bool:
        """Whether every request is to be a call of the session."""
        return self.session is not None and configured().distributed_optimization

    @contextmanager
    def context(self) -> Iterator[Any]:
        """A context of DSPy in which the language model is asked; gives that."""
        import dspy

        lm = self._found(dspy)
        callbacks = [*dspy.settings.callbacks, _counter(self)]
        with dspy.context(callbacks=callbacks, lm=lm):
            try:
                yield lm
            except Exception as raised:
                if (refused := self._refused()) is not None:
                    raise refused from raised
                raise

    def require_answers(self) -> None:
        """Raise the error with which a call was refused: what came of it is no result of the optimizer."""
        if (refused := self._refused()) is not None:
            raise refused

    def require_governed(self, *programs: Any) -> None:
        """Raise INVALID_TOOL_ARGS for a predictor that would ask its own language model past the session."""
        looked_at = [each for each in programs if self.is_distributed and hasattr(each, "named_predictors")]
        for program in looked_at:
            for name, predictor in program.named_predictors():
                if predictor.lm is not None and _session_model(predictor.lm) is None:
                    raise _past_the_session(f"The predictor {name[:100]!r} has a language model of its own")

    def model_of(self, option: str, value: Any) -> Any:
        """The ``dspy.LM`` for an option of an optimizer that is one."""
        from altar.ai.lm.configure import language_model
        from altar.ai.lm.engine import dspy_lm

        if isinstance(value, str):
            return dspy_lm(self._through(value)) if self.is_distributed else language_model(value)
        if (model := _session_model(value)) is not None:
            self.asking.append((model, model.refused))
        elif self.is_distributed:
            raise _past_the_session(f"The option {option!r} is a language model of this process")
        return value

    def told(self, *, answers: int, failed: bool) -> None:
        """Count requests that have ended; several threads do so at once."""
        with self.counting:
            self.requests += answers
            self.failed += failed
            if self.on_progress is not None:
                self.on_progress(self.requests, None)

    def _found(self, dspy: Any) -> Any:
        from altar.ai.lm.configure import current, language_model
        from altar.ai.lm.engine import dspy_lm

        if self.is_distributed:
            return dspy_lm(self._through(self.through))
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
        return self.model_of("lm", found)

    def _through(self, tool: str) -> SessionModel:
        """The language model that is a tool of the session; after a refusal it asks no more."""
        session: Any = self.session
        model = SessionModel(session, tool, stops=True)
        self.asking.append((model, None))
        return model

    def _refused(self) -> AltarError | None:
        """The first error that was none of a language model's; one of an earlier use does not count."""
        return next((model.refused for model, before in self.asking if model.refused is not before), None)


def _session_model(lm: Any) -> SessionModel | None:
    """The tool of a session that a ``dspy.LM`` asks, None for one that asks anybody else."""
    model = getattr(getattr(lm, "engine", None), "model", None)
    return model if isinstance(model, SessionModel) else None


def _past_the_session(what: str) -> ValidationError:
    return _wrong(
        f"{what}, which would be asked past the session",
        "give session_lm(session, name) or the name of a tool of it, or turn off `ai.distributed_optimization`",
    )


def _counter(asked: _Asked) -> Any:
    """A callback of DSPy that tells each request that has ended."""
    from dspy.utils.callback import BaseCallback

    class Counter(BaseCallback):
        def on_lm_end(self, call_id: str, outputs: Any, exception: BaseException | None = None) -> None:
            # who wants several answers at once, as COPRO does, causes as many requests
            asked.told(answers=len(outputs) if isinstance(outputs, list) else 1, failed=exception is not None)

    return Counter()


# ----------------------------------------------------------------------------------------------------- what is kept


def _wanted(*, cache: bool | None) -> bool:
    return configured().cache_compiled_programs if cache is None else cache


def _store() -> CompiledPrograms | None:
    directory = configured().compiled_programs
    return None if directory is None else CompiledPrograms(directory)


def _key(program: Any, examples: list[Any], metric: Any, chosen: Chosen, model: Any) -> tuple[str, str]:
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
            lm=model,
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
        if store.keep(made, key):
            return ""
        return "others may write to the directory for it" if store.is_of_others else "it could not be written"
    except OSError:
        return "the directory for it cannot be looked at"
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
