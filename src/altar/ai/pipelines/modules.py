"""The tool of a module step: a signature, or a module of DSPy, comes in; a tool and what it was made of go out."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from altar.adm.declaration import Annotations
from altar.later.linting.filled import filled_by_steps
from altar.later.tool import ToolFunction

__all__ = ["tool_of_module"]

_ASKS_ONLY = frozenset({"ChainOfThought", "Predict"})
"""Kinds that do nothing but ask a language model, which may be done again."""


def tool_of_module(
    which: Any, *, kind: str, lm: Any, name: str | None, version: str, register: bool
) -> tuple[ToolFunction[..., Any], Mapping[str, str]]:
    """The tool, and the ``program`` of its step: ``kind`` and ``signature``, or ``class``, and the ``name``.

    An input without a type in a signature as text takes any value, because a step before it may give any; to a language
    model it is written as JSON. An output without one is text, as everywhere in DSPy.
    Raises as :func:`altar.ai.tool_from_module` and :func:`altar.ai.call` do.
    """
    from altar.ai.calls import call
    from altar.ai.modules import tool_from_module
    from altar.ai.signatures import signature_from

    program: dict[str, str] = {}
    if isinstance(which, str):
        program = {"kind": kind, "signature": which}
        annotations = Annotations(open_world=True, idempotent=kind in _ASKS_ONLY)
        signature = signature_from(which)  # first, because it tells what cannot be read
        untyped = _untyped(which)
        module = call(kind, _open_inputs(signature, untyped))
        made = tool_from_module(module, lm=lm, name=name, version=version, annotations=annotations, register=register)
        filled_by_steps(made, untyped=untyped)
    else:
        made = tool_from_module(which, lm=lm, name=name, version=version, register=register)
        program = {"class": f"{type(which).__module__}:{type(which).__qualname__}"}
    return made, {**program, "name": made.name}


def _untyped(text: str) -> list[str]:
    """The inputs to which the text of a signature gives no type."""
    tree = ast.parse(f"def signature({text.partition('->')[0].strip()}): ...").body[0]
    return [each.arg for each in tree.args.args if each.annotation is None] if isinstance(tree, ast.FunctionDef) else []


def _open_inputs(signature: Any, untyped: list[str]) -> Any:
    """The signature with any type for each of these inputs."""
    for name in untyped:
        signature = signature.with_updated_fields(name, type_=Any)
    return signature
