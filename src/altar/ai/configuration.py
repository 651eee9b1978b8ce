"""What programs, pipelines and agents of this process do where nobody says otherwise: the settings ``[ai]``.

:func:`configured` is read by the parts of ``altar.ai`` that one of these values changes.
The edges of ALTAR, ``altar.session()`` and the command line, call :func:`settle` with what the settings say.
A program may say otherwise with :func:`configure`, which counts more than the settings, whenever those are read.
"""

from __future__ import annotations

import difflib
import math
import threading
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, Literal, get_args

from altar.adm.errors import ConfigurationError

__all__ = ["Configuration", "Framework", "adopt", "configure", "configured", "settle"]

Framework = Literal["auto", "dspy", "pydantic_ai"]
"""What an agent is made with; ``auto`` takes what fits it among those that are installed."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """What can be set, each with what it is when nobody sets it.

    ``default_framework``: what an agent is made with that names no framework.
    ``default_optimizer``: the optimizer of DSPy that :func:`altar.ai.compiled` takes when none is given.
    ``cache_compiled_programs``: a program that was compiled before with the same data is read, and not compiled again.
    ``distributed_optimization``: where a session is given, the requests to a language model that compiling and
    evaluating cause are calls of a tool in that session.
    ``auto_register_modules``: a module of Python that is loaded for its tools gives its DSPy programs as tools too.
    ``pipeline_timeout``: seconds that a pipeline may take which says nothing itself.
    ``result_validation``: an answer of a language model that does not fit the output fields is an error there.
    ``retry_on_validation_error``: a model whose answer does not fit is asked once more, with what was wrong.
    ``compiled_programs``: the directory of compiled programs; without one none is kept.
    """

    default_framework: Framework = "auto"
    default_optimizer: str = "BootstrapFewShot"
    cache_compiled_programs: bool = True
    distributed_optimization: bool = False
    auto_register_modules: bool = False
    pipeline_timeout: float = 300.0
    result_validation: bool = True
    retry_on_validation_error: bool = True
    compiled_programs: Path | None = None

    def __post_init__(self) -> None:
        """Raise ConfigurationError INVALID_CONFIG for a value that is none of those that are possible."""
        for name in _SWITCHES:
            if not isinstance(getattr(self, name), bool):
                raise _unfit(name, getattr(self, name), "it is True or False")
        if self.default_framework not in get_args(Framework):
            raise _unfit("default_framework", self.default_framework, f"it is one of {_listed(get_args(Framework))}")
        optimizer: Any = self.default_optimizer
        if not (isinstance(optimizer, str) and 0 < len(optimizer) <= _LONGEST):
            raise _unfit("default_optimizer", optimizer, "it is the name of an optimizer of DSPy")
        seconds: Any = self.pipeline_timeout
        if isinstance(seconds, bool) or not isinstance(seconds, int | float):
            raise _unfit("pipeline_timeout", seconds, "it is a number of seconds")
        if not (math.isfinite(seconds) and seconds > 0):
            raise _unfit("pipeline_timeout", seconds, "it is a number of seconds above zero")
        directory: Any = self.compiled_programs
        if not (directory is None or isinstance(directory, Path)):
            raise _unfit("compiled_programs", directory, "it is a pathlib.Path, or None")


_SWITCHES: Final = (
    "cache_compiled_programs",
    "distributed_optimization",
    "auto_register_modules",
    "result_validation",
    "retry_on_validation_error",
)
_LONGEST: Final = 200


def configured() -> Configuration:
    """The configuration of this process: what the program says, else what the settings say, else the defaults."""
    return _HELD.configuration


def configure(**changes: Any) -> None:
    """Say, as the program that runs, what these values are; the settings say the others.

    It counts for what begins afterwards, also when a session is opened and the settings are read again.
    Raises ConfigurationError INVALID_CONFIG for a name that does not exist and a value that is not possible; then
    nothing has changed.
    """
    with _HELD.lock:
        _HELD.put(settled=_HELD.settled, said={**_HELD.said, **_known(changes)})


def settle(**values: Any) -> None:
    """Take what the settings say, in place of what they said before; what is not among them has its default.

    Raises as :func:`configure` does.
    """
    with _HELD.lock:
        _HELD.put(settled=_known(values), said=_HELD.said)


def adopt(**values: Any) -> None:
    """Be configured as another process is: nothing that was said here counts any more.

    Raises as :func:`configure` does.
    """
    with _HELD.lock:
        _HELD.put(settled=_known(values), said={})


class _Held:
    """The configuration of this process, and the two that it is made of."""

    def __init__(self) -> None:
        self.settled: dict[str, Any] = {}
        self.said: dict[str, Any] = {}
        self.configuration = Configuration()
        self.lock = threading.Lock()

    def put(self, *, settled: dict[str, Any], said: dict[str, Any]) -> None:
        made = Configuration(**{**settled, **said})
        self.settled, self.said, self.configuration = settled, said, made


_HELD = _Held()


def _known(values: dict[str, Any]) -> dict[str, Any]:
    known = [field.name for field in fields(Configuration)]
    for name in values:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it is one of {_listed(known)}"
            raise ConfigurationError("INVALID_CONFIG", f"There is no setting {name[:100]!r} of `ai`", hint=hint)
    return values


def _unfit(name: str, value: object, what: str) -> ConfigurationError:
    shown = repr(value)
    shown = shown if len(shown) <= 100 else shown[:99] + "…"
    return ConfigurationError("INVALID_CONFIG", f"`ai.{name}` cannot be {shown}", hint=what)


def _listed(names: Any) -> str:
    return ", ".join(repr(name) for name in names)
