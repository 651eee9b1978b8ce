"""Settings: where ALTAR listens, what it dials, and where it keeps its files.

What comes in: flags, the environment (`ALTAR_*`) and one file, `altar.toml`.
What goes out: one frozen `Settings` object, and for each value the place it came from.
The order is: flag, environment, `[profile.<name>]` of the file, top level of the file, default.

The file is looked up from the working directory upwards; `ALTAR_CONFIG` names another one.
`ALTAR_PROFILE` selects the profile.
Text in the file may hold `${NAME}` or `${NAME:-default}`, taken from the environment.
`$${` stands for a plain `${`.

Settings are not governed data: manifests, roles and policies are versioned artefacts, not lines of this file.
Only the command line and `altar.session()` read settings, and importing this module reads nothing.
"""

from __future__ import annotations

from altar.settings.aesp import Aesp
from altar.settings.ai import Ai, use_in_session, use_language_model, weights_directory
from altar.settings.audit import Audit, AuditSink
from altar.settings.loading import Explained, Settings, variable_of
from altar.settings.logins import credential_options, logins_directory
from altar.settings.sections import Host, Runtime, Section, Telemetry, TlsFiles

__all__ = [
    "Aesp",
    "Ai",
    "Audit",
    "AuditSink",
    "Explained",
    "Host",
    "Runtime",
    "Section",
    "Settings",
    "Telemetry",
    "TlsFiles",
    "credential_options",
    "logins_directory",
    "use_in_session",
    "use_language_model",
    "variable_of",
    "weights_directory",
]
