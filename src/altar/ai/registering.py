"""Tools of the DSPy programs that a module of Python holds and has made no tools of.

A loaded module comes in, the tools that were made of its programs go out, each under the name of its variable.
The command line does this where ``ai.auto_register_modules`` is set; a program may do it for modules of its own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from altar.adm.errors import DeclarationError
from altar.adm.formats.names import fitting
from altar.ai.made_tools import is_tool
from altar.later.tool import ToolFunction

__all__ = ["Registered", "register_modules"]


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of the programs in a module: the tools that were made, and by variable why others were not."""

    tools: tuple[ToolFunction[..., Any], ...] = ()
    refused: tuple[tuple[str, DeclarationError], ...] = ()


def register_modules(module: ModuleType) -> Registered:
    """Make a tool of each DSPy program that a variable of a module holds, unless it is one already.

    Its name is that of the variable; one that begins with an underscore is left alone, and so is a program that
    :func:`altar.ai.tool_from_module` was given before, registered or not.
    A program under two names becomes one tool, under the first.
    What cannot be a tool is told with the reason, and nothing is raised for it.
    Raises DeclarationError for a name that another tool has.
    """
    dspy = sys.modules.get("dspy")
    if dspy is None:  # nobody has loaded it, so nobody can hold a program of it
        return Registered()
    from altar.later.registry import REGISTRY

    made: list[ToolFunction[..., Any]] = []
    refused: list[tuple[str, DeclarationError]] = []
    for name, program in list(vars(module).items()):
        if name.startswith("_") or not isinstance(program, dspy.Module):
            continue
        known = _MADE.get((module.__name__, name))
        if known is not None and known[0] is program:
            tool = known[1]
        elif is_tool(program):
            continue
        else:
            try:
                tool = _tool(program, name, module)
            except DeclarationError as unfit:
                refused.append((name, unfit))
                continue
            _MADE[module.__name__, name] = (program, tool)
        REGISTRY.register(tool)
        made.append(tool)
    return Registered(tuple(made), tuple(refused))


_MADE: dict[tuple[str, str], tuple[Any, ToolFunction[..., Any]]] = {}


def _tool(program: Any, name: str, module: ModuleType) -> ToolFunction[..., Any]:
    """The tool of a program, which belongs to the module as a function would that it defines."""
    from altar.ai.modules import tool_from_module

    tool = tool_from_module(program, name=fitting(name), register=False)
    tool.function.__module__ = module.__name__
    return tool
