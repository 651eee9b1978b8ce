"""Where a command finds the pipeline that it is given: a file of YAML, or an attribute of a module."""

from __future__ import annotations

import sys
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ConfigurationError
from altar.adm.near import nearest
from altar.cli.tools import load_modules, named_or_set

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from altar.ai.pipelines.definition import Pipeline

__all__ = ["pipeline_named"]


def pipeline_named(
    which: str, modules: Sequence[str], *, check: Callable[[Pipeline], object] | None = None
) -> Pipeline:
    """The pipeline that ``which`` names: ``research.yaml``, ``app:research``, ``app.py:research``, or ``app.py``.

    ``modules`` declare its tools; the functions of a file of YAML are taken from them by their names.
    A module that has one pipeline needs no name of it.
    ``check`` is what looks whether its fields flow, and raises INVALID_PIPELINE; else the contracts known here tell.
    Raises ConfigurationError INVALID_CONFIG for what is no pipeline, and what loading it raises.
    """
    loaded = load_modules(named_or_set(modules))
    if which.endswith((".yaml", ".yml")):
        from altar.ai.pipelines.definition import Pipeline
        from altar.ai.pipelines.yaml_form import read_pipeline

        return read_pipeline(
            _readable(which), functions=_functions(loaded), check=check or Pipeline.check, given_by=_GIVEN_BY
        )
    made = _of_module(which)
    if check is not None:
        check(made)
    return made


def _readable(which: str) -> Path:
    """The path of a file that can be read; raises ConfigurationError INVALID_CONFIG for anything else."""
    path = Path(which)
    if path.exists() and not path.is_file():
        raise ConfigurationError("INVALID_CONFIG", f"{which!r} is no file", hint="name a file of YAML")
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigurationError(
            "INVALID_CONFIG", f"The file {which!r} cannot be read: {error.strerror}", hint="name a file of YAML"
        ) from error
    return path


def _of_module(which: str) -> Pipeline:
    from altar.ai.pipelines.definition import Pipeline

    module, _, name = which.partition(":")
    held = sys.modules[load_modules([module])[0]]
    there = {key: value for key, value in vars(held).items() if isinstance(value, Pipeline)}
    if name in there:
        return there[name]
    if not name and len({id(value) for value in there.values()}) == 1:
        return next(iter(there.values()))
    near = nearest(name, there)
    listed = ", ".join(f"{module}:{key}" for key in sorted(there)[:_SHOWN])
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"The module {module!r} has no pipeline {name!r}" if name else f"Which pipeline of {module!r} is meant?",
        hint=f"did you mean '{module}:{near}'?" if near else (listed and f"one of: {listed}") or _NO_PIPELINE,
    )


def _functions(modules: Sequence[str]) -> dict[str, Callable[..., Any]]:
    """The public functions of modules by their names, and by ``module:name``; of two, the first module's counts.

    A tool may come from anywhere; of the others only those count that the module itself defines: what it imports was
    not meant for texts.
    """
    from altar.later.tool import ToolFunction

    found: dict[str, Callable[..., Any]] = {}
    for module in modules:
        for name, held in vars(sys.modules[module]).items():
            own = isfunction(held) and held.__module__ == module
            if (own or isinstance(held, ToolFunction)) and not name.startswith("_"):
                found.setdefault(name, held)
                found[f"{module}:{name}"] = held
    return found


_SHOWN = 5
_GIVEN_BY = "say which module defines it: --tools MODULE"
_NO_PIPELINE = "a pipeline is made by altar.ai.pipelines.pipeline(...), and held by a variable of the module"
