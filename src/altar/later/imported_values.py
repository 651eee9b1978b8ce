"""Values that a foreign tool takes or gives, as JSON holds them.

What ALTAR's own functions give is written by `altar.later.json_form`, which refuses what has no form of its own; what
frameworks give is looser, and is made plain here before it goes there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

__all__ = ["plain"]


def plain(value: Any, *, without_none: bool = False) -> Any:
    """A value with models of pydantic as their members, bytes as base64 and keys as text; the rest is as it is.

    ``without_none`` leaves out members of models that are None.
    """
    dump = getattr(type(value), "model_dump", None)
    if dump is not None:
        return dump(value, mode="json", exclude_none=without_none)
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Mapping):
        return {str(key): plain(held, without_none=without_none) for key, held in value.items()}
    if isinstance(value, list | tuple):
        return [plain(held, without_none=without_none) for held in value]
    return value
