"""Tools whose contracts ask for approval: one that streams, one that runs where it is called; names are unique."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import altar


@altar.tool()
def pay_in_parts(parts: int, note: str) -> Iterator[int]:
    """Move some money part by part; a line in the file of this name says that it began."""
    with Path(note).open("a", encoding="ascii") as told:
        told.write("began\n")
    yield from range(parts)


@altar.tool(local_dispatch=True)
def pay_here(amount: int, note: str) -> int:
    """Move some money from where it is called."""
    with Path(note).open("a", encoding="ascii") as told:
        told.write("began\n")
    if amount < 0:
        raise ValueError("nobody pays less than nothing")
    return amount
