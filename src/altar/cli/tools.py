"""`altar tools`, and how every command finds the tools of a module.

A module is named as Python imports it (`shop.tools`) or by its file (`tools/prices.py`).
Importing it registers what it declares.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from altar.adm.errors import ConfigurationError
from altar.cli import output

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.tool import ToolFunction
    from altar.settings import Ai

__all__ = ["load_modules", "module_of", "named_or_set", "tools"]


@click.command()
@click.argument("modules", nargs=-1)
@click.option("--installed", is_flag=True, help="Also the tools that installed packages offer (group `altar.tools`).")
@click.option("--format", "format_name", metavar="NAME", help="Write them in the form of openai, anthropic, mcp, …")
@output.json_option
def tools(*, modules: tuple[str, ...], installed: bool, format_name: str | None, as_json: bool) -> None:
    """List the tools that MODULES declare; without MODULES, those of the setting `runtime.tools`.

    A module is `package.module` or a path such as `tools/prices.py`.
    Every version of a tool is listed, the newest first.
    With `--format`, the newest of each is written as JSON in the form of that name, and what the form cannot
    hold is told on stderr.
    """
    from altar.later.loading import load_tools
    from altar.later.registry import REGISTRY

    names = load_modules(modules if installed else named_or_set(modules))
    if installed:
        load_tools(installed=True)
    found = REGISTRY.tools()
    if not found:
        output.warn(_nothing(names, installed=installed))
    if format_name is not None:
        _write({tool.name: tool.declaration for tool in reversed(found)}.values(), format_name)
        return
    several = {name for name, count in Counter(tool.name for tool in found).items() if count > 1}
    text = "\n".join(_lines(tool, versioned=tool.name in several) for tool in found)
    output.data([_members(tool) for tool in found], as_json=as_json, text=text)


def named_or_set(modules: Sequence[str]) -> Sequence[str]:
    """The modules named on the command line, or else those of the setting `runtime.tools`."""
    if modules:
        return modules
    from altar.settings import Settings

    return Settings.load().runtime.tools


def load_modules(modules: Sequence[str], *, ai: Ai | None = None) -> list[str]:
    """Import modules by name or by file, and return their names; what they declare is then registered.

    So are the DSPy programs that they hold, where `ai.auto_register_modules` is set; `ai` are those settings, which are
    read when they are not given.
    The working directory is importable, as it is for `python -m`.
    Raises as :func:`altar.load_tools` does.
    """
    from altar.later.loading import load_module

    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    names = []
    for module in modules:
        try:
            with redirect_stdout(sys.stderr):  # what a module prints when it is imported is not our data
                names.append(load_module(module))
        except SystemExit as left:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"Cannot import {module!r}: it ends the process",
                ran="no",
                hint="put what it does as a program under `if __name__ == '__main__':`",
            ) from left
    if "dspy" in sys.modules:
        _register_programs(names, ai=ai)
    return names


def _register_programs(names: Iterable[str], *, ai: Ai | None) -> None:
    """Make tools of the DSPy programs in modules that were loaded, where that is set, and tell which cannot be."""
    from altar.settings import Settings

    if not (Settings.load().ai if ai is None else ai).auto_register_modules:
        return
    from altar.ai.registering import register_modules

    for name in names:
        for variable, unfit in register_modules(sys.modules[name]).refused:
            output.warn(f"The program {variable!r} in {name!r} is no tool: {unfit.message}")


def module_of(tool: ToolFunction[..., Any]) -> str:
    """The name of the module that defines a tool."""
    return str(tool.function.__module__)


_SHOWN = 3


def _write(declarations: Iterable[FunctionDeclaration], name: str) -> None:
    """Print declarations in a format, and what it loses; one document for OpenAPI, a list for all others."""
    from altar.adm.formats import FORMATS, OPENAPI

    if name not in FORMATS:
        raise click.BadParameter(f"{name!r} is none of {', '.join(FORMATS)}", param_hint="--format")
    listed = sorted(declarations, key=lambda one: one.name)
    written = [FORMATS[name].write(one) for one in listed]
    places: dict[str, list[str]] = {}
    for declaration, one in zip(listed, written, strict=True):
        for loss in one.losses:
            places.setdefault(f"{loss.what}; {loss.why}", []).append(f"{declaration.name}{loss.path}")
    for what, where in places.items():
        more = f" and {len(where) - _SHOWN} more" if len(where) > _SHOWN else ""
        output.warn(f"{', '.join(where[:_SHOWN])}{more}: {what}")
    documents = [one.document for one in written]
    whole = OPENAPI.write_all(listed, title="Tools").document if name == OPENAPI.name else documents
    output.data(whole, as_json=True)


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


def _lines(tool: ToolFunction[..., Any], *, versioned: bool) -> str:
    declaration = tool.declaration
    signature = declaration.signature
    if versioned:
        signature = f"{tool.name}@{tool.version}{signature.removeprefix(tool.name)}"
    first = declaration.description.strip().split("\n", 1)[0]
    return f"{signature}\n    {first}"


def _nothing(names: Sequence[str], *, installed: bool) -> str:
    if names:
        return f"no tools are declared in {', '.join(names)}; put @altar.tool on a function"
    if installed:
        return "no installed package offers tools; one does by an entry point of group altar.tools"
    return "no modules are named; name one, as in `altar tools weather.py`, or set runtime.tools in altar.toml"
