"""Which language model: a few words become a ``dspy.LM``, and one of them is that of this process.

    "local"                     the small model on this machine, started when it is first needed
    "local:/models/some.gguf"   another one, by its file
    "scripted:answers.json"     answers from a file, for tests
    "recorded:exchange.jsonl"   answers as a real one gave them once
    "openai/gpt-4.1-mini"       provider and model, as DSPy writes them

A key is never among those words: it comes from the environment of the process that asks the model, where DSPy finds it
under the provider's own name, or from a function that gives it.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from altar.adm.errors import ConfigurationError
from altar.ai.lm.local import LocalLM, local_lm, registered_lm
from altar.ai.lm.recorded import RecordedLM
from altar.ai.lm.scripted import ScriptedLM
from altar.ai.lm.weights import DEFAULT, Progress
from altar.later.extras import loaded

if TYPE_CHECKING:
    from altar.later.context import ToolContext

__all__ = [
    "Choice",
    "LMOptions",
    "SecretSource",
    "chosen",
    "chosen_here",
    "chosen_in",
    "current",
    "current_in",
    "language_model",
    "local_address",
    "made_of",
    "started_for",
    "use",
    "use_in_session",
]

SecretSource = Callable[[], str]
"""Gives a secret when it is needed; what it gives is kept in no contract, log or text."""


@dataclass(frozen=True, slots=True)
class LMOptions:
    """How a language model is reached.

    ``key`` gives its API key; without it DSPy looks into the environment.
    ``base_url`` is another address than the provider's, or that of a local model which runs already.
    ``timeout`` is in seconds for one request, ``retries`` how often a failed one is tried again.
    ``directory`` holds the weights of local models, ``fetching`` lets missing ones be fetched, and ``progress`` is told
    how far that is. ``context`` (tokens), ``threads`` and ``parallel`` (requests at a time) are those of a local model.
    """

    key: SecretSource | None = field(default=None, repr=False)
    base_url: str = ""
    timeout: float | None = None
    retries: int = 3
    directory: Path | None = None
    fetching: bool = True
    progress: Progress | None = None
    context: int = 4096
    threads: int = 2
    parallel: int = 1


def language_model(spec: str, options: LMOptions | None = None, **settings: Any) -> Any:
    """The ``dspy.LM`` that the words stand for; ``settings`` are those of ``dspy.LM``, such as ``temperature``.

    Without ``options``, those that :func:`use` was given apply. A local model is started once for each process, and
    ends with it.
    Raises ConfigurationError: INVALID_CONFIG for words that stand for nothing, a key among them, or a file that cannot
    be read, ENVIRONMENT_ERROR for a missing extra or missing weights.
    """
    options = options or (_CHOSEN.of_session or _CHOSEN.said or Choice("")).options
    kind, _, rest = spec.partition(":")
    if kind == "local" and "/" not in kind:
        return _local(rest, options, settings)
    if kind == "scripted" and rest:
        return ScriptedLM.from_file(rest).dspy(**settings)
    if kind == "recorded" and rest:
        return RecordedLM(rest).dspy(**settings)
    provider, _, model = spec.partition("/")
    if not provider or not model or any(letter.isspace() for letter in spec):
        raise _no_model(spec)
    if any("key" in name.lower() or "token" in name.lower() for name in settings if name not in _COUNTS):
        raise ConfigurationError(
            "INVALID_CONFIG", "A key is no setting of a language model", hint="give LMOptions(key=function)"
        )
    dspy = loaded("dspy", extra="dspy", what="A language model for DSPy")
    if options.key is not None:
        settings["api_key"] = options.key()
    if options.base_url:
        settings["api_base"] = options.base_url
    if options.timeout is not None:
        settings.setdefault("timeout", options.timeout)
    return dspy.LM(spec, num_retries=options.retries, **settings)


_COUNTS = frozenset({"max_tokens", "max_completion_tokens", "max_output_tokens"})
"""Settings of tokens that are counted, and no secret."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A language model by the words that :func:`language_model` takes, and how it is reached."""

    spec: str
    options: LMOptions = field(default_factory=LMOptions)
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False, repr=False)  # such as headers, with a secret


def use(spec: str, options: LMOptions | None = None, **settings: Any) -> None:
    """Let this be the language model of this process, for every program that was given no other; "" for none.

    Nothing is loaded or started before it is needed, and nothing happens when it is that one already.
    A program with a command of its own, such as a runtime, calls it with the settings ``[ai]``.
    """
    said = Choice(spec, options or LMOptions(), settings) if spec else None
    with _CHOSEN.lock:
        _CHOSEN.said, _CHOSEN.of_session = said, None
        _CHOSEN.made = {choice: made for choice, made in _CHOSEN.made.items() if choice == said}


