"""The parameter of a function that takes the context of a call, and never reaches its contract."""

from __future__ import annotations

import inspect
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from altar.adm.errors import DeclarationError

__all__ = ["context_of", "is_context"]


def context_of(signature: inspect.Signature, name: str, hints: Mapping[str, Any]) -> str | None:
    """The name of the parameter annotated with ToolContext, or with that or None; None when there is none.

    Raises DeclarationError for more than one, and for one that cannot be passed by name.
    """
    found = [each for each in signature.parameters.values() if each.name in hints and is_context(hints[each.name])]
    if len(found) > 1:
        names = " and ".join(repr(each.name) for each in found)
        raise _refused(f"{name!r} takes its context more than once, as {names}", "take it once")
    by_position = any(each.kind is each.VAR_POSITIONAL for each in signature.parameters.values())
    for parameter in found:
        named = parameter.kind is parameter.POSITIONAL_OR_KEYWORD and not by_position
        if not named and parameter.kind is not parameter.KEYWORD_ONLY:
            raise _refused(
                f"The context of {name!r} cannot be passed by its name {parameter.name!r}",
                f"let {parameter.name!r} stand at the end, after a `*` or after `*args`",
            )
    return found[0].name if found else None


def is_context(annotation: Any) -> bool:
    """Is it the class of contexts, known by its mark `__altar_context__`, or that or None?"""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return is_context(parts[0])
    if origin in (Union, types.UnionType):
        others = [part for part in parts if part is not type(None)]
        return len(others) == 1 and is_context(others[0])
    return isinstance(annotation, type) and vars(annotation).get("__altar_context__") is True


def _refused(message: str, hint: str) -> DeclarationError:
    return DeclarationError("INVALID_DECLARATION", message, hint=hint)
