"""Tools of ALTAR for DSPy, and tools of DSPy for ALTAR. Importing this loads no framework.

In: an open session and the names of its tools; or a ``dspy.Tool``.
Out: ``dspy.Tool`` objects and ``dspy.Module`` objects whose calls go through the session; or a tool with a contract.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.call import ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import DeclarationError, ValidationError
from altar.adm.near import nearest
from altar.later.both_ways import BothWays
from altar.later.extras import loaded
from altar.later.tool import ToolFunction

if TYPE_CHECKING:
    from altar.later.front import SyncSession
    from altar.later.session import Session

__all__ = ["from_dspy", "to_dspy", "to_dspy_interpreter", "to_dspy_module"]

OWN_NAMES = frozenset(("finish", "submit", "llm_query", "llm_query_batched", "SUBMIT", "print"))
"""What ReAct, ReActV2 and RLM call something of their own: a tool of that name would be lost, or refused there."""


def to_dspy(
    session: Session | SyncSession,
    *,
    names: Iterable[str] | None = None,
    rename: Mapping[str, str] | None = None,
    on_result: Callable[[ToolResult], object] | None = None,
) -> list[Any]:
    """Tools of an open session as ``dspy.Tool`` objects: these names, each may be ``name@range``, or all.

    They are called and awaited alike, whichever kind the session is, and the session checks their arguments.
    What a tool answers is its content; an error that a model can do something about comes back as text, and any other
    is raised: one that only a person can mend, and one after which nobody knows whether the tool ran.
    ``rename`` gives a tool another name for DSPy; ``on_result`` is told the result of each call before the program is.
    Raises UNSUPPORTED_TOOL for a tool that is not in the session, INVALID_DECLARATION for a name that DSPy has itself
    or cannot write in code, and ENVIRONMENT_ERROR without the extra ``dspy``.
    """
    made = _tool_class()
    ways = BothWays(session)
    others = dict(rename or {})
    exported = []
    for declaration in ways.contracts(names):
        name = others.pop(declaration.name, declaration.name)
        _require_name(name, declaration)
        exported.append(made(declaration, ways, name=name, on_result=on_result))
    if others:
        unknown = next(iter(others))
        near = nearest(unknown, session.tools)
        raise ValidationError(
            "UNSUPPORTED_TOOL",
            f"The tool {unknown!r} cannot be renamed: it is not exported",
            ran="no",
            hint=f"did you mean {near!r}?" if near else "rename what is in names",
        )
    return exported


def to_dspy_module(session: Session | SyncSession, name: str) -> Any:
    """A tool of an open session as a ``dspy.Module`` with a typed signature, for a step of a program.

    Its inputs are the arguments, its outputs the members of the result, or ``result`` where that is no object.
    A failed call raises its AltarError.
    Raises as :func:`to_dspy` does.
    """
    loaded("dspy", extra="dspy", what="A tool as a module of DSPy")
    from altar.adapters.dspy.module import ToolModule

    ways = BothWays(session)
    (declaration,) = ways.contracts([name])
    return ToolModule(declaration, ways)


def to_dspy_interpreter(tools: Iterable[Any], *, factory: Callable[[], Any] | None = None) -> Callable[[], Any]:
    """A factory of interpreters in which generated code may call these ``dspy.Tool`` objects by their names.

    Give it to ProgramOfThought or CodeAct as ``interpreter_factory``; RLM takes the tools themselves.
    ``factory`` makes the interpreters: DSPy's sandbox where none is given.
    """
    dspy = loaded("dspy", extra="dspy", what="A sandbox that calls tools")
    held = {tool.name: tool.func for tool in tools}
    make = factory or dspy.PythonInterpreter

    def made() -> Any:
        interpreter = make()
        interpreter.tools.update(held)
        return interpreter

    return made


def from_dspy(
    tool: Any,
    *,
    name: str | None = None,
    version: str = "1.0.0",
    description: str | None = None,
    adopted: Collection[str] = (),
    register: bool = False,
) -> ToolFunction[..., Any]:
    """A ``dspy.Tool``, or a function as DSPy would take it, as a tool of ALTAR.

    The contract says what the tool says of its arguments, and of its result where the function is annotated.
    ``adopted`` are digests of contracts whose texts a person has read, where they look as if they gave orders.
    Raises INVALID_DECLARATION for what is no tool, has no description, or gives orders in it, and ENVIRONMENT_ERROR
    without the extra.
    """
    dspy = loaded("dspy", extra="dspy", what="A tool of DSPy")
    from altar.adapters.dspy.imports import imported_tool

    if not isinstance(tool, dspy.Tool):
        if not callable(tool) or isinstance(tool, type):
            raise DeclarationError(
                "INVALID_DECLARATION",
                f"A value of the type {type(tool).__name__!r} is no tool of DSPy",
                ran="no",
                hint="give a dspy.Tool or a function; a module becomes a tool by altar.ai.tool_from_module",
            )
        tool = dspy.Tool(tool)
    return imported_tool(tool, name=name, version=version, description=description, adopted=adopted, register=register)


def _tool_class() -> Callable[..., Any]:
    loaded("dspy", extra="dspy", what="A tool of ALTAR in DSPy")
    from altar.adapters.dspy.tool import AltarTool

    return AltarTool


def _require_name(name: str, declaration: FunctionDeclaration) -> None:
    if name.isidentifier() and name not in OWN_NAMES:
        return
    why = "DSPy has something of its own by that name" if name in OWN_NAMES else "code cannot write that name"
    raise DeclarationError(
        "INVALID_DECLARATION",
        f"The tool {declaration.name!r} cannot be {name!r} in DSPy: {why}",
        ran="no",
        hint=f"to_dspy(session, rename={{{declaration.name!r}: {'tool_' + declaration.name.replace('-', '_')!r}}})",
    )
