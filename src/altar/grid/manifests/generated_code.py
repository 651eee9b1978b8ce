"""What a STRICT host does not offer: tools that run code which a language model wrote, outside of a sandbox.

In: the contracts of a manifest, whose metadata say ``runs_code`` where a tool does such a thing.
Out: nothing; or the refusal of the whole manifest, with the tools it is for.
A runtime cannot say less than its contract does: the digest would differ.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import ConfigurationError

__all__ = ["RUNS_CODE", "require_sandboxes"]

RUNS_CODE: Final = "runs_code"
"""The member of a contract's metadata: ``sandboxed`` or ``unsandboxed``; absent where no such code runs."""

_SHOWN: Final = 3


def require_sandboxes(declarations: Iterable[FunctionDeclaration]) -> None:
    """Return if whatever runs generated code says that it does so in a sandbox; what says anything else is refused.

    Raises ConfigurationError INCOMPATIBLE_MODE.
    """
    open_ones = [f"{each.name!r}" for each in declarations if each.metadata.get(RUNS_CODE, "sandboxed") != "sandboxed"]
    if not open_ones:
        return
    more = f" and {len(open_ones) - _SHOWN} more" if len(open_ones) > _SHOWN else ""
    raise ConfigurationError(
        "INCOMPATIBLE_MODE",
        f"code that a language model writes would run outside of a sandbox in {', '.join(open_ones[:_SHOWN])}{more}",
        hint="give the module an interpreter that is a sandbox, or leave the tool out; a host in mode development"
        " takes it",
    )
