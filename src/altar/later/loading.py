"""Tools from where they are declared: a module by its name or file, or an installed package that offers some.

Importing a module registers what it declares; here is what to do about modules that cannot be imported, that have been
imported before, or that a package names in the entry-point group ``altar.tools``.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from altar.adm.errors import AltarError, ConfigurationError
from altar.adm.ranges import Version
from altar.later.extras import extra_of, missing_extra
from altar.later.registry import REGISTRY
from altar.later.tool import ToolFunction

__all__ = ["GROUP", "held_by", "load_module", "load_tools"]

GROUP = "altar.tools"
"""Entry points of this group name a module that declares tools, or an attribute of one.

The attribute is a tool, a list of tools, or a function without parameters that returns either.
"""

Tools = list[ToolFunction[..., Any]]


def load_tools(*modules: str, installed: bool = False) -> Tools:
    """Import modules and return the tools they declare, by name; the registry of this process has them then.

    A module is named as Python imports it (``shop.tools``) or by its file (``tools/prices.py``).
    With ``installed`` the tools that installed packages offer in the entry-point group ``altar.tools`` come with them.
    A tool that was registered and forgotten since is registered again.
    Raises ConfigurationError INVALID_CONFIG for a module that does not exist or fails on import, and for a package
    that does not hold what it offers, ENVIRONMENT_ERROR, with the install line, for a module that imports what an extra
    installs; a wrong declaration passes through as it was raised.
    """
    found = [tool for module in modules for tool in _declared_in(sys.modules[load_module(module)])]
    if installed:
        # an editable install and its working tree may both tell of one entry point
        offers = {(entry.name, entry.value): entry for entry in entry_points(group=GROUP)}
        found += [tool for _, entry in sorted(offers.items()) for tool in _offered(entry)]
    unique = {id(tool): tool for tool in found}.values()
    newest_first = sorted(unique, key=lambda tool: Version.parse(tool.version), reverse=True)
    return sorted(newest_first, key=lambda tool: tool.name)


def load_module(module: str) -> str:
    """Import a module by name or by file, and return its name.

    The directory of a file becomes importable, so that it can import its neighbours.
    Raises as :func:`load_tools` does.
    """
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
    extra = extra_of(error)
    if extra:
        return missing_extra(extra, what=f"The module {module!r}")
    return ConfigurationError(
        "INVALID_CONFIG",
        f"Cannot import {module!r}: {type(error).__name__}: {error}",
        hint=f"raised at {_place(error) or module}",
    )


def _place(error: BaseException) -> str:
    """The line that failed, most often one of the user's own: that of the innermost frame."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else ""


# ------------------------------------------------------------------------------------------- what a module declares


def _declared_in(module: ModuleType) -> Tools:
    """The tools of a module, of those below it, and those it has from elsewhere by import."""
    held = set(map(id, held_by(module)))
    found = [tool for tool in REGISTRY.ever() if id(tool) in held or _is_below(tool, module.__name__)]
    return _registered(found)


def held_by(module: ModuleType) -> Tools:
    """The tools that the variables of a module hold: each a tool, or a plain list of them, such as a toolkit's."""
    values = list(vars(module).values())
    listed = [one for value in values for one in (value if isinstance(value, list | tuple) else [value])]
    return [one for one in listed if isinstance(one, ToolFunction)]


def _is_below(tool: ToolFunction[..., Any], module: str) -> bool:
    home = tool.function.__module__
    return home == module or home.startswith(module + ".")


def _registered(tools: Tools) -> Tools:
    for tool in tools:
        if REGISTRY.get(tool.name, tool.version) is not tool:
            REGISTRY.register(tool)
    return tools


# ------------------------------------------------------------------------------------------------ what a package offers


def _offered(entry: EntryPoint) -> Tools:
    """The tools behind one entry point; its package is named in whatever goes wrong."""
    try:
        held = entry.load()
        if isinstance(held, ModuleType):
            return _declared_in(held)
        if callable(held) and not isinstance(held, ToolFunction):
            held = held()
        tools = [held] if isinstance(held, ToolFunction) or not isinstance(held, Iterable) else list(held)
        strange = [type(tool).__name__ for tool in tools if not isinstance(tool, ToolFunction)]
        if not strange:
            return _registered(tools)
    except Exception as error:
        reason = error.message if isinstance(error, AltarError) else error
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"{_package(entry)} offers tools at {entry.value!r}, which cannot be loaded: "
            f"{type(error).__name__}: {reason}",
            hint=_install(error) or f"raised at {_place(error)}; mend or uninstall the package",
        ) from error
    raise ConfigurationError(
        "INVALID_CONFIG",
        f"{_package(entry)} offers tools at {entry.value!r}, where there is a {strange[0]!r}",
        hint=f"an entry point of group {GROUP!r} names a module, a tool, or a function that returns tools",
    )


def _install(error: Exception) -> str:
    extra = extra_of(error)
    return f'pip install "altar-ai[{extra}]"' if extra else ""


def _package(entry: EntryPoint) -> str:
    return f"The package {entry.dist.name!r}" if entry.dist is not None else f"The entry point {entry.name!r}"
