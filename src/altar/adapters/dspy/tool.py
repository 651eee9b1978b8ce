"""A tool of ALTAR as a ``dspy.Tool``: what ReAct, RLM and the others hold and call.

Loaded by :func:`altar.adapters.dspy.to_dspy` only: importing this module imports DSPy.
"""

from __future__ import annotations

import inspect
import keyword
import linecache
from collections.abc import Callable, Mapping
from types import FunctionType
from typing import Any, Final, Self

import dspy
from dspy.utils.callback import with_callbacks
from pydantic import PrivateAttr

from altar.adapters.dspy.answers import answer
from altar.adm.call import ToolResult
from altar.adm.declaration import FunctionDeclaration
from altar.later.both_ways import BothWays

__all__ = ["AltarTool", "Offered"]


class AltarTool(dspy.Tool):
    """Calls one tool of a session.

    DSPy's own check of each argument by itself is left out: the session checks all of them against the contract, and
    says what is wrong in words that a model can act on.
    """

    _declaration: FunctionDeclaration = PrivateAttr()
    _ways: BothWays = PrivateAttr()
    _on_result: Callable[[ToolResult], object] | None = PrivateAttr(default=None)

    def __init__(
        self,
        declaration: FunctionDeclaration,
        ways: BothWays,
        *,
        name: str,
        on_result: Callable[[ToolResult], object] | None = None,
    ) -> None:
        properties = _flat(declaration)
        super().__init__(
            func=_function(declaration, ways, name),
            name=name,
            desc=declaration.description,
            args=properties,
            arg_types=dict.fromkeys(properties, Any),
        )
        self._declaration = declaration
        self._ways = ways
        self._on_result = on_result

    def __call__(self, /, **arguments: Any) -> Any:
        """Call the tool and wait for what it answers, in this thread."""
        return self._called(arguments)

    async def acall(self, /, **arguments: Any) -> Any:
        """Call the tool and await what it answers, in whatever event loop."""
        return await self._acalled(arguments)

    def format_as_litellm_function_call(self) -> dict[str, Any]:
        """The tool as a provider is told of it, with the parameters as the contract has them."""
        return _told(self._declaration, self.name, self.desc)

    @property
    def declaration(self) -> FunctionDeclaration:
        """The contract of the tool."""
        return self._declaration

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        """Itself: copies of a program, as optimizers make them, call through the same session."""
        return self

    # DSPy's callbacks are told of the arguments in one value: by name, one called `instance` would be in their way.

    @with_callbacks
    def _called(self, arguments: dict[str, Any]) -> Any:
        return self._answer(self._ways.call(_asked(self._declaration), arguments))

    @with_callbacks
    async def _acalled(self, arguments: dict[str, Any]) -> Any:
        return self._answer(await self._ways.acall(_asked(self._declaration), arguments))

    def _answer(self, result: ToolResult) -> Any:
        if self._on_result is not None:
            self._on_result(result)
        return answer(result)


class Offered(dspy.Tool):
    """A contract that a language model is offered as a tool, and that whoever asked it sees to."""

    _declaration: FunctionDeclaration = PrivateAttr()

    def __init__(self, declaration: FunctionDeclaration) -> None:
        properties = _flat(declaration)
        super().__init__(
            func=_not_called,
            name=declaration.name,
            desc=declaration.description,
            args=properties,
            arg_types=dict.fromkeys(properties, Any),
        )
        self._declaration = declaration

    def format_as_litellm_function_call(self) -> dict[str, Any]:
        """The tool as a provider is told of it, with the parameters as the contract has them."""
        return _told(self._declaration, self.name, self.desc)


def _not_called(**_: Any) -> None:
    """Stand where DSPy wants a function."""


def _told(declaration: FunctionDeclaration, name: str, said: str | None) -> dict[str, Any]:
    function = {"name": name, "description": said, "parameters": declaration.parameters.json_schema}
    return {"type": "function", "function": function}


