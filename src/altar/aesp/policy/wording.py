"""What the engine says of types and syntax, in words for whoever writes a policy."""

from __future__ import annotations

import re

__all__ = ["conversion", "named", "syntax"]


def syntax(said: str) -> str:
    """Give what a parser said without what it would have liked to read instead."""
    found = _UNEXPECTED.match(said)
    if found is None:
        return said
    return (
        "Syntax error: the expression ends too early"
        if found[1] == "<EOF>"
        else f"Syntax error: {found[1]!r} does not belong here"
    )


def conversion(kinds: list[str]) -> str | None:
    """Give the hint for two sides of these types that do not go together; None where there is none."""
    if set(kinds) == {"int", "double"}:
        return "write the whole number with a point (100.0), or turn one side into the other: double(…)"
    if set(kinds) == {"string", "int"} or set(kinds) == {"string", "double"}:
        return "a text and a number are never equal: write the number without quotes, or text with them"
    if any("imestamp" in kind for kind in kinds) and "string" in kinds:
        return 'write the time as timestamp("2026-01-31T00:00:00Z")'
    return None


_WORDS = {
    "bool": "a yes or no (bool)",
    "int": "a whole number (int)",
    "uint": "a whole number (uint)",
    "double": "a number (double)",
    "string": "a text (string)",
    "timestamp": "a time (timestamp)",
    "duration": "a duration",
    "null": "null",
    "google.protobuf.timestamp": "a time (timestamp)",
    "google.protobuf.duration": "a duration",
    "dyn": "any value (dyn)",
}


def named(kind: str) -> str:
    """Give the name of a type as people read it, with the engine's own behind it."""
    plain = kind.replace(" ", "").replace("LIST", "list").replace("MAP", "map")
    return _WORDS.get(plain, _WORDS.get(plain.lower(), f"a {plain}"))


_UNEXPECTED = re.compile(
    r"Syntax error: (?:mismatched|extraneous|no viable alternative at) input '(.*?)'(?: expecting|$)"
)
