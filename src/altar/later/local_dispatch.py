"""Which contracts allow that a tool runs where it is called: under a permit of a host, or when none can be reached.

Both are members of a contract's metadata, so that they count where the host's own manifest has them.
What is destructive may have neither: its record must not depend on who ran it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from altar.adm.declaration import FunctionDeclaration
from altar.adm.errors import DeclarationError

__all__ = [
    "FALLBACK",
    "LOCAL_DISPATCH",
    "ExecutionMode",
    "allows_fallback",
    "allows_local_dispatch",
    "dispatch_metadata",
]

LOCAL_DISPATCH = "altar.local_dispatch"
"""The tool may run in the process that calls it, when the host permits the call and is told how it ended."""
FALLBACK = "altar.fallback"
"""The tool may run in the process that calls it when no host can be reached; the host is told afterwards."""


def allows_local_dispatch(declaration: FunctionDeclaration) -> bool:
    """Whether a call under a permit may run where it is made."""
    return declaration.metadata.get(LOCAL_DISPATCH) is True and not declaration.annotations.destructive


def allows_fallback(declaration: FunctionDeclaration) -> bool:
    """Whether a call may run where it is made when no host can be reached."""
    return declaration.metadata.get(FALLBACK) is True and not declaration.annotations.destructive


def dispatch_metadata(
    name: str, metadata: Mapping[str, Any], *, local_dispatch: bool, fallback: bool, destructive: bool
) -> dict[str, bool]:
    """The members of a contract's metadata that say so; none for a tool that runs on the grid only.

    ``metadata`` is what its author wrote there, which may say the same.
    Raises DeclarationError INVALID_DECLARATION for a tool that is destructive.
    """
    wanted = {LOCAL_DISPATCH: local_dispatch, FALLBACK: fallback}
    said = {member: True for member, asked in wanted.items() if asked or metadata.get(member) is True}
    if destructive and said:
        option = next(iter(said)).removeprefix("altar.")
        raise DeclarationError(
            "INVALID_DECLARATION",
            f"{name!r} is destructive, and so its calls may not run outside of the grid ({option}=True)",
            hint=f"leave out {option}=True, or destructive=True if it deletes and overwrites nothing",
        )
    return said


class ExecutionMode(StrEnum):
    """Where the calls of a session on a grid run; decided for each call when its tool is found (GRID §7.4.3).

    `REMOTE`: on the grid.
    `LOCAL_FIRST`: in this process, under a permit of the host, where that is possible and allowed; else on the grid.
    `GOVERNED_LOCAL`: in this process, under a permit of the host, and nowhere else.
    """

    REMOTE = "remote"
    LOCAL_FIRST = "local_first"
    GOVERNED_LOCAL = "governed_local"
