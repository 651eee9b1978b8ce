"""Settings of language models: which one programs ask that were given no other, and how it is reached."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from altar.adm.errors import ConfigurationError
from altar.settings.sections import Count, Seconds, Section

if TYPE_CHECKING:
    from altar.ai.lm.configure import LMOptions

__all__ = ["Ai", "lm_options", "use_language_model", "weights_directory"]


class Ai(Section):
    """Which language model programs of this process ask, and how."""

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


def weights_directory(settings: Ai, environ: Mapping[str, str] = os.environ) -> Path:
    """The directory of weights: as set, else in `XDG_CACHE_HOME` or `~/.cache` (XDG Base Directory Specification)."""
    if settings.weights is not None:
        return settings.weights
    said = environ.get("XDG_CACHE_HOME", "")
    if not Path(said).is_absolute():
        try:
            said = str(Path.home() / ".cache")
        except RuntimeError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR", "There is no home directory to keep weights in", hint="set `ai.weights`"
            ) from error
    return Path(said) / "altar" / "weights"


def lm_options(settings: Ai) -> LMOptions:
    """How the language model is reached, as the library takes it.

    Weights that are missing are not fetched behind somebody's back, in the middle of a call: the error says how.
    """
    from altar.ai.lm.configure import LMOptions

    return LMOptions(
        key=None if settings.key_file is None else _KeyIn(settings.key_file),
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
    """Let the programs of this process ask the language model that is set; nothing is loaded when none is."""
    if settings.lm:
        from altar.ai.lm.configure import use

        use(settings.lm, lm_options(settings))


@dataclass(frozen=True, slots=True)
class _KeyIn:
    """Reads a key when it is needed; two of the same file are the same."""

    path: Path

    def __call__(self) -> str:
        try:
            held = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The key in {str(self.path)!r} cannot be read",
                hint="look at the setting `ai.key_file`",
            ) from error
        if not held:
            raise ConfigurationError(
                "INVALID_CONFIG", f"The file {str(self.path)!r} holds no key", hint="look at the setting `ai.key_file`"
            )
        return held
