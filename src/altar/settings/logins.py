"""Where `altar login` keeps what a host issued: a directory of this user, outside of every project."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from altar.adm.errors import ConfigurationError

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


def credential_options(settings: Settings, *, given: str | Callable[[], str] | None = None) -> dict[str, Any]:
    """The options of a source that say what proves who asks: as it is given or set, else as `altar login` kept it.

    Raises ConfigurationError INVALID_CONFIG for one that is empty: whoever names a credential must never ask in the
    name of a saved login or a certificate instead.
    """
    if given is not None:
        if isinstance(given, str) and not given.strip():
            raise _empty("The credential of this session is empty")
        return {"credential": given}
    said = settings.credential.get_secret_value()
    origin = settings.origin("credential")
    if not said.strip() and origin != "default" and settings.source.startswith("grid://"):
        raise _empty(f"Setting 'credential' is empty ({origin})")
    at, file_origin = settings.credential_file, settings.origin("credential_file")
    is_no_file = at is not None and (at == Path() or at.is_dir())  # an empty text is a directory, as a path
    if is_no_file and file_origin != "default" and settings.source.startswith("grid://"):
        raise _empty(f"Setting 'credential_file' names no file ({file_origin})")
    return {"credential": said or None, "credential_file": settings.credential_file, "login": logins_directory()}


def _empty(message: str) -> ConfigurationError:
    return ConfigurationError(
        "INVALID_CONFIG",
        message,
        ran="no",
        path="credential",
        hint="give a token or an API key; leave it out altogether for the saved login or the certificate",
    )
