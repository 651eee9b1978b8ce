"""Who puts something in force says what they looked at, so that nothing else is put in force."""

from __future__ import annotations

from altar.adm.errors import ValidationError

__all__ = ["require_looked_at"]


def require_looked_at(digest: str) -> None:
    """Raise MALFORMED_REQUEST for an activation that does not say what was looked at."""
    if not digest:
        raise ValidationError(
            "MALFORMED_REQUEST",
            "The request does not say what was looked at",
            ran="no",
            hint="give the digest that was shown with the version: --digest",
            path="/digest",
        )
