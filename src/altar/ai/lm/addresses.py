"""Which model answers at an address of this machine: what it is, for those who must not take it for where it listens.

A port is another one in the next process, and the next model may have the port of this one.
Who serves a model says here what decides about its answers, for as long as it is served by this process.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from altar.adm.errors import ConfigurationError
from altar.ai.lm.weights import sha256_of

__all__ = ["FileOfWeights", "ends_at", "identity_at", "serves_at"]


def serves_at(base_url: str, identity: Callable[[], Any]) -> None:
    """Say what answers at this address from now on; ``identity`` gives it when it is asked, None where it cannot."""
    _SERVED[base_url] = identity


def ends_at(base_url: str) -> None:
    """Say that nothing answers there any more."""
    _SERVED.pop(base_url, None)


def identity_at(base_url: object) -> Any:
    """What decides about the answers at an address, None where this process serves nothing.

    Raises ConfigurationError INVALID_CONFIG where it serves something that cannot be told, such as a recording that is
    being made.
    """
    known = _SERVED.get(base_url) if isinstance(base_url, str) else None
    if known is None:
        return None
    identity = known()
    if identity is None:
        raise ConfigurationError(
            "INVALID_CONFIG", f"What the language model at {base_url!r} answers cannot be told", ran="no"
        )
    return identity


@dataclass(frozen=True, slots=True)
class FileOfWeights:
    """A file of weights as it was when a model was loaded from it; ``sha256`` is "" where nobody has looked yet."""

    path: Path
    context: int
    sha256: str
    version: tuple[int, int, int]

    @classmethod
    def of(cls, path: Path, *, context: int, sha256: str = "") -> FileOfWeights:
        """The file as it is now. Raises OSError where it cannot be looked at."""
        return cls(path, context, sha256, _version(path))

    def identity(self) -> Any:
        """What decides about the answers: the weights by their SHA-256, the tokens they see, and what runs them.

        Reading a gigabyte takes about a second, once in a process.
        Raises ConfigurationError INVALID_CONFIG for a file that has changed since the model was loaded.
        """
        digest = self.sha256 or self._digest()
        return ["weights", digest, self.context, _runner()]

    def _digest(self) -> str:
        try:
            digest = _digest_of((self.path, self.version))
            if _version(self.path) == self.version:
                return digest
            why = "it has changed"
        except OSError as gone:
            why = gone.strerror or "it is gone"
        raise ConfigurationError(
            "INVALID_CONFIG",
            f"The weights {str(self.path)!r} are not those any more that were loaded: {why}",
            ran="no",
            hint="start the language model again",
        )


_SERVED: Final[dict[str, Callable[[], Any]]] = {}
"""What is served by this process, by address; as many as there are servers in it."""


def _version(path: Path) -> tuple[int, int, int]:
    held = path.stat()
    return held.st_ino, held.st_size, held.st_mtime_ns


@lru_cache(maxsize=16)
def _digest_of(file: tuple[Path, tuple[int, int, int]]) -> str:
    """The SHA-256 of a file in one of its versions."""
    return sha256_of(file[0])


def _runner() -> str:
    """The version of what computes: another one may answer otherwise."""
    try:
        return metadata.version("xllamacpp")
    except metadata.PackageNotFoundError:
        return ""
