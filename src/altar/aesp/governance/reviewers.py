"""Who may put a version in force: another human than those who wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from altar.adm.errors import AuthorizationError
from altar.aesp.governance.humans import marks_of
from altar.aesp.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from sqlalchemy import Connection

__all__ = ["nobody_behind", "require_reviewer"]

_MACHINES = frozenset({"certificate", "api_key"})
"""Proofs that a program has as well as a person."""


def require_reviewer(connection: Connection, who: Principal, *, version: int, authors: Iterable[str]) -> None:
    """Return when ``who`` may activate a version: a human who is behind none of its authors.

    ``connection`` sees the tenants of all of them. Raises AuthorizationError PERMISSION_DENIED.
    """
    marks = marks_of(connection, who.id)
    if who.kind is not PrincipalKind.USER or who.authenticated_by in _MACHINES or not marks:
        raise AuthorizationError(
            "PERMISSION_DENIED",
            "Only a person who has signed in can approve this, no program and no certificate",
            ran="no",
            hint="let a second person run `altar login` and activate it; where there is only one, the operator can set"
            " `aesp.require_review = false`",
        )
    for author in authors:
        behind = marks_of(connection, author)
        if not behind:
            raise nobody_behind(author, f"wrote version {version}")
        if author == who.id or behind & marks:
            raise AuthorizationError(
                "PERMISSION_DENIED",
                f"Version {version} was written by the same person, who cannot approve it too",
                ran="no",
                hint="let another person activate it; where there is only one, the operator can set"
                " `aesp.require_review = false`",
            )


def nobody_behind(author: str, what: str) -> AuthorizationError:
    """Give the refusal of what nobody could approve; ``what`` says what the author does, such as ``is asking``."""
    return AuthorizationError(
        "PERMISSION_DENIED",
        f"Nobody can tell which person is behind {author!r}, who {what}, so nobody could approve it",
        ran="no",
        hint="let a person run `altar login` and hand it in; where there is only one, the operator can set"
        " `aesp.require_review = false`",
    )
