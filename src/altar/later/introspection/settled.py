"""Which annotations mean the same wherever they stand, so that their form can be found once and kept.

In: an annotation that :mod:`altar.later.introspection.annotation` made readable.
Out: whether nothing but the annotation itself decides its form.
What carries marks of others (`Field`, a validator), a TypedDict, a named tuple, a type variable, or a class that
writes its form itself is not settled: the name of a parameter or the place of a declaration may matter to it.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import sys
import types
import uuid
from typing import Annotated, Any, Literal, Union, get_args, get_origin

__all__ = ["is_settled"]

_PLAIN = frozenset(
    {
        *(str, int, float, bool, bytes, type(None), list, dict, tuple, set, frozenset, object, decimal.Decimal),
        *(dt.date, dt.datetime, dt.time, dt.timedelta, uuid.UUID),
    }
)
_HOLDERS = frozenset({list, dict, tuple, set, frozenset, Union, types.UnionType})


def is_settled(annotation: Any) -> bool:
    """Does nothing but the annotation decide how its values are written, read and described?"""
    origin = get_origin(annotation)
    if origin is None:
        return (
            annotation is None or annotation is Any or (isinstance(annotation, type) and _is_settled_class(annotation))
        )
    parts = get_args(annotation)
    if origin is Literal:
        return all(type(part) in _PLAIN for part in parts)
    if origin is Annotated:
        return all(type(mark) is str for mark in parts[1:]) and is_settled(parts[0])
    return origin in _HOLDERS and all(part is Ellipsis or is_settled(part) for part in parts)


def _is_settled_class(kind: type) -> bool:
    if kind in _PLAIN:
        return True
    if type(kind).__hash__ is not type.__hash__ or type(kind).__eq__ is not type.__eq__:
        return False  # it might be found in the place of another class
    if issubclass(kind, enum.Enum) or dataclasses.is_dataclass(kind):
        return not any(hasattr(kind, word) for word in _OWN_FORM)
    model = getattr(sys.modules.get("pydantic"), "BaseModel", None)  # without pydantic there are no models yet
    return (
        model is not None
        and issubclass(kind, model)
        and all(getattr(kind, word).__func__ is getattr(model, word).__func__ for word in _OWN_FORM)
    )


_OWN_FORM = ("__get_pydantic_core_schema__", "__get_pydantic_json_schema__")
