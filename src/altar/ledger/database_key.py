"""The key of a host for a log that is in a database: what whoever has the database alone has not.

Under it the host authenticates what it writes, and seals the copies of subjects.
"""

from __future__ import annotations

import os
from pathlib import Path

from altar.adm.errors import ConfigurationError

__all__ = ["KEY_BYTES", "read_database_key"]

KEY_BYTES = 32


def read_database_key(path: Path) -> bytes:
    """Read the key from its file, which is made, readable by its owner alone, where there is none.

    Raises ConfigurationError ENVIRONMENT_ERROR when it cannot be read or written, INVALID_CONFIG when it is no key.
    """
    try:
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            key = path.read_bytes()
        else:
            key = os.urandom(KEY_BYTES)
            with os.fdopen(file, "wb") as out:
                out.write(key)
                out.flush()
                os.fsync(out.fileno())
    except OSError as error:
        raise ConfigurationError(
            "ENVIRONMENT_ERROR",
            f"The key of the log's database {str(path)!r} cannot be read: {error.strerror}",
            hint="it lies beside the signing key, and must be readable by the user of the host",
        ) from error
    if len(key) != KEY_BYTES:
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The key of the log's database {str(path)!r} has {len(key)} bytes, not {KEY_BYTES}",
            hint="put back the file from the last backup of the signing key",
        )
    return key