def _asked(declaration: FunctionDeclaration) -> str:
    """Exactly this version of the tool, whatever comes to be offered beside it."""
    return f"{declaration.name}@{declaration.version}"


_MOST_NESTED: Final = 8


def _flat(declaration: FunctionDeclaration) -> dict[str, Any]:
    """The schema of each argument by itself, with what it refers to in its place, as far as that ends.

    The text of a prompt holds them; what refers to itself is cut where it begins again.
    """
    root = declaration.parameters.json_schema
    definitions = root.get("$defs", {})
    required = root.get("required", ())
    flat = {}
    for name, schema in root.get("properties", {}).items():
        placed = _placed(schema, definitions, ())
        if name not in required and isinstance(placed, dict):
            placed = placed if "default" in placed else placed | {"default": None}
        flat[name] = placed
    return flat


def _placed(node: Any, definitions: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
    if isinstance(node, list):
        return [_placed(each, definitions, inside) for each in node]
    if not isinstance(node, dict):
        return node
    reference = node.get("$ref")
    if not isinstance(reference, str):
        return {key: _placed(each, definitions, inside) for key, each in node.items()}
    if reference in inside or len(inside) == _MOST_NESTED:
        return {"type": "object"}
    target = definitions.get(reference.removeprefix("#/$defs/"), {})
    others = {key: each for key, each in node.items() if key != "$ref"}
    placed: dict[str, Any] = _placed(target, definitions, (*inside, reference))
    return placed | others


def _function(declaration: FunctionDeclaration, ways: BothWays, name: str) -> FunctionType:
    """The tool as a plain function, for who takes nothing else: CodeAct reads its source, RLM its parameters.

    The source is one line that calls the tool by name: in a sandbox that has the tool under its name, it does the same
    there as here.
    """

    def called(*given: Any, **named: Any) -> Any:
        return answer(ways.call(_asked(declaration), _by_name(names, given, named)))

    names = _in_order(declaration)
    source = f"def altar_{name}(*given, **named):\n    return {name}(*given, **named)\n"
    file = f"<tool {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    space: dict[str, Any] = {name: called}
    exec(compile(source, file, "exec"), space)  # noqa: S102 - two lines of ours with a name that is an identifier
    function: FunctionType = space[f"altar_{name}"]
    function.__name__ = name
    function.__doc__ = declaration.description
    function.__signature__ = _signature(declaration)  # type: ignore[attr-defined]  # where inspect looks for it
    return function


def _by_name(names: list[str], given: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments by name, also those that code gave in their order; what is too much, or twice, is refused."""
    if len(given) > len(names):
        raise TypeError(f"takes {len(names)} arguments and was given {len(given)}")
    twice = set(names[: len(given)]) & set(named)
    if twice:
        raise TypeError(f"was given the argument {min(twice)!r} twice")
    return dict(zip(names, given, strict=False)) | dict(named)


def _signature(declaration: FunctionDeclaration) -> inspect.Signature:
    """The parameters as Python has them: what must be given first; any, where a name is none of Python's."""
    names = _in_order(declaration)
    required = declaration.parameters.json_schema.get("required", ())
    if not all(each.isidentifier() and not keyword.iskeyword(each) for each in names):
        return inspect.Signature([inspect.Parameter("arguments", inspect.Parameter.VAR_KEYWORD)])
    return inspect.Signature(
        [
            inspect.Parameter(
                each,
                inspect.Parameter.POSITIONAL_OR_KEYWORD,
                default=inspect.Parameter.empty if each in required else None,
            )
            for each in names
        ]
    )


def _in_order(declaration: FunctionDeclaration) -> list[str]:
    """The names of the arguments, those first that must be given."""
    root = declaration.parameters.json_schema
    required = root.get("required", ())
    return sorted(root.get("properties", {}), key=lambda name: name not in required)
