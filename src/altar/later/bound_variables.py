"""The variables of a session that a contract binds: ``variables`` in its metadata, by name.

Their values at the time of a call are a part of what runs, so the record of the call has their digest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from altar.adm.canonical import canonical, digest
from altar.adm.errors import ValidationError

if TYPE_CHECKING:
    from altar.adm.declaration import FunctionDeclaration
    from altar.later.invocation import Invocation

__all__ = ["MOST_BOUND", "bound_by", "require_recorded", "values_digest"]

MOST_BOUND = 64
"""Variables that one contract can bind; of a contract that names more, none counts as bound."""


def bound_by(declaration: FunctionDeclaration) -> tuple[str, ...] | None:
    """The names that a contract binds, sorted; None when it binds none."""
    said = declaration.metadata.get("variables")
    if not isinstance(said, Mapping) or not said or len(said) > MOST_BOUND:
        return None
    return tuple(sorted(name for name in said if isinstance(name, str)))


def values_digest(values: Mapping[str, Any]) -> str:
    """``sha256:…`` of the values by name, as the record of a call has it."""
    return digest(canonical(dict(values)))


def require_recorded(invocation: Invocation, values: Mapping[str, Any]) -> None:
    """Raise ValidationError VARIABLE_CONFLICT unless these are the values that the call was recorded with.

    Where nothing is recorded, in a session of this process, any are.
    """
    if invocation.variables and invocation.variables != values_digest(values):
        raise ValidationError(
            "VARIABLE_CONFLICT",
            f"A variable that {invocation.name!r} follows was changed while the call was on its way",
            ran="no",
            hint="call again: it takes the values as they are then",
        )