def use_in_session(spec: str, options: LMOptions | None = None) -> Choice | None:
    """The language model of a session that is being opened: what its calls are to ask, None for that of the process.

    What is outside of calls, such as an agent, asks that of the session which was opened last; one that names none
    leaves it to what :func:`use` said.
    """
    with _CHOSEN.lock:
        _CHOSEN.of_session = Choice(spec, options or LMOptions()) if spec else None
        return _CHOSEN.of_session


def current() -> Any:
    """The language model for what is no call of a session: see :func:`use_in_session`; None where nobody named one.

    It is made when it is first asked for.
    """
    return _made(chosen_here())


def current_in(context: ToolContext) -> Any:
    """The language model for a call: that of its session, else what :func:`use` said, else None."""
    return _made(context.language_model or _CHOSEN.said)


def chosen() -> tuple[str, LMOptions]:
    """The words for the language model that :func:`current` gives, "" for none, and how models are reached."""
    choice = _CHOSEN.of_session or _CHOSEN.said or Choice("")
    return choice.spec, choice.options


def chosen_in(own: Choice | None) -> Choice | None:
    """The language model for what is done in a session: its ``own``, else what :func:`use` said, else None."""
    return own or _CHOSEN.said


def chosen_here() -> Choice | None:
    """The language model that :func:`current` gives, as it was chosen."""
    return _CHOSEN.of_session or _CHOSEN.said


def made_of(choice: Choice | None) -> Any:
    """The ``dspy.LM`` of a choice, made once; None for None."""
    return _made(choice)


def started_for(choice: Choice) -> tuple[str, str] | None:
    """Address and key of the local model that this process has started for a choice and that still runs, else None."""
    kind, _, rest = choice.spec.partition(":")
    if kind != "local" or choice.options.base_url:
        return None
    known = _CHOSEN.started.get(_identity(rest or DEFAULT, choice.options))
    return None if known is None or not known.alive else (known.base_url, known.api_key)


def local_address(weights: str, options: LMOptions) -> tuple[str, str, str]:
    """Name, address and key of the model on this machine, which is started if need be; DSPy is not loaded.

    Raises ConfigurationError as :func:`language_model` does.
    """
    name = weights or DEFAULT
    if options.base_url:
        return name, options.base_url, "" if options.key is None else options.key()
    _require_directory(options)
    lm = _started(name, options)
    return lm.name, lm.base_url, lm.api_key


@dataclass(slots=True)
class _Chosen:
    """The language models of this process: which it was told, those that were made of it, and those it has started."""

    said: Choice | None = None
    of_session: Choice | None = None
    made: dict[Choice, Any] = field(default_factory=dict)
    started: dict[tuple[Any, ...], LocalLM] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)


_CHOSEN = _Chosen()
_MOST_MADE: Final = 32


def _made(choice: Choice | None) -> Any:
    """What the words stand for, made once; a local model is started again when it has ended."""
    if choice is None:
        return None
    with _CHOSEN.lock:
        made = _CHOSEN.made.get(choice)
        ended = choice.spec.partition(":")[0] == "local" and any(not one.alive for one in _CHOSEN.started.values())
        if made is None or ended:
            made = language_model(choice.spec, choice.options, **choice.settings)
            if len(_CHOSEN.made) >= _MOST_MADE:
                _CHOSEN.made.clear()
            _CHOSEN.made[choice] = made
        return made


def _local(rest: str, options: LMOptions, settings: dict[str, Any]) -> Any:
    # A model on this machine needs no network; DSPy would look there for its price, for five seconds.
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "true")
    if options.timeout is not None:
        settings.setdefault("timeout", options.timeout)
    settings.setdefault("num_retries", options.retries)
    if options.base_url:
        key = "" if options.key is None else options.key()
        return registered_lm(rest or DEFAULT, base_url=options.base_url, api_key=key, **settings)
    _require_directory(options)
    return _started(rest or DEFAULT, options).dspy(**settings)


def _require_directory(options: LMOptions) -> None:
    if options.directory is None:
        raise ConfigurationError(
            "INVALID_CONFIG", "A local language model needs a directory for its weights", hint="set `ai.weights`"
        )


def _started(weights: str, options: LMOptions) -> LocalLM:
    """The local model of this process with these options, which is started once."""
    identity = _identity(weights, options)
    with _CHOSEN.lock:
        known = _CHOSEN.started.get(identity)
        if known is None or not known.alive:
            lm = local_lm(
                weights,
                directory=options.directory or Path(),
                fetching=options.fetching,
                progress=options.progress,
                context=options.context,
                threads=options.threads,
                parallel=options.parallel,
            )
            atexit.register(lm.close)
            _CHOSEN.started[identity] = lm
        return _CHOSEN.started[identity]


def _identity(weights: str, options: LMOptions) -> tuple[Any, ...]:
    """What tells one local model of this process from another."""
    return weights, options.context, options.threads, options.parallel, os.getpid()


def _no_model(spec: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG",
        f"{spec[:100]!r} names no language model",
        hint="write 'local', 'scripted:<file>', 'recorded:<file>' or '<provider>/<model>'",
    )
