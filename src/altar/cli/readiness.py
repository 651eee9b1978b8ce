"""The file that says a runtime is ready: there while calls can come, and gone while they cannot.

A probe only has to look whether it exists, as `test -f PATH` does.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from altar.adm.errors import ConfigurationError

__all__ = ["ReadyFile"]


class ReadyFile:
    """One such file; without a path there is none, and nothing is done."""

    def __init__(self, path: Path | None) -> None:
        """Take the path, and remove what an earlier process that was killed has left there.

        Raises ConfigurationError ENVIRONMENT_ERROR when the file could not be written.
        """
        self._path = path
        if path is None:
            return
        try:
            self.write({})
            self.remove()
        except OSError as error:
            raise ConfigurationError(
                "ENVIRONMENT_ERROR",
                f"The file {str(path)!r} cannot be written: {error.strerror}",
                hint="its folder must exist and may be written by this user",
            ) from error

    def write(self, facts: Mapping[str, Any]) -> None:
        """Say that calls can come; the file holds `facts` as one line of JSON, and is never seen half written."""
        if self._path is not None:
            new = self._path.with_name(f"{self._path.name}.{os.getpid()}.new")
            new.write_text(json.dumps(dict(facts)) + "\n", encoding="utf-8")
            new.replace(self._path)

    def remove(self) -> None:
        """Say that they cannot; saying it again does nothing."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
