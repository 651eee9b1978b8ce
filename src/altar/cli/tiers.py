"""What was governed stays governed: a plain host does not serve the directory of one that has a tier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from altar.adm.errors import ConfigurationError

if TYPE_CHECKING:
    from altar.settings import Settings

__all__ = ["require_tier"]

GOVERNED = ("ledger.db.subjects", "aesp.db")
"""What only a host of a tier makes in its directory."""


def require_tier(settings: Settings) -> None:
    """Raise ConfigurationError INVALID_CONFIG for a plain host whose directory a governed one has used.

    Such a host would let everybody with a certificate call every tool, because a setting was left out.
    ENVIRONMENT_ERROR when the directory cannot be looked at.
    """
    if settings.aesp.tier != "none":
        return
    data = settings.host.data
    try:
        found = [name for name in GOVERNED if (data / name).exists()]
    except OSError as failed:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The directory {str(data)!r} cannot be read: {failed.strerror}",
            hint="name another one with --data, or in the setting host.data",
        ) from failed
    if found:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"A governed host has used {str(data)!r}, which holds {found[0]!r}; a plain one would let everybody call",
            hint='put `tier = "foundation"` (or "advanced") under [aesp] in altar.toml, or use other `host.data`',
        )
