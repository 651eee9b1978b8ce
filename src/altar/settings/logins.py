"""Where `altar login` keeps what a host issued: a directory of this user, outside of every project."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from altar.settings.loading import Settings

__all__ = ["credential_options", "logins_directory"]


def logins_directory(environ: Mapping[str, str] = os.environ) -> Path:
    """The directory: `altar/logins` in `XDG_CONFIG_HOME`, or in `~/.config` (XDG Base Directory Specification)."""
    said = environ.get("XDG_CONFIG_HOME", "")
    if not Path(said).is_absolute():
        try:
            said = str(Path.home() / ".config")
        except RuntimeError:  # a user without a home, as in some containers, has no saved login
            said = "/nonexistent"
    return Path(said) / "altar" / "logins"


def credential_options(settings: Settings) -> dict[str, Any]:
    """The options of a source that say what proves who asks: as it is set, else as `altar login` kept it."""
    said = settings.credential.get_secret_value()
    return {"credential": said or None, "credential_file": settings.credential_file, "login": logins_directory()}
