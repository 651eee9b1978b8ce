"""Settings of language models, and of the programs, pipelines and agents that ask them.

Which model programs ask that were given no other, how it is reached, and what they do where nobody says otherwise.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from altar.adm.errors import ConfigurationError
from altar.settings.sections import Count, Seconds, Section

if TYPE_CHECKING:
    from altar.ai.lm.configure import Choice, LMOptions

__all__ = ["Ai", "lm_options", "use_ai_configuration", "use_in_session", "use_language_model", "weights_directory"]


class Ai(Section):
    """Which language model programs of this process ask, and how; what programs, pipelines and agents do by default."""

    lm: str = Field(
        default="",
        pattern=r"^\S*$",
        max_length=512,
        description="Language model of programs that were given no other: `local`, `scripted:<file>`,"
        " `recorded:<file>`, or provider and model such as `openai/gpt-4.1-mini`; none without it.",
    )
    key_file: Path | None = Field(
        default=None,
        description="File of the API key of that model; else it is taken from the environment, under the name that the"
        " provider gives it.",
    )
    base_url: str = Field(
        default="",
        pattern=r"^(https?://[^/?#@\s]+(/[^?#@\s]*)?)?$",
        description="Address of that model, where it is not its provider's; for `local`, of one that runs already.",
    )
    timeout: Seconds = Field(default=120, description="Seconds that one request to it may take.")
    retries: int = Field(default=3, ge=0, le=20, description="How often a request is repeated that failed on the way.")
    weights: Path | None = Field(
        default=None,
        description="Directory of the weights of local models; else `altar/weights` in the user's cache.",
    )
    local_context: Count = Field(
        default=4096, le=1_048_576, description="Tokens that a request to a local model and its answer may have."
    )
    local_threads: Count = Field(default=2, le=1024, description="Threads that compute for a local model.")
    local_parallel: Count = Field(default=1, le=64, description="Requests that a local model works on at a time.")
    default_framework: Literal["auto", "dspy", "pydantic_ai"] = Field(
        default="auto",
        description="What an agent is made with that names no framework; `auto` takes what fits it of those that are"
        " installed.",
    )
    default_optimizer: str = Field(
        default="BootstrapFewShot",
        min_length=1,
        max_length=200,
        description="Optimizer of DSPy that `altar.ai.compiled` takes when none is given; `altar dspy discover --kind"
        " optimizer` lists them.",
    )
    cache_compiled_programs: bool = Field(
        default=True,
        description="Read a program that was compiled before with the same data, metric, optimizer and language model,"
        " and ask nobody.",
    )
    distributed_optimization: bool = Field(
        default=False,
        description="Let `altar.ai.compiled` and `altar.ai.evaluated` ask the language model by calls of a tool of the"
        " session that they are given: decided, counted and recorded one by one. Off because a session that"
        " is given for other reasons need not offer such a tool, and each request then costs a call.",
    )
    auto_register_modules: bool = Field(
        default=False,
        description="Let the command line make tools of the DSPy programs that a module of tools holds and has made no"
        " tools of. Off because a name in a module is no promise: a contract that others rely on is declared.",
    )
    pipeline_timeout: Seconds = Field(default=300, description="Seconds that a pipeline may take which sets no limit.")
    result_validation: bool = Field(
        default=True,
        description="Refuse an answer of a language model whose fields do not fit their types, in programs and agents."
        " Without it they are passed on as they are, and missing ones as null; what a tool promises in its contract"
        " is checked all the same.",
    )
    retry_on_validation_error: bool = Field(
        default=True, description="Ask a language model once more whose answer did not fit, and tell it what was wrong."
    )
    compiled_programs: Path | None = Field(
        default=None,
        description="Directory of compiled programs; else `altar/compiled` in the user's cache.",
    )


def weights_directory(settings: Ai, environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of weights: as set, else in `XDG_CACHE_HOME` or `~/.cache` (XDG Base Directory Specification)."""
    if settings.weights is not None:
        return settings.weights
    caches = _caches(environ)
    if caches is None:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR", "There is no home directory to keep weights in", hint="set `ai.weights`"
        )
    return caches / "weights"


def lm_options(settings: Ai) -> LMOptions:
    """How the language model is reached, as the library takes it.

    Weights that are missing are not fetched behind somebody's back, in the middle of a call: the error says how.
    """
    from altar.ai.lm.configure import LMOptions
    from altar.ai.lm.keys import KeyInFile

    return LMOptions(
        key=None if settings.key_file is None else KeyInFile(settings.key_file),
        base_url=settings.base_url,
        timeout=settings.timeout,
        retries=settings.retries,
        directory=weights_directory(settings) if settings.lm.partition(":")[0] == "local" else None,
        fetching=False,
        context=settings.local_context,
        threads=settings.local_threads,
        parallel=settings.local_parallel,
    )


def use_language_model(settings: Ai) -> None:
    """Let the programs of this process ask the language model that is set, and do what else is set for them.

    Nothing is loaded when no model is set.
    """
    use_ai_configuration(settings)
    if settings.lm:
        from altar.ai.lm.configure import use

        use(settings.lm, lm_options(settings))


def use_in_session(settings: Ai) -> Choice | None:
    """The language model that the calls of a session are to ask which is opened with these settings; None without one.

    What else is set counts for this process, as with :func:`use_language_model`; nothing is loaded when no model is
    set and none was.
    """
    use_ai_configuration(settings)
    if not settings.lm and "altar.ai.lm.configure" not in sys.modules:
        return None
    from altar.ai.lm.configure import use_in_session as use

    return use(settings.lm, lm_options(settings))


def use_ai_configuration(settings: Ai, environ: Mapping[str, str] = os.environ) -> None:
    """Let the programs, pipelines and agents of this process do what is set; no framework is loaded for that.

    Isolated tools, which run in child processes, are told the same.
    """
    from altar.ai.carried import carry_to_children
    from altar.ai.configuration import settle

    values = {name: getattr(settings, name) for name in _CONFIGURED}
    if settings.compiled_programs is None:
        caches = _caches(environ)
        values["compiled_programs"] = None if caches is None else caches / "compiled"
    settle(**values)
    carry_to_children()


_CONFIGURED: Final = (
    "default_framework",
    "default_optimizer",
    "cache_compiled_programs",
    "distributed_optimization",
    "auto_register_modules",
    "pipeline_timeout",
    "result_validation",
    "retry_on_validation_error",
    "compiled_programs",
)
"""The settings that `altar.ai.configuration` holds for this process, under the same names."""


def _caches(environ: Mapping[str, str]) -> Path | None:
    """Where ALTAR keeps what can be made again, or None without a home directory."""
    said = environ.get("XDG_CACHE_HOME", "")
    if not Path(said).is_absolute():
        try:
            said = str(Path.home() / ".cache")
        except RuntimeError:
            return None
    return Path(said) / "altar"
