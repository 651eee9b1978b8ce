"""On which line a key of a TOML file stands, which the reader of TOML does not tell."""

from __future__ import annotations

import re

__all__ = ["TomlLines"]

_HEADER = re.compile(r"\s*\[\[?\s*([A-Za-z0-9_.\-\"' ]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"\s*([A-Za-z0-9_-]+)\s*=\s*(.*)$")
_QUOTES = ('"""', "'''")


class TomlLines:
    """Finds lines in text that is known to be TOML; what it cannot find is on the line of what it stands in."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, int, str], int] = {}
        self._read(text)

    def line_of(self, table: str, index: int, key: str) -> int:
        """Give the line (from 1) of ``key`` in the ``index``-th table of that name.

        The key "" is the table itself, the table "" the top of the file.
        ``key:`` with a colon is where its value begins: for text in three quotes that is often the line after.
        """
        place = self._lines.get((table, index, key))
        if place is None and key.endswith(":"):
            place = self._lines.get((table, index, key[:-1]))
        if place is None:
            place = self._lines.get((table, index, ""), self._lines.get((key, 0, ""), 1))
        return place

    def _read(self, text: str) -> None:
        table, index, counts = "", 0, dict[str, int]()
        within = ""
        for number, line in enumerate(text.split("\n"), 1):
            if within:
                if within in line:
                    within = ""
                continue
            header = _HEADER.match(line)
            if header is not None:
                table = header[1].strip()
                index = counts.get(table, 0)
                counts[table] = index + 1
                self._lines.setdefault((table, index, ""), number)
                continue
            found = _KEY.match(line)
            if found is not None:
                self._lines.setdefault((table, index, found[1]), number)
                value = found[2].strip()
                below = value in _QUOTES
                self._lines.setdefault((table, index, f"{found[1]}:"), number + below)
            within = _opened(line)


def _opened(line: str) -> str:
    """Give the quotes of a text that begins on a line and does not end on it, or ""."""
    rest = line
    while True:
        places = [(rest.find(quotes), quotes) for quotes in _QUOTES if quotes in rest]
        if not places:
            return ""
        at, quotes = min(places)
        if "#" in rest[:at] and not re.search(r"[\"'].*#.*[\"']", rest[:at]):
            return ""
        rest = rest[at + 3 :]
        if quotes not in rest:
            return quotes
        rest = rest[rest.find(quotes) + 3 :]
