"""Changing bytes of a log file, one at a time, and judging what the auditor's program says about each.

`flip_and_verify` takes random bytes of the whole file, `flip_every_byte` takes all of them.
Both work on any database or export, whoever wrote it, and leave the file as it was.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from altar.verify import Location, Report, locate, verify


@dataclass
class Tally:
    """What came of the flips: how many were found, how many hit unused bytes, and those missed, in words."""

    found: int = 0
    unused: int = 0
    missed: list[str] = field(default_factory=list)


def flip_and_verify(path: Path, vkey: str, rng: random.Random, times: int) -> Tally:
    """Change `times` random bytes of the file, one at a time, each by a random pattern of bits."""
    size = path.stat().st_size
    return _flip(path, vkey, ((rng.randrange(size), rng.randrange(1, 256)) for _ in range(times)), skip_unused=0)


def flip_every_byte(path: Path, vkey: str, rng: random.Random, *, skip_unused: int = 16) -> Tally:
    """Change each byte of the file by one bit; of the unused ones, verify each `skip_unused`-th."""
    flips = ((offset, 1 << rng.randrange(8)) for offset in range(path.stat().st_size))
    return _flip(path, vkey, flips, skip_unused=skip_unused)


def flip_these(path: Path, vkey: str, flips: Iterable[tuple[int, int]]) -> Tally:
    """Change the given (offset, bits) one at a time."""
    return _flip(path, vkey, flips, skip_unused=0)


def names(report: Report, location: Location) -> bool:
    """Whether a finding names the entry, the page or the line that the location is about."""
    line = re.match(r"line \d+\b", location.text)
    for finding in report.findings:
        if location.seq is not None and finding.seq == location.seq:
            return True
        if location.page is not None and finding.page == location.page:
            return True
        if line is not None and re.match(rf"{line.group()}\b", finding.where):
            return True
    return False


def _flip(path: Path, vkey: str, flips: Iterable[tuple[int, int]], *, skip_unused: int) -> Tally:
    tally = Tally()
    assert verify(path, vkey=vkey).findings == (), "the file is to be whole before anything is changed"
    original = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for offset, bits in flips:
            location = locate(path, offset)
            if not location.used:
                tally.unused += 1
                if skip_unused and tally.unused % skip_unused:
                    continue
            file.seek(offset)
            file.write(bytes([original[offset] ^ bits]))
            report = verify(path, vkey=vkey)
            file.seek(offset)
            file.write(original[offset : offset + 1])
            if location.used and not report.ok and names(report, location):
                tally.found += 1
            elif location.used or not report.ok:
                tally.missed.append(f"byte {offset} ^ {bits:#04x}, {location.text}: {report.findings[:3]}")
    return tally
