"""Annotations that pydantic cannot read, as ones that it can and that mean the same.

A `Collection` is read as a list, a `LiteralString` as text.
Before Python 3.12 a TypedDict of the module `typing` does not say which of its keys are required where pydantic
looks, so its own hints are read here instead.
"""

from __future__ import annotations

import dataclasses
import sys
import types
import typing
from collections import abc
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Union, get_args, get_origin

__all__ = ["hints_of", "readable"]

_READ_AS: dict[Any, Any] = {abc.Collection: list, abc.Reversible: list, abc.Generator: abc.Iterator}
"""A generator is refused as the iterator that it is."""
_OLD_PYTHON = sys.version_info < (3, 12)


def readable(annotation: Any, namespace: Mapping[str, Any]) -> Any:
    """The annotation as pydantic can read it; `namespace` holds names that hints inside of it may use."""
    if _OLD_PYTHON:
        for old in _old_typed_dicts(annotation, namespace, set()):
            _give_form(old, namespace)
    return _replaced(annotation)


def hints_of(annotated: Any, namespace: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations of a class or function as types; `namespace` holds names that are not found by themselves.

    Raises what evaluating an annotation raises, NameError for a name that nothing has.
    """
    try:
        return typing.get_type_hints(annotated, include_extras=True)
    except NameError:
        return typing.get_type_hints(annotated, localns=dict(namespace), include_extras=True)


def _replaced(annotation: Any) -> Any:
    if annotation is getattr(typing, "LiteralString", None):
        return str
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is None:
        return annotation
    if origin is typing.Literal:
        return annotation
    made = tuple(part if isinstance(part, list) else _replaced(part) for part in parts)
    if origin in _READ_AS:
        kind = _READ_AS[origin]
        return kind[made[0]]
    if all(new is old for new, old in zip(made, parts, strict=True)):
        return annotation
    if origin is Annotated:
        return Annotated[(made[0], *annotation.__metadata__)]
    return Union[made] if origin in (Union, types.UnionType) else origin[made]  # noqa: UP007 - made at run time


# ---------------------------------------------------------------------------- TypedDict of typing, on Python 3.11


def _old_typed_dicts(annotation: Any, namespace: Mapping[str, Any], seen: set[int]) -> Iterator[Any]:
    """Every TypedDict of `typing` that an annotation mentions, also inside of the classes that it mentions."""
    for part in get_args(annotation) if get_origin(annotation) is not typing.Literal else ():
        yield from _old_typed_dicts(part, namespace, seen)
    kind = get_origin(annotation) or annotation
    if not isinstance(kind, type) or id(kind) in seen:
        return
    seen.add(id(kind))
    is_old = typing.is_typeddict(kind) and type(kind).__module__ == "typing"
    if is_old:
        yield kind
    if is_old or dataclasses.is_dataclass(kind) or _is_named_tuple(kind):
        try:
            inner = hints_of(kind, namespace)
        except (NameError, TypeError):
            return  # pydantic says what is wrong with it
        for held in inner.values():
            yield from _old_typed_dicts(held, namespace, seen)


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _give_form(old: Any, namespace: Mapping[str, Any]) -> None:
    """Let pydantic find a TypedDict of `typing-extensions` in place of one of `typing`, wherever it meets it."""
    if "__get_pydantic_core_schema__" in vars(old):
        return
    twin = _twin(old, hints_of(old, namespace))
    old.__get_pydantic_core_schema__ = classmethod(lambda _, __, handler: handler.generate_schema(twin))


def _twin(old: Any, hints: Mapping[str, Any]) -> Any:
    import typing_extensions

    fields: dict[str, Any] = {}
    for name, hint in hints.items():
        said = get_origin(hint) in (typing.Required, typing.NotRequired)
        mark: Any = typing_extensions.Required if name in old.__required_keys__ else typing_extensions.NotRequired
        fields[name] = hint if said else mark[hint]
    make: Any = typing_extensions.TypedDict
    twin = make(old.__name__, fields)
    twin.__module__, twin.__qualname__, twin.__doc__ = old.__module__, old.__qualname__, old.__doc__
    if (config := getattr(old, "__pydantic_config__", None)) is not None:
        twin.__pydantic_config__ = config
    return twin
