"""Where the key of a language model comes from, as a value that two can have the same of.

The key itself is in none of them until it is needed, and in no text ever.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from altar.adm.errors import ConfigurationError

__all__ = ["KeyElsewhere", "KeyInFile", "KeyOfHere"]


@dataclass(frozen=True, slots=True)
class KeyInFile:
    """Reads a key when it is needed; two of the same file are the same.

    Raises ConfigurationError INVALID_CONFIG where there is none to read.
    """

    path: Path

    def __call__(self) -> str:
        """Return the key."""
        try:
            held = self.path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                "INVALID_CONFIG",
                f"The key in {str(self.path)!r} cannot be read",
                hint="look at the setting `ai.key_file`",
            ) from error
        if not held:
            raise ConfigurationError(
                "INVALID_CONFIG", f"The file {str(self.path)!r} holds no key", hint="look at the setting `ai.key_file`"
            )
        return held


@dataclass(frozen=True, slots=True)
class KeyOfHere:
    """The key of a model on this machine, which its own process has made up."""

    value: str = field(repr=False)

    def __call__(self) -> str:
        """Return the key."""
        return self.value


@dataclass(frozen=True, slots=True)
class KeyElsewhere:
    """A key that a function of another process gives; here it is not to be had."""

    def __call__(self) -> str:
        """Raise ConfigurationError INVALID_CONFIG."""
        raise ConfigurationError(
            "INVALID_CONFIG",
            "The key of the language model comes from a function of another process",
            ran="no",
            hint="let isolated tools read it from a file (`ai.key_file`) or from the provider's variable",
        )
