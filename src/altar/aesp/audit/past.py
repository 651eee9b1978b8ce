"""What a log says of its own past: up to where it is sealed and removed, what holds it, how its keys followed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import orjson

from altar.aesp.audit.record import Reader, Row
from altar.ledger.rotation import KEY_ROTATED

__all__ = ["Hold", "Past", "Stored", "past_of"]


class Stored(Reader, Protocol):
    """A reader that also gives what was removed, and finds entries by some bytes of theirs."""

    def stored(self, tenant: str, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, bytes, bytes]]:
        """Give positions, bytes and leaf hashes; the bytes are empty where they were removed."""

    def marked(self, marks: Sequence[bytes], start: int = 0) -> Iterator[Row]:
        """Give the entries of all logs with one of these bytes in them, in the order of their commits."""


@dataclass(frozen=True, slots=True)
class Hold:
    """That nothing of a log may be removed: its name, why, who said so (a pseudonym), and since when."""

    name: str
    reason: str
    by: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class Past:
    """What a log says of its own past: up to where it is sealed and removed, what holds it, how its keys followed."""

    sealed: int
    removed: int
    holds: Mapping[str, Hold]
    rotations: Sequence[str]


def past_of(reader: Stored, tenant: str) -> Past:
    """Read what a log says of its own past; nothing for a tenant that has no log yet."""
    sealed = removed = 0
    holds: dict[str, Hold] = {}
    rotations: list[str] = []
    for row in reader.marked([b'"event":"log.']):
        if row.tenant != tenant:
            continue
        entry = orjson.loads(row.body)
        name, subject = entry["event"], entry["subject"]
        said = orjson.loads(entry.get("data", "{}"))
        if name == "log.sealed":
            sealed = max(sealed, said["stop"])
        elif name == "log.removed":
            removed = max(removed, said["stop"])
        elif name == "log.held":
            holds[subject] = Hold(subject, entry["note"], entry.get("principal", ""), entry["time"])
        elif name == "log.released":
            holds.pop(subject, None)
        elif name == KEY_ROTATED:
            rotations.append(entry["data"])
    return Past(sealed, removed, holds, tuple(rotations))
