"""Programs that were compiled before, as documents in a directory of the user's cache.

A key and a program come in, and the state that was compiled under that key goes into the program, if there is one.
The key is a digest of all that decides about the result: see :func:`key_of`.
Files are written whole or not at all, read by their owner only, and the least used give way when there are too many.
Several processes may use the same directory: who compiles the same as another writes the same file, and either is
whole. What a killed writer left behind is removed by the next one that keeps something.
What else lies in the directory is left alone. One that others may write to is not used: a state is instructions for a
language model, and its digest says only that it is whole.
"""

from __future__ import annotations

import os
import re
import stat
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from altar.adm.canonical import canonical
from altar.adm.canonical import digest as digest_of
from altar.adm.errors import AltarError
from altar.ai.fingerprints import told
from altar.ai.state import MAX_STATE_BYTES, load_state, save_state

__all__ = ["FORMAT", "MOST_BYTES", "MOST_PROGRAMS", "OLDEST_PART", "CompiledPrograms", "is_only_state", "key_of"]

FORMAT: Final = "altar-compiled/1"
MOST_PROGRAMS: Final = 256
"""Compiled programs that are kept in a directory."""
MOST_BYTES: Final = 256 * 1024 * 1024
"""Most bytes that they take together."""
OLDEST_PART: Final = 3600.0
"""Seconds after which a file that is still being written is taken for one of a writer that is no more.

Writing takes milliseconds. A writer that is slower than that (its machine slept) finds its file gone and keeps nothing.
"""


_PART: Final = ".altar-compiled-"
"""How the names of files begin that are being written."""

_OURS: Final = re.compile(r"[0-9a-f]{64}\.json")
"""The names of files that are kept: only these are ever removed, whatever a directory is used for besides."""


def key_of(**parts: Any) -> str:
    """The key of a compilation: ``sha256`` of what all the parts are.

    Raises Untold for a part that cannot be told, such as a metric that holds a connection.
    """
    return digest_of(canonical([FORMAT, told(parts)], max_depth=128)).removeprefix("sha256:")


class CompiledPrograms:
    """The compiled programs of one directory, which is made when the first is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def path(self, key: str) -> Path:
        """The file of a key."""
        return self._directory / f"{key}.json"

    def load(self, program: Any, key: str) -> bool:
        """Put the state that was compiled under a key into a program, if there is one that can be read.

        A damaged file, or one of another program, is none: it is written anew after the next compilation.
        """
        path = self.path(key)
        try:
            if self.is_of_others or not stat.S_ISREG(path.lstat().st_mode):
                return False
            load_state(program, path)
        except (AltarError, OSError):
            return False
        with suppress(OSError):
            path.touch()  # it was used now
        return True

    @property
    def is_of_others(self) -> bool:
        """Whether somebody else may write what is read here; False where there is no directory yet.

        Raises OSError for one that cannot be looked at.
        """
        try:
            held = self._directory.stat()
        except FileNotFoundError:
            return False
        return held.st_uid != os.geteuid() or bool(held.st_mode & (stat.S_IWGRP | stat.S_IWOTH))

    def keep(self, program: Any, key: str) -> bool:
        """Write the state of a compiled program under its key; False where the file system does not let us.

        What is too large to be read again is not kept.
        """
        temporary = None
        try:
            self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self.is_of_others:
                return False
            handle, name = tempfile.mkstemp(dir=self._directory, prefix=_PART, suffix=".part")  # which only we may read
            os.close(handle)
            temporary = Path(name)
            self._remove_parts(temporary.stat().st_mtime)
            save_state(program, temporary)
            if temporary.stat().st_size > MAX_STATE_BYTES:
                return False
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(self.path(key))
            self._make_room()
        except OSError:
            return False
        finally:
            if temporary is not None:
                temporary.unlink(missing_ok=True)
        return True

    def _remove_parts(self, now: float) -> None:
        """Remove what writers began and never ended, because they were killed; ``now`` is that of the file system."""
        for path in self._directory.glob(f"{_PART}*.part"):
            with suppress(OSError):  # another process may remove it at the same time
                if path.lstat().st_mtime < now - OLDEST_PART:
                    path.unlink()

    def _make_room(self) -> None:
        """Remove those that were used longest ago, until the rest is within the limits."""
        kept = []
        for path in self._directory.glob("*.json"):
            if _OURS.fullmatch(path.name) is None:
                continue
            with suppress(OSError):  # another process may remove it at the same time
                held = path.lstat()
                kept.append((held.st_mtime_ns, held.st_size, path))
        room = MOST_BYTES
        for at, (_, size, path) in enumerate(sorted(kept, reverse=True)):
            room -= size
            if at >= MOST_PROGRAMS or room < 0:
                path.unlink(missing_ok=True)


def is_only_state(compiled: Any, program: Any) -> bool:
    """Whether a compiled program is the other one with another state, so that the state is all there is to keep.

    Some optimizers change more: what a program does, the weights of its language model.
    """
    if type(compiled) is not type(program) or "forward" in vars(compiled) or "aforward" in vars(compiled):
        return False
    before, after = dict(program.named_parameters()), dict(compiled.named_parameters())
    if before.keys() != after.keys():
        return False
    return all(
        each.config == before[place].config and (each.lm is None or each.lm is before[place].lm)
        for place, each in after.items()
    )
