"""`altar tools`, and how every command finds the tools of a module.

A module is named as Python imports it (`shop.tools`) or by its file (`tools/prices.py`).
Importing it registers what it declares.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import AltarError, ConfigurationError
from altar.cli import output

if TYPE_CHECKING:
    from altar.later.tool import ToolFunction

__all__ = ["load_modules", "module_of", "named_or_set", "tools"]


@click.command()
@click.argument("modules", nargs=-1)
@output.json_option
def tools(*, modules: tuple[str, ...], as_json: bool) -> None:
    """List the tools that MODULES declare; without MODULES, those of the setting `runtime.tools`.

    A module is `package.module` or a path such as `tools/prices.py`.
    """
    from altar.later.registry import REGISTRY

    names = load_modules(named_or_set(modules))
    found = REGISTRY.tools()
    if not found:
        output.warn(
            f"no tools are declared in {', '.join(names)}; put @altar.tool on a function"
            if names
            else "no modules are named; name one, as in `altar tools weather.py`, or set runtime.tools in altar.toml"
        )
    output.data([_members(tool) for tool in found], as_json=as_json, text="\n".join(map(_lines, found)))


def named_or_set(modules: Sequence[str]) -> Sequence[str]:
    """The modules named on the command line, or else those of the setting `runtime.tools`."""
    if modules:
        return modules
    from altar.settings import Settings

    return Settings.load().runtime.tools


def load_modules(modules: Sequence[str]) -> list[str]:
    """Import modules by name or by file, and return their names; what they declare is then registered.

    The working directory is importable, as it is for `python -m`.
    Raises ConfigurationError INVALID_CONFIG for a module that does not exist or that fails on import;
    a wrong declaration inside it passes through as it was raised.
    """
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    return [_load(module) for module in modules]


def module_of(tool: ToolFunction[..., Any]) -> str:
    """The name of the module that defines a tool."""
    return str(tool.function.__module__)


def _load(module: str) -> str:
    try:
        if module.endswith(".py"):
            return _load_file(Path(module))
        importlib.import_module(module)
    except AltarError:
        raise
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"There is no module {module!r}",
                hint="name it as Python imports it, from this directory, or give the path of its .py file",
            ) from error
        raise _broken(module, error) from error
    except Exception as error:
        raise _broken(module, error) from error
    return module


def _load_file(file: Path) -> str:
    if not file.is_file():
        near = difflib.get_close_matches(file.name, [one.name for one in file.parent.glob("*.py")], n=1)
        hint = f"did you mean {str(file.parent / near[0])!r}?" if near else f"paths count from {str(Path.cwd())!r}"
        raise ConfigurationError("INVALID_CONFIG", f"There is no file {str(file)!r}", hint=hint)
    directory = str(file.resolve().parent)
    if directory not in sys.path:
        sys.path.insert(0, directory)
    known = sys.modules.get(file.stem)
    if known is not None:
        origin = getattr(known, "__file__", None)
        if origin is not None and Path(origin).resolve() == file.resolve():
            return file.stem
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"Cannot import {str(file)!r}: another module is already called {file.stem!r}",
            hint="rename the file",
        )
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise ConfigurationError("INVALID_CONFIG", f"Python cannot import {str(file)!r}")
    made = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = made
    try:
        spec.loader.exec_module(made)
    except BaseException:
        del sys.modules[file.stem]
        raise
    return file.stem


def _broken(module: str, error: Exception) -> ConfigurationError:
    # The innermost frame is the line that failed, most often one of the user's own.
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else module
    if isinstance(error, SyntaxError) and error.filename:
        place = f"{error.filename}:{error.lineno}"
    return ConfigurationError(
        "INVALID_CONFIG",
        f"Cannot import {module!r}: {type(error).__name__}: {error}",
        hint=f"raised at {place}",
    )


def _members(tool: ToolFunction[..., Any]) -> dict[str, Any]:
    declaration = tool.declaration
    return {
        "name": declaration.name,
        "version": declaration.version,
        "signature": declaration.signature,
        "module": module_of(tool),
        "digest": declaration.digest,
        "declaration": declaration.to_adm(),
    }


def _lines(tool: ToolFunction[..., Any]) -> str:
    declaration = tool.declaration
    first = declaration.description.strip().split("\n", 1)[0]
    return f"{declaration.signature}\n    {first}"
