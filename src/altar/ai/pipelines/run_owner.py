"""In whose name a run that is kept makes its calls: who resumes it must be the same.

A client does not hear from its host as whom it is known, and asks nothing for this: it goes by the subject of its
token, by the public part of its API key, or by the identity in its certificate.
The host decides on each call by what it knows itself; this keeps a run from going on by mistake in another name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar.adm.errors import AuthorizationError
from altar.later.source import OwnedSource

if TYPE_CHECKING:
    from altar.ai.pipelines.checkpoint_rows import RunRow
    from altar.later.session import Session

__all__ = ["owner_of", "require_owner"]

_LONGEST = 512


def owner_of(session: Session) -> str:
    """Whose calls those of a session are; empty for one of this process, which has nobody but its user.

    Inside of a tool it is the principal whom the host names.
    """
    asker = session.asker
    if asker.tools is not None:
        return ""
    source: object = asker.live.source
    if isinstance(source, OwnedSource):
        return source.owner()[:_LONGEST]
    return "" if asker.parent is None else asker.parent.principal[:_LONGEST]


def require_owner(run: RunRow, owner: str) -> None:
    """Raise AuthorizationError PERMISSION_DENIED for a run that was begun in another name."""
    if run.owner == owner:
        return
    raise AuthorizationError(
        "PERMISSION_DENIED",
        f"The run {run.run_id!r} was begun {_told(run.owner)}, and cannot be resumed {_told(owner)}",
        ran="no",
        hint="resume it with the source and the credentials that it began with",
    )


def _told(owner: str) -> str:
    return f"as {owner!r}" if owner else "without a host"
