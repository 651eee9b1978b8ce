"""Where what is refused is recorded, whoever refuses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

__all__ = ["Refusals"]


class Refusals(Protocol):
    """Where refused calls are recorded, so many into one entry that nobody can flood the log."""

    def denied(
        self,
        *,
        tenant: str,
        principal: str,
        code: str,
        resource: str,
        action: str,
        session: str = "",
        correlation: str = "",
        data: Mapping[str, str] | None = None,
    ) -> None:
        """Record that something was refused; returns at once. ``data`` is what is known of why, as texts."""
        ...
