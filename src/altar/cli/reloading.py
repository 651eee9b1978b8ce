"""Which files of the tools have changed since they were loaded.

They are looked at twice a second: a few dozen `stat` calls, on any file system, also one that is mounted into
a container and tells nobody of its changes.
A library that is told by the system would find them sooner, and not always.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from altar.cli.worker_process import Signature

__all__ = ["EVERY", "Watch"]

EVERY = 0.5
"""Seconds between two looks; a change is told at the second one that finds the file as it is."""


class Watch:
    """What is known of the files, from one look to the next."""

    def __init__(self) -> None:
        self._known: dict[str, Signature] = {}
        self._last: dict[str, Signature] = {}

    def know(self, files: Mapping[str, Signature]) -> None:
        """Take these files as they were when they were loaded; None for one that may have changed since."""
        self._known.update(files)

    def changed(self) -> list[str]:
        """The files that are not as they were known, and have not changed since the last look.

        They are known from here on as they are now, so each change is told once.
        """
        now = {name: _signature(name) for name in self._known}
        changed = [name for name, at in now.items() if at != self._known[name] and at == self._last.get(name, ...)]
        self._last = now
        self._known.update({name: now[name] for name in changed})
        return sorted(changed)


def _signature(name: str) -> Signature:
    try:
        about = Path(name).stat()
    except OSError:
        return None
    return about.st_mtime_ns, about.st_size
